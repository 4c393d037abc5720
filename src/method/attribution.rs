//! What decides the ranking: how much of R each metric makes within the groups, and whom it agrees with.
//!
//! R is a sum of terms, R = Σ_k c_k with c_k what metric k adds (its coefficient times s̄_k). Only differences within a
//! group rank anything, so everything here is taken within groups:
//!
//! * *share* of metric k: Σ_g Cov_g(c_k, R) / Σ_g Var_g(R). Shares sum to 1 (unless R is [regardless](super::regardless)
//!   of a score); one is negative where the metric is outvoted;
//! * *rank correlations*: Spearman's ρ of every two metrics, and of each with R, averaged over the groups where both vary;
//!   scores are taken so that higher is better;
//! * *decides alone*: the share of pairs that would be the other way round, or undecided, without the metric;
//! * *lead*: by how much winners are better than losers, averaged over pairs, in standard deviations of the metric within the
//!   group. It is what training is told to do to the metric, be it rewarded or held out;
//! * *by seed*: how much of what candidates differ by is the [seed's doing](super::seed_effect) in every image;
//! * *conflict*: the share of pairs of which the FR half prefers the loser while the NR half prefers the winner, or the
//!   other way round.

use rayon::prelude::*;
use serde::Serialize;

use super::balance::{self, Balanced, Covariances};
use super::bounds::Affine;
use super::curation::Curation;
use super::recipe::Reward;
use super::reward::{RewardPlan, Rewards, Term};
use super::scores::ScoreTable;
use super::seed_effect;
use crate::iqa::{Direction, Kind};

/// What decides the ranking, over all groups and in each.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attribution {
    /// Every metric of the table, in column order.
    pub metrics: Vec<MetricAttribution>,
    /// ρ of every two metrics, metric × metric; `None` where no group tells.
    pub correlations: Vec<Vec<Option<f64>>>,
    /// Shares of the FR and the NR half in the variance of R.
    pub halves: [f64; 2],
    /// Pairs looked at.
    pub pairs: usize,
    /// Share of them of which the halves disagree; `None` where there are no pairs with both halves.
    pub conflict: Option<f64>,
    /// The same over every two candidates of a group, chosen as a pair or not.
    pub conflict_of_all: Option<f64>,
    /// Each group, in the order of the table.
    pub groups: Vec<GroupAttribution>,
    /// Weights under which each metric makes the same share of the ranking; `None` where fewer than two count.
    pub balanced_metrics: Option<Balanced>,
    /// The balance under which each half makes the same share; `None` where there is only one.
    pub balanced_halves: Option<Balanced>,
}

/// One metric's part in the ranking.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricAttribution {
    pub name: String,
    pub kind: Kind,
    pub direction: Direction,
    /// Its coefficient in R of a group with HR: 0 where it does not count.
    pub coefficient: f64,
    /// Its share of the variance of R.
    pub share: f64,
    /// ρ with R.
    pub with_reward: Option<f64>,
    /// Share of the pairs that it alone decides.
    pub decides: f64,
    /// How far winners are ahead of losers; `None` where no pair tells.
    pub lead: Option<f64>,
    /// How much of what candidates differ by is the [seed's doing](super::seed_effect) in every image; `None` where that is not
    /// known.
    pub by_seed: Option<f64>,
}

/// One group.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GroupAttribution {
    /// Standard deviation of R.
    pub sigma: f64,
    pub pairs: usize,
    pub conflict: Option<f64>,
    /// Each metric's share of the variance of R, in column order.
    pub shares: Vec<f64>,
    /// Each metric's ρ with R.
    pub with_reward: Vec<Option<f64>>,
}

/// What is summed up of a group.
#[derive(Clone, Default)]
struct Sums {
    variance: f64,
    /// Cov(c_k, R) by column.
    covariances: Vec<f64>,
    /// ρ of the columns and, last, R.
    correlations: Vec<Vec<Option<f64>>>,
    pairs: usize,
    /// Pairs that a column alone decides.
    decides: Vec<usize>,
    /// By column the sum of winner − loser, and of how many pairs.
    leads: Vec<(f64, usize)>,
    /// Pairs with both halves, and those of them that conflict; first the chosen pairs, then any two candidates.
    conflicts: [[usize; 2]; 2],
}

