//! What a training step makes smaller: Diffusion-DPO of the paper, and objectives beside it, all on numbers.
//!
//! Of each of the two candidates of an item the trainer knows e_θ and e_ref, the mean squared errors of policy and
//! reference, and δ² = mean of (v_θ − v_ref)², how far the two predictions are apart. With the changes
//! a_w = e_θ(w) − e_ref(w) and a_l = e_θ(l) − e_ref(l):
//!
//! | objective | loss | source |
//! | --- | --- | --- |
//! | `dpo` | −log σ(−(β/2) · (a_w − a_l + λ · max(0, a_w))) | Wallace et al., arXiv 2311.12908; λ > 0 as in DPO-Positive, Pal et al., arXiv 2402.13228 |
//! | `ipo` | (−(β/2) · (a_w − a_l) − ½)² | Azar et al., arXiv 2310.12036, with the margin of `dpo` and times β² |
//! | `nft` | mean over w, l of r · e⁺ + (1 − r) · e⁻ | Zheng et al., DiffusionNFT, arXiv 2509.16117 |
//! | `group` | −log σ(−(β/2) · (A_w · a_w + A_l · a_l)) | Yi et al., GDPO-SR, arXiv 2603.16769, two of a group at a time |
//! | `sft` | e_θ(w) | the control: imitation of the winners |
//!
//! e⁺ and e⁻ are the errors of the implicit policies v_ref ± κ · (v_θ − v_ref). Both are quadratic in κ, so that
//! e± = e_ref ± κ · (a − δ²) + κ² · δ², and r · e⁺ + (1 − r) · e⁻ = e_ref + κ (2r − 1) (a − δ²) + κ² δ².
//! A is the advantage (R − μ_g) / σ_g within the group, r = ½ + ½ · clip(A, −1, 1) the probability of being optimal.
//! DiffusionNFT's v_old, the policy that sampled, is the reference here.

use super::hpo;
use super::loss::PairErrors;
use super::pair::Pair;
use super::recipe::{Objective, Training};
use crate::{Error, Result};

/// One of the two candidates of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// e_θ.
    pub policy: f64,
    /// e_ref.
    pub reference: f64,
    /// δ²; 0 where the objective does not ask for it.
    pub drift: f64,
    /// A: 1 and −1 in a pair of which nothing else is known.
    pub advantage: f64,
}

/// A loss and its derivatives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slopes {
    pub loss: f64,
    /// ∂ loss / ∂ e_θ, of both.
    pub error: [f64; 2],
    /// ∂ loss / ∂ δ², of both.
    pub drift: [f64; 2],
}

impl Objective {
    /// Whether it takes every candidate of a group by its advantage, and not winners against losers.
    pub fn takes_groups(self) -> bool {
        matches!(self, Self::Nft | Self::Group)
    }

    /// Whether it asks how far policy and reference are apart.
    pub fn needs_drift(self) -> bool {
        self == Self::Nft
    }
}

/// The candidates of a group two by two, the best with the worst, each once, with their advantages; the one in the middle of an
/// odd number is left out. `rewards` are the group's by seed, `ranking` its seeds from best to worst. Nothing where all are
/// rewarded alike.
pub fn two_by_two(rewards: &[f64], ranking: &[u16]) -> Vec<(Pair, [f32; 2])> {
    let scored: Vec<f64> = ranking.iter().filter_map(|&seed| rewards.get(usize::from(seed)).copied()).collect();
    let sigma = hpo::sigma(&scored);
    if sigma == 0.0 || scored.len() != ranking.len() {
        return Vec::new();
    }
    let mean = scored.iter().sum::<f64>() / scored.len() as f64;
    let advantage = |at: usize| ((scored[at] - mean) / sigma) as f32;
    let both = |at: usize| {
        let other = ranking.len() - 1 - at;
        let pair = Pair { winner: ranking[at], loser: ranking[other], weight: 1.0 };
        (pair, [advantage(at), advantage(other)])
    };
    (0..ranking.len() / 2).map(both).collect()
}

/// The loss of two candidates, the winner first, times `weight`. Errors: [`Error::Diverged`] where it is not finite.
pub fn loss(settings: &Training, [w, l]: [Sample; 2], weight: f64) -> Result<Slopes> {
    let Training { objective, beta, anchor, mixture, .. } = *settings;
    let [a_w, a_l] = [w, l].map(|sample| sample.policy - sample.reference);
    let none = [0.0, 0.0];
    let Slopes { loss, error, drift } = match objective {
        Objective::Dpo => {
            let (held, by_held) = if a_w > 0.0 { (anchor * a_w, anchor) } else { (0.0, 0.0) };
            let (loss, slope) = softplus(0.5 * beta * (a_w - a_l + held));
            Slopes { loss, error: [0.5 * beta * slope * (1.0 + by_held), -0.5 * beta * slope], drift: none }
        }
        Objective::Ipo => {
            let miss = -0.5 * beta * (a_w - a_l) - 0.5;
            Slopes { loss: miss * miss, error: [-beta * miss, beta * miss], drift: none }
        }
        Objective::Group => {
            let (loss, slope) = softplus(0.5 * beta * (w.advantage * a_w + l.advantage * a_l));
            Slopes { loss, error: [w, l].map(|sample| 0.5 * beta * slope * sample.advantage), drift: none }
        }
        Objective::Nft => {
            // 2r − 1 is the clipped advantage.
            let side = |sample: Sample, a: f64| {
                let lean = mixture * sample.advantage.clamp(-1.0, 1.0);
                let square = mixture * mixture;
                (sample.reference + lean * (a - sample.drift) + square * sample.drift, lean, square - lean)
            };
            let [(of_w, error_w, drift_w), (of_l, error_l, drift_l)] = [side(w, a_w), side(l, a_l)];
            Slopes {
                loss: (of_w + of_l) / 2.0,
                error: [error_w / 2.0, error_l / 2.0],
                drift: [drift_w / 2.0, drift_l / 2.0],
            }
        }
        Objective::Sft => Slopes { loss: w.policy, error: [1.0, 0.0], drift: none },
    };
    let times = |both: [f64; 2]| both.map(|slope| weight * slope);
    let slopes = Slopes { loss: weight * loss, error: times(error), drift: times(drift) };
    let numbers = [slopes.loss, a_w, a_l].into_iter().chain(slopes.error).chain(slopes.drift);
    match numbers.into_iter().all(f64::is_finite) {
        true => Ok(slopes),
        false => Err(Error::Diverged(format!(
            "the loss is not finite: e_θ {} and {}, e_ref {} and {}, weight {weight}",
            w.policy, l.policy, w.reference, l.reference
        ))),
    }
}

impl From<[Sample; 2]> for PairErrors {
    fn from([w, l]: [Sample; 2]) -> Self {
        Self {
            policy_winner: w.policy,
            reference_winner: w.reference,
            policy_loser: l.policy,
            reference_loser: l.reference,
        }
    }
}

/// log(1 + eˣ) and its derivative σ(x), without overflow.
fn softplus(x: f64) -> (f64, f64) {
    (super::loss::softplus(x), super::loss::sigmoid(x))
}
