//! Sampling candidates: what is missing of M seeds for each LR image, saved batch by batch. Images are shared by the devices.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rayon::prelude::*;

use super::saving::{Batch, Done, Made, Saving, Unit, What};
use crate::backbones::field::StateMemory;
use crate::backbones::stored;
use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::devices;
use crate::engine::failures::Failures;
use crate::engine::model::Model;
use crate::engine::plan::Sampling;
use crate::engine::progress::Meter;
use crate::engine::protocol::{Level, Outcome};
use crate::engine::voice::Voice;
use crate::imaging::{decode, encode};
use crate::method::recipe::Recipe;
use crate::nn::workers::{self, Give};
use crate::workspace::{CandidateSet, ImageId, ImageRow, MissingSeeds};
use crate::{Error, Result};

/// Samples what the reference lacks for all images, or for `only` some.
pub fn sample(context: &mut Context, only: Option<&[ImageId]>) -> Result<Outcome> {
    let (set, model) = context.reference("nothing more can be sampled")?;
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

/// Says which of the images that are about to be sampled say nothing to a network that reads prompts.
fn say_unprompted(context: &Context, model: &Model, images: &[ImageRow], missing: &[MissingSeeds]) {
    let is_missing = |row: &&ImageRow| missing.iter().any(|m| m.image == row.id && !m.seeds.is_empty());
    let empty = images.iter().filter(is_missing).filter(|row| row.prompt.is_empty()).count();
    if empty > 0 && model.backbone.card().prompt {
        let text = format!(
            "{empty} of the images have no prompt and are sampled without one; the paper's are tags, which `tag` writes, or type \
             them (`prompt`)"
        );
        context.log(Level::Info, text);
    }
}

/// Samples what is missing of `set` for `images` and the recipe's seeds. Returns the number of candidates made, and the
/// images that failed: whoever needs every one of them asks [`Failures::check_in`].
pub fn fill(
    context: &Context,
    set: &CandidateSet,
    model: &Model,
    recipe: &Recipe,
    images: &[ImageRow],
    stage: &str,
    done: Option<Done>,
) -> Result<(usize, Failures)> {
    damage::discard_suspects(context)?;
    let ids: Vec<ImageId> = images.iter().map(|image| image.id).collect();
    let missing = context.workspace()?.ledger().missing_candidates(set, &ids, &recipe.seeds())?;
    let total = missing.iter().map(|m| m.seeds.len()).sum();
    say_unprompted(context, model, images, &missing);
    let sampling = Sampling::of(recipe)?;
    if total == 0 {
        context.report(Some(Meter::new(stage, "candidates", total).now()));
        return Ok((0, Failures::of(images.len())));
    }
    let (on, models) = (context.models.workers(), context.models.of_each(model)?);
    let prompted = images.iter().filter(|row| missing.iter().any(|m| m.image == row.id && !m.seeds.is_empty()));
    let prompts: Vec<_> = prompted.map(|row| sampling.prompt(&row.prompt)).collect();
    for (index, model) in models.iter().enumerate() {
        // Those that compute in one memory are one.
        if !models[..index].iter().any(|known| Arc::ptr_eq(&known.backbone, &model.backbone)) {
            context.prepare(model.backbone.as_ref(), &prompts)?;
        }
    }
    let meter = Meter::new(stage, "candidates", total);
    context.report(Some(meter.now()));
    let work = Work {
        voice: context.voice.clone(),
        root: context.workspace()?.root().to_owned(),
        models,
        sampling: &sampling,
        fastest: context.models.fastest_pixels(model),
        sharing: devices::sharing(on),
        keeps_pixels: done.is_some(),
        batches: Batches::default(),
    };
    let units = units_of(images, &missing, on.len());
    let mut saving = Saving::new(context, set, &units, (meter, done, Failures::of(images.len())));
    let mut left = units.iter();
    workers::share(
        on,
        &mut || Ok(left.next().into()),
        &|worker, unit, give| work.unit(worker, unit, give),
        &mut |made| saving.take(made),
    )?;
    Ok((saving.made, saving.failed))
}

/// The missing seeds of each image; where there are fewer images than devices, in parts.
fn units_of<'r>(images: &'r [ImageRow], missing: &'r [MissingSeeds], devices: usize) -> Vec<Unit<'r>> {
    let of_image = |one: &'r MissingSeeds| {
        let row = images.iter().find(|row| row.id == one.image);
        let each = seeds_each(one.seeds.len(), missing.len(), devices);
        row.into_iter().flat_map(move |row| one.seeds.chunks(each).map(move |seeds| Unit { row, seeds }))
    };
    missing.iter().flat_map(of_image).collect()
}

/// Seeds of a unit, where an image lacks so many, so that there is a unit for each device.
fn seeds_each(seeds: usize, images: usize, devices: usize) -> usize {
    seeds.div_ceil(devices.div_ceil(images.max(1)).max(1)).max(1)
}

/// What devices draw with.
struct Work<'s> {
    voice: Voice,
    /// Of the workspace.
    root: PathBuf,
    /// One for each device.
    models: Vec<Model>,
    sampling: &'s Sampling,
    /// Pixels at once that are fastest.
    fastest: usize,
    /// Devices that compute in the same memory.
    sharing: usize,
    keeps_pixels: bool,
    batches: Batches,
}

