//! What the studio shows under the recipe: how the pairs are distributed and what the last edit changed.

use rayon::prelude::*;

use super::curation::Curation;
use super::hpo;
use super::pair::{Group, Pair};
use super::reward::Rewards;

/// Counts of values in equal bins from `min` to `max`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Lower end of the first bin: the smallest value.
    pub min: f64,
    /// Upper end of the last bin: the largest value.
    pub max: f64,
    /// Values in each bin; the upper end belongs to the last.
    pub counts: Vec<u64>,
}

/// The pairs of a curation at a glance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Number of pairs.
    pub pairs: usize,
    /// Groups with at least one pair.
    pub groups_with_pairs: usize,
    /// Candidates with a reward.
    pub scored: usize,
    /// Effective sample size (Σw)² / Σw²: the number of equally weighted pairs that would say as much.
    pub effective_pairs: f64,
    /// The strengths α_intra and α_inter of the weights, on the reward's scale.
    pub alphas: [f64; 2],
    /// Mean of w over the pairs, close to 1; 0 without pairs.
    pub mean_weight: f64,
    /// Gaps |R_w − R_l| of the pairs.
    pub gap: Histogram,
    /// w_intra of the pairs.
    pub w_intra: Histogram,
    /// w_inter of the groups that have pairs.
    pub w_inter: Histogram,
    /// w of the pairs.
    pub weight: Histogram,
}

/// Sums and extremes over the pairs of one group: of gap, w_intra and w the smallest and the largest.
#[derive(Clone, Copy)]
struct Extent {
    ends: [[f64; 2]; 3],
    sum: f64,
    sum_of_squares: f64,
}

/// Ends of no values.
const NOTHING: [f64; 2] = [f64::INFINITY, f64::NEG_INFINITY];

impl Extent {
    const NONE: Self = Self { ends: [NOTHING; 3], sum: 0.0, sum_of_squares: 0.0 };
}

fn joined([a, b]: [f64; 2], [c, d]: [f64; 2]) -> [f64; 2] {
    [a.min(c), b.max(d)]
}

impl Summary {
    /// Summarises a curation with histograms of `bins` bins (at least 1); `rewards` are those it was updated with.
    pub fn of(curation: &Curation, rewards: &Rewards, bins: usize) -> Self {
        let groups = curation.groups();
        let bins = bins.max(1);
        let alpha = curation.hpo().alpha_intra;
        let parts = |rewards: &[f64], group: &Group, pair: &Pair| {
            let gap = (rewards[usize::from(pair.winner)] - rewards[usize::from(pair.loser)]).abs();
            (gap, hpo::w_intra(gap, group.mean_gap, alpha), f64::from(pair.weight))
        };
        // Collected by group before summing, so that the sum does not depend on how threads share the groups.
        let extents: Vec<Extent> = groups
            .par_iter()
            .enumerate()
            .with_min_len(32)
            .map(|(g, group)| {
                let (mut extent, rewards) = (Extent::NONE, rewards.group(g));
                for pair in curation.pairs_of(g) {
                    let (gap, w_intra, weight) = parts(rewards, group, pair);
                    for (ends, value) in extent.ends.iter_mut().zip([gap, w_intra, weight]) {
                        *ends = joined(*ends, [value; 2]);
                    }
                    extent.sum += weight;
                    extent.sum_of_squares += weight * weight;
                }
                extent
            })
            .collect();
        let all = extents.iter().fold(Extent::NONE, |a, b| Extent {
            ends: std::array::from_fn(|i| joined(a.ends[i], b.ends[i])),
            sum: a.sum + b.sum,
            sum_of_squares: a.sum_of_squares + b.sum_of_squares,
        });

        let empty = || all.ends.map(|ends| Counter::new(ends, bins));
        let [gap, w_intra, weight] = groups
            .par_iter()
            .enumerate()
            .with_min_len(32)
            .fold(empty, |mut histograms, (g, group)| {
                let rewards = rewards.group(g);
                for pair in curation.pairs_of(g) {
                    let (gap, w_intra, weight) = parts(rewards, group, pair);
                    histograms[0].count(gap);
                    histograms[1].count(w_intra);
                    histograms[2].count(weight);
                }
                histograms
            })
            .reduce(empty, |mut a, b| {
                a.iter_mut().zip(&b).for_each(|(a, b)| a.add(b));
                a
            })
            .map(Counter::finish);

        let with_pairs = || groups.iter().filter(|group| group.pairs > 0);
        let ends = with_pairs().fold(NOTHING, |ends, group| joined(ends, [group.w_inter; 2]));
        let mut w_inter = Counter::new(ends, bins);
        with_pairs().for_each(|group| w_inter.count(group.w_inter));

        let pairs = curation.pairs().len();
        Self {
            pairs,
            groups_with_pairs: with_pairs().count(),
            scored: groups.iter().map(|group| group.scored).sum(),
            effective_pairs: effective_size(all.sum, all.sum_of_squares),
            alphas: [curation.hpo().alpha_intra, curation.hpo().alpha_inter],
            mean_weight: if pairs > 0 { all.sum / pairs as f64 } else { 0.0 },
            gap,
            w_intra,
            w_inter: w_inter.finish(),
            weight,
        }
    }
}