impl Attribution {
    /// Attributes rewards that a plan made of a table, and the pairs of a curation of them; `recipe` is the plan's.
    pub fn of(table: &ScoreTable, plan: &RewardPlan, recipe: &Reward, rewards: &Rewards, curation: &Curation) -> Self {
        let group = |group: usize| Sums::of(table, plan, rewards, curation, group);
        let sums: Vec<Sums> = (0..table.groups()).into_par_iter().with_min_len(8).map(group).collect();
        let columns = table.columns();
        let variance: f64 = sums.iter().map(|sums| sums.variance).sum();
        let share = |of: f64| if variance > 0.0 { of / variance } else { 0.0 };
        let pairs: usize = sums.iter().map(|sums| sums.pairs).sum();
        let correlation = |a: usize, b: usize| {
            let known = sums.iter().filter_map(|sums| *sums.correlations.get(a)?.get(b)?);
            mean(known)
        };
        let coefficient = |column: usize| {
            let term = plan.terms(table.has_any_hr()).find(|(term, _)| term.column == column);
            term.map_or(0.0, |(_, coefficient)| coefficient)
        };
        let metrics = columns.iter().enumerate().map(|(column, info)| MetricAttribution {
            name: info.name.to_string(),
            kind: info.kind,
            direction: info.direction,
            coefficient: coefficient(column),
            share: share(sums.iter().map(|sums| sums.covariances[column]).sum()),
            with_reward: correlation(column, columns.len()),
            decides: sums.iter().map(|sums| sums.decides[column]).sum::<usize>() as f64 / pairs.max(1) as f64,
            lead: {
                let all = sums.iter().map(|sums| sums.leads[column]);
                let (sum, count) = all.fold((0.0, 0), |(sum, count), (more, pairs)| (sum + more, count + pairs));
                (count > 0).then(|| sum / count as f64)
            },
            by_seed: None,
        });
        let metrics: Vec<MetricAttribution> = metrics.collect();
        let half = |kind: Kind| metrics.iter().filter(|metric| metric.kind == kind).map(|metric| metric.share).sum();
        let conflict = |which: usize| {
            let [both, against] =
                sums.iter().fold([0, 0], |[a, b], sums| [a + sums.conflicts[which][0], b + sums.conflicts[which][1]]);
            (both > 0).then(|| against as f64 / both as f64)
        };
        let covariances = Covariances::of(table, plan);
        Self {
            halves: [half(Kind::FullReference), half(Kind::NoReference)],
            correlations: (0..columns.len()).map(|a| (0..columns.len()).map(|b| correlation(a, b)).collect()).collect(),
            pairs,
            conflict: conflict(0),
            conflict_of_all: conflict(1),
            groups: sums.iter().map(GroupAttribution::of).collect(),
            balanced_metrics: balance::of_metrics(table, recipe, &covariances),
            balanced_halves: balance::of_halves(table, recipe, &covariances),
            metrics,
        }
    }

    /// The same with what the seeds do to every image; `noise` says which groups were drawn from the same noise.
    pub fn with_seeds(mut self, table: &ScoreTable, noise: &[usize]) -> Self {
        for (column, metric) in self.metrics.iter_mut().enumerate() {
            metric.by_seed = seed_effect::share(table, column, noise);
        }
        self
    }
}

impl GroupAttribution {
    fn of(sums: &Sums) -> Self {
        let variance = sums.variance;
        let share = |of: &f64| if variance > 0.0 { of / variance } else { 0.0 };
        let [both, against] = sums.conflicts[0];
        let (columns, with_reward) = (sums.covariances.len(), sums.correlations.last());
        Self {
            sigma: variance.sqrt(),
            pairs: sums.pairs,
            conflict: (both > 0).then(|| against as f64 / both as f64),
            shares: sums.covariances.iter().map(share).collect(),
            with_reward: with_reward.map_or_else(|| vec![None; columns], |row| row[..columns].to_vec()),
        }
    }
}

