//! Operations of networks that work on tokens, `[batch, tokens, channels]`: softmax, layer and RMS normalization,
//! attention. Each has a gradient; candle-nn's fused forms of them have none.

use candle_core::{D, Tensor};

use super::cpu;
use super::kernels::attention::{self, AttentionShape};
use super::kernels::rows::{self, Centre, RowNorm};
use super::layers::{LayerNorm, RmsNorm};
use super::params::{ParamId, Params};
use super::reference;
use super::tape::{Gradients, Tape, Var};
use crate::{Error, Result};

impl<'a> Tape<'a> {
    /// Softmax along the last dimension.
    pub fn softmax(&self, x: &Var) -> Result<Var> {
        let width = width_of(x)?;
        let y = if x.tensor().device().is_cpu() {
            let values = cpu::values(x.tensor())?;
            cpu::build(x.tensor().shape(), |y| rows::softmax(&values, width, y))?
        } else {
            reference::softmax(x.tensor())?
        };
        let result = y.clone();
        Ok(self.push(y, x.wants_gradient(), || {
            let x = x.clone();
            move |dy: &Tensor, sink: &mut Gradients| {
                let dx = if dy.device().is_cpu() {
                    let (y, dy) = (cpu::values(&result)?, cpu::values(dy)?);
                    cpu::build(x.tensor().shape(), |dx| rows::softmax_gradient(&y, &dy, width, dx))?
                } else {
                    let along = (dy * &result)?.sum_keepdim(D::Minus1)?;
                    (dy.broadcast_sub(&along)? * &result)?
                };
                sink.add(&x, dx)
            }
        }))
    }

    /// Layer normalization along the last dimension.
    pub fn layer_norm(&self, params: &'a Params, layer: &'a LayerNorm, x: &Var) -> Result<Var> {
        let norm = RowNorm { width: layer.channels, centre: Centre::Mean, eps: layer.eps };
        self.row_norm(params, norm, layer.weight, Some(layer.bias), x)
    }

    /// RMS normalization along the last dimension.
    pub fn rms_norm(&self, params: &'a Params, layer: &'a RmsNorm, x: &Var) -> Result<Var> {
        let norm = RowNorm { width: layer.channels, centre: Centre::Zero, eps: layer.eps };
        self.row_norm(params, norm, layer.weight, None, x)
    }

    fn row_norm(
        &self,
        params: &'a Params,
        norm: RowNorm,
        weight: ParamId,
        bias: Option<ParamId>,
        x: &Var,
    ) -> Result<Var> {
        let width = width_of(x)?;
        if width != norm.width {
            return Err(Error::invalid(format!("a normalization of {} channels got {width}", norm.width)));
        }
        let (w, b) = (params.get(weight), bias.map(|bias| params.get(bias)));
        let y = if x.tensor().device().is_cpu() {
            let (values, w) = (cpu::values(x.tensor())?, cpu::values(w)?);
            let b = b.map(cpu::values).transpose()?;
            cpu::build(x.tensor().shape(), |y| rows::normalize(norm, &values, &w, b.as_deref(), y))?
        } else {
            reference::row_norm(x.tensor(), w, b, norm)?
        };
        let trains_weight = self.trains(params, weight);
        let trains_bias = bias.is_some_and(|bias| self.trains(params, bias));
        Ok(self.push(y, trains_weight || trains_bias || x.wants_gradient(), || {
            let x = x.clone();
            move |dy: &Tensor, sink: &mut Gradients| {
                let w = params.get(weight);
                let (dx, dw, db) = if dy.device().is_cpu() {
                    let (values, w, dy) = (cpu::values(x.tensor())?, cpu::values(w)?, cpu::values(dy)?);
                    let mut sums = None;
                    let dx = cpu::build(x.tensor().shape(), |dx| {
                        sums = Some(rows::normalize_gradient(norm, &values, &w, &dy, dx));
                    })?;
                    let (dw, db) = sums.unwrap_or_default();
                    let tensor = |v| Tensor::from_vec(v, width, x.tensor().device());
                    (dx, tensor(dw)?, tensor(db)?)
                } else {
                    // The bias only adds: its gradient needs no graph.
                    let all =
                        reference::gradients(&[x.tensor(), w], dy, |t| reference::row_norm(&t[0], &t[1], None, norm))?;
                    let [dx, dw] = reference::take(all)?;
                    (dx, dw, dy.reshape(((), width))?.sum(0)?)
                };
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
        let (y, log_sums) = if q.tensor().device().is_cpu() {
            let (q, k, v) = (cpu::values(q.tensor())?, cpu::values(k.tensor())?, cpu::values(v.tensor())?);
            let mut log_sums = Vec::new();
            let y = cpu::build((batch, queries, channels), |y| log_sums = attention::forward(shape, &q, &k, &v, y))?;
            (y, log_sums)
        } else {
            (reference::attention(q.tensor(), k.tensor(), v.tensor(), heads)?, Vec::new())
        };
        let result = y.clone();
        let wanted = q.wants_gradient() || k.wants_gradient() || v.wants_gradient();
        Ok(self.push(y, wanted, || {
            let inputs = [q.clone(), k.clone(), v.clone()];
            move |dy: &Tensor, sink: &mut Gradients| {
                let [q, k, v] = &inputs;
                let gradients = if dy.device().is_cpu() {
                    let (y, dy) = (cpu::values(&result)?, cpu::values(dy)?);
                    let of = |t: &Var| vec![0.0; t.tensor().elem_count()];
                    let (mut dq, mut dk, mut dv) = (of(q), of(k), of(v));
                    let values = (cpu::values(q.tensor())?, cpu::values(k.tensor())?, cpu::values(v.tensor())?);
                    let values = (&*values.0, &*values.1, &*values.2);
                    attention::backward(shape, values, (&y, &log_sums), &dy, &mut dq, &mut dk, &mut dv);
                    let tensor = |values, of: &Var| Tensor::from_vec(values, of.tensor().shape(), q.tensor().device());
                    [tensor(dq, q)?, tensor(dk, k)?, tensor(dv, v)?]
                } else {
                    reference::attention_gradients([q.tensor(), k.tensor(), v.tensor()], dy, heads)?
                };
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
