//! The transformer of FLUX.1: noisy latents as tokens, a time, a guidance scale and a text to the velocity that leads to noise
//! (Esser et al., "Scaling Rectified Flow Transformers", arXiv 2403.03206; Black Forest Labs; diffusers'
//! `FluxTransformer2DModel`). Its blocks are in [`flux_blocks`](super::flux_blocks).
//!
//! A ControlNet's residuals are added to the image's tokens after blocks, each to as many in a row as share it: the first block sees
//! none of them, so that what it makes depends on latents, time, guidance and text alone ([`Transformer::begin`]).
//!
//! Matrices are read by [`Tape::linear`] alone, once a layer and pass: how they are kept is their [`Weight`]'s business.
//!
//! [`Weight`]: crate::nn::params::Weight

use candle_core::{DType, Tensor};

use super::flux_blocks::{Double, Single, part};
use crate::nn::layers::{LayerNorm, Linear};
use crate::nn::ops::embedding::sinusoid;
use crate::nn::ops::rope::Rope;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::{Error, Result};

/// Added to the variance of layer normalizations, none of which has weights, and to the mean square of queries and keys.
pub(super) const EPS: f32 = 1e-6;
/// Times and guidance scales are multiplied with this before their waves.
const TIMES: f32 = 1000.0;
/// Values of the waves.
const WAVES: usize = 256;
/// Base of the rotations' frequencies.
const THETA: f64 = 10_000.0;

/// Sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Values of a token of the image: 2 × 2 latents.
    pub channels: usize,
    /// Blocks of two streams, text and image, that meet in attention.
    pub double: usize,
    /// Blocks of one stream.
    pub single: usize,
    pub heads: usize,
    /// Channels of a head.
    pub dim: usize,
    /// Width of the text's tokens.
    pub text: usize,
    /// Width of the text's summary.
    pub pooled: usize,
    /// Whether it is told a guidance scale.
    pub guidance: bool,
    /// Channels of a head that are turned by each coordinate: stream, row, column.
    pub axes: [usize; 3],
}

impl Config {
    /// FLUX.1-dev.
    pub const DEV: Self = Self {
        channels: 64,
        double: 19,
        single: 38,
        heads: 24,
        dim: 128,
        text: 4096,
        pooled: 768,
        guidance: true,
        axes: [16, 56, 56],
    };

    /// Channels of a token inside.
    pub fn width(&self) -> usize {
        self.heads * self.dim
    }
}

/// What a network is told beside its tokens.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// The share of noise in [0, 1], an item each.
    pub times: &'a [f32],
    /// The scale of guidance, the same for all.
    pub guidance: Option<f32>,
    /// `[B, tokens, text]`.
    pub text: &'a Var,
    /// `[B, pooled]`.
    pub pooled: &'a Var,
    /// Rows and columns of the image's tokens.
    pub size: [usize; 2],
}

/// What takes tokens, text, time and guidance in; a ControlNet has its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Embedders {
    x: Linear,
    text: Linear,
    time: [Linear; 2],
    guidance: Option<[Linear; 2]>,
    pooled: [Linear; 2],
}

/// Tokens on their way, text first, and what every block reads beside them.
#[derive(Clone)]
pub(super) struct Begun {
    /// `[B, text + image, width]`.
    pub tokens: Var,
    /// Time, guidance and summary after their SiLU, `[B, width]`.
    pub told: Var,
    pub rope: Rope,
    /// Tokens of the text.
    pub text: usize,
}

impl Embedders {
    pub fn new(specs: &mut Specs, config: &Config) -> Self {
        let width = config.width();
        let mut two = |name: &str, from: usize| {
            [(1, from), (2, width)]
                .map(|(i, from)| Linear::new(specs, &format!("time_text_embed.{name}.linear_{i}"), (from, width), 1.0))
        };
        let time = two("timestep_embedder", WAVES);
        let guidance = config.guidance.then(|| two("guidance_embedder", WAVES));
        let pooled = two("text_embedder", config.pooled);
        let text = Linear::new(specs, "context_embedder", (config.text, width), 1.0);
        let x = Linear::new(specs, "x_embedder", (config.channels, width), 1.0);
        Self { x, text, time, guidance, pooled }
    }

