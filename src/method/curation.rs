//! Rank each group by R and pair its top N with its bottom N, never the middle (method §3).
//!
//! [`Curation::update`] does ranking, pairs and HPO weights of all groups in one go and keeps its buffers, because
//! the studio calls it for every pixel a slider moves.

use rayon::prelude::*;

use super::hpo;
use super::overrides::{GroupOverrides, Overrides, Verdict};
use super::pair::{Group, Pair, PairDetail};
use super::recipe;
use super::reward::Rewards;
use crate::{Error, Result};

/// More pairs than this (8 bytes each) are refused instead of exhausting the memory.
pub const MAX_PAIRS: usize = 1 << 27;

/// Groups a thread takes at once: below this, handing out work costs more than the work.
const GROUPS_PER_TASK: usize = 16;

/// Winners and losers of a group of which `scored` candidates have a reward: `ratio · scored` rounded to the
/// nearest whole number (halves up), at least 1, at most half of the group. 0 for fewer than two candidates.
pub fn n_from_ratio(ratio: f64, scored: usize) -> usize {
    // A negative or NaN product saturates to 0.
    let wanted = (ratio * scored as f64 + 0.5).floor() as usize;
    wanted.clamp(1, (scored / 2).max(1)).min(scored / 2)
}

/// Seeds of a group from best to worst reward into `order`, followed by those without a reward (NaN). Equal
/// rewards are ordered by seed, so the ranking is the same in every run. Returns how many have a reward.
pub fn rank(rewards: &[f64], order: &mut [u16]) -> usize {
    let mut scored = 0;
    let mut absent = order.len();
    for (seed, reward) in (0u16..).zip(rewards) {
        if reward.is_nan() {
            absent -= 1;
            order[absent] = seed;
        } else {
            order[scored] = seed;
            scored += 1;
        }
    }
    order[scored..].reverse();
    let reward = |seed: &u16| rewards[usize::from(*seed)];
    order[..scored].sort_unstable_by(|a, b| {
        let by_reward = reward(b).partial_cmp(&reward(a));
        by_reward.unwrap_or(std::cmp::Ordering::Equal).then(a.cmp(b))
    });
    scored
}

/// Ranking, pairs and weights of all groups. Keep one and [`Curation::update`] it: buffers are reused.
#[derive(Clone, Debug, Default)]
pub struct Curation {
    seeds: usize,
    order: Vec<u16>,
    groups: Vec<Group>,
    pairs: Vec<Pair>,
    mean_sigma: f64,
    hpo: recipe::Hpo,
}

