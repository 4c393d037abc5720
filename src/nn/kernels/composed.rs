//! The operations composed of candle's own: slower, on any device. What runs on CUDA, and what the tests hold the CPU kernels
//! against.

use candle_core::{D, Result, Tensor, Var};

use super::shape::{AttentionShape, Center, ConvShape, NormShape, RowNorm};
use super::{Kernels, NormGradients, Saved};
use crate::nn::adamw::{Moments, Update};
use crate::nn::params::Weight;

/// Attention scores that exist at once: queries are taken in blocks, so that memory stays linear in the tokens.
const SCORES: usize = 64 << 20;

/// [`Kernels`] on any device.
#[derive(Clone, Copy, Debug)]
pub struct Composed;

impl Kernels for Composed {
    fn conv2d(
        &self,
        shape: ConvShape,
        weight: &Weight,
        bias: &Tensor,
        x: &Tensor,
        residual: Option<&Tensor>,
    ) -> crate::Result<Tensor> {
        let y = planar(x)?.conv2d(&oihw(shape, weight)?, shape.pad, shape.stride, 1, 1)?;
        let y = y.permute((0, 2, 3, 1))?.broadcast_add(bias)?;
        Ok(match residual {
            Some(r) => (y + r)?,
            None => y.contiguous()?,
        })
    }

    // Not by candle's autograd, which computes every gradient always, and that of the input by a transposed convolution
    // that has only a plain loop for a kernel.
    fn conv2d_input_gradient(&self, shape: ConvShape, weight: &Weight, dy: &Tensor) -> crate::Result<Tensor> {
        let ConvShape { height, width, kernel, stride, pad, .. } = shape;
        let weight = oihw(shape, weight)?;
        let dx = if stride == 1 && kernel % 2 == 1 {
            let turned = weight.flip(&[2, 3])?.transpose(0, 1)?.contiguous()?;
            planar(dy)?.conv2d(&turned, kernel - 1 - pad, 1, 1, 1)?
        } else {
            let (out_height, _) = shape.out_size();
            let rest = height + 2 * pad - kernel - (out_height - 1) * stride;
            let dx = planar(dy)?.conv_transpose2d(&weight, pad, rest, stride, 1)?;
            // Both sides got the same rest; the width may need another.
            match dx.dim(3)? {
                w if w > width => dx.narrow(3, 0, width)?,
                w => dx.pad_with_zeros(3, 0, width - w)?,
            }
        };
        Ok(dx.permute((0, 2, 3, 1))?.contiguous()?)
    }

    fn conv2d_weight_gradient(
        &self,
        shape: ConvShape,
        weight: &Weight,
        x: &Tensor,
        dy: &Tensor,
    ) -> crate::Result<Tensor> {
        let ConvShape { kernel, stride, pad, .. } = shape;
        let turned = |t: &Tensor| planar(t)?.transpose(0, 1)?.contiguous();
        let dw = turned(x)?.conv2d(&turned(dy)?, pad, 1, stride, 1)?.transpose(0, 1)?;
        Ok(dw.narrow(2, 0, kernel)?.narrow(3, 0, kernel)?.contiguous()?.reshape(weight.tensor().shape())?)
    }

    fn bias_gradient(&self, dy: &Tensor) -> crate::Result<Tensor> {
        Ok(dy.reshape(((), dy.dim(D::Minus1)?))?.sum(0)?)
    }

    fn group_norm(
        &self,
        shape: NormShape,
        [weight, bias]: [&Tensor; 2],
        x: &Tensor,
        scale_shift: Option<&Tensor>,
    ) -> crate::Result<(Tensor, Saved)> {
        Ok((group_norm(shape, x, weight, bias, scale_shift)?, Vec::new()))
    }

    fn group_norm_gradients(
        &self,
        shape: NormShape,
        [weight, bias]: [&Tensor; 2],
        x: &Tensor,
        scale_shift: Option<&Tensor>,
        _: &Saved,
        dy: &Tensor,
        _: bool,
    ) -> crate::Result<NormGradients> {
        let inputs: Vec<&Tensor> = [x, weight, bias].into_iter().chain(scale_shift).collect();
        let mut all = gradients(&inputs, dy, |t| group_norm(shape, &t[0], &t[1], &t[2], t.get(3)))?;
        let scale_shift = scale_shift.and_then(|_| all.pop());
        let [x, weight, bias] = take(all)?;
        Ok(NormGradients { x, affine: Some([weight, bias]), scale_shift })
    }

    fn row_norm(&self, norm: RowNorm, weight: &Tensor, bias: Option<&Tensor>, x: &Tensor) -> crate::Result<Tensor> {
        Ok(row_norm(norm, x, weight, bias)?)
    }

