//! Sizes of the operations: what every implementation of them is told.

/// Shape of a convolution with a square kernel, the same stride and zero padding on both axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    pub batch: usize,
    /// Input height and width in pixels.
    pub height: usize,
    pub width: usize,
    pub c_in: usize,
    pub c_out: usize,
    pub kernel: usize,
    pub stride: usize,
    pub pad: usize,
}

impl ConvShape {
    /// Output height and width in pixels.
    pub fn out_size(&self) -> (usize, usize) {
        let size = |n: usize| (n + 2 * self.pad).saturating_sub(self.kernel) / self.stride + 1;
        (size(self.height), size(self.width))
    }

    /// Values in the NHWC output.
    pub fn out_len(&self) -> usize {
        let (h, w) = self.out_size();
        self.batch * h * w * self.c_out
    }

    /// Values under one kernel position.
    pub fn patch_len(&self) -> usize {
        self.kernel * self.kernel * self.c_in
    }

    /// Whether every output pixel depends on just one input pixel.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.pad == 0
    }

    /// The same-sized convolution that computes the input gradient of this one (stride 1 only).
    pub fn transposed(&self) -> Self {
        let (height, width) = self.out_size();
        let pad = self.kernel - 1 - self.pad;
        Self { height, width, c_in: self.c_out, c_out: self.c_in, pad, ..*self }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    /// Channels of one head.
    pub dim: usize,
}
