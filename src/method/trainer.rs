//! Fine-tuning by Diffusion-DPO (method §5): one optimizer step at a time, exactly resumable.
//!
//! Winner and loser of a pair are corrupted with the same noise ε at the same time t. Everything random is a function
//! of the training seed and the pair's position in the run, so the step number is all there is to the sampler's state.

use candle_core::Tensor;

use super::batch::{Batch, Item, Items};
pub use super::batch::{PairImages, Pairs, Under};
use super::loss::{LossSums, StepLoss};
use super::objective::Sample;
use super::order::Order;
use super::policy::Policy;
use super::recipe::{Activations, Training};
use crate::backbones::{Backbone, Query};
use crate::nn::optimizer::Lost;
use crate::nn::params::Params;
use crate::nn::state::State;
use crate::nn::tape::{Gradients, Tape};
use crate::{Error, Result};

/// What is logged of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepLog {
    /// Steps made, this one included.
    pub step: u64,
    /// Means over the pairs of the step.
    pub loss: StepLoss,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    pub learning_rate: f64,
}

/// A fine-tuning in progress.
pub struct Trainer<'m> {
    backbone: &'m dyn Backbone,
    reference: &'m Params,
    /// The scale that the network is told, where its guidance is embedded.
    told: Option<f32>,
    settings: Training,
    items: Items<'m>,
    policy: Policy,
    order: Order,
    step: u64,
    /// Pairs of the step being made that went through the network.
    passed: usize,
    /// Pairs that go through the network together.
    at_once: usize,
}

impl<'m> Trainer<'m> {
    /// Starts at `start`, the policy's first weights, with the frozen `reference`.
    pub fn new(
        backbone: &'m dyn Backbone,
        reference: &'m Params,
        start: &Params,
        settings: Training,
        pairs: usize,
    ) -> Result<Self> {
        if pairs == 0 {
            return Err(Error::invalid("there are no pairs to train on; sample and score candidates first"));
        }
        let policy = Policy::without(start, &settings, backbone.unread_weights())?;
        let order = Order::new(settings.seed, pairs);
        let items = Items::new(backbone, &settings, reference.device());
        let at_once = settings.batch_pairs;
        Ok(Self { backbone, reference, told: None, settings, items, policy, order, step: 0, passed: 0, at_once })
    }

    /// With a scale that the network is told. Guidance outside of it has no part in training.
    pub fn told(self, told: Option<f32>) -> Self {
        Self { told, ..self }
    }

    /// With no more pairs through the network together, whatever the batch: what a step comes to differs by no more than
    /// rounding.
    pub fn at_once(self, most: usize) -> Self {
        Self { at_once: self.at_once.min(most).max(1), ..self }
    }

    /// From now on half as many pairs go through the network together; says how many, `None` where it is one already.
    pub fn halve(&mut self) -> Option<usize> {
        let half = (self.at_once > 1).then_some(self.at_once / 2)?;
        self.at_once = half;
        Some(half)
    }

    /// Steps made.
    pub fn step_number(&self) -> u64 {
        self.step
    }

    /// What of the step being made is done, in [0, 1].
    pub fn share(&self) -> f64 {
        self.passed as f64 / self.settings.pairs_per_step().max(1) as f64
    }

