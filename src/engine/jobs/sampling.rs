//! Sampling candidates: what is missing of M seeds for each LR image, saved batch by batch.

use std::time::Instant;

use rayon::prelude::*;

use crate::backbones::card::{self, Card};
use crate::backbones::sampler::Sampler;
use crate::backbones::tiles::Tiling;
use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::failures::Failures;
use crate::engine::models::Model;
use crate::engine::progress::Meter;
use crate::engine::protocol::{Change, Level, Outcome};
use crate::imaging::color_fix::ColorFix;
use crate::imaging::{Image, SCALE, encode};
use crate::method::recipe::{self, Recipe};
use crate::workspace::{CandidateSet, ImageId, ImageRow, MissingSeeds, NewCandidate, NewReference, SamplerKey, hash};
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

/// The sampling a recipe asks for, and the key that tells its candidates from others. Errors: a backbone that is not in this
/// program.
pub fn sampler_of(recipe: &Recipe) -> Result<(Sampling, SamplerKey)> {
    let s = &recipe.sampling;
    let card = card::of(&s.backbone)?;
    let tiling = tiling_of(s);
    let budget_pixels = match s.memory_budget_mib {
        0 => None,
        mib => Some(mib.saturating_mul(1 << 20) / BYTES_PER_PIXEL),
    };
    let sampler = Sampler { solver: s.method, steps: s.steps, tiling };
    Ok((Sampling { sampler, color_fix: s.color_fix, budget_pixels }, key_of(card, s, tiling)?))
}

/// How the recipe has large images cut.
fn tiling_of(s: &recipe::Sampling) -> Tiling {
    match s.tile_px {
        0 => Tiling::default(),
        tile_px => Tiling { tile_px, overlap_px: s.tile_overlap_px },
    }
}

/// Names everything that a candidate's pixels follow from besides weights, LR image and seed: so that no candidate is taken
/// for one that was made otherwise. What the backbone does not use is left out.
fn key_of(card: &Card, s: &recipe::Sampling, tiling: Tiling) -> Result<SamplerKey> {
    let is_used = |key: &str| card.why_unused(key).is_none();
    let mut key = format!("{}/{}", s.method.word(), s.steps);
    if s.color_fix != ColorFix::Off {
        key.push_str(&format!("+{}", s.color_fix.word()));
    }
    if s.tile_px > 0 || tiling != Tiling::default() {
        key.push_str(&format!("+tile{}.{}", tiling.tile_px, tiling.overlap_px));
    }
    if is_used("sampling.guidance") {
        key.push_str(&format!("+g{}", s.guidance));
    }
    if is_used("sampling.negative_prompt") && !s.negative_prompt.is_empty() {
        key.push_str(&format!("+n{:.16}", hash::hash_bytes(s.negative_prompt.as_bytes())));
    }
    if key.len() > SamplerKey::MAX_BYTES {
        key = format!("{}/{}+{:.32}", s.method.word(), s.steps, hash::hash_bytes(key.as_bytes()));
    }
    SamplerKey::new(key)
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
    damage::discard_suspects(context)?;
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
    let lr = damage::read_image(workspace, row, &row.lr_path)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::process::Kind;
    use crate::engine::models::Models;
    use crate::method::fields::{self, Bearing};
    use crate::random::Random;

    /// A backbone that uses every setting there is.
    static ALL: Card = Card { name: "all", process: Kind::Diffusion, unused: &[] };

    fn with(settings: &[(&str, &str)]) -> Recipe {
        let mut recipe = Recipe::default();
        settings.iter().for_each(|(key, value)| recipe.set(key, value).unwrap());
        recipe
    }

    fn key(card: &Card, recipe: &Recipe) -> String {
        key_of(card, &recipe.sampling, tiling_of(&recipe.sampling)).unwrap().to_string()
    }

    #[test]
    fn every_setting_of_sampling_is_part_of_the_candidates_identity_or_changes_no_pixel() {
        // The set of candidates names the weights, and each candidate its seed.
        let named_elsewhere = ["sampling.backbone", "sampling.m", "sampling.first_seed"];
        // Proven below.
        let changes_no_pixel = ["sampling.memory_budget_mib"];
        let base = with(&[("tile", "128")]);
        for field in fields::fields().iter().filter(|field| field.topic() == "sampling") {
            let mut other = base.clone();
            field.assign(&mut other, field.another_value(&base)).unwrap();
            let [of_all, of_mini] = [&ALL, &card::MINI].map(|card| key(card, &base) != key(card, &other));
            if named_elsewhere.contains(&field.key) || changes_no_pixel.contains(&field.key) {
                assert!(!of_all, "{} is named twice", field.key);
                continue;
            }
            assert!(of_all, "{} changes pixels, but not the key", field.key);
            assert_eq!(field.bearing, Bearing::Run, "{}", field.key);
            // The default solver is of mini's process; any other value of an unused setting is refused.
            assert!(of_mini || other.validate().is_err(), "{} is neither in the key nor refused", field.key);
        }
    }

    #[test]
    fn keys_of_earlier_workspaces_stay() {
        for (settings, expected) in [
            (&[][..], "heun/7"),
            (&[("sampling.method", "euler"), ("sampling_steps", "10")], "euler/10"),
            (&[("sampling.colour_fix", "adain")], "heun/7+adain"),
            (&[("sampling.color_fix", "wavelet"), ("tile", "256")], "heun/7+wavelet+tile256.32"),
        ] {
            assert_eq!(sampler_of(&with(settings)).unwrap().1.as_str(), expected);
        }
        let long = with(&[("guidance", "1e-90"), ("sampling.negative_prompt", "blur"), ("tile", "256")]);
        let key = key(&ALL, &long);
        assert!(key.len() <= SamplerKey::MAX_BYTES && key.starts_with("heun/7+"), "{key}");
    }

    #[test]
    fn the_memory_budget_changes_no_pixel() {
        let model = Models::default().reference("mini").unwrap().model;
        let noise = Random::new(3, 3).normal_image(3, 20, 24);
        let lr = Image::new(24, 20, noise.iter().map(|v| (0.5 + 0.2 * v).clamp(0.0, 1.0)).collect()).unwrap();
        let pixels = lr.width() * lr.height() * SCALE * SCALE;
        let draw = |mib: &str| {
            let settings = [("sampling_steps", "2"), ("sampling.memory_budget_mib", mib), ("tile", "64")];
            let (sampling, _) = sampler_of(&with(&settings)).unwrap();
            let at_once = sampling.batch(pixels, || 3 * pixels);
            let seeds = [5, 6, 7];
            let images = seeds.chunks(at_once).flat_map(|seeds| {
                sampling
                    .draw(&model, &lr, seeds, &mut |_, _| Ok(()))
                    .unwrap()
                    .into_iter()
                    .map(|image| image.data().to_vec())
            });
            (at_once, images.collect::<Vec<_>>())
        };
        let ((one, a), (all, b)) = (draw("1"), draw("0"));
        assert_eq!((one, all), (1, 3));
        assert!(a == b, "seeds drawn one by one and together differ");
    }
}
