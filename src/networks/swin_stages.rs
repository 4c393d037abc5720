//! The stages of a Swin transformer (Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", arXiv
//! 2103.14030), with the tokens after each of them, brought together by fours where a stage does so: Swin-B as TOPIQ reads it, Swin-L
//! as the tag model RAM does.

use std::borrow::Cow;

use candle_core::Tensor;

use super::swin::{self, Block};
use crate::Result;
use crate::nn::layers::{Conv, Kernel, LayerNorm, Linear};
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::Source;

/// Sizes.
#[derive(Clone, Debug)]
pub struct Config {
    /// The side of an image in pixels.
    pub image_px: usize,
    /// Width of tokens in the first stage; every next one has twice as much.
    pub width: usize,
    /// Blocks of each stage.
    pub depths: Cow<'static, [usize]>,
    /// Heads of each stage.
    pub heads: Cow<'static, [usize]>,
    /// Side of a window in tokens.
    pub window: usize,
}

impl Config {
    /// Swin-B for images of 384 pixels.
    pub const BASE: Self = Self {
        image_px: IMAGE_PX,
        width: 128,
        depths: Cow::Borrowed(&[2, 2, 18, 2]),
        heads: Cow::Borrowed(&[4, 8, 16, 32]),
        window: 12,
    };

    /// The sizes that tensors have whose names begin with `prefix`: of an image of which the last stage sees one window, as all
    /// published ones. Errors, in words: they are none of such a network.
    pub fn of(source: &Source, prefix: &str) -> Result<Self, String> {
        let number = |name: &str, prefix: &str| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
        let count = |prefix: &str| {
            let last = source.iter().filter_map(|(name, ..)| number(name, prefix)).max();
            last.map_or(0, |last| last + 1).min(1 << 10)
        };
        let first = format!("{prefix}patch_embed.proj.weight");
        let width = match source.shape(&first) {
            Some(&[width, ..]) if width > 0 => width,
            _ => return Err(format!("the weight {first:?} is missing")),
        };
        let (mut depths, mut heads, mut window) = (Vec::new(), Vec::new(), 0);
        for stage in 0..count(&format!("{prefix}layers.")) {
            let blocks = format!("{prefix}layers.{stage}.blocks.");
            let table = format!("{blocks}0.attn.relative_position_bias_table");
            let Some(&[places, of_stage]) = source.shape(&table) else {
                return Err(format!("the weight {table:?} is missing"));
            };
            // All distances within a window, each way.
            window = places.isqrt().div_ceil(2);
            if of_stage == 0 || window == 0 || (width << stage) % of_stage != 0 {
                return Err(format!("the weight {table:?} has shape {:?}", [places, of_stage]));
            }
            depths.push(count(&blocks));
            heads.push(of_stage);
        }
        let image_px = match depths.len() {
            0 | 16.. => return Err(format!("{} stages", depths.len())),
            stages => (PATCH_PX * window) << (stages - 1),
        };
        Ok(Self { image_px, width, depths: depths.into(), heads: heads.into(), window })
    }

    /// Width of the tokens after the last stage, which brings none together.
    pub fn last_width(&self) -> usize {
        self.width << self.depths.len().saturating_sub(1)
    }
}

/// The side of an image that published networks look at, in pixels.
pub const IMAGE_PX: usize = 384;
/// Side of a patch in pixels.
const PATCH_PX: usize = 4;
/// Added to the variances.
const EPSILON: f32 = 1e-5;

/// The structure.
#[derive(Clone, Debug)]
pub struct SwinStages {
    patches: Conv,
    norm: LayerNorm,
    stages: Vec<Stage>,
    /// What comes before the names.
    prefix: String,
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

impl SwinStages {
    /// Channels of Swin-B's features after each stage.
    pub const CHANNELS: [usize; 4] = [256, 512, 1024, 1024];

    /// Declares the weights; `prefix` comes before timm's names.
    pub fn new(specs: &mut Specs, prefix: &str, config: &Config) -> Self {
        let &Config { image_px, width: first, ref depths, ref heads, window } = config;
        let kernel = Kernel { stride: PATCH_PX, pad: [0; 2], ..Kernel::square(PATCH_PX) };
        let patches = Conv::with(specs, &format!("{prefix}patch_embed.proj"), (3, first), kernel, 1.0);
        let norm = LayerNorm::new(specs, &format!("{prefix}patch_embed.norm"), first, EPSILON);
        let stages = depths.iter().zip(heads.iter()).enumerate().map(|(i, (&depth, &heads))| {
            let (name, side, width) = (format!("{prefix}layers.{i}"), (image_px / PATCH_PX) >> i, first << i);
            let block = |j: usize| {
                // Windows that are as large as the grid have nowhere to move.
                let shift = if j % 2 == 1 && side > window { window / 2 } else { 0 };
                let config = swin::Config { width, heads, window, shift, hidden: 4 * width, grid: [side; 2] };
                Block::new(specs, &format!("{name}.blocks.{j}"), config)
            };
            let blocks = (0..depth).map(block).collect();
            let merge = (i + 1 < depths.len()).then(|| {
                let norm = LayerNorm::new(specs, &format!("{name}.downsample.norm"), 4 * width, EPSILON);
                let name = format!("{name}.downsample.reduction");
                (norm, Linear::with(specs, &name, (4 * width, 2 * width), false, 1.0))
            });
            Stage { blocks, merge, side }
        });
        let stages = stages.collect();
        Self { patches, norm, stages, prefix: prefix.to_owned() }
    }

    /// What [`SwinStages::forward`] needs beside the weights.
    pub fn biases(&self, params: &Params) -> Result<Biases> {
        let of_stage = |stage: &Stage| stage.blocks.iter().map(|block| block.bias(params)).collect();
        self.stages.iter().map(of_stage).collect()
    }

    /// The features after each stage, `[batch, height, width, channels]`, of normalized images of the size it is for.
    pub fn forward(&self, tape: &Tape, params: &Params, biases: &Biases, x: &Var) -> Result<Vec<Var>> {
        let x = tape.conv2d(params, &self.patches, x, None)?;
        let (batch, rows, columns, width) = x.tensor().dims4()?;
        let x = tape.reshape(&x, &[batch, rows * columns, width])?;
        let mut x = tape.layer_norm(params, &self.norm, &x)?;
        params.tap(format_args!("{}patch_embed", self.prefix), &x);
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
            params.tap(format_args!("{}layers.{i}", self.prefix), &x);
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