    /// The weights and what trains them.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Everything that resuming needs.
    pub fn state(&self) -> State<'_> {
        self.policy.state(self.step)
    }

    /// Goes on from the bytes of a [`Trainer::state`]; returns what was lost. Errors: they are damaged, or belong to other
    /// settings.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<Option<Lost>> {
        let (step, lost) = self.policy.restore(bytes)?;
        self.step = step;
        Ok(lost)
    }

    /// Learning rate of a step: rises linearly over the warm-up, then constant.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let warmup = self.settings.warmup_steps as f64;
        self.settings.learning_rate * if warmup > 0.0 { ((step + 1) as f64 / warmup).min(1.0) } else { 1.0 }
    }

    /// Makes one optimizer step. `checkpoint` runs before what goes through the network together, with the trainer as it was after
    /// the step before but for [`Trainer::share`]; its error stops, and the step did not happen. Nor did it where loss or gradient are not finite: [`Error::Diverged`].
    pub fn step(&mut self, pairs: &mut dyn Pairs, checkpoint: &mut dyn FnMut(&Self) -> Result<()>) -> Result<StepLog> {
        let per_step = self.settings.pairs_per_step();
        let mut sums = LossSums::new(per_step)?;
        let mut gradients = Gradients::new(self.reference.kernels());
        self.passed = 0;
        for batch in 0..self.settings.accumulation {
            let first = self.step * per_step as u64 + (batch * self.settings.batch_pairs) as u64;
            let mut waiting: Vec<Item> = Vec::with_capacity(self.settings.batch_pairs);
            for position in first..first + self.settings.batch_pairs as u64 {
                let item = self.item(pairs, position)?;
                // Pairs of another size cannot go through the network together.
                if waiting.len() == self.at_once || waiting.first().is_some_and(|other| other.shape() != item.shape()) {
                    checkpoint(self)?;
                    self.accumulate(&std::mem::take(&mut waiting), &mut sums, &mut gradients)?;
                }
                waiting.push(item);
            }
            checkpoint(self)?;
            self.accumulate(&waiting, &mut sums, &mut gradients)?;
        }
        checkpoint(self)?;
        let learning_rate = self.learning_rate(self.step);
        let grad_norm = self.policy.update(gradients, learning_rate, self.settings.grad_clip)?;
        self.step += 1;
        let loss = sums.mean().ok_or_else(|| Error::invalid("a training step needs at least one pair"))?;
        Ok(StepLog { step: self.step, loss, grad_norm, learning_rate })
    }

    fn item(&mut self, pairs: &mut dyn Pairs, position: u64) -> Result<Item> {
        self.items.of(pairs, self.order.at(position), position)
    }

    /// Adds the gradient of a batch of pairs of one shape.
    fn accumulate(&mut self, items: &[Item], sums: &mut LossSums, gradients: &mut Gradients) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let count = items.len();
        let Batch { x_t, times, shown, target, time_weights } = Batch::new(self.backbone, items, &self.settings)?;
        let query = Query::new(&x_t, &times, &shown).guided(self.told);

        let tape = Tape::inference(self.reference.kernels());
        let y = self.backbone.predict(&tape, self.reference, &query)?;
        let reference = errors(&(y.tensor() - &target)?)?;
        let drift_from = self.settings.objective.needs_drift().then(|| y.tensor().clone());

        let tape =
            Tape::recording(self.reference.kernels()).recomputing(self.settings.activations == Activations::Recompute);
        let y = self.backbone.predict(&tape, self.policy.weights(), &query)?;
        let difference = (y.tensor() - &target)?;
        let policy = errors(&difference)?;
        let drift = drift_from.map(|reference| y.tensor() - reference).transpose()?;
        let drifts = drift.as_ref().map_or_else(|| Ok(vec![0.0; 2 * count]), errors)?;
        let values = difference.elem_count() / (2 * count);
        let mut slopes = [vec![0.0f32; 2 * count], vec![0.0f32; 2 * count]];
        for (i, (item, time_weight)) in items.iter().zip(time_weights).enumerate() {
            let sample = |side: usize| Sample {
                policy: policy[side * count + i],
                reference: reference[side * count + i],
                drift: drifts[side * count + i],
                advantage: item.advantages[side],
            };
            let by = sums.add_by(&self.settings, [sample(0), sample(1)], item.weight * time_weight)?;
            // d(mean of squares)/dy = 2/n · (y − target), and the same of the drift.
            for (slopes, by) in slopes.iter_mut().zip([by.error, by.drift]) {
                slopes[i] = (by[0] * 2.0 / values as f64) as f32;
                slopes[count + i] = (by[1] * 2.0 / values as f64) as f32;
            }
        }
        let [of_error, of_drift] =
            slopes.map(|slopes| Tensor::from_vec(slopes, (2 * count, 1, 1, 1), difference.device()));
        let mut slope = difference.broadcast_mul(&of_error?)?;
        if let Some(drift) = drift {
            slope = (slope + drift.broadcast_mul(&of_drift?)?)?;
        }
        tape.backward_into(&y, slope, gradients)?;
        self.passed += count;
        Ok(())
    }
}

/// e of each image: mean of squares over all its elements.
fn errors(difference: &Tensor) -> Result<Vec<f64>> {
    let means = difference.sqr()?.flatten_from(1)?.mean(1)?.to_vec1::<f32>()?;
    Ok(means.into_iter().map(f64::from).collect())
}
