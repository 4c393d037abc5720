//! Sizes of the operations: what every implementation of them is told.

use crate::{Error, Result};

/// Shape of a convolution, of one stride for both axes and with the same zero padding at both ends of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    pub batch: usize,
    /// Input height and width in pixels.
    pub height: usize,
    pub width: usize,
    pub c_in: usize,
    pub c_out: usize,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    pub stride: usize,
    /// Zeros before and after the rows, and the columns.
    pub pad: [usize; 2],
    /// Pixels from one tap of the kernel to the next; 1 for the usual convolution.
    pub dilation: usize,
    /// Parts that input and output channels are cut into, each convolved with its own; 1 for the usual convolution.
    pub groups: usize,
}

impl ConvShape {
    /// The usual convolution, of a square kernel: not dilated, not grouped.
    pub fn square(
        [batch, height, width]: [usize; 3],
        (c_in, c_out): (usize, usize),
        kernel: usize,
        stride: usize,
        pad: usize,
    ) -> Self {
        let (kernel, pad) = ([kernel; 2], [pad; 2]);
        Self { batch, height, width, c_in, c_out, kernel, stride, pad, dilation: 1, groups: 1 }
    }

    /// `rows` rows of `c_in` values, each multiplied with one matrix: a fully connected layer.
    pub fn linear(rows: usize, c_in: usize, c_out: usize) -> Self {
        Self::square([rows, 1, 1], (c_in, c_out), 1, 1, 0)
    }

    /// Pixels from the first to the last tap of the kernel, both included: rows and columns.
    pub fn extent(&self) -> [usize; 2] {
        self.kernel.map(|k| (k - 1) * self.dilation + 1)
    }

    /// Output height and width in pixels.
    pub fn out_size(&self) -> (usize, usize) {
        let [rows, columns] = self.extent();
        let size = |n: usize, pad: usize, extent: usize| (n + 2 * pad).saturating_sub(extent) / self.stride + 1;
        (size(self.height, self.pad[0], rows), size(self.width, self.pad[1], columns))
    }

    /// Values in the NHWC output.
    pub fn out_len(&self) -> usize {
        let (h, w) = self.out_size();
        self.batch * h * w * self.c_out
    }

    /// Values in the NHWC input.
    pub fn in_len(&self) -> usize {
        self.batch * self.height * self.width * self.c_in
    }

    /// Taps of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Values under one kernel position, of one group.
    pub fn patch_len(&self) -> usize {
        self.taps() * self.c_in / self.groups
    }

    /// Whether every output pixel depends on just one input pixel.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == 1 && self.pad == [0, 0]
    }

    /// The convolution of one group.
    pub fn one_group(&self) -> Self {
        Self { c_in: self.c_in / self.groups, c_out: self.c_out / self.groups, groups: 1, ..*self }
    }

    /// The same-sized convolution that computes the input gradient of this one (stride 1, not dilated).
    pub fn transposed(&self) -> Self {
        let (height, width) = self.out_size();
        let pad = [0, 1].map(|axis| self.kernel[axis] - 1 - self.pad[axis]);
        Self { height, width, c_in: self.c_out, c_out: self.c_in, pad, ..*self }
    }

    /// Errors: the kernel does not fit the padded image, or the groups do not divide the channels.
    pub fn check(&self) -> Result<()> {
        let [rows, columns] = self.extent();
        let fits = self.height + 2 * self.pad[0] >= rows && self.width + 2 * self.pad[1] >= columns;
        let divides = self.c_in.is_multiple_of(self.groups) && self.c_out.is_multiple_of(self.groups);
        match fits && divides && self.stride > 0 && self.batch * self.height * self.width * self.c_in > 0 {
            true => Ok(()),
            false => Err(Error::invalid(format!("a convolution cannot be {self:?}"))),
        }
    }
}

/// Sizes of a group normalization over NHWC activations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormShape {
    pub batch: usize,
    /// Pixels of one image.
    pub pixels: usize,
    pub channels: usize,
    /// Must divide `channels`.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f32,
    /// Whether SiLU follows.
    pub silu: bool,
}

/// What a normalization subtracts before it divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Center {
    /// The row's mean: layer normalization.
    Mean,
    /// Nothing: RMS normalization.
    Zero,
}

