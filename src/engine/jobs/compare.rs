//! Two checkpoints on the held-out images.

use std::sync::Arc;

use super::{checkpoints, curate, evaluate, sampling};
use crate::Result;
use crate::engine::context::Context;
use crate::engine::protocol::Outcome;
use crate::engine::ranking::Ranking;
use crate::method::evaluation::{Comparison, ImageComparison};

/// Samples and scores what is missing and sets `b` against `a`.
pub fn compare(context: &mut Context, a: &str, b: &str, seeds: Option<usize>) -> Result<Outcome> {
    comparison(context, a, b, seeds).map(|comparison| Outcome::Compared(Arc::new(comparison)))
}

/// The comparison of `b` with `a`; `seeds` defaults to the recipe's.
pub fn comparison(context: &mut Context, a: &str, b: &str, seeds: Option<usize>) -> Result<Comparison> {
    let seeds = seeds.unwrap_or(context.recipe.training.eval_seeds);
    let before = checkpoints::load(context, a)?;
    let after = checkpoints::load(context, b)?;
    // The bounds belong to the training images: frozen now if they are not.
    sampling::reference(context)?;
    curate::curate(context)?;
    let (reference, ranking_a) = evaluate::evaluate(context, before.id, &before.model, seeds, a)?;
    let (policy, ranking_b) = evaluate::evaluate(context, after.id, &after.model, seeds, b)?;
    let images = evaluate::held_out(context)?;
    let rewards = |ranking: &Ranking, group: usize| {
        ranking.held_out.group(group).iter().map(|&r| (!r.is_nan()).then_some(r)).collect()
    };
    let by_image = images.iter().enumerate().map(|(group, image)| ImageComparison {
        name: image.name.clone(),
        reference: rewards(&ranking_a, group),
        policy: rewards(&ranking_b, group),
    });
    Ok(Comparison {
        images: images.len(),
        seeds,
        a: before.name,
        b: after.name,
        reference,
        policy,
        by_image: by_image.collect(),
    })
}
