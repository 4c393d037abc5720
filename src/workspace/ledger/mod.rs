//! The ledger: everything a workspace knows that is not a file of its own, in one SQLite database.
//!
//! Write-ahead logging lets readers look on while the one writer writes. `synchronous = FULL` flushes the log at each
//! commit: a kill never loses a commit in any mode, a power loss could lose the last ones without it, and a commit a
//! candidate or a batch of steps costs a few milliseconds next to the second their computation takes.
//!
//! Each file of this directory holds one table's row type and the methods on it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, Row};

use crate::{Error, Result};

mod bounds;
mod candidates;
mod checkpoints;
mod counts;
mod file_rows;
mod ids;
mod images;
mod judgements;
mod metric_keys;
mod overrides;
mod prompts;
mod read_only;
#[cfg(test)]
mod run_tests;
mod runs;
#[cfg(test)]
mod scale_tests;
mod schema;
mod scores;
mod splits;
mod steps;
mod tasks;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use bounds::Bounds;
pub use candidates::{CandidateRow, CandidateSet, MissingSeeds, NewCandidate};
pub use checkpoints::{CheckpointKind, CheckpointRow, NewCheckpoint, NewReference};
pub use counts::Counts;
pub use file_rows::FileOwner;
pub(super) use file_rows::{FileCheck, FileRow};
pub use ids::{CandidateId, CheckpointId, ImageId, RunId};
pub use images::{ImageRow, NewImage};
pub use judgements::Judgement;
pub use overrides::{OverrideKind, PairOverride};
pub use prompts::prompt_of;
pub use runs::{NewRun, PARTIAL, RunRow, RunState};
pub use schema::LEDGER_VERSION;
pub use scores::{MissingScores, NewScore, ScoreTable, ScoredCandidate};
pub use splits::{Split, SplitChoice, digest_of, same_source};
pub use steps::{EvaluationRow, StepRow};

use read_only::Snapshot;

/// How long a statement waits for another connection, for instance one recovering the log after a kill.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache of a connection in KiB, enough to hold the scores of a large workspace.
const CACHE_KIB: i64 = 64 * 1024;

/// An open ledger. One connection, for one thread at a time; other threads open their own.
#[derive(Debug)]
pub struct Ledger {
    conn: Connection,
    path: PathBuf,
    /// The private copy a reader of unwritable media may need; dropped after the connection.
    _snapshot: Option<Snapshot>,
}

impl Ledger {
    /// Creates the ledger, or completes one whose creation was cut off.
    pub(super) fn create(path: &Path) -> Result<Self> {
        Self::open(path, OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// Fails when the ledger is of a newer version, without creating or changing any file.
    pub(super) fn refuse_newer(path: &Path) -> Result<()> {
        read_only::peek_version(path)
    }

    /// Opens the ledger for writing and brings it to the current version. The caller holds the writer lock.
    pub(super) fn open_writer(path: &Path) -> Result<Self> {
        Self::open(path, OpenFlags::empty())
    }

    fn open(path: &Path, flags: OpenFlags) -> Result<Self> {
        let open = || -> Result<Connection> {
            let is_new = flags.contains(OpenFlags::SQLITE_OPEN_CREATE);
            let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let conn = Connection::open_with_flags(path, flags)?;
            conn.busy_timeout(BUSY_TIMEOUT)?;
            if !is_new {
                schema::refuse_other(&conn)?;
            }
            schema::refuse_newer(schema::version_of(&conn)?, LEDGER_VERSION)?;
            let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0))?;
            if mode != "wal" {
                return Err(Error::invalid(
                    "this file system does not support the ledger's write-ahead log (a network drive?)",
                ));
            }
            conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
            tune(&conn)?;
            schema::migrate(&conn, schema::MIGRATIONS)?;
            Ok(conn)
        };
        let conn = open().map_err(|e| named_at_open(path, e))?;
        Ok(Self { conn, path: path.to_owned(), _snapshot: None })
    }

    /// Opens the ledger for reading, also on media that cannot be written.
    pub(super) fn open_reader(path: &Path) -> Result<Self> {
        let (conn, snapshot) = read_only::connect(path).map_err(|e| named_at_open(path, e))?;
        tune(&conn).map_err(|e| named(path, e.into()))?;
        Ok(Self { conn, path: path.to_owned(), _snapshot: snapshot })
    }

    /// Does several writes as one: all of them are kept, or on an error none.
    pub fn atomically<T>(&self, f: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        self.write(|_| f(self))
    }

