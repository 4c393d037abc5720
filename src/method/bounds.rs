//! Minimum and maximum of each metric, the two numbers behind s̄.
//!
//! The paper plots one reward scale across checkpoints, so the bounds are fitted once, on the reference model's
//! candidates of the whole training set, kept in the workspace and used for every later checkpoint. A recipe may ask for
//! other bounds instead: quantiles fitted and kept in the same way, or numbers typed by hand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::hpo;
use super::scores::ScoreTable;
use crate::iqa::Direction;
use crate::{Error, Result};

/// The quantiles that [`Scope::Robust`](super::recipe::Scope) takes as bounds: beyond them lie the candidates that failed,
/// such as a black picture, of which one alone can squeeze the others' scale to nothing.
pub const QUANTILES: [f64; 2] = [0.02, 0.98];

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
            Direction::Higher | Direction::Neither => Affine { origin: self.min, scale, offset: 0.0 },
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
    /// To mean 0 and standard deviation 1 of the values present, higher being better; 0 for values that are all alike.
    /// `None` where there is none.
    pub fn standard(values: &[f64], direction: Direction) -> Option<Self> {
        let present = || values.iter().filter(|value| !value.is_nan());
        let count = present().count();
        let origin = present().sum::<f64>() / count.max(1) as f64;
        let scale = 1.0 / hpo::sigma(values);
        let scale = if scale.is_finite() { direction.align(scale) } else { 0.0 };
        (count > 0).then_some(Self { origin, scale, offset: 0.0 })
    }

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

    /// [`Bounds::fit`] by [`QUANTILES`] instead of the extremes.
    pub fn fit_quantiles(table: &ScoreTable) -> Self {
        let columns = table.columns().iter().enumerate();
        let bounds = columns.filter_map(|(column, metric)| {
            let rows = (0..table.groups()).flat_map(|group| table.row(group, column));
            let mut scores: Vec<f64> = rows.copied().filter(|score| !score.is_nan()).collect();
            scores.sort_unstable_by(f64::total_cmp);
            let [min, max] = QUANTILES.map(|at| quantile(&scores, at));
            Some((metric.name.to_string(), MinMax { min: min?, max: max? }))
        });
        Self(bounds.collect())
    }

    /// Bounds as a person types them: `stlpips:0.1..0.6, niqe:2..12`. Errors name the part that does not read as bounds.
    pub fn typed(text: &str) -> Result<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let bounds = parts.map(|part| {
            let read = || {
                let (name, range) = part.split_once(':')?;
                let (min, max) = range.split_once("..")?;
                let [min, max] = [min, max].map(|bound| bound.trim().parse::<f64>().ok().filter(|b| b.is_finite()));
                let (min, max) = (min?, max?);
                (min < max).then(|| (name.trim().to_owned(), MinMax { min, max }))
            };
            read().ok_or_else(|| {
                let part = part.escape_debug();
                Error::invalid(format!("`{part}` are no bounds; such as stlpips:0.1..0.6, the smaller first"))
            })
        });
        bounds.collect::<Result<_>>().map(Self)
    }

    /// Bounds of a metric.
    pub fn get(&self, metric: &str) -> Option<MinMax> {
        self.0.get(metric).copied()
    }
}

/// A quantile of ascending values, linear between two of them; `None` where there is none.
fn quantile(ascending: &[f64], at: f64) -> Option<f64> {
    let place = at * ascending.len().checked_sub(1)? as f64;
    let (below, above) = (ascending.get(place.floor() as usize)?, ascending.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}
