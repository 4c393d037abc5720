//! Sampling candidates: what is missing of M seeds for each LR image, saved batch by batch.

use std::time::Instant;

use rayon::prelude::*;

use crate::backbones::field::StateMemory;
use crate::backbones::stored;
use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::failures::Failures;
use crate::engine::model::Model;
use crate::engine::plan::Sampling;
use crate::engine::progress::Meter;
use crate::engine::protocol::{Change, Level, Outcome};
use crate::imaging::quantize::Rgb8;
use crate::imaging::{decode, encode};
use crate::method::recipe::Recipe;
use crate::workspace::{CandidateId, CandidateSet, ImageId, ImageRow, MissingSeeds, NewCandidate};
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
    say_unprompted(context, model, images, &missing);
    let sampling = Sampling::of(recipe)?;
    if total > 0 {
        let prompted = images.iter().filter(|row| missing.iter().any(|m| m.image == row.id && !m.seeds.is_empty()));
        let prompts: Vec<_> = prompted.map(|row| sampling.prompt(&row.prompt)).collect();
        context.prepare(model.backbone.as_ref(), &prompts)?;
    }
    let mut meter = Meter::new(stage, "candidates", total);
    context.report(Some(meter.now()));
    let (mut made, mut failed, mut batches) = (0, Failures::of(images.len()), Batches::default());
    let row_of = |image: ImageId| images.iter().find(|row| row.id == image);
    for &MissingSeeds { image, ref seeds } in &missing {
        let Some(row) = row_of(image) else { continue };
        let mut fresh = done.is_some().then(Vec::new);
        match group(context, set, model, &sampling, row, seeds, (&mut meter, &mut batches), fresh.as_mut()) {
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
    (meter, batches): (&mut Meter, &mut Batches),
    mut fresh: Option<&mut Vec<Fresh>>,
) -> Result<usize> {
    let mut room = KEPT_BYTES;
    let workspace = context.workspace()?;
    let lr = damage::read_image(workspace, row, &row.lr_path)?;
    decode::check_x4(lr.width(), lr.height())?;
    let plan = sampling.plan(model, (lr.width(), lr.height()), || context.models.fastest_pixels(model))?;
    let memory = StateMemory { bytes: plan.state_bytes, scratch: workspace.root() };
    let prompt = sampling.prompt(&row.prompt);
    context.say_unread(model.backbone.as_ref(), &row.name, &prompt)?;
    let condition = model.backbone.condition(&lr, &prompt)?;
    let kept = sampling.kept_width().map(|width| (width, condition.kept())).filter(|(_, kept)| !kept.is_lr_alone());
    let mut kept = kept.map(|(width, kept)| stored::condition_file(&kept, width)).transpose()?;
    let mut rest = seeds;
    while !rest.is_empty() {
        let batch = batches.first_of(rest, plan.at_once);
        let began = Instant::now();
        let share = |done: usize, all: usize| batch.len() as f64 * done as f64 / all.max(1) as f64;
        let mut go_on = |done, all| context.within(meter, share(done, all));
        let drawn = sampling.draw_and_keep(model, &condition, batch, memory, &mut go_on);
        let Some((pictures, latents)) = batches.unless_out_of_memory(context, drawn)? else { continue };
        let encoded = pictures.par_iter().map(|picture| encode::png_and_pixels(picture.as_ref()));
        let (encoded, pixels): (Vec<_>, Vec<_>) = encoded.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let seconds = began.elapsed().as_secs_f64() / batch.len() as f64;
        // An edit may say something else of the image meanwhile.
        let candidate = |&seed: &u64| NewCandidate { set: set.of_prompt(row), image: row.id, seed, seconds };
        let new: Vec<_> = batch.iter().map(candidate).zip(encoded).collect();
        // Once is enough: all seeds are drawn under the same.
        let ids = workspace.save_candidates_with(&new, &latents, kept.take().as_deref())?;
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
        rest = &rest[batch.len()..];
    }
    Ok(seeds.len())
}

/// How many seeds go through the network at once: half as many, once, where a device turns out to have no memory for them.
#[derive(Default)]
pub struct Batches {
    /// No more than this, once it was found out.
    most: Option<usize>,
    /// How many were tried last.
    tried: usize,
}

impl Batches {
    /// Those of some seeds to draw first, where so many are planned at once.
    pub fn first_of<'s, S>(&mut self, seeds: &'s [S], planned: usize) -> &'s [S] {
        self.tried = planned.min(self.most.unwrap_or(planned)).clamp(1, seeds.len().max(1));
        &seeds[..self.tried.min(seeds.len())]
    }

    /// What was made; `None` where the same is to be tried again with fewer, which is said.
    pub fn unless_out_of_memory<T>(&mut self, context: &Context, made: Result<T>) -> Result<Option<T>> {
        match made {
            Err(error) if error.is_out_of_memory() && self.tried > 1 && self.most.is_none() => {
                let most = self.tried / 2;
                self.most = Some(most);
                let text = format!("{error}; from here on no more than {most} seeds go through the network at once");
                context.log(Level::Warning, text);
                Ok(None)
            }
            made => made.map(Some),
        }
    }
}
