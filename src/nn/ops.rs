//! The operations a network is written in: CPU kernels where the tensors live on the CPU, candle's operations elsewhere.
//!
//! Activations are channels-last, `[batch, height, width, channels]`, contiguous f32.

use candle_core::{D, Tensor};

use super::cpu;
use super::kernels::conv::{self, ConvShape};
use super::kernels::elementwise;
use super::kernels::norm::{self, NormShape};
use super::layers::{Conv, GroupNorm};
use super::params::Params;
use super::reference;
use super::tape::{Gradients, Tape, Var};
use crate::{Error, Result};

impl<'a> Tape<'a> {
    /// Convolution with bias, plus `residual` of the output's shape.
    pub fn conv2d(&self, params: &'a Params, layer: &'a Conv, x: &Var, residual: Option<&Var>) -> Result<Var> {
        let (batch, height, width, c_in) = x.tensor().dims4()?;
        if c_in != layer.c_in {
            return Err(Error::invalid(format!("a convolution of {} channels got {c_in}", layer.c_in)));
        }
        let Conv { c_out, kernel, stride, .. } = *layer;
        let shape = ConvShape { batch, height, width, c_in, c_out, kernel, stride, pad: kernel / 2 };
        let (weight, bias) = (params.get(layer.weight), params.get(layer.bias));
        let (out_h, out_w) = shape.out_size();
        let y = if x.tensor().device().is_cpu() {
            let packed = params.conv_forward(layer.weight, shape)?;
            let (values, bias) = (cpu::values(x.tensor())?, cpu::values(bias)?);
            let residual = residual.map(|r| cpu::values(r.tensor())).transpose()?;
            cpu::build((batch, out_h, out_w, c_out), |y| {
                conv::forward(shape, &values, &packed, Some(&bias), residual.as_deref(), y)
            })?
        } else {
            reference::conv2d(x.tensor(), weight, bias, residual.map(Var::tensor), kernel, stride)?
        };
        let [trains_weight, trains_bias] = [layer.weight, layer.bias].map(|id| self.trains(params, id));
        let trains = trains_weight || trains_bias;
        let wanted = trains || x.wants_gradient() || residual.is_some_and(Var::wants_gradient);
        Ok(self.push(y, wanted, || {
            let (x, residual) = (x.clone(), residual.cloned());
            move |dy: &Tensor, sink: &mut Gradients| {
                if let Some(residual) = residual {
                    sink.add(&residual, dy.clone())?;
                }
                if !dy.device().is_cpu() {
                    let wanted = reference::ConvGradients { x: x.wants_gradient(), weights: trains };
                    let weight = params.get(layer.weight);
                    let (dx, weights) = reference::conv2d_gradients(x.tensor(), weight, dy, (kernel, stride), wanted)?;
                    if let Some([dw, db]) = weights {
                        sink.add_wanted(layer.weight, dw, trains_weight)?;
                        sink.add_wanted(layer.bias, db, trains_bias)?;
                    }
                    return dx.map_or(Ok(()), |dx| sink.add(&x, dx));
                }
                let dy = cpu::values(dy)?;
                if trains_weight {
                    let values = cpu::values(x.tensor())?;
                    let dw = cpu::accumulated(params.get(layer.weight).shape(), |dw| {
                        conv::weight_gradient(shape, &values, &dy, dw)
                    })?;
                    sink.add_param(layer.weight, dw)?;
                }
                if trains_bias {
                    sink.add_param(layer.bias, cpu::accumulated(c_out, |db| conv::bias_gradient(c_out, &dy, db))?)?;
                }
                if x.wants_gradient() {
                    let packed = params.conv_backward(layer.weight, shape)?;
                    let dx = cpu::build(x.tensor().shape(), |dx| conv::input_gradient(shape, &dy, &packed, dx))?;
                    sink.add(&x, dx)?;
                }
                Ok(())
            }
        }))
    }

    /// A fully connected layer on `[batch, c_in]`.
    pub fn linear(&self, params: &'a Params, layer: &'a Conv, x: &Var) -> Result<Var> {
        let rows = x.tensor().dim(0)?;
        let x = self.reshape(x, &[rows, 1, 1, layer.c_in])?;
        self.reshape(&self.conv2d(params, layer, &x, None)?, &[rows, layer.c_out])
    }

