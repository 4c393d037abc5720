//! Fine-tuning by Diffusion-DPO (method §5): one optimizer step at a time, exactly resumable.
//!
//! Winner and loser of a pair are corrupted with the same noise ε at the same time t. Everything random is a function
//! of the training seed and the pair's position in the run, so the step number is all there is to the sampler's state.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;

use super::batch::{Batch, Item, Items};
pub use super::batch::{PairImages, Pairs, Under};
use super::loss::{LossSums, StepLoss};
use super::objective::Sample;
use super::order::Order;
use super::policy::Policy;
use super::recipe::{Activations, Training};
use super::slopes::{Slopes, slopes};
use crate::backbones::{Backbone, Query};
use crate::nn::optimizer::Lost;
use crate::nn::params::Params;
use crate::nn::state::State;
use crate::nn::tape::{Gradients, Tape};
use crate::nn::workers::{self, Give, Next, Worker};
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
    /// Under a lock, as parts of a step are computed meanwhile.
    items: Mutex<(Items<'m>, Order)>,
    policy: Policy,
    step: u64,
    /// Pairs of the step being made that went through the network.
    passed: AtomicUsize,
    /// Pairs that go through the network together.
    at_once: usize,
    /// Who computes parts of a step, and with what.
    workers: Vec<Worker>,
    sides: Vec<Side<'m>>,
}

/// What a worker computes with.
struct Side<'m> {
    backbone: &'m dyn Backbone,
    reference: &'m Params,
    /// The policy, where it is not in this worker's memory.
    policy: Option<Params>,
}

/// What the pairs of a part came to.
struct Scored {
    /// Of every image, winners first: e_ref, e_θ, and δ² where the objective asks for it. Where work is only queued they are
    /// read at the end of the step.
    errors: Tensor,
    /// Of winner and loser.
    advantages: Vec<[f64; 2]>,
    /// How much each counts.
    weights: Vec<f64>,
}

