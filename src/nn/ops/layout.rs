//! Values in another shape, order or place.

use candle_core::{D, Tensor};

use crate::nn::tape::{Gradients, Slot, Tape, Var};
use crate::{Error, Result};

impl Tape {
    /// The same values in another shape.
    pub fn reshape(&self, x: &Var, shape: &[usize]) -> Result<Var> {
        let y = x.tensor().reshape(shape)?;
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, shape) = (x.slot(), x.tensor().shape().clone());
            move |dy: &Tensor, sink: &mut Gradients| sink.add(x, dy.reshape(shape)?)
        }))
    }

    /// The dimensions in another order: dimension `i` of the result is number `order[i]` of `x`.
    pub fn permute(&self, x: &Var, order: &[usize]) -> Result<Var> {
        let turned = x.tensor().permute(order)?;
        // Rows and columns alone: one pass on all threads.
        let is_transpose = matches!(order, [rest @ .., a, b]
            if *a == *b + 1 && rest.iter().enumerate().all(|(i, dim)| i == *dim));
        let y = match is_transpose && x.tensor().is_contiguous() {
            true => self.kernels().transpose(x.tensor())?,
            false => turned.contiguous()?,
        };
        Ok(self.push(y, x.wants_gradient(), || {
            let mut back = vec![0; order.len()];
            order.iter().enumerate().for_each(|(i, &dim)| back[dim] = i);
            let x = x.slot();
            move |dy: &Tensor, sink: &mut Gradients| sink.add(x, dy.permute(back)?.contiguous()?)
        }))
    }

    /// Two dimensions exchanged.
    pub fn transpose(&self, x: &Var, a: usize, b: usize) -> Result<Var> {
        let mut order: Vec<usize> = (0..x.tensor().rank()).collect();
        if a.max(b) >= order.len() {
            return Err(Error::invalid(format!("{:?} has no dimension {}", x.tensor().dims(), a.max(b))));
        }
        order.swap(a, b);
        self.permute(x, &order)
    }

    /// The channels of `a`, then those of `b`.
    pub fn concat(&self, a: &Var, b: &Var) -> Result<Var> {
        let (ca, cb) = (a.tensor().dim(D::Minus1)?, b.tensor().dim(D::Minus1)?);
        let y = self.kernels().concat(a.tensor(), b.tensor())?;
        Ok(self.push(y, a.wants_gradient() || b.wants_gradient(), || {
            let (a, b, kernels) = (a.slot(), b.slot(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| {
                for (slot, from, take) in [(a, 0, ca), (b, ca, cb)] {
                    if slot.wants_gradient() {
                        sink.add(slot, kernels.channels(dy, from, take)?)?;
                    }
                }
                Ok(())
            }
        }))
    }

    /// `parts` one after the other along a dimension (1: the tokens of several streams).
    pub fn join(&self, parts: &[&Var], dim: usize) -> Result<Var> {
        let tensors: Vec<&Tensor> = parts.iter().map(|part| part.tensor()).collect();
        let y = Tensor::cat(&tensors, dim)?;
        let sizes = tensors.iter().map(|part| part.dim(dim)).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(self.push(y, parts.iter().any(|part| part.wants_gradient()), || {
            let parts: Vec<Slot> = parts.iter().map(|part| part.slot()).collect();
            move |dy: &Tensor, sink: &mut Gradients| {
                let mut from = 0;
                for (part, take) in parts.into_iter().zip(sizes) {
                    if part.wants_gradient() {
                        sink.add(part, dy.narrow(dim, from, take)?.contiguous()?)?;
                    }
                    from += take;
                }
                Ok(())
            }
        }))
    }

    /// `take` entries of a dimension from number `from` on.
    pub fn narrow(&self, x: &Var, dim: usize, from: usize, take: usize) -> Result<Var> {
        let part = x.tensor().narrow(dim, from, take)?;
        let y = match dim + 1 == x.tensor().rank() && x.tensor().is_contiguous() {
            true => self.kernels().channels(x.tensor(), from, take)?,
            false => part.contiguous()?,
        };
        Ok(self.push(y, x.wants_gradient(), || {
            let (slot, rest) = (x.slot(), x.tensor().dims()[dim] - from - take);
            move |dy: &Tensor, sink: &mut Gradients| sink.add(slot, dy.pad_with_zeros(dim, from, rest)?.contiguous()?)
        }))
    }

    /// Zeros around an image: above, below, left and right of it.
    pub fn pad(&self, x: &Var, [above, below, left, right]: [usize; 4]) -> Result<Var> {
        let (_, height, width, _) = x.tensor().dims4()?;
        let y = x.tensor().pad_with_zeros(1, above, below)?.pad_with_zeros(2, left, right)?.contiguous()?;
        Ok(self.push(y, x.wants_gradient(), || {
            let x = x.slot();
            move |dy: &Tensor, sink: &mut Gradients| {
                sink.add(x, dy.narrow(1, above, height)?.narrow(2, left, width)?.contiguous()?)
            }
        }))
    }

    /// NHWC `[B, H, W, C·s²]` to planar `[B, C, s·H, s·W]` (`pixel_shuffle`).
    pub fn shuffle(&self, x: &Var, s: usize) -> Result<Var> {
        let y = self.kernels().shuffle(x.tensor(), s)?;
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, kernels) = (x.slot(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| sink.add(x, kernels.unshuffle(dy, s)?)
        }))
    }
}
