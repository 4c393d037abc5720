//! How a clean latent becomes noise, what the network is asked to predict there, and how its answer leads back.

use candle_core::Tensor;

use crate::Result;

/// The noising process of a backbone, and with it the meaning of "time".
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Process {
    Flow(Flow),
    Diffusion(Diffusion),
}

/// Flow matching (arXiv 2210.02747): `x = (1 − s)·ε + s·x₁` where the share s of the clean latent goes from 0 to 1; the
/// network predicts the velocity along the straight line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    pub time: Time,
    pub shift: Shift,
}

/// What the time of a flow is, and with it the direction of its velocity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// The share of the clean latent; the velocity is `x₁ − ε`.
    Clean,
    /// The share σ of the noise, from 1 to 0; the velocity is `ε − x₁` (arXiv 2403.03206).
    Noise,
}

/// Where the steps of a flow lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shift {
    /// At equal distances.
    None,
    /// Nearer to the noise the more tokens there are: `σ' = e^μ / (e^μ + 1/σ − 1)` with μ linear in their number, through
    /// two points (FLUX; arXiv 2403.03206 §5.3.2). A token is `patch` × `patch` latents.
    Dynamic { patch: usize, tokens: [f64; 2], mu: [f64; 2] },
}

/// Diffusion (arXiv 2006.11239): `x_k = √ᾱ_k·x₁ + √(1 − ᾱ_k)·ε`, k from 0 (clean) to T − 1 (noise). Its schedule is Stable
/// Diffusion's "scaled linear": √β rises linearly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Diffusion {
    /// T.
    pub timesteps: usize,
    /// β of the first and of the last timestep.
    pub beta: [f64; 2],
    pub predicts: Predicts,
    pub spacing: Spacing,
}

/// What a diffusion network predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predicts {
    /// ε.
    Noise,
    /// `√ᾱ·ε − √(1 − ᾱ)·x₁` (arXiv 2202.00512).
    Velocity,
}

/// Which timesteps are taken where there are fewer steps than timesteps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Multiples of ⌊T/steps⌋ from 0 on, plus an offset: Stable Diffusion's, with offset 1.
    Leading { offset: usize },
    /// The first step is at pure noise (arXiv 2305.08891).
    Trailing,
}

/// A step of a flow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlowStep {
    pub time: f32,
    /// Time until the next step.
    pub length: f64,
}

impl Flow {
    /// The steps for latents of this height and width, as the network sees them.
    pub fn steps(&self, count: usize, latents: [usize; 2]) -> Vec<FlowStep> {
        let n = count as f64;
        let at = |i: usize| match (self.shifted((count - i) as f64 / n, latents), self.time) {
            (None, Time::Clean) => i as f64 / n,
            (None, Time::Noise) => (count - i) as f64 / n,
            (Some(sigma), Time::Clean) => 1.0 - sigma,
            (Some(sigma), Time::Noise) => sigma,
        };
        let length = |i: usize| match (self.shift, self.time) {
            (Shift::None, Time::Clean) => 1.0 / n,
            (Shift::None, Time::Noise) => -1.0 / n,
            _ => at(i + 1) - at(i),
        };
        (0..count).map(|i| FlowStep { time: at(i) as f32, length: length(i) }).collect()
    }

    /// σ' of a share of noise; `None` where nothing is shifted.
    fn shifted(&self, sigma: f64, [height, width]: [usize; 2]) -> Option<f64> {
        let Shift::Dynamic { patch, tokens, mu } = self.shift else { return None };
        let count = ((height / patch) * (width / patch)) as f64;
        let slope = (mu[1] - mu[0]) / (tokens[1] - tokens[0]);
        let grown = (mu[0] + slope * (count - tokens[0])).exp();
        Some(if sigma > 0.0 { grown / (grown + 1.0 / sigma - 1.0) } else { 0.0 })
    }
}

impl Diffusion {
    /// ᾱ of a timestep; 1 (clean) before the first.
    pub fn alpha_bar(&self, timestep: Option<usize>) -> f64 {
        let [first, last] = self.beta.map(f64::sqrt);
        let root = |k: usize| first + (last - first) * k as f64 / (self.timesteps.max(2) - 1) as f64;
        let until = timestep.map_or(0, |k| (k + 1).min(self.timesteps));
        (0..until).fold(1.0, |product, k| product * (1.0 - root(k).powi(2)))
    }

