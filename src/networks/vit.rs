//! The vision transformer ViT-B/8 (Dosovitskiy et al., "An Image Is Worth 16×16 Words", arXiv 2010.11929; Caron et al., arXiv 2104.14294)
//! with timm's names, up to the block whose tokens are still read.

use super::transformer::{Block, Config, Names, prepend};
use crate::Result;
use crate::nn::kernels::shape::Activation;
use crate::nn::layers::{Conv, Kernel};
use crate::nn::params::{Init, ParamId, Params, Specs};
use crate::nn::tape::{Tape, Var};

pub const WIDTH: usize = 768;
/// Side of a patch, and of an image, in pixels.
const PATCH: usize = 8;
pub const IMAGE_PX: usize = 224;
/// Patches along a side.
pub const GRID: usize = IMAGE_PX / PATCH;

/// The structure.
#[derive(Clone, Debug)]
pub struct Vit {
    patches: Conv,
    class: ParamId,
    positions: ParamId,
    blocks: Vec<Block>,
}

impl Vit {
    /// Declares the weights of the first `depth` blocks below `name`.
    pub fn new(specs: &mut Specs, name: &str, depth: usize) -> Self {
        let kernel = Kernel { stride: PATCH, pad: [0; 2], ..Kernel::square(PATCH) };
        let block = Config {
            names: Names::TIMM,
            width: WIDTH,
            heads: 12,
            hidden: 4 * WIDTH,
            activation: Activation::Gelu,
            eps: 1e-6,
            causal: false,
        };
        Self {
            patches: Conv::with(specs, &format!("{name}.patch_embed.proj"), (3, WIDTH), kernel, 1.0),
            class: specs.add(format!("{name}.cls_token"), &[1, 1, WIDTH], Init::Normal(0.02)),
            positions: specs.add(format!("{name}.pos_embed"), &[1, 1 + GRID * GRID, WIDTH], Init::Normal(0.02)),
            blocks: (0..depth).map(|i| Block::new(specs, &format!("{name}.blocks.{i}"), block)).collect(),
        }
    }

    /// The patches' tokens after each of the last `count` blocks, `[batch, 784, 768]`, of images `[batch, 224, 224, 3]`.
    pub fn forward(&self, tape: &Tape, params: &Params, x: &Var, count: usize) -> Result<Vec<Var>> {
        let batch = x.tensor().dim(0)?;
        let y = tape.conv2d(params, &self.patches, x, None)?;
        let y = tape.reshape(&y, &[batch, GRID * GRID, WIDTH])?;
        let y = prepend(tape, &Var::constant(params.get(self.class).clone()), &y)?;
        let mut x = tape.add(&y, &Var::constant(params.get(self.positions).to_dtype(candle_core::DType::F32)?))?;
        let mut layers = Vec::with_capacity(count);
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(tape, params, &x, None)?;
            params.tap(format_args!("vit.blocks.{i}"), &x);
            if i + count >= self.blocks.len() {
                layers.push(tape.narrow(&x, 1, 1, GRID * GRID)?);
            }
        }
        Ok(layers)
    }
}
