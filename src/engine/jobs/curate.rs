//! Curation: ranks, pairs and weighs whole groups, and freezes the reward bounds.

use std::sync::Arc;

use super::{candidates, groups};
use crate::engine::context::Context;
use crate::engine::metrics::MetricSet;
use crate::engine::plan;
use crate::engine::protocol::{Change, Level};
use crate::engine::ranking::{Ranking, Scores};
use crate::method::provenance::On;
use crate::method::recipe::Scope;
use crate::workspace::{Bounds, CandidateSet};
use crate::{Error, Result};

/// A ranking that has pairs.
pub struct Curated {
    pub ranking: Ranking,
    /// Which images lack how many seeds, where that was allowed.
    pub partial: Option<String>,
}

/// The ranking of the reference's candidates; freezes the bounds that are not frozen yet, fitted on them. Refused where an
/// image lacks seeds, unless `allow_partial`.
pub fn curate(context: &mut Context, allow_partial: bool) -> Result<Curated> {
    let set = context.reference_set()?;
    let (ranking, partial) = ranked(context, &set, allow_partial)?;
    freeze(context, &ranking.scores)?;
    if let Some(line) = &ranking.without_effect {
        context.log(Level::Warning, line);
    }
    Ok(Curated { ranking, partial })
}

/// The ranking of any candidates under the frozen bounds; every image has all seeds.
pub fn of(context: &Context, set: &CandidateSet) -> Result<Ranking> {
    ranked(context, set, false).map(|(ranking, _)| ranking)
}

/// Freezes the reward bounds if they are not.
pub fn ensure_bounds(context: &mut Context) -> Result<()> {
    let set = context.reference_set()?;
    if !read(context, &set)?.lacks_bounds(&context.recipe) {
        return Ok(());
    }
    if set.sampler.is_imported() {
        candidates::score_imported(context, &set, &context.recipe, "scoring")?.failed.check_in("scoring")?;
        let scores = read(context, &set)?;
        if scores.train.images.is_empty() {
            let text = "no image is to train on: the reward's bounds are those of the reference's held-out candidates";
            context.log(Level::Info, text);
            return freeze(context, &scores);
        }
    }
    curate(context, false).map(drop)
}

fn read(context: &Context, set: &CandidateSet) -> Result<Scores> {
    let (workspace, recipe) = (context.workspace()?, &context.recipe);
    let seeds = plan::seeds_of(workspace, set, recipe)?;
    Scores::read(workspace, set, recipe, seeds, On::HeldOut, &context.store())
}

fn ranked(context: &Context, set: &CandidateSet, allow_partial: bool) -> Result<(Ranking, Option<String>)> {
    let ranking = Arc::new(read(context, set)?).rank(&context.recipe)?;
    let partial = groups::require_whole(context, &ranking, allow_partial)?;
    if let Some(reason) = ranking.missing {
        return Err(Error::invalid(reason));
    }
    if ranking.curation.pairs().is_empty() {
        return Err(Error::invalid(
            "there are no pairs: images that are not held out need scored candidates (sample, then score)",
        ));
    }
    Ok((ranking, partial))
}

/// Freezes the bounds that are not frozen yet, as they were fitted for the ranking; the extremes also where the recipe's scale
/// is another, as comparisons say the reward on the frozen one too.
fn freeze(context: &Context, scores: &Scores) -> Result<()> {
    let mut frozen = context.recipe.clone();
    frozen.reward.scope = Scope::Frozen;
    if !scores.lacks_bounds(&context.recipe) && !scores.lacks_bounds(&frozen) {
        return Ok(());
    }
    let ledger = context.workspace()?.ledger();
    let known = ledger.bounds()?;
    let (fitted, quantiles) = (scores.bounds(), scores.quantiles());
    let all: Vec<Bounds> = MetricSet::of(&context.recipe, &context.store())?
        .keys
        .into_iter()
        .filter_map(|metric| {
            let bounds = fitted.get(&metric.metric)?;
            let quantiles = quantiles.get(&metric.metric).map(|b| [b.min, b.max]);
            Some(Bounds { metric, min: bounds.min, max: bounds.max, quantiles, fitted_on: scores.set.clone() })
        })
        .collect();
    let (old, new): (Vec<Bounds>, Vec<Bounds>) =
        all.into_iter().partition(|bounds| known.iter().any(|b| b.metric == bounds.metric));
    ledger.freeze_bounds(&new)?;
    ledger.complete_bounds(&old)?;
    context.changed(Change::Bounds);
    Ok(())
}
