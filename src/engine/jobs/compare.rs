//! Two checkpoints on held-out images.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::checkpoints::{self, Loaded};
use super::evaluate::{self, Side};
use super::{curate, imported, seen};
use crate::Result;
use crate::engine::context::Context;
use crate::engine::metrics::MetricSet;
use crate::engine::protocol::{Compared, Outcome};
use crate::engine::ranking::Ranking;
use crate::method::evaluation::{Comparison, Evaluation, ImageComparison};
use crate::method::intervals::Intervals;
use crate::method::provenance::On;
use crate::method::recipe::Recipe;
use crate::method::statistics::has_all;
use crate::report::{MetricSource, Provenance, Report};
use crate::workspace::{RunId, Split};

/// Samples and scores what is missing and sets `b` against `a`.
pub fn compare(context: &mut Context, names: [&str; 2], seeds: Option<usize>, on: On) -> Result<Outcome> {
    compared(context, names, seeds, on).map(|compared| Outcome::Compared(Arc::new(compared)))
}

/// The comparison of `b` with `a` on some of the held-out images; `seeds` defaults to the recipe's.
pub fn compared(context: &mut Context, [a, b]: [&str; 2], seeds: Option<usize>, on: On) -> Result<Compared> {
    let seeds = seeds.unwrap_or(context.recipe.training.eval_seeds);
    let before = checkpoints::load(context, a)?;
    let after = checkpoints::load(context, b)?;
    let images = evaluate::images(context, on)?;
    // The bounds belong to the training images: frozen now if they are not.
    curate::ensure_bounds(context)?;
    let seeds = imported::seeds(context, [&before, &after], &images, seeds)?;
    let recipe = evaluate::recipe_for(context, &seeds);
    let [of_a, of_b] = [before.side(&recipe)?, after.side(&recipe)?];
    let ranking_a = evaluate::ranked(context, &of_a, &seeds, a, on)?;
    let ranking_b = evaluate::ranked(context, &of_b, &seeds, b, on)?;
    let sides = [&ranking_a, &ranking_b].map(|ranking| (&ranking.scores.held_out.table, ranking.judged()));
    let (mut reference, mut policy) = Evaluation::both(sides, |name| evaluate::is_held_out(context, name))?;
    let photographs = evaluate::photographs(&images);
    policy.by_image.photographs.clone_from(&photographs);
    reference.by_image.photographs = photographs;
    if let (Some(a), Some(b)) = (ranking_a.also_frozen(), ranking_b.also_frozen()) {
        let on_both = |group: usize| [a, b].iter().all(|rewards| has_all(rewards.group(group)));
        reference.add_frozen_scale(a, on_both);
        policy.add_frozen_scale(b, on_both);
    }
    let runs: Vec<RunId> = [before.run, after.run].into_iter().flatten().collect();
    let trained_on = seen::trained_on(context, &runs, &images)?;
    let rewards = |ranking: &Ranking, group: usize| {
        ranking.judged().group(group).iter().map(|&r| (!r.is_nan()).then_some(r)).collect()
    };
    let by_image = images.iter().enumerate().map(|(group, image)| ImageComparison {
        name: image.name.clone(),
        reference: rewards(&ranking_a, group),
        policy: rewards(&ranking_b, group),
    });
    let comparison = Comparison {
        on,
        images: images.len(),
        validation_images: images.iter().filter(|image| image.split == Split::Validation).count(),
        seeds: seeds.len(),
        a: before.name.clone(),
        b: after.name.clone(),
        chosen: [before.chosen.clone(), after.chosen.clone()],
        trained_on,
        intervals: Intervals::between(&reference.by_image, &policy.by_image),
        reference,
        policy,
        by_image: by_image.collect(),
    };
    let provenance = provenance(context, &recipe, [&before, &after], [&of_a, &of_b], seeds)?;
    let sets = [of_a.set, of_b.set];
    let report = Report { changes: comparison.changes(), comparison, provenance };
    Ok(Compared { report, images: images.iter().map(|image| image.id).collect(), sets })
}

fn provenance(
    context: &Context,
    recipe: &Recipe,
    checkpoints: [&Loaded; 2],
    sides: [&Side; 2],
    seeds: Vec<u64>,
) -> Result<Provenance> {
    let both = |[a, b]: [&str; 2]| if a == b { a.to_owned() } else { format!("{a}, {b}") };
    let workspace = context.workspace()?;
    let ledger = workspace.ledger();
    let weights = |id| ledger.checkpoint(id).map(|row| row.weights_hash);
    let bounds = ledger.bounds()?;
    let metrics = MetricSet::of(recipe, &context.store())?
        .keys
        .into_iter()
        .map(|key| MetricSource { bounds: bounds.iter().find(|b| b.metric == key).map(|b| [b.min, b.max]), key });
    Ok(Provenance {
        program: format!("DP²O Studio {}", env!("CARGO_PKG_VERSION")),
        workspace: workspace.root().file_name().unwrap_or_default().to_string_lossy().into_owned(),
        backbone: both(checkpoints.map(|checkpoint| checkpoint.backbone.as_str())),
        sampler: both(sides.map(|side| side.set.sampler.as_str())),
        device: context.models.device_name(),
        weights: [weights(checkpoints[0].id)?, weights(checkpoints[1].id)?],
        seeds,
        metrics: metrics.collect(),
        recipe: context.recipe.to_ron()?,
        made_at_secs: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    })
}
