//! Images of another size: interpolation and pooling.

use candle_core::{DType, Tensor};

use crate::nn::kernels::resample::{Axis, Interpolation};
use crate::nn::kernels::shape::{PoolShape, Spread};
use crate::nn::tape::{Gradients, Tape, Var};
use crate::{Error, Result};

/// Square windows that are slid over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub size: usize,
    pub stride: usize,
    /// Pixels beyond the border at every side.
    pub pad: usize,
}

impl Window {
    fn fits(&self, [height, width]: [usize; 2]) -> Result<()> {
        let Self { size, stride, pad } = *self;
        match size > 0 && stride > 0 && 2 * pad <= size && height.min(width) + 2 * pad >= size {
            true => Ok(()),
            false => Err(Error::invalid(format!("{self:?} does not fit an image of {width}×{height}"))),
        }
    }
}

impl Tape {
    /// Nearest upsampling by 2 of both sides.
    pub fn upsample2(&self, x: &Var) -> Result<Var> {
        let y = self.kernels().upsample2(x.tensor())?;
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, kernels) = (x.slot(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| sink.add(x, kernels.upsample2_gradient(dy)?)
        }))
    }

    /// An image of `height` × `width` pixels (PyTorch's `interpolate` with `align_corners=False`).
    pub fn interpolate(
        &self,
        x: &Var,
        [height, width]: [usize; 2],
        how: Interpolation,
        antialias: bool,
    ) -> Result<Var> {
        let (_, from_height, from_width, _) = x.tensor().dims4()?;
        if height * width * from_height * from_width == 0 {
            return Err(Error::invalid("an image cannot have no pixels"));
        }
        let axis = |from, to| Axis::interpolate(from, to, how, antialias);
        self.resample(x, [axis(from_height, height), axis(from_width, width)])
    }

    /// Means over windows; `count_pad`: over the zeros beyond the border too (PyTorch's `count_include_pad`).
    pub fn average_pool(&self, x: &Var, window: Window, count_pad: bool) -> Result<Var> {
        let (_, height, width, _) = x.tensor().dims4()?;
        window.fits([height, width])?;
        let axis = |from| Axis::average(from, window.size, window.stride, window.pad, count_pad);
        self.resample(x, [axis(height), axis(width)])
    }

    /// Means over `height` × `width` parts of about the same size.
    pub fn adaptive_average_pool(&self, x: &Var, [height, width]: [usize; 2]) -> Result<Var> {
        let (_, from_height, from_width, _) = x.tensor().dims4()?;
        if height * width == 0 || from_height * from_width == 0 {
            return Err(Error::invalid("an image cannot have no pixels"));
        }
        self.resample(x, [Axis::adaptive(from_height, height), Axis::adaptive(from_width, width)])
    }

    /// `√(Σ w·x² + eps)` over windows with stride 2 (Ding et al., "Image Quality Assessment: Unifying Structure and Texture
    /// Similarity", arXiv 2004.07728): `weights` are those of one axis, and the border is padded with zeros by half of them.
    pub fn l2_pool(&self, x: &Var, weights: &[f32], eps: f32) -> Result<Var> {
        let (_, height, width, _) = x.tensor().dims4()?;
        let window = Window { size: weights.len(), stride: 2, pad: weights.len() / 2 };
        window.fits([height, width])?;
        let axis = |from| Axis::windows(from, weights, window.stride, window.pad);
        let pooled = self.resample(&self.mul(x, x)?, [axis(height), axis(width)])?;
        self.sqrt(&pooled, eps)
    }

    /// Any linear resampling of rows and columns.
    pub fn resample(&self, x: &Var, axes: [Axis; 2]) -> Result<Var> {
        let (_, height, width, _) = x.tensor().dims4()?;
        if axes.each_ref().map(Axis::inputs) != [height, width] {
            return Err(Error::invalid(format!("a resampling of another size got {width}×{height} pixels")));
        }
        let y = self.kernels().resample(x.tensor(), &axes)?;
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, kernels, back) = (x.slot(), self.kernels().clone(), axes.each_ref().map(Axis::transposed));
            move |dy: &Tensor, sink: &mut Gradients| sink.add(x, kernels.resample(dy, &back)?)
        }))
    }

    /// The largest value of each window; `partial`: also of those that lie partly beyond the far border (`ceil_mode`).
    pub fn max_pool(&self, x: &Var, window: Window, partial: bool) -> Result<Var> {
        let (batch, height, width, channels) = x.tensor().dims4()?;
        window.fits([height, width])?;
        let Window { size: kernel, stride, pad } = window;
        let shape = PoolShape { batch, height, width, channels, kernel, stride, pad, partial };
        let y = self.kernels().max_pool(shape, x.tensor())?;
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, kernels) = (x.clone(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| sink.add(&x, kernels.max_pool_gradient(shape, x.tensor(), dy)?)
        }))
    }

    /// The mean over all tokens or pixels: `[batch, …, channels]` to `[batch, channels]`.
    pub fn mean(&self, x: &Var) -> Result<Var> {
        let dims = x.tensor().dims();
        let [batch, inner @ .., channels] = dims else {
            return Err(Error::invalid(format!("there is nothing to average in {dims:?}")));
        };
        let (batch, channels, count) = (*batch, *channels, inner.iter().product::<usize>());
        let spread = Spread { outer: batch, repeat: count, inner: channels };
        let sum = self.kernels().sum_spread(spread, x.tensor())?;
        let y = self.kernels().affine(&sum, 1.0 / count as f32, 0.0)?;
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, shape, kernels) = (x.slot(), x.tensor().shape().clone(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| {
                let zeros = Tensor::zeros(shape, DType::F32, dy.device())?;
                let each = kernels.affine(dy, 1.0 / count as f32, 0.0)?;
                sink.add(x, kernels.add_spread(spread, &zeros, &each)?)
            }
        }))
    }
}
