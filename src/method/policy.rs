//! The policy π_θ: what of the network is trained, all of it or low-rank factors, and what of it is evaluated and kept.
//!
//! What is not trained is the start's own, shared and not copied. In LoRA mode the factors alone are trained, averaged and
//! kept; the weights that the network runs on are merged from them.

use std::sync::Arc;

use super::recipe::{Mode, Training};
use crate::nn::adamw::Settings;
use crate::nn::lora::{Layer, Lora};
use crate::nn::optimizer::{Lost, Optimizer, Pace};
use crate::nn::params::{Params, Specs};
use crate::nn::state::{OldLayout, Saved, State};
use crate::nn::tape::Gradients;
use crate::{Error, Result};

/// The policy π_θ and what trains it.
pub struct Policy {
    /// The weights the network runs on.
    weights: Params,
    low_rank: Option<LowRank>,
    optimizer: Optimizer,
    ema_decay: f64,
    /// Weights that are never trained: earlier versions kept moments of theirs.
    unread: Vec<String>,
}

/// Low-rank training: what the factors are added to.
struct LowRank {
    lora: Arc<Lora>,
    start: Params,
    /// Of all factors there could be: earlier versions kept those of frozen weights as well.
    all: Arc<Specs>,
}

impl Policy {
    /// Starts at `start`.
    pub fn new(start: &Params, settings: &Training) -> Result<Self> {
        Self::without(start, settings, Vec::new())
    }

    /// The same, without the weights that nothing reads: they get no gradient, and take no memory.
    pub fn without(start: &Params, settings: &Training, unread: Vec<String>) -> Result<Self> {
        let is_trained = |name: &str| {
            let is_frozen = settings.frozen.iter().any(|start| name.starts_with(start.as_str()));
            !is_frozen && unread.iter().all(|unread| unread != name)
        };
        if !start.iter().any(|(name, _)| is_trained(name)) {
            return Err(Error::invalid("training.frozen: every weight is frozen, so there is nothing to train"));
        }
        let adamw = Settings { weight_decay: settings.weight_decay, ..Settings::default() };
        let (ema_decay, averaged) = (settings.ema_decay, settings.ema_decay > 0.0);
        if settings.mode == Mode::Full {
            let weights = start.to_train(is_trained)?;
            // Before there are moments: a step reads it again where it needs it.
            start.let_go(|_| true);
            let optimizer = Optimizer::new(&weights, adamw, averaged)?;
            return Ok(Self { weights, low_rank: None, optimizer, ema_decay, unread });
        }
        let lora =
            |wanted: &dyn Fn(&str) -> bool| Lora::new(start.specs(), settings.lora_rank, settings.lora_alpha, wanted);
        let all = lora(&|_| true)?.specs().clone();
        let lora = Arc::new(lora(&is_trained)?);
        let weights = lora.working_copy(start)?;
        let factors = Params::init(lora.specs(), settings.seed, start.compute())?.trainable(true);
        let optimizer = Optimizer::new(&factors, adamw, averaged)?;
        let low_rank = Some(LowRank { lora, start: start.clone(), all });
        Ok(Self { weights, low_rank, optimizer, ema_decay, unread })
    }

    /// π_θ as the optimizer left it.
    pub fn weights(&self) -> &Params {
        &self.weights
    }

    /// Whether there is a moving average, which then is what is evaluated and kept.
    pub fn is_averaged(&self) -> bool {
        self.optimizer.average().is_some()
    }

    /// What is sampled and evaluated: the average if there is one. It shares its memory with the policy, so that the next
    /// step changes it.
    pub fn evaluated(&self) -> Result<Params> {
        match (self.optimizer.average(), self.addition(), &self.low_rank) {
            (None, ..) => Ok(self.weights.clone()),
            (Some(_), Some(layer), Some(LowRank { start, .. })) => layer.onto(start),
            (Some(average), ..) => Ok(self.weights.with(self.optimizer.ids(), average)),
        }
    }

    /// The factors that make what is evaluated out of the start, in LoRA mode.
    pub fn addition(&self) -> Option<Layer> {
        let factors = self.optimizer.average().unwrap_or(self.optimizer.weights()).clone();
        self.low_rank.as_ref().map(|low_rank| Layer { lora: low_rank.lora.clone(), factors })
    }

