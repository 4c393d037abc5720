//! Kernels of our own on plain f32 slices, images channels-last (NHWC): every inner loop runs over contiguous channels,
//! whatever the image size. This file brings tensors to them.

mod activation;
mod amx;
mod antialias;
pub mod attention;
mod bf16;
pub mod conv;
pub mod elementwise;
mod gemm;
mod im2col;
mod images;
mod math;
pub mod norm;
pub mod optimizer;
mod panels;
mod product;
pub mod rows;
mod scratch;
pub mod simd;
mod spread;
pub mod values;
mod wide_attention;
mod winograd;
mod winograd_blocks;
mod winograd_tiles;

use std::sync::Arc;

use candle_core::{D, DType, Device, Shape, Tensor};

use self::antialias::BlurredConv;
use self::norm::Stats;
use self::values::{accumulated, build, of_weight, values};
use super::antialias::{blur, pool};
use super::resample::Axis;
use super::shape::{Activation, AttentionShape, ConvShape, NormShape, PoolShape, RowNorm, Spread};
use super::{Kernels, NormGradients, Precision, Saved};
use crate::nn::adamw::{Moments, Update};
use crate::nn::params::{Form, Weight};
use crate::{Error, Result};

/// [`Kernels`] on the CPU.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// Whether products with frozen weights kept in bf16 are of bf16.
    half: bool,
}

impl Cpu {
    /// In f32, or as exact as `precision` wants products with frozen weights.
    pub fn new(precision: Precision) -> Self {
        Self { half: precision.products == DType::BF16 && multiplies_bf16() }
    }

    fn make(&self, shape: ConvShape) -> conv::Make {
        conv::Make { shape, half: self.half }
    }
}

/// Whether this processor multiplies matrices of bf16: by Intel's AMX, or by AVX-512 BF16.
pub fn multiplies_bf16() -> bool {
    amx::is_there()
}

impl Kernels for Cpu {
    fn conv2d(
        &self,
        shape: ConvShape,
        weight: &Weight,
        bias: Option<&Tensor>,
        x: &Tensor,
        residual: Option<&Tensor>,
    ) -> Result<Tensor> {
        let x = values(x)?;
        let (bias, residual) = (bias.map(values).transpose()?, residual.map(values).transpose()?);
        let (height, width) = shape.out_size();
        if self.make(shape).reads_as_is(weight, false) {
            let (bias, residual) = (bias.as_deref(), residual.as_deref());
            let pass = conv::Pass { shape, back: false, x: &x, bias, residual };
            return read_as_is(weight, (shape.batch, height, width, shape.c_out), pass);
        }
        let packed = weight.in_form(Form::Forward, || Ok(of_weight(&weight.tensor()?, self.make(shape))?))?;
        let y = build((shape.batch, height, width, shape.c_out), |y| {
            conv::forward(shape, &x, &packed, bias.as_deref(), residual.as_deref(), y)
        })?;
        Ok(y)
    }

    fn conv2d_input_gradient(&self, shape: ConvShape, weight: &Weight, dy: &Tensor) -> Result<Tensor> {
        let dy = values(dy)?;
        let ConvShape { batch, height, width, c_in, .. } = shape;
        if self.make(shape).reads_as_is(weight, true) {
            let pass = conv::Pass { shape, back: true, x: &dy, bias: None, residual: None };
            return read_as_is(weight, (batch, height, width, c_in), pass);
        }
        let packed = weight
            .in_form(Form::Backward, || Ok(of_weight(&weight.tensor()?, conv::MakeBackward(self.make(shape)))?))?;
        Ok(build((batch, height, width, c_in), |dx| conv::input_gradient(shape, &dy, &packed, dx))?)
    }

    fn conv2d_weight_gradient(&self, shape: ConvShape, weight: &Weight, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (x, dy) = (values(x)?, values(dy)?);
        Ok(accumulated(weight.tensor()?.shape(), |dw| conv::weight_gradient(shape, &x, &dy, dw))?)
    }

    fn bias_gradient(&self, dy: &Tensor) -> Result<Tensor> {
        let channels = dy.dim(D::Minus1)?;
        let dy = values(dy)?;
        Ok(accumulated(channels, |db| conv::bias_gradient(channels, &dy, db))?)
    }

