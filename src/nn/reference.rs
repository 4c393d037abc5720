//! The operations of [`super::ops`] composed of candle's own: slower, differentiable by candle, on any device.
//!
//! This is what runs on CUDA, and what the tests compare the CPU kernels with.

use candle_core::{D, Result, Tensor, Var};

use super::kernels::norm::EPS;

/// NHWC convolution with an OIHW (or, for 1×1, `[O, I]`) weight, plus bias and residual.
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    residual: Option<&Tensor>,
    kernel: usize,
    stride: usize,
) -> Result<Tensor> {
    let (c_out, c_in) = (weight.dim(0)?, weight.dim(1)?);
    let weight = weight.reshape((c_out, c_in, kernel, kernel))?;
    let x = x.permute((0, 3, 1, 2))?.contiguous()?;
    let y = x.conv2d(&weight, kernel / 2, stride, 1, 1)?.permute((0, 2, 3, 1))?;
    let y = y.broadcast_add(bias)?;
    match residual {
        Some(r) => y + r,
        None => y.contiguous(),
    }
}

/// NHWC group normalization with affine weights, optional per-image scale and shift `[B, 2C]`, optional SiLU.
pub fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    scale_shift: Option<&Tensor>,
    groups: usize,
    silu: bool,
) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    let grouped = x.reshape((b, h * w, groups, c / groups))?;
    let mean = grouped.mean_keepdim((1, 3))?;
    let centred = grouped.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim((1, 3))?;
    let normal = centred.broadcast_div(&(variance + EPS as f64)?.sqrt()?)?.reshape((b, h, w, c))?;
    let mut y = normal.broadcast_mul(weight)?.broadcast_add(bias)?;
    if let Some(scale_shift) = scale_shift {
        let scale = (scale_shift.narrow(D::Minus1, 0, c)? + 1.0)?.reshape((b, 1, 1, c))?;
        let shift = scale_shift.narrow(D::Minus1, c, c)?.reshape((b, 1, 1, c))?;
        y = y.broadcast_mul(&scale)?.broadcast_add(&shift)?;
    }
    if silu { y.silu() } else { Ok(y) }
}

/// NHWC nearest upsampling by 2.
pub fn upsample2(x: &Tensor) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    x.reshape((b, h, 1, w, 1, c))?.broadcast_as((b, h, 2, w, 2, c))?.reshape((b, 2 * h, 2 * w, c))
}

/// Planar `[B, C, s·H, s·W]` to NHWC `[B, H, W, C·s²]`, in the channel order of `pixel_unshuffle`.
pub fn unshuffle(x: &Tensor, s: usize) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let split = x.reshape(vec![b, c, h / s, s, w / s, s])?;
    split.permute(vec![0, 2, 4, 1, 3, 5])?.reshape((b, h / s, w / s, c * s * s))
}

/// The inverse of [`unshuffle`].
pub fn shuffle(x: &Tensor, s: usize) -> Result<Tensor> {
    let (b, h, w, depth) = x.dims4()?;
    let c = depth / (s * s);
    let split = x.reshape(vec![b, h, w, c, s, s])?;
    split.permute(vec![0, 3, 1, 4, 2, 5])?.reshape((b, c, h * s, w * s))
}

/// Gradients of `inputs` by candle's autograd, given the gradient `dy` of `f(inputs)`.
pub fn gradients(inputs: &[&Tensor], dy: &Tensor, f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<Vec<Tensor>> {
    let vars = inputs.iter().map(|t| Var::from_tensor(t)).collect::<Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let store = (f(&tensors)? * dy)?.sum_all()?.backward()?;
    let gradient = |t: &Tensor| match store.get(t) {
        Some(g) => g.contiguous(),
        None => t.zeros_like(),
    };
    tensors.iter().map(gradient).collect()
}
