//! AdamW with f32 moments that can be saved, updating weights in place in one pass.
//!
//! Loshchilov & Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101, in the form of PyTorch's
//! `torch.optim.AdamW`.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor};
use rayon::prelude::*;

use super::params::Params;
use super::tape::Gradients;
use crate::{Error, Result};

/// Values updated by one thread at once.
const BLOCK: usize = 16 << 10;

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
    /// First and second moment per weight, as flat values on the CPU or tensors on the weights' device.
    moments: Vec<Moments>,
}

enum Moments {
    Cpu { first: Vec<f32>, second: Vec<f32> },
    Device { first: Tensor, second: Tensor },
}

impl AdamW {
    /// A fresh state for these weights.
    pub fn new<'t>(settings: Settings, weights: impl IntoIterator<Item = &'t Tensor>) -> Result<Self> {
        let moments = |t: &Tensor| match t.device().is_cpu() {
            true => Ok(Moments::Cpu { first: vec![0.0; t.elem_count()], second: vec![0.0; t.elem_count()] }),
            false => Ok(Moments::Device { first: t.zeros_like()?, second: t.zeros_like()? }),
        };
        let moments = weights.into_iter().map(moments).collect::<Result<_>>()?;
        Ok(Self { settings, step: 0, moments })
    }

    /// Number of steps taken.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// One step on all weights of `params` that have a gradient; `scale` multiplies the gradients (1/accumulation,
    /// clipping).
    pub fn step(&mut self, params: &mut Params, gradients: &Gradients, learning_rate: f64, scale: f64) -> Result<()> {
        let weights: Vec<Tensor> = params.iter().map(|(_, t)| t.clone()).collect();
        let pairs = weights.iter().zip(gradients.params().iter().map(Option::as_ref));
        self.step_tensors(pairs, learning_rate, scale)?;
        params.touch();
        Ok(())
    }

    /// [`AdamW::step`] on a plain list of weights, in the order given to [`AdamW::new`].
    pub fn step_tensors<'t>(
        &mut self,
        weights: impl IntoIterator<Item = (&'t Tensor, Option<&'t Tensor>)>,
        learning_rate: f64,
        scale: f64,
    ) -> Result<()> {
        self.step += 1;
        let Settings { beta1, beta2, eps, weight_decay } = self.settings;
        let correction = |beta: f64| 1.0 - beta.powi(self.step.min(i32::MAX as u64) as i32);
        let (correction1, correction2) = (correction(beta1), correction(beta2).sqrt());
        for ((weight, gradient), moments) in weights.into_iter().zip(&mut self.moments) {
            let Some(gradient) = gradient else { continue };
            match moments {
                Moments::Cpu { first, second } => {
                    let op = Update {
                        moments: RefCell::new((first, second)),
                        beta1: beta1 as f32,
                        beta2: beta2 as f32,
                        scale: scale as f32,
                        decay: (1.0 - learning_rate * weight_decay) as f32,
                        rate: (learning_rate / correction1) as f32,
                        correction2: correction2 as f32,
                        eps: eps as f32,
                    };
                    weight.inplace_op2(gradient, &op)?;
                }
                Moments::Device { first, second } => {
                    let gradient = (gradient * scale)?;
                    *first = ((&*first * beta1)? + (&gradient * (1.0 - beta1))?)?;
                    *second = ((&*second * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
                    let denominator = ((second.sqrt()? / correction2)? + eps)?;
                    let change = ((&*first * (learning_rate / correction1))? / denominator)?;
                    let updated = ((weight * (1.0 - learning_rate * weight_decay))? - change)?;
                    weight.slice_set(&updated, 0, 0)?;
                }
            }
        }
        Ok(())
    }

    /// Both moments of every weight, flat, and the number of steps: what [`AdamW::restore`] takes.
    pub fn state(&self) -> Result<(u64, Vec<[Vec<f32>; 2]>)> {
        let flat = |m: &Moments| match m {
            Moments::Cpu { first, second } => Ok([first.clone(), second.clone()]),
            Moments::Device { first, second } => {
                Ok([first.flatten_all()?.to_vec1()?, second.flatten_all()?.to_vec1()?])
            }
        };
        Ok((self.step, self.moments.iter().map(flat).collect::<Result<_>>()?))
    }

    /// Continues from a saved state of the same weights.
    pub fn restore(&mut self, step: u64, state: Vec<[Vec<f32>; 2]>) -> Result<()> {
        let count = |m: &Moments| match m {
            Moments::Cpu { first, .. } => first.len(),
            Moments::Device { first, .. } => first.elem_count(),
        };
        let fits = state.len() == self.moments.len()
            && state.iter().zip(&self.moments).all(|(s, m)| s.iter().all(|v| v.len() == count(m)));
        if !fits {
            return Err(Error::invalid("the saved optimizer state belongs to another network"));
        }
        self.step = step;
        for (moments, [a, b]) in self.moments.iter_mut().zip(state) {
            match moments {
                Moments::Cpu { first, second } => (*first, *second) = (a, b),
                Moments::Device { first, second } => {
                    *first = Tensor::from_vec(a, first.shape(), first.device())?;
                    *second = Tensor::from_vec(b, second.shape(), second.device())?;
                }
            }
        }
        Ok(())
    }
}

struct Update<'m> {
    moments: RefCell<(&'m mut Vec<f32>, &'m mut Vec<f32>)>,
    beta1: f32,
    beta2: f32,
    scale: f32,
    decay: f32,
    rate: f32,
    correction2: f32,
    eps: f32,
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, w: &mut CpuStorage, wl: &Layout, g: &CpuStorage, gl: &Layout) -> candle_core::Result<()> {
        let (w, g) = (contiguous_mut(w, wl)?, contiguous(g, gl)?);
        let Self { beta1, beta2, scale, decay, rate, correction2, eps, .. } = *self;
        let mut moments = self.moments.borrow_mut();
        let (first, second) = &mut *moments;
        let weights = w.par_chunks_mut(BLOCK).zip(g.par_chunks(BLOCK));
        let moments = first.par_chunks_mut(BLOCK).zip(second.par_chunks_mut(BLOCK));
        weights.zip(moments).for_each(|((w, g), (m, v))| {
            for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                let g = g * scale;
                *m += (1.0 - beta1) * (g - *m);
                *v = beta2 * *v + (1.0 - beta2) * g * g;
                *w = *w * decay - rate * *m / (v.sqrt() / correction2 + eps);
            }
        });
        Ok(())
    }
}