    fn group_norm(
        &self,
        shape: NormShape,
        weight_bias: Option<[&Tensor; 2]>,
        x: &Tensor,
        scale_shift: Option<&Tensor>,
    ) -> Result<(Tensor, Saved)> {
        let scale_shift = scale_shift.map(values).transpose()?;
        let (weight, bias) = weight_and_bias(shape, weight_bias)?;
        let (gain, shift) = affine(shape.batch, &weight, &bias, scale_shift.as_deref());
        let data = values(x)?;
        let mut stats = None;
        let y = build(x.shape(), |y| stats = Some(norm::forward(shape, &data, &gain, &shift, y)))?;
        let Stats { mean, rstd } = stats.unwrap_or_default();
        let kept = [mean, rstd, gain, shift].map(flat);
        Ok((y, kept.into_iter().collect::<Result<_>>()?))
    }

    fn group_norm_gradients(
        &self,
        shape: NormShape,
        weight_bias: Option<[&Tensor; 2]>,
        x: &Tensor,
        scale_shift: Option<&Tensor>,
        saved: &Saved,
        dy: &Tensor,
        trains: bool,
    ) -> Result<NormGradients> {
        let NormShape { batch, channels, .. } = shape;
        let [mean, rstd, gain, shift] = saved.as_slice() else {
            return Err(Error::invalid("a group normalization's forward pass is missing"));
        };
        let stats = Stats { mean: values(mean)?.to_vec(), rstd: values(rstd)?.to_vec() };
        let (gain, shift, data, dy) = (values(gain)?, values(shift)?, values(x)?, values(dy)?);
        let mut affine_gradients = None;
        let dx = build(x.shape(), |dx| {
            affine_gradients = Some(norm::backward(shape, &data, &stats, &gain, &shift, &dy, dx));
        })?;
        let (dgain, dshift) = affine_gradients.unwrap_or_default();
        let scales = scale_shift.map(values).transpose()?;
        // d(gain)/d(weight) and d(shift)/d(bias) are both 1 + scale.
        let fold = |d: &[f32]| {
            accumulated(channels, |sum| {
                for (i, d) in d.iter().enumerate() {
                    let (image, c) = (i / channels, i % channels);
                    let scale = scales.as_ref().map_or(0.0, |s| s[image * 2 * channels + c]);
                    sum[c] += d * (1.0 + scale);
                }
            })
        };
        let affine = if trains { Some([fold(&dgain)?, fold(&dshift)?]) } else { None };
        let (weight, bias) = weight_and_bias(shape, weight_bias)?;
        let of_scale_shift = || {
            build((batch, 2 * channels), |out| {
                for (i, out) in out.iter_mut().enumerate() {
                    let (image, c) = (i / (2 * channels), i % (2 * channels));
                    let at = image * channels + c % channels;
                    *out = match c < channels {
                        true => dgain[at] * weight[c] + dshift[at] * bias[c],
                        false => dshift[at],
                    };
                }
            })
        };
        Ok(NormGradients { x: dx, affine, scale_shift: scale_shift.map(|_| of_scale_shift()).transpose()? })
    }

    fn row_norm(&self, norm: RowNorm, weight: Option<&Tensor>, bias: Option<&Tensor>, x: &Tensor) -> Result<Tensor> {
        let data = values(x)?;
        let (weight, bias) = (weight.map(values).transpose()?, bias.map(values).transpose()?);
        Ok(build(x.shape(), |y| rows::normalize(norm, &data, weight.as_deref(), bias.as_deref(), y))?)
    }

    fn row_norm_gradients(
        &self,
        norm: RowNorm,
        weight: Option<&Tensor>,
        x: &Tensor,
        dy: &Tensor,
    ) -> Result<[Tensor; 3]> {
        let (data, dy) = (values(x)?, values(dy)?);
        let weight = weight.map(values).transpose()?;
        let mut sums = None;
        let dx = build(x.shape(), |dx| sums = Some(rows::normalize_gradient(norm, &data, weight.as_deref(), &dy, dx)))?;
        let (dw, db) = sums.unwrap_or_default();
        let tensor = |v| Tensor::from_vec(v, norm.width, x.device());
        Ok([dx, tensor(dw)?, tensor(db)?])
    }

    fn softmax(&self, x: &Tensor) -> Result<Tensor> {
        let (width, data) = (x.dim(D::Minus1)?, values(x)?);
        Ok(build(x.shape(), |y| rows::softmax(&data, width, y))?)
    }

    fn softmax_gradient(&self, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (width, data, dy) = (y.dim(D::Minus1)?, values(y)?, values(dy)?);
        Ok(build(y.shape(), |dx| rows::softmax_gradient(&data, &dy, width, dx))?)
    }