    /// `control`: what is added to the image's tokens.
    pub fn begin(
        &self,
        tape: &Tape,
        params: &Params,
        x: &Var,
        control: Option<&Var>,
        told: &Told,
        config: &Config,
    ) -> Result<Begun> {
        let (batch, count, _) = x.tensor().dims3()?;
        let (texts, text, _) = told.text.tensor().dims3()?;
        let [rows, columns] = told.size;
        if rows * columns != count || texts != batch || told.times.len() != batch {
            let message = format!(
                "{batch} items of {count} tokens got {} times, {texts} texts and {rows} × {columns} places",
                told.times.len()
            );
            return Err(Error::invalid(message));
        }
        let image = match control {
            Some(control) => tape.linear_onto(params, &self.x, x, control)?,
            None => tape.linear(params, &self.x, x)?,
        };
        let tokens = tape.join(&[&tape.linear(params, &self.text, told.text)?, &image], 1)?;
        let at = |i: usize| [0.0, (i / columns) as f64, (i % columns) as f64];
        let places: Vec<[f64; 3]> = std::iter::repeat_n([0.0; 3], text).chain((0..count).map(at)).collect();
        let rope = Rope::new(&places, config.axes, THETA, x.tensor().device())?;
        Ok(Begun { tokens, told: self.told(tape, params, told)?, rope, text })
    }

    fn told(&self, tape: &Tape, params: &Params, told: &Told) -> Result<Var> {
        let mlp = |[first, second]: &[Linear; 2], x: &Var| {
            tape.linear(params, second, &tape.silu(&tape.linear(params, first, x)?)?)
        };
        let waves = |values: &[f32]| {
            let values: Vec<f32> = values.iter().map(|value| value * TIMES).collect();
            Ok::<_, Error>(Var::constant(sinusoid(&values, WAVES, 0.0, params.device())?))
        };
        let mut sum = mlp(&self.time, &waves(told.times)?)?;
        if let Some(layers) = &self.guidance {
            let scale = told.guidance.ok_or_else(|| Error::invalid("this network needs a guidance scale"))?;
            sum = tape.add(&sum, &mlp(layers, &waves(&vec![scale; told.times.len()])?)?)?;
        }
        tape.silu(&tape.add(&sum, &mlp(&self.pooled, told.pooled)?)?)
    }
}

/// The structure.
#[derive(Clone, Debug)]
pub struct Transformer {
    config: Config,
    embedders: Embedders,
    double: Vec<Double>,
    single: Vec<Single>,
    norm_out: Linear,
    proj_out: Linear,
}

/// What a ControlNet adds to the image's tokens after blocks of two streams and of one, `[B, image, width]` each; each is added
/// after several blocks in a row.
#[derive(Clone, Debug, Default)]
pub struct Residuals {
    pub double: Vec<Var>,
    pub single: Vec<Var>,
}

impl Transformer {
    /// Declares the weights.
    pub fn new(specs: &mut Specs, config: &Config) -> Self {
        let embedders = Embedders::new(specs, config);
        let double = (0..config.double).map(|i| Double::new(specs, &format!("transformer_blocks.{i}"), config));
        let double = double.collect();
        let single = (0..config.single).map(|i| Single::new(specs, &format!("single_transformer_blocks.{i}"), config));
        let single = single.collect();
        let width = config.width();
        let norm_out = Linear::new(specs, "norm_out.linear", (width, 2 * width), 1.0);
        let proj_out = Linear::new(specs, "proj_out", (width, config.channels), 1.0);
        Self { config: *config, embedders, double, single, norm_out, proj_out }
    }

