//! The critic's network: convolutions that look at 29 pixels and say of each place how likely a photograph is there.
//!
//! As PatchGAN's discriminators (Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", arXiv
//! 1611.07004), without norms: they would make what is said of a place depend on the picture around it.

use crate::Result;
use crate::nn::layers::Conv;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};

/// Channels and stride of a convolution over 3×3 pixels.
const LAYERS: [(usize, usize); 6] = [(32, 1), (48, 2), (64, 1), (96, 2), (96, 1), (96, 1)];

/// The structure.
#[derive(Clone, Debug)]
pub struct Critic {
    convs: Vec<Conv>,
    head: Conv,
}

impl Critic {
    /// Pixels along a side of the place that one value speaks of.
    pub const CELL_PX: usize = 4;

    /// Declares the weights.
    pub fn new(specs: &mut Specs) -> Self {
        let mut c_in = 3;
        let mut conv = |(i, (channels, stride)): (usize, (usize, usize))| {
            let shape = (std::mem::replace(&mut c_in, channels), channels);
            Conv::new(specs, &format!("conv{i}"), shape, 3, stride, std::f32::consts::SQRT_2)
        };
        let convs = LAYERS.into_iter().enumerate().map(&mut conv).collect();
        Self { convs, head: Conv::new(specs, "head", (c_in, 1), 1, 1, 0.1) }
    }

    /// The log odds that it is a photograph, `[batch, height / 4, width / 4, 1]` rounded up, of images `[batch, height, width, 3]`
    /// in [-1, 1].
    pub fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Var> {
        let mut x = x.clone();
        for conv in &self.convs {
            x = tape.relu(&tape.conv2d(params, conv, &x, None)?)?;
        }
        tape.conv2d(params, &self.head, &x, None)
    }
}
