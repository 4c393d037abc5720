//! Anti-aliased downsampling by 2: a 3×3 binomial blur at every second position, the input mirrored by two positions at each
//! end (the end itself once). Zhang, "Making convolutional networks shift-invariant again", ICML 2019.

use candle_core::Tensor;

use super::resample::Axis;
use super::shape::PoolShape;
use crate::{Error, Result};

/// Weights of three neighbors.
pub const BINOMIAL: [f32; 3] = [0.25, 0.5, 0.25];
/// Positions mirrored at each end.
pub const PAD: usize = 2;

/// The downsampling of an axis.
pub fn blur(inputs: usize) -> Axis {
    Axis::mirrored(inputs, &BINOMIAL, 2, PAD)
}

/// Length after the blur: positions −2, 0, 2 … of the input, as far as its mirror image reaches.
pub const fn blurred_len(len: usize) -> usize {
    len.div_ceil(2) + 1
}

/// Maxima over 3×3 windows of an image, and how those are blurred. Errors: an image of which nothing is left to mirror.
pub fn pool(x: &Tensor) -> Result<(PoolShape, [Axis; 2])> {
    let (batch, height, width, channels) = x.dims4()?;
    if height.min(width) < 2 + PAD + 1 {
        return Err(Error::invalid(format!("{width}×{height} values are too few for anti-aliased pooling")));
    }
    let shape = PoolShape { batch, height, width, channels, kernel: 3, stride: 1, pad: 0, partial: false };
    Ok((shape, [height - 2, width - 2].map(blur)))
}
