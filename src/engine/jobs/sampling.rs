//! Sampling candidates: what is missing of M seeds for each LR image, saved batch by batch.

use std::time::Instant;

use rayon::prelude::*;

use crate::backbones::field::StateMemory;
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
    let (set, model) = context.reference()?;
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
    let sampling = Sampling::of(recipe)?;
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
    let condition = model.backbone.condition(&lr, &sampling.prompt(&row.prompt))?;
    for batch in seeds.chunks(plan.at_once) {
        let began = Instant::now();
        let pictures = sampling.draw(model, &condition, batch, memory, &mut |_, _| context.checkpoint())?;
        let encoded = pictures.par_iter().map(|picture| encode::png_and_pixels(picture.as_ref()));
        let (encoded, pixels): (Vec<_>, Vec<_>) = encoded.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let seconds = began.elapsed().as_secs_f64() / batch.len() as f64;
        // An edit may say something else of the image meanwhile.
        let candidate = |&seed: &u64| NewCandidate { set: set.of_prompt(row), image: row.id, seed, seconds };
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
