//! Minimum and maximum of each metric, the two numbers behind s̄.
//!
//! The paper plots one reward scale across checkpoints, so the bounds are fitted once, on the reference model's
//! candidates of the whole training set, kept in the workspace and used for every later checkpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::scores::ScoreTable;
use crate::iqa::Direction;

/// Smallest and largest raw score of a metric, before direction alignment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinMax {
    pub min: f64,
    pub max: f64,
}

impl MinMax {
    /// Bounds of the values present (NaN is absent), `None` if there is none.
    pub fn of(values: &[f64]) -> Option<Self> {
        // `f64::min` and `max` return the other operand for NaN, which skips absent values.
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (min <= max).then_some(Self { min, max })
    }

    /// The normalization s̄ of a raw score with these bounds.
    pub fn affine(&self, direction: Direction) -> Affine {
        let scale = 1.0 / (self.max - self.min);
        if !(scale.is_finite() && scale > 0.0) {
            return Affine { origin: 0.0, scale: 0.0, offset: 0.5 };
        }
        match direction {
            Direction::Higher => Affine { origin: self.min, scale, offset: 0.0 },
            Direction::Lower => Affine { origin: self.max, scale: -scale, offset: 0.0 },
        }
    }

    /// s̄ = (s − s_min) / (s_max − s_min), mirrored for metrics where lower is better, so that 1 is best.
    ///
    /// Bounds without extent (all candidates scored alike) say nothing about quality: s̄ is then 0.5 for all.
    /// Values outside the bounds are *not* clamped; see [`super::reward`].
    pub fn normalize(&self, score: f64, direction: Direction) -> f64 {
        self.affine(direction).of(score)
    }
}

/// s̄ as `offset + scale · (s − origin)`, with the division done once. NaN (absent) stays NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    pub origin: f64,
    pub scale: f64,
    pub offset: f64,
}

impl Affine {
    /// s̄ of a raw score.
    #[inline]
    pub fn of(&self, score: f64) -> f64 {
        self.offset + self.scale * (score - self.origin)
    }
}

/// Frozen bounds by metric name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bounds(pub BTreeMap<String, MinMax>);

impl Bounds {
    /// Bounds over every score of the table, which should hold the reference's candidates of the training
    /// images and nothing held out. A metric without any score gets no bounds.
    pub fn fit(table: &ScoreTable) -> Self {
        let columns = table.columns().iter().enumerate();
        let bounds = columns.filter_map(|(column, metric)| {
            let rows = (0..table.groups()).filter_map(|group| MinMax::of(table.row(group, column)));
            let joined = rows.reduce(|a, b| MinMax { min: a.min.min(b.min), max: a.max.max(b.max) })?;
            Some((metric.name.to_string(), joined))
        });
        Self(bounds.collect())
    }

    /// Bounds of a metric.
    pub fn get(&self, metric: &str) -> Option<MinMax> {
        self.0.get(metric).copied()
    }
}
