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

use super::pair::{Group, Pair};
use super::recipe::Hpo;

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