    /// The timesteps of so many steps, from noise to clean.
    pub fn steps(&self, count: usize) -> Vec<usize> {
        let (all, count) = (self.timesteps, count.clamp(1, self.timesteps));
        let last = all - 1;
        let step = |i: usize| match self.spacing {
            Spacing::Leading { offset } => ((count - 1 - i) * (all / count) + offset).min(last),
            // Halves to even, as the reference implementation rounds.
            Spacing::Trailing => ((all * (count - i)) as f64 / count as f64).round_ties_even().max(1.0) as usize - 1,
        };
        (0..count).map(step).collect()
    }

    /// The clean latent and the noise that a prediction at `x` says there are.
    pub fn clean_and_noise(&self, x: &Tensor, prediction: &Tensor, alpha_bar: f64) -> Result<[Tensor; 2]> {
        let (a, b) = (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
        Ok(match self.predicts {
            Predicts::Noise => [((x - (prediction * b)?)? / a)?, prediction.clone()],
            Predicts::Velocity => [((x * a)? - (prediction * b)?)?, ((prediction * a)? + (x * b)?)?],
        })
    }
}

impl Process {
    /// A time to train at, from a standard normal value `z` and a uniform value `u`: `σ(z)` for flow (arXiv 2403.03206), a
    /// uniform timestep for diffusion.
    pub fn training_time(&self, z: f32, u: f32) -> f32 {
        match self {
            Process::Flow(_) => 1.0 / (1.0 + (-z).exp()),
            Process::Diffusion(d) => ((u * d.timesteps as f32) as usize).min(d.timesteps - 1) as f32,
        }
    }

    /// The time at which the share `s` of the way from clean (0) to noise (1) is gone.
    pub fn time_of_noise(&self, s: f32) -> f32 {
        match self {
            Process::Flow(Flow { time: Time::Clean, .. }) => 1.0 - s,
            Process::Flow(Flow { time: Time::Noise, .. }) => s,
            Process::Diffusion(d) => ((s * d.timesteps as f32) as usize).min(d.timesteps - 1) as f32,
        }
    }

    /// Min-SNR weight of a time, Hang et al., arXiv 2303.09556: min(SNR, γ) / SNR where noise is predicted, over SNR + 1 for a
    /// velocity. SNR is that of `x_t`.
    pub fn min_snr_weight(&self, time: f32, most: f64) -> f64 {
        let (clean, noise) = self.mix(time);
        let [clean, noise] = [clean, noise].map(|share| share * share);
        let least = f64::min(clean, most * noise);
        match self {
            Process::Diffusion(Diffusion { predicts: Predicts::Noise, .. }) if clean > 0.0 => least / clean,
            Process::Diffusion(Diffusion { predicts: Predicts::Noise, .. }) => 1.0,
            _ => least / (clean + noise),
        }
    }

    /// Weights of the clean latent and of the noise in `x_t`.
    pub fn mix(&self, time: f32) -> (f64, f64) {
        match self {
            Process::Flow(Flow { time: Time::Clean, .. }) => (time as f64, 1.0 - time as f64),
            Process::Flow(Flow { time: Time::Noise, .. }) => (1.0 - time as f64, time as f64),
            Process::Diffusion(d) => {
                let alpha_bar = d.alpha_bar(Some(time as usize));
                (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt())
            }
        }
    }

    /// `x_t` of each item at its own time; `clean` and `noise` are `[B, …]`.
    pub fn corrupt(&self, clean: &Tensor, noise: &Tensor, times: &[f32]) -> Result<Tensor> {
        let (a, b): (Vec<f64>, Vec<f64>) = times.iter().map(|&t| self.mix(t)).unzip();
        Ok((weighted(clean, &a)? + weighted(noise, &b)?)?)
    }

