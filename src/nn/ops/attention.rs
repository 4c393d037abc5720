//! Softmax, and attention with masks and biases. Self-attention, cross-attention and the joint attention of two streams differ
//! only in what `k` and `v` are made of.

use candle_core::Tensor;

use super::arithmetic::width_of;
use crate::nn::kernels::shape::AttentionShape;
use crate::nn::layers::Attention;
use crate::nn::params::Params;
use crate::nn::tape::{Gradients, Tape, Var};
use crate::{Error, Result};

/// What is done to the scores before the softmax, beyond the usual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scores<'a> {
    /// What they are multiplied with; `None`: 1/√dim.
    pub scale: Option<f32>,
    /// Whether query `i` sees the keys up to number `i` only.
    pub causal: bool,
    /// What is added, `[n, heads or 1, queries, keys]`, where image `i` takes number `i mod n`: relative positions, or a mask with
    /// −∞ for what must not be seen. No gradient is computed for it. A query that sees nothing gets the mean of all values.
    pub bias: Option<&'a Tensor>,
}

impl Tape {
    /// Softmax along the last dimension.
    pub fn softmax(&self, x: &Var) -> Result<Var> {
        width_of(x)?;
        let y = self.kernels().softmax(x.tensor())?;
        let result = y.clone();
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, kernels) = (x.slot(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| sink.add(x, kernels.softmax_gradient(&result, dy)?)
        }))
    }

    /// `softmax(q·kᵀ/√dim)·v` for `heads` heads that lie side by side in the channels. `q` is `[batch, queries,
    /// channels]`, `k` and `v` are `[batch, keys, channels]`; the memory is linear in both.
    pub fn attention(&self, q: &Var, k: &Var, v: &Var, heads: usize) -> Result<Var> {
        self.attention_with(q, k, v, heads, Scores::default())
    }

    /// [`Tape::attention`] with masks and biases.
    pub fn attention_with(&self, q: &Var, k: &Var, v: &Var, heads: usize, scores: Scores) -> Result<Var> {
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
        if let Some(bias) = scores.bias
            && !matches!(bias.dims(), &[n, of, rows, columns]
                if n > 0 && batch % n == 0 && [1, heads].contains(&of) && rows == queries && columns == keys)
        {
            let message =
                format!("attention of {batch} × {heads} × {queries} × {keys} got a bias of {:?}", bias.dims());
            return Err(Error::invalid(message));
        }
        let dim = channels / heads;
        let scale = scores.scale.unwrap_or(AttentionShape::usual_scale(dim));
        let shape = AttentionShape { batch, queries, keys, heads, dim, scale, causal: scores.causal };
        let (y, saved) = self.kernels().attention(shape, [q, k, v].map(Var::tensor), scores.bias)?;
        let result = y.clone();
        let wanted = q.wants_gradient() || k.wants_gradient() || v.wants_gradient();
        Ok(self.push(y, wanted, || {
            let (inputs, kernels) = ([q.clone(), k.clone(), v.clone()], self.kernels().clone());
            let bias = scores.bias.cloned();
            move |dy: &Tensor, sink: &mut Gradients| {
                let qkv = inputs.each_ref().map(Var::tensor);
                let gradients = kernels.attention_gradients(shape, qkv, bias.as_ref(), &result, &saved, dy)?;
                for (input, gradient) in inputs.iter().zip(gradients) {
                    sink.add(input, gradient)?;
                }
                Ok(())
            }
        }))
    }

    /// An attention layer: of `x` to itself, or to `context`.
    pub fn attend(
        &self,
        params: &Params,
        layer: &Attention,
        x: &Var,
        context: Option<&Var>,
        scores: Scores,
    ) -> Result<Var> {
        let context = context.unwrap_or(x);
        let q = self.linear(params, &layer.q, x)?;
        let (k, v) = (self.linear(params, &layer.k, context)?, self.linear(params, &layer.v, context)?);
        self.linear(params, &layer.out, &self.attention_with(&q, &k, &v, layer.heads, scores)?)
    }
}