    fn row_norm_gradients(
        &self,
        norm: RowNorm,
        weight: &Tensor,
        x: &Tensor,
        dy: &Tensor,
    ) -> crate::Result<[Tensor; 3]> {
        let [dx, dw] = take(gradients(&[x, weight], dy, |t| row_norm(norm, &t[0], &t[1], None))?)?;
        // The bias only adds: its gradient needs no graph.
        Ok([dx, dw, self.bias_gradient(dy)?])
    }

    fn softmax(&self, x: &Tensor) -> crate::Result<Tensor> {
        Ok(softmax(x)?)
    }

    fn softmax_gradient(&self, y: &Tensor, dy: &Tensor) -> crate::Result<Tensor> {
        let along = (dy * y)?.sum_keepdim(D::Minus1)?;
        Ok((dy.broadcast_sub(&along)? * y)?)
    }

    fn attention(&self, shape: AttentionShape, [q, k, v]: [&Tensor; 3]) -> crate::Result<(Tensor, Saved)> {
        let block = |(start, len)| attention_block(shape, &q.narrow(1, start, len)?, k, v);
        let parts = query_blocks(shape).map(block).collect::<Result<Vec<_>>>()?;
        Ok((Tensor::cat(&parts, 1)?, Vec::new()))
    }

    fn attention_gradients(
        &self,
        shape: AttentionShape,
        [q, k, v]: [&Tensor; 3],
        _: &Tensor,
        _: &Saved,
        dy: &Tensor,
    ) -> crate::Result<[Tensor; 3]> {
        let (mut dq, mut dk, mut dv) = (Vec::new(), k.zeros_like()?, v.zeros_like()?);
        for (start, len) in query_blocks(shape) {
            let (some, dy) = (q.narrow(1, start, len)?, dy.narrow(1, start, len)?);
            let all = gradients(&[&some, k, v], &dy, |t| attention_block(shape, &t[0], &t[1], &t[2]))?;
            let [q, k, v] = take(all)?;
            dq.push(q);
            dk = (dk + k)?;
            dv = (dv + v)?;
        }
        Ok([Tensor::cat(&dq, 1)?, dk, dv])
    }

    fn silu(&self, x: &Tensor) -> crate::Result<Tensor> {
        Ok(x.silu()?)
    }

    fn silu_gradient(&self, x: &Tensor, dy: &Tensor) -> crate::Result<Tensor> {
        let [dx] = take(gradients(&[x], dy, |t| t[0].silu())?)?;
        Ok(dx)
    }

    fn upsample2(&self, x: &Tensor) -> crate::Result<Tensor> {
        let (b, h, w, c) = x.dims4()?;
        let spread = x.reshape((b, h, 1, w, 1, c))?.broadcast_as((b, h, 2, w, 2, c))?;
        Ok(spread.reshape((b, 2 * h, 2 * w, c))?)
    }

    fn upsample2_gradient(&self, dy: &Tensor) -> crate::Result<Tensor> {
        let (b, h, w, c) = dy.dims4()?;
        Ok(dy.reshape(vec![b, h / 2, 2, w / 2, 2, c])?.sum((2, 4))?)
    }

    fn concat(&self, a: &Tensor, b: &Tensor) -> crate::Result<Tensor> {
        Ok(Tensor::cat(&[a, b], D::Minus1)?)
    }

    fn channels(&self, x: &Tensor, from: usize, take: usize) -> crate::Result<Tensor> {
        Ok(x.narrow(D::Minus1, from, take)?.contiguous()?)
    }

    fn unshuffle(&self, x: &Tensor, s: usize) -> crate::Result<Tensor> {
        let (b, c, h, w) = x.dims4()?;
        let split = x.reshape(vec![b, c, h / s, s, w / s, s])?;
        Ok(split.permute(vec![0, 2, 4, 1, 3, 5])?.reshape((b, h / s, w / s, c * s * s))?)
    }

    fn shuffle(&self, x: &Tensor, s: usize) -> crate::Result<Tensor> {
        let (b, h, w, depth) = x.dims4()?;
        let c = depth / (s * s);
        let split = x.reshape(vec![b, h, w, c, s, s])?;
        Ok(split.permute(vec![0, 3, 1, 4, 2, 5])?.reshape((b, c, h * s, w * s))?)
    }

    fn add(&self, a: &Tensor, b: &Tensor) -> crate::Result<Tensor> {
        Ok((a + b)?)
    }

    fn sum_of_squares(&self, x: &Tensor) -> crate::Result<f64> {
        Ok(x.sqr()?.sum_all()?.to_scalar::<f32>()?.into())
    }

    fn moments(&self, weight: &Tensor) -> crate::Result<Moments> {
        Ok(Moments::Tensors { first: weight.zeros_like()?, second: weight.zeros_like()? })
    }

