//! The raw scores of all candidates as one flat table, laid out for re-ranking while a slider moves.
//!
//! Order in memory is `[group][metric][seed]`: the reward is a sum over metrics of whole rows of M seeds, which
//! vectorises, and one group is one contiguous block, which threads share out.

use crate::iqa::Info;
use crate::{Error, Result};

/// Raw scores, group × metric × seed; absent until set.
#[derive(Clone, Debug)]
pub struct ScoreTable {
    has_hr: Vec<bool>,
    seeds: usize,
    columns: Vec<Info>,
    values: Vec<f64>,
}

impl ScoreTable {
    /// An empty table with one group for each element of `has_hr`, which says whether that LR image has an HR
    /// image. Errors: more than 65,536 seeds, a metric listed twice.
    pub fn new(has_hr: Vec<bool>, seeds: usize, columns: Vec<Info>) -> Result<Self> {
        if seeds > usize::from(u16::MAX) + 1 {
            return Err(Error::invalid(format!("{seeds} seeds are more than 65536")));
        }
        for (i, column) in columns.iter().enumerate() {
            if columns[..i].iter().any(|other| other.name == column.name) {
                let name = &column.name;
                return Err(Error::invalid(format!("metric `{name}` is listed twice")));
            }
        }
        let values = vec![f64::NAN; has_hr.len() * seeds * columns.len()];
        Ok(Self { has_hr, seeds, columns, values })
    }

    /// Number of groups (LR images).
    pub fn groups(&self) -> usize {
        self.has_hr.len()
    }

    /// Seeds a group, M.
    pub fn seeds(&self) -> usize {
        self.seeds
    }

    /// The metrics, in column order.
    pub fn columns(&self) -> &[Info] {
        &self.columns
    }

    /// Column of a metric.
    pub fn column_of(&self, metric: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == metric)
    }

    /// Whether any group has a ground truth.
    pub fn has_any_hr(&self) -> bool {
        self.has_hr.contains(&true)
    }

    /// Whether the group's LR image has an HR image, so that FR metrics exist for it.
    pub fn has_hr(&self, group: usize) -> bool {
        self.has_hr.get(group).copied().unwrap_or(false)
    }

    /// Stores a score. Errors: NaN or infinity (which would spread through bounds and rewards), no such place,
    /// an FR score of a group without HR.
    pub fn set(&mut self, group: usize, seed: usize, column: usize, score: f64) -> Result<()> {
        let index = self.index(group, seed, column).ok_or_else(|| {
            Error::invalid(format!(
                "no place for a score at group {group}, seed {seed}, metric {column} in a table of {} × {} × {}",
                self.groups(),
                self.seeds,
                self.columns.len()
            ))
        })?;
        let metric = &self.columns[column];
        if !score.is_finite() {
            return Err(Error::invalid(format!(
                "metric `{}` gave {score} for seed {seed} of image {group}; a score must be finite",
                metric.name
            )));
        }
        if metric.is_fr() && !self.has_hr[group] {
            return Err(Error::invalid(format!("metric `{}` is full-reference, image {group} has no HR", metric.name)));
        }
        self.values[index] = score;
        Ok(())
    }

    /// The score, `None` where absent.
    pub fn get(&self, group: usize, seed: usize, column: usize) -> Option<f64> {
        let score = self.values[self.index(group, seed, column)?];
        (!score.is_nan()).then_some(score)
    }

    /// The M scores of a metric in a group, NaN where absent. Empty where there is no such group or metric.
    pub fn row(&self, group: usize, column: usize) -> &[f64] {
        if group >= self.groups() || column >= self.columns.len() {
            return &[];
        }
        let start = (group * self.columns.len() + column) * self.seeds;
        &self.values[start..start + self.seeds]
    }

    fn index(&self, group: usize, seed: usize, column: usize) -> Option<usize> {
        let inside = group < self.groups() && seed < self.seeds && column < self.columns.len();
        inside.then(|| (group * self.columns.len() + column) * self.seeds + seed)
    }
}