    /// What the network should predict for each item at its own time.
    pub fn target(&self, clean: &Tensor, noise: &Tensor, times: &[f32]) -> Result<Tensor> {
        match self {
            Process::Flow(Flow { time: Time::Clean, .. }) => Ok((clean - noise)?),
            Process::Flow(Flow { time: Time::Noise, .. }) => Ok((noise - clean)?),
            Process::Diffusion(Diffusion { predicts: Predicts::Noise, .. }) => Ok(noise.clone()),
            Process::Diffusion(Diffusion { predicts: Predicts::Velocity, .. }) => {
                let (a, b): (Vec<f64>, Vec<f64>) = times.iter().map(|&t| self.mix(t)).unzip();
                Ok((weighted(noise, &a)? - weighted(clean, &b)?)?)
            }
        }
    }
}

/// Each item times its own weight.
fn weighted(items: &Tensor, weights: &[f64]) -> Result<Tensor> {
    let mut shape = vec![1; items.rank()];
    shape[0] = weights.len();
    let weights = weights.iter().map(|&weight| weight as f32).collect();
    Ok(items.broadcast_mul(&Tensor::from_vec(weights, shape, items.device())?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    const SD: Diffusion = Diffusion {
        timesteps: 1000,
        beta: [0.00085, 0.012],
        predicts: Predicts::Noise,
        spacing: Spacing::Leading { offset: 1 },
    };

    #[test]
    fn the_schedule_and_its_timesteps_are_stable_diffusions() {
        for (k, expected) in [(0, 0.999_149_98), (1, 0.998_296_02), (481, 0.302_295_45), (999, 0.004_660_10)] {
            let alpha_bar = SD.alpha_bar(Some(k));
            assert!((alpha_bar - expected).abs() < 1e-6, "{k}: {alpha_bar}");
        }
        assert_eq!(SD.alpha_bar(None), 1.0);
        let steps = SD.steps(50);
        assert_eq!((steps[0], steps[1], steps[48], steps[49], steps.len()), (981, 961, 21, 1, 50));
        assert_eq!(SD.steps(5000).len(), 1000);
        let trailing = Diffusion { spacing: Spacing::Trailing, ..SD };
        assert_eq!(trailing.steps(4), [999, 749, 499, 249]);
    }

    #[test]
    fn times_of_noise_go_from_clean_to_noise_and_min_snr_bounds_the_clean_ones() {
        let flow = |time| Process::Flow(Flow { time, shift: Shift::None });
        for process in [flow(Time::Clean), flow(Time::Noise), Process::Diffusion(SD)] {
            let noise = [0.0, 0.3, 0.999].map(|s| process.mix(process.time_of_noise(s)).1);
            assert!(noise[0] < 0.05 && noise[0] < noise[1] && noise[1] < noise[2] && noise[2] > 0.99, "{noise:?}");
        }
        for (time, share) in [(100usize, 0.0), (500, 1.0)] {
            let alpha_bar = SD.alpha_bar(Some(time));
            let snr = alpha_bar / (1.0 - alpha_bar);
            let weight = Process::Diffusion(SD).min_snr_weight(time as f32, 5.0);
            let expected = if share == 0.0 { 5.0 / snr } else { 1.0 };
            assert!((snr > 5.0) == (share == 0.0) && (weight - expected).abs() < 1e-12, "{snr} {weight}");
        }
        // SNR = (0.9 / 0.1)² = 81: min(81, 5) / 82.
        let weight = flow(Time::Clean).min_snr_weight(0.9, 5.0);
        assert!((weight - 5.0 / 82.0).abs() < 1e-6, "{weight}");
    }

    #[test]
    fn every_prediction_leads_back_to_what_was_mixed() {
        let tensor = |v: [f32; 4]| Tensor::from_vec(v.to_vec(), (2, 2), &Device::Cpu).unwrap();
        let (clean, noise) = (tensor([1.0, -2.0, 0.5, 3.0]), tensor([0.2, 0.4, -1.0, 0.0]));
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let close = |a: &Tensor, b: &Tensor| flat(a).iter().zip(flat(b)).all(|(a, b)| (a - b).abs() < 1e-5);
        for predicts in [Predicts::Noise, Predicts::Velocity] {
            let d = Diffusion { predicts, ..SD };
            let (process, times) = (Process::Diffusion(d), [300.0, 300.0]);
            let x = process.corrupt(&clean, &noise, &times).unwrap();
            let target = process.target(&clean, &noise, &times).unwrap();
            let [back, eps] = d.clean_and_noise(&x, &target, d.alpha_bar(Some(300))).unwrap();
            assert!(close(&back, &clean) && close(&eps, &noise), "{predicts:?}");
        }
        for (time, at, left) in [(Time::Clean, 0.25, 0.75), (Time::Noise, 0.75, -0.75)] {
            let process = Process::Flow(Flow { time, shift: Shift::None });
            let x = process.corrupt(&clean, &noise, &[at, at]).unwrap();
            // Following the velocity for the remaining time arrives at the clean latent.
            let velocity = process.target(&clean, &noise, &[at, at]).unwrap();
            assert!(close(&(x + (velocity * left).unwrap()).unwrap(), &clean), "{time:?}");
        }
    }
}