    fn attention(
        &self,
        shape: AttentionShape,
        [q, k, v]: [&Tensor; 3],
        bias: Option<&Tensor>,
    ) -> Result<(Tensor, Saved)> {
        let size = q.shape();
        let (q, k, v) = (values(q)?, values(k)?, values(v)?);
        let mut log_sums = Vec::new();
        let heads = bias.map(|bias| bias.dim(1)).transpose()?.unwrap_or(1);
        let bias = bias.map(values).transpose()?;
        let bias = bias.as_deref().map(|values| attention::Bias { values, heads });
        let y = build(size, |y| log_sums = attention::forward(shape, (&q, &k, &v), bias, y))?;
        Ok((y, vec![flat(log_sums)?]))
    }

    fn attention_gradients(
        &self,
        shape: AttentionShape,
        [q, k, v]: [&Tensor; 3],
        bias: Option<&Tensor>,
        y: &Tensor,
        saved: &Saved,
        dy: &Tensor,
    ) -> Result<[Tensor; 3]> {
        let [log_sums] = saved.as_slice() else {
            return Err(Error::invalid("an attention's forward pass is missing"));
        };
        let zeros = |t: &Tensor| vec![0.0; t.elem_count()];
        let (mut dq, mut dk, mut dv) = (zeros(q), zeros(k), zeros(v));
        {
            let (y, log_sums, dy) = (values(y)?, values(log_sums)?, values(dy)?);
            let (q, k, v) = (values(q)?, values(k)?, values(v)?);
            let heads = bias.map(|bias| bias.dim(1)).transpose()?.unwrap_or(1);
            let bias = bias.map(values).transpose()?;
            let bias = bias.as_deref().map(|values| attention::Bias { values, heads });
            attention::backward(shape, (&q, &k, &v), bias, (&y, &log_sums), &dy, &mut dq, &mut dk, &mut dv);
        }
        let tensor = |values, of: &Tensor| Tensor::from_vec(values, of.shape(), of.device());
        Ok([tensor(dq, q)?, tensor(dk, k)?, tensor(dv, v)?])
    }

    fn activate(&self, f: Activation, x: &Tensor) -> Result<Tensor> {
        let data = values(x)?;
        Ok(build(x.shape(), |y| activation::activate(f, &data, y))?)
    }

    fn activate_gradient(&self, f: Activation, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (data, dy) = (values(x)?, values(dy)?);
        Ok(build(x.shape(), |dx| activation::gradient(f, &data, &dy, dx))?)
    }

    fn gated(&self, f: Activation, x: &Tensor) -> Result<Tensor> {
        let (width, data) = (x.dim(D::Minus1)? / 2, values(x)?);
        Ok(build(with_width(x, width), |y| activation::gated(f, width, &data, y))?)
    }

    fn gated_gradient(&self, f: Activation, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (width, data, dy) = (dy.dim(D::Minus1)?, values(x)?, values(dy)?);
        Ok(build(x.shape(), |dx| activation::gated_gradient(f, width, &data, &dy, dx))?)
    }

    fn rotate(&self, x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        let ((_, _, heads, dim), data) = (x.dims4()?, values(x)?);
        let (cos, sin) = (values(cos)?, values(sin)?);
        Ok(build(x.shape(), |y| spread::rotate(&data, heads, &cos, &sin, dim, y))?)
    }

    fn resample(&self, x: &Tensor, axes: &[Axis; 2]) -> Result<Tensor> {
        let ((b, _, _, c), data) = (x.dims4()?, values(x)?);
        let [h, w] = axes.each_ref().map(|axis| axis.outputs().len());
        Ok(build((b, h, w, c), |y| images::resample(&data, axes, c, y))?)
    }

    fn max_pool(&self, shape: PoolShape, x: &Tensor) -> Result<Tensor> {
        let ((h, w), data) = (shape.out_size(), values(x)?);
        Ok(build((shape.batch, h, w, shape.channels), |y| images::max_pool(shape, &data, y))?)
    }

    fn max_pool_gradient(&self, shape: PoolShape, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (data, dy) = (values(x)?, values(dy)?);
        Ok(build(x.shape(), |dx| images::max_pool_gradient(shape, &data, &dy, dx))?)
    }

    fn conv2d_relu(
        &self,
        shape: ConvShape,
        weight: &Weight,
        bias: &Tensor,
        x: &Tensor,
        residual: Option<&Tensor>,
    ) -> Result<Tensor> {
        if self.make(shape).reads_as_is(weight, false) {
            return self.activate(Activation::Relu, &self.conv2d(shape, weight, Some(bias), x, residual)?);
        }
        let packed = weight.in_form(Form::Forward, || Ok(of_weight(&weight.tensor()?, self.make(shape))?))?;
        let (x, bias, (height, width)) = (values(x)?, values(bias)?, shape.out_size());
        let residual = residual.map(values).transpose()?;
        Ok(build((shape.batch, height, width, shape.c_out), |y| {
            conv::forward(shape, &x, &packed, Some(&bias), residual.as_deref(), y);
            antialias::relu(y);
        })?)
    }

