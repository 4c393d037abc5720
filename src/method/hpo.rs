//! Hierarchical preference optimization: how much each pair counts (method §4).
//!
//! w = w_intra · w_inter with
//!
//! * w_intra = 1 + α_intra · (|R_w − R_l| − μ_gap), μ_gap the mean gap over the pairs of the group;
//! * w_inter = 1 + α_inter · (σ_g − μ_σ), σ_g the standard deviation of R over the scored candidates of the group,
//!   μ_σ its mean over the groups that have pairs;
//!
//! each clamped at 0, so that no pair is ever trained backwards. α = 1 is the paper, α = 0 plain Diff-DPO. Unless
//! something is clamped, w_intra has mean 1 over the pairs of each group and w_inter over the groups.
//!
//! Gaps and spreads are on the reward's scale, so the same α weighs harder where that scale is wider. The paper's is the
//! frozen one: [`as_frozen`] says by what a strength on another scale is to be multiplied to mean the same. And
//! [`factor_for`] finds strengths by what they come to, the effective sample size of the weights.

use super::curation::Curation;
use super::pair::{Group, Pair};
use super::recipe::Hpo;
use super::reward::Rewards;
use super::summary::effective_size;

/// The widest factor tried; weights that are still alike then stay so.
const WIDEST: f64 = 1e6;

/// Weight of a pair within its group, at least 0.
pub fn w_intra(gap: f64, mean_gap: f64, alpha: f64) -> f64 {
    (1.0 + alpha * (gap - mean_gap)).max(0.0)
}

/// Weight of a group among the groups, at least 0.
pub fn w_inter(sigma: f64, mean_sigma: f64, alpha: f64) -> f64 {
    (1.0 + alpha * (sigma - mean_sigma)).max(0.0)
}

/// Population standard deviation of the values present (NaN is absent); 0 for fewer than two.
pub fn sigma(rewards: &[f64]) -> f64 {
    let present = || rewards.iter().filter(|r| !r.is_nan());
    let count = present().count();
    if count < 2 {
        return 0.0;
    }
    let mean = present().sum::<f64>() / count as f64;
    let squares: f64 = present().map(|r| (r - mean) * (r - mean)).sum();
    (squares / count as f64).sqrt()
}

/// μ_σ over the groups that have pairs; 0 without any.
pub(super) fn mean_sigma(groups: &[Group]) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    for group in groups.iter().filter(|group| group.pairs > 0) {
        sum += group.sigma;
        count += 1;
    }
    if count > 0 { sum / count as f64 } else { 0.0 }
}

/// Weighs the pairs of one group; fills its `mean_gap` and `w_inter`.
pub(super) fn weigh(pairs: &mut [Pair], rewards: &[f64], group: &mut Group, hpo: &Hpo, mean_sigma: f64) {
    group.w_inter = w_inter(group.sigma, mean_sigma, hpo.alpha_inter);
    if pairs.is_empty() {
        return;
    }
    let gap = |pair: &Pair| (rewards[usize::from(pair.winner)] - rewards[usize::from(pair.loser)]).abs();
    group.mean_gap = pairs.iter().map(gap).sum::<f64>() / pairs.len() as f64;
    for pair in pairs {
        let w_intra = w_intra(gap(pair), group.mean_gap, hpo.alpha_intra);
        pair.weight = (w_intra * group.w_inter) as f32;
    }
}

/// Mean of σ_g on the frozen scale over its mean on the scale of `rewards`: the factor by which a strength there means what it
/// means on the frozen one. 1 where there is no spread to tell by.
pub fn as_frozen(rewards: &Rewards, frozen: &Rewards) -> f64 {
    let spread = |of: &Rewards| (0..of.groups()).map(|group| sigma(of.group(group))).sum::<f64>();
    let factor = spread(frozen) / spread(rewards);
    if factor.is_finite() && factor > 0.0 { factor } else { 1.0 }
}

/// The factor on both strengths under which the weights of a curation's pairs are worth `share` of as many equal ones; the
/// widest where they never differ that much. `rewards` are those of the curation.
pub fn factor_for(share: f64, curation: &Curation, rewards: &Rewards, hpo: &Hpo) -> f64 {
    let share_at = |factor: f64| effective_share(curation, rewards, &hpo.times(factor));
    let mut high = 1.0;
    while share_at(high) > share && high < WIDEST {
        high *= 2.0;
    }
    let mut low = 0.0;
    // Down to the rounding of the weights, which are f32.
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if share_at(middle) > share { low = middle } else { high = middle }
    }
    high
}

/// (Σw)² / Σw² over the number of pairs, under other strengths than those that the curation was made with.
fn effective_share(curation: &Curation, rewards: &Rewards, hpo: &Hpo) -> f64 {
    let (mut sum, mut squares) = (0.0, 0.0);
    for (index, group) in curation.groups().iter().enumerate() {
        let (row, w_inter) = (rewards.group(index), w_inter(group.sigma, curation.mean_sigma(), hpo.alpha_inter));
        for pair in curation.pairs_of(index) {
            let gap = (row[usize::from(pair.winner)] - row[usize::from(pair.loser)]).abs();
            let weight = w_inter * w_intra(gap, group.mean_gap, hpo.alpha_intra);
            sum += weight;
            squares += weight * weight;
        }
    }
    effective_size(sum, squares) / curation.pairs().len().max(1) as f64
}

impl Hpo {
    /// With both strengths multiplied.
    pub fn times(&self, factor: f64) -> Self {
        Self { alpha_intra: self.alpha_intra * factor, alpha_inter: self.alpha_inter * factor, ..self.clone() }
    }
}
