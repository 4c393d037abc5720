//! The hybrid perceptual reward R of every candidate (method §2).
//!
//! R = b · (weighted mean of s̄ over FR) + (1 − b) · (weighted mean of s̄ over NR), b = `fr_balance`. Where one half
//! has no metric with a weight, the other is the whole reward. A group without HR has only its NR half, which then
//! counts fully; with b = 1 there is nothing to reward it by and its candidates get none.
//!
//! A candidate that lacks a score which counts has no reward: a partial mean would be on another scale than its
//! neighbours'. It gets one as soon as its last score arrives.
//!
//! R is in [0, 1] for the candidates the bounds were fitted on. With frozen bounds a later checkpoint may leave
//! that interval, and is not clamped: clamping would make every candidate beyond the best reference candidate
//! equal, so that progress stops showing and pairs at the edge lose their gap just where training succeeds. Decoupled
//! rewards have mean 0 in each group and no interval.

use rayon::prelude::*;

use super::bounds::{Affine, Bounds, MinMax};
use super::recipe::{Reward, Scope};
use super::scores::ScoreTable;
use crate::iqa::{Direction, Kind};
use crate::{Error, Result};

/// A metric that counts, with its share of the half it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub column: usize,
    direction: Direction,
    /// Relative weights of a half sum to 1.
    pub share: f64,
    normalization: Normalization,
}

/// How a metric's scores become s̄.
#[derive(Clone, Copy, Debug)]
enum Normalization {
    /// In one way in all groups.
    Everywhere(Affine),
    /// By minimum and maximum of the group.
    OfGroup,
    /// By mean and standard deviation of the group: each metric has the same spread in every group before weights count
    /// ("decoupled": LucidNFT, arXiv 2603.05947).
    Decoupled,
}

impl Term {
    /// How a group's scores become s̄; `None` where it has none.
    fn affine(&self, row: &[f64]) -> Option<Affine> {
        match self.normalization {
            Normalization::Everywhere(affine) => Some(affine),
            Normalization::OfGroup => Some(MinMax::of(row)?.affine(self.direction)),
            Normalization::Decoupled => Affine::standard(row, self.direction),
        }
    }
}

/// A reward recipe resolved against the columns of a table.
#[derive(Clone, Debug)]
pub struct RewardPlan {
    fr: Vec<Term>,
    nr: Vec<Term>,
    fr_balance: f64,
}

impl RewardPlan {
    /// Resolves the metrics of the recipe. `bounds` are those that are frozen, needed where
    /// [`Scope::needs_frozen`]: the extremes, or for [`Scope::Robust`] the quantiles.
    ///
    /// A table without any HR has no FR half; its metrics need no bounds then.
    ///
    /// Errors: a metric with a weight has no column, is in the wrong half, or has no frozen bounds.
    pub fn new(table: &ScoreTable, recipe: &Reward, bounds: &Bounds) -> Result<Self> {
        let typed = if recipe.scope == Scope::Fixed { Bounds::typed(&recipe.bounds)? } else { Bounds::default() };
        let half = |weights: &std::collections::BTreeMap<String, f64>, kind: Kind| {
            let total: f64 = weights.values().sum();
            let mut terms = Vec::with_capacity(weights.len());
            for (name, &weight) in weights.iter().filter(|(_, weight)| **weight != 0.0) {
                let share = weight / total;
                if !(share.is_finite() && share >= 0.0) {
                    return Err(Error::invalid(format!("metric `{name}`: {weight} is not a weight")));
                }
                let column = table
                    .column_of(name)
                    .ok_or_else(|| Error::invalid(format!("metric `{name}` counts but was never scored")))?;
                let metric = &table.columns()[column];
                if metric.kind != kind {
                    let kind = kind.adjective();
                    return Err(Error::invalid(format!("metric `{name}` is not a {kind} metric")));
                }
                let everywhere = |bounds: MinMax| Normalization::Everywhere(bounds.affine(metric.direction));
                let normalization = match recipe.scope {
                    Scope::PerGroup => Normalization::OfGroup,
                    Scope::Decoupled => Normalization::Decoupled,
                    Scope::Frozen | Scope::Robust => everywhere(bounds.get(name).ok_or_else(|| {
                        Error::invalid(format!(
                            "metric `{name}` has no frozen bounds; score the reference's candidates first"
                        ))
                    })?),
                    Scope::Fixed => everywhere(typed.get(name).ok_or_else(|| {
                        Error::invalid(format!("reward.bounds: there are none for `{name}`; add {name}:LOW..HIGH"))
                    })?),
                };
                terms.push(Term { column, direction: metric.direction, share, normalization });
            }
            Ok(terms)
        };
        if !(0.0..=1.0).contains(&recipe.fr_balance) {
            let balance = recipe.fr_balance;
            return Err(Error::invalid(format!("reward.fr_balance: {balance} is not between 0 and 1")));
        }
        let fr = if table.has_any_hr() { half(&recipe.fr, Kind::FullReference)? } else { Vec::new() };
        Ok(Self { fr, nr: half(&recipe.nr, Kind::NoReference)?, fr_balance: recipe.fr_balance })
    }

