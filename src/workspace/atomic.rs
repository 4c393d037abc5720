//! Files that appear whole or not at all, whatever kills the process or the power.
//!
//! Every file is written under a temporary name in its own directory, flushed to the device, renamed over its
//! final name, and the directory is flushed so that the rename itself survives. Temporary names start with
//! [`TEMP_PREFIX`]; what a killed process leaves of them is removed when the workspace is opened next.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// How every temporary name starts; no file meant to stay has such a name.
pub const TEMP_PREFIX: &str = ".tmp-";

/// Writes `bytes` to `path`, replacing what is there. The directory must exist.
///
/// Fails with an error naming `path`; the old content then still stands and no temporary file is left.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_temporary(path, bytes)?.publish()?;
    sync_dir(parent_of(path)).map_err(|e| file_error(path, e))
}

/// Like [`write_atomic`] for many files: every directory is flushed once, not once a file.
///
/// After an error some of the files may be in place, each of them whole.
pub fn write_atomic_many<B: AsRef<[u8]>>(files: &[(PathBuf, B)]) -> Result<()> {
    let mut dirs = BTreeSet::new();
    for (path, bytes) in files {
        write_temporary(path, bytes.as_ref())?.publish()?;
        dirs.insert(parent_of(path));
    }
    for dir in dirs {
        sync_dir(dir).map_err(|e| file_error(dir, e))?;
    }
    Ok(())
}

/// Like [`write_atomic`] for writers that want a path: `fill` must create the file at the path it is given.
pub fn write_atomic_with(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let temporary = Temporary::beside(path);
    fill(&temporary.path)?;
    // Opened for writing because Windows flushes only through such a handle.
    OpenOptions::new()
        .write(true)
        .open(&temporary.path)
        .and_then(|file| file.sync_all())
        .map_err(|e| file_error(path, e))?;
    temporary.publish()?;
    sync_dir(parent_of(path)).map_err(|e| file_error(path, e))
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
        Ok(()) => sync_dir(parent).map_err(|e| file_error(dir, e)),
    }
}

/// An I/O error about `path` in words; a full disk is named as such.
pub(super) fn file_error(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::DiskFull { path: path.to_owned() },
        io::ErrorKind::ReadOnlyFilesystem => Error::file(path, "the file system is read-only"),
        _ => Error::file(path, error),
    }
}

fn write_temporary<'a>(path: &'a Path, bytes: &[u8]) -> Result<Temporary<'a>> {
    let temporary = Temporary::beside(path);
    let write = || {
        let mut file = File::create_new(&temporary.path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| file_error(path, e))?;
    Ok(temporary)
}

/// The temporary file of one write; removed when dropped before it was published.
struct Temporary<'a> {
    path: PathBuf,
    target: &'a Path,
    published: bool,
}

impl<'a> Temporary<'a> {
    fn beside(target: &'a Path) -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        // The target's own name is left out: with it a legal long name could become too long.
        let name = format!("{TEMP_PREFIX}{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        Self { path: parent_of(target).join(name), target, published: false }
    }

    fn publish(mut self) -> Result<()> {
        fs::rename(&self.path, self.target).map_err(|e| file_error(self.target, e))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: what stays is removed by the next repair.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        // Some network and FUSE file systems cannot flush a directory; the rename is then as durable as they make it.
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

/// Windows cannot flush a directory; NTFS journals the rename.
#[cfg(not(unix))]
fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn the_longest_legal_name_works() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n".repeat(255));
        write_atomic(&path, b"x").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[test]
    fn a_failing_writer_leaves_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_atomic(&path, b"old").unwrap();
        let failed = write_atomic_with(&path, |temp| {
            fs::write(temp, b"half").unwrap();
            Err(Error::invalid("stopped"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn many_files_in_many_directories() {
        let dir = tempfile::tempdir().unwrap();
        create_dir_durable(&dir.path().join("x/y/z")).unwrap();
        let files: Vec<_> = ["x/1", "x/y/2", "x/y/z/3"].iter().map(|n| (dir.path().join(n), n.as_bytes())).collect();
        write_atomic_many(&files).unwrap();
        for (path, bytes) in files {
            assert_eq!(fs::read(path).unwrap(), bytes);
        }
    }

    #[test]
    fn the_error_names_the_target() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gone/file.png");
        let message = write_atomic(&path, b"").unwrap_err().to_string();
        assert!(message.contains("file.png"), "{message}");
    }
}
