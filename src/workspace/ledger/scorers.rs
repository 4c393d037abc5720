//! Scorers: what produced a score, exactly enough to know whether it would come out the same today.

use rusqlite::{Connection, Row};

use super::{Ledger, first, rows};
use crate::Result;

/// A metric as it was computed. Two scores are comparable when their scorers are equal.
///
/// The device is kept with each score but is no part of this: devices differ by rounding only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scorer {
    /// Name of the metric, as in pyiqa.
    pub metric: String,
    /// SHA-256 of its weights; empty if it has none.
    pub weights_hash: String,
    /// Which pixels it saw, such as `none` or `border 4`.
    pub crop_policy: String,
    /// Version of the metric's code; changes when its results do.
    pub version: String,
}

impl Scorer {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            metric: row.get("metric")?,
            weights_hash: row.get("weights_hash")?,
            crop_policy: row.get("crop_policy")?,
            version: row.get("version")?,
        })
    }

    fn key(&self) -> (&str, &str, &str, &str) {
        (&self.metric, &self.weights_hash, &self.crop_policy, &self.version)
    }

    /// Number of this scorer's row, if it ever scored anything.
    pub(super) fn find(&self, conn: &Connection) -> Result<Option<i64>> {
        let sql = "SELECT id FROM scorers
            WHERE metric = ?1 AND weights_hash = ?2 AND crop_policy = ?3 AND version = ?4";
        first(conn, sql, self.key(), |row| row.get(0))
    }

    /// Number of this scorer's row, made now if it is new.
    pub(super) fn ensure(&self, conn: &Connection) -> Result<i64> {
        if let Some(id) = self.find(conn)? {
            return Ok(id);
        }
        let sql = "INSERT INTO scorers (metric, weights_hash, crop_policy, version)
            VALUES (?1, ?2, ?3, ?4) RETURNING id";
        Ok(conn.prepare_cached(sql)?.query_row(self.key(), |row| row.get(0))?)
    }
}

/// Number of a device's row, made now if it is new.
pub(super) fn ensure_device(conn: &Connection, name: &str) -> Result<i64> {
    if let Some(id) = first(conn, "SELECT id FROM devices WHERE name = ?1", [name], |r| r.get(0))? {
        return Ok(id);
    }
    let sql = "INSERT INTO devices (name) VALUES (?1) RETURNING id";
    Ok(conn.prepare_cached(sql)?.query_row([name], |row| row.get(0))?)
}

impl Ledger {
    /// Every scorer that ever scored, by metric, the latest last.
    pub fn scorers(&self) -> Result<Vec<Scorer>> {
        let sql = "SELECT * FROM scorers ORDER BY metric, id";
        self.read(|conn| rows(conn, sql, [], Scorer::from_row))
    }
}
