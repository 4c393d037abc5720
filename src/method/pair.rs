//! A pair, and what is known of a group: what curation finds (method §3) and HPO weighs (§4).

/// A winner and a loser of one group, as seeds `0..M`, and the weight of the pair in the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pair {
    pub winner: u16,
    pub loser: u16,
    /// w = w_intra · w_inter.
    pub weight: f32,
}

/// What curation found out about a group.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Group {
    /// Candidates with a reward.
    pub scored: usize,
    /// N: winners, and as many losers.
    pub n: usize,
    /// Where the group's pairs begin in [`Curation::pairs`](super::curation::Curation::pairs).
    pub first_pair: usize,
    /// Number of pairs: N², less the excluded, plus the pinned ones from outside the selection.
    pub pairs: usize,
    /// σ_g: standard deviation of R over the scored candidates.
    pub sigma: f64,
    /// μ_gap: mean gap over the group's pairs; 0 without pairs.
    pub mean_gap: f64,
    /// The group's weight.
    pub w_inter: f64,
}

/// A pair with the parts its weight is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairDetail {
    pub group: usize,
    pub pair: Pair,
    /// |R_w − R_l|.
    pub gap: f64,
    pub w_intra: f64,
    pub w_inter: f64,
}
