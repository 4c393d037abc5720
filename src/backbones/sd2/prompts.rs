//! Texts as the U-Net reads them, each encoded once. The text encoder is loaded when the first text is not known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;

use crate::Result;
use crate::backbones::condition::Prompt;
use crate::fs::hash::hash_bytes;
use crate::networks::clip_bpe::ClipBpe;
use crate::networks::clip_text::{ClipText, Config};
use crate::nn::kernels::Compute;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::Tape;
use crate::weights::Source;

/// Texts that are remembered: one takes 0.3 MB.
const REMEMBERED: usize = 512;

/// The tokenizer and the text encoder.
pub(super) struct Prompts {
    bpe: ClipBpe,
    config: Config,
    net: ClipText,
    specs: Arc<Specs>,
    source: Source,
    compute: Compute,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The encoder's weights, once they were needed.
    weights: Option<Params>,
    /// What is known, by the SHA-256 of the text.
    known: HashMap<String, Tensor>,
}

impl Prompts {
    /// Weights are read later.
    pub fn new(bpe: ClipBpe, config: Config, source: Source, compute: Compute) -> Result<Self> {
        let mut specs = Specs::default();
        let net = ClipText::new(&mut specs, config);
        source.check(specs.iter(), &["*"])?;
        Ok(Self { bpe, config, net, specs: Arc::new(specs), source, compute, state: Mutex::default() })
    }

    /// A text, `[1, tokens, width]`.
    pub fn embedded(&self, text: &str) -> Result<Tensor> {
        let key = hash_bytes(text.as_bytes());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = state.known.get(&key) {
            return Ok(known.clone());
        }
        let weights = match &state.weights {
            Some(weights) => weights.clone(),
            None => Params::from_source(&self.specs, &self.source, &self.compute)?,
        };
        let ids = self.bpe.encode(text, self.config.positions).ids;
        let tape = Tape::inference(&self.compute.kernels);
        let embedded = self.net.forward(&tape, &weights, &ids)?.tensor().clone();
        state.weights = Some(weights);
        if state.known.len() >= REMEMBERED {
            state.known.clear();
        }
        state.known.insert(key, embedded.clone());
        Ok(embedded)
    }

    /// How much of a prompt is beyond what the encoder reads.
    pub fn unread(&self, prompt: &Prompt) -> Option<String> {
        let read = self.config.positions.saturating_sub(2);
        let beyond = |what: &str, text: &str| match self.bpe.encode(text, self.config.positions).cut {
            0 => None,
            cut => Some(format!("{what} is {} tokens long, of which the first {read} are read", read + cut)),
        };
        let parts = [beyond("the prompt", &prompt.text), beyond("the negative prompt", &prompt.negative)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}
