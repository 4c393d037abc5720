//! Candidates that another program made: which seeds they can be compared by, and what is missing of them.

use super::checkpoints::Loaded;
use crate::engine::context::Context;
use crate::workspace::{CandidateSet, ImageId, ImageRow, MissingSeeds};
use crate::{Error, Result};

/// Images and seeds named in a line.
const NAMED: usize = 4;

/// The seeds that two checkpoints are compared by on `images`, at most `count`: the recipe's first; where candidates were imported
/// those that are there of both, and of these, where others are sampled here, those that follow one another. Errors: there are none.
pub fn seeds(context: &Context, sides: [&Loaded; 2], images: &[ImageRow], count: usize) -> Result<Vec<u64>> {
    let recipe = &context.recipe;
    let sets = sides.iter().map(|side| side.side(recipe)).collect::<Result<Vec<_>>>()?;
    let ledger = context.workspace()?.ledger();
    let mut seeds: Option<Vec<u64>> = None;
    for side in sets.iter().filter(|side| side.model.is_none()) {
        let mut here = Vec::new();
        for image in images {
            here.extend(ledger.group(&side.set, image.id)?.into_iter().map(|candidate| candidate.seed));
        }
        here.sort_unstable();
        here.dedup();
        seeds = Some(match seeds {
            Some(known) => known.into_iter().filter(|seed| here.binary_search(seed).is_ok()).collect(),
            None => here,
        });
    }
    let Some(mut seeds) = seeds else { return Ok(recipe.seeds_of(count)) };
    if sets.iter().any(|side| side.model.is_some()) {
        let run = seeds.windows(2).take_while(|two| two[0].checked_add(1) == Some(two[1])).count() + 1;
        seeds.truncate(run);
    }
    seeds.truncate(count);
    let [a, b] = sides.map(|side| &side.name);
    match seeds.is_empty() {
        true => Err(Error::invalid(format!("{a} and {b} have no seed in common on these images: import some"))),
        false => Ok(seeds),
    }
}

/// Fails where imported candidates are missing, with the images and seeds.
pub fn check_whole(
    context: &Context,
    set: &CandidateSet,
    images: &[ImageRow],
    seeds: &[u64],
    stage: &str,
) -> Result<()> {
    let ids: Vec<ImageId> = images.iter().map(|image| image.id).collect();
    let missing = context.workspace()?.ledger().missing_candidates(set, &ids, seeds)?;
    if missing.is_empty() {
        return Ok(());
    }
    let named = missing.iter().take(NAMED).map(|MissingSeeds { image, seeds }| {
        let name = images.iter().find(|row| row.id == *image).map_or("?", |row| row.name.as_str());
        format!("{name} lacks {}", listed_seeds(seeds))
    });
    let named: Vec<String> = named.collect();
    let more = missing.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Err(Error::invalid(format!(
        "{stage}: imported candidates are missing of {} of {} images: {}{more}; import them, or remove the images",
        missing.len(),
        images.len(),
        named.join(", ")
    )))
}

/// Seeds in words: all of few, the first of many.
pub fn listed_seeds(seeds: &[u64]) -> String {
    let first: Vec<String> = seeds.iter().take(NAMED).map(u64::to_string).collect();
    match (seeds.len(), seeds.len().saturating_sub(NAMED)) {
        (1, _) => format!("seed {}", first.join("")),
        (_, 0) => format!("seeds {}", first.join(", ")),
        (_, more) => format!("seeds {} and {more} more", first.join(", ")),
    }
}