    /// Shares of the FR and the NR half in the reward of a group; both 0 where it has no reward.
    pub fn shares(&self, has_hr: bool) -> (f64, f64) {
        let fr = if has_hr && !self.fr.is_empty() { self.fr_balance } else { 0.0 };
        let nr = if self.nr.is_empty() { 0.0 } else { 1.0 - self.fr_balance };
        let total = fr + nr;
        if total > 0.0 { (fr / total, nr / total) } else { (0.0, 0.0) }
    }

    /// The metrics that count in a group with or without HR, each with its coefficient in R.
    pub(super) fn terms(&self, has_hr: bool) -> impl Iterator<Item = (Term, f64)> {
        let (of_fr, of_nr) = self.shares(has_hr);
        let half = |terms: &[Term], of: f64| terms.iter().map(move |term| (*term, of * term.share)).collect::<Vec<_>>();
        let fr = if has_hr { half(&self.fr, of_fr) } else { Vec::new() };
        fr.into_iter().chain(half(&self.nr, of_nr))
    }

    /// What each metric adds to the reward of a candidate: column and part. The parts sum to R; none where it has no reward.
    pub fn parts(&self, table: &ScoreTable, group: usize, seed: usize) -> Vec<(usize, f64)> {
        let counting = self.terms(table.has_hr(group)).filter(|(_, coefficient)| *coefficient > 0.0);
        let part = |(term, coefficient): (Term, f64)| {
            let row = table.row(group, term.column);
            let score = row.get(seed).copied().filter(|score| !score.is_nan())?;
            Some((term.column, coefficient * term.affine(row)?.of(score)))
        };
        counting.map(part).collect::<Option<_>>().unwrap_or_default()
    }

    /// s̄ of every candidate of a group for one of these metrics, NaN where absent.
    pub(super) fn normalized(&self, table: &ScoreTable, group: usize, term: &Term) -> Vec<f64> {
        let row = table.row(group, term.column);
        match term.affine(row) {
            Some(affine) => row.iter().map(|&score| affine.of(score)).collect(),
            None => vec![f64::NAN; row.len()],
        }
    }
}

/// s̄ of every candidate of a group for any metric of the table, counted or held out; NaN where absent. `bounds`
/// are the frozen ones, `None` takes the group's own.
pub fn normalized_row(table: &ScoreTable, group: usize, column: usize, bounds: Option<MinMax>) -> Vec<f64> {
    let row = table.row(group, column);
    let bounds = bounds.or_else(|| MinMax::of(row));
    match (bounds, table.columns().get(column)) {
        (Some(bounds), Some(metric)) => {
            let affine = bounds.affine(metric.direction);
            row.iter().map(|&score| affine.of(score)).collect()
        }
        _ => vec![f64::NAN; row.len()],
    }
}

/// Rewards of all candidates, group × seed. Keep one and [`Rewards::compute`] into it again: buffers are reused.
#[derive(Clone, Debug, Default)]
pub struct Rewards {
    seeds: usize,
    fr: Vec<f64>,
    nr: Vec<f64>,
    total: Vec<f64>,
}

