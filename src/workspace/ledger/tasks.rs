//! Tasks: work of many rows, each whole by itself, that must not be taken for whole before its last.

use super::{Ledger, execute, first};
use crate::Result;

impl Ledger {
    /// Notes that a task is begun; `about` is JSON with what going on with it takes. One that was begun before begins anew.
    pub fn begin_task(&self, name: &str, about: &str) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO tasks (name, about, complete) VALUES (?1, ?2, 0)";
        self.write(|conn| execute(conn, sql, (name, about)).map(drop))
    }

    /// Forgets what an earlier attempt began.
    pub(in crate::workspace) fn forget_tasks(&self) -> Result<()> {
        self.write(|conn| execute(conn, "DELETE FROM tasks", []).map(drop))
    }

    /// Notes that a task is complete.
    pub fn complete_task(&self, name: &str) -> Result<()> {
        let sql = "UPDATE tasks SET complete = 1 WHERE name = ?1";
        self.write(|conn| execute(conn, sql, [name]).map(drop))
    }

    /// What is known of a task that was begun and is not complete.
    pub fn incomplete_task(&self, name: &str) -> Result<Option<String>> {
        let sql = "SELECT about FROM tasks WHERE name = ?1 AND complete = 0";
        self.read(|conn| first(conn, sql, [name], |row| row.get(0)))
    }
}
