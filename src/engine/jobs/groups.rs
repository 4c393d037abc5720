//! Whether the images to train on have all candidates and scores that their pairs are to be made of.
//!
//! Pairs of some seeds only are other pairs: where one image has 24 seeds and another 4, the run is about the first. So
//! unequal groups are refused, or, when asked for, said and noted with the run.
//!
//! An image on which a metric that counts is not defined has no reward, and holds up nothing: it is named and left out of
//! the pairs. Rewarded by the metrics that it has, it would be on another scale than its neighbors, which its share in
//! w_inter and in Best/Mean/Worst would not show.

use crate::engine::context::Context;
use crate::engine::metrics::MetricSet;
use crate::engine::protocol::Level;
use crate::engine::ranking::Ranking;
use crate::imaging::SCALE;
use crate::method::recipe::Recipe;
use crate::workspace::ImageRow;
use crate::{Error, Permit, Result};

/// Images named in a line.
const NAMED: usize = 3;
/// Images named where it is said once what a run was made of.
const NOTED: usize = 12;

/// An image that lacks seeds.
struct Lacking {
    name: String,
    sampled: usize,
    scored: usize,
}

/// Checks the groups of a ranking. Refused where one of them lacks seeds of the recipe, unless `allow_partial`: then the
/// text says which, for whoever looks at the run later. Errors: no image can be rewarded at all.
pub fn require_whole(context: &Context, ranking: &Ranking, allow_partial: bool) -> Result<Option<String>> {
    let (lacking, left_out) = examine(context, ranking)?;
    let images = ranking.scores.train.images.len();
    if left_out.len() == images {
        let first = left_out.first().map_or("there are no images to train on; add some that are not held out", |s| s);
        return Err(Error::invalid(first));
    }
    if !left_out.is_empty() {
        context.log(Level::Warning, format!("left out of the pairs: {}", listed(&left_out, NAMED, "; ")));
    }
    if lacking.is_empty() {
        return Ok(None);
    }
    let seeds = ranking.scores.seeds.len();
    let counts: Vec<String> = lacking
        .iter()
        .map(|l| match l.scored < l.sampled {
            true => format!("{} has {} of {seeds} seeds, {} of them scored", l.name, l.sampled, l.scored),
            false => format!("{} has {} of {seeds} seeds", l.name, l.sampled),
        })
        .collect();
    let what = format!("seeds or scores are missing of {} of {images} images to train on", lacking.len());
    if allow_partial {
        let note = format!("{what}: {}", listed(&counts, NOTED, ", "));
        context.log(Level::Warning, format!("{note}; pairs are made of what is there"));
        return Ok(Some(note));
    }
    let make = if ranking.scores.set.sampler.is_imported() { "import" } else { "sample" };
    let cause = format!("{what}: {}; {make} and score them, or remove them", listed(&counts, NAMED, ", "));
    Err(Error::Refused { cause, permit: Permit::Partial })
}

/// The images that lack seeds, and what cannot be rewarded with the reason.
fn examine(context: &Context, ranking: &Ranking) -> Result<(Vec<Lacking>, Vec<String>)> {
    let (scores, recipe) = (&ranking.scores, &context.recipe);
    let ledger = context.workspace()?.ledger();
    let metrics = MetricSet::of(recipe, &context.store())?;
    let unsampled = ledger.missing_candidates(&scores.set, &scores.train.images, &scores.seeds)?;
    // What bounds are fitted on has all scores, also those that are not part of the reward yet.
    let all_count = scores.lacks_bounds(recipe);
    let (mut lacking, mut left_out) = (Vec::new(), Vec::new());
    for (group, &id) in scores.train.images.iter().enumerate() {
        let row = ledger.image(id)?;
        if let Some(why) = why_no_reward(&metrics, recipe, &row) {
            left_out.push(format!("{}: {why}", row.name));
            continue;
        }
        let [width, height] = hr_size(&row);
        let counts = |column: &usize| {
            let info = metrics.metrics[*column].info();
            (all_count || recipe.trained_metrics().contains(&info.name.as_ref()))
                && info.is_defined_on(width, height)
                && (row.hr_path.is_some() || !metrics.columns[*column].is_fr())
        };
        let columns: Vec<usize> = (0..metrics.columns.len()).filter(counts).collect();
        let table = &scores.train.table;
        let is_scored = |seed: &usize| columns.iter().all(|&column| table.get(group, *seed, column).is_some());
        let scored = (0..scores.seeds.len()).filter(is_scored).count();
        let absent = unsampled.iter().find(|missing| missing.image == id).map_or(0, |missing| missing.seeds.len());
        if scored < scores.seeds.len() {
            lacking.push(Lacking { name: row.name, sampled: scores.seeds.len() - absent, scored });
        }
    }
    Ok((lacking, left_out))
}

/// Why none of an image's candidates can have a reward, if so.
fn why_no_reward(metrics: &MetricSet, recipe: &Recipe, row: &ImageRow) -> Option<String> {
    let reward = &recipe.reward;
    let has_hr = row.hr_path.is_some();
    let counting = |weights: &std::collections::BTreeMap<String, f64>| weights.values().any(|weight| *weight > 0.0);
    let fr_counts = has_hr && reward.fr_balance > 0.0 && counting(&reward.fr);
    let nr_counts = reward.fr_balance < 1.0 && counting(&reward.nr);
    if !fr_counts && !nr_counts {
        return Some("it has no HR image, and only full-reference metrics count".into());
    }
    let [width, height] = hr_size(row);
    let trained = recipe.trained_metrics();
    let undefined: Vec<String> = metrics
        .metrics
        .iter()
        .zip(&metrics.columns)
        .filter(|(_, column)| {
            trained.contains(&column.name.as_ref()) && if column.is_fr() { fr_counts } else { nr_counts }
        })
        .filter(|(metric, _)| !metric.info().is_defined_on(width, height))
        .map(|(metric, _)| format!("{} ({} px)", metric.info().name, metric.info().min_size_px))
        .collect();
    (!undefined.is_empty())
        .then(|| format!("{width}×{height} px are too few for the reward's {}", undefined.join(", ")))
}

fn hr_size(row: &ImageRow) -> [usize; 2] {
    [row.lr_width_px, row.lr_height_px].map(|side| side as usize * SCALE)
}

/// The first of some texts, and how many more there are.
fn listed(texts: &[String], most: usize, between: &str) -> String {
    let first = texts[..most.min(texts.len())].join(between);
    match texts.len().saturating_sub(most) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
