//! The rows of what produced a score, which a [`MetricKey`] names, and of the devices it was computed on.
//!
//! The device is kept with each score but is no part of the key: devices differ by rounding only.

use rusqlite::{Connection, Row};

use super::first;
use crate::Result;
use crate::iqa::MetricKey;

impl MetricKey {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            metric: row.get("metric")?,
            weights_hash: row.get("weights_hash")?,
            crop_policy: row.get("crop_policy")?,
            version: row.get("version")?,
        })
    }

    fn values(&self) -> (&str, &str, &str, &str) {
        (&self.metric, &self.weights_hash, &self.crop_policy, &self.version)
    }

    /// Number of this key's row, if the metric ever scored anything.
    pub(super) fn find(&self, conn: &Connection) -> Result<Option<i64>> {
        let sql = "SELECT id FROM scorers
            WHERE metric = ?1 AND weights_hash = ?2 AND crop_policy = ?3 AND version = ?4";
        first(conn, sql, self.values(), |row| row.get(0))
    }

    /// Number of this key's row, made now if it is new.
    pub(super) fn ensure(&self, conn: &Connection) -> Result<i64> {
        if let Some(id) = self.find(conn)? {
            return Ok(id);
        }
        let sql = "INSERT INTO scorers (metric, weights_hash, crop_policy, version)
            VALUES (?1, ?2, ?3, ?4) RETURNING id";
        Ok(conn.prepare_cached(sql)?.query_row(self.values(), |row| row.get(0))?)
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
