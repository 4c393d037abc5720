//! The Diffusion-DPO loss on numbers (method §5): four prediction errors of a pair in, loss and derivative out.
//!
//! With one noise ε and one timestep t shared by both images, and e(x) the *mean* squared error of the model's
//! prediction over all elements,
//!
//! > d = [e_θ(x^w) − e_ref(x^w)] − [e_θ(x^l) − e_ref(x^l)],  ℓ = −log σ(−(β/2) · d),  loss = mean of w · ℓ.
//!
//! The trainer backpropagates through e_θ only, with the derivative given here as the incoming gradient:
//!
//! > ∂ℓ/∂e_θ(x^w) = (β/2) · σ((β/2) · d) = −∂ℓ/∂e_θ(x^l).
//!
//! **β convention.** β/2 is that of Diff-DPO's own training script (`-0.5 * beta_dpo`, default 5000). diffusers'
//! Stable Diffusion script writes β where this has β/2, so its 2500 is 5000 here. β belongs to a mean over
//! elements: code that sums e over elements needs a β smaller by their number.

use super::objective::{self, Sample, Slopes};
use super::recipe::{Objective, Training};
use crate::{Error, Result};

/// Mean squared prediction errors of a pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairErrors {
    /// e_θ(x^w)
    pub policy_winner: f64,
    /// e_ref(x^w)
    pub reference_winner: f64,
    /// e_θ(x^l)
    pub policy_loser: f64,
    /// e_ref(x^l)
    pub reference_loser: f64,
}

impl PairErrors {
    /// d: how much more the policy's error rose on the winner than on the loser; below 0 is what is wanted.
    pub fn difference(&self) -> f64 {
        (self.policy_winner - self.reference_winner) - (self.policy_loser - self.reference_loser)
    }
}

/// Loss of one pair, weighted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairLoss {
    /// w · ℓ
    pub loss: f64,
    /// ∂(w · ℓ) / ∂e_θ(x^w), at least 0.
    pub grad_winner: f64,
    /// ∂(w · ℓ) / ∂e_θ(x^l), the negative of `grad_winner`.
    pub grad_loser: f64,
    /// −(β/2) · d, the implicit reward of the winner over the loser.
    pub margin: f64,
    /// Implicit accuracy: 1 where the policy prefers the winner (d < 0), 0 where the loser, ½ for neither.
    pub accuracy: f64,
}

/// Loss of one pair and its derivative.
///
/// `weight` is the HPO weight w, `beta` is β. Errors: [`Error::Diverged`] where an error, the weight or β is NaN
/// or infinite, so that a broken step can be stopped before it reaches the weights.
pub fn pair_loss(errors: &PairErrors, weight: f64, beta: f64) -> Result<PairLoss> {
    let d = errors.difference();
    let margin = -0.5 * beta * d;
    let loss = weight * softplus(-margin);
    if !loss.is_finite() || !margin.is_finite() {
        return Err(Error::Diverged(format!(
            "the loss is not finite: e_θ(w) {}, e_ref(w) {}, e_θ(l) {}, e_ref(l) {}, weight {weight}, β {beta}",
            errors.policy_winner, errors.reference_winner, errors.policy_loser, errors.reference_loser
        )));
    }
    let grad_winner = weight * 0.5 * beta * sigmoid(-margin);
    Ok(PairLoss {
        loss,
        grad_winner,
        grad_loser: -grad_winner,
        margin,
        accuracy: if d < 0.0 {
            1.0
        } else if d > 0.0 {
            0.0
        } else {
            0.5
        },
    })
}

/// Mean of what is logged of an optimizer step, over its pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepLoss {
    /// Pairs in the step.
    pub pairs: usize,
    /// Mean of w · ℓ.
    pub loss: f64,
    /// Implicit accuracy, in [0, 1], ties one half, not weighted.
    pub accuracy: f64,
    /// Mean margin −(β/2) · d, not weighted.
    pub margin: f64,
    /// Mean errors, not weighted.
    pub errors: PairErrors,
}

/// Sums up an optimizer step whose pairs arrive in several batches.
///
/// The loss is a mean over *all* pairs of the step, so the gradient handed to a batch must be divided by the
/// step's size, not by the batch's: [`LossSums::add`] does that.
#[derive(Clone, Debug)]
pub struct LossSums {
    pairs_per_step: usize,
    pairs: usize,
    loss: f64,
    accuracy: f64,
    margin: f64,
    errors: [f64; 4],
}

impl LossSums {
    /// A new step of `pairs_per_step` pairs. Errors: a step of no pairs.
    pub fn new(pairs_per_step: usize) -> Result<Self> {
        if pairs_per_step == 0 {
            return Err(Error::invalid("a training step needs at least one pair"));
        }
        Ok(Self { pairs_per_step, pairs: 0, loss: 0.0, accuracy: 0.0, margin: 0.0, errors: [0.0; 4] })
    }

    /// Adds a pair. Returns the derivatives of the step's mean loss by e_θ(x^w) and by e_θ(x^l).
    pub fn add(&mut self, errors: &PairErrors, weight: f64, beta: f64) -> Result<(f64, f64)> {
        let pair = pair_loss(errors, weight, beta)?;
        self.count(errors, pair.loss, pair);
        let share = 1.0 / self.pairs_per_step as f64;
        Ok((pair.grad_winner * share, pair.grad_loser * share))
    }

    /// Adds two candidates under the objective of the settings. Returns the derivatives of the step's mean loss. What is
    /// logged besides the loss is that of Diffusion-DPO whatever the objective, so that runs compare.
    pub fn add_by(&mut self, settings: &Training, samples: [Sample; 2], weight: f64) -> Result<Slopes> {
        let errors = PairErrors::from(samples);
        let share = 1.0 / self.pairs_per_step as f64;
        if settings.objective == Objective::Dpo && settings.anchor == 0.0 {
            let (winner, loser) = self.add(&errors, weight, settings.beta)?;
            return Ok(Slopes { loss: self.loss, error: [winner, loser], drift: [0.0, 0.0] });
        }
        let slopes = objective::loss(settings, samples, weight)?;
        self.count(&errors, slopes.loss, pair_loss(&errors, weight, settings.beta)?);
        let times = |both: [f64; 2]| both.map(|slope| slope * share);
        Ok(Slopes { error: times(slopes.error), drift: times(slopes.drift), ..slopes })
    }

    fn count(&mut self, errors: &PairErrors, loss: f64, pair: PairLoss) {
        self.pairs += 1;
        self.loss += loss;
        self.accuracy += pair.accuracy;
        self.margin += pair.margin;
        let four = [errors.policy_winner, errors.reference_winner, errors.policy_loser, errors.reference_loser];
        self.errors.iter_mut().zip(four).for_each(|(sum, e)| *sum += e);
    }

    /// The means over the pairs added, `None` before the first.
    pub fn mean(&self) -> Option<StepLoss> {
        if self.pairs == 0 {
            return None;
        }
        let count = self.pairs as f64;
        let [policy_winner, reference_winner, policy_loser, reference_loser] = self.errors.map(|sum| sum / count);
        Some(StepLoss {
            pairs: self.pairs,
            loss: self.loss / count,
            accuracy: self.accuracy / count,
            margin: self.margin / count,
            errors: PairErrors { policy_winner, reference_winner, policy_loser, reference_loser },
        })
    }
}

/// −log σ(−x) = log(1 + eˣ), without overflow for large x and without losing small results.
pub(super) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// σ(x), without overflow.
pub(super) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}