    /// Group normalization, scale and shift per image (`[batch, 2·channels]`, `y = ŷ·(1 + scale) + shift`), SiLU: one
    /// pass over the activations.
    pub fn group_norm(
        &self,
        params: &'a Params,
        layer: &'a GroupNorm,
        x: &Var,
        scale_shift: Option<&Var>,
        silu: bool,
    ) -> Result<Var> {
        let (batch, height, width, channels) = x.tensor().dims4()?;
        let GroupNorm { groups, .. } = *layer;
        let shape = NormShape { batch, pixels: height * width, channels, groups, silu };
        let on_cpu = x.tensor().device().is_cpu();
        let (weight, bias) = (params.get(layer.weight), params.get(layer.bias));
        let (y, stats) = if on_cpu {
            let scale_shift = scale_shift.map(|s| cpu::values(s.tensor())).transpose()?;
            let (gain, shift) = affine(batch, &cpu::values(weight)?, &cpu::values(bias)?, scale_shift.as_deref());
            let values = cpu::values(x.tensor())?;
            let mut stats = None;
            let y = cpu::build(x.tensor().shape(), |y| {
                stats = Some((norm::forward(shape, &values, &gain, &shift, y), gain, shift));
            })?;
            (y, stats)
        } else {
            (reference::group_norm(x.tensor(), weight, bias, scale_shift.map(Var::tensor), groups, silu)?, None)
        };
        let [trains_weight, trains_bias] = [layer.weight, layer.bias].map(|id| self.trains(params, id));
        let trains = trains_weight || trains_bias;
        let wanted = trains || x.wants_gradient() || scale_shift.is_some_and(Var::wants_gradient);
        Ok(self.push(y, wanted, || {
            let (x, scale_shift) = (x.clone(), scale_shift.cloned());
            move |dy: &Tensor, sink: &mut Gradients| {
                let (weight, bias) = (params.get(layer.weight), params.get(layer.bias));
                let Some((stats, gain, shift)) = stats else {
                    let mut inputs = vec![x.tensor(), weight, bias];
                    inputs.extend(scale_shift.as_ref().map(Var::tensor));
                    let mut all = reference::gradients(&inputs, dy, |t| {
                        reference::group_norm(&t[0], &t[1], &t[2], t.get(3), groups, silu)
                    })?;
                    if let Some(scale_shift) = scale_shift
                        && let Some(gradient) = all.pop()
                    {
                        sink.add(&scale_shift, gradient)?;
                    }
                    let [dx, dw, db] = reference::take(all)?;
                    sink.add_wanted(layer.weight, dw, trains_weight)?;
                    sink.add_wanted(layer.bias, db, trains_bias)?;
                    return sink.add(&x, dx);
                };
                let (values, dy) = (cpu::values(x.tensor())?, cpu::values(dy)?);
                let mut affine_gradients = None;
                let dx = cpu::build(x.tensor().shape(), |dx| {
                    affine_gradients = Some(norm::backward(shape, &values, &stats, &gain, &shift, &dy, dx));
                })?;
                let (dgain, dshift) = affine_gradients.unwrap_or_default();
                let (weight, bias) = (cpu::values(weight)?, cpu::values(bias)?);
                if trains {
                    let scale_shift = scale_shift.as_ref().map(|s| cpu::values(s.tensor())).transpose()?;
                    // d(gain)/d(weight) and d(shift)/d(bias) are both 1 + scale.
                    let fold = |d: &[f32]| {
                        cpu::accumulated(channels, |sum| {
                            for (i, d) in d.iter().enumerate() {
                                let (image, c) = (i / channels, i % channels);
                                let scale = scale_shift.as_ref().map_or(0.0, |s| s[image * 2 * channels + c]);
                                sum[c] += d * (1.0 + scale);
                            }
                        })
                    };
                    sink.add_wanted(layer.weight, fold(&dgain)?, trains_weight)?;
                    sink.add_wanted(layer.bias, fold(&dshift)?, trains_bias)?;
                }
                if let Some(scale_shift) = &scale_shift {
                    let gradient = cpu::build((batch, 2 * channels), |out| {
                        for (i, out) in out.iter_mut().enumerate() {
                            let (image, c) = (i / (2 * channels), i % (2 * channels));
                            let at = image * channels + c % channels;
                            *out = match c < channels {
                                true => dgain[at] * weight[c] + dshift[at] * bias[c],
                                false => dshift[at],
                            };
                        }
                    })?;
                    sink.add(scale_shift, gradient)?;
                }
                sink.add(&x, dx)
            }
        }))
    }

    /// `x · σ(x)`.
    pub fn silu(&self, x: &Var) -> Result<Var> {
        let on_cpu = x.tensor().device().is_cpu();
        let y = if on_cpu {
            let values = cpu::values(x.tensor())?;
            cpu::build(x.tensor().shape(), |y| elementwise::silu(&values, y))?
        } else {
            x.tensor().silu()?
        };
        Ok(self.push(y, x.wants_gradient(), || {
            let x = x.clone();
            move |dy: &Tensor, sink: &mut Gradients| {
                let dx = if on_cpu {
                    let (values, dy) = (cpu::values(x.tensor())?, cpu::values(dy)?);
                    cpu::build(x.tensor().shape(), |dx| elementwise::silu_gradient(&values, &dy, dx))?
                } else {
                    let [dx] = reference::take(reference::gradients(&[x.tensor()], dy, |t| t[0].silu())?)?;
                    dx
                };
                sink.add(&x, dx)
            }
        }))
    }

