//! Files that a person names: only regular files are opened, and no more of them is read than a bound allows.
//!
//! A pipe would keep the program waiting, a device may never end: both are refused before anything is read.

pub mod patterns;
pub mod table;

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::{Error, Result};

/// The largest text (a recipe, a list of pairs) that is read, in bytes.
pub const MAX_TEXT_BYTES: u64 = 2 << 30;

/// Opens a regular file, links followed.
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    opened(path.as_ref()).map(|(file, _)| file).map_err(|cause| Error::file(path, cause))
}

/// The whole content of a regular file of at most `most` bytes.
pub fn read(path: impl AsRef<Path>, most: u64) -> Result<Vec<u8>> {
    read_up_to(path.as_ref(), most).map_err(|cause| Error::file(path, cause))
}

/// The whole content of a text file in UTF-8, at most [`MAX_TEXT_BYTES`], without the byte order mark that Windows
/// editors put before it.
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    let bytes = read(&path, MAX_TEXT_BYTES)?;
    text_of(bytes).map_err(|cause| Error::file(path, cause))
}

/// What is wrong with a file, in one line.
pub fn io_cause(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file".into(),
        ErrorKind::UnexpectedEof => "the file is truncated".into(),
        _ => format!("cannot be read: {error}"),
    }
}

/// A regular file and its size in bytes, or the cause why there is none.
pub(crate) fn opened(path: &Path) -> Result<(File, u64), String> {
    let cause = |error| io_cause(&error);
    // Opening a device can already do something; looking at it first cannot.
    regular(&fs::metadata(path).map_err(cause)?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        // What has become a pipe in between is opened without waiting for a writer, and refused below.
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK);
    }
    let file = options.open(path).map_err(cause)?;
    let metadata = file.metadata().map_err(cause)?;
    regular(&metadata)?;
    Ok((file, metadata.len()))
}

/// The cause for a file beyond a bound.
pub(crate) fn too_large(bytes: u64, most: u64) -> String {
    let megabytes = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    format!("{:.1} MB is over the limit of {:.1} MB", megabytes(bytes), megabytes(most))
}

fn read_up_to(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let (file, size) = opened(path)?;
    if size > most {
        return Err(too_large(size, most));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    // The size is what it was when asked; the file may grow.
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| io_cause(&error))?;
    if bytes.len() as u64 > most {
        return Err(too_large(bytes.len() as u64, most));
    }
    Ok(bytes)
}

fn regular(metadata: &Metadata) -> Result<(), String> {
    match kind(metadata.file_type()) {
        None => Ok(()),
        Some(kind) => Err(format!("is {kind}, not a file")),
    }
}

/// What something that is no regular file is.
fn kind(file: FileType) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if file.is_fifo() {
            return Some("a pipe");
        } else if file.is_socket() {
            return Some("a socket");
        }
    }
    match file {
        file if file.is_file() => None,
        file if file.is_dir() => Some("a directory"),
        _ => Some("a device"),
    }
}

fn text_of(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err("is text in UTF-16; save it as UTF-8".into());
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        format!("line {line}: is not text in UTF-8; save it as UTF-8")
    })?;
    Ok(match text.strip_prefix('\u{FEFF}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(result: Result<impl Sized>) -> String {
        result.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn text_comes_without_the_mark_and_other_encodings_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.txt");
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read_text(&path)
        };
        assert_eq!(read(b"\xEF\xBB\xBFone\r\ntwo").unwrap(), "one\r\ntwo");
        assert_eq!(read(b"one").unwrap(), "one");
        for utf16 in [&b"\xFF\xFEo\0n\0e\0"[..], b"\xFE\xFF\0o\0n\0e"] {
            assert!(cause(read(utf16)).contains("notes.txt: is text in UTF-16; save it as UTF-8"));
        }
        assert!(cause(read(b"one\ntw\xFC")).contains("notes.txt: line 2: is not text in UTF-8"));
    }

    #[test]
    fn a_bound_holds() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read(&path, 100).unwrap().len(), 100);
        assert!(cause(read(&path, 99)).contains("over the limit"));
    }

    #[test]
    #[cfg(unix)]
    fn what_is_no_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        let zero = Path::new("/dev/zero");
        for (path, kind) in [
            (pipe.as_path(), "is a pipe"),
            (&link, "is a pipe"),
            (&socket, "is a socket"),
            (zero, "is a device"),
            (directory.path(), "is a directory"),
            (&directory.path().join("none"), "no such file"),
        ] {
            let message = cause(open(path));
            assert!(message.contains(kind) && message.contains(&path.display().to_string()), "{message}");
        }
    }
}
