//! CFANet, the network of TOPIQ (Chen et al., "TOPIQ: A Top-down Approach from Semantics to Distortions for Image Quality
//! Assessment", IEEE TIP 2024): features of all scales of a backbone pass gates, are brought to the grid of the coarsest, and what
//! is seen there asks the finer ones, one after the other.

use candle_core::Tensor;

use super::published::Published;
use super::transformer::{self, Block, Names, Projections};
use crate::nn::kernels::resample::Interpolation;
use crate::nn::kernels::shape::Activation;
use crate::nn::layers::{Conv, Kernel, LayerNorm, Linear};
use crate::nn::ops::attention::Scores;
use crate::nn::params::{Init, ParamId, Params};
use crate::nn::tape::{Tape, Var};
use crate::{Error, Result};

/// Sizes.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Channels of the backbone's features, finest first.
    pub channels: &'static [usize],
    /// Width of tokens.
    pub width: usize,
    pub heads: usize,
    /// Numbers that come out.
    pub outputs: usize,
    /// Whether it compares with a reference image.
    pub compares: bool,
}

/// Of the table of positions that is resized to the grid of an image.
const POSITIONS: usize = 32;
/// Channels inside a gate.
const GATE: usize = 64;
/// Added to the variances.
const EPSILON: f32 = 1e-5;
/// Keeps the root of a squared difference away from zero.
const DIFFERENCE_EPSILON: f32 = 1e-12;

const NAMES: Names = Names {
    norms: ["norm1", "norm2"],
    projections: Projections::Fused { weight: "self_attn.in_proj_weight", bias: "self_attn.in_proj_bias" },
    out: "self_attn.out_proj",
    mlp: ["linear1", "linear2"],
};

/// Tensors that published files have and nothing reads: attention that the layers that ask others do not use.
pub const UNREAD: [&str; 4] = [
    "*.self_attn.in_proj_weight",
    "*.self_attn.in_proj_bias",
    "*.self_attn.out_proj.weight",
    "*.self_attn.out_proj.bias",
];

/// The structure.
#[derive(Clone, Debug)]
pub struct CfaNet {
    /// Of each scale, finest first.
    scales: Vec<Scale>,
    /// Of scale 0, 1, … asked by what is coarser.
    crossing: Vec<Crossing>,
    pool: Block,
    /// Rows and columns of the positions: `[1, width / 2, 32, 1]` and `[1, width / 2, 1, 32]`.
    positions: [ParamId; 2],
    score: Score,
    config: Config,
}

#[derive(Clone, Debug)]
struct Scale {
    /// What passes the gate, where it is not the features themselves.
    through: Option<Linear>,
    /// The gate's first layer, and its others.
    gate: (Linear, [Conv; 2]),
    reduce: Linear,
    block: Block,
}

/// Tokens that ask others.
#[derive(Clone, Debug)]
struct Crossing {
    norms: [LayerNorm; 3],
    /// Queries; keys and values.
    q: Linear,
    kv: Linear,
    out: Linear,
    mlp: [Linear; 2],
}

#[derive(Clone, Debug)]
struct Score {
    norms: [LayerNorm; 2],
    layers: [Linear; 3],
}

/// What comes out for a batch of images.
pub struct Output {
    /// `[batch, outputs]`.
    pub scores: Var,
    /// How far each scale's gate is open at each position, `[batch, height, width, 1]` from 0 to 1, finest first.
    pub gates: Vec<Var>,
}

impl CfaNet {
    /// Declares the weights.
    pub fn new(published: &mut Published, config: Config) -> Self {
        let Config { width, heads, channels, .. } = config;
        let block = transformer::Config {
            names: NAMES,
            width,
            heads,
            hidden: (4 * width).min(2048),
            activation: Activation::Gelu,
            eps: EPSILON,
            causal: false,
        };
        let scales = channels.iter().enumerate().map(|(i, &c)| Scale::new(published, i, c, config, block)).collect();
        let crossing = (0..channels.len() - 1).map(|i| Crossing::new(published, i, block)).collect();
        let position = |published: &mut Published, name: &str, rows, columns| {
            published.specs.add(name.into(), &[1, width / 2, rows, columns], Init::Zeros)
        };
        let positions = [position(published, "h_emb", POSITIONS, 1), position(published, "w_emb", 1, POSITIONS)];
        let specs = &mut published.specs;
        let norm = |specs: &mut _, i: usize| LayerNorm::new(specs, &format!("score_linear.{i}"), width, EPSILON);
        let mut linear = |i: usize, out| Linear::new(specs, &format!("score_linear.{i}"), (width, out), 1.0);
        let layers = [linear(1, width), linear(4, width), linear(6, config.outputs)];
        let score = Score { norms: [norm(specs, 0), norm(specs, 3)], layers };
        Self { scales, crossing, pool: Block::new(specs, "attn_pool", block), positions, score, config }
    }

