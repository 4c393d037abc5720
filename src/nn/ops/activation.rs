//! Functions of single values, and gated ones.

use candle_core::Tensor;

use super::arithmetic::width_of;
use crate::nn::kernels::shape::Activation;
use crate::nn::tape::{Gradients, Tape, Var};
use crate::{Error, Result};

impl Tape {
    /// `f(x)`.
    pub fn activate(&self, f: Activation, x: &Var) -> Result<Var> {
        let y = self.kernels().activate(f, x.tensor())?;
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, kernels) = (x.clone(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| sink.add(&x, kernels.activate_gradient(f, x.tensor(), dy)?)
        }))
    }

    /// `x · σ(x)`.
    pub fn silu(&self, x: &Var) -> Result<Var> {
        self.activate(Activation::Silu, x)
    }

    /// `max(0, x)`.
    pub fn relu(&self, x: &Var) -> Result<Var> {
        self.activate(Activation::Relu, x)
    }

    /// `a · f(b)` of the halves `a ‖ b` of the last dimension: diffusers' GEGLU with [`Activation::Gelu`].
    pub fn gated(&self, f: Activation, x: &Var) -> Result<Var> {
        let width = width_of(x)?;
        if width % 2 != 0 {
            return Err(Error::invalid(format!("{width} channels have no two halves")));
        }
        let y = self.kernels().gated(f, x.tensor())?;
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, kernels) = (x.clone(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| sink.add(&x, kernels.gated_gradient(f, x.tensor(), dy)?)
        }))
    }
}
