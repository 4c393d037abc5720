//! The operations composed of candle's own: slower, on any device. What runs on CUDA, and what the tests hold the CPU kernels
//! against.

pub(super) mod conv;
mod images;
pub mod own;
mod tokens;

use std::sync::Arc;

use candle_core::{D, DType, Result, Tensor, Var};

use self::own::{Own, Pass};
use self::tokens::{SCORES, attention_gradients_in, attention_in, query_blocks, row_norm, softmax};
use super::resample::Axis;
use super::shape::{Activation, AttentionShape, ConvShape, NormShape, PoolShape, RowNorm, Spread};
use super::{Kernels, NormGradients, Precision, Saved};
use crate::nn::adamw::{Moments, Trained, Update};
use crate::nn::params::Weight;

/// [`Kernels`] on any device.
#[derive(Clone, Debug, Default)]
pub struct Composed {
    /// What the device has of its own instead.
    pub own: Option<Arc<dyn Own>>,
    /// Whether products with weights are of bf16, also with those that are trained: they stay f32, and a copy is multiplied with.
    half: bool,
}

impl Kernels for Composed {
    fn conv2d(
        &self,
        shape: ConvShape,
        weight: &Weight,
        bias: Option<&Tensor>,
        x: &Tensor,
        residual: Option<&Tensor>,
    ) -> crate::Result<Tensor> {
        let mut y = self.convolved(shape, &self.factor(weight)?, &self.rounded(x)?)?.to_dtype(DType::F32)?;
        if let Some(bias) = bias {
            y = y.broadcast_add(bias)?;
        }
        Ok(match residual {
            Some(r) => (y + r)?,
            None => y.contiguous()?,
        })
    }

    fn conv2d_input_gradient(&self, shape: ConvShape, weight: &Weight, dy: &Tensor) -> crate::Result<Tensor> {
        let (weight, dy) = (self.factor(weight)?, self.rounded(dy)?);
        match self.own(Pass::Input, shape, || Ok([planar(&dy)?, conv::oihw(shape, &weight)?]))? {
            Some(dx) => channels_last(&dx),
            None => Ok(conv::input_gradient(shape, &weight, &dy)?.to_dtype(DType::F32)?),
        }
    }

    fn conv2d_weight_gradient(
        &self,
        shape: ConvShape,
        weight: &Weight,
        x: &Tensor,
        dy: &Tensor,
    ) -> crate::Result<Tensor> {
        let (x, dy) = (self.rounded(x)?, self.rounded(dy)?);
        let dw = match self.own(Pass::Weight, shape, || Ok([planar(&x)?, planar(&dy)?]))? {
            Some(dw) => dw,
            None => conv::weight_gradient(shape, &x, &dy)?.to_dtype(DType::F32)?,
        };
        Ok(dw.reshape(weight.tensor()?.shape())?)
    }

    fn bias_gradient(&self, dy: &Tensor) -> crate::Result<Tensor> {
        Ok(dy.reshape(((), dy.dim(D::Minus1)?))?.sum(0)?)
    }

    fn group_norm(
        &self,
        shape: NormShape,
        affine: Option<[&Tensor; 2]>,
        x: &Tensor,
        scale_shift: Option<&Tensor>,
    ) -> crate::Result<(Tensor, Saved)> {
        Ok((group_norm(shape, x, affine, scale_shift)?, Vec::new()))
    }

    fn group_norm_gradients(
        &self,
        shape: NormShape,
        affine: Option<[&Tensor; 2]>,
        x: &Tensor,
        scale_shift: Option<&Tensor>,
        _: &Saved,
        dy: &Tensor,
        _: bool,
    ) -> crate::Result<NormGradients> {
        let inputs: Vec<&Tensor> = [x].into_iter().chain(affine.into_iter().flatten()).chain(scale_shift).collect();
        let mut all = gradients(&inputs, dy, |t| match affine {
            Some(_) => group_norm(shape, &t[0], Some([&t[1], &t[2]]), t.get(3)),
            None => group_norm(shape, &t[0], None, t.get(1)),
        })?;
        let scale_shift = scale_shift.and_then(|_| all.pop());
        Ok(match affine {
            Some(_) => {
                let [x, weight, bias] = take(all)?;
                NormGradients { x, affine: Some([weight, bias]), scale_shift }
            }
            None => {
                let [x] = take(all)?;
                NormGradients { x, affine: None, scale_shift }
            }
        })
    }

    fn row_norm(
        &self,
        norm: RowNorm,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        x: &Tensor,
    ) -> crate::Result<Tensor> {
        Ok(row_norm(norm, x, weight, bias)?)
    }

