//! Runs: one training each, never overwritten.

use rusqlite::{Row, named_params};

use super::ids::text_enum;
use super::{Ledger, RunId, execute, first, now_secs, rows, seed_from_sql, seed_to_sql};
use crate::workspace::files::{self, DirName};
use crate::{Error, Result};

text_enum! {
    /// How a run stands.
    RunState {
        /// Steps are being made; found so when a workspace is opened, it was cut off and becomes paused.
        Running => "running",
        /// Stopped half-way; resumes from its last training state.
        Paused => "paused",
        /// All steps made.
        Done => "done",
        /// Stopped by an error or by NaN; the message says which.
        Failed => "failed",
        /// Stopped because the validation reward fell below its start.
        Collapsed => "collapsed",
        /// Stopped by the user for good.
        Cancelled => "cancelled",
    }
}

impl RunState {
    /// Whether the run is over.
    pub fn is_final(self) -> bool {
        !matches!(self, RunState::Running | RunState::Paused)
    }
}

/// A run about to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// Unique name, letters of either case being the same; see [`files::check_run_name`].
    pub name: String,
    /// The recipe it is started with, as RON.
    pub recipe: String,
    /// The seed everything random in it follows from.
    pub seed: u64,
    /// The run of the round before.
    pub parent: Option<RunId>,
    /// 0 for the first round.
    pub round: u32,
}

/// A run of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Its number.
    pub id: RunId,
    /// See [`NewRun::name`].
    pub name: String,
    /// Its directory under `runs/`.
    pub dir: String,
    /// See [`NewRun::recipe`].
    pub recipe: String,
    /// See [`NewRun::seed`].
    pub seed: u64,
    /// How it stands.
    pub state: RunState,
    /// Why it failed or collapsed.
    pub message: Option<String>,
    /// See [`NewRun::parent`].
    pub parent: Option<RunId>,
    /// See [`NewRun::round`].
    pub round: u32,
    /// Seconds since 1970 UTC.
    pub started_at_secs: i64,
    /// Seconds since 1970 UTC, once it is over.
    pub ended_at_secs: Option<i64>,
    /// SHA-256 of its pairs' file; `None` for a run of an earlier version.
    pub pairs_hash: Option<String>,
}

/// How the recipe of a run begins that was made of groups which lack seeds; the rest of the line says which.
pub const PARTIAL: &str = "// --allow-partial: ";

impl RunRow {
    /// Which groups lacked how many seeds when the run began, where that was allowed.
    pub fn partial(&self) -> Option<&str> {
        self.recipe.strip_prefix(PARTIAL)?.lines().next()
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            dir: row.get::<_, DirName>("dir")?.0,
            recipe: row.get("recipe")?,
            seed: seed_from_sql(row.get("seed")?),
            state: row.get("state")?,
            message: row.get("message")?,
            parent: row.get("parent_id")?,
            round: row.get("round")?,
            started_at_secs: row.get("started_at_secs")?,
            ended_at_secs: row.get("ended_at_secs")?,
            pairs_hash: row.get("pairs_hash")?,
        })
    }
}

impl Ledger {
    /// A directory for a run about to begin: none of the ledger's, nor one that `is_used`. Fails when the name is not
    /// allowed or a run has it: runs are never overwritten.
    pub(in crate::workspace) fn free_run_dir(&self, name: &str, is_used: impl Fn(&str) -> bool) -> Result<String> {
        files::check_run_name(name)?;
        self.read(|conn| {
            if conn.prepare_cached("SELECT 1 FROM runs WHERE name = ?1")?.exists([name])? {
                return Err(Error::invalid(format!("there is a run “{name}” already; runs are never overwritten")));
            }
            let imported =
                "SELECT 1 FROM checkpoints WHERE run_id IS NULL AND (name = ?1 OR name LIKE ?1 || '-______')";
            if conn.prepare_cached(imported)?.exists([name])? {
                return Err(Error::invalid(format!("“{name}” is the name of imported candidates; choose another")));
            }
            let dirs: Vec<String> = rows(conn, "SELECT lower(dir) FROM runs", [], |r| r.get(0))?;
            Ok(files::safe_dir_name(name, "", |dir| dirs.contains(&dir.to_ascii_lowercase()) || is_used(dir)))
        })
    }

    /// Records a run in the state `running` whose pairs are in place.
    pub(in crate::workspace) fn insert_run(&self, new: &NewRun, dir: &str, pairs_hash: &str) -> Result<RunId> {
        let sql = "INSERT INTO runs (name, dir, recipe, seed, state, parent_id, round, started_at_secs, pairs_hash)
            VALUES (:name, :dir, :recipe, :seed, :state, :parent, :round, :now, :pairs_hash) RETURNING id";
        self.write(|conn| {
            Ok(conn.prepare_cached(sql)?.query_row(
                named_params! {
                    ":name": new.name,
                    ":dir": dir,
                    ":recipe": new.recipe,
                    ":seed": seed_to_sql(new.seed),
                    ":state": RunState::Running,
                    ":parent": new.parent,
                    ":round": new.round,
                    ":now": now_secs(),
                    ":pairs_hash": pairs_hash,
                },
                |row| row.get(0),
            )?)
        })
    }

    /// The first of `PREFIX-1`, `PREFIX-2` … that no run is called.
    pub fn free_run_name(&self, prefix: &str) -> Result<String> {
        let names: Vec<String> = self.read(|conn| rows(conn, "SELECT lower(name) FROM runs", [], |r| r.get(0)))?;
        let mut number = 1u64;
        loop {
            let name = format!("{prefix}-{number}");
            if !names.contains(&name.to_ascii_lowercase()) {
                return Ok(name);
            }
            number += 1;
        }
    }

    /// All runs in the order they began.
    pub fn runs(&self) -> Result<Vec<RunRow>> {
        self.read(|conn| rows(conn, "SELECT * FROM runs ORDER BY id", [], RunRow::from_row))
    }

    /// One run.
    pub fn run(&self, id: RunId) -> Result<RunRow> {
        let sql = "SELECT * FROM runs WHERE id = ?1";
        self.read(|conn| first(conn, sql, [id], RunRow::from_row))?
            .ok_or_else(|| Error::invalid(format!("there is no run {}", id.0)))
    }

    /// The run of this name.
    pub fn run_by_name(&self, name: &str) -> Result<Option<RunRow>> {
        let sql = "SELECT * FROM runs WHERE name = ?1";
        self.read(|conn| first(conn, sql, [name], RunRow::from_row))
    }

    /// Changes how a run stands; a final state notes the time, any other takes it away.
    pub fn set_run_state(&self, id: RunId, state: RunState, message: Option<&str>) -> Result<()> {
        let ended = state.is_final().then(now_secs);
        let sql = "UPDATE runs SET state = ?2, message = ?3, ended_at_secs = ?4 WHERE id = ?1";
        self.write(|conn| execute(conn, sql, (id, state, message, ended)).map(drop))
    }

    /// Runs a killed process left in the state `running` become paused; returns their names.
    pub(in crate::workspace) fn pause_interrupted_runs(&self) -> Result<Vec<String>> {
        let sql = "UPDATE runs SET state = 'paused' WHERE state = 'running' RETURNING name";
        self.write(|conn| rows(conn, sql, [], |row| row.get(0)))
    }
}
