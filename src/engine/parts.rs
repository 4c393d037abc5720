//! The published weights that a recipe needs: said before a job begins, not when it is half done.

use super::metrics;
use crate::backbones;
use crate::iqa;
use crate::method::recipe::Recipe;
use crate::weights::{Part, Store, registry};
use crate::{Error, Result};

/// The parts that a recipe's backbone and metrics are made of, beside what is compiled in.
pub fn of(recipe: &Recipe) -> Vec<&'static Part> {
    let metrics = recipe.scored_metrics().into_iter().flat_map(of_metric);
    // Imported candidates need no network of their own.
    let backbone = if recipe.imported().is_none() { of_backbone(&recipe.sampling.backbone) } else { &[] };
    without_repeats(backbone.iter().copied().chain(metrics))
}

/// The parts of a backbone.
pub fn of_backbone(name: &str) -> &'static [&'static Part] {
    backbones::registry::card_of(name).map_or(&[], |card| card.parts)
}

/// The parts of a metric.
pub fn of_metric(name: &str) -> Vec<&'static Part> {
    iqa::by_name(name).map_or_else(|_| Vec::new(), |metric| metric.needs().to_vec())
}

/// Every part that is known here, also those of backbones and metrics that were added.
pub fn known() -> Vec<&'static Part> {
    let metrics = iqa::all().into_iter().flat_map(|metric| metric.needs().to_vec());
    let backbones = backbones::registry::cards().into_iter().flat_map(|card| card.parts.iter().copied());
    without_repeats(registry::PARTS.iter().copied().chain(backbones).chain(metrics))
}

fn without_repeats(all: impl Iterator<Item = &'static Part>) -> Vec<&'static Part> {
    let mut parts: Vec<&'static Part> = Vec::new();
    for part in all {
        if !parts.iter().any(|known| known.id == part.id) {
            parts.push(part);
        }
    }
    parts
}

/// What of a recipe is not on this machine, a line each, as far as is known without reading files: metrics that this program does
/// not have, and parts that cannot be used.
pub fn lacking(store: &Store, recipe: &Recipe) -> Vec<String> {
    metrics::unknown(recipe).into_iter().chain(store.lacking(&of(recipe))).collect()
}

/// Errors: the first part that cannot be used, and how many more there are.
pub fn check(store: &Store, recipe: &Recipe) -> Result<()> {
    let lacking = lacking(store, recipe);
    match lacking.as_slice() {
        [] => Ok(()),
        [one] => Err(Error::invalid(one)),
        [first, more @ ..] => Err(Error::invalid(format!("{first}; {} more, see `weights list`", more.len()))),
    }
}
