//! Draws candidates: solves the backbone's process from the noise of each seed to a clean image.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::Backbone;
use super::card::Card;
use super::condition::Condition;
use super::field::{Field, StateMemory, Window};
use super::guidance::Guided;
use super::process::{Diffusion, Flow, FlowStep, Process};
use super::solve::{Checkpoint, Solve, Solved, Source};
pub use super::solver::Solver;
use super::tiles::{Grid, Tiling};
use crate::imaging::{Image, SCALE};
use crate::nn::params::Params;
use crate::{Error, Result};

/// Stream of [`Random`] the starting noise comes from.
const START: u32 = 0;
/// Stream of the noise that what a network is shown is drawn with.
pub(super) const CONTROL: u32 = 1 << 17;
/// Stream of the noise that DDPM adds at its first step; each further step has the next one.
const ANCESTRAL: u32 = 1 << 16;

/// Solver, number of steps, how large images are cut, and how far a prediction is led towards its prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    pub solver: Solver,
    pub steps: usize,
    pub tiling: Tiling,
    /// The scale; backbones without guidance do not use it.
    pub guidance: f64,
}

impl Sampler {
    /// The SR images under a condition for some seeds, one batch, unclamped; sides are four times the LR image's. The image
    /// of a seed does not depend on the other seeds of the batch.
    pub fn sample(
        &self,
        backbone: &dyn Backbone,
        params: &Params,
        condition: &Condition,
        seeds: &[u64],
        checkpoint: Checkpoint,
    ) -> Result<Vec<Image>> {
        let memory = StateMemory { bytes: usize::MAX, scratch: Path::new("") };
        self.solve(backbone, params, condition, seeds, memory, checkpoint)?.images()
    }

