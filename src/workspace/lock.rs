//! One writer at a time: an exclusive lock that the operating system releases however the writer ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::fs::atomic::{file_error, write_unflushed};
use crate::{Error, Result};

/// The locked file; it stays empty, because Windows lets nobody read a locked file.
pub(super) const LOCK_FILE: &str = "writer.lock";
/// Who holds the lock, for the message the second writer gets. It may be stale; only the lock decides.
pub(super) const HOLDER_FILE: &str = "writer.txt";

/// The right to write to a workspace, given back when dropped, or by the system when the process dies.
#[derive(Debug)]
pub struct WriterLock {
    file: File,
    holder: PathBuf,
}

impl WriterLock {
    /// Takes the lock of the workspace at `root` without waiting.
    ///
    /// Fails when another handle, of this or another process, holds it (the message names the workspace and the
    /// holder), or when the directory cannot be written.
    pub fn acquire(root: &Path) -> Result<Self> {
        let path = root.join(LOCK_FILE);
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|e| match e.kind() {
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                    Error::file(root, format!("this workspace cannot be written ({e}); it can be opened for reading"))
                }
                _ => file_error(&path, e),
            })?;
        let holder = root.join(HOLDER_FILE);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let who = note_in(&holder).unwrap_or_else(|| "another process".to_owned());
                return Err(Error::InUse { path: root.to_owned(), holder: who });
            }
            Err(TryLockError::Error(e)) => {
                return Err(Error::file(&path, format!("the file system cannot lock this file: {e}")));
            }
        }
        // Only a courtesy to the second writer: failing to leave the note is no reason to stop.
        let note = format!("process {} on {}\n", std::process::id(), host_name());
        let _ = write_unflushed(&holder, note.as_bytes());
        Ok(Self { file, holder })
    }
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        // Before the lock goes, so that the next holder's note is never the one removed.
        let _ = fs::remove_file(&self.holder);
        // Closing the file would do, but not at once while a process being started still has a copy of it.
        let _ = self.file.unlock();
    }
}

/// The note of the lock's holder: the first line of a short file that is no link.
fn note_in(holder: &Path) -> Option<String> {
    if !fs::symlink_metadata(holder).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    File::open(holder).ok()?.take(200).read_to_string(&mut text).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// Name of this machine, as well as it can be told without a system call of our own.
fn host_name() -> String {
    let from_kernel = || fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let from_variable = |name| std::env::var(name).ok();
    from_kernel()
        .or_else(|| from_variable("COMPUTERNAME"))
        .or_else(|| from_variable("HOSTNAME"))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "this machine".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it_and_gets_it_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let first = WriterLock::acquire(dir.path()).unwrap();
        let message = WriterLock::acquire(dir.path()).unwrap_err().to_string();
        assert!(message.contains(&dir.path().display().to_string()), "{message}");
        assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
        drop(first);
        WriterLock::acquire(dir.path()).unwrap();
    }
}
