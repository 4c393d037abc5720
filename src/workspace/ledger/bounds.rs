//! Reward bounds: the range each metric is normalized by, fitted once and then frozen, so that every later checkpoint is
//! judged on one scale.

use rusqlite::Row;

use super::{CandidateSet, Ledger, execute, now_secs, rows};
use crate::iqa::MetricKey;
use crate::{Error, Result};

/// The frozen bounds of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// The metric whose raw values they bound.
    pub metric: MetricKey,
    /// Becomes 0 (or 1 where lower is better); in the metric's own unit.
    pub min: f64,
    /// Becomes 1 (or 0 where lower is better).
    pub max: f64,
    /// The quantiles ([`QUANTILES`](crate::method::bounds::QUANTILES)) that the robust scale takes instead; `None` where an
    /// earlier version froze the bounds.
    pub quantiles: Option<[f64; 2]>,
    /// The candidates they were fitted on.
    pub fitted_on: CandidateSet,
}

impl Bounds {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            metric: MetricKey::from_row(row)?,
            min: row.get("min")?,
            max: row.get("max")?,
            quantiles: row.get::<_, Option<f64>>("low")?.zip(row.get("high")?).map(|(low, high)| [low, high]),
            fitted_on: CandidateSet { checkpoint: row.get("checkpoint_id")?, sampler: row.get("sampler")? },
        })
    }
}

impl Ledger {
    /// All frozen bounds, by metric.
    pub fn bounds(&self) -> Result<Vec<Bounds>> {
        let sql = "SELECT * FROM reward_bounds JOIN scorers ON scorers.id = scorer_id ORDER BY metric, scorer_id";
        self.read(|conn| rows(conn, sql, [], Bounds::from_row))
    }

    /// Freezes bounds, all or none. Fails where a metric has bounds already: see [`Ledger::clear_bounds`].
    pub fn freeze_bounds(&self, bounds: &[Bounds]) -> Result<()> {
        self.write(|conn| {
            let sql =
                "INSERT INTO reward_bounds (scorer_id, min, max, low, high, checkpoint_id, sampler, fitted_at_secs)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (scorer_id) DO NOTHING";
            for b in bounds {
                if !(b.min.is_finite() && b.max.is_finite() && b.min <= b.max) {
                    return Err(Error::invalid(format!(
                        "{} to {} are no bounds for {}",
                        b.min, b.max, b.metric.metric
                    )));
                }
                let id = b.metric.ensure(conn)?;
                let on = &b.fitted_on;
                let [low, high] = [0, 1].map(|end| b.quantiles.map(|quantiles| quantiles[end]));
                let values = (id, b.min, b.max, low, high, on.checkpoint, &on.sampler, now_secs());
                if execute(conn, sql, values)? == 0 {
                    return Err(Error::invalid(format!(
                        "the reward bounds of {} are frozen already; clear them to fit new ones",
                        b.metric.metric
                    )));
                }
            }
            Ok(())
        })
    }

    /// Adds quantiles where bounds were frozen without.
    pub fn complete_bounds(&self, bounds: &[Bounds]) -> Result<()> {
        self.write(|conn| {
            let sql = "UPDATE reward_bounds SET low = ?2, high = ?3 WHERE scorer_id = ?1 AND low IS NULL";
            for b in bounds {
                if let (Some([low, high]), Some(id)) = (b.quantiles, b.metric.find(conn)?) {
                    execute(conn, sql, (id, low, high))?;
                }
            }
            Ok(())
        })
    }

    /// Forgets all bounds, so that they can be fitted again. Rewards from before and after do not compare.
    pub fn clear_bounds(&self) -> Result<()> {
        self.write(|conn| execute(conn, "DELETE FROM reward_bounds", []).map(drop))
    }
}
