//! CLIP's text encoder in transformers' names (Radford et al., "Learning Transferable Visual Models From Natural Language
//! Supervision", arXiv 2103.00020), of which Stable Diffusion 2 takes OpenCLIP-H's without its last layer, and FLUX a summary of
//! CLIP-L's.

use crate::Result;
use crate::nn::kernels::shape::Activation;
use crate::nn::layers::{Attention, AttentionNames, Embedding, LayerNorm, Linear};
use crate::nn::ops::attention::Scores;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};

/// Sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    pub vocabulary: usize,
    /// Tokens of a text, padding included.
    pub positions: usize,
    pub width: usize,
    pub inner: usize,
    pub layers: usize,
    pub heads: usize,
    pub activation: Activation,
    /// Added to the variance.
    pub eps: f32,
}

impl Config {
    /// Stable Diffusion 2-base.
    pub const SD2: Self = Self {
        vocabulary: 49408,
        positions: 77,
        width: 1024,
        inner: 4096,
        layers: 23,
        heads: 16,
        activation: Activation::Gelu,
        eps: 1e-5,
    };
    /// CLIP ViT-L/14, as FLUX has it.
    pub const L: Self = Self {
        vocabulary: 49408,
        positions: 77,
        width: 768,
        inner: 3072,
        layers: 12,
        heads: 12,
        activation: Activation::GeluQuick,
        eps: 1e-5,
    };
}

/// The structure.
#[derive(Clone, Debug)]
pub struct ClipText {
    config: Config,
    tokens: Embedding,
    positions: Embedding,
    layers: Vec<Layer>,
    norm: LayerNorm,
}

#[derive(Clone, Copy, Debug)]
struct Layer {
    norm1: LayerNorm,
    attention: Attention,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl ClipText {
    /// Declares the weights.
    pub fn new(specs: &mut Specs, config: Config) -> Self {
        let Config { vocabulary, positions, width, inner, layers, heads, eps, .. } = config;
        let tokens = Embedding::new(specs, "text_model.embeddings.token_embedding", vocabulary, width, 0.02);
        let positions = Embedding::new(specs, "text_model.embeddings.position_embedding", positions, width, 0.01);
        let layer = |i: usize| {
            let named = |part: &str| format!("text_model.encoder.layers.{i}.{part}");
            let heads = (heads, width / heads);
            Layer {
                norm1: LayerNorm::new(specs, &named("layer_norm1"), width, eps),
                attention: Attention::new(specs, &named("self_attn"), AttentionNames::CLIP, (width, width), heads),
                norm2: LayerNorm::new(specs, &named("layer_norm2"), width, eps),
                fc1: Linear::new(specs, &named("mlp.fc1"), (width, inner), 1.0),
                fc2: Linear::new(specs, &named("mlp.fc2"), (inner, width), 1.0),
            }
        };
        let layers = (0..layers).map(layer).collect();
        let norm = LayerNorm::new(specs, "text_model.final_layer_norm", width, eps);
        Self { config, tokens, positions, layers, norm }
    }

    /// The states after the last normalization, `[1, tokens, width]`, of at most as many tokens as there are positions.
    pub fn forward(&self, tape: &Tape, params: &Params, ids: &[u32]) -> Result<Var> {
        let places: Vec<u32> = (0..ids.len() as u32).collect();
        let h = tape.embedding(params, &self.tokens, ids)?;
        let h = tape.add(&h, &tape.embedding(params, &self.positions, &places)?)?;
        let mut h = tape.reshape(&h, &[1, ids.len(), self.config.width])?;
        for layer in &self.layers {
            h = layer.forward(tape, params, &h, self.config.activation)?;
        }
        tape.layer_norm(params, &self.norm, &h)
    }

    /// A text's summary, `[1, width]`: the state at its end, the first token of the largest number.
    pub fn pooled(&self, tape: &Tape, params: &Params, ids: &[u32]) -> Result<Var> {
        let states = self.forward(tape, params, ids)?;
        let largest = ids.iter().max();
        let end = ids.iter().position(|id| Some(id) == largest).unwrap_or(0);
        tape.reshape(&tape.narrow(&states, 1, end, 1)?, &[1, self.config.width])
    }
}

impl Layer {
    fn forward(&self, tape: &Tape, params: &Params, x: &Var, activation: Activation) -> Result<Var> {
        let causal = Scores { causal: true, ..Scores::default() };
        let h = tape.layer_norm(params, &self.norm1, x)?;
        let h = tape.add(x, &tape.attend(params, &self.attention, &h, None, causal)?)?;
        let inner = tape.linear(params, &self.fc1, &tape.layer_norm(params, &self.norm2, &h)?)?;
        tape.linear_onto(params, &self.fc2, &tape.activate(activation, &inner)?, &h)
    }
}