    /// Judges features `[batch, height, width, channels]`, finest first; with `reference`, those of one image to compare with.
    pub fn forward(&self, tape: &Tape, params: &Params, features: &[Var], reference: &[Var]) -> Result<Output> {
        let (Some(coarsest), true) = (features.last(), features.len() == self.scales.len()) else {
            return Err(Error::invalid(format!("{} scales are needed, not {}", self.scales.len(), features.len())));
        };
        if self.config.compares != (reference.len() == features.len()) {
            return Err(Error::invalid("features of a reference image are missing"));
        }
        let (_, rows, columns, _) = coarsest.tensor().dims4()?;
        let positions = self.positions(tape, params, [rows, columns])?;
        let (mut tokens, mut gates) = (Vec::new(), Vec::new());
        for (i, (scale, x)) in self.scales.iter().zip(features).enumerate() {
            let (reduced, gate) = scale.forward(tape, params, i, x, reference.get(i), [rows, columns])?;
            let (batch, ..) = x.tensor().dims4()?;
            let x = tape.add(&tape.reshape(&reduced, &[batch, rows * columns, self.config.width])?, &positions)?;
            let x = scale.block.forward(tape, params, &x, None)?;
            params.tap(format_args!("sa_attn_blks.{i}"), &x);
            tokens.push(x);
            gates.push(gate);
        }
        let mut x = tokens.pop().ok_or_else(|| Error::invalid("there are no features"))?;
        for (i, crossing) in self.crossing.iter().enumerate() {
            let finer = tokens.pop().ok_or_else(|| Error::invalid("there are too few features"))?;
            x = crossing.forward(tape, params, &x, &finer, self.config.heads)?;
            params.tap(format_args!("attn_blks.{i}"), &x);
        }
        let x = self.pool.forward(tape, params, &x, None)?;
        params.tap("attn_pool", &x);
        Ok(Output { scores: self.score.forward(tape, params, &tape.mean(&x)?)?, gates })
    }

    /// What is added to the tokens of a grid, `[1, tokens, width]`.
    fn positions(&self, tape: &Tape, params: &Params, [rows, columns]: [usize; 2]) -> Result<Var> {
        let half = self.config.width / 2;
        let table = |id: ParamId| -> Result<Tensor> {
            let spread = params.weight(id).wide()?.broadcast_as((1, half, POSITIONS, POSITIONS))?;
            Ok(spread.permute((0, 2, 3, 1))?.contiguous()?)
        };
        let [down, across] = [table(self.positions[0])?, table(self.positions[1])?];
        let table = tape.concat(&Var::constant(down), &Var::constant(across))?;
        let table = tape.interpolate(&table, [rows, columns], Interpolation::Bicubic(-0.75), false)?;
        tape.reshape(&table, &[1, rows * columns, self.config.width])
    }
}

impl Scale {
    fn new(published: &mut Published, i: usize, c: usize, config: Config, block: transformer::Config) -> Self {
        let pool = format!("weight_pool.{i}");
        let gate = if config.compares { pool.clone() } else { format!("{pool}.weight_blk") };
        let conv = |published: &mut Published, number: usize, out| {
            Conv::new(&mut published.specs, &format!("{gate}.{number}"), (GATE, out), 3, 1, 1.0)
        };
        // What is asked of the gate is the second half of a layer that nothing bends before the gate's own first layer.
        let (through, first) = match config.compares {
            true => (None, pointwise(published, &format!("{gate}.0"), (c, GATE))),
            false => {
                let split = format!("{pool}.splitconv");
                let names = ["weight", "bias"].map(|part| format!("{split}.{part}"));
                let through = published.rows(names.each_ref().map(String::as_str), &[2 * c, c, 1, 1], 0, c);
                (Some(through), published.composed(&split, [2 * c, c], c, &format!("{gate}.0"), [GATE, c]))
            }
        };
        let gate = (first, [conv(published, 2, GATE), conv(published, 4, 1)]);
        let inputs = if config.compares { 3 * c } else { c };
        let reduce = pointwise(published, &format!("dim_reduce.{i}.0"), (inputs, config.width));
        let block = Block::new(&mut published.specs, &format!("sa_attn_blks.{i}.layers.0"), block);
        Self { through, gate, reduce, block }
    }