impl Work<'_> {
    fn unit<'r>(&self, worker: usize, unit: &'r Unit<'r>, give: Give<Made<'r>>) -> Result<()> {
        let (row, mut made) = (unit.row, 0);
        let drawn = self.draw(worker, unit, &mut |what| {
            if let What::Batch(batch) = &what {
                made += batch.seeds.len();
            }
            give(Made { row, what })
        });
        match drawn {
            Ok(()) => give(Made { row, what: What::Whole }),
            Err(error) if error.ends_job() => Err(error),
            Err(error) => give(Made { row, what: What::Failed(error, unit.seeds.len() - made) }),
        }
    }

    /// Draws the seeds of a unit, batch by batch.
    fn draw(&self, worker: usize, unit: &Unit, give: Give<What>) -> Result<()> {
        let (sampling, model, row) = (self.sampling, &self.models[worker], unit.row);
        let lr = damage::read_image(&self.root, row, &row.lr_path)?;
        decode::check_x4(lr.width(), lr.height())?;
        let plan = sampling.plan_beside(model, (lr.width(), lr.height()), self.sharing, || self.fastest)?;
        let memory = StateMemory { bytes: plan.state_bytes, scratch: &self.root };
        let prompt = sampling.prompt(&row.prompt);
        self.voice.say_unread(model.backbone.as_ref(), &row.name, &prompt)?;
        let condition = model.backbone.condition(&lr, &prompt)?;
        let kept = sampling.kept_width().map(|width| (width, condition.kept()));
        let kept = kept.filter(|(_, kept)| !kept.is_lr_alone());
        let mut kept = kept.map(|(width, kept)| stored::condition_file(&kept, width)).transpose()?;
        let mut rest = unit.seeds;
        while !rest.is_empty() {
            let seeds = self.batches.first_of(rest, plan.at_once);
            let began = Instant::now();
            let mut go_on = |done: usize, all: usize| {
                give(What::Begun(worker, seeds.len() as f64 * done as f64 / all.max(1) as f64))?;
                self.voice.checkpoint()
            };
            let drawn = sampling.draw_and_keep(model, &condition, seeds, memory, &mut go_on);
            let Some((pictures, latents)) = self.batches.unless_out_of_memory(&self.voice, seeds.len(), drawn)? else {
                continue;
            };
            let encoded = pictures.par_iter().map(|picture| encode::png_and_pixels(picture.as_ref()));
            let (pngs, mut pixels): (Vec<_>, Vec<_>) = encoded.collect::<Result<Vec<_>>>()?.into_iter().unzip();
            let seconds = began.elapsed().as_secs_f64() / seeds.len() as f64;
            if !self.keeps_pixels {
                pixels.clear();
            }
            let condition = kept.take();
            give(What::Batch(Batch { worker, seeds: seeds.to_vec(), pngs, pixels, latents, condition, seconds }))?;
            rest = &rest[seeds.len()..];
        }
        Ok(())
    }
}

/// How many seeds go through a network at once: half as many, once, where a device turns out to have no memory for them.
#[derive(Default)]
pub struct Batches {
    /// No more than this, once it was found out.
    most: Mutex<Option<usize>>,
}

impl Batches {
    fn most(&self) -> MutexGuard<'_, Option<usize>> {
        self.most.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of some seeds to draw first, where so many are planned at once.
    pub fn first_of<'s, S>(&self, seeds: &'s [S], planned: usize) -> &'s [S] {
        let tried = planned.min(self.most().unwrap_or(planned)).clamp(1, seeds.len().max(1));
        &seeds[..tried.min(seeds.len())]
    }

    /// What was made of so many seeds at once; `None` where the same is to be tried again with fewer, which is said.
    pub fn unless_out_of_memory<T>(&self, voice: &Voice, tried: usize, made: Result<T>) -> Result<Option<T>> {
        let mut most = self.most();
        match made {
            // Where another device has found it out meanwhile, this one tries no more than that.
            Err(error) if error.is_out_of_memory() && most.is_some_and(|most| most < tried) => drop(error),
            Err(error) if error.is_out_of_memory() && tried > 1 && most.is_none() => {
                *most = Some(tried / 2);
                let text =
                    format!("{error}; from here on no more than {} seeds go through the network at once", tried / 2);
                voice.log(Level::Warning, text);
            }
            made => return made.map(Some),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_units_and_few_images_are_cut() {
        for ((seeds, images, devices), each) in [
            ((5, 3, 1), 5),
            ((5, 3, 2), 5),
            ((5, 2, 3), 3),
            ((5, 1, 4), 2),
            ((5, 1, 1), 5),
            ((1, 1, 4), 1),
            ((0, 0, 2), 1),
        ] {
            assert_eq!(seeds_each(seeds, images, devices), each, "{seeds} seeds, {images} images, {devices} devices");
        }
    }

    #[test]
    fn once_half_as_many_seeds_go_through_the_network_where_there_is_no_memory() {
        let voice = Voice::of_nobody();
        let refused = || Err::<(), _>(Error::Tensor(candle_core::Error::Msg("CUDA_ERROR_OUT_OF_MEMORY".into())));
        let (batches, seeds) = (Batches::default(), [0; 10]);
        assert_eq!(batches.first_of(&seeds, 8).len(), 8);
        assert_eq!(batches.unless_out_of_memory(&voice, 8, refused()).unwrap(), None);
        assert_eq!(batches.first_of(&seeds, 8).len(), 4);
        // Another device that was under way with as many finds the same.
        assert_eq!(batches.unless_out_of_memory(&voice, 8, refused()).unwrap(), None);
        assert_eq!(batches.unless_out_of_memory(&voice, 4, Ok(())).unwrap(), Some(()));
        assert!(batches.unless_out_of_memory(&voice, 4, refused()).is_err(), "once");
    }
}