/// A normalization of rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowNorm {
    /// Values of a row.
    pub width: usize,
    pub center: Center,
    /// Added to the variance or the mean square.
    pub eps: f32,
}

/// Sizes: `q` and the output are `[batch, queries, heads · dim]`, `k` and `v` `[batch, keys, heads · dim]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    /// Channels of one head.
    pub dim: usize,
    /// What scores are multiplied with before the softmax.
    pub scale: f32,
    /// Whether query `i` sees the keys up to number `i` only.
    pub causal: bool,
}

impl AttentionShape {
    /// What scores are usually multiplied with: 1/√dim.
    pub fn usual_scale(dim: usize) -> f32 {
        1.0 / (dim as f32).sqrt()
    }
}

/// A function of single values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `max(0, x)`.
    Relu,
    /// `x · σ(x)`.
    Silu,
    /// `x · Φ(x)` with the error function (Hendrycks & Gimpel, arXiv 1606.08415).
    Gelu,
    /// The same with a hyperbolic tangent in place of the error function: T5 and FLUX.
    GeluTanh,
    /// `x · σ(1.702 x)`: CLIP.
    GeluQuick,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
}

/// How a smaller tensor meets a larger one: the larger is `[outer, repeat, inner]`, the smaller `[outer, inner]`, and each of
/// its rows meets `repeat` rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    pub outer: usize,
    pub repeat: usize,
    pub inner: usize,
}

impl Spread {
    /// Of a tensor of shape `small` over one of shape `large`: where they differ, in one run of dimensions, `small` has 1;
    /// dimensions that it lacks in front count as 1. Errors: they do not fit so.
    pub fn of(large: &[usize], small: &[usize]) -> Result<Self> {
        let no = || Error::invalid(format!("a tensor of shape {small:?} does not meet one of {large:?}"));
        let missing = large.len().checked_sub(small.len()).ok_or_else(no)?;
        let small_at = |i: usize| if i < missing { 1 } else { small[i - missing] };
        let differs = |i: &usize| small_at(*i) != large[*i];
        let Some(first) = (0..large.len()).find(differs) else {
            return Ok(Self { outer: 1, repeat: 1, inner: large.iter().product() });
        };
        let last = (0..large.len()).rev().find(differs).unwrap_or(first);
        if (first..=last).any(|i| small_at(i) != 1) {
            return Err(no());
        }
        let size = |dims: &[usize]| dims.iter().product();
        Ok(Self { outer: size(&large[..first]), repeat: size(&large[first..=last]), inner: size(&large[last + 1..]) })
    }
}

/// Sizes of a maximum over windows of NHWC activations; beyond the border there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
    pub pad: usize,
    /// Whether a window that lies partly beyond the far border counts (PyTorch's `ceil_mode`).
    pub partial: bool,
}

impl PoolShape {
    /// Output height and width in pixels.
    pub fn out_size(&self) -> (usize, usize) {
        let Self { kernel, stride, pad, .. } = *self;
        let size = |n: usize| {
            let free = (n + 2 * pad).saturating_sub(kernel);
            match self.partial {
                false => free / stride + 1,
                // The last window must begin within the image or its padding in front.
                true => match free.div_ceil(stride) + 1 {
                    count if (count - 1) * stride >= n + pad => count - 1,
                    count => count,
                },
            }
        };
        (size(self.height), size(self.width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_tensor_meets_a_larger_one_in_one_run_of_dimensions() {
        let spread = |outer, repeat, inner| Some(Spread { outer, repeat, inner });
        for (large, small, want) in [
            (&[2, 5, 7, 3][..], &[2, 5, 7, 3][..], spread(1, 1, 210)),
            (&[2, 5, 7, 3], &[2, 1, 1, 3], spread(2, 35, 3)),
            (&[2, 5, 7, 3], &[3], spread(1, 70, 3)),
            (&[2, 5, 3], &[2, 5, 1], spread(10, 3, 1)),
            (&[2, 5, 3], &[1], spread(1, 30, 1)),
            (&[2, 5, 3], &[], spread(1, 30, 1)),
            (&[2, 5, 3], &[2, 1], None),
            (&[2, 5, 3], &[1, 5, 1], None),
            (&[2, 5, 3], &[5, 2, 5, 3], None),
        ] {
            assert_eq!(Spread::of(large, small).ok(), want, "{large:?} {small:?}");
        }
    }
}