    fn blurred_conv2d_relu(&self, shape: ConvShape, weight: &Weight, bias: &Tensor, x: &Tensor) -> Result<Tensor> {
        if !BlurredConv::takes(&shape) {
            let y = self.conv2d(shape, weight, Some(bias), x, None)?;
            let (height, width) = shape.out_size();
            return self.activate(Activation::Relu, &self.resample(&y, &[height, width].map(blur))?);
        }
        let form = || Ok(BlurredConv::new(&values(&weight.tensor()?)?, shape));
        let packed = weight.in_form(Form::Blurred, form)?;
        let (x, bias, [height, width]) = (values(x)?, values(bias)?, BlurredConv::out_size(&shape));
        Ok(build((shape.batch, height, width, shape.c_out), |y| packed.forward(shape, &x, &bias, y))?)
    }

    fn max_blur_pool(&self, x: &Tensor) -> Result<Tensor> {
        let (shape, [rows, columns]) = pool(x)?;
        let (size, data) = ((shape.batch, rows.outputs().len(), columns.outputs().len(), shape.channels), values(x)?);
        Ok(build(size, |y| antialias::max_blur_pool(shape, &data, y))?)
    }

    fn upsample2(&self, x: &Tensor) -> Result<Tensor> {
        let ((b, h, w, c), data) = (x.dims4()?, values(x)?);
        Ok(build((b, 2 * h, 2 * w, c), |y| elementwise::upsample2(&data, w, c, y))?)
    }

    fn upsample2_gradient(&self, dy: &Tensor) -> Result<Tensor> {
        let ((b, h, w, c), dy) = (dy.dims4()?, values(dy)?);
        Ok(build((b, h / 2, w / 2, c), |dx| elementwise::upsample2_gradient(&dy, w / 2, c, dx))?)
    }

    fn concat(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let (ca, cb) = (a.dim(D::Minus1)?, b.dim(D::Minus1)?);
        let shape = with_width(a, ca + cb);
        let (a, b) = (values(a)?, values(b)?);
        Ok(build(shape, |y| elementwise::concat(&a, ca, &b, cb, y))?)
    }

    fn channels(&self, x: &Tensor, from: usize, take: usize) -> Result<Tensor> {
        let (c, data) = (x.dim(D::Minus1)?, values(x)?);
        Ok(build(with_width(x, take), |y| elementwise::columns(&data, c, from, take, y))?)
    }

    fn tokens(&self, x: &Tensor, numbers: &[u32]) -> Result<Tensor> {
        let ((batch, count, channels), data) = (x.dims3()?, values(x)?);
        if let Some(beyond) = numbers.iter().find(|&&number| number as usize >= count) {
            return Err(Error::invalid(format!("there is no token {beyond} of {count}")));
        }
        Ok(build((batch, numbers.len(), channels), |y| elementwise::rows(&data, (count, channels), numbers, y))?)
    }

    fn transpose(&self, x: &Tensor) -> Result<Tensor> {
        let mut dims = x.dims().to_vec();
        let [.., rows, columns] = *dims.as_slice() else {
            return Err(Error::invalid(format!("{dims:?} has no rows and columns")));
        };
        let last = dims.len() - 2;
        dims[last..].copy_from_slice(&[columns, rows]);
        let data = values(x)?;
        Ok(build(dims, |y| elementwise::transpose(&data, rows, columns, y))?)
    }

    fn unshuffle(&self, x: &Tensor, s: usize) -> Result<Tensor> {
        let (b, c, h, w) = x.dims4()?;
        let (size, data) = ((h / s, w / s), values(x)?);
        Ok(build((b, size.0, size.1, c * s * s), |y| elementwise::unshuffle(&data, c, size, s, y))?)
    }

    fn shuffle(&self, x: &Tensor, s: usize) -> Result<Tensor> {
        let (b, h, w, depth) = x.dims4()?;
        let (c, data) = (depth / (s * s), values(x)?);
        Ok(build((b, c, h * s, w * s), |y| elementwise::shuffle(&data, c, (h, w), s, y))?)
    }

    fn add(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let (data, b) = (values(a)?, values(b)?);
        Ok(build(a.shape(), |sum| {
            sum.copy_from_slice(&data);
            elementwise::add_assign(sum, &b);
        })?)
    }