    fn adamw(&self, update: Update, weight: &Tensor, gradient: &Tensor, moments: &mut Moments) -> crate::Result<()> {
        let Moments::Tensors { first, second } = moments else {
            return Err(crate::Error::invalid("the optimizer's moments belong to another device"));
        };
        let Update { beta1, beta2, scale, decay, rate, correction2, eps } = update;
        let gradient = (gradient * scale)?;
        *first = ((&*first * beta1)? + (&gradient * (1.0 - beta1))?)?;
        *second = ((&*second * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
        let denominator = ((second.sqrt()? / correction2)? + eps)?;
        let updated = ((weight * decay)? - ((&*first * rate)? / denominator)?)?;
        Ok(weight.slice_set(&updated, 0, 0)?)
    }

    fn lerp(&self, a: &Tensor, b: &Tensor, fraction: f32) -> crate::Result<()> {
        let mixed = ((a * (1.0 - fraction as f64))? + (b * fraction as f64)?)?;
        Ok(a.slice_set(&mixed, 0, 0)?)
    }
}

/// NHWC to the NCHW that candle convolves.
fn planar(t: &Tensor) -> Result<Tensor> {
    t.permute((0, 3, 1, 2))?.contiguous()
}

/// The weight with its four dimensions; that of a fully connected layer has two.
fn oihw(shape: ConvShape, weight: &Weight) -> Result<Tensor> {
    weight.tensor().reshape((shape.c_out, shape.c_in, shape.kernel, shape.kernel))
}

/// NHWC group normalization with affine weights, optional per-image scale and shift `[B, 2C]`, optional SiLU.
fn group_norm(
    shape: NormShape,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    scale_shift: Option<&Tensor>,
) -> Result<Tensor> {
    let NormShape { batch: b, pixels, channels: c, groups, eps, silu } = shape;
    let grouped = x.reshape((b, pixels, groups, c / groups))?;
    let mean = grouped.mean_keepdim((1, 3))?;
    let centered = grouped.broadcast_sub(&mean)?;
    let variance = centered.sqr()?.mean_keepdim((1, 3))?;
    let normal = centered.broadcast_div(&(variance + eps as f64)?.sqrt()?)?.reshape(x.shape())?;
    let mut y = normal.broadcast_mul(weight)?.broadcast_add(bias)?;
    if let Some(scale_shift) = scale_shift {
        let scale = (scale_shift.narrow(D::Minus1, 0, c)? + 1.0)?.reshape((b, 1, 1, c))?;
        let shift = scale_shift.narrow(D::Minus1, c, c)?.reshape((b, 1, 1, c))?;
        y = y.broadcast_mul(&scale)?.broadcast_add(&shift)?;
    }
    if silu { y.silu() } else { Ok(y) }
}

/// Softmax along the last dimension.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let e = x.broadcast_sub(&x.detach().max_keepdim(D::Minus1)?)?.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

/// Layer or RMS normalization along the last dimension.
fn row_norm(norm: RowNorm, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let centred = match norm.center {
        Center::Mean => x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?,
        Center::Zero => x.clone(),
    };
    let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + norm.eps as f64)?.sqrt()?;
    let y = centred.broadcast_div(&deviation)?.broadcast_mul(weight)?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

/// First query and number of queries of the blocks that keep to [`SCORES`].
fn query_blocks(shape: AttentionShape) -> impl Iterator<Item = (usize, usize)> {
    let AttentionShape { batch, queries, keys, heads, .. } = shape;
    let block = (SCORES / (batch * heads * keys).max(1)).clamp(1, queries.max(1));
    (0..queries).step_by(block).map(move |start| (start, block.min(queries - start)))
}

fn attention_block(shape: AttentionShape, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let AttentionShape { batch, heads, dim, .. } = shape;
    let split = |t: &Tensor| t.reshape((batch, t.dim(1)?, heads, dim))?.transpose(1, 2)?.contiguous();
    let scores = (split(q)?.matmul(&split(k)?.transpose(2, 3)?.contiguous()?)? / (dim as f64).sqrt())?;
    softmax(&scores)?.matmul(&split(v)?)?.transpose(1, 2)?.reshape(q.shape())
}

/// The gradients as an array, one per input.
fn take<const N: usize>(gradients: Vec<Tensor>) -> Result<[Tensor; N]> {
    match gradients.try_into() {
        Ok(array) => Ok(array),
        Err(list) => candle_core::bail!("{} gradients for {N} inputs", Vec::len(&list)),
    }
}

/// Gradients of `inputs` by candle's autograd, given the gradient `dy` of `f(inputs)`.
fn gradients(inputs: &[&Tensor], dy: &Tensor, f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<Vec<Tensor>> {
    let vars = inputs.iter().map(|t| Var::from_tensor(t)).collect::<Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let store = (f(&tensors)? * dy)?.sum_all()?.backward()?;
    let gradient = |t: &Tensor| match store.get(t) {
        Some(g) => g.contiguous(),
        None => t.zeros_like(),
    };
    tensors.iter().map(gradient).collect()
}
