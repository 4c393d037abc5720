//! The operations a network of images is written in. What each computes, and how, is its [`Kernels`]' business; here is what
//! it keeps for its gradient and where that gradient goes.
//!
//! Activations are channels-last, `[batch, height, width, channels]`, contiguous f32.
//!
//! [`Kernels`]: super::kernels::Kernels

use candle_core::{D, Tensor};

use super::kernels::shape::{ConvShape, NormShape};
use super::layers::{Conv, GroupNorm};
use super::params::Params;
use super::tape::{Gradients, Tape, Var};
use crate::{Error, Result};

impl Tape {
    /// Convolution with bias, plus `residual` of the output's shape.
    pub fn conv2d(&self, params: &Params, layer: &Conv, x: &Var, residual: Option<&Var>) -> Result<Var> {
        let Conv { weight: weight_id, bias: bias_id, c_out, kernel, stride, .. } = *layer;
        let (batch, height, width, c_in) = x.tensor().dims4()?;
        if c_in != layer.c_in {
            return Err(Error::invalid(format!("a convolution of {} channels got {c_in}", layer.c_in)));
        }
        let shape = ConvShape { batch, height, width, c_in, c_out, kernel, stride, pad: kernel / 2 };
        let weight = params.weight(weight_id);
        let y = self.kernels().conv2d(shape, weight, params.get(bias_id), x.tensor(), residual.map(Var::tensor))?;
        let [trains_weight, trains_bias] = [weight_id, bias_id].map(|id| self.trains(params, id));
        let wanted = trains_weight || trains_bias || x.wants_gradient() || residual.is_some_and(Var::wants_gradient);
        Ok(self.push(y, wanted, || {
            let (x, residual, weight, kernels) = (x.clone(), residual.cloned(), weight.clone(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| {
                if let Some(residual) = residual {
                    sink.add(&residual, dy.clone())?;
                }
                if trains_weight {
                    sink.add_param(weight_id, kernels.conv2d_weight_gradient(shape, &weight, x.tensor(), dy)?)?;
                }
                if trains_bias {
                    sink.add_param(bias_id, kernels.bias_gradient(dy)?)?;
                }
                if x.wants_gradient() {
                    sink.add(&x, kernels.conv2d_input_gradient(shape, &weight, dy)?)?;
                }
                Ok(())
            }
        }))
    }

    /// A fully connected layer on `[batch, c_in]`.
    pub fn linear(&self, params: &Params, layer: &Conv, x: &Var) -> Result<Var> {
        let rows = x.tensor().dim(0)?;
        let x = self.reshape(x, &[rows, 1, 1, layer.c_in])?;
        self.reshape(&self.conv2d(params, layer, &x, None)?, &[rows, layer.c_out])
    }

    /// Group normalization, scale and shift per image (`[batch, 2·channels]`, `y = ŷ·(1 + scale) + shift`), SiLU: one
    /// pass over the activations.
    pub fn group_norm(
        &self,
        params: &Params,
        layer: &GroupNorm,
        x: &Var,
        scale_shift: Option<&Var>,
        silu: bool,
    ) -> Result<Var> {
        let GroupNorm { weight: weight_id, bias: bias_id, groups, eps, .. } = *layer;
        let (batch, height, width, channels) = x.tensor().dims4()?;
        let shape = NormShape { batch, pixels: height * width, channels, groups, eps, silu };
        let affine = [params.get(weight_id), params.get(bias_id)];
        let (y, saved) = self.kernels().group_norm(shape, affine, x.tensor(), scale_shift.map(Var::tensor))?;
        let [trains_weight, trains_bias] = [weight_id, bias_id].map(|id| self.trains(params, id));
        let trains = trains_weight || trains_bias;
        let wanted = trains || x.wants_gradient() || scale_shift.is_some_and(Var::wants_gradient);
        Ok(self.push(y, wanted, || {
            let (x, scale_shift, kernels) = (x.clone(), scale_shift.cloned(), self.kernels().clone());
            let affine = affine.map(Tensor::clone);
            move |dy: &Tensor, sink: &mut Gradients| {
                let [weight, bias] = &affine;
                let scales = scale_shift.as_ref().map(Var::tensor);
                let gradients =
                    kernels.group_norm_gradients(shape, [weight, bias], x.tensor(), scales, &saved, dy, trains)?;
                if let Some([dw, db]) = gradients.affine {
                    sink.add_wanted(weight_id, dw, trains_weight)?;
                    sink.add_wanted(bias_id, db, trains_bias)?;
                }
                if let (Some(scale_shift), Some(gradient)) = (&scale_shift, gradients.scale_shift) {
                    sink.add(scale_shift, gradient)?;
                }
                sink.add(&x, gradients.x)
            }
        }))
    }

    /// `x · σ(x)`.
    pub fn silu(&self, x: &Var) -> Result<Var> {
        let y = self.kernels().silu(x.tensor())?;
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, kernels) = (x.clone(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| sink.add(&x, kernels.silu_gradient(x.tensor(), dy)?)
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
        let y = self.kernels().upsample2(x.tensor())?;
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, kernels) = (x.clone(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| sink.add(&x, kernels.upsample2_gradient(dy)?)
        }))
    }

    /// The channels of `a`, then those of `b`.
    pub fn concat(&self, a: &Var, b: &Var) -> Result<Var> {
        let (ca, cb) = (a.tensor().dim(D::Minus1)?, b.tensor().dim(D::Minus1)?);
        let y = self.kernels().concat(a.tensor(), b.tensor())?;
        Ok(self.push(y, a.wants_gradient() || b.wants_gradient(), || {
            let (a, b, kernels) = (a.clone(), b.clone(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| {
                for (var, from, take) in [(&a, 0, ca), (&b, ca, cb)] {
                    if var.wants_gradient() {
                        sink.add(var, kernels.channels(dy, from, take)?)?;
                    }
                }
                Ok(())
            }
        }))
    }

    /// NHWC `[B, H, W, C·s²]` to planar `[B, C, s·H, s·W]` (`pixel_shuffle`).
    pub fn shuffle(&self, x: &Var, s: usize) -> Result<Var> {
        let y = self.kernels().shuffle(x.tensor(), s)?;
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, kernels) = (x.clone(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| sink.add(&x, kernels.unshuffle(dy, s)?)
        }))
    }
}