    /// The same values in another shape.
    pub fn reshape(&self, x: &Var, shape: &[usize]) -> Result<Var> {
        let y = x.tensor().reshape(shape)?;
        Ok(self.push(y, x.wants_gradient(), || {
            let x = x.clone();
            move |dy: &Tensor, sink: &mut Gradients| sink.add(&x, dy.reshape(x.tensor().shape())?)
        }))
    }

    /// Nearest upsampling by 2 of both sides.
    pub fn upsample2(&self, x: &Var) -> Result<Var> {
        let (b, h, w, c) = x.tensor().dims4()?;
        let on_cpu = x.tensor().device().is_cpu();
        let y = if on_cpu {
            let values = cpu::values(x.tensor())?;
            cpu::build((b, 2 * h, 2 * w, c), |y| elementwise::upsample2(&values, w, c, y))?
        } else {
            reference::upsample2(x.tensor())?
        };
        Ok(self.push(y, x.wants_gradient(), || {
            let x = x.clone();
            move |dy: &Tensor, sink: &mut Gradients| {
                let dx = if on_cpu {
                    let dy = cpu::values(dy)?;
                    cpu::build((b, h, w, c), |dx| elementwise::upsample2_gradient(&dy, w, c, dx))?
                } else {
                    dy.reshape(vec![b, h, 2, w, 2, c])?.sum((2, 4))?
                };
                sink.add(&x, dx)
            }
        }))
    }

    /// The channels of `a`, then those of `b`.
    pub fn concat(&self, a: &Var, b: &Var) -> Result<Var> {
        let (batch, h, w, ca) = a.tensor().dims4()?;
        let cb = b.tensor().dim(D::Minus1)?;
        let on_cpu = a.tensor().device().is_cpu();
        let y = if on_cpu {
            let (a, b) = (cpu::values(a.tensor())?, cpu::values(b.tensor())?);
            cpu::build((batch, h, w, ca + cb), |y| elementwise::concat(&a, ca, &b, cb, y))?
        } else {
            Tensor::cat(&[a.tensor(), b.tensor()], D::Minus1)?
        };
        Ok(self.push(y, a.wants_gradient() || b.wants_gradient(), || {
            let (a, b) = (a.clone(), b.clone());
            move |dy: &Tensor, sink: &mut Gradients| {
                for (var, from, take) in [(&a, 0, ca), (&b, ca, cb)] {
                    if !var.wants_gradient() {
                        continue;
                    }
                    let part = if on_cpu {
                        let dy = cpu::values(dy)?;
                        let fill = |y: &mut [f32]| elementwise::columns(&dy, ca + cb, from, take, y);
                        cpu::build((batch, h, w, take), fill)?
                    } else {
                        dy.narrow(D::Minus1, from, take)?.contiguous()?
                    };
                    sink.add(var, part)?;
                }
                Ok(())
            }
        }))
    }

    /// NHWC `[B, H, W, C·s²]` to planar `[B, C, s·H, s·W]` (`pixel_shuffle`).
    pub fn shuffle(&self, x: &Var, s: usize) -> Result<Var> {
        let y = shuffle(x.tensor(), s)?;
        Ok(self.push(y, x.wants_gradient(), || {
            let x = x.clone();
            move |dy: &Tensor, sink: &mut Gradients| sink.add(&x, unshuffle(dy, s)?)
        }))
    }
}

/// Planar `[B, C, s·H, s·W]` to NHWC `[B, H, W, C·s²]` (`pixel_unshuffle`).
pub fn unshuffle(x: &Tensor, s: usize) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return Ok(reference::unshuffle(x, s)?);
    }
    let (b, c, h, w) = x.dims4()?;
    let size = (h / s, w / s);
    let values = cpu::values(x)?;
    Ok(cpu::build((b, size.0, size.1, c * s * s), |y| elementwise::unshuffle(&values, c, size, s, y))?)
}

/// The inverse of [`unshuffle`].
pub fn shuffle(x: &Tensor, s: usize) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return Ok(reference::shuffle(x, s)?);
    }
    let (b, h, w, depth) = x.dims4()?;
    let c = depth / (s * s);
    let values = cpu::values(x)?;
    Ok(cpu::build((b, c, h * s, w * s), |y| elementwise::shuffle(&values, c, (h, w), s, y))?)
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
