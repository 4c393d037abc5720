//! The operations of [`super::ops`] composed of candle's own: slower, differentiable by candle, on any device.
//!
//! This is what runs on CUDA, and what the tests compare the CPU kernels with.

use candle_core::{D, Result, Tensor, Var};

use super::kernels::norm::EPS;
use super::kernels::rows::{Centre, RowNorm};

/// Attention scores that exist at once: queries are taken in blocks, so that memory stays linear in the tokens.
const SCORES: usize = 64 << 20;

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

/// Which gradients of a convolution are wanted, and those gradients.
pub struct ConvGradients<T> {
    pub x: T,
    /// Of the weight and the bias.
    pub weights: T,
}

/// Gradients of [`conv2d`]: of `x`, and of weight and bias. Not by candle's autograd, which computes all of them always,
/// and the first by a transposed convolution that has only a plain loop for a kernel.
pub fn conv2d_gradients(
    x: &Tensor,
    weight: &Tensor,
    dy: &Tensor,
    (kernel, stride): (usize, usize),
    wanted: ConvGradients<bool>,
) -> Result<(Option<Tensor>, Option<[Tensor; 2]>)> {
    let (c_out, c_in) = (weight.dim(0)?, weight.dim(1)?);
    let planar = |t: &Tensor| t.permute((0, 3, 1, 2))?.contiguous();
    let (_, height, width, _) = x.dims4()?;
    let (_, out_h, _, _) = dy.dims4()?;
    let pad = kernel / 2;
    let dx = || {
        let weight = weight.reshape((c_out, c_in, kernel, kernel))?;
        let dx = if stride == 1 && kernel % 2 == 1 {
            let turned = weight.flip(&[2, 3])?.transpose(0, 1)?.contiguous()?;
            planar(dy)?.conv2d(&turned, pad, 1, 1, 1)?
        } else {
            let rest = height + 2 * pad - kernel - (out_h - 1) * stride;
            let dx = planar(dy)?.conv_transpose2d(&weight, pad, rest, stride, 1)?;
            // Both sides got the same rest; the width may need another.
            match dx.dim(3)? {
                w if w > width => dx.narrow(3, 0, width)?,
                w => dx.pad_with_zeros(3, 0, width - w)?,
            }
        };
        dx.permute((0, 2, 3, 1))?.contiguous()
    };
    let weights = || {
        let (x, planar_dy) = (planar(x)?.transpose(0, 1)?, planar(dy)?.transpose(0, 1)?);
        let dw = x.contiguous()?.conv2d(&planar_dy.contiguous()?, pad, 1, stride, 1)?.transpose(0, 1)?;
        let dw = dw.narrow(2, 0, kernel)?.narrow(3, 0, kernel)?.contiguous()?.reshape(weight.shape())?;
        Ok::<_, candle_core::Error>([dw, dy.reshape(((), c_out))?.sum(0)?])
    };
    Ok((wanted.x.then(dx).transpose()?, wanted.weights.then(weights).transpose()?))
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

/// Softmax along the last dimension.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    let e = x.broadcast_sub(&x.detach().max_keepdim(D::Minus1)?)?.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

/// Layer or RMS normalization along the last dimension.
pub fn row_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, norm: RowNorm) -> Result<Tensor> {
    let centred = match norm.centre {
        Centre::Mean => x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?,
        Centre::Zero => x.clone(),
    };
    let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + norm.eps as f64)?.sqrt()?;
    let y = centred.broadcast_div(&deviation)?.broadcast_mul(weight)?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

/// Attention of heads that lie side by side in the channels; `[batch, tokens, channels]`.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let blocks = query_blocks(q, k, heads)?;
    let parts = blocks.into_iter().map(|(start, len)| attention_block(&q.narrow(1, start, len)?, k, v, heads));
    Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)
}

/// Gradients of `q`, `k` and `v` of [`attention`].
pub fn attention_gradients([q, k, v]: [&Tensor; 3], dy: &Tensor, heads: usize) -> Result<[Tensor; 3]> {
    let (mut dq, mut dk, mut dv) = (Vec::new(), k.zeros_like()?, v.zeros_like()?);
    for (start, len) in query_blocks(q, k, heads)? {
        let some = q.narrow(1, start, len)?;
        let dy = dy.narrow(1, start, len)?;
        let all = gradients(&[&some, k, v], &dy, |t| attention_block(&t[0], &t[1], &t[2], heads))?;
        let [q, k, v] = take(all)?;
        dq.push(q);
        dk = (dk + k)?;
        dv = (dv + v)?;
    }
    Ok([Tensor::cat(&dq, 1)?, dk, dv])
}

/// First query and number of queries of the blocks that keep to [`SCORES`].
fn query_blocks(q: &Tensor, k: &Tensor, heads: usize) -> Result<Vec<(usize, usize)>> {
    let (batch, queries, _) = q.dims3()?;
    let block = (SCORES / (batch * heads * k.dim(1)?).max(1)).clamp(1, queries.max(1));
    Ok((0..queries).step_by(block).map(|start| (start, block.min(queries - start))).collect())
}

fn attention_block(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, queries, channels) = q.dims3()?;
    let dim = channels / heads;
    let split = |t: &Tensor| t.reshape((batch, t.dim(1)?, heads, dim))?.transpose(1, 2)?.contiguous();
    let scores = (split(q)?.matmul(&split(k)?.transpose(2, 3)?.contiguous()?)? / (dim as f64).sqrt())?;
    softmax(&scores)?.matmul(&split(v)?)?.transpose(1, 2)?.reshape((batch, queries, channels))
}

/// The gradients as an array, one per input.
pub fn take<const N: usize>(gradients: Vec<Tensor>) -> Result<[Tensor; N]> {
    match gradients.try_into() {
        Ok(array) => Ok(array),
        Err(list) => candle_core::bail!("{} gradients for {N} inputs", Vec::len(&list)),
    }
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
