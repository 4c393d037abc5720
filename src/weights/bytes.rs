//! The bytes that tensors are read from: compiled in, in memory, or of an open file that is read where it is asked for.
//!
//! Files are read by position and not mapped: a mapped file that another process cuts short kills the reader, and reading
//! into the tensor's own memory costs no copy more. A file that changed since it was opened is an error, not other weights.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::fs::hash::Stamp;
use crate::fs::reading::Reading;
use crate::{Error, Result, input};

/// Bytes of a file that are read at once, so that it is known soon how much was.
const PIECE: usize = 16 << 20;

/// Bytes of one file.
#[derive(Debug)]
pub struct Bytes {
    /// The file, or what to call what is in memory.
    origin: PathBuf,
    held: Held,
    reading: Reading,
}

#[derive(Debug)]
enum Held {
    Static(&'static [u8]),
    Owned(Vec<u8>),
    File { file: File, len: u64, stamp: Option<Stamp> },
}

impl Bytes {
    /// Opens a regular file, of which is counted what is read.
    pub fn open(path: &Path, reading: &Reading) -> Result<Self> {
        let file = input::open(path)?;
        let about = file.metadata().map_err(|e| Error::file(path, input::io_cause(&e)))?;
        let held = Held::File { len: about.len(), stamp: Stamp::at_once(&about), file };
        Ok(Self { origin: path.to_owned(), held, reading: reading.clone() })
    }

    /// Bytes compiled into the program; `name` is for errors.
    pub fn of_static(name: &str, bytes: &'static [u8]) -> Self {
        Self { origin: name.into(), held: Held::Static(bytes), reading: Reading::default() }
    }

    /// Bytes in memory; `origin` is for errors.
    pub fn of_vec(origin: &Path, bytes: Vec<u8>) -> Self {
        Self { origin: origin.to_owned(), held: Held::Owned(bytes), reading: Reading::default() }
    }

    /// The file, or what to call these bytes.
    pub fn origin(&self) -> &Path {
        &self.origin
    }

    /// Their number.
    pub fn len(&self) -> u64 {
        match &self.held {
            Held::Static(bytes) => bytes.len() as u64,
            Held::Owned(bytes) => bytes.len() as u64,
            Held::File { len, .. } => *len,
        }
    }

    /// Reads `to.len()` bytes from `offset` on. Errors: they go beyond the end.
    pub fn read_at(&self, offset: u64, to: &mut [u8]) -> Result<()> {
        let from = |bytes: &[u8], to: &mut [u8]| {
            let start = usize::try_from(offset).ok();
            let part = start.and_then(|start| bytes.get(start..start.checked_add(to.len())?));
            part.map(|part| to.copy_from_slice(part)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        match &self.held {
            Held::Static(bytes) => from(bytes, to),
            Held::Owned(bytes) => from(bytes, to),
            Held::File { file, .. } => {
                let mut offset = offset;
                for piece in to.chunks_mut(PIECE) {
                    read_exact_at(file, offset, piece).map_err(|error| self.fault(input::io_cause(&error)))?;
                    offset += piece.len() as u64;
                    self.reading.add(piece.len())?;
                }
                Ok(())
            }
        }
        .map_err(|error: io::Error| self.fault(input::io_cause(&error)))
    }

    /// The bytes of a range, which the caller has bounded.
    pub fn range(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        if offset.checked_add(len).is_none_or(|end| end > self.len()) {
            return Err(self.fault("the file is truncated"));
        }
        let len = usize::try_from(len).map_err(|_| self.fault("too large for this machine"))?;
        let mut bytes = vec![0; len];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Errors: the file is not what it was when it was opened, or another has taken its place.
    pub fn check_unchanged(&self) -> Result<()> {
        let Held::File { file, stamp, .. } = &self.held else { return Ok(()) };
        let now = |about: io::Result<fs::Metadata>| about.ok().and_then(|about| Stamp::at_once(&about));
        match now(file.metadata()) == *stamp && now(fs::metadata(&self.origin)) == *stamp {
            true => Ok(()),
            false => Err(self.fault("has changed while it was read; try again once it is written")),
        }
    }

    /// An error about these bytes.
    pub fn fault(&self, cause: impl std::fmt::Display) -> Error {
        Error::file(&self.origin, cause)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, to: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, to, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut offset: u64, mut to: &mut [u8]) -> io::Result<()> {
    while !to.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, to, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                offset += n as u64;
                to = &mut to[n..];
            }
        }
    }
    Ok(())
}
