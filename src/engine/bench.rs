//! What the device does with a model: batch sizes, a sampling pass, and a training step with its memory, planned and measured.

use std::time::Instant;

use super::batch;
use super::devices::SharedDevice;
use super::memory_plan;
use super::models::Models;
use super::plan::Sampling;
use crate::Result;
use crate::backbones::card::Memory;
use crate::backbones::condition::Prompt;
use crate::backbones::field::StateMemory;
use crate::backbones::products::Products;
use crate::backbones::{Pass, registry};
use crate::imaging::{Image, SCALE, resize};
use crate::memory;
use crate::method::recipe::{Activations, Recipe};
use crate::method::trainer::{PairImages, Pairs, Trainer};
use crate::random::Random;
use crate::weights::Store;

/// Training steps measured, after one that is not; of a large network one, which takes minutes.
const STEPS: usize = 5;

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Bench {
    pub device: String,
    /// Images of 128×128 at once, and the seconds one evaluation takes for each of them; not of large networks.
    pub batches: Vec<(usize, f64)>,
    /// Seconds a candidate takes.
    pub candidate_secs: f64,
    /// With activations kept, then recomputed.
    pub steps: [StepBench; 2],
}

/// A training step, measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepBench {
    /// Median.
    pub seconds: f64,
    /// Memory that the step took on top of weights and optimizer; `None` where it cannot be told, as on a GPU.
    pub peak_bytes: Option<usize>,
    /// Pairs through the network at once: fewer than the recipe's where the plan is more than is free.
    pub at_once: usize,
}

/// Bytes that the pairs of a step are planned to take in the network, with activations kept, then recomputed, and what the step reads
/// of weights that it had let go of: known of every backbone before its weights are there. Errors: the recipe's backbone is not in
/// this program.
pub fn plan(recipe: &Recipe, device: &SharedDevice) -> Result<[usize; 2]> {
    let (card, side) = (registry::card_of(&recipe.sampling.backbone)?, side_of(recipe));
    let pictures = 2 * recipe.training.batch_pairs;
    let Memory { network, around, passing: (_, passing), let_go, trained, .. } = card.memory;
    let width = if recipe.sampling.precision.here() == Products::Bf16 { 2 } else { 4 };
    let read = match let_go {
        // Before there are gradients, which then take its place.
        1.. if device.is_cpu() => (width * (network + around - passing - let_go)).max(4 * trained),
        _ => 0,
    };
    let pass = |pass| (card.memory.picture)([side; 2], pass).saturating_mul(pictures).saturating_add(read);
    Ok([Pass::Keep, Pass::Recompute].map(pass))
}

/// Side of the pictures measured with.
pub fn side_of(recipe: &Recipe) -> usize {
    let align = registry::card_of(&recipe.sampling.backbone).map_or(SCALE, |card| card.latent.align.max(SCALE));
    (recipe.data.crop_px / align).max(1) * align
}

/// Measures a recipe's backbone on a device, at its crop size, number of seeds, steps and batch.
pub fn bench(recipe: &Recipe, device: SharedDevice) -> Result<Bench> {
    let mut models = Models::on(device, Store::of_machine(&[], false));
    let model = models.reference(&recipe.sampling.backbone, recipe.sampling.precision)?.model;
    let side = side_of(recipe);
    let picture = |seed: u64| {
        let noise = Random::new(seed, 3).normal_image(3, side, side);
        Image::new(side, side, noise.iter().map(|v| (0.5 + 0.1 * v).clamp(0.0, 1.0)).collect())
    };
    let sampling = Sampling::of(recipe)?;
    let seeds = recipe.seeds();
    let lr = resize::shrink_x4(&picture(0)?)?;
    let plan = sampling.plan(&model, (lr.width(), lr.height()), || models.fastest_pixels(&model))?;
    let at_once = plan.at_once.min(seeds.len());
    let scratch = std::env::temp_dir();
    let memory = StateMemory { bytes: plan.state_bytes, scratch: &scratch };
    let began = Instant::now();
    let condition = model.backbone.condition(&lr, &Prompt::default())?;
    sampling.draw(&model, &condition, &seeds[..at_once], memory, &mut |_, _| Ok(()))?;
    let candidate_secs = began.elapsed().as_secs_f64() / at_once as f64;

    let pair = |i: u64| -> Result<PairImages> {
        let (winner, loser) = (picture(2 * i)?, picture(2 * i + 1)?);
        Ok(PairImages { lr: resize::shrink_x4(&winner)?, winner, loser, prompt: Prompt::default() })
    };
    let mut pairs = InMemory((0..recipe.training.batch_pairs as u64).map(pair).collect::<Result<_>>()?);
    let mut step = |activations| -> Result<StepBench> {
        let mut settings = recipe.training.clone();
        (settings.activations, settings.accumulation) = (activations, 1);
        let (backbone, device) = (model.backbone.as_ref(), model.params.device());
        let doubt = memory_plan::doubt_of_step(&settings, backbone, (device, 1), [side; 2]);
        let at_once = doubt.map_or(settings.batch_pairs, |doubt| doubt.at_once);
        let mut trainer = Trainer::new(backbone, &model.params, &model.params, settings, pairs.len())?;
        trainer = trainer.told(sampling.told()).at_once(at_once);
        let is_large = batch::is_large(&model);
        if !is_large {
            trainer.step(&mut pairs, &mut |_| Ok(()))?;
        }
        let (mut seconds, mut peak_bytes) = (Vec::new(), None);
        for _ in 0..if is_large { 1 } else { STEPS } {
            // What a step reads again is its own.
            model.backbone.let_go();
            model.params.let_go(|_| true);
            let began = Instant::now();
            let (result, peak) = memory::peak_of(|| trainer.step(&mut pairs, &mut |_| Ok(())));
            result?;
            seconds.push(began.elapsed().as_secs_f64());
            peak_bytes = peak.filter(|_| model.params.device().is_cpu());
        }
        seconds.sort_by(f64::total_cmp);
        Ok(StepBench { seconds: seconds[seconds.len() / 2], peak_bytes, at_once })
    };
    let steps = [step(Activations::Keep)?, step(Activations::Recompute)?];
    let batches = if batch::is_large(&model) { Vec::new() } else { batch::measured(&model) };
    Ok(Bench { device: models.device_name(), batches, candidate_secs, steps })
}

struct InMemory(Vec<PairImages>);

impl Pairs for InMemory {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn weight(&self, _: usize) -> f64 {
        1.0
    }

    fn load(&mut self, pair: usize) -> Result<PairImages> {
        Ok(self.0[pair].clone())
    }
}