impl Scored {
    /// Samples of each pair, and how much it counts.
    fn samples(&self) -> Result<Vec<([Sample; 2], f64)>> {
        let read: Vec<Vec<f32>> = self.errors.to_vec2()?;
        let error = |of: usize, image: usize| read.get(of).map_or(0.0, |errors| f64::from(errors[image]));
        let count = self.weights.len();
        let sample = |pair: usize, side: usize| Sample {
            reference: error(0, side * count + pair),
            policy: error(1, side * count + pair),
            drift: error(2, side * count + pair),
            advantage: self.advantages[pair][side],
        };
        let pairs = self.weights.iter().enumerate();
        Ok(pairs.map(|(pair, &weight)| ([sample(pair, 0), sample(pair, 1)], weight)).collect())
    }
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
        let items = Mutex::new((Items::new(backbone, &settings, reference.device()), order));
        let at_once = settings.batch_pairs;
        let workers = vec![Worker::alone(reference.compute().clone())];
        let sides = vec![Side { backbone, reference, policy: None }];
        let (step, passed) = (0, AtomicUsize::new(0));
        Ok(Self { backbone, reference, told: None, settings, items, policy, step, passed, at_once, workers, sides })
    }

    /// On several devices, which share the parts of a step: each with its copy of backbone and reference, or those themselves
    /// where it computes in their memory. What a step comes to is the same to the last bit, however many there are.
    pub fn on(mut self, workers: &[Worker], models: &[(&'m dyn Backbone, &'m Params)]) -> Result<Self> {
        if workers.is_empty() || workers.len() != models.len() {
            return Err(Error::invalid("each device needs a model to train with"));
        }
        let side = |&(backbone, reference): &(&'m dyn Backbone, &'m Params)| {
            let is_elsewhere = !reference.device().same_device(self.reference.device());
            let policy = is_elsewhere.then(|| self.policy.weights().copied_to(reference.compute())).transpose()?;
            Ok(Side { backbone, reference, policy })
        };
        self.sides = models.iter().map(side).collect::<Result<_>>()?;
        self.workers = workers.to_vec();
        Ok(self)
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
        self.passed.load(Ordering::Relaxed) as f64 / self.settings.pairs_per_step().max(1) as f64
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
        self.tell_sides()?;
        Ok(lost)
    }

    /// Copies the policy to where it is not.
    fn tell_sides(&mut self) -> Result<()> {
        for side in &mut self.sides {
            if let Some(copy) = &mut side.policy {
                *copy = copy.with_trained_of(self.policy.weights())?;
            }
        }
        Ok(())
    }

    /// Learning rate of a step: rises linearly over the warm-up, then constant.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let warmup = self.settings.warmup_steps as f64;
        self.settings.learning_rate * if warmup > 0.0 { ((step + 1) as f64 / warmup).min(1.0) } else { 1.0 }
    }

    /// Makes one optimizer step. `checkpoint` runs before what goes through the network together, with the trainer as it was after
    /// the step before but for [`Trainer::share`]; its error stops, and the step did not happen. Nor did it where loss or gradient
    /// are not finite: [`Error::Diverged`].
    ///
    /// A step's parts are its batches, cut where pairs have another size and where no more go through the network at once. Their
    /// gradients are summed in their order, whoever computes them and whenever they are there.
    pub fn step(&mut self, pairs: &mut dyn Pairs, checkpoint: &mut dyn FnMut(&Self) -> Result<()>) -> Result<StepLog> {
        let mut sums = LossSums::new(self.settings.pairs_per_step())?;
        let mut gradients = Gradients::new(self.reference.kernels());
        self.passed = AtomicUsize::new(0);
        let this = &*self;
        let mut cut = Cut::default();
        let mut made = Vec::new();
        let count = |made: &mut Vec<Scored>, scored: Scored| {
            this.passed.fetch_add(scored.weights.len(), Ordering::Relaxed);
            made.push(scored);
        };
        match this.sides.as_slice() {
            // One after the other they add to the same sums.
            [side] => {
                while let Some(items) = this.next_part(&mut cut, pairs, checkpoint)? {
                    let scored = this.part(side, &items, &mut gradients)?;
                    count(&mut made, scored);
                }
            }
            sides => {
                // Parts that are summed up, and those that are there before their turn: no more than one for each device, as each
                // is as large as all that is trained.
                let (mut given, mut due, early) = (0, 0, RefCell::new(BTreeMap::new()));
                let mut next = || {
                    if early.borrow().len() >= sides.len() {
                        return Ok(Next::Later);
                    }
                    let items = this.next_part(&mut cut, pairs, checkpoint)?;
                    given += 1;
                    Ok(items.map(|items| (given - 1, items)).into())
                };
                let work = |worker: usize, (index, items): (usize, Vec<Item>), give: Give<_>| {
                    let side = &sides[worker];
                    let mut gradients = Gradients::new(side.reference.kernels());
                    let scored = this.part(side, &items, &mut gradients)?;
                    give((index, scored, gradients))
                };
                let mut take = |(index, scored, part): (usize, Scored, Gradients)| {
                    early.borrow_mut().insert(index, (scored, part));
                    loop {
                        let in_turn = early.borrow_mut().remove(&due);
                        let Some((scored, part)) = in_turn else { return Ok(()) };
                        count(&mut made, scored);
                        gradients.add_params(part, this.reference.device())?;
                        due += 1;
                    }
                };
                workers::share(&this.workers, &mut next, &work, &mut take)?;
            }
        }
        checkpoint(self)?;
        let learning_rate = self.learning_rate(self.step);
        let settings = &self.settings;
        let grad_norm = self.policy.update(gradients, learning_rate, settings.grad_clip, || {
            let mut all = made.iter().map(Scored::samples);
            all.try_for_each(|samples| {
                samples?.into_iter().try_for_each(|(both, weight)| sums.add_by(settings, both, weight).map(drop))
            })
        })?;
        self.tell_sides()?;
        self.step += 1;
        let loss = sums.mean().ok_or_else(|| Error::invalid("a training step needs at least one pair"))?;
        Ok(StepLog { step: self.step, loss, grad_norm, learning_rate })
    }

    /// The next part of the step: pairs of one shape and one batch; `None` after the last.
    fn next_part(
        &self,
        cut: &mut Cut,
        pairs: &mut dyn Pairs,
        checkpoint: &mut dyn FnMut(&Self) -> Result<()>,
    ) -> Result<Option<Vec<Item>>> {
        let per_step = self.settings.pairs_per_step();
        let mut part: Vec<Item> = cut.left.take().into_iter().collect();
        while cut.at < per_step {
            if cut.at.is_multiple_of(self.settings.batch_pairs) && !part.is_empty() {
                break;
            }
            let item = self.item(pairs, self.step * per_step as u64 + cut.at as u64)?;
            cut.at += 1;
            // Pairs of another size cannot go through the network together.
            if part.len() == self.at_once || part.first().is_some_and(|other| other.shape() != item.shape()) {
                cut.left = Some(item);
                break;
            }
            part.push(item);
        }
        if part.is_empty() {
            return Ok(None);
        }
        checkpoint(self)?;
        Ok(Some(part))
    }

    fn item(&self, pairs: &mut dyn Pairs, position: u64) -> Result<Item> {
        let (items, order) = &mut *self.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.of(pairs, order.at(position), position)
    }

    /// Adds the gradient of pairs of one shape; returns what they came to.
    fn part(&self, side: &Side, items: &[Item], gradients: &mut Gradients) -> Result<Scored> {
        let Side { backbone, reference, policy } = side;
        let (count, policy) = (items.len(), policy.as_ref().unwrap_or(self.policy.weights()));
        let batch = Batch::new(self.backbone, items, &self.settings)?.on(reference.device())?;
        let Batch { x_t, times, shown, target, time_weights } = batch;
        let query = Query::new(&x_t, &times, &shown).guided(self.told).of_step();

        let tape = Tape::inference(reference.kernels());
        let y = backbone.predict(&tape, &reference.for_once(), &query)?;
        reference.let_go(|_| true);
        let mut read = vec![errors(&(y.tensor() - &target)?)?];
        let drift_from = self.settings.objective.needs_drift().then(|| y.tensor().clone());

        let is_recomputed = self.settings.activations == Activations::Recompute;
        let tape = Tape::recording(reference.kernels()).recomputing(is_recomputed);
        let y = backbone.predict(&tape, policy, &query)?;
        let difference = (y.tensor() - &target)?;
        read.push(errors(&difference)?);
        let drift = drift_from.map(|reference| y.tensor() - reference).transpose()?;
        read.extend(drift.as_ref().map(errors).transpose()?);
        let weights = items.iter().zip(time_weights).map(|(item, of_time)| item.weight * of_time).collect();
        let advantages = items.iter().map(|item| item.advantages).collect();
        let scored = Scored { errors: Tensor::stack(&read, 0)?, advantages, weights };
        let values = difference.elem_count() / (2 * count);
        let Slopes { error: of_error, drift: of_drift } = self.slopes(reference, &scored, values)?;
        let of_image = |slopes: Tensor| slopes.reshape((2 * count, 1, 1, 1));
        let mut slope = difference.broadcast_mul(&of_image(of_error)?)?;
        if let (Some(drift), Some(of_drift)) = (drift, of_drift) {
            slope = (slope + drift.broadcast_mul(&of_image(of_drift)?)?)?;
        }
        tape.backward_into(&y, slope, gradients)?;
        Ok(scored)
    }

    /// What a part's differences of `values` values each are multiplied with for the gradient of the step's mean loss: by numbers,
    /// or where the errors are if reading them would be waited for.
    fn slopes(&self, side: &Params, scored: &Scored, values: usize) -> Result<Slopes> {
        let Scored { errors, advantages, weights } = scored;
        let settings = &self.settings;
        if side.kernels().only_queues() {
            let share = 2.0 / (values * settings.pairs_per_step()) as f64;
            let weights: Vec<f64> = weights.iter().map(|weight| weight * share).collect();
            return Ok(slopes(settings, [&errors.get(0)?, &errors.get(1)?], advantages, &weights)?);
        }
        let count = weights.len();
        let mut slopes = [vec![0.0f32; 2 * count], vec![0.0f32; 2 * count]];
        // A pair's derivative follows from the pair and the number of pairs alone.
        let mut alone = LossSums::new(settings.pairs_per_step())?;
        for (i, (samples, weight)) in scored.samples()?.into_iter().enumerate() {
            let of = alone.add_by(settings, samples, weight)?;
            // d(mean of squares)/dy = 2/n · (y − target), and the same of the drift.
            for (slopes, of) in slopes.iter_mut().zip([of.error, of.drift]) {
                slopes[i] = felt(of[0] * 2.0 / values as f64);
                slopes[count + i] = felt(of[1] * 2.0 / values as f64);
            }
        }
        let [error, drift] = slopes.map(|slopes| Tensor::from_vec(slopes, 2 * count, errors.device()));
        Ok(Slopes { error: error?, drift: Some(drift?) })
    }
}

/// A slope in f32, 0 where no weight would feel it: a pair that is learned altogether has slopes of e⁻¹⁰⁰, whose products in the
/// backward pass are subnormal, and a CPU computes those ten times slower.
fn felt(slope: f64) -> f32 {
    const LEAST: f64 = 1e-20;
    if slope.abs() < LEAST { 0.0 } else { slope as f32 }
}

/// How far a step is cut into parts.
#[derive(Default)]
struct Cut {
    /// Pairs of the step that were made ready.
    at: usize,
    /// One that did not fit to those before it.
    left: Option<Item>,
}

/// e of each image: mean of squares over all its elements.
fn errors(difference: &Tensor) -> Result<Tensor> {
    Ok(difference.sqr()?.flatten_from(1)?.mean(1)?)
}