/// (Σw)² / Σw²; 0 where every weight is 0.
pub fn effective_size(sum: f64, sum_of_squares: f64) -> f64 {
    if sum_of_squares > 0.0 { sum * sum / sum_of_squares } else { 0.0 }
}

/// A histogram being filled.
struct Counter {
    ends: [f64; 2],
    /// Bins per unit, so that counting needs no division.
    scale: f64,
    counts: Vec<u64>,
}

impl Counter {
    fn new(ends: [f64; 2], bins: usize) -> Self {
        // Where all values are alike they belong to bin 0; without any there are no ends.
        let ends = if ends[0] <= ends[1] { ends } else { [0.0; 2] };
        let scale = if ends[1] > ends[0] { bins as f64 / (ends[1] - ends[0]) } else { 0.0 };
        Self { ends, scale, counts: vec![0; bins] }
    }

    fn count(&mut self, value: f64) {
        let last = self.counts.len() - 1;
        self.counts[(((value - self.ends[0]) * self.scale) as usize).min(last)] += 1;
    }

    fn add(&mut self, other: &Self) {
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a += b;
        }
    }

    fn finish(self) -> Histogram {
        Histogram { min: self.ends[0], max: self.ends[1], counts: self.counts }
    }
}

/// How many pairs an edit brought and took away; a pair the other way round is another pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairChange {
    pub added: usize,
    pub removed: usize,
}

impl PairChange {
    /// Compares the pairs of two curations, group by group.
    pub fn between(before: &Curation, after: &Curation) -> Self {
        let seeds = before.seeds().max(after.seeds());
        let groups = before.len().max(after.len());
        let kept: usize = (0..groups)
            .into_par_iter()
            .with_min_len(32)
            .map_init(
                || vec![0u64; (seeds * seeds).div_ceil(64)],
                |known, g| {
                    let bit = |pair: &Pair| {
                        let at = usize::from(pair.winner) * seeds + usize::from(pair.loser);
                        (at / 64, 1u64 << (at % 64))
                    };
                    for (word, mask) in before.pairs_of(g).iter().map(bit) {
                        known[word] |= mask;
                    }
                    let kept = after.pairs_of(g).iter().map(bit).filter(|(word, mask)| known[*word] & mask != 0);
                    let kept = kept.count();
                    for (word, _) in before.pairs_of(g).iter().map(bit) {
                        known[word] = 0;
                    }
                    kept
                },
            )
            .sum();
        Self { added: after.pairs().len() - kept, removed: before.pairs().len() - kept }
    }
}