    fn row_norm_gradients(
        &self,
        norm: RowNorm,
        weight: Option<&Tensor>,
        x: &Tensor,
        dy: &Tensor,
    ) -> crate::Result<[Tensor; 3]> {
        // The gradient of the weight is wanted of a norm without one too: ones stand in.
        let ones = weight.cloned().map_or_else(|| Tensor::ones(norm.width, x.dtype(), x.device()), Ok)?;
        let [dx, dw] = take(gradients(&[x, &ones], dy, |t| row_norm(norm, &t[0], Some(&t[1]), None))?)?;
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

    fn attention(
        &self,
        shape: AttentionShape,
        qkv: [&Tensor; 3],
        bias: Option<&Tensor>,
    ) -> crate::Result<(Tensor, Saved)> {
        Ok((attention_in(query_blocks(shape, SCORES), shape, qkv, bias)?, Vec::new()))
    }

    fn attention_gradients(
        &self,
        shape: AttentionShape,
        qkv: [&Tensor; 3],
        bias: Option<&Tensor>,
        _: &Tensor,
        _: &Saved,
        dy: &Tensor,
    ) -> crate::Result<[Tensor; 3]> {
        Ok(attention_gradients_in(query_blocks(shape, SCORES), shape, qkv, bias, dy)?)
    }

    fn activate(&self, f: Activation, x: &Tensor) -> crate::Result<Tensor> {
        Ok(activate(f, x)?)
    }

    fn activate_gradient(&self, f: Activation, x: &Tensor, dy: &Tensor) -> crate::Result<Tensor> {
        // candle's own lets the gradient through at exactly 0.
        if f == Activation::Relu {
            return Ok((x.gt(0.0)?.to_dtype(dy.dtype())? * dy)?);
        }
        let [dx] = take(gradients(&[x], dy, |t| activate(f, &t[0]))?)?;
        Ok(dx)
    }

    fn gated(&self, f: Activation, x: &Tensor) -> crate::Result<Tensor> {
        Ok(gated(f, x)?)
    }

    fn gated_gradient(&self, f: Activation, x: &Tensor, dy: &Tensor) -> crate::Result<Tensor> {
        let [dx] = take(gradients(&[x], dy, |t| gated(f, &t[0]))?)?;
        Ok(dx)
    }

    fn rotate(&self, x: &Tensor, cos: &Tensor, sin: &Tensor) -> crate::Result<Tensor> {
        Ok(tokens::rotate(x, cos, sin)?)
    }

    fn resample(&self, x: &Tensor, axes: &[Axis; 2]) -> crate::Result<Tensor> {
        Ok(images::resample(x, axes)?)
    }

    fn max_pool(&self, shape: PoolShape, x: &Tensor) -> crate::Result<Tensor> {
        Ok(images::max_pool(shape, x)?)
    }

    fn max_pool_gradient(&self, shape: PoolShape, x: &Tensor, dy: &Tensor) -> crate::Result<Tensor> {
        Ok(images::max_pool_gradient(shape, x, dy)?)
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

    fn add_spread(&self, spread: Spread, a: &Tensor, b: &Tensor) -> crate::Result<Tensor> {
        let (a3, b3) = spread_out(spread, a, b)?;
        Ok(a3.broadcast_add(&b3)?.reshape(a.shape())?)
    }

    fn multiply(&self, spread: Spread, a: &Tensor, b: &Tensor) -> crate::Result<Tensor> {
        let (a3, b3) = spread_out(spread, a, b)?;
        Ok(a3.broadcast_mul(&b3)?.reshape(a.shape())?)
    }

    fn sum_spread(&self, spread: Spread, x: &Tensor) -> crate::Result<Tensor> {
        Ok(x.reshape((spread.outer, spread.repeat, spread.inner))?.sum(1)?)
    }

    fn affine(&self, x: &Tensor, gain: f32, offset: f32) -> crate::Result<Tensor> {
        Ok(x.affine(gain as f64, offset as f64)?)
    }

    fn sqrt(&self, x: &Tensor) -> crate::Result<Tensor> {
        Ok(x.sqrt()?)
    }

    fn only_queues(&self) -> bool {
        true
    }

    fn in_precision(self: Arc<Self>, precision: Precision) -> Arc<dyn Kernels> {
        Arc::new(Self { own: self.own.clone(), half: precision.products == DType::BF16 })
    }

    fn sum_of_squares(&self, x: &Tensor) -> crate::Result<f64> {
        Ok(x.sqr()?.sum_all()?.to_scalar::<f32>()?.into())
    }

    fn norm(&self, tensors: &[&Tensor]) -> crate::Result<f64> {
        if let Some(own) = &self.own {
            return own.norm(tensors);
        }
        // Of all in one vector, which is read once.
        let sums = tensors.iter().map(|tensor| tensor.sqr()?.sum_all()).collect::<Result<Vec<_>>>()?;
        if sums.is_empty() {
            return Ok(0.0);
        }
        let sums = Tensor::stack(&sums, 0)?.to_vec1::<f32>()?;
        Ok(sums.into_iter().map(f64::from).sum::<f64>().sqrt())
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

    fn adamw_all(&self, update: Update, all: &mut [Trained]) -> crate::Result<()> {
        match &self.own {
            Some(own) => own.adamw_all(update, all),
            None => all.iter_mut().try_for_each(|one| self.adamw(update, one.weight, one.gradient, one.moments)),
        }
    }

    fn lerp(&self, a: &Tensor, b: &Tensor, fraction: f32) -> crate::Result<()> {
        let mixed = ((a * (1.0 - fraction as f64))? + (b * fraction as f64)?)?;
        Ok(a.slice_set(&mixed, 0, 0)?)
    }
}

impl Composed {
    /// In f32, with what a device has of its own.
    pub fn new(own: Option<Arc<dyn Own>>) -> Self {
        Self { own, half: false }
    }

    /// What a weight is multiplied as.
    fn factor(&self, weight: &Weight) -> crate::Result<Tensor> {
        match self.half {
            true => Ok(multiplied(weight.rounded()?)?),
            false => weight.wide(),
        }
    }

    /// What is multiplied with a weight.
    fn rounded(&self, x: &Tensor) -> crate::Result<Tensor> {
        match self.half {
            true => Ok(multiplied(x.to_dtype(DType::BF16)?)?),
            false => Ok(x.clone()),
        }
    }

    /// A convolution of NHWC images without bias.
    fn convolved(&self, shape: ConvShape, weight: &Tensor, x: &Tensor) -> crate::Result<Tensor> {
        match self.own(Pass::Forward, shape, || Ok([planar(x)?, conv::oihw(shape, weight)?]))? {
            Some(y) => channels_last(&y),
            None => Ok(conv::forward(shape, weight, x)?),
        }
    }

    /// A pass of a convolution as the device has it; `None` where it has none. Those of one pixel are matrix products.
    fn own(
        &self,
        pass: Pass,
        shape: ConvShape,
        of: impl FnOnce() -> Result<[Tensor; 2]>,
    ) -> crate::Result<Option<Tensor>> {
        let is_product = shape.is_pointwise() && shape.groups == 1;
        match &self.own {
            // Those of its own are of f32.
            Some(own) if !self.half && !is_product => {
                let [a, b] = of()?;
                own.convolve(pass, shape, &a, &b).transpose()
            }
            _ => Ok(None),
        }
    }
}

/// Values of bf16 as their device multiplies them. candle's CPU has no such products: those of the widened values differ from them
/// in how sums are rounded, and that is less.
fn multiplied(x: Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { x.to_dtype(DType::F32) } else { Ok(x) }
}

/// NCHW to NHWC.
fn channels_last(t: &Tensor) -> crate::Result<Tensor> {
    Ok(t.permute((0, 2, 3, 1))?.contiguous()?)
}

/// NHWC to the NCHW that candle convolves.
fn planar(t: &Tensor) -> Result<Tensor> {
    t.permute((0, 3, 1, 2))?.contiguous()
}

/// `[outer, repeat, inner]` and `[outer, 1, inner]`.
fn spread_out(spread: Spread, a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
    let Spread { outer, repeat, inner } = spread;
    Ok((a.reshape((outer, repeat, inner))?, b.reshape((outer, 1, inner))?))
}

fn activate(f: Activation, x: &Tensor) -> Result<Tensor> {
    // By the hyperbolic tangent: it overflows nowhere, and neither does its gradient.
    let sigmoid = |x: &Tensor| (x * 0.5)?.tanh()?.affine(0.5, 0.5);
    match f {
        Activation::Relu => x.relu(),
        Activation::Silu => x.silu(),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::GeluQuick => x * sigmoid(&(x * 1.702)?)?,
        Activation::Sigmoid => sigmoid(x),
    }
}

fn gated(f: Activation, x: &Tensor) -> Result<Tensor> {
    let width = x.dim(D::Minus1)? / 2;
    x.narrow(D::Minus1, 0, width)? * activate(f, &x.narrow(D::Minus1, width, width)?.contiguous()?)?
}

/// NHWC group normalization with affine weights, optional per-image scale and shift `[B, 2C]`, optional SiLU.
fn group_norm(
    shape: NormShape,
    x: &Tensor,
    affine: Option<[&Tensor; 2]>,
    scale_shift: Option<&Tensor>,
) -> Result<Tensor> {
    let NormShape { batch: b, pixels, channels: c, groups, eps, silu } = shape;
    let grouped = x.reshape((b, pixels, groups, c / groups))?;
    let mean = grouped.mean_keepdim((1, 3))?;
    let centered = grouped.broadcast_sub(&mean)?;
    let variance = centered.sqr()?.mean_keepdim((1, 3))?;
    let normal = centered.broadcast_div(&(variance + eps as f64)?.sqrt()?)?.reshape(x.shape())?;
    let mut y = match affine {
        Some([weight, bias]) => normal.broadcast_mul(weight)?.broadcast_add(bias)?,
        None => normal,
    };
    if let Some(scale_shift) = scale_shift {
        let scale = (scale_shift.narrow(D::Minus1, 0, c)? + 1.0)?.reshape((b, 1, 1, c))?;
        let shift = scale_shift.narrow(D::Minus1, c, c)?.reshape((b, 1, 1, c))?;
        y = y.broadcast_mul(&scale)?.broadcast_add(&shift)?;
    }
    if silu { y.silu() } else { Ok(y) }
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
