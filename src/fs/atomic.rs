//! Files that are either whole or not there: what a killed process leaves behind must be readable.
//!
//! The bytes go to a temporary name in the same directory, are flushed to the disk, and then take the final name in one
//! step; the directory is flushed too, so that the name survives a power cut. This is the one writer of the product, and
//! [`is_temporary`] the one place that knows what it leaves where a process is killed.

use crate::{Error, Result};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How every temporary name starts; no file meant to stay has such a name.
const TEMP_PREFIX: &str = ".dp2o-tmp-";

/// Whether a file of this name is what a killed writer left, of this version or an earlier one: it can be deleted.
pub fn is_temporary(name: &str) -> bool {
    let numbers = |text: &str| text.contains('-') && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let earlier = name.strip_prefix(".tmp-").is_some_and(|rest| numbers(rest) || rest == "training.state");
    name.starts_with(TEMP_PREFIX) || earlier || (name.starts_with('.') && name.ends_with(".dp2o-tmp"))
}

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
    replace(path, write, true)?;
    sync_directory(parent_of(path)).map_err(|cause| file_error(path, cause))
}

/// Like [`write_atomic`] for many files: every directory is flushed once, not once a file.
///
/// After an error some of the files may be in place, each of them whole.
pub fn write_atomic_many<B: AsRef<[u8]>>(files: &[(PathBuf, B)]) -> Result<()> {
    let mut directories = BTreeSet::new();
    for (path, bytes) in files {
        replace(path, |file| file.write_all(bytes.as_ref()), true)?;
        directories.insert(parent_of(path));
    }
    directories.into_iter().try_for_each(|dir| sync_directory(dir).map_err(|cause| file_error(dir, cause)))
}

/// Like [`write_atomic`] without flushing: all or nothing when the process is killed, not when the power fails. For what
/// is written every second and has a flushed fellow to fall back to.
pub fn write_unflushed(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    replace(path.as_ref(), |file| file.write_all(bytes), false)
}

/// Creates `dir` and its missing parents, so that they survive a power loss as well.
pub fn create_dir_durable(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = parent_of(dir);
    if parent != dir {
        create_dir_durable(parent)?;
    }
    match fs::create_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(e) => Err(file_error(dir, e)),
        Ok(()) => sync_directory(parent).map_err(|e| file_error(dir, e)),
    }
}

/// An error of writing `path`, in words; a full disk is named as such.
pub fn file_error(path: &Path, cause: io::Error) -> Error {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::DiskFull { path: path.to_owned() },
        io::ErrorKind::ReadOnlyFilesystem => Error::file(path, "the file system is read-only"),
        _ => Error::file(path, format!("cannot be written: {cause}")),
    }
}

/// Writes a temporary file and gives it the name; an error leaves neither.
fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>, flush: bool) -> Result<()> {
    let temporary = temporary_beside(path)?;
    let replaced = (|| {
        // Never through a link: the name is new, and the final name is taken by renaming, which replaces a link.
        let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        write(&mut file)?;
        if flush {
            file.sync_all()?;
        }
        drop(file);
        fs::rename(&temporary, path)
    })();
    if replaced.is_err() {
        // At once: half a file would keep a full disk full. It may never have been created; the first error counts.
        let _ = fs::remove_file(&temporary);
    }
    replaced.map_err(|cause| file_error(path, cause))
}

/// A name no other writer uses, in the same directory: a rename is only atomic within one file system. The target's own
/// name is left out: with it a legal long name could become too long.
fn temporary_beside(path: &Path) -> Result<PathBuf> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    if path.file_name().is_none() {
        return Err(Error::file(path, "does not name a file"));
    }
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    Ok(parent_of(path).join(format!("{TEMP_PREFIX}{}-{number}", std::process::id())))
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Only Unix lets a directory be opened and flushed; elsewhere the file system's journal keeps the rename.
fn sync_directory(dir: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(dir)?.sync_all() {
        // Some network and FUSE file systems cannot flush a directory; the rename is then as durable as they make it.
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
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
        assert!(error.to_string().contains("a.bin") && error.to_string().contains("disk is full"), "{error}");
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

    #[test]
    fn the_longest_legal_name_works() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("n".repeat(255));
        write_unflushed(&path, b"x").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[test]
    fn many_files_in_many_directories() {
        let directory = tempfile::tempdir().unwrap();
        create_dir_durable(&directory.path().join("x/y/z")).unwrap();
        let files: Vec<_> =
            ["x/1", "x/y/2", "x/y/z/3"].iter().map(|n| (directory.path().join(n), n.as_bytes())).collect();
        write_atomic_many(&files).unwrap();
        for (path, bytes) in files {
            assert_eq!(fs::read(path).unwrap(), bytes);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (outside, link) = (directory.path().join("outside"), directory.path().join("link"));
        fs::write(&outside, b"precious").unwrap();
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        write_atomic(&link, b"new").unwrap();
        assert_eq!((fs::read(&outside).unwrap(), fs::read(&link).unwrap()), (b"precious".to_vec(), b"new".to_vec()));
    }

    #[test]
    fn leftovers_are_told_from_files_of_a_person() {
        let directory = tempfile::tempdir().unwrap();
        let path = temporary_beside(&directory.path().join("a.png")).unwrap();
        assert!(is_temporary(path.file_name().unwrap().to_str().unwrap()));
        for earlier in [".tmp-12-3", ".tmp-training.state", ".a.png.77-0.dp2o-tmp"] {
            assert!(is_temporary(earlier), "{earlier}");
        }
        for other in [".tmp-important", ".tmp-", "a.dp2o-tmp", ".tmp", "tmp-1-2", ".tmp-2026"] {
            assert!(!is_temporary(other), "{other}");
        }
    }
}
