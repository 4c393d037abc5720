//! Draws candidates: solves the backbone's process from the noise of each seed to a clean image.

use candle_core::Tensor;

use super::Backbone;
use super::process::{Process, Schedule};
use super::tiles::{self, Tiling};
use crate::imaging::{Image, resize};
use crate::nn::params::Params;
use crate::random::Random;
use crate::words::words;
use crate::{Error, Result};

/// Stream of [`Random`] the starting noise comes from.
const START: u32 = 0;
/// Stream of the noise that DDPM adds at its first step; each further step has the next one.
const ANCESTRAL: u32 = 1 << 16;

words! {
    /// How the process is solved.
    pub enum Solver {
        /// First order, one evaluation a step (flow).
        Euler = "euler",
        /// Second order, two evaluations a step but one for the last (flow).
        Heun = "heun",
        /// Deterministic diffusion (Song et al., arXiv 2010.02502, η = 0).
        Ddim = "ddim",
        /// Ancestral diffusion (the same with η = 1; over all timesteps that of Ho et al., arXiv 2006.11239).
        Ddpm = "ddpm",
    }
}

/// Solver, number of steps, and how large images are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    pub solver: Solver,
    pub steps: usize,
    pub tiling: Tiling,
}

/// Runs before each evaluation of the network with the number done and the total; its error stops the sampling.
pub type Checkpoint<'c> = &'c mut dyn FnMut(usize, usize) -> Result<()>;

impl Sampler {
    /// The SR images of an LR image for some seeds, one batch, unclamped; sides are four times the LR image's. The image of
    /// a seed does not depend on the other seeds of the batch.
    pub fn sample(
        &self,
        backbone: &dyn Backbone,
        params: &Params,
        lr: &Image,
        seeds: &[u64],
        checkpoint: Checkpoint,
    ) -> Result<Vec<Image>> {
        if self.steps == 0 || seeds.is_empty() {
            return Err(Error::invalid("sampling needs at least one step and one seed"));
        }
        let enlarged = resize::enlarge_x4(lr)?;
        let (width, height) = (enlarged.width(), enlarged.height());
        let condition = Condition::new(&enlarged, backbone.align_px(), seeds.len(), params)?;
        let [_, _, h, w] = condition.shape;
        let noise: Vec<f32> = seeds.iter().flat_map(|&s| Random::new(s, START).normal_image(3, h, w)).collect();
        let x = Tensor::from_vec(noise, condition.shape.as_slice(), params.device())?;
        let clean = match (backbone.process(), self.solver) {
            (Process::Flow, Solver::Euler | Solver::Heun) => {
                self.flow(backbone, params, x, &condition.tensor, checkpoint)?
            }
            (Process::Diffusion(schedule), Solver::Ddim | Solver::Ddpm) => {
                self.diffusion(backbone, params, schedule, x, &condition.tensor, seeds, checkpoint)?
            }
            (process, solver) => return Err(process.kind().refuse(backbone.name(), solver)),
        };
        let images = backbone.decode(&clean, &condition.tensor)?;
        let images = images.narrow(2, 0, height)?.narrow(3, 0, width)?.contiguous()?;
        (0..seeds.len())
            .map(|i| Image::new(width, height, images.get(i)?.flatten_all()?.to_vec1()?))
            .collect::<Result<Vec<_>>>()
    }

    fn predict(
        &self,
        backbone: &dyn Backbone,
        params: &Params,
        x: &Tensor,
        time: f32,
        condition: &Tensor,
    ) -> Result<Tensor> {
        tiles::predict(backbone, params, self.tiling, x, &vec![time; x.dim(0)?], condition)
    }

    fn flow(
        &self,
        backbone: &dyn Backbone,
        params: &Params,
        mut x: Tensor,
        condition: &Tensor,
        checkpoint: Checkpoint,
    ) -> Result<Tensor> {
        let time = |i: usize| i as f32 / self.steps as f32;
        let heun = self.solver == Solver::Heun;
        let total = if heun { 2 * self.steps - 1 } else { self.steps };
        let dt = 1.0 / self.steps as f64;
        for i in 0..self.steps {
            checkpoint(if heun { 2 * i } else { i }, total)?;
            let v = self.predict(backbone, params, &x, time(i), condition)?;
            let ahead = (&x + (&v * dt)?)?;
            // The last step of Heun is Euler's: at t = 1 there is nothing left to predict.
            x = if heun && i + 1 < self.steps {
                checkpoint(2 * i + 1, total)?;
                let next = self.predict(backbone, params, &ahead, time(i + 1), condition)?;
                (x + ((v + next)? * (0.5 * dt))?)?
            } else {
                ahead
            };
        }
        Ok(x)
    }

    #[allow(clippy::too_many_arguments)]
    fn diffusion(
        &self,
        backbone: &dyn Backbone,
        params: &Params,
        schedule: &Schedule,
        mut x: Tensor,
        condition: &Tensor,
        seeds: &[u64],
        checkpoint: Checkpoint,
    ) -> Result<Tensor> {
        let steps = self.steps.min(schedule.len());
        // "Trailing" spacing: the first step is at pure noise (Lin et al., arXiv 2305.08891).
        let timestep = |i: usize| (schedule.len() * (steps - i)).div_ceil(steps) - 1;
        let (_, channels, height, width) = x.dims4()?;
        for i in 0..steps {
            checkpoint(i, steps)?;
            let next = (i + 1 < steps).then(|| timestep(i + 1));
            let (a, a_next) = (schedule.alpha_bar(Some(timestep(i))), schedule.alpha_bar(next));
            let eps = self.predict(backbone, params, &x, timestep(i) as f32, condition)?;
            let clean = ((&x - (&eps * (1.0 - a).sqrt())?)? / a.sqrt())?;
            let variance = match self.solver {
                Solver::Ddpm => (1.0 - a_next) / (1.0 - a) * (1.0 - a / a_next),
                _ => 0.0,
            };
            x = ((clean * a_next.sqrt())? + (eps * (1.0 - a_next - variance).max(0.0).sqrt())?)?;
            if variance > 0.0 {
                let stream = ANCESTRAL + i as u32;
                let noise: Vec<f32> =
                    seeds.iter().flat_map(|&s| Random::new(s, stream).normal_image(channels, height, width)).collect();
                let noise = Tensor::from_vec(noise, x.shape(), x.device())?;
                x = (x + (noise * variance.sqrt())?)?;
            }
        }
        Ok(x)
    }
}

/// The enlarged LR image, padded to the backbone's alignment by mirroring and repeated for every seed.
struct Condition {
    tensor: Tensor,
    shape: [usize; 4],
}

impl Condition {
    fn new(enlarged: &Image, align: usize, count: usize, params: &Params) -> Result<Self> {
        let (width, height) = (enlarged.width(), enlarged.height());
        let (w, h) = (width.next_multiple_of(align), height.next_multiple_of(align));
        let mirror = |i: usize, n: usize| match i % (2 * n) {
            i if i < n => i,
            i => 2 * n - 1 - i,
        };
        let mut values = Vec::with_capacity(3 * h * w);
        for c in 0..3 {
            let plane = enlarged.plane(c);
            for y in 0..h {
                let row = &plane[mirror(y, height) * width..][..width];
                values.extend((0..w).map(|x| row[mirror(x, width)].clamp(0.0, 1.0)));
            }
        }
        let shape = [count, 3, h, w];
        let one = Tensor::from_vec(values, (1, 3, h, w), params.device())?;
        Ok(Self { tensor: one.broadcast_as(shape.as_slice())?.contiguous()?, shape })
    }
}
