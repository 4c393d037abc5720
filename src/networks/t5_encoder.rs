//! T5's encoder in transformers' names, version 1.1 with gated layers, of which FLUX takes XXL's (Raffel et al., "Exploring the
//! Limits of Transfer Learning with a Unified Text-to-Text Transformer", arXiv 1910.10683; Shazeer, arXiv 2002.05202). No layer has a
//! bias, and scores are not divided by anything. All tokens are attended to, padding included, as FLUX was trained.

use candle_core::Tensor;

use crate::Result;
use crate::nn::kernels::shape::Activation;
use crate::nn::layers::{Attention, AttentionNames, Embedding, Linear, RmsNorm};
use crate::nn::ops::attention::Scores;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};

/// Sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    pub vocabulary: usize,
    pub width: usize,
    pub inner: usize,
    pub layers: usize,
    pub heads: usize,
    /// Channels of a head; together they need not be the width.
    pub dim: usize,
    /// Kinds of distances between tokens.
    pub buckets: usize,
    /// From which distance on all are of one kind.
    pub distance: usize,
    /// Added to the mean square.
    pub eps: f32,
}

impl Config {
    /// T5-XXL, version 1.1.
    pub const XXL: Self = Self {
        vocabulary: 32128,
        width: 4096,
        inner: 10240,
        layers: 24,
        heads: 64,
        dim: 64,
        buckets: 32,
        distance: 128,
        eps: 1e-6,
    };
}

/// The structure.
#[derive(Clone, Debug)]
pub struct T5Encoder {
    config: Config,
    tokens: Embedding,
    /// A value for each kind of distance and head, the same in all layers.
    distances: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
}

#[derive(Clone, Copy, Debug)]
struct Layer {
    norms: [RmsNorm; 2],
    attention: Attention,
    /// What is activated, and what that is multiplied with.
    inner: [Linear; 2],
    out: Linear,
}

impl T5Encoder {
    /// Declares the weights.
    pub fn new(specs: &mut Specs, config: Config) -> Self {
        let Config { vocabulary, width, inner, layers, heads, dim, buckets, eps, .. } = config;
        let tokens = Embedding::new(specs, "shared", vocabulary, width, 1.0);
        let named = |layer: usize, part: &str| format!("encoder.block.{layer}.layer.{part}");
        let distances =
            Embedding::new(specs, &named(0, "0.SelfAttention.relative_attention_bias"), buckets, heads, 1.0);
        let layer = |i: usize| {
            let attention = named(i, "0.SelfAttention");
            let attention = Attention::new(specs, &attention, AttentionNames::T5, (width, width), (heads, dim));
            let mut linear = |part: &str, channels| {
                Linear::with(specs, &named(i, &format!("1.DenseReluDense.{part}")), channels, false, 1.0)
            };
            let (gates, out) =
                (["wi_0", "wi_1"].map(|part| linear(part, (width, inner))), linear("wo", (inner, width)));
            let norms = [0, 1].map(|j| RmsNorm::new(specs, &named(i, &format!("{j}.layer_norm")), width, eps));
            Layer { norms, attention, inner: gates, out }
        };
        let layers = (0..layers).map(layer).collect();
        let norm = RmsNorm::new(specs, "encoder.final_layer_norm", width, eps);
        Self { config, tokens, distances, layers, norm }
    }

    /// The states after the last normalization, `[1, tokens, width]`.
    pub fn forward(&self, tape: &Tape, params: &Params, ids: &[u32]) -> Result<Var> {
        let h = tape.embedding(params, &self.tokens, ids)?;
        let mut h = tape.reshape(&h, &[1, ids.len(), self.config.width])?;
        let bias = self.bias(params, ids.len())?;
        for layer in &self.layers {
            h = layer.forward(tape, params, &h, &bias)?;
        }
        tape.rms_norm(params, &self.norm, &h)
    }

    /// What distances add to the scores, `[1, heads, count, count]`.
    fn bias(&self, params: &Params, count: usize) -> Result<Tensor> {
        let table = params.weight(self.distances.weight).wide()?;
        let pairs = (0..count).flat_map(|query| (0..count).map(move |key| key as i64 - query as i64));
        let kinds: Vec<u32> = pairs.map(|distance| self.config.bucket(distance)).collect();
        let kinds = Tensor::from_vec(kinds, count * count, table.device())?;
        Ok(table.index_select(&kinds, 0)?.t()?.reshape((1, self.config.heads, count, count))?.contiguous()?)
    }
}

impl Config {
    /// The kind of a distance from query to key: each small one its own, larger ones by their logarithm, those forward apart.
    fn bucket(&self, distance: i64) -> u32 {
        let half = self.buckets / 2;
        let (exact, size) = (half / 2, distance.unsigned_abs() as usize);
        let kind = if size < exact {
            size
        } else {
            // In f32, as the reference implementation has it.
            let far = (size as f32 / exact as f32).ln() / ((self.distance as f64 / exact as f64).ln() as f32);
            (exact + (far * (half - exact) as f32) as usize).min(half - 1)
        };
        (if distance > 0 { half + kind } else { kind }) as u32
    }
}

impl Layer {
    fn forward(&self, tape: &Tape, params: &Params, x: &Var, bias: &Tensor) -> Result<Var> {
        let plain = Scores { scale: Some(1.0), bias: Some(bias), ..Scores::default() };
        let h = tape.rms_norm(params, &self.norms[0], x)?;
        let h = tape.add(x, &tape.attend(params, &self.attention, &h, None, plain)?)?;
        let y = tape.rms_norm(params, &self.norms[1], &h)?;
        let [gate, value] = self.inner.each_ref().map(|layer| tape.linear(params, layer, &y));
        let inner = tape.mul(&tape.activate(Activation::GeluTanh, &gate?)?, &value?)?;
        tape.linear_onto(params, &self.out, &inner, &h)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_of_the_kinds_that_transformers_gives_them() {
        let distances = [-200, -128, -64, -20, -15, -9, -8, -7, -1, 0, 1, 7, 8, 9, 15, 20, 64, 128, 200];
        let kinds = [15, 15, 14, 10, 9, 8, 8, 7, 1, 0, 17, 23, 24, 24, 25, 26, 30, 31, 31];
        assert_eq!(distances.map(|distance| Config::XXL.bucket(distance)), kinds);
    }
}
