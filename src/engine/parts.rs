//! The published weights that a recipe needs: said before a job begins, not when it is half done.

use crate::backbones;
use crate::method::recipe::Recipe;
use crate::weights::{Part, Store, registry};
use crate::{Error, Result};

/// The parts that a recipe's backbone and metrics are made of, beside what is compiled in.
pub fn of(recipe: &Recipe) -> Vec<&'static Part> {
    let backbone = recipe.sampling.backbone.as_str();
    match backbones::registry::card_of(backbone) {
        Ok(card) => card.parts.to_vec(),
        // One that is not in this program yet: what it will need.
        Err(_) => registry::of_backbone(backbone).to_vec(),
    }
}

/// What of a recipe's parts cannot be used, a line each, as far as is known without reading files.
pub fn lacking(store: &Store, recipe: &Recipe) -> Vec<String> {
    of(recipe).into_iter().filter_map(|part| store.state(part).why_not()).collect()
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
