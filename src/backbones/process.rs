//! How a clean image becomes noise, what the network is asked to predict there, and how its answer leads back.

use candle_core::Tensor;

use super::sampler::Solver;
use crate::{Error, Result};

/// The noising process of a backbone, and with it the meaning of "time".
#[derive(Clone, Debug, PartialEq)]
pub enum Process {
    /// Flow matching (arXiv 2210.02747): `x_t = (1 − t)·ε + t·x₁`, t from 0 (noise) to 1 (clean); the network predicts
    /// the velocity `x₁ − ε`.
    Flow,
    /// Diffusion (arXiv 2006.11239): `x_k = √ᾱ_k·x₁ + √(1 − ᾱ_k)·ε`, k from 0 (clean) to T − 1 (noise); the network
    /// predicts ε.
    Diffusion(Schedule),
}

/// The two kinds of process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Flow,
    Diffusion,
}

impl Kind {
    /// What can solve it.
    pub fn solvers(self) -> &'static [Solver] {
        match self {
            Kind::Flow => &[Solver::Euler, Solver::Heun],
            Kind::Diffusion => &[Solver::Ddim, Solver::Ddpm],
        }
    }

    /// The error of a solver that cannot.
    pub fn refuse(self, backbone: &str, solver: Solver) -> Error {
        let kind = if self == Kind::Flow { "flow" } else { "diffusion" };
        let solvers: Vec<_> = self.solvers().iter().map(|solver| solver.word()).collect();
        Error::invalid(format!(
            "{} does not solve the {kind} of {backbone}; {} do",
            solver.word(),
            solvers.join(" and ")
        ))
    }
}

/// ᾱ of every timestep of a diffusion process.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    alpha_bar: Vec<f64>,
}

impl Schedule {
    /// Stable Diffusion's "scaled linear" schedule: √β rises linearly from √`start` to √`end` over `steps` timesteps.
    pub fn scaled_linear(steps: usize, start: f64, end: f64) -> Result<Self> {
        if steps < 2 || !(0.0 < start && start < end && end < 1.0) {
            return Err(Error::invalid("a noise schedule needs at least 2 steps and 0 < start < end < 1"));
        }
        let root = |k: usize| start.sqrt() + (end.sqrt() - start.sqrt()) * k as f64 / (steps - 1) as f64;
        let product = (0..steps).scan(1.0, |product, k| {
            *product *= 1.0 - root(k).powi(2);
            Some(*product)
        });
        Ok(Self { alpha_bar: product.collect() })
    }

    /// Number of timesteps T.
    pub fn len(&self) -> usize {
        self.alpha_bar.len()
    }

    /// Never true: a schedule has at least two timesteps.
    pub fn is_empty(&self) -> bool {
        self.alpha_bar.is_empty()
    }

    /// ᾱ of a timestep; 1 (clean) before the first.
    pub fn alpha_bar(&self, timestep: Option<usize>) -> f64 {
        timestep.and_then(|k| self.alpha_bar.get(k)).copied().unwrap_or(1.0)
    }
}

impl Process {
    /// Which of the two kinds it is.
    pub fn kind(&self) -> Kind {
        match self {
            Process::Flow => Kind::Flow,
            Process::Diffusion(_) => Kind::Diffusion,
        }
    }

    /// A time to train at, from a standard normal value `z` and a uniform value `u`: `σ(z)` for flow (arXiv 2403.03206), a
    /// uniform timestep for diffusion.
    pub fn training_time(&self, z: f32, u: f32) -> f32 {
        match self {
            Process::Flow => 1.0 / (1.0 + (-z).exp()),
            Process::Diffusion(s) => ((u * s.len() as f32) as usize).min(s.len() - 1) as f32,
        }
    }

    /// Weights of the clean image and of the noise in `x_t`.
    pub fn mix(&self, time: f32) -> (f64, f64) {
        match self {
            Process::Flow => (time as f64, 1.0 - time as f64),
            Process::Diffusion(s) => {
                let alpha_bar = s.alpha_bar(Some(time as usize));
                (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt())
            }
        }
    }

    /// `x_t` of each image at its own time; `clean` and `noise` are `[B, …]`.
    pub fn corrupt(&self, clean: &Tensor, noise: &Tensor, times: &[f32]) -> Result<Tensor> {
        let (a, b): (Vec<f32>, Vec<f32>) = times
            .iter()
            .map(|&t| {
                let (a, b) = self.mix(t);
                (a as f32, b as f32)
            })
            .unzip();
        let per_image = |v: Vec<f32>| {
            let mut shape = vec![1; clean.rank()];
            shape[0] = v.len();
            Tensor::from_vec(v, shape, clean.device())
        };
        Ok((clean.broadcast_mul(&per_image(a)?)? + noise.broadcast_mul(&per_image(b)?)?)?)
    }

    /// What the network should predict.
    pub fn target(&self, clean: &Tensor, noise: &Tensor) -> Result<Tensor> {
        match self {
            Process::Flow => Ok((clean - noise)?),
            Process::Diffusion(_) => Ok(noise.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn scaled_linear_is_stable_diffusions_schedule() {
        // diffusers' DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").
        let s = Schedule::scaled_linear(1000, 0.00085, 0.012).unwrap();
        assert!((s.alpha_bar(Some(0)) - 0.99915).abs() < 1e-6);
        assert!((s.alpha_bar(Some(999)) - 0.004_660).abs() < 1e-5, "{}", s.alpha_bar(Some(999)));
        assert_eq!(s.alpha_bar(None), 1.0);
        assert!(Schedule::scaled_linear(1, 0.1, 0.2).is_err());
    }

    #[test]
    fn corruption_and_target_are_consistent() {
        let tensor = |v: [f32; 4]| Tensor::from_vec(v.to_vec(), (2, 2), &Device::Cpu).unwrap();
        let (clean, noise) = (tensor([1.0, -2.0, 0.5, 3.0]), tensor([0.2, 0.4, -1.0, 0.0]));
        let flow = Process::Flow;
        let x: Vec<Vec<f32>> = flow.corrupt(&clean, &noise, &[0.25, 1.0]).unwrap().to_vec2().unwrap();
        assert_eq!(x[1], [0.5, 3.0]);
        assert!((x[0][0] - (0.75 * 0.2 + 0.25)).abs() < 1e-6);
        // Following the velocity from x_t for the remaining time arrives at the clean image.
        let v: Vec<Vec<f32>> = flow.target(&clean, &noise).unwrap().to_vec2().unwrap();
        assert!((x[0][1] + 0.75 * v[0][1] + 2.0).abs() < 1e-6);
    }
}