    /// The sizes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// All that no residual has a part in, without a gradient, for [`Transformer::finish`]: tokens after the first block, and what
    /// every block is told. `x` is `[B, image, channels]`.
    pub fn begin(&self, params: &Params, x: &Var, told: &Told) -> Result<Vec<Tensor>> {
        let tape = Tape::inference(params.kernels());
        let mut begun = self.embedders.begin(&tape, params, x, None, told, &self.config)?;
        if let Some(first) = self.double.first() {
            begun.tokens = first.forward(&tape, params, &begun, true)?;
            params.tap("transformer_blocks.0", &begun.tokens);
        }
        let [cos, sin] = begun.rope.tables();
        Ok([begun.tokens.tensor(), begun.told.tensor(), cos, sin].map(Tensor::clone).into())
    }

    /// The velocity `[B, image, channels]`, from what [`Transformer::begin`] gave and the `residuals` of a ControlNet. `text` is the
    /// number of the text's tokens.
    pub fn finish(
        &self,
        tape: &Tape,
        params: &Params,
        begun: &[Tensor],
        text: usize,
        residuals: &Residuals,
    ) -> Result<Var> {
        let [tokens, told, cos, sin] = begun else {
            return Err(Error::invalid("the transformer's first block made nothing"));
        };
        let [tokens, told] = [tokens, told].map(|tensor| Var::constant(tensor.clone()));
        let mut begun = Begun { tokens, told, rope: Rope::of(cos.clone(), sin.clone()), text };
        let (double, single) = (residuals.double.len(), residuals.single.len());
        let placed = |all: &[Var]| all.iter().map(|r| after_text(tape, r, text)).collect::<Result<Vec<_>>>();
        let residuals = [placed(&residuals.double)?, placed(&residuals.single)?];
        for (i, block) in self.double.iter().enumerate() {
            if i > 0 {
                begun.tokens = block.forward(tape, params, &begun, true)?;
                params.tap(format_args!("transformer_blocks.{i}"), &begun.tokens);
            }
            if let Some(index) = shared(i, self.double.len(), double) {
                begun.tokens = tape.add(&begun.tokens, &residuals[0][index])?;
            }
        }
        for (i, block) in self.single.iter().enumerate() {
            begun.tokens = block.forward(tape, params, &begun)?;
            params.tap(format_args!("single_transformer_blocks.{i}"), &begun.tokens);
            if let Some(index) = shared(i, self.single.len(), single) {
                begun.tokens = tape.add(&begun.tokens, &residuals[1][index])?;
            }
        }
        let width = self.config.width();
        let image = tape.narrow(&begun.tokens, 1, text, begun.tokens.tensor().dim(1)? - text)?;
        let told = tape.linear(params, &self.norm_out, &begun.told)?;
        let [scale, shift] = [part(tape, &told, 0, width)?, part(tape, &told, 1, width)?];
        let image = tape.layer_norm(params, &LayerNorm::plain(width, EPS), &image)?;
        tape.linear(params, &self.proj_out, &tape.modulate(&image, &scale, &shift)?)
    }
}

/// Which of `count` residuals is added after block `i` of `blocks`: each to ⌈blocks / count⌉ of them in a row.
fn shared(i: usize, blocks: usize, count: usize) -> Option<usize> {
    (count > 0).then(|| i / blocks.div_ceil(count))
}

/// A residual of the image's tokens behind zeros for the text's.
fn after_text(tape: &Tape, residual: &Var, text: usize) -> Result<Var> {
    let (batch, _, width) = residual.tensor().dims3()?;
    let zeros = Tensor::zeros((batch, text, width), DType::F32, residual.tensor().device())?;
    tape.join(&[&Var::constant(zeros), residual], 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_residual_serves_several_blocks_in_a_row() {
        let of =
            |blocks: usize, count: usize| (0..blocks).map(|i| shared(i, blocks, count).unwrap()).collect::<Vec<_>>();
        assert_eq!(of(19, 4), [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3]);
        assert_eq!(of(5, 2), [0, 0, 0, 1, 1]);
        assert_eq!(shared(3, 38, 0), None);
    }
}
