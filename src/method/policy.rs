//! The weights being trained: all of them or low-rank additions, their moving average, optimizer and saved state.

use serde::{Deserialize, Serialize};

use super::recipe::{Mode, Training};
use crate::nn::adamw::{AdamW, Settings};
use crate::nn::lora::Lora;
use crate::nn::params::Params;
use crate::nn::tape::Gradients;
use crate::{Error, Result};

/// How a saved state begins: with this and the [`checksum`] of everything after the first line in hexadecimal. Then comes the
/// [`Header`] as a line of JSON, then the values as little-endian f32.
const FORMAT: &str = "dp2o-studio training state 2 ";
/// What the header of a state of the version before says; it was the first line, and no checksum covered it.
const FORMAT_1: &str = "dp2o-studio training state 1";

/// The policy π_θ and what trains it.
pub struct Policy<'m> {
    /// The weights the network runs on.
    weights: Params,
    additions: Option<Additions<'m>>,
    /// Exponential moving average of `weights`, and its decay.
    average: Option<(Params, f64)>,
    optimizer: AdamW,
}

/// Low-rank training: what is trained instead of the weights.
struct Additions<'m> {
    lora: Lora,
    base: &'m Params,
    factors: Params,
}

/// What the values of a saved state are.
#[derive(Serialize, Deserialize)]
struct Header {
    step: u64,
    optimizer_step: u64,
    /// Values trained; the state holds them, both moments, and the average if there is one.
    trained: usize,
    average: usize,
}

/// The first line of a state of version 1.
#[derive(Deserialize)]
struct Header1 {
    format: String,
    /// Of the values alone.
    checksum: u64,
    #[serde(flatten)]
    header: Header,
}

impl<'m> Policy<'m> {
    /// Starts as a copy of `start`.
    pub fn new(start: &'m Params, settings: &Training) -> Result<Self> {
        let is_frozen = |name: &str| settings.frozen.iter().any(|start| name.starts_with(start.as_str()));
        let weights = start.duplicate()?.trainable_where(|name| !is_frozen(name));
        if !weights.is_any_trainable() {
            return Err(Error::invalid("training.frozen: every weight is frozen, so there is nothing to train"));
        }
        let additions = match settings.mode {
            Mode::Full => None,
            Mode::Lora => {
                let lora = Lora::new(start.specs(), settings.lora_rank, settings.lora_alpha)?;
                let factors = Params::init(lora.specs(), settings.seed, start.compute())?;
                Some(Additions { lora, base: start, factors })
            }
        };
        let trained = additions.as_ref().map_or(&weights, |a| &a.factors);
        let settings_of = Settings { weight_decay: settings.weight_decay, ..Settings::default() };
        let optimizer = AdamW::new(settings_of, trained.kernels(), trained.iter().map(|(_, t)| t))?;
        let average = match settings.ema_decay {
            0.0 => None,
            decay => Some((weights.duplicate()?, decay)),
        };
        Ok(Self { weights, additions, average, optimizer })
    }

    /// π_θ as the optimizer left it.
    pub fn weights(&self) -> &Params {
        &self.weights
    }

    /// The moving average of π_θ, if there is one.
    pub fn average(&self) -> Option<&Params> {
        self.average.as_ref().map(|(params, _)| params)
    }

    /// What is sampled and evaluated: the average if there is one.
    pub fn evaluated(&self) -> &Params {
        self.average().unwrap_or(&self.weights)
    }

    /// One optimizer step; returns the norm of the gradient before it was clipped to `clip` (0 does not clip). Nothing
    /// is changed where the norm is not finite.
    pub fn update(&mut self, gradients: Gradients, learning_rate: f64, clip: f64) -> Result<f64> {
        let gradients = match &self.additions {
            Some(a) => a.lora.project(&a.factors, &gradients)?,
            None => gradients,
        };
        let norm = gradients.norm()?;
        if !norm.is_finite() {
            return Err(Error::Diverged(format!("the gradient's norm is {norm}")));
        }
        let scale = if clip > 0.0 && norm > clip { clip / norm } else { 1.0 };
        match &mut self.additions {
            Some(a) => {
                self.optimizer.step(&mut a.factors, &gradients, learning_rate, scale)?;
                a.lora.merge(a.base, &a.factors, &mut self.weights)?;
            }
            None => self.optimizer.step(&mut self.weights, &gradients, learning_rate, scale)?,
        }
        if let Some((average, decay)) = &mut self.average {
            average.average_with(&self.weights, *decay)?;
        }
        Ok(norm)
    }

    /// Everything that resuming at `step` needs.
    pub fn state(&self, step: u64) -> Result<Vec<u8>> {
        let (optimizer_step, moments) = self.optimizer.state()?;
        let trained = self.additions.as_ref().map_or(&self.weights, |a| &a.factors).to_flat()?;
        let average = self.average().map(Params::to_flat).transpose()?.unwrap_or_default();
        let parts = [trained.as_slice()]
            .into_iter()
            .chain(moments.iter().map(|[first, _]| first.as_slice()))
            .chain(moments.iter().map(|[_, second]| second.as_slice()))
            .chain([average.as_slice()]);
        let header = Header { step, optimizer_step, trained: trained.len(), average: average.len() };
        let mut bytes = serde_json::to_vec(&header).map_err(Error::invalid)?;
        bytes.push(b'\n');
        bytes.reserve(4 * (3 * trained.len() + average.len()));
        parts.flatten().for_each(|v| bytes.extend(v.to_le_bytes()));
        let first = format!("{FORMAT}{:016x}\n", checksum(&bytes));
        bytes.splice(0..0, first.into_bytes());
        Ok(bytes)
    }

