//! Swin-B for images of 384 pixels (Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", arXiv
//! 2103.14030), with the tokens after each of its four stages, as TOPIQ reads them: brought together by fours where a stage does so.

use candle_core::Tensor;

use super::swin::{Block, Config};
use crate::Result;
use crate::nn::layers::{Conv, Kernel, LayerNorm, Linear};
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};

/// The side of an image in pixels.
pub const IMAGE_PX: usize = 384;

/// Side of a patch in pixels.
const PATCH_PX: usize = 4;
/// Width of tokens in the first stage; every next one has twice as much.
const WIDTH: usize = 128;
/// Blocks of each stage.
const DEPTHS: [usize; 4] = [2, 2, 18, 2];
/// Heads in the first stage; every next one has twice as many.
const HEADS: usize = 4;
/// Side of a window in tokens.
const WINDOW: usize = 12;
/// Added to the variances.
const EPSILON: f32 = 1e-5;

/// The structure.
#[derive(Clone, Debug)]
pub struct SwinBase {
    patches: Conv,
    norm: LayerNorm,
    stages: Vec<Stage>,
}

#[derive(Clone, Debug)]
struct Stage {
    blocks: Vec<Block>,
    merge: Option<(LayerNorm, Linear)>,
    /// Tokens of a side.
    side: usize,
}

/// What follows from the weights: what is added to the scores of each block's attention.
pub type Biases = Vec<Vec<Tensor>>;

impl SwinBase {
    /// Channels of the features after each stage.
    pub const CHANNELS: [usize; 4] = [256, 512, 1024, 1024];

    /// Declares the weights; `prefix` comes before timm's names.
    pub fn new(specs: &mut Specs, prefix: &str) -> Self {
        let kernel = Kernel { stride: PATCH_PX, pad: [0; 2], ..Kernel::square(PATCH_PX) };
        let patches = Conv::with(specs, &format!("{prefix}patch_embed.proj"), (3, WIDTH), kernel, 1.0);
        let norm = LayerNorm::new(specs, &format!("{prefix}patch_embed.norm"), WIDTH, EPSILON);
        let stages = DEPTHS.iter().enumerate().map(|(i, &depth)| {
            let (name, side, width) = (format!("{prefix}layers.{i}"), (IMAGE_PX / PATCH_PX) >> i, WIDTH << i);
            let block = |j: usize| {
                // Windows that are as large as the grid have nowhere to move.
                let shift = if j % 2 == 1 && side > WINDOW { WINDOW / 2 } else { 0 };
                let config =
                    Config { width, heads: HEADS << i, window: WINDOW, shift, hidden: 4 * width, grid: [side; 2] };
                Block::new(specs, &format!("{name}.blocks.{j}"), config)
            };
            let blocks = (0..depth).map(block).collect();
            let merge = (i + 1 < DEPTHS.len()).then(|| {
                let norm = LayerNorm::new(specs, &format!("{name}.downsample.norm"), 4 * width, EPSILON);
                let name = format!("{name}.downsample.reduction");
                (norm, Linear::with(specs, &name, (4 * width, 2 * width), false, 1.0))
            });
            Stage { blocks, merge, side }
        });
        let stages = stages.collect();
        Self { patches, norm, stages }
    }

    /// What [`SwinBase::forward`] needs beside the weights.
    pub fn biases(&self, params: &Params) -> Result<Biases> {
        let of_stage = |stage: &Stage| stage.blocks.iter().map(|block| block.bias(params)).collect();
        self.stages.iter().map(of_stage).collect()
    }

    /// The features after each stage, `[batch, height, width, channels]`, of normalized images of 384×384 pixels.
    pub fn forward(&self, tape: &Tape, params: &Params, biases: &Biases, x: &Var) -> Result<Vec<Var>> {
        let x = tape.conv2d(params, &self.patches, x, None)?;
        let (batch, rows, columns, width) = x.tensor().dims4()?;
        let x = tape.reshape(&x, &[batch, rows * columns, width])?;
        let mut x = tape.layer_norm(params, &self.norm, &x)?;
        params.tap("semantic_model.patch_embed", &x);
        let mut features = Vec::with_capacity(self.stages.len());
        for (i, (stage, biases)) in self.stages.iter().zip(biases).enumerate() {
            for (block, bias) in stage.blocks.iter().zip(biases) {
                x = block.forward(tape, params, &x, bias)?;
            }
            let mut side = stage.side;
            if let Some((norm, reduction)) = &stage.merge {
                x = tape.linear(params, reduction, &tape.layer_norm(params, norm, &by_fours(&x, side)?)?)?;
                side /= 2;
            }
            params.tap(format_args!("semantic_model.layers.{i}"), &x);
            let width = x.tensor().dim(2)?;
            features.push(tape.reshape(&x, &[batch, side, side, width])?);
        }
        Ok(features)
    }
}

/// The tokens of each 2×2 of a grid one after the other in the channels: left above, left below, right above, right below.
fn by_fours(x: &Var, side: usize) -> Result<Var> {
    let (batch, tokens, width) = x.tensor().dims3()?;
    let grid = x.tensor().reshape((batch, side / 2, 2, side / 2, 2, width))?;
    let fours = grid.permute([0, 1, 3, 4, 2, 5])?.contiguous()?;
    Ok(Var::constant(fours.reshape((batch, tokens / 4, 4 * width))?))
}
