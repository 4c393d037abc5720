//! AdamW with f32 moments that can be saved, updating weights in place in one pass.
//!
//! Loshchilov & Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101, in the form of PyTorch's
//! `torch.optim.AdamW`.

use std::sync::Arc;

use candle_core::Tensor;

use super::kernels::Kernels;
use super::tensors::Values;
use crate::{Error, Result};

/// Settings of the optimizer; the learning rate is given at each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    /// Decoupled weight decay, a fraction per unit of learning rate.
    pub weight_decay: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

/// The optimizer's state for a list of weights.
pub struct AdamW {
    settings: Settings,
    step: u64,
    kernels: Arc<dyn Kernels>,
    moments: Vec<Moments>,
}

/// First and second moment of a weight's gradient.
pub enum Moments {
    /// Flat values in memory.
    Values { first: Vec<f32>, second: Vec<f32> },
    /// Tensors on the weight's device.
    Tensors { first: Tensor, second: Tensor },
}

/// A weight, its gradient and its moments.
pub struct Trained<'t> {
    pub weight: &'t Tensor,
    pub gradient: &'t Tensor,
    pub moments: &'t mut Moments,
}

/// The numbers of one step: `m ← β₁m + (1 − β₁)g`, `v ← β₂v + (1 − β₂)g²`,
/// `w ← decay·w − rate·m / (√v / correction2 + eps)` with `g` the gradient times `scale`.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    pub beta1: f64,
    pub beta2: f64,
    pub scale: f64,
    pub decay: f64,
    /// Learning rate over the bias correction of the first moment.
    pub rate: f64,
    /// Square root of the bias correction of the second moment.
    pub correction2: f64,
    pub eps: f64,
}

impl AdamW {
    /// A fresh state for these weights.
    pub fn new<'t>(
        settings: Settings,
        kernels: &Arc<dyn Kernels>,
        weights: impl IntoIterator<Item = &'t Tensor>,
    ) -> Result<Self> {
        let moments = weights.into_iter().map(|weight| kernels.moments(weight)).collect::<Result<_>>()?;
        Ok(Self { settings, step: 0, kernels: kernels.clone(), moments })
    }

    /// Number of steps taken.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// One step on each weight that has a gradient, in the order given to [`AdamW::new`]; `scale` multiplies the gradients
    /// (clipping).
    pub fn step<'t>(
        &mut self,
        weights: impl IntoIterator<Item = (&'t Tensor, Option<&'t Tensor>)>,
        learning_rate: f64,
        scale: f64,
    ) -> Result<()> {
        self.step += 1;
        let Settings { beta1, beta2, eps, weight_decay } = self.settings;
        let correction = |beta: f64| 1.0 - beta.powi(self.step.min(i32::MAX as u64) as i32);
        let (correction1, correction2) = (correction(beta1), correction(beta2).sqrt());
        let update = Update {
            beta1,
            beta2,
            scale,
            decay: 1.0 - learning_rate * weight_decay,
            rate: learning_rate / correction1,
            correction2,
            eps,
        };
        let all = weights.into_iter().zip(&mut self.moments);
        let trained = |((weight, gradient), moments): ((&'t Tensor, Option<&'t Tensor>), _)| {
            Some(Trained { weight, gradient: gradient?, moments })
        };
        self.kernels.adamw_all(update, &mut all.filter_map(trained).collect::<Vec<_>>())
    }

    /// First and second moment of every weight.
    pub fn moments(&self) -> impl Iterator<Item = [Values<'_>; 2]> {
        self.moments.iter().map(|moments| match moments {
            Moments::Values { first, second } => [Values::Slice(first), Values::Slice(second)],
            Moments::Tensors { first, second } => [Values::Tensor(first), Values::Tensor(second)],
        })
    }

    /// Goes on after so many steps with these moments, flat.
    pub fn restore(&mut self, step: u64, state: Vec<[Vec<f32>; 2]>) -> Result<()> {
        let count = |m: &Moments| match m {
            Moments::Values { first, .. } => first.len(),
            Moments::Tensors { first, .. } => first.elem_count(),
        };
        let fits = state.len() == self.moments.len()
            && state.iter().zip(&self.moments).all(|(s, m)| s.iter().all(|v| v.len() == count(m)));
        if !fits {
            return Err(Error::invalid("the saved optimizer state belongs to another network"));
        }
        self.step = step;
        for (moments, [a, b]) in self.moments.iter_mut().zip(state) {
            match moments {
                Moments::Values { first, second } => (*first, *second) = (a, b),
                Moments::Tensors { first, second } => {
                    *first = Tensor::from_vec(a, first.shape(), first.device())?;
                    *second = Tensor::from_vec(b, second.shape(), second.device())?;
                }
            }
        }
        Ok(())
    }
}
