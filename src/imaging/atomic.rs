//! Files that are either whole or not there: what a killed process leaves behind must be readable.
//!
//! The bytes go to a temporary name in the same directory, are flushed to the disk, and then take the final name in one
//! step; the directory is flushed too, so that the name survives a power cut.

use crate::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Extension of the temporary files; one that stays behind after a kill can be deleted.
pub const TEMPORARY_EXTENSION: &str = "dp2o-tmp";

/// Writes `bytes` to `path`, replacing what was there, all or nothing.
///
/// Fails with the path and the cause (no such directory, disk full, not permitted); the temporary file is then removed
/// and an earlier file at `path` is untouched.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_atomic_with(path, |file| file.write_all(bytes))
}

/// Like [`write_atomic`] for a writer that streams: whatever `write` puts into the file, all or nothing.
pub fn write_atomic_with(path: impl AsRef<Path>, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let path = path.as_ref();
    let temporary = temporary_name(path)?;
    let written = create_and_rename(&temporary, path, write);
    if written.is_err() {
        // It may never have been created; the error to report is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(|cause| Error::file(path, format!("cannot be written: {cause}")))
}

fn create_and_rename(temporary: &Path, path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(temporary)?;
    write(&mut file)?;
    file.sync_all()?;
    drop(file);
    fs::rename(temporary, path)?;
    sync_directory(path)
}

/// Only Unix lets a directory be opened and flushed.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// A name no other writer uses, in the same directory: a rename is only atomic within one file system.
fn temporary_name(path: &Path) -> Result<PathBuf> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| Error::file(path, "does not name a file"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}-{}", std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed)));
    hidden.push(format!(".{TEMPORARY_EXTENSION}"));
    Ok(path.with_file_name(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn replaces_a_file_and_leaves_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.bin");
        write_atomic(&path, b"first").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(directory.path()), ["a.bin"]);
    }

    #[test]
    fn a_full_disk_keeps_the_old_file_and_names_the_cause() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.bin");
        write_atomic(&path, b"old").unwrap();
        let error = write_atomic_with(&path, |file| {
            file.write_all(b"half of the new")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert!(error.to_string().contains("a.bin") && error.to_string().contains("storage"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(directory.path()), ["a.bin"]);
    }

    #[test]
    fn impossible_targets_are_errors_without_leftovers() {
        let directory = tempfile::tempdir().unwrap();
        assert!(write_atomic(directory.path().join("missing/a.bin"), b"x").is_err());
        fs::create_dir(directory.path().join("taken")).unwrap();
        fs::write(directory.path().join("taken/inside"), b"").unwrap();
        assert!(write_atomic(directory.path().join("taken"), b"x").is_err());
        assert!(write_atomic("..", b"x").is_err());
        assert_eq!(names(directory.path()), ["taken"]);
    }
}
