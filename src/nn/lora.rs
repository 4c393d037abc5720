//! Low-rank adaptation (Hu et al., "LoRA", arXiv 2106.09685): W' = W + (α/r)·B·A, only A and B are trained.
//!
//! The sum is formed once a step and the network runs on W' as on any weights, so that every backbone can be adapted
//! without knowing it; the gradient of W' is then projected onto the factors.

use std::sync::Arc;

use super::params::{Init, ParamId, Params, Specs};
use super::tape::Gradients;
use crate::{Error, Result};

/// Which weights are adapted, and the shapes of their factors.
#[derive(Debug)]
pub struct Lora {
    /// Names and shapes of the factors.
    specs: Arc<Specs>,
    entries: Vec<Entry>,
    scale: f64,
}

#[derive(Debug)]
struct Entry {
    /// The adapted weight, `[c_out, …]`.
    target: ParamId,
    /// A, `[rank, …]`: starts random.
    a: ParamId,
    /// B, `[c_out, rank]`: starts at zero, so that training starts at W.
    b: ParamId,
}

impl Lora {
    /// Adapts every weight with at least two dimensions by factors of at most `rank`; the sum is scaled by `alpha / rank`.
    pub fn new(specs: &Specs, rank: usize, alpha: f64) -> Result<Self> {
        if rank == 0 {
            return Err(Error::invalid("a LoRA rank of 0 trains nothing"));
        }
        let (mut factors, mut entries) = (Specs::default(), Vec::new());
        for (index, (name, shape)) in specs.iter().enumerate().filter(|(_, (_, shape))| shape.len() >= 2) {
            let (c_out, inner) = (shape[0], shape[1..].iter().product::<usize>());
            let rank = rank.min(c_out).min(inner);
            let init = Init::Normal(1.0 / (inner as f32).sqrt());
            let a = factors.add(format!("{name}.lora_a"), &[rank, inner], init);
            let b = factors.add(format!("{name}.lora_b"), &[c_out, rank], Init::Zeros);
            entries.push(Entry { target: ParamId(index), a, b });
        }
        Ok(Self { specs: Arc::new(factors), entries, scale: alpha / rank as f64 })
    }

    /// Names and shapes of the factors.
    pub fn specs(&self) -> &Arc<Specs> {
        &self.specs
    }

    /// Writes W' of every adapted weight of `base` into `merged`.
    pub fn merge(&self, base: &Params, factors: &Params, merged: &mut Params) -> Result<()> {
        for entry in &self.entries {
            let w = base.get(entry.target);
            let change = (factors.get(entry.b).matmul(factors.get(entry.a))? * self.scale)?.reshape(w.shape())?;
            merged.get(entry.target).slice_set(&(w + change)?, 0, 0)?;
        }
        merged.touch();
        Ok(())
    }

    /// Gradients of the factors from those of the merged weights.
    pub fn project(&self, factors: &Params, gradients: &Gradients) -> Result<Gradients> {
        let mut projected = Gradients::new(factors.kernels());
        for entry in &self.entries {
            let Some(dw) = gradients.param(entry.target) else { continue };
            let dw = (dw.flatten_from(1)? * self.scale)?;
            let (a, b) = (factors.get(entry.a), factors.get(entry.b));
            projected.add_param(entry.a, b.t()?.contiguous()?.matmul(&dw)?)?;
            projected.add_param(entry.b, dw.matmul(&a.t()?.contiguous()?)?)?;
        }
        Ok(projected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::kernels::Compute;
    use candle_core::{Device, Tensor};

    /// The projected gradient of a linear function of W' must agree with finite differences in every factor.
    #[test]
    fn projection_agrees_with_finite_differences() {
        let mut specs = Specs::default();
        specs.add("w".into(), &[4, 3, 2], Init::Normal(1.0));
        specs.add("bias".into(), &[4], Init::Normal(1.0));
        let specs = Arc::new(specs);
        let lora = Lora::new(&specs, 2, 3.0).unwrap();
        let base = Params::init(&specs, 1, &Compute::cpu()).unwrap();
        let mut merged = base.duplicate().unwrap();
        let mut factors = Params::init(lora.specs(), 2, &Compute::cpu()).unwrap();
        lora.merge(&base, &factors, &mut merged).unwrap();
        assert_eq!(merged.to_flat().unwrap(), base.to_flat().unwrap());

        let flat: Vec<f32> = (0..lora.specs().value_count()).map(|i| (i as f32 * 0.7).sin()).collect();
        factors.set_flat(&flat).unwrap();
        let direction: Vec<f32> = (0..24).map(|i| (i as f32 * 1.3).cos()).collect();
        let mut gradients = Gradients::new(base.kernels());
        let dw = Tensor::from_vec(direction.clone(), (4, 3, 2), &Device::Cpu).unwrap();
        gradients.add_param(ParamId(0), dw).unwrap();
        let projected = lora.project(&factors, &gradients).unwrap();
        let analytic: Vec<f32> = projected
            .params()
            .iter()
            .flat_map(|t| t.as_ref().unwrap().flatten_all().unwrap().to_vec1().unwrap())
            .collect();
        let mut value = |flat: &[f32]| {
            factors.set_flat(flat).unwrap();
            lora.merge(&base, &factors, &mut merged).unwrap();
            merged.to_flat().unwrap().iter().zip(&direction).map(|(w, d)| (w * d) as f64).sum::<f64>()
        };
        for i in 0..flat.len() {
            let shifted = |h: f32| {
                let mut flat = flat.clone();
                flat[i] += h;
                flat
            };
            let numeric = (value(&shifted(0.01)) - value(&shifted(-0.01))) / 0.02;
            assert!(
                (numeric - analytic[i] as f64).abs() < 2e-3 * (1.0 + numeric.abs()),
                "{i}: {numeric} {}",
                analytic[i]
            );
        }
    }
}
