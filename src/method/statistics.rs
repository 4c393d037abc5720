//! Best@m, Mean@m, Worst@m and the spread over seeds: what training is judged by.
//!
//! Best@m of an image is the best reward among m seeds. With M ≥ m seeds at hand, the value given is its
//! expectation over all subsets of m of the M seeds, drawn without replacement: no subset is special, and the
//! estimate is unbiased. With rewards sorted r₁ ≥ … ≥ r_M,
//!
//! > Best@m = Σᵢ rᵢ · C(M − i, m − 1) / C(M, m),
//!
//! because rᵢ is the best of a subset exactly when the other m − 1 come from the M − i below it. Worst@m is the same
//! from the other end, Mean@m is the mean of all M for every m. All three are then averaged over images.

use super::hpo;
use super::reward::Rewards;
use super::scores::ScoreTable;
use crate::iqa::Direction;
use crate::{Error, Result};

/// Best@m, Mean@m and Worst@m for rising m, averaged over images.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// 1, 2, 4 … M.
    pub m: Vec<usize>,
    pub best: Vec<f64>,
    pub mean: Vec<f64>,
    pub worst: Vec<f64>,
    /// σ: standard deviation of R over the M seeds of an image, averaged over images.
    pub std: f64,
    /// Images averaged over.
    pub images: usize,
    /// Images left out because a seed of theirs has no reward: means over different images do not compare.
    pub skipped: usize,
}

impl Ladder {
    /// The ladder over the images whose M candidates all have a reward. Errors: there is no such image.
    pub fn of(rewards: &Rewards) -> Result<Self> {
        Self::over(rewards, |group| has_all(rewards.group(group)))
    }

    /// The ladder over the images that `counts`; all their M candidates have a reward. Errors: there is no such image.
    pub fn over(rewards: &Rewards, counts: impl Fn(usize) -> bool) -> Result<Self> {
        let seeds = rewards.seeds();
        let m = ladder_of(seeds);
        let chances: Vec<Vec<f64>> = m.iter().map(|&m| best_of_chances(seeds, m)).collect();
        let mut ladder = Self {
            best: vec![0.0; m.len()],
            mean: vec![0.0; m.len()],
            worst: vec![0.0; m.len()],
            m,
            std: 0.0,
            images: 0,
            skipped: 0,
        };
        let mut sorted = Vec::with_capacity(seeds);
        for group in 0..rewards.groups() {
            let values = rewards.group(group);
            if !counts(group) {
                ladder.skipped += 1;
                continue;
            }
            sorted.clear();
            sorted.extend_from_slice(values);
            sorted.sort_unstable_by(|a, b| b.total_cmp(a));
            let mean = sorted.iter().sum::<f64>() / seeds as f64;
            for (step, chances) in chances.iter().enumerate() {
                ladder.best[step] += dot(chances, sorted.iter());
                ladder.worst[step] += dot(chances, sorted.iter().rev());
                ladder.mean[step] += mean;
            }
            ladder.std += hpo::sigma(&sorted);
            ladder.images += 1;
        }
        if ladder.images == 0 {
            return Err(Error::invalid(format!(
                "no image has a reward for all of its {seeds} seeds; sample and score them first"
            )));
        }
        let images = ladder.images as f64;
        for column in [&mut ladder.best, &mut ladder.mean, &mut ladder.worst] {
            column.iter_mut().for_each(|sum| *sum /= images);
        }
        ladder.std /= images;
        Ok(ladder)
    }
}

/// Whether every one of some seeds has a value.
pub fn has_all(values: &[f64]) -> bool {
    !values.is_empty() && values.iter().all(|value| !value.is_nan())
}

/// 1, 2, 4 … and M itself.
pub fn ladder_of(seeds: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1usize), |m| m.checked_mul(2));
    let mut m: Vec<usize> = powers.take_while(|m| *m < seeds).collect();
    if seeds > 0 {
        m.push(seeds);
    }
    m
}

/// For ranks 1 … `seeds`: the chance C(M − i, m − 1) / C(M, m) that rank i is the best of m seeds drawn from all
/// without replacement. Sums to 1 for 1 ≤ m ≤ `seeds`.
pub fn best_of_chances(seeds: usize, m: usize) -> Vec<f64> {
    let mut chance = m as f64 / seeds as f64;
    (1..=seeds)
        .map(|i| {
            let this = chance;
            // From C(M − i, m − 1) to C(M − i − 1, m − 1), without ever forming a binomial.
            let above = (seeds - i) as f64;
            chance *= if i < seeds { ((above - m as f64 + 1.0) / above).max(0.0) } else { 0.0 };
            this
        })
        .collect()
}

fn dot<'a>(chances: &[f64], values: impl Iterator<Item = &'a f64>) -> f64 {
    chances.iter().zip(values).map(|(chance, value)| chance * value).sum()
}

/// Mean and spread over seeds of one metric, in its own units.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricStatistics {
    pub name: String,
    pub direction: Direction,
    /// Mean over seeds, averaged over images; `None` where nothing was scored.
    pub mean: Option<f64>,
    /// Standard deviation over the seeds of an image, averaged over the images with at least two scores.
    pub std: Option<f64>,
    /// Images with at least one score.
    pub images: usize,
    /// Scores in all.
    pub scores: usize,
}

/// Statistics of every metric of a table, in column order, over the groups that `counts` (group, column). Absent scores take
/// no part.
pub fn metric_statistics(table: &ScoreTable, counts: impl Fn(usize, usize) -> bool) -> Vec<MetricStatistics> {
    let columns = table.columns().iter().enumerate();
    columns
        .map(|(column, metric)| {
            let (mut images, mut spread_images, mut scores) = (0usize, 0usize, 0usize);
            let (mut means, mut spreads) = (0.0, 0.0);
            for group in (0..table.groups()).filter(|&group| counts(group, column)) {
                let row = table.row(group, column);
                let present = || row.iter().filter(|score| !score.is_nan());
                let count = present().count();
                if count > 0 {
                    images += 1;
                    scores += count;
                    means += present().sum::<f64>() / count as f64;
                }
                if count > 1 {
                    spread_images += 1;
                    spreads += hpo::sigma(row);
                }
            }
            let average = |sum: f64, count: usize| (count > 0).then(|| sum / count as f64);
            MetricStatistics {
                name: metric.name.to_string(),
                direction: metric.direction,
                mean: average(means, images),
                std: average(spreads, spread_images),
                images,
                scores,
            }
        })
        .collect()
}
