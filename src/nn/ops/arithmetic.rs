//! Sums, products and scales. The second operand may be smaller: where the shapes differ, in one run of dimensions, it has 1
//! (`[batch, 1, 1, channels]` over an image; dimensions that it lacks in front count as 1, as those of a bias).

use candle_core::Tensor;

use crate::nn::kernels::shape::Spread;
use crate::nn::tape::{Gradients, Tape, Var};
use crate::{Error, Result};

impl Tape {
    /// `a + b`.
    pub fn add(&self, a: &Var, b: &Var) -> Result<Var> {
        let spread = Spread::of(a.tensor().dims(), b.tensor().dims())?;
        let y = self.kernels().add_spread(spread, a.tensor(), b.tensor())?;
        Ok(self.push(y, a.wants_gradient() || b.wants_gradient(), || {
            let (a, b, kernels) = (a.slot(), (b.slot(), b.tensor().shape().clone()), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| {
                sink.add(a, dy.clone())?;
                let (b, shape) = b;
                if b.wants_gradient() {
                    sink.add(b, kernels.sum_spread(spread, dy)?.reshape(shape)?)?;
                }
                Ok(())
            }
        }))
    }

    /// `a · b`, value by value.
    pub fn mul(&self, a: &Var, b: &Var) -> Result<Var> {
        let spread = Spread::of(a.tensor().dims(), b.tensor().dims())?;
        let y = self.kernels().multiply(spread, a.tensor(), b.tensor())?;
        Ok(self.push(y, a.wants_gradient() || b.wants_gradient(), || {
            // Each one's gradient reads the other alone.
            let read = |v: &Var, other: &Var| other.wants_gradient().then(|| v.tensor().clone());
            let (of_a, of_b, kernels) = (read(a, b), read(b, a), self.kernels().clone());
            let (a, b, shape) = (a.slot(), b.slot(), b.tensor().shape().clone());
            move |dy: &Tensor, sink: &mut Gradients| {
                if let Some(of_b) = of_b {
                    sink.add(a, kernels.multiply(spread, dy, &of_b)?)?;
                }
                if let Some(of_a) = of_a {
                    let same = Spread { outer: 1, repeat: 1, inner: dy.elem_count() };
                    let along = kernels.multiply(same, dy, &of_a)?;
                    sink.add(b, kernels.sum_spread(spread, &along)?.reshape(shape)?)?;
                }
                Ok(())
            }
        }))
    }

    /// `gain · x`.
    pub fn scale(&self, x: &Var, gain: f32) -> Result<Var> {
        self.affine(x, gain, 0.0)
    }

    /// `gain · x + offset`.
    pub fn affine(&self, x: &Var, gain: f32, offset: f32) -> Result<Var> {
        let y = self.kernels().affine(x.tensor(), gain, offset)?;
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, kernels) = (x.slot(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| sink.add(x, kernels.affine(dy, gain, 0.0)?)
        }))
    }

    /// `√(x + eps)` for positive `x + eps`.
    pub fn sqrt(&self, x: &Var, eps: f32) -> Result<Var> {
        let y = self.kernels().sqrt(&self.kernels().affine(x.tensor(), 1.0, eps)?)?;
        let root = y.clone();
        Ok(self.push(y, x.wants_gradient(), || {
            let x = x.slot();
            move |dy: &Tensor, sink: &mut Gradients| sink.add(x, ((dy / root)? * 0.5)?)
        }))
    }

    /// `x · (1 + scale) + shift` for tokens `[batch, tokens, channels]`, with scale and shift `[batch, channels]` each.
    pub fn modulate(&self, x: &Var, scale: &Var, shift: &Var) -> Result<Var> {
        let gain = self.affine(&self.per_image(x, scale)?, 1.0, 1.0)?;
        self.add(&self.mul(x, &gain)?, &self.per_image(x, shift)?)
    }

    /// `[batch, channels]` as what meets all tokens or pixels of an image in [`Tape::add`] and [`Tape::mul`].
    pub fn per_image(&self, x: &Var, values: &Var) -> Result<Var> {
        let (batch, channels) = values.tensor().dims2()?;
        let mut dims = vec![1; x.tensor().rank()];
        if let [first, .., last] = dims.as_mut_slice() {
            (*first, *last) = (batch, channels);
        }
        self.reshape(values, &dims)
    }
}

/// Size of the last dimension. Errors: there is none, or it is empty.
pub(super) fn width_of(x: &Var) -> Result<usize> {
    match x.tensor().dims().last() {
        Some(&width) if width > 0 => Ok(width),
        _ => Err(Error::invalid("rows of at least one value are needed")),
    }
}