    /// One optimizer step, where `agreed` lets it (see [`Optimizer::step_if`]); returns the norm of the gradient before it was
    /// clipped to `clip` (0 does not clip). Nothing is changed where the norm is not finite.
    pub fn update(
        &mut self,
        gradients: Gradients,
        learning_rate: f64,
        clip: f64,
        agreed: impl FnOnce() -> Result<()>,
    ) -> Result<f64> {
        let longest = if clip > 0.0 { clip } else { f64::INFINITY };
        let pace = Pace { learning_rate, longest, decay: self.ema_decay };
        let Some(LowRank { lora, start, .. }) = &self.low_rank else {
            return self.optimizer.step_if(&gradients, pace, agreed);
        };
        let gradients = lora.project(self.optimizer.weights(), &gradients)?;
        let norm = self.optimizer.step_if(&gradients, pace, agreed)?;
        lora.merge(start, self.optimizer.weights(), &mut self.weights)?;
        Ok(norm)
    }

    /// Everything that resuming at `step` needs.
    pub fn state(&self, step: u64) -> State<'_> {
        let mut state = State::at(step);
        self.optimizer.save(&mut state);
        state
    }

    /// Goes on from a saved state; returns its step, and what was lost. Errors: it is damaged, or belongs to other settings.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(u64, Option<Lost>)> {
        let averaged = self.weights.specs();
        let trained = self.low_rank.as_ref().map_or(averaged, |low_rank| &low_rank.all);
        let saved = Saved::of(bytes, OldLayout { trained, averaged })?.without(&self.unread);
        let lost = self.optimizer.restore(&saved)?;
        if let Some(LowRank { lora, start, .. }) = &self.low_rank {
            lora.merge(start, self.optimizer.weights(), &mut self.weights)?;
        }
        Ok((saved.number("step")?, lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::kernels::Compute;
    use crate::nn::params::Init;

    fn start() -> Params {
        let mut specs = Specs::default();
        specs.add("a".into(), &[2, 3], Init::Normal(1.0));
        specs.add("b".into(), &[3], Init::Ones);
        Params::init(&Arc::new(specs), 1, &Compute::cpu()).unwrap()
    }

    fn bytes_of(policy: &Policy, step: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        policy.state(step).write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn no_byte_of_a_state_can_change_unnoticed() {
        let start = start();
        let settings = Training { ema_decay: 0.5, ..Training::default() };
        let state = bytes_of(&Policy::new(&start, &settings).unwrap(), 7);
        let mut policy = Policy::new(&start, &settings).unwrap();
        assert_eq!(policy.restore(&state).unwrap(), (7, None));
        for at in 0..state.len() {
            for bit in [0, 4, 5] {
                let mut changed = state.clone();
                changed[at] ^= 1 << bit;
                assert!(policy.restore(&changed).is_err(), "bit {bit} of byte {at}");
            }
            assert!(policy.restore(&state[..at]).is_err(), "cut at {at}");
        }
    }

    /// A state as earlier versions wrote it: values one after the other, 1, 2, 3 …
    fn earlier(version: u32, trained: usize, average: usize) -> Vec<u8> {
        let values: Vec<u8> = (1..=3 * trained + average).flat_map(|v| (v as f32).to_le_bytes()).collect();
        let sum = |bytes: &[u8]| {
            let add = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x0000_0100_0000_01B3);
            let words = bytes.chunks_exact(4);
            let rest = words.remainder();
            let word = |b: &[u8]| u64::from(u32::from_le_bytes(b.try_into().unwrap()));
            let sum = words.fold(0xCBF2_9CE4_8422_2325, |sum, b| add(sum, word(b)));
            rest.iter().fold(sum, |sum, &byte| add(sum, u64::from(byte)))
        };
        let header = serde_json::json!({"step": 12, "optimizer_step": 12, "trained": trained, "average": average});
        if version == 1 {
            let mut header = header;
            header["format"] = "dp2o-studio training state 1".into();
            header["checksum"] = sum(&values).into();
            return [header.to_string().as_bytes(), b"\n", &values].concat();
        }
        let rest = [header.to_string().as_bytes(), b"\n", &values].concat();
        [format!("dp2o-studio training state 2 {:016x}\n", sum(&rest)).as_bytes(), &rest].concat()
    }

    fn flat(range: std::ops::Range<u8>) -> Vec<f32> {
        range.map(f32::from).collect()
    }

    #[test]
    fn states_of_earlier_versions_are_read() {
        let start = start();
        for (version, ema_decay) in [(1, 0.0), (1, 0.5), (2, 0.0), (2, 0.5)] {
            let average = if ema_decay > 0.0 { 9 } else { 0 };
            let state = earlier(version, 9, average);
            let policy = |settings: Training| Policy::new(&start, &Training { ema_decay, ..settings }).unwrap();
            let mut all = policy(Training::default());
            assert_eq!(all.restore(&state).unwrap(), (12, None));
            assert_eq!(all.weights().to_flat().unwrap(), flat(1..10));
            let (evaluated, averaged) = (all.evaluated().unwrap().to_flat().unwrap(), ema_decay > 0.0);
            assert_eq!(evaluated, if averaged { flat(28..37) } else { flat(1..10) });
            // They hold frozen weights too, whose values are not taken: they are the start's.
            let mut some = policy(Training { frozen: vec!["a".into()], ..Training::default() });
            some.restore(&state).unwrap();
            let weights = some.weights().to_flat().unwrap();
            assert_eq!((&weights[..6], &weights[6..]), (&start.to_flat().unwrap()[..6], &flat(7..10)[..]));
            // What goes on from there is what would go on from a state of this version.
            let mut again = policy(Training { frozen: vec!["a".into()], ..Training::default() });
            again.restore(&bytes_of(&some, 12)).unwrap();
            assert!(bytes_of(&again, 12) == bytes_of(&some, 12));

            let mut changed = state.clone();
            *changed.last_mut().unwrap() ^= 1;
            for bytes in [&changed, &state[..state.len() - 4]] {
                assert!(all.restore(bytes).unwrap_err().to_string().contains("not a whole training state"));
            }
            let other = Training { ema_decay: 0.5 - ema_decay, ..Training::default() };
            let error = Policy::new(&start, &other).unwrap().restore(&state).unwrap_err().to_string();
            assert!(error.contains("belongs to other settings"), "{error}");
        }
    }

    /// Earlier versions averaged the merged weights, from which no average of factors follows.
    #[test]
    fn low_rank_training_of_an_earlier_version_goes_on_with_an_average_that_begins_anew() {
        let start = start();
        let settings = Training { mode: Mode::Lora, lora_rank: 1, ema_decay: 0.5, ..Training::default() };
        let mut policy = Policy::new(&start, &settings).unwrap();
        assert_eq!(policy.restore(&earlier(2, 5, 9)).unwrap(), (12, Some(Lost::Average)));
        assert_eq!(policy.addition().unwrap().factors.to_flat().unwrap(), flat(1..6));
        assert!(policy.evaluated().unwrap().to_flat().unwrap() == policy.weights().to_flat().unwrap());
        let mut again = Policy::new(&start, &settings).unwrap();
        assert_eq!(again.restore(&bytes_of(&policy, 12)).unwrap(), (12, None));
        let without = Training { ema_decay: 0.0, ..settings };
        assert_eq!(Policy::new(&start, &without).unwrap().restore(&earlier(2, 5, 0)).unwrap(), (12, None));
        assert!(Policy::new(&start, &without).unwrap().restore(&earlier(2, 5, 9)).is_err());
    }

    #[test]
    fn what_is_frozen_is_the_start_itself_and_in_no_state() {
        let start = start();
        let settings = Training { frozen: vec!["a".into()], ema_decay: 0.5, ..Training::default() };
        let policy = Policy::new(&start, &settings).unwrap();
        let evaluated = policy.evaluated().unwrap();
        for weights in [policy.weights(), &evaluated] {
            let ids = start.clone().trainable(true).trained().0;
            assert_eq!(ids.iter().map(|&id| weights.shares(id, &start)).collect::<Vec<_>>(), [true, false]);
        }
        let names = |policy: &Policy| policy.state(0).tensors.into_iter().map(|t| t.name).collect::<Vec<_>>();
        assert_eq!(names(&policy), ["trained.b", "first.b", "second.b", "average.b"]);
        let low_rank = Training { mode: Mode::Lora, frozen: vec!["b".into()], ..settings };
        let policy = Policy::new(&start, &low_rank).unwrap();
        let ids = start.clone().trainable(true).trained().0;
        assert!(policy.weights().shares(ids[1], &start));
        assert!(names(&policy).iter().all(|name| name.contains(".a.lora_")));
    }
}