    /// What of the features passes the gate, on the grid of the coarsest scale, and the gate.
    fn forward(
        &self,
        tape: &Tape,
        params: &Params,
        i: usize,
        x: &Var,
        reference: Option<&Var>,
        grid: [usize; 2],
    ) -> Result<(Var, Var)> {
        let pooled = |x: &Var, gate: &Var| {
            let passed = tape.mul(x, gate)?;
            let (_, rows, columns, _) = passed.tensor().dims4()?;
            match rows > grid[0] && columns > grid[1] {
                true => tape.adaptive_average_pool(&passed, grid),
                false => Ok(passed),
            }
        };
        let (gate, passed) = match (&self.through, reference) {
            (Some(through), _) => {
                let gate = self.gate(tape, params, x)?;
                let x = tape.activate(Activation::Gelu, &tape.linear(params, through, x)?)?;
                if params.is_watched() {
                    params.tap(format_args!("weight_pool.{i}"), &tape.mul(&x, &gate)?);
                }
                let passed = pooled(&x, &gate)?;
                (gate, passed)
            }
            (None, Some(y)) => {
                let y = repeated(y, x)?;
                let difference = tape.add(x, &tape.scale(&y, -1.0)?)?;
                let difference = tape.sqrt(&tape.mul(&difference, &difference)?, DIFFERENCE_EPSILON)?;
                let gate = self.gate(tape, params, &difference)?;
                params.tap(format_args!("weight_pool.{i}"), &gate);
                let passed = tape.concat(&pooled(x, &gate)?, &pooled(&y, &gate)?)?;
                let passed = tape.concat(&passed, &pooled(&difference, &gate)?)?;
                (gate, passed)
            }
            (None, None) => return Err(Error::invalid("features of a reference image are missing")),
        };
        let reduced = tape.activate(Activation::Gelu, &tape.linear(params, &self.reduce, &passed)?)?;
        params.tap(format_args!("dim_reduce.{i}"), &reduced);
        Ok((reduced, gate))
    }

    fn gate(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Var> {
        let (first, [second, third]) = &self.gate;
        let x = tape.activate(Activation::Gelu, &tape.linear(params, first, x)?)?;
        let x = tape.activate(Activation::Gelu, &tape.conv2d(params, second, &x, None)?)?;
        tape.activate(Activation::Sigmoid, &tape.conv2d(params, third, &x, None)?)
    }
}

impl Crossing {
    fn new(published: &mut Published, i: usize, block: transformer::Config) -> Self {
        let (width, name) = (block.width, format!("attn_blks.{i}.layers.0"));
        let fused = ["weight", "bias"].map(|part| format!("{name}.multihead_attn.in_proj_{part}"));
        let fused = fused.each_ref().map(String::as_str);
        let q = published.rows(fused, &[3 * width, width], 0, width);
        let kv = published.rows(fused, &[3 * width, width], width, 2 * width);
        let specs = &mut published.specs;
        let norms = ["norm1", "norm2", "norm3"];
        let norms = norms.map(|norm| LayerNorm::new(specs, &format!("{name}.{norm}"), width, EPSILON));
        let mut linear = |part: &str, channels| Linear::new(specs, &format!("{name}.{part}"), channels, 1.0);
        let out = linear("multihead_attn.out_proj", (width, width));
        let mlp = [linear("linear1", (width, block.hidden)), linear("linear2", (block.hidden, width))];
        Self { norms, q, kv, out, mlp }
    }

    fn forward(&self, tape: &Tape, params: &Params, x: &Var, asked: &Var, heads: usize) -> Result<Var> {
        let [of_x, of_asked, of_sum] = &self.norms;
        let q = tape.linear(params, &self.q, &tape.layer_norm(params, of_x, x)?)?;
        let kv = tape.linear(params, &self.kv, &tape.layer_norm(params, of_asked, asked)?)?;
        let width = self.q.c_out;
        let (k, v) = (tape.narrow(&kv, 2, 0, width)?, tape.narrow(&kv, 2, width, width)?);
        let y = tape.attention_with(&q, &k, &v, heads, Scores::default())?;
        let x = tape.add(x, &tape.linear(params, &self.out, &y)?)?;
        let y = tape.linear(params, &self.mlp[0], &tape.layer_norm(params, of_sum, &x)?)?;
        tape.add(&x, &tape.linear(params, &self.mlp[1], &tape.activate(Activation::Gelu, &y)?)?)
    }
}

impl Score {
    fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Var> {
        let [first, second, last] = &self.layers;
        let mut x = x.clone();
        for (norm, layer) in self.norms.iter().zip([first, second]) {
            let y = tape.linear(params, layer, &tape.layer_norm(params, norm, &x)?)?;
            x = tape.activate(Activation::Gelu, &y)?;
        }
        tape.linear(params, last, &x)
    }
}

/// A published 1×1 convolution as the layer it is.
fn pointwise(published: &mut Published, name: &str, (c_in, c_out): (usize, usize)) -> Linear {
    let conv = Conv::with(&mut published.specs, name, (c_in, c_out), Kernel::square(1), 1.0);
    Linear { weight: conv.weight, bias: conv.bias, c_in, c_out }
}

/// One image's features for each of a batch.
fn repeated(one: &Var, batch: &Var) -> Result<Var> {
    match one.tensor().dims() == batch.tensor().dims() {
        true => Ok(one.clone()),
        false => Ok(Var::constant(one.tensor().broadcast_as(batch.tensor().shape())?.contiguous()?)),
    }
}
