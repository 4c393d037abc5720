//! Reading a ledger: beside a writer, on a CD, in a directory of someone else.
//!
//! A database with a write-ahead log wants to create two small files beside itself even to be read. Where that is
//! impossible there are two ways out: without a log the main file is complete and can be declared immutable; with one
//! (the writer was killed and the directory then copied, say) both are copied to a private directory and read there.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{BUSY_TIMEOUT, LEDGER_VERSION, named_at_open, schema};
use crate::workspace::files::LEDGER_FILE;
use crate::{Error, Result};

/// A private copy of a ledger and its log, removed when dropped.
#[derive(Debug)]
pub(super) struct Snapshot {
    _dir: tempfile::TempDir,
}

/// Opens the ledger at `path` for reading; with the copy that is read, if one had to be made.
pub(super) fn connect(path: &Path) -> Result<(Connection, Option<Snapshot>)> {
    match open(path) {
        Err(Error::Ledger(e)) if is_unwritable(&e) => {}
        Err(e) => return Err(e),
        Ok(conn) => return Ok((conn, None)),
    }
    let log = log_of(path);
    if fs::metadata(&log).map_or(0, |m| m.len()) == 0 {
        return Ok((open_immutable(path)?, None));
    }
    let dir = tempfile::Builder::new()
        .prefix("dp2o-studio-ledger-")
        .tempdir()
        .map_err(|e| Error::file(path, format!("no room for a temporary copy: {e}")))?;
    let copy = dir.path().join(LEDGER_FILE);
    for (from, to) in [(path, copy.clone()), (&log, log_of(&copy))] {
        fs::copy(from, to).map_err(|e| Error::file(from, format!("cannot be copied: {e}")))?;
    }
    Ok((open(&copy)?, Some(Snapshot { _dir: dir })))
}

/// Fails when the ledger is of a newer version, without creating or changing any file.
///
/// The answer may be too old by what is still in the log, so the version is checked again once the ledger is open.
pub(super) fn peek_version(path: &Path) -> Result<()> {
    let peek = || -> Result<()> {
        let conn = connect_immutable(path)?;
        schema::refuse_newer(schema::version_of(&conn)?, LEDGER_VERSION)
    };
    match peek() {
        // Whatever else is wrong is better told by really opening it.
        Err(Error::Ledger(_)) => Ok(()),
        other => other.map_err(|e| named_at_open(path, e)),
    }
}

fn open(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    check_version(&conn)?;
    Ok(conn)
}

fn open_immutable(path: &Path) -> Result<Connection> {
    let conn = connect_immutable(path)?;
    check_version(&conn)?;
    Ok(conn)
}

/// A connection that takes no locks, creates nothing and ignores the log.
fn connect_immutable(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Ok(Connection::open_with_flags(immutable_uri(path), flags)?)
}

/// A reader cannot migrate: only the current version will do.
fn check_version(conn: &Connection) -> Result<()> {
    let version = schema::version_of(conn)?;
    schema::refuse_newer(version, LEDGER_VERSION)?;
    schema::refuse_other(conn)?;
    if version < LEDGER_VERSION {
        return Err(Error::invalid(format!(
            "this ledger is of an older version ({version}, now {LEDGER_VERSION}): open the workspace once for writing to bring it up to date"
        )));
    }
    // Looking at the tables makes SQLite open the log, and so shows whether it can.
    conn.query_row("SELECT count(*) FROM images WHERE id < 0", [], |_| Ok(()))?;
    Ok(())
}

fn is_unwritable(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied))
}

fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// SQLite's URI of a path (<https://www.sqlite.org/uri.html>), every unusual byte escaped.
fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    let bytes = path.as_os_str().as_encoded_bytes();
    if cfg!(windows) && bytes.get(1) == Some(&b':') {
        uri.push('/');
    }
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                uri.push(byte as char);
            }
            b':' if cfg!(windows) => uri.push(':'),
            b'\\' if cfg!(windows) => uri.push('/'),
            // Writing to a String cannot fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri + "?immutable=1"
}

#[cfg(test)]
mod tests {
    use super::super::Ledger;
    use super::*;

    #[test]
    fn unusual_paths_survive_the_uri() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("a b%20?c#d&é=1");
        fs::create_dir(&dir).unwrap();
        let path = dir.join(LEDGER_FILE);
        drop(Ledger::create(&path).unwrap());
        let conn = open_immutable(&path).unwrap();
        assert_eq!(schema::version_of(&conn).unwrap(), LEDGER_VERSION);
    }

    #[test]
    fn peeking_creates_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LEDGER_FILE);
        drop(Ledger::create(&path).unwrap());
        let list = || fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(list(), 1);
        peek_version(&path).unwrap();
        assert_eq!(list(), 1);
    }
}
