//! Draws candidates: solves the backbone's process from the noise of each seed to a clean image.

use std::path::Path;

use candle_core::Tensor;

use super::Backbone;
use super::field::{Field, StateMemory, Window};
use super::process::{Process, Schedule};
use super::solve::{Solve, Solved, noise};
use super::tiles::{Grid, Tiling};
use crate::imaging::{Image, SCALE};
use crate::nn::params::Params;
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

/// Runs before the network sees a tile, with the number of tiles done and the total over all evaluations; its error stops
/// the sampling.
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
        let memory = StateMemory { bytes: usize::MAX, scratch: Path::new("") };
        self.solve(backbone, params, lr, seeds, memory, checkpoint)?.images()
    }

    /// [`Sampler::sample`] without the images in memory: what a picture takes beyond the tile and `memory` is on disk.
    pub fn solve<'a>(
        &self,
        backbone: &'a dyn Backbone,
        params: &Params,
        lr: &'a Image,
        seeds: &[u64],
        memory: StateMemory,
        checkpoint: Checkpoint,
    ) -> Result<Solved<'a>> {
        if self.steps == 0 || seeds.is_empty() {
            return Err(Error::invalid("sampling needs at least one step and one seed"));
        }
        let grid = self.grid(backbone, lr.width(), lr.height());
        let total = grid.count() * self.evaluations(backbone.process());
        let scratch = (self.state_bytes(&grid, seeds.len()) > memory.bytes).then_some(memory.scratch);
        let mut solve = Solve::new(backbone, params, lr, grid, seeds, scratch, total, checkpoint)?;
        let x = match (backbone.process(), self.solver) {
            (Process::Flow, Solver::Euler | Solver::Heun) => self.flow(&mut solve)?,
            (Process::Diffusion(schedule), Solver::Ddim | Solver::Ddpm) => self.diffusion(&mut solve, schedule)?,
            (process, solver) => return Err(process.kind().refuse(backbone.name(), solver)),
        };
        Ok(solve.solved(x))
    }

    /// Evaluations of the network for one picture.
    pub fn evaluations(&self, process: &Process) -> usize {
        match (process, self.solver) {
            (Process::Diffusion(schedule), _) => self.steps.min(schedule.len()),
            (_, Solver::Heun) => (2 * self.steps).saturating_sub(1),
            _ => self.steps,
        }
    }

    /// The tiles of an LR image's picture.
    pub fn grid(&self, backbone: &dyn Backbone, lr_width: usize, lr_height: usize) -> Grid {
        let align = backbone.align_px();
        self.tiling.grid([lr_height, lr_width].map(|side| (SCALE * side).next_multiple_of(align)), align)
    }

    /// Bytes of a solver's state for `count` pictures.
    pub fn state_bytes(&self, grid: &Grid, count: usize) -> usize {
        // Heun has to remember its first slope.
        let fields = if self.solver == Solver::Heun { 2 } else { 1 };
        [fields, count, 3 * 4, grid.size[0], grid.size[1]].into_iter().fold(1, usize::saturating_mul)
    }

    fn flow(&self, solve: &mut Solve) -> Result<Field> {
        let time = |i: usize| i as f32 / self.steps as f32;
        let dt = 1.0 / self.steps as f64;
        let ahead = |x: Tensor, v: &Tensor| -> Result<Tensor> { Ok((x + (v * dt)?)?) };
        let mut x = solve.noise(START)?;
        let mut slope = if self.solver == Solver::Heun { Some(solve.field()?) } else { None };
        for i in 0..self.steps {
            match &mut slope {
                // The last step of Heun is Euler's: at t = 1 there is nothing left to predict.
                Some(slope) if i + 1 < self.steps => {
                    let state = &mut (&mut x, slope);
                    solve.evaluate(
                        time(i),
                        state,
                        |(x, _), part| x.window(part),
                        |(_, slope), part, v| slope.set_rows(part.rows.clone(), &v),
                    )?;
                    solve.evaluate(
                        time(i + 1),
                        state,
                        |(x, slope), part| ahead(x.window(part)?, &slope.window(part)?),
                        |(x, slope), part, next| {
                            let v = slope.window(part)?;
                            let moved = (x.window(part)? + ((v + next)? * (0.5 * dt))?)?;
                            x.set_rows(part.rows.clone(), &moved)
                        },
                    )?;
                }
                _ => solve.evaluate(
                    time(i),
                    &mut x,
                    |x, part| x.window(part),
                    |x, part, v| x.set_rows(part.rows.clone(), &ahead(x.window(part)?, &v)?),
                )?,
            }
        }
        Ok(x)
    }

    fn diffusion(&self, solve: &mut Solve, schedule: &Schedule) -> Result<Field> {
        let steps = self.steps.min(schedule.len());
        // "Trailing" spacing: the first step is at pure noise (Lin et al., arXiv 2305.08891).
        let timestep = |i: usize| (schedule.len() * (steps - i)).div_ceil(steps) - 1;
        let seeds = solve.seeds();
        let width = solve.width();
        let mut x = solve.noise(START)?;
        for i in 0..steps {
            let next = (i + 1 < steps).then(|| timestep(i + 1));
            let (a, a_next) = (schedule.alpha_bar(Some(timestep(i))), schedule.alpha_bar(next));
            let variance = match self.solver {
                Solver::Ddpm => (1.0 - a_next) / (1.0 - a) * (1.0 - a / a_next),
                _ => 0.0,
            };
            let step = |x: &mut Field, part: &Window, eps: Tensor| {
                let clean = ((x.window(part)? - (&eps * (1.0 - a).sqrt())?)? / a.sqrt())?;
                let mut moved = ((clean * a_next.sqrt())? + (eps * (1.0 - a_next - variance).max(0.0).sqrt())?)?;
                if variance > 0.0 {
                    let noise = noise(seeds, ANCESTRAL + i as u32, &part.rows, width, moved.device())?;
                    moved = (moved + (noise * variance.sqrt())?)?;
                }
                x.set_rows(part.rows.clone(), &moved)
            };
            solve.evaluate(timestep(i) as f32, &mut x, |x, part| x.window(part), step)?;
        }
        Ok(x)
    }
}

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