    fn add_spread(&self, spread: Spread, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let (data, b) = (values(a)?, values(b)?);
        Ok(build(a.shape(), |y| spread::combine(spread, &data, &b, y, |a, b| a + b))?)
    }

    fn multiply(&self, spread: Spread, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let (data, b) = (values(a)?, values(b)?);
        Ok(build(a.shape(), |y| spread::combine(spread, &data, &b, y, |a, b| a * b))?)
    }

    fn sum_spread(&self, spread: Spread, x: &Tensor) -> Result<Tensor> {
        let x = values(x)?;
        Ok(build((spread.outer, spread.inner), |y| spread::sum(spread, &x, y))?)
    }

    fn affine(&self, x: &Tensor, gain: f32, offset: f32) -> Result<Tensor> {
        let data = values(x)?;
        Ok(build(x.shape(), |y| spread::affine(&data, gain, offset, y))?)
    }

    fn sqrt(&self, x: &Tensor) -> Result<Tensor> {
        let data = values(x)?;
        Ok(build(x.shape(), |y| y.iter_mut().zip(&*data).for_each(|(y, x)| *y = x.sqrt()))?)
    }

    fn once(&self, images: &Tensor) -> Result<Tensor> {
        let count = images.dim(0)?;
        if count == 1 {
            return Ok(images.clone());
        }
        let values = images.flatten_all()?.to_vec1::<f32>()?;
        let mut all = values.chunks_exact((values.len() / count.max(1)).max(1));
        let first = all.next();
        let is_one = all.all(|image| Some(image) == first);
        Ok(if is_one { images.narrow(0, 0, 1)?.contiguous()? } else { images.clone() })
    }

    fn in_precision(self: Arc<Self>, precision: Precision) -> Arc<dyn Kernels> {
        Arc::new(Self::new(precision))
    }

    fn sum_of_squares(&self, x: &Tensor) -> Result<f64> {
        Ok(elementwise::sum_of_squares(&values(x)?))
    }

    fn moments(&self, weight: &Tensor) -> Result<Moments> {
        let zeros = || vec![0.0; weight.elem_count()];
        Ok(Moments::Values { first: zeros(), second: zeros() })
    }

    fn adamw(&self, update: Update, weight: &Tensor, gradient: &Tensor, moments: &mut Moments) -> Result<()> {
        optimizer::adamw(update, weight, gradient, moments)
    }

    fn lerp(&self, a: &Tensor, b: &Tensor, fraction: f32) -> Result<()> {
        optimizer::lerp(a, b, fraction)
    }
}

/// What a pass that reads the weights as they are writes.
fn read_as_is(weight: &Weight, shape: impl Into<Shape>, pass: conv::Pass) -> Result<Tensor> {
    let mut done = Ok(());
    let values = weight.tensor()?;
    let y = build(shape, |y| done = of_weight(&values, (pass, y)))?;
    done?;
    Ok(y)
}

/// The shape of `x` with another last dimension.
fn with_width(x: &Tensor, width: usize) -> Vec<usize> {
    let mut dims = x.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = width;
    }
    dims
}

/// Values that an operation keeps, as a tensor.
fn flat(values: Vec<f32>) -> Result<Tensor> {
    let len = values.len();
    Ok(Tensor::from_vec(values, len, &Device::Cpu)?)
}

/// Weight and bias of a group normalization, ones and zeros where it has none.
fn weight_and_bias(shape: NormShape, weight_bias: Option<[&Tensor; 2]>) -> Result<(Vec<f32>, Vec<f32>)> {
    Ok(match weight_bias {
        Some([weight, bias]) => (values(weight)?.to_vec(), values(bias)?.to_vec()),
        None => (vec![1.0; shape.channels], vec![0.0; shape.channels]),
    })
}

/// Gain and shift per image and channel from the layer's weights and the optional scale and shift per image.
fn affine(batch: usize, weight: &[f32], bias: &[f32], scale_shift: Option<&[f32]>) -> (Vec<f32>, Vec<f32>) {
    let channels = weight.len();
    let per_value = |i: usize| {
        let (image, c) = (i / channels, i % channels);
        match scale_shift {
            None => (weight[c], bias[c]),
            Some(s) => {
                let s = &s[image * 2 * channels..][..2 * channels];
                (weight[c] * (1.0 + s[c]), bias[c] * (1.0 + s[c]) + s[channels + c])
            }
        }
    };
    (0..batch * channels).map(per_value).unzip()
}