impl Rewards {
    /// Rewards from values at hand, `seeds` for each group one after the other, NaN where absent.
    /// Errors: infinite values, a length that is no multiple of `seeds`.
    pub fn from_values(seeds: usize, total: Vec<f64>) -> Result<Self> {
        if seeds == 0 || !total.len().is_multiple_of(seeds) || total.iter().any(|r| r.is_infinite()) {
            return Err(Error::invalid(format!("{} rewards are not groups of {seeds} finite values", total.len())));
        }
        Ok(Self { seeds, fr: vec![f64::NAN; total.len()], nr: vec![f64::NAN; total.len()], total })
    }

    /// Computes the rewards of every group, in parallel.
    pub fn compute(&mut self, table: &ScoreTable, plan: &RewardPlan) {
        self.seeds = table.seeds();
        let length = table.groups() * self.seeds;
        for half in [&mut self.fr, &mut self.nr, &mut self.total] {
            half.resize(length, f64::NAN);
        }
        let seeds = self.seeds.max(1);
        let halves = self.fr.par_chunks_mut(seeds).zip(self.nr.par_chunks_mut(seeds));
        halves.zip(self.total.par_chunks_mut(seeds)).enumerate().with_min_len(32).for_each(
            |(group, ((fr, nr), total))| {
                let has_hr = table.has_hr(group);
                half_of_group(table, group, if has_hr { &plan.fr } else { &[] }, fr);
                half_of_group(table, group, &plan.nr, nr);
                match plan.shares(has_hr) {
                    (0.0, 0.0) => total.fill(f64::NAN),
                    // A half without a share may be absent: it must not turn the reward into NaN.
                    (0.0, _) => total.copy_from_slice(nr),
                    (_, 0.0) => total.copy_from_slice(fr),
                    (b, c) => {
                        for ((total, fr), nr) in total.iter_mut().zip(fr).zip(nr) {
                            *total = b * *fr + c * *nr;
                        }
                    }
                }
            },
        );
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.total.len() / self.seeds.max(1)
    }

    /// Seeds a group, M.
    pub fn seeds(&self) -> usize {
        self.seeds
    }

    /// Rewards of a group, NaN where a candidate has none. Empty where there is no such group.
    pub fn group(&self, group: usize) -> &[f64] {
        slice_of(&self.total, group, self.seeds)
    }

    /// The same to be changed.
    pub(super) fn group_mut(&mut self, group: usize) -> &mut [f64] {
        self.total.get_mut(group * self.seeds..(group + 1) * self.seeds).unwrap_or_default()
    }

    /// FR half of a group in the same form.
    pub fn fr(&self, group: usize) -> &[f64] {
        slice_of(&self.fr, group, self.seeds)
    }

    /// NR half of a group in the same form.
    pub fn nr(&self, group: usize) -> &[f64] {
        slice_of(&self.nr, group, self.seeds)
    }

    /// Reward of one candidate, `None` where it has none.
    pub fn get(&self, group: usize, seed: usize) -> Option<f64> {
        let reward = *self.group(group).get(seed)?;
        (!reward.is_nan()).then_some(reward)
    }
}

fn slice_of(values: &[f64], group: usize, seeds: usize) -> &[f64] {
    values.get(group * seeds..(group + 1) * seeds).unwrap_or_default()
}

/// Weighted mean of s̄ over the metrics of one half, NaN where a score is absent or the half has no metric.
fn half_of_group(table: &ScoreTable, group: usize, terms: &[Term], out: &mut [f64]) {
    if terms.is_empty() {
        return out.fill(f64::NAN);
    }
    out.fill(0.0);
    for term in terms {
        let row = table.row(group, term.column);
        let Some(Affine { origin, scale, offset }) = term.affine(row) else {
            return out.fill(f64::NAN);
        };
        let (scale, offset) = (scale * term.share, offset * term.share);
        for (sum, score) in out.iter_mut().zip(row) {
            *sum += offset + scale * (score - origin);
        }
    }
}