impl Sums {
    fn of(table: &ScoreTable, plan: &RewardPlan, rewards: &Rewards, curation: &Curation, group: usize) -> Self {
        let columns = table.columns().len();
        let mut sums = Self {
            covariances: vec![0.0; columns],
            decides: vec![0; columns],
            leads: vec![(0.0, 0); columns],
            ..Self::default()
        };
        let reward = rewards.group(group);
        let scored: Vec<usize> = (0..reward.len()).filter(|&seed| !reward[seed].is_nan()).collect();
        if scored.len() < 2 {
            return sums;
        }
        let of_scored = |values: &[f64]| scored.iter().map(|&seed| values[seed]).collect::<Vec<f64>>();
        let total = of_scored(reward);
        sums.variance = covariance(&total, &total);
        let terms: Vec<(Term, Vec<f64>)> = plan
            .terms(table.has_hr(group))
            .map(|(term, coefficient)| {
                let values = plan.normalized(table, group, &term);
                (term, values.iter().map(|value| coefficient * value).collect())
            })
            .collect();
        for (term, values) in &terms {
            sums.covariances[term.column] = covariance(&of_scored(values), &total);
        }

        let ranks: Vec<Option<Vec<f64>>> = (0..columns)
            .map(|column| of_scored(table.row(group, column)))
            .zip(table.columns())
            .map(|(row, info)| standard_ranks(row.into_iter().map(|score| info.direction.align(score)).collect()))
            .chain([standard_ranks(total)])
            .collect();
        let of_two = |a: &Option<Vec<f64>>, b: &Option<Vec<f64>>| {
            Some(a.as_ref()?.iter().zip(b.as_ref()?).map(|(a, b)| a * b).sum())
        };
        sums.correlations = ranks.iter().map(|a| ranks.iter().map(|b| of_two(a, b)).collect()).collect();

        let (fr, nr) = (rewards.fr(group), rewards.nr(group));
        let mut count = |which: usize, a: usize, b: usize| {
            let [of_fr, of_nr] = [fr[a] - fr[b], nr[a] - nr[b]];
            if !of_fr.is_nan() && !of_nr.is_nan() {
                sums.conflicts[which][0] += 1;
                sums.conflicts[which][1] += usize::from(of_fr * of_nr < 0.0);
            }
        };
        for (i, &a) in scored.iter().enumerate() {
            scored[..i].iter().for_each(|&b| count(1, a, b));
        }
        let standard: Vec<Option<Affine>> = (0..columns)
            .map(|column| Affine::standard(table.row(group, column), table.columns()[column].direction))
            .collect();
        for pair in curation.pairs_of(group) {
            let (winner, loser) = (usize::from(pair.winner), usize::from(pair.loser));
            count(0, winner, loser);
            sums.pairs += 1;
            for (column, (sum, count)) in sums.leads.iter_mut().enumerate() {
                let Some(affine) = standard[column].filter(|affine| affine.scale != 0.0) else { continue };
                let [of_winner, of_loser] = [winner, loser].map(|seed| affine.of(table.row(group, column)[seed]));
                if !(of_winner - of_loser).is_nan() {
                    *sum += of_winner - of_loser;
                    *count += 1;
                }
            }
            let gap = reward[winner] - reward[loser];
            for (term, values) in &terms {
                let alone = gap > 0.0 && gap - (values[winner] - values[loser]) <= 0.0;
                sums.decides[term.column] += usize::from(alone);
            }
        }
        sums
    }
}

/// Population covariance of two rows of as many values.
pub(super) fn covariance(a: &[f64], b: &[f64]) -> f64 {
    let count = a.len().max(1) as f64;
    let [of_a, of_b] = [a, b].map(|row| row.iter().sum::<f64>() / count);
    a.iter().zip(b).map(|(a, b)| (a - of_a) * (b - of_b)).sum::<f64>() / count
}

/// Ranks of values, equal ones sharing the mean of theirs, centered and of length 1: the product of two such rows is
/// Spearman's ρ. `None` where a value is absent or all are equal.
fn standard_ranks(values: Vec<f64>) -> Option<Vec<f64>> {
    if values.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let middle = (values.len() as f64 - 1.0) / 2.0;
    let mut first = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (equal.len() as f64 - 1.0) / 2.0 - middle;
        equal.iter().for_each(|&at| ranks[at] = rank);
        first += equal.len();
    }
    let length = ranks.iter().map(|rank| rank * rank).sum::<f64>().sqrt();
    (length > 0.0).then(|| ranks.into_iter().map(|rank| rank / length).collect())
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}