impl Curation {
    /// Ranks, pairs and weighs every group, in parallel; the result does not depend on the number of threads.
    ///
    /// Candidates without a reward take no part: N is the ratio of those that have one, and a group with fewer
    /// than two has no pairs. Overrides on candidates without a reward wait until they have one.
    ///
    /// Errors: a strength α that is negative or not finite, more than [`MAX_PAIRS`] pairs.
    pub fn update(
        &mut self,
        rewards: &Rewards,
        curation: &recipe::Curation,
        hpo: &recipe::Hpo,
        overrides: &Overrides,
    ) -> Result<()> {
        for alpha in [hpo.alpha_intra, hpo.alpha_inter] {
            if !(alpha.is_finite() && alpha >= 0.0) {
                return Err(Error::invalid(format!("hpo: {alpha} is not a strength α")));
            }
        }
        let total = self.rank_groups(rewards, curation.ratio, overrides);
        if total > MAX_PAIRS {
            self.pairs.clear();
            self.groups.clear();
            return Err(Error::invalid(format!(
                "{total} pairs are more than {MAX_PAIRS}; choose a smaller curation.ratio"
            )));
        }
        self.hpo = hpo.clone();
        self.mean_sigma = hpo::mean_sigma(&self.groups);
        self.pairs.resize(total, Pair::default());

        let mut rest = self.pairs.as_mut_slice();
        let mut blocks = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let (block, after) = rest.split_at_mut(group.pairs);
            blocks.push(block);
            rest = after;
        }
        let (seeds, mean_sigma) = (self.seeds.max(1), self.mean_sigma);
        let orders = self.order.par_chunks(seeds);
        blocks
            .into_par_iter()
            .zip(orders.zip(self.groups.par_iter_mut()))
            .enumerate()
            .with_min_len(GROUPS_PER_TASK)
            .for_each(|(g, (block, (order, group)))| {
                let mut places = block.iter_mut();
                let order = &order[..group.scored];
                for_each_pair(order, group.n, overrides.of_group(g), |winner, loser| {
                    if let Some(place) = places.next() {
                        (place.winner, place.loser) = (winner, loser);
                    }
                });
                hpo::weigh(block, rewards.group(g), group, hpo, mean_sigma);
            });
        Ok(())
    }

    /// Fills `order` and `groups` but for the weights; returns the number of pairs.
    fn rank_groups(&mut self, rewards: &Rewards, ratio: f64, overrides: &Overrides) -> usize {
        self.seeds = rewards.seeds();
        let groups = rewards.groups();
        self.order.resize(groups * self.seeds, 0);
        self.groups.resize(groups, Group::default());
        self.order
            .par_chunks_mut(self.seeds.max(1))
            .zip(self.groups.par_iter_mut())
            .enumerate()
            .with_min_len(GROUPS_PER_TASK)
            .for_each(|(g, (order, group))| {
                let scored = rank(rewards.group(g), order);
                let n = n_from_ratio(ratio, scored);
                let overrides = overrides.of_group(g);
                let mut pairs = n * n;
                if !overrides.is_empty() {
                    pairs = 0;
                    for_each_pair(&order[..scored], n, overrides, |_, _| pairs += 1);
                }
                *group = Group { scored, n, pairs, sigma: hpo::sigma(rewards.group(g)), ..Group::default() };
            });
        let mut first_pair = 0;
        for group in &mut self.groups {
            group.first_pair = first_pair;
            first_pair += group.pairs;
        }
        first_pair
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Seeds a group, M.
    pub fn seeds(&self) -> usize {
        self.seeds
    }

    /// What is known of each group.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Seeds of a group from best to worst; candidates without a reward are left out.
    pub fn ranking(&self, group: usize) -> &[u16] {
        let scored = self.groups.get(group).map_or(0, |group| group.scored);
        let start = group * self.seeds;
        self.order.get(start..start + scored).unwrap_or_default()
    }

    /// The top N of a group, best first.
    pub fn winners(&self, group: usize) -> &[u16] {
        let n = self.groups.get(group).map_or(0, |group| group.n);
        &self.ranking(group)[..n]
    }

    /// The bottom N of a group, worst last.
    pub fn losers(&self, group: usize) -> &[u16] {
        let n = self.groups.get(group).map_or(0, |group| group.n);
        let ranking = self.ranking(group);
        &ranking[ranking.len() - n..]
    }

    /// All pairs, group by group.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// The pairs of a group.
    pub fn pairs_of(&self, group: usize) -> &[Pair] {
        let range = self.groups.get(group).map(|g| g.first_pair..g.first_pair + g.pairs);
        range.and_then(|range| self.pairs.get(range)).unwrap_or_default()
    }

    /// The group that a pair of [`Curation::pairs`] belongs to.
    pub fn group_of(&self, pair: usize) -> Option<usize> {
        let after = self.groups.partition_point(|group| group.first_pair <= pair);
        (pair < self.pairs.len()).then(|| after.saturating_sub(1))
    }

    /// μ_σ: mean of σ_g over the groups that have pairs; 0 without any.
    pub fn mean_sigma(&self) -> f64 {
        self.mean_sigma
    }

    /// The parts of a pair's weight; `rewards` are those of the last update.
    pub fn detail(&self, rewards: &Rewards, pair: usize) -> Option<PairDetail> {
        let group = self.group_of(pair)?;
        let reward = |seed: u16| rewards.get(group, seed.into());
        let (known, pair) = (self.groups.get(group)?, *self.pairs.get(pair)?);
        let gap = (reward(pair.winner)? - reward(pair.loser)?).abs();
        Some(PairDetail {
            group,
            pair,
            gap,
            w_intra: hpo::w_intra(gap, known.mean_gap, self.hpo.alpha_intra),
            w_inter: known.w_inter,
        })
    }

    /// The strengths α of the last update.
    pub fn hpo(&self) -> &recipe::Hpo {
        &self.hpo
    }
}

/// Calls `f(winner, loser)` for each pair of a group: the N × N of the ranking, best winner and best loser first,
/// as overridden; then pinned pairs that the ranking does not choose.
fn for_each_pair(order: &[u16], n: usize, overrides: GroupOverrides<'_>, mut f: impl FnMut(u16, u16)) {
    let (winners, losers) = (&order[..n], &order[order.len() - n..]);
    for &winner in winners {
        if overrides.is_empty() {
            losers.iter().for_each(|&loser| f(winner, loser));
            continue;
        }
        for &loser in losers {
            match overrides.on(winner, loser) {
                None => f(winner, loser),
                Some(known) => {
                    if let Some((winner, loser)) = known.preferred() {
                        f(winner, loser);
                    }
                }
            }
        }
    }
    for pinned in overrides.iter().filter(|o| o.verdict == Verdict::Pin) {
        let place = |seed| order.iter().position(|&s| s == seed);
        if let (Some(a), Some(b)) = (place(pinned.winner), place(pinned.loser)) {
            let chosen = a.min(b) < n && a.max(b) >= order.len() - n;
            if !chosen {
                f(pinned.winner, pinned.loser);
            }
        }
    }
}
