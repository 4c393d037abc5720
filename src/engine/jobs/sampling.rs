//! Sampling candidates: what is missing of M seeds for each LR image, saved batch by batch.

use std::time::Instant;

use rayon::prelude::*;

use crate::backbones::sampler::{Sampler, Solver};
use crate::backbones::tiles::Tiling;
use crate::engine::context::Context;
use crate::engine::failures::Failures;
use crate::engine::models::Model;
use crate::engine::progress::Meter;
use crate::engine::protocol::{Change, Level, Outcome};
use crate::imaging::color_fix::ColorFix;
use crate::imaging::{Image, SCALE, decode, encode};
use crate::method::recipe::{ColourFix, Method, Recipe};
use crate::workspace::{CandidateSet, ImageId, ImageRow, MissingSeeds, NewCandidate, NewReference, SamplerKey};
use crate::{Error, Result};

/// Activations of the embedded backbone at their peak, per output pixel, as measured while sampling.
const BYTES_PER_PIXEL: usize = 160;

/// How candidates are made: the solver and what is done to its output.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    pub sampler: Sampler,
    pub color_fix: ColorFix,
    /// Pixels that the recipe's memory budget allows at once; `None` without a budget.
    budget_pixels: Option<usize>,
}

impl Sampling {
    /// Seeds to draw at once for an output of this many pixels: what the memory budget allows, without one what is
    /// `fastest` (pixels at once) on the device.
    pub fn batch(&self, pixels: usize, fastest: impl FnOnce() -> usize) -> usize {
        (self.budget_pixels.unwrap_or_else(fastest) / pixels.max(1)).max(1)
    }

