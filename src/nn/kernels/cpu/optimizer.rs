//! The optimizer's passes over weights, in place.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor};
use rayon::prelude::*;

use crate::nn::adamw::{Moments, Update};
use crate::{Error, Result};

/// Values updated by one thread at once.
const BLOCK: usize = 16 << 10;

/// One AdamW step, one pass.
pub fn adamw(update: Update, weight: &Tensor, gradient: &Tensor, moments: &mut Moments) -> Result<()> {
    let Moments::Values { first, second } = moments else {
        return Err(Error::invalid("the optimizer's moments belong to another device"));
    };
    Ok(weight.inplace_op2(gradient, &Step { update, moments: RefCell::new((first, second)) })?)
}

struct Step<'m> {
    update: Update,
    moments: RefCell<(&'m mut Vec<f32>, &'m mut Vec<f32>)>,
}

impl InplaceOp2 for Step<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, w: &mut CpuStorage, wl: &Layout, g: &CpuStorage, gl: &Layout) -> candle_core::Result<()> {
        let (w, g) = (contiguous_mut(w, wl)?, contiguous(g, gl)?);
        let Update { beta1, beta2, scale, decay, rate, correction2, eps } = self.update;
        let [beta1, beta2, scale, decay, rate, correction2, eps] =
            [beta1, beta2, scale, decay, rate, correction2, eps].map(|v| v as f32);
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

/// `a += fraction · (b − a)`.
pub fn lerp(a: &Tensor, b: &Tensor, fraction: f32) -> Result<()> {
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
    Ok(a.inplace_op2(b, &Lerp(fraction))?)
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
