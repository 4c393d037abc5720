//! The image towers ViT-B/32 and ViT-L/14 (Dosovitskiy et al., arXiv 2010.11929) as quality metrics use them: on images of any size.

use candle_core::{DType, Tensor};

use super::block;
use crate::Result;
use crate::networks::transformer::{Block, prepend};
use crate::nn::kernels::Compute;
use crate::nn::kernels::resample::Interpolation;
use crate::nn::layers::{Conv, Kernel, LayerNorm};
use crate::nn::params::{Init, ParamId, Params, Specs};
use crate::nn::tape::{Tape, Var};

/// Sizes.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub width: usize,
    pub depth: usize,
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Patches along a side of the images that it was trained on.
    pub grid: usize,
    /// Values of a vector.
    pub out: usize,
}

impl Config {
    pub const VIT_B_32: Self = Self { width: 768, depth: 12, patch: 32, grid: 7, out: 512 };
    pub const VIT_L_14: Self = Self { width: 1024, depth: 24, patch: 14, grid: 16, out: 768 };
}

/// The structure.
#[derive(Clone, Debug)]
pub struct Vision {
    patches: Conv,
    class: ParamId,
    positions: ParamId,
    before: LayerNorm,
    blocks: Vec<Block>,
    after: LayerNorm,
    projection: ParamId,
    config: Config,
}

impl Vision {
    /// Declares the weights.
    pub fn new(specs: &mut Specs, config: Config) -> Self {
        let Config { width, depth, patch, grid, out } = config;
        let kernel = Kernel { stride: patch, pad: [0; 2], bias: false, ..Kernel::square(patch) };
        let norm = |specs: &mut Specs, part: &str| LayerNorm::new(specs, &format!("visual.{part}"), width, 1e-5);
        let name = |i: usize| format!("visual.transformer.resblocks.{i}");
        Self {
            patches: Conv::with(specs, "visual.conv1", (3, width), kernel, 1.0),
            class: specs.add("visual.class_embedding".into(), &[width], Init::Normal(0.04)),
            positions: specs.add("visual.positional_embedding".into(), &[1 + grid * grid, width], Init::Normal(0.04)),
            before: norm(specs, "ln_pre"),
            blocks: (0..depth).map(|i| Block::new(specs, &name(i), block(width, false))).collect(),
            after: norm(specs, "ln_post"),
            projection: specs.add("visual.proj".into(), &[width, out], Init::Normal(0.04)),
            config,
        }
    }

    /// Tokens before the first block, `[batch, 1 + patches, width]`, of normalized images; pixels that are missing to a whole patch
    /// at the right and below are not looked at.
    fn tokens(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Var> {
        let (batch, height, width, _) = x.tensor().dims4()?;
        let patch = self.config.patch;
        let (rows, columns) = (height / patch, width / patch);
        let x = tape.narrow(&tape.narrow(x, 1, 0, rows * patch)?, 2, 0, columns * patch)?;
        let y = tape.conv2d(params, &self.patches, &x, None)?;
        let y = tape.reshape(&y, &[batch, rows * columns, self.config.width])?;
        let y = prepend(tape, &Var::constant(params.get(self.class).clone()), &y)?;
        let positions = resized(params.get(self.positions), 1 + rows * columns)?;
        tape.layer_norm(params, &self.before, &tape.add(&y, &Var::constant(positions))?)
    }

    /// The patches' tokens after each block, `[batch, patches, width]`.
    pub fn layers(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Vec<Var>> {
        let mut x = self.tokens(tape, params, x)?;
        let mut layers = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            x = block.forward(tape, params, &x, None)?;
            let tokens = x.tensor().dim(1)?;
            layers.push(tape.narrow(&x, 1, 1, tokens - 1)?);
        }
        Ok(layers)
    }

    /// A vector for each image, `[batch, out]`.
    pub fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Tensor> {
        let mut x = self.tokens(tape, params, x)?;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(tape, params, &x, (i + 1 == self.blocks.len()).then_some(1))?;
        }
        let batch = x.tensor().dim(0)?;
        let class = tape.layer_norm(params, &self.after, &tape.reshape(&x, &[batch, self.config.width])?)?;
        Ok(class.tensor().matmul(&params.get(self.projection).to_dtype(DType::F32)?)?)
    }
}

/// A table of positions with as many rows as there are tokens. As published metrics have it: the whole table, with the row of the
/// class token, is stretched along its rows, whatever the shape of the image.
pub fn resized(table: &Tensor, tokens: usize) -> Result<Tensor> {
    let (rows, width) = table.dims2()?;
    let table = table.to_dtype(DType::F32)?;
    if rows == tokens {
        return Ok(table);
    }
    let on = Compute::on(table.device());
    let image = Var::constant(table.reshape((1, rows, width, 1))?);
    let how = Interpolation::Bicubic(-0.75);
    let stretched = Tape::inference(&on.kernels).interpolate(&image, [tokens, width], how, false)?;
    Ok(stretched.tensor().reshape((tokens, width))?)
}
