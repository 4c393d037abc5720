//! Sampling candidates: what is missing of M seeds for each LR image, saved batch by batch.

use std::time::Instant;

use rayon::prelude::*;

use crate::backbones::card::Card;
use crate::backbones::condition::{Condition, Prompt};
use crate::backbones::field::StateMemory;
use crate::backbones::registry;
use crate::backbones::sampler::Sampler;
use crate::backbones::tiles::Tiling;
use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::failures::Failures;
use crate::engine::memory_plan::{self, Budget, Plan};
use crate::engine::models::Model;
use crate::engine::progress::Meter;
use crate::engine::protocol::{Change, Level, Outcome};
use crate::fs::hash;
use crate::imaging::color_fix::{ColorFix, Fixed};
use crate::imaging::quantize::Rgb8;
use crate::imaging::rows::Rows;
use crate::imaging::{Image, decode, encode};
use crate::method::recipe::{self, Recipe};
use crate::workspace::{
    CandidateId, CandidateSet, ImageId, ImageRow, MissingSeeds, NewCandidate, NewReference, SamplerKey,
};
use crate::{Error, Result};

/// How candidates are made: the solver and what is done to its output.
#[derive(Clone, Debug)]
pub struct Sampling {
    pub sampler: Sampler,
    pub color_fix: ColorFix,
    settings: recipe::Sampling,
}

/// An SR picture as it is saved: color-fixed and not yet rounded.
pub type Drawn<'m> = Box<dyn Rows + 'm>;

impl Sampling {
    /// How the picture of an LR image of this size is drawn: at the batch size that is `fastest` on the device (pixels at
    /// once), within the recipe's memory budget or what is free. Errors: not even one tile fits.
    pub fn plan(&self, model: &Model, lr_size: (usize, usize), fastest: impl FnOnce() -> usize) -> Result<Plan> {
        let budget = Budget::of(&self.settings, model.params.device().is_cpu());
        budget.plan(&self.sampler, model.backbone.as_ref(), lr_size, fastest)
    }

    /// The SR pictures of `seeds`. Large ones are computed as their rows are asked for, from a state that `memory` has.
    pub fn draw<'m>(
        &self,
        model: &'m Model,
        condition: &'m Condition<'m>,
        seeds: &[u64],
        memory: StateMemory,
        checkpoint: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<Vec<Drawn<'m>>> {
        let solved =
            self.sampler.solve(model.backbone.as_ref(), &model.params, condition, seeds, memory, checkpoint)?;
        let lr = condition.lr();
        if solved.is_whole() {
            let fix = |image: Image| Ok(Box::new(self.color_fix.apply(&image, lr)?) as Drawn);
            return solved.images()?.into_par_iter().map(fix).collect();
        }
        let fix = |picture| Ok(Box::new(Fixed::new(self.color_fix, picture, lr)?) as Drawn);
        solved.pictures().into_iter().map(fix).collect()
    }
}

