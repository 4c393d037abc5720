//! Curation: freezes the reward bounds, then ranks, pairs and weighs.

use std::sync::Arc;

use crate::engine::context::Context;
use crate::engine::metrics::MetricSet;
use crate::engine::protocol::Change;
use crate::engine::ranking::{Ranking, Scores};
use crate::workspace::{Bounds, CandidateSet, ImageId};
use crate::{Error, Result};

/// The ranking of the reference's candidates.
pub fn curate(context: &mut Context) -> Result<Ranking> {
    let (set, _) = super::sampling::reference(context)?;
    freeze(context, &set)?;
    of(context, &set)
}

/// The ranking of any candidates under the frozen bounds.
pub fn of(context: &Context, set: &CandidateSet) -> Result<Ranking> {
    let scores = Arc::new(Scores::read(context.workspace()?, set, &context.recipe)?);
    let ranking = scores.rank(&context.recipe)?;
    if let Some(reason) = ranking.missing {
        return Err(Error::invalid(reason));
    }
    if ranking.curation.pairs().is_empty() {
        return Err(Error::invalid(
            "there are no pairs: images that are not held out need scored candidates (sample, then score)",
        ));
    }
    Ok(ranking)
}

/// Freezes the bounds that are not frozen yet, fitted on the reference's candidates of all training images.
fn freeze(context: &Context, set: &CandidateSet) -> Result<()> {
    let recipe = &context.recipe;
    let scores = Scores::read(context.workspace()?, set, recipe)?;
    if !scores.lacks_bounds(recipe) {
        return Ok(());
    }
    let ledger = context.workspace()?.ledger();
    let metrics = MetricSet::of(recipe)?;
    let train: &[ImageId] = &scores.train.images;
    if train.is_empty() {
        return Err(Error::invalid("there are no images to train on; add some that are not held out"));
    }
    let unsampled = ledger.missing_candidates(set, train, &recipe.seeds())?.len();
    let unscored = ledger.missing_scores(set, &metrics.requests())?;
    let unscored = unscored.iter().filter(|m| train.contains(&m.candidate.image)).count();
    if unsampled > 0 || unscored > 0 {
        return Err(Error::invalid(format!(
            "the reward bounds are fitted on all candidates of the training images: {unsampled} image(s) are still to be \
             sampled, {unscored} candidate(s) to be scored"
        )));
    }
    let known = ledger.bounds()?;
    let fitted = scores.bounds();
    let new: Vec<Bounds> = metrics
        .scorers
        .iter()
        .filter(|scorer| known.iter().all(|b| b.scorer != **scorer))
        .filter_map(|scorer| {
            let bounds = fitted.get(&scorer.metric)?;
            Some(Bounds { scorer: scorer.clone(), min: bounds.min, max: bounds.max, fitted_on: set.clone() })
        })
        .collect();
    ledger.freeze_bounds(&new)?;
    context.changed(Change::Bounds);
    Ok(())
}