    /// [`Sampler::sample`] without the images in memory: what a picture takes beyond the tile and `memory` is on disk.
    pub fn solve<'a>(
        &self,
        backbone: &'a dyn Backbone,
        params: &Params,
        condition: &'a Condition<'a>,
        seeds: &[u64],
        memory: StateMemory,
        checkpoint: Checkpoint,
    ) -> Result<Solved<'a>> {
        if self.steps == 0 || seeds.is_empty() {
            return Err(Error::invalid("sampling needs at least one step and one seed"));
        }
        let card = backbone.card();
        if let Some(refusal) = card.why_unsolved_by(self.solver) {
            return Err(refusal);
        }
        let grid = self.tiling.grid(condition.size(), &card.latent);
        let total = grid.count() * self.evaluations(&card.process);
        let scratch = (self.state_bytes(&grid, seeds.len()) > memory.bytes).then_some(memory.scratch);
        let mut solve =
            Solve::new(backbone, params, condition, (grid, self.guided(card)), seeds, scratch, total, checkpoint)?;
        let x = match (&card.process, self.solver) {
            (Process::Flow(flow), Solver::Euler | Solver::Heun) => self.flow(&mut solve, flow)?,
            (Process::Diffusion(diffusion), Solver::Ddim | Solver::Ddpm) => self.diffusion(&mut solve, diffusion)?,
            _ => return Err(card.refuse(self.solver)),
        };
        Ok(solve.solved(x))
    }

    /// How predictions are guided.
    pub fn guided(&self, card: &Card) -> Guided {
        Guided::by(card, self.guidance)
    }

    /// Evaluations of the network for one picture.
    pub fn evaluations(&self, process: &Process) -> usize {
        match (process, self.solver) {
            (Process::Diffusion(diffusion), _) => self.steps.min(diffusion.timesteps),
            (_, Solver::Heun) => (2 * self.steps).saturating_sub(1),
            _ => self.steps,
        }
    }

    /// The tiles of an LR image's picture.
    pub fn grid(&self, backbone: &dyn Backbone, lr_width: usize, lr_height: usize) -> Grid {
        let latent = &backbone.card().latent;
        self.tiling.grid(latent.size([lr_height, lr_width].map(|side| SCALE * side)), latent)
    }

    /// Bytes of a solver's state for `count` pictures.
    pub fn state_bytes(&self, grid: &Grid, count: usize) -> usize {
        // Heun has to remember its first slope.
        let fields = if self.solver == Solver::Heun { 2 } else { 1 };
        [fields, count, 4 * grid.latent.channels, grid.size[0], grid.size[1]].into_iter().fold(1, usize::saturating_mul)
    }

    /// The noise that it draws for a seed and a picture of this height and width in pixels, by name, `[1, C, h, w]` each: `start`,
    /// what an ancestral solver adds at each step, `step.000` and so on, the last of which counts for nothing, and `control`, which what
    /// the network is shown is drawn with.
    pub fn noise_of(&self, card: &Card, seed: u64, px: [usize; 2]) -> Result<Vec<(String, Tensor)>> {
        if let Some(refusal) = card.why_unsolved_by(self.solver) {
            return Err(refusal);
        }
        let [height, width] = card.latent.size(px);
        let noise = |stream: u32, channels: usize| -> Result<Tensor> {
            Source { seeds: &[seed], channels, width }.rows(stream, &(0..height), &Device::Cpu)
        };
        let drawn = |stream: u32| noise(stream, card.latent.channels);
        let mut all = vec![("start".to_owned(), drawn(START)?)];
        if card.control_noise > 0 {
            all.push(("control".to_owned(), noise(CONTROL, card.control_noise)?));
        }
        if self.solver == Solver::Ddpm {
            for i in 0..self.evaluations(&card.process) {
                all.push((format!("step.{i:03}"), drawn(ANCESTRAL + i as u32)?));
            }
        }
        Ok(all)
    }

    fn flow(&self, solve: &mut Solve, flow: &Flow) -> Result<Field> {
        let steps = flow.steps(self.steps, solve.tile());
        let ahead = |x: Tensor, v: &Tensor, by: f64| -> Result<Tensor> { Ok((x + (v * by)?)?) };
        let mut x = solve.noise(START)?;
        let mut slope = if self.solver == Solver::Heun { Some(solve.field()?) } else { None };
        for (i, &FlowStep { time, length }) in steps.iter().enumerate() {
            match (&mut slope, steps.get(i + 1)) {
                // The last step of Heun is Euler's: at the clean end there is nothing left to predict.
                (Some(slope), Some(next)) => {
                    let state = &mut (&mut x, slope);
                    solve.evaluate(
                        time,
                        state,
                        |(x, _), part| x.window(part),
                        |(_, slope), part, v| slope.set_rows(part.rows.clone(), &v),
                    )?;
                    solve.evaluate(
                        next.time,
                        state,
                        |(x, slope), part| ahead(x.window(part)?, &slope.window(part)?, length),
                        |(x, slope), part, next| {
                            let v = slope.window(part)?;
                            let moved = (x.window(part)? + ((v + next)? * (0.5 * length))?)?;
                            x.set_rows(part.rows.clone(), &moved)
                        },
                    )?;
                }
                _ => solve.evaluate(
                    time,
                    &mut x,
                    |x, part| x.window(part),
                    |x, part, v| x.set_rows(part.rows.clone(), &ahead(x.window(part)?, &v, length)?),
                )?,
            }
        }
        Ok(x)
    }

    fn diffusion(&self, solve: &mut Solve, diffusion: &Diffusion) -> Result<Field> {
        let (steps, source) = (diffusion.steps(self.steps), solve.source());
        let mut x = solve.noise(START)?;
        for (i, &timestep) in steps.iter().enumerate() {
            // After the last step there is no noise left.
            let next = steps.get(i + 1).copied();
            let (a, a_next) = (diffusion.alpha_bar(Some(timestep)), diffusion.alpha_bar(next));
            let variance = match self.solver {
                Solver::Ddpm => (1.0 - a_next) / (1.0 - a) * (1.0 - a / a_next),
                _ => 0.0,
            };
            let step = |x: &mut Field, part: &Window, prediction: Tensor| {
                let [clean, noise] = diffusion.clean_and_noise(&x.window(part)?, &prediction, a)?;
                let mut moved = ((clean * a_next.sqrt())? + (noise * (1.0 - a_next - variance).max(0.0).sqrt())?)?;
                if variance > 0.0 {
                    let fresh = source.rows(ANCESTRAL + i as u32, &part.rows, moved.device())?;
                    moved = (moved + (fresh * variance.sqrt())?)?;
                }
                x.set_rows(part.rows.clone(), &moved)
            };
            solve.evaluate(timestep as f32, &mut x, |x, part| x.window(part), step)?;
        }
        Ok(x)
    }
}

/// The noise that the picture of a seed is drawn from, `[1, C, h, w]`: a larger picture's begins with the same values.
pub fn start_noise(seed: u64, [channels, height, width]: [usize; 3]) -> Result<Tensor> {
    Source { seeds: &[seed], channels, width }.rows(START, &(0..height), &Device::Cpu)
}

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