    /// Goes on from a saved state; returns its step. Errors: it is damaged, or belongs to other settings.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<u64> {
        let (header, values) = read(bytes)?;
        let averaged = if self.average.is_some() { self.weights.specs().value_count() } else { 0 };
        let mut rest = values.as_slice();
        let mut take = |n: usize| {
            let (head, tail) = rest.split_at(n.min(rest.len()));
            rest = tail;
            head
        };
        let trained = self.additions.as_mut().map_or(&mut self.weights, |a| &mut a.factors);
        let sizes: Vec<usize> = trained.iter().map(|(_, t)| t.elem_count()).collect();
        if header.trained != sizes.iter().sum::<usize>() || header.average != averaged {
            return Err(Error::invalid("the training state belongs to other settings (network, LoRA or EMA)"));
        }
        trained.set_flat(take(header.trained))?;
        let first: Vec<Vec<f32>> = sizes.iter().map(|&n| take(n).to_vec()).collect();
        let second: Vec<Vec<f32>> = sizes.iter().map(|&n| take(n).to_vec()).collect();
        let moments = first.into_iter().zip(second).map(|(a, b)| [a, b]).collect();
        self.optimizer.restore(header.optimizer_step, moments)?;
        if let Some(a) = &self.additions {
            a.lora.merge(a.base, &a.factors, &mut self.weights)?;
        }
        if let Some((average, _)) = &mut self.average {
            average.set_flat(take(header.average))?;
        }
        Ok(header.step)
    }
}

/// The step of a saved state that is whole.
pub fn step_of_state(bytes: &[u8]) -> Result<u64> {
    read(bytes).map(|(header, _)| header.step)
}

fn read(bytes: &[u8]) -> Result<(Header, Vec<f32>)> {
    let damaged = || Error::invalid("not a whole training state");
    let (first, rest) = split_line(bytes).ok_or_else(damaged)?;
    let (header, values) = match first.strip_prefix(FORMAT.as_bytes()) {
        Some(sum) if sum == format!("{:016x}", checksum(rest)).as_bytes() => {
            let (header, values) = split_line(rest).ok_or_else(damaged)?;
            (serde_json::from_slice::<Header>(header).map_err(|_| damaged())?, values)
        }
        Some(_) => return Err(damaged()),
        None => {
            let line: Header1 = serde_json::from_slice(first).map_err(|_| damaged())?;
            if line.format != FORMAT_1 || checksum(rest) != line.checksum {
                return Err(damaged());
            }
            (line.header, rest)
        }
    };
    let count = header.trained.saturating_mul(3).saturating_add(header.average);
    if values.len() != count.saturating_mul(4) {
        return Err(damaged());
    }
    let values = values.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok((header, values))
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// A fast sum that notices any changed word, and missing and stale blocks; no protection against malice.
fn checksum(bytes: &[u8]) -> u64 {
    let add = |sum: u64, word: u32| (sum ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01B3);
    let words = bytes.chunks_exact(4);
    let rest = words.remainder();
    let sum = words.fold(0xCBF2_9CE4_8422_2325, |sum, b| add(sum, u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
    rest.iter().fold(sum, |sum, &byte| add(sum, u32::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::kernels::Compute;
    use crate::nn::params::{Init, Specs};
    use std::sync::Arc;

    fn start() -> Params {
        let mut specs = Specs::default();
        specs.add("a".into(), &[2, 3], Init::Normal(1.0));
        specs.add("b".into(), &[3], Init::Ones);
        Params::init(&Arc::new(specs), 1, &Compute::cpu()).unwrap()
    }

    #[test]
    fn no_byte_of_a_state_can_change_unnoticed() {
        let start = start();
        let settings = Training { ema_decay: 0.5, ..Training::default() };
        let state = Policy::new(&start, &settings).unwrap().state(7).unwrap();
        let mut policy = Policy::new(&start, &settings).unwrap();
        assert_eq!(policy.restore(&state).unwrap(), 7);
        for at in 0..state.len() {
            for bit in [0, 4, 5] {
                let mut changed = state.clone();
                changed[at] ^= 1 << bit;
                assert!(policy.restore(&changed).is_err(), "bit {bit} of byte {at}");
            }
            assert!(policy.restore(&state[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_state_of_the_version_before_is_read() {
        let start = start();
        let settings = Training { ema_decay: 0.0, ..Training::default() };
        let values: Vec<u8> = (0..27u8).flat_map(|v| f32::from(v).to_le_bytes()).collect();
        let line = serde_json::json!({
            "format": "dp2o-studio training state 1", "step": 12, "optimizer_step": 12, "trained": 9, "average": 0,
            "checksum": checksum(&values),
        });
        let state = [line.to_string().as_bytes(), b"\n", &values].concat();
        let mut policy = Policy::new(&start, &settings).unwrap();
        assert_eq!(policy.restore(&state).unwrap(), 12);
        assert_eq!(policy.weights().to_flat().unwrap(), (0..9u8).map(f32::from).collect::<Vec<_>>());
        let mut changed = state;
        let last = changed.len() - 1;
        changed[last] ^= 1;
        assert!(policy.restore(&changed).is_err());
    }
}