    /// The SR images of `seeds`, as they are saved: color-fixed and not yet rounded.
    pub fn draw(
        &self,
        model: &Model,
        lr: &Image,
        seeds: &[u64],
        checkpoint: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<Vec<Image>> {
        let images = self.sampler.sample(model.backbone.as_ref(), &model.params, lr, seeds, checkpoint)?;
        images.into_par_iter().map(|image| self.color_fix.apply(&image, lr)).collect()
    }
}

/// The sampling a recipe asks for, and the key that tells its candidates from others.
pub fn sampler_of(recipe: &Recipe) -> Result<(Sampling, SamplerKey)> {
    let s = &recipe.sampling;
    let solver = match s.method {
        Method::Euler => Solver::Euler,
        Method::Heun => Solver::Heun,
        Method::Ddim => Solver::Ddim,
        Method::Ddpm => Solver::Ddpm,
    };
    let mut key = format!("{}/{}", s.method.word(), s.steps);
    let color_fix = match s.colour_fix {
        ColourFix::None => ColorFix::Off,
        ColourFix::Adain => ColorFix::AdaIn,
        ColourFix::Wavelet => ColorFix::Wavelet,
    };
    match color_fix {
        ColorFix::Off => {}
        ColorFix::AdaIn => key.push_str("+adain"),
        ColorFix::Wavelet => key.push_str("+wavelet"),
    }
    let mut tiling = Tiling::default();
    if s.tile_px > 0 {
        tiling = Tiling { tile_px: s.tile_px, overlap_px: s.tile_overlap_px };
        key.push_str(&format!("+tile{}.{}", s.tile_px, s.tile_overlap_px));
    }
    let budget_pixels = match s.memory_budget_mib {
        0 => None,
        mib => Some(mib.saturating_mul(1 << 20) / BYTES_PER_PIXEL),
    };
    let sampler = Sampler { solver, steps: s.steps, tiling };
    Ok((Sampling { sampler, color_fix, budget_pixels }, SamplerKey::new(key)?))
}

/// The reference model and its candidates under the recipe's sampler.
pub fn reference(context: &mut Context) -> Result<(CandidateSet, Model)> {
    let backbone = context.recipe.sampling.backbone.clone();
    let reference = context.models.reference(&backbone)?;
    let new = NewReference { backbone, weights_hash: reference.weights_hash };
    let checkpoint = context.workspace()?.ledger().ensure_reference(&new)?;
    let (_, sampler) = sampler_of(&context.recipe)?;
    Ok((CandidateSet { checkpoint, sampler }, reference.model))
}

/// Samples what the reference lacks for all images, or for `only` some.
pub fn sample(context: &mut Context, only: Option<&[ImageId]>) -> Result<Outcome> {
    let (set, model) = reference(context)?;
    let recipe = context.recipe.clone();
    let wanted = wanted(context, only)?;
    let (candidates, failed) = fill(context, &set, &model, &recipe, &wanted, "sampling", &mut |_| Ok(()))?;
    Ok(Outcome::Sampled { candidates, failed })
}

/// All images, or `only` some. Errors: there are none.
pub fn wanted(context: &Context, only: Option<&[ImageId]>) -> Result<Vec<ImageRow>> {
    let images: Vec<ImageRow> = context.workspace()?.ledger().images()?;
    let wanted: Vec<ImageRow> = images.into_iter().filter(|i| only.is_none_or(|only| only.contains(&i.id))).collect();
    if wanted.is_empty() {
        return Err(Error::invalid("there are no images; add some first (`dp2o-studio add WS FILE…`)"));
    }
    Ok(wanted)
}

/// Samples what is missing of `set` for `images` and the recipe's seeds; `done` is told of each image. Returns the number
/// of candidates made, and the images that failed: whoever needs every one of them asks [`Failures::check_in`].
pub fn fill(
    context: &Context,
    set: &CandidateSet,
    model: &Model,
    recipe: &Recipe,
    images: &[ImageRow],
    stage: &str,
    done: &mut dyn FnMut(ImageId) -> Result<()>,
) -> Result<(usize, Failures)> {
    let ids: Vec<ImageId> = images.iter().map(|image| image.id).collect();
    let missing = context.workspace()?.ledger().missing_candidates(set, &ids, &recipe.seeds())?;
    let total = missing.iter().map(|m| m.seeds.len()).sum();
    let (sampling, _) = sampler_of(recipe)?;
    let mut meter = Meter::new(stage, "candidates", total);
    context.report(Some(meter.now()));
    let (mut made, mut failed) = (0, Failures::of(images.len()));
    for MissingSeeds { image, seeds } in missing {
        let Some(row) = images.iter().find(|row| row.id == image) else { continue };
        match group(context, set, model, &sampling, row, &seeds, &mut meter) {
            Ok(count) => {
                made += count;
                done(image)?;
            }
            Err(error) if error.ends_job() => return Err(error),
            Err(error) => {
                let cause = format!("{}: not sampled: {error}", row.name);
                context.log(Level::Warning, cause.clone());
                context.advance(&mut meter, seeds.len());
                failed.add(cause);
            }
        }
    }
    Ok((made, failed))
}

/// Samples seeds of one image and saves them, batch by batch.
fn group(
    context: &Context,
    set: &CandidateSet,
    model: &Model,
    sampling: &Sampling,
    row: &ImageRow,
    seeds: &[u64],
    meter: &mut Meter,
) -> Result<usize> {
    let workspace = context.workspace()?;
    let lr = decode::read(workspace.path(&row.lr_path))?;
    let pixels = lr.width() * lr.height() * SCALE * SCALE;
    let at_once = sampling.batch(pixels, || context.models.fastest_pixels(model));
    for batch in seeds.chunks(at_once) {
        let began = Instant::now();
        let images = sampling.draw(model, &lr, batch, &mut |_, _| context.checkpoint())?;
        let seconds = began.elapsed().as_secs_f64() / batch.len() as f64;
        if images.iter().any(|image| image.data().iter().any(|v| !v.is_finite())) {
            return Err(Error::Diverged("the backbone's output is not finite; its weights may be damaged".into()));
        }
        let encoded = images.par_iter().map(encode::png_bytes).collect::<Result<Vec<_>>>()?;
        let candidate = |&seed: &u64| NewCandidate { set: set.clone(), image: row.id, seed, seconds };
        let new: Vec<_> = batch.iter().map(candidate).zip(encoded).collect();
        workspace.save_candidates(&new)?;
        context.advance(meter, batch.len());
        context.changed(Change::Candidates(row.id));
    }
    Ok(seeds.len())
}