/// `a += fraction · (b − a)`, in place.
pub fn lerp_in_place(a: &Tensor, b: &Tensor, fraction: f32) -> Result<()> {
    struct Lerp(f32);
    impl InplaceOp2 for Lerp {
        fn name(&self) -> &'static str {
            "lerp"
        }

        fn cpu_fwd(&self, a: &mut CpuStorage, al: &Layout, b: &CpuStorage, bl: &Layout) -> candle_core::Result<()> {
            let (a, b) = (contiguous_mut(a, al)?, contiguous(b, bl)?);
            a.par_chunks_mut(BLOCK).zip(b.par_chunks(BLOCK)).for_each(|(a, b)| {
                a.iter_mut().zip(b).for_each(|(a, b)| *a += self.0 * (b - *a));
            });
            Ok(())
        }
    }
    if a.device().is_cpu() {
        return Ok(a.inplace_op2(b, &Lerp(fraction))?);
    }
    let mixed = ((a * (1.0 - fraction as f64))? + (b * fraction as f64)?)?;
    Ok(a.slice_set(&mixed, 0, 0)?)
}

fn contiguous<'s>(storage: &'s CpuStorage, layout: &Layout) -> candle_core::Result<&'s [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("contiguous weights and gradients are needed"),
    }
}

fn contiguous_mut<'s>(storage: &'s mut CpuStorage, layout: &Layout) -> candle_core::Result<&'s mut [f32]> {
    match (layout.contiguous_offsets(), storage) {
        (Some((start, end)), CpuStorage::F32(values)) => Ok(&mut values[start..end]),
        _ => candle_core::bail!("contiguous f32 weights are needed"),
    }
}
