//! Operations of networks that work on tokens, `[batch, tokens, channels]`: softmax, layer and RMS normalization,
//! attention. Each has a gradient; candle-nn's fused forms of them have none.

use candle_core::Tensor;

use super::kernels::shape::{AttentionShape, Center, RowNorm};
use super::layers::{LayerNorm, RmsNorm};
use super::params::{ParamId, Params};
use super::tape::{Gradients, Tape, Var};
use crate::{Error, Result};

impl Tape {
    /// Softmax along the last dimension.
    pub fn softmax(&self, x: &Var) -> Result<Var> {
        width_of(x)?;
        let y = self.kernels().softmax(x.tensor())?;
        let result = y.clone();
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, kernels) = (x.clone(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| sink.add(&x, kernels.softmax_gradient(&result, dy)?)
        }))
    }

    /// Layer normalization along the last dimension.
    pub fn layer_norm(&self, params: &Params, layer: &LayerNorm, x: &Var) -> Result<Var> {
        let norm = RowNorm { width: layer.channels, center: Center::Mean, eps: layer.eps };
        self.row_norm(params, norm, layer.weight, Some(layer.bias), x)
    }

    /// RMS normalization along the last dimension.
    pub fn rms_norm(&self, params: &Params, layer: &RmsNorm, x: &Var) -> Result<Var> {
        let norm = RowNorm { width: layer.channels, center: Center::Zero, eps: layer.eps };
        self.row_norm(params, norm, layer.weight, None, x)
    }

    fn row_norm(&self, params: &Params, norm: RowNorm, weight: ParamId, bias: Option<ParamId>, x: &Var) -> Result<Var> {
        let width = width_of(x)?;
        if width != norm.width {
            return Err(Error::invalid(format!("a normalization of {} channels got {width}", norm.width)));
        }
        let y = self.kernels().row_norm(norm, params.get(weight), bias.map(|bias| params.get(bias)), x.tensor())?;
        let trains_weight = self.trains(params, weight);
        let trains_bias = bias.is_some_and(|bias| self.trains(params, bias));
        Ok(self.push(y, trains_weight || trains_bias || x.wants_gradient(), || {
            let (x, w, kernels) = (x.clone(), params.get(weight).clone(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| {
                let [dx, dw, db] = kernels.row_norm_gradients(norm, &w, x.tensor(), dy)?;
                sink.add_wanted(weight, dw, trains_weight)?;
                if let Some(bias) = bias {
                    sink.add_wanted(bias, db, trains_bias)?;
                }
                sink.add(&x, dx)
            }
        }))
    }

    /// `softmax(q·kᵀ/√dim)·v` for `heads` heads that lie side by side in the channels. `q` is `[batch, queries,
    /// channels]`, `k` and `v` are `[batch, keys, channels]`; the memory is linear in both.
    pub fn attention(&self, q: &Var, k: &Var, v: &Var, heads: usize) -> Result<Var> {
        let (batch, queries, channels) = q.tensor().dims3()?;
        let (images, keys, others) = k.tensor().dims3()?;
        let fits = images == batch && others == channels && v.tensor().dims() == k.tensor().dims();
        if !fits || heads == 0 || channels % heads != 0 || channels * queries * keys == 0 {
            return Err(Error::invalid(format!(
                "attention of {heads} heads got {:?}, {:?} and {:?}",
                q.tensor().dims(),
                k.tensor().dims(),
                v.tensor().dims()
            )));
        }
        let shape = AttentionShape { batch, queries, keys, heads, dim: channels / heads };
        let (y, saved) = self.kernels().attention(shape, [q, k, v].map(Var::tensor))?;
        let result = y.clone();
        let wanted = q.wants_gradient() || k.wants_gradient() || v.wants_gradient();
        Ok(self.push(y, wanted, || {
            let (inputs, kernels) = ([q.clone(), k.clone(), v.clone()], self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| {
                let qkv = inputs.each_ref().map(Var::tensor);
                let gradients = kernels.attention_gradients(shape, qkv, &result, &saved, dy)?;
                for (input, gradient) in inputs.iter().zip(gradients) {
                    sink.add(input, gradient)?;
                }
                Ok(())
            }
        }))
    }
}

/// Size of the last dimension. Errors: there is none, or it is empty.
fn width_of(x: &Var) -> Result<usize> {
    match x.tensor().dims().last() {
        Some(&width) if width > 0 => Ok(width),
        _ => Err(Error::invalid("rows of at least one value are needed")),
    }
}
