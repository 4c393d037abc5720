//! Candidates with their scores: while the devices sample a group each, those before are scored on all cores.

use std::collections::VecDeque;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use super::sampling;
use super::saving::Fresh;
use super::scoring::{self, Scored, Wanted};
use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::failures::Failures;
use crate::engine::metrics::Open;
use crate::engine::model::Model;
use crate::engine::protocol::{Change, Level};
use crate::method::recipe::Recipe;
use crate::workspace::{CandidateSet, ImageId, ImageRow, NewScore};
use crate::{Error, Result};

/// What was made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Made {
    pub candidates: usize,
    pub scores: usize,
    /// Images that could not be sampled or scored.
    pub failed: Failures,
    /// Seconds until the last candidate was there, and seconds of scoring after that.
    pub secs: [f64; 2],
}

/// The reference's candidates of all images, or of `only` some, and their scores.
pub fn of_reference(context: &mut Context, only: Option<&[ImageId]>) -> Result<Made> {
    if let Some(name) = context.recipe.imported().map(str::to_owned) {
        let set = context.reference_set()?;
        context.log(
            Level::Info,
            format!("the candidates `{name}` were imported: they are scored, and no more are sampled"),
        );
        return score_imported(context, &set, &context.recipe, "scoring");
    }
    let (set, model) = context.reference("nothing can be sampled")?;
    let images = sampling::wanted(context, only)?;
    fill(context, &set, &model, &context.recipe.clone(), &images, "")
}

/// Scores what imported candidates lack.
pub fn score_imported(context: &Context, set: &CandidateSet, recipe: &Recipe, stage: &str) -> Result<Made> {
    damage::discard_suspects(context)?;
    let began = Instant::now();
    let (scores, failed) = scoring::fill(context, set, &context.open_metrics(recipe)?, stage)?;
    Ok(Made { candidates: 0, scores, failed, secs: [0.0, began.elapsed().as_secs_f64()] })
}

/// Samples and scores what is missing of `set` for `images` and the recipe's seeds; `stage` says what for. Candidates that
/// turn out to be damaged are made again.
pub fn fill(
    context: &Context,
    set: &CandidateSet,
    model: &Model,
    recipe: &Recipe,
    images: &[ImageRow],
    stage: &str,
) -> Result<Made> {
    let discarded = context.discarded.get();
    let made = pass(context, set, model, recipe, images, stage)?;
    if context.discarded.get() == discarded {
        return Ok(made);
    }
    let again = pass(context, set, model, recipe, images, stage)?;
    Ok(Made {
        candidates: made.candidates + again.candidates,
        scores: made.scores + again.scores,
        // What failed for good failed again.
        failed: again.failed,
        secs: [made.secs[0] + again.secs[0], made.secs[1] + again.secs[1]],
    })
}

fn pass(
    context: &Context,
    set: &CandidateSet,
    model: &Model,
    recipe: &Recipe,
    images: &[ImageRow],
    stage: &str,
) -> Result<Made> {
    let named = |part: &str| if stage.is_empty() { part.to_owned() } else { format!("{stage}: {part}") };
    let workspace = context.workspace()?;
    // Before any work: a metric that cannot be opened is said now.
    let metrics = context.open_metrics(recipe)?;
    let (wanted, devices) = (metrics.set.wanted(), context.models.workers().len().max(1));
    let began = Instant::now();
    let ((candidates, mut failed), beside) = thread::scope(|scope| {
        let (mut running, mut scores, mut groups) = (VecDeque::<Running>::new(), 0, 0);
        let mut next = |image: ImageId, fresh: Vec<Fresh>| {
            // One group for each device: where scoring is slower, sampling waits for it.
            if running.len() >= devices {
                scores += finish(context, &metrics, running.pop_front())?;
            }
            let missing = workspace.ledger().missing_scores_of(set, image, &wanted)?;
            // A group that cannot be scored is reported when what is left is scored.
            if !missing.is_empty()
                && let Ok(wanted) = Wanted::of(context, &metrics, missing, fresh)
            {
                let (on, stop) = (metrics.of_worker(groups % devices), context.voice.cancelled());
                groups += 1;
                let scores = move || wanted.bind(on, stop).map_or_else(|_| Vec::new(), |group| group.scores());
                running.push_back((image, scope.spawn(scores)));
            }
            Ok(())
        };
        let sampled = sampling::fill(context, set, model, recipe, images, &named("sampling"), Some(&mut next));
        // What was scored is kept, however the sampling ended.
        for group in running {
            scores += finish(context, &metrics, Some(group))?;
        }
        Ok::<_, Error>((sampled?, scores))
    })?;
    let sampling_secs = began.elapsed().as_secs_f64();
    let (scores, not_scored) = scoring::fill(context, set, &metrics, &named("scoring"))?;
    failed.causes.extend(not_scored.causes);
    let secs = [sampling_secs, began.elapsed().as_secs_f64() - sampling_secs];
    Ok(Made { candidates, scores: beside + scores, failed, secs })
}

/// A group being scored.
type Running<'s> = (ImageId, ScopedJoinHandle<'s, Vec<Scored>>);

/// Waits for a group's scores and records them; returns how many there are. Those that failed are tried, and reported, once
/// more at the end.
fn finish(context: &Context, metrics: &Open, running: Option<Running>) -> Result<usize> {
    let Some((image, handle)) = running else { return Ok(0) };
    let scored = handle.join().map_err(|_| Error::invalid("a metric failed on one of the candidates"))?;
    let new: Vec<NewScore> = scored.into_iter().flat_map(|scored| scored.scores).collect();
    let device = context.models.device_name();
    context.workspace()?.ledger().record_scores(&device, &metrics.set.keys, &new)?;
    context.changed(Change::Scores(image));
    Ok(new.len())
}
