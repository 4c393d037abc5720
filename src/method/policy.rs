//! The weights being trained: all of them or low-rank additions, their moving average, optimizer and saved state.

use serde::{Deserialize, Serialize};

use super::recipe::{Mode, Training};
use crate::nn::adamw::{AdamW, Settings};
use crate::nn::lora::Lora;
use crate::nn::params::Params;
use crate::nn::tape::Gradients;
use crate::{Error, Result};

/// What the first line of a saved state says.
const FORMAT: &str = "dp2o-studio training state 1";

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

/// First line of a saved state; the values follow as little-endian f32.
#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    step: u64,
    optimizer_step: u64,
    /// Values trained; the state holds them, both moments, and the average if there is one.
    trained: usize,
    average: usize,
    /// [`checksum`] of the values: a file cut off by a power failure must not pass.
    checksum: u64,
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
                let factors = Params::init(lora.specs(), settings.seed, start.device())?;
                Some(Additions { lora, base: start, factors })
            }
        };
        let trained = additions.as_ref().map_or(&weights, |a| &a.factors);
        let settings_of = Settings { weight_decay: settings.weight_decay, ..Settings::default() };
        let optimizer = AdamW::new(settings_of, trained.iter().map(|(_, t)| t))?;
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
        let mut values = Vec::with_capacity(4 * (3 * trained.len() + average.len()));
        parts.flatten().for_each(|v| values.extend(v.to_le_bytes()));
        let header = Header {
            format: FORMAT.into(),
            step,
            optimizer_step,
            trained: trained.len(),
            average: average.len(),
            checksum: checksum(&values),
        };
        let mut bytes = serde_json::to_vec(&header).map_err(Error::invalid)?;
        bytes.push(b'\n');
        bytes.extend(values);
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
    let line = bytes.iter().position(|&b| b == b'\n').ok_or_else(damaged)?;
    let header: Header = serde_json::from_slice(&bytes[..line]).map_err(|_| damaged())?;
    let values = &bytes[line + 1..];
    let count = header.trained.saturating_mul(3).saturating_add(header.average);
    if header.format != FORMAT || values.len() != count.saturating_mul(4) || checksum(values) != header.checksum {
        return Err(damaged());
    }
    let values = values.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok((header, values))
}

/// A fast sum that notices missing and stale blocks; no protection against malice.
fn checksum(bytes: &[u8]) -> u64 {
    let word = |b: &[u8]| u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    bytes.chunks_exact(4).fold(0xCBF2_9CE4_8422_2325, |sum, b| (sum ^ word(b)).wrapping_mul(0x0000_0100_0000_01B3))
}
