//! The transformer block that normalizes before each of its halves (Vaswani et al., arXiv 1706.03762; Dosovitskiy et al., "An Image Is
//! Worth 16×16 Words", arXiv 2010.11929), as the towers of CLIP, timm's ViT and MUSIQ have it. They differ in names and constants.

use crate::Result;
use crate::nn::kernels::shape::Activation;
use crate::nn::layers::{LayerNorm, Linear};
use crate::nn::ops::attention::Scores;
use crate::nn::params::{Init, Params, Specs};
use crate::nn::tape::{Tape, Var};

/// What a published block calls its weights.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Before attention, and before the perceptron.
    pub norms: [&'static str; 2],
    pub projections: Projections,
    /// After attention.
    pub out: &'static str,
    /// Both layers of the perceptron.
    pub mlp: [&'static str; 2],
}

/// What makes queries, keys and values.
#[derive(Clone, Copy, Debug)]
pub enum Projections {
    /// One matrix with the rows of all three, one after the other: the names of weight and bias.
    Fused { weight: &'static str, bias: &'static str },
    /// A layer each.
    Separate([&'static str; 3]),
}

impl Names {
    /// CLIP's `ResidualAttentionBlock`.
    pub const CLIP: Self = Self {
        norms: ["ln_1", "ln_2"],
        projections: Projections::Fused { weight: "attn.in_proj_weight", bias: "attn.in_proj_bias" },
        out: "attn.out_proj",
        mlp: ["mlp.c_fc", "mlp.c_proj"],
    };
    /// timm's `Block`.
    pub const TIMM: Self = Self {
        norms: ["norm1", "norm2"],
        projections: Projections::Fused { weight: "attn.qkv.weight", bias: "attn.qkv.bias" },
        out: "attn.proj",
        mlp: ["mlp.fc1", "mlp.fc2"],
    };
}

/// Sizes and constants.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub names: Names,
    pub width: usize,
    pub heads: usize,
    /// Width of the perceptron.
    pub hidden: usize,
    pub activation: Activation,
    /// Added to the variances.
    pub eps: f32,
    /// Whether a token sees those before it only.
    pub causal: bool,
}

/// The structure.
#[derive(Clone, Debug)]
pub struct Block {
    norms: [LayerNorm; 2],
    qkv: Qkv,
    out: Linear,
    mlp: [Linear; 2],
    config: Config,
}

#[derive(Clone, Debug)]
enum Qkv {
    Fused(Linear),
    Separate([Linear; 3]),
}

impl Block {
    /// Declares the weights.
    pub fn new(specs: &mut Specs, name: &str, config: Config) -> Self {
        let Config { names, width, hidden, eps, .. } = config;
        let norms = names.norms.map(|norm| LayerNorm::new(specs, &format!("{name}.{norm}"), width, eps));
        let mut linear = |part: &str, channels| Linear::new(specs, &format!("{name}.{part}"), channels, 1.0);
        let (out, mlp) = (
            linear(names.out, (width, width)),
            [linear(names.mlp[0], (width, hidden)), linear(names.mlp[1], (hidden, width))],
        );
        let qkv = match names.projections {
            Projections::Separate(parts) => Qkv::Separate(parts.map(|part| linear(part, (width, width)))),
            Projections::Fused { weight, bias } => {
                let init = Init::Normal(1.0 / (width as f32).sqrt());
                Qkv::Fused(Linear {
                    weight: specs.add(format!("{name}.{weight}"), &[3 * width, width], init),
                    bias: Some(specs.add(format!("{name}.{bias}"), &[3 * width], Init::Zeros)),
                    c_in: width,
                    c_out: 3 * width,
                })
            }
        };
        Self { norms, qkv, out, mlp, config }
    }

    /// Tokens `[batch, tokens, width]` to the same. With `first`, only that many of them are computed, from all: a last block of which
    /// no more is read.
    pub fn forward(&self, tape: &Tape, params: &Params, x: &Var, first: Option<usize>) -> Result<Var> {
        let Config { width, heads, activation, causal, .. } = self.config;
        let few = |x: &Var| first.map_or_else(|| Ok(x.clone()), |first| tape.narrow(x, 1, 0, first));
        let y = tape.layer_norm(params, &self.norms[0], x)?;
        let [q, k, v] = match &self.qkv {
            Qkv::Fused(layer) => {
                let qkv = tape.linear(params, layer, &y)?;
                let part = |from: usize| tape.narrow(&qkv, 2, from * width, width);
                [few(&part(0)?)?, part(1)?, part(2)?]
            }
            Qkv::Separate([q, k, v]) => {
                [tape.linear(params, q, &few(&y)?)?, tape.linear(params, k, &y)?, tape.linear(params, v, &y)?]
            }
        };
        let y = tape.attention_with(&q, &k, &v, heads, Scores { causal, ..Scores::default() })?;
        let x = tape.linear_onto(params, &self.out, &y, &few(x)?)?;
        let y = tape.linear(params, &self.mlp[0], &tape.layer_norm(params, &self.norms[1], &x)?)?;
        tape.linear_onto(params, &self.mlp[1], &tape.activate(activation, &y)?, &x)
    }
}

/// A row for each image in front of its tokens: `[batch, tokens, width]` to `[batch, 1 + tokens, width]`.
pub fn prepend(tape: &Tape, row: &Var, tokens: &Var) -> Result<Var> {
    let (batch, _, width) = tokens.tensor().dims3()?;
    let rows = Var::constant(row.tensor().reshape((1, 1, width))?.expand((batch, 1, width))?.contiguous()?);
    tape.join(&[&rows, tokens], 1)
}
