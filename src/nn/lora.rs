//! Low-rank adaptation (Hu et al., "LoRA", arXiv 2106.09685): W' = W + (α/r)·B·A, only A and B are trained.
//!
//! The sum is formed once a step and the network runs on W' as on any weights, so that every backbone can be adapted
//! without knowing it; the gradient of W' is then projected onto the factors. W' is a cache: what is trained, averaged and
//! kept are the factors alone.

use std::sync::Arc;

use candle_core::Tensor;

use super::params::{Init, ParamId, Params, Specs};
use super::tape::Gradients;
use crate::{Error, Result};

/// What the name of a weight's factor A ends with.
const A: &str = ".lora_a";
/// What the name of a weight's factor B ends with.
const B: &str = ".lora_b";

/// Which weights are adapted, and the shapes of their factors.
#[derive(Debug)]
pub struct Lora {
    /// Names and shapes of the factors.
    specs: Arc<Specs>,
    entries: Vec<Entry>,
    rank: usize,
    alpha: f64,
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

/// Factors, and what they are added to.
#[derive(Clone)]
pub struct Layer {
    pub lora: Arc<Lora>,
    pub factors: Params,
}

impl Layer {
    /// The weights `base` with this layer on them; what is not adapted is shared and not copied.
    pub fn onto(&self, base: &Params) -> Result<Params> {
        let targets = self.lora.targets();
        let sums = self.lora.entries.iter().map(|entry| self.lora.sum(entry, base, &self.factors));
        Ok(base.with_tensors(&targets, sums.collect::<Result<_>>()?))
    }
}

impl Lora {
    /// Adapts every weight with at least two dimensions whose name is `wanted` by factors of at most `rank`; the sum is
    /// scaled by `alpha / rank`. Errors: that is none, or no rank.
    pub fn new(specs: &Specs, rank: usize, alpha: f64, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        if rank == 0 || !(alpha.is_finite() && alpha > 0.0) {
            return Err(Error::invalid(format!("LoRA of rank {rank} and alpha {alpha} trains nothing")));
        }
        let (mut factors, mut entries) = (Specs::default(), Vec::new());
        let matrices = specs.iter().enumerate().filter(|(_, (_, shape))| shape.len() >= 2).zip((0..).step_by(2));
        for ((index, (name, shape)), stream) in matrices.filter(|((_, (name, _)), _)| wanted(name)) {
            let (c_out, inner) = (shape[0], shape[1..].iter().product::<usize>());
            let rank = rank.min(c_out).min(inner);
            let init = Init::Normal(1.0 / (inner as f32).sqrt());
            let a = factors.add_on_stream(factor_a(name), &[rank, inner], init, stream);
            let b = factors.add_on_stream(format!("{name}{B}"), &[c_out, rank], Init::Zeros, stream + 1);
            entries.push(Entry { target: ParamId(index), a, b });
        }
        match entries.is_empty() {
            true => Err(Error::invalid("there is no weight that LoRA adapts")),
            false => Ok(Self { specs: Arc::new(factors), entries, rank, alpha }),
        }
    }

    /// Names and shapes of the factors.
    pub fn specs(&self) -> &Arc<Specs> {
        &self.specs
    }

    /// The rank asked for; small weights have less.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The sum is scaled by this over the rank.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// Writes W' of every adapted weight of `base` into `merged`.
    pub fn merge(&self, base: &Params, factors: &Params, merged: &mut Params) -> Result<()> {
        for entry in &self.entries {
            merged.get(entry.target).slice_set(&self.sum(entry, base, factors)?, 0, 0)?;
            merged.touch_one(entry.target);
        }
        Ok(())
    }

    /// The weights to run on while factors are trained, equal to `base`: gradients are wanted for those adapted, the others
    /// are `base`'s own.
    pub fn working_copy(&self, base: &Params) -> Result<Params> {
        let targets = self.targets();
        let names: Vec<&str> = base.specs().iter().map(|(name, _)| name).collect();
        base.to_train(|name| targets.iter().any(|target| names[target.0] == name))
    }

    /// Gradients of the factors from those of the merged weights.
    pub fn project(&self, factors: &Params, gradients: &Gradients) -> Result<Gradients> {
        let mut projected = Gradients::new(factors.kernels());
        for entry in &self.entries {
            let Some(dw) = gradients.param(entry.target) else { continue };
            let dw = (dw.flatten_from(1)? * self.scale())?;
            let (a, b) = (factors.get(entry.a), factors.get(entry.b));
            projected.add_param(entry.a, b.t()?.contiguous()?.matmul(&dw)?)?;
            projected.add_param(entry.b, dw.matmul(&a.t()?.contiguous()?)?)?;
        }
        Ok(projected)
    }

    fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }

    fn targets(&self) -> Vec<ParamId> {
        self.entries.iter().map(|entry| entry.target).collect()
    }

    fn sum(&self, entry: &Entry, base: &Params, factors: &Params) -> Result<Tensor> {
        let w = base.weight(entry.target).tensor()?;
        let change = (factors.get(entry.b).matmul(factors.get(entry.a))? * self.scale())?.reshape(w.shape())?;
        Ok((w + change)?)
    }
}

/// The name of the weight that a factor is of, or that it is the name of.
pub(super) fn weight_of(name: &str) -> &str {
    name.strip_suffix(A).or_else(|| name.strip_suffix(B)).unwrap_or(name)
}

/// The name of the factor A of a weight.
pub(super) fn factor_a(weight: &str) -> String {
    format!("{weight}{A}")
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
        let lora = Lora::new(&specs, 2, 3.0, |_| true).unwrap();
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