/// The sampling a recipe asks for, and the key that tells its candidates from others. Errors: a backbone that is not in this
/// program.
pub fn sampler_of(recipe: &Recipe) -> Result<(Sampling, SamplerKey)> {
    let s = &recipe.sampling;
    let card = registry::card_of(&s.backbone)?;
    let tiling = memory_plan::tiling(s);
    let sampler = Sampler { solver: s.method, steps: s.steps, tiling };
    Ok((Sampling { sampler, color_fix: s.color_fix, settings: s.clone() }, key_of(card, s, tiling)?))
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
    let (candidates, failed) = fill(context, &set, &model, &recipe, &wanted, "sampling", None)?;
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

/// A candidate just made, with its pixels as they were saved: whoever scores it need not read it.
pub type Fresh = (CandidateId, Rgb8);

/// Who is told of each image that is done, and given its new candidates, as far as they are not too many to keep.
pub type Done<'d> = &'d mut dyn FnMut(ImageId, Vec<Fresh>) -> Result<()>;

/// Samples what is missing of `set` for `images` and the recipe's seeds. Returns the number of candidates made, and the
/// images that failed: whoever needs every one of them asks [`Failures::check_in`].
pub fn fill(
    context: &Context,
    set: &CandidateSet,
    model: &Model,
    recipe: &Recipe,
    images: &[ImageRow],
    stage: &str,
    mut done: Option<Done>,
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
        let mut fresh = done.is_some().then(Vec::new);
        match group(context, set, model, &sampling, row, &seeds, &mut meter, fresh.as_mut()) {
            Ok(count) => {
                made += count;
                if let Some(done) = &mut done {
                    done(image, fresh.unwrap_or_default())?;
                }
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

/// Pixels of new candidates that are kept for scoring, in bytes; those beyond are read back.
const KEPT_BYTES: usize = 256 << 20;

/// Samples seeds of one image and saves them, batch by batch; they are put into `fresh`, if somebody wants them.
#[allow(clippy::too_many_arguments)]
fn group(
    context: &Context,
    set: &CandidateSet,
    model: &Model,
    sampling: &Sampling,
    row: &ImageRow,
    seeds: &[u64],
    meter: &mut Meter,
    mut fresh: Option<&mut Vec<Fresh>>,
) -> Result<usize> {
    let mut room = KEPT_BYTES;
    let workspace = context.workspace()?;
    let lr = damage::read_image(workspace, row, &row.lr_path)?;
    decode::check_x4(lr.width(), lr.height())?;
    let plan = sampling.plan(model, (lr.width(), lr.height()), || context.models.fastest_pixels(model))?;
    let memory = StateMemory { bytes: plan.state_bytes, scratch: workspace.root() };
    let condition = model.backbone.condition(&lr, &Prompt::default())?;
    for batch in seeds.chunks(plan.at_once) {
        let began = Instant::now();
        let pictures = sampling.draw(model, &condition, batch, memory, &mut |_, _| context.checkpoint())?;
        let encoded = pictures.par_iter().map(|picture| encode::png_and_pixels(picture.as_ref()));
        let (encoded, pixels): (Vec<_>, Vec<_>) = encoded.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let seconds = began.elapsed().as_secs_f64() / batch.len() as f64;
        let candidate = |&seed: &u64| NewCandidate { set: set.clone(), image: row.id, seed, seconds };
        let new: Vec<_> = batch.iter().map(candidate).zip(encoded).collect();
        let ids = workspace.save_candidates(&new)?;
        if let Some(fresh) = fresh.as_deref_mut() {
            let fits = |(_, pixels): &Fresh| {
                let rest = room.checked_sub(pixels.bytes.len());
                room = rest.unwrap_or(room);
                rest.is_some()
            };
            fresh.extend(ids.into_iter().zip(pixels).filter(fits));
        }
        context.advance(meter, batch.len());
        context.changed(Change::Candidates(row.id));
    }
    Ok(seeds.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::card::Guidance;
    use crate::backbones::mini;
    use crate::engine::models::Models;
    use crate::method::fields::{self, Bearing};
    use crate::random::Random;

    /// A backbone that uses every setting there is.
    static ALL: Card =
        Card { name: "all", guidance: Guidance::ClassifierFree, prompt: true, unused: &[], ..mini::CARD };

    fn with(settings: &[(&str, &str)]) -> Recipe {
        let mut recipe = Recipe::default();
        settings.iter().for_each(|(key, value)| recipe.set(key, value).unwrap());
        recipe
    }

    fn key(card: &Card, recipe: &Recipe) -> String {
        key_of(card, &recipe.sampling, memory_plan::tiling(&recipe.sampling)).unwrap().to_string()
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
            let [of_all, of_mini] = [&ALL, &mini::CARD].map(|card| key(card, &base) != key(card, &other));
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
            (&[("sampling.memory_budget_mib", "4096")], "heun/7"),
            // Not enough for the default tile of 512 px.
            (&[("sampling.memory_budget_mib", "64")], "heun/7+tile320.64"),
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
        let (pixels, scratch) = (16 * lr.width() * lr.height(), tempfile::tempdir().unwrap());
        let condition = model.backbone.condition(&lr, &Prompt::default()).unwrap();
        let draw = |mib: &str| {
            let settings = [("sampling_steps", "2"), ("sampling.memory_budget_mib", mib), ("tile", "64")];
            let (sampling, _) = sampler_of(&with(&settings)).unwrap();
            let plan = sampling.plan(&model, (lr.width(), lr.height()), || 3 * pixels).unwrap();
            let memory = StateMemory { bytes: plan.state_bytes, scratch: scratch.path() };
            let images = [5, 6, 7].chunks(plan.at_once).flat_map(|seeds| {
                let drawn = sampling.draw(&model, &condition, seeds, memory, &mut |_, _| Ok(())).unwrap();
                drawn.iter().map(|picture| picture.whole().unwrap()).collect::<Vec<_>>()
            });
            (plan.at_once, images.collect::<Vec<_>>())
        };
        let ((one, a), (all, b)) = (draw("2"), draw("0"));
        assert_eq!((one, all), (1, 3));
        assert!(a == b, "seeds drawn one by one and together differ");
    }
}
