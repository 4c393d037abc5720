//! Where the workspace writes and deletes: inside of its directory, and never through a link.
//!
//! A workspace may come from someone else, and a link in it may lead anywhere. Reading follows links; writing and deleting
//! do not, at any level: the directory as a whole may be linked or moved to another disk, a part of it may not. Every part
//! of a path is looked at right before it is used. That keeps a prepared workspace from reaching other files, not a second
//! process that exchanges directories at the same moment.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::files::{self, LEDGER_FILE, RelPath};
use super::ledger::RunRow;
use super::{Workspace, lock};
use crate::fs::atomic::{create_dir_durable, file_error, write_atomic, write_atomic_many, write_atomic_with};
use crate::{Error, Result};

impl Workspace {
    /// Where a file may be written or deleted. Errors: one of its directories is a link.
    pub fn place(&self, path: &RelPath) -> Result<PathBuf> {
        place(&self.root, path)
    }

    /// A file in a run's directory; the ledger need not know it.
    pub fn run_file(&self, run: &RunRow, name: &str) -> Result<RelPath> {
        RelPath::new(format!("{}/{}/{name}", files::RUNS_DIR, run.dir))
    }

    /// Where a file that the user is given may be written; its directory is made.
    pub fn export_place(&self, name: &str) -> Result<PathBuf> {
        self.require_writable()?;
        let path = RelPath::new(format!("{}/{name}", files::EXPORTS_DIR))?;
        self.create_dir_of(&path)?;
        self.place(&path)
    }

    /// Writes a file, whole and flushed.
    pub fn write_file(&self, path: &RelPath, bytes: &[u8]) -> Result<()> {
        self.require_writable()?;
        self.create_dir_of(path)?;
        write_atomic(self.place(path)?, bytes)
    }

    /// Writes a file, whole and flushed, of what `write` puts into it.
    pub fn write_file_with(&self, path: &RelPath, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        self.require_writable()?;
        self.create_dir_of(path)?;
        write_atomic_with(self.place(path)?, |file| {
            let mut out = BufWriter::with_capacity(1 << 20, file);
            write(&mut out)?;
            out.flush()
        })
    }

    /// Writes files, each of them whole, and flushes each directory once.
    pub(super) fn write_files<B: AsRef<[u8]>>(&self, content: &[(&RelPath, B)]) -> Result<()> {
        let mut places = Vec::with_capacity(content.len());
        for (path, bytes) in content {
            self.create_dir_of(path)?;
            places.push((self.place(path)?, bytes.as_ref()));
        }
        write_atomic_many(&places)
    }

    /// Deletes a file; one that is not there is deleted already.
    pub fn delete_file(&self, path: &RelPath) -> Result<()> {
        self.require_writable()?;
        let place = self.place(path)?;
        match fs::remove_file(&place) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(file_error(&place, e)),
            _ => Ok(()),
        }
    }

    fn create_dir_of(&self, path: &RelPath) -> Result<()> {
        let place = self.place(path)?;
        place.parent().map_or(Ok(()), create_dir_durable)
    }
}

/// Where `path` lies in the workspace at `root`. Errors: one of its directories is a link.
pub(super) fn place(root: &Path, path: &RelPath) -> Result<PathBuf> {
    let mut at = root.to_owned();
    for part in path.dir().split('/').filter(|part| !part.is_empty()) {
        at.push(part);
        refuse_link(&at)?;
    }
    Ok(path.under(root))
}

/// Fails where one of the files that are written in place is a link; all others are replaced as a whole.
pub(super) fn refuse_linked_files(root: &Path) -> Result<()> {
    let ledger = ["", "-wal", "-shm", "-journal"].map(|suffix| format!("{LEDGER_FILE}{suffix}"));
    let names = ledger.iter().map(String::as_str).chain([lock::LOCK_FILE]);
    names.into_iter().try_for_each(|name| refuse_link(&root.join(name)))
}

fn refuse_link(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(about) if about.file_type().is_symlink() => Err(Error::file(
            path,
            "this is a link, and nothing is written or deleted through links inside a workspace; put what it leads to in \
             its place (the workspace as a whole may be linked)",
        )),
        _ => Ok(()),
    }
}
