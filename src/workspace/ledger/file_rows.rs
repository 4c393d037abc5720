//! The rows that stand for files, as a repair sees them.

use std::fmt;

use rusqlite::Connection;

use super::{ImageId, Ledger, execute};
use crate::Result;
use crate::workspace::files::RelPath;

/// What a file of the workspace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileOwner {
    /// An LR or HR image.
    Image,
    /// Weights.
    Checkpoint,
    /// What resuming needs besides the weights.
    TrainingState,
    /// An SR output.
    Candidate,
}

impl fmt::Display for FileOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileOwner::Image => "image",
            FileOwner::Checkpoint => "checkpoint",
            FileOwner::TrainingState => "training state",
            FileOwner::Candidate => "candidate",
        })
    }
}

/// A row with the files it stands for.
#[derive(Debug)]
pub(in crate::workspace) struct FileRow {
    pub owner: FileOwner,
    pub id: i64,
    pub paths: Vec<RelPath>,
    /// As marked by an earlier check.
    pub was_missing: bool,
}

/// What a check found out about a row.
#[derive(Debug)]
pub(in crate::workspace) struct FileCheck {
    pub owner: FileOwner,
    pub id: i64,
    pub is_missing: bool,
}

impl FileOwner {
    const ALL: [FileOwner; 4] =
        [FileOwner::Image, FileOwner::Checkpoint, FileOwner::TrainingState, FileOwner::Candidate];

    /// Table, column of the mark, and SQL for the first and the second path, which may be NULL.
    fn columns(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            FileOwner::Image => ("images", "file_missing", "lr_path", "hr_path"),
            FileOwner::Checkpoint => ("checkpoints", "file_missing", "path", "NULL"),
            FileOwner::TrainingState => ("checkpoints", "state_missing", "state_path", "NULL"),
            FileOwner::Candidate => ("candidates", "file_missing", "path", "NULL"),
        }
    }
}

impl Ledger {
    /// Every row that stands for files.
    pub(in crate::workspace) fn files(&self) -> Result<Vec<FileRow>> {
        self.read(|conn| {
            let mut all = Vec::new();
            for owner in FileOwner::ALL {
                read_rows(conn, owner, &mut all)?;
            }
            Ok(all)
        })
    }

    /// Marks rows as missing or present, all or none.
    pub(in crate::workspace) fn mark_files(&self, checks: &[FileCheck]) -> Result<()> {
        if checks.is_empty() {
            return Ok(());
        }
        self.write(|conn| {
            for check in checks {
                let (table, mark, _, _) = check.owner.columns();
                let sql = format!("UPDATE {table} SET {mark} = ?2 WHERE id = ?1");
                execute(conn, &sql, (check.id, check.is_missing))?;
            }
            Ok(())
        })
    }

    /// Notes that the files of an image are there again.
    pub(in crate::workspace) fn mark_image_present(&self, id: ImageId) -> Result<()> {
        self.mark_files(&[FileCheck { owner: FileOwner::Image, id: id.0, is_missing: false }])
    }
}

fn read_rows(conn: &Connection, owner: FileOwner, all: &mut Vec<FileRow>) -> Result<()> {
    let (table, mark, path, second) = owner.columns();
    let sql = format!("SELECT id, {mark}, {path}, {second} FROM {table} WHERE {path} IS NOT NULL");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let second: Option<RelPath> = row.get(3)?;
        all.push(FileRow {
            owner,
            id: row.get(0)?,
            was_missing: row.get(1)?,
            paths: [row.get(2)?].into_iter().chain(second).collect(),
        });
    }
    Ok(())
}