    /// Whether SQLite finds nothing wrong with the file. Reads all of it.
    pub(super) fn is_sound(&self) -> bool {
        let check = self.read(|conn| Ok(conn.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))?));
        check.is_ok_and(|answer| answer == "ok")
    }

    /// A number that changes whenever another connection has committed: cheap to ask every frame.
    pub fn data_version(&self) -> Result<i64> {
        self.read(|conn| Ok(conn.query_row("PRAGMA data_version", [], |row| row.get(0))?))
    }

    /// Runs queries that see one state of the ledger.
    fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.scoped("BEGIN", f)
    }

    /// Runs statements that are kept together or not at all.
    fn write<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.scoped("BEGIN IMMEDIATE", f)
    }

    fn scoped<T>(&self, begin: &str, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let run = || {
            let scope = Scope::begin(&self.conn, begin)?;
            let value = f(&self.conn)?;
            scope.commit()?;
            Ok(value)
        };
        run().map_err(|e| named(&self.path, e))
    }
}

/// A transaction, or a savepoint inside of one; rolled back when dropped uncommitted, also by a panic.
struct Scope<'a> {
    conn: &'a Connection,
    is_nested: bool,
    open: bool,
}

impl<'a> Scope<'a> {
    fn begin(conn: &'a Connection, begin: &str) -> rusqlite::Result<Self> {
        let is_nested = !conn.is_autocommit();
        conn.prepare_cached(if is_nested { "SAVEPOINT inner_scope" } else { begin })?.execute([])?;
        Ok(Self { conn, is_nested, open: true })
    }

    fn commit(mut self) -> rusqlite::Result<()> {
        let end = if self.is_nested { "RELEASE inner_scope" } else { "COMMIT" };
        self.conn.prepare_cached(end)?.execute([])?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        // SQLite rolls back by itself on some errors, a full disk for one; then nothing is left to undo.
        if self.open && !self.conn.is_autocommit() {
            let undo = if self.is_nested { "ROLLBACK TO inner_scope; RELEASE inner_scope" } else { "ROLLBACK" };
            // A failing rollback leaves the transaction open, and the next statement reports that.
            let _ = self.conn.execute_batch(undo);
        }
    }
}

fn tune(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(64);
    conn.execute_batch(&format!("PRAGMA cache_size = -{CACHE_KIB}; PRAGMA temp_store = MEMORY;"))
}

/// Gives SQLite's errors the name of the ledger and a cause in words; other errors pass.
fn named(path: &Path, error: Error) -> Error {
    use rusqlite::ErrorCode as Code;
    match error {
        Error::Ledger(e) => match e.sqlite_error_code() {
            Some(Code::DiskFull) => Error::DiskFull { path: path.to_owned() },
            Some(Code::ReadOnly) => Error::file(path, "the workspace is open for reading only"),
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
                Error::file(path, "another program keeps the ledger locked")
            }
            Some(Code::NotADatabase | Code::DatabaseCorrupt) => {
                Error::file(path, format!("the ledger is damaged ({e}); {}", hint_of(path)))
            }
            _ => Error::file(path, e),
        },
        other => other,
    }
}

fn hint_of(path: &Path) -> String {
    super::repair_hint(path.parent().unwrap_or(path))
}

/// Like [`named`] for what goes wrong while a ledger is opened, which is always about the ledger.
fn named_at_open(path: &Path, error: Error) -> Error {
    match error {
        Error::Invalid(message) => Error::file(path, message),
        other => named(path, other),
    }
}

/// Seconds since 1970 UTC.
fn now_secs() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64)
}

/// A number stored as NULL when it is NaN.
fn real(row: &Row<'_>, column: &str) -> rusqlite::Result<f64> {
    Ok(row.get::<_, Option<f64>>(column)?.unwrap_or(f64::NAN))
}

/// SQLite's integers are signed: the bits of a seed are kept, not its sign.
fn seed_to_sql(seed: u64) -> i64 {
    seed as i64
}

/// The inverse of [`seed_to_sql`].
fn seed_from_sql(bits: i64) -> u64 {
    bits as u64
}

/// All rows of a query, by their column names.
fn rows<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    from_row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params, from_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The first row of a query, if there is one.
fn first<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    from_row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    use rusqlite::OptionalExtension;
    Ok(conn.prepare_cached(sql)?.query_row(params, from_row).optional()?)
}

/// Runs a statement and returns the number of rows it changed.
fn execute(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<usize> {
    Ok(conn.prepare_cached(sql)?.execute(params)?)
}
