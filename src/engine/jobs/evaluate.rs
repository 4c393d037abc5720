//! Evaluation of a checkpoint on held-out images, with fixed seeds and the frozen bounds.

use std::sync::Arc;

use super::{candidates, imported};
use crate::engine::context::Context;
use crate::engine::model::Model;
use crate::engine::ranking::{Ranking, Scores};
use crate::iqa::grain;
use crate::method::evaluation::Evaluation;
use crate::method::provenance::On;
use crate::method::recipe::Recipe;
use crate::workspace::{CandidateSet, ImageRow, same_source};
use crate::{Error, Result};

/// The held-out images something is measured on; an error says how to get some.
pub fn images(context: &Context, on: On) -> Result<Vec<ImageRow>> {
    let ledger = context.workspace()?.ledger();
    let images = ledger.images_on(on)?;
    if !images.is_empty() {
        return Ok(images);
    }
    Err(Error::invalid(match ledger.images_on(On::HeldOut)?.is_empty() {
        true => "no image is held out; add some with `--held-out` or mark them in the library".to_owned(),
        false => {
            format!("no held-out image is for {0}; `split WS {0} IMAGE…` or the library makes some so", on.as_str())
        }
    }))
}

/// The recipe for evaluating: the workspace's with these seeds, of which those that are sampled here follow one another. Grain
/// is measured beside whatever it holds out.
pub fn recipe_for(context: &Context, seeds: &[u64]) -> Recipe {
    let mut recipe = context.recipe.clone();
    if !is_listed(context, grain::NAME) {
        recipe.reward.held_out.push(grain::NAME.into());
    }
    recipe.sampling.m = seeds.len();
    recipe.sampling.first_seed = seeds.first().copied().unwrap_or(recipe.sampling.first_seed);
    recipe
}

/// Candidates that are evaluated, and the model that makes those that are missing; `None` where they were imported.
#[derive(Clone)]
pub struct Side<'m> {
    pub set: CandidateSet,
    pub model: Option<&'m Model>,
}

/// Samples and scores what is missing, then evaluates.
pub fn evaluate(context: &Context, side: &Side, seeds: &[u64], stage: &str, on: On) -> Result<Evaluation> {
    let ranking = ranked(context, side, seeds, stage, on)?;
    let is_held_out = |name: &str| is_held_out(context, name);
    let mut evaluation = Evaluation::of(&ranking.scores.held_out.table, ranking.judged(), is_held_out)?;
    evaluation.by_image.photographs = photographs(&images(context, on)?);
    if let Some(rewards) = ranking.also_frozen() {
        evaluation.add_frozen_scale(rewards, |_| true);
    }
    Ok(evaluation)
}

/// Which photograph each image is of, by number.
pub fn photographs(images: &[ImageRow]) -> Vec<usize> {
    let mut of = vec![0; images.len()];
    for (photograph, members) in same_source(images.iter().map(ImageRow::hashes)).into_iter().enumerate() {
        members.into_iter().for_each(|image| of[image] = photograph);
    }
    of
}

/// Whether a metric is no part of the reward, as one that is only reported.
pub fn is_held_out(context: &Context, metric: &str) -> bool {
    metric == grain::NAME || is_listed(context, metric)
}

fn is_listed(context: &Context, metric: &str) -> bool {
    context.recipe.reward.held_out.iter().any(|held| held == metric)
}

/// Samples and scores what is missing, then rewards. Errors: an image that could not be sampled or scored, or that lacks imported
/// candidates.
pub fn ranked(context: &Context, side: &Side, seeds: &[u64], stage: &str, on: On) -> Result<Ranking> {
    let images = images(context, on)?;
    let recipe = recipe_for(context, seeds);
    let set = &side.set;
    // A mean over fewer images or seeds than were asked for is another figure.
    match side.model {
        Some(model) => candidates::fill(context, set, model, &recipe, &images, stage)?.failed.check_in(stage)?,
        None => {
            imported::check_whole(context, set, &images, seeds, stage)?;
            candidates::score_imported(context, set, &recipe, stage)?.failed.check_in(stage)?;
        }
    }
    let scores = Scores::read(context.workspace()?, set, &recipe, seeds.to_vec(), on, &context.store())?;
    let ranking = Arc::new(scores).rank(&recipe)?;
    match ranking.missing {
        Some(reason) => Err(Error::invalid(reason)),
        None => Ok(ranking),
    }
}
