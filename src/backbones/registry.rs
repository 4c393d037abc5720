//! The backbones there are: by name to their cards, and to the networks themselves once one is opened.

use std::sync::{Arc, PoisonError, RwLock};

use super::card::Card;
use super::{Backbone, flux, mini, sd2};
use crate::nn::kernels::Compute;
use crate::weights::Store;
use crate::{Error, Result};

/// A backbone that can be opened.
#[derive(Debug)]
pub struct Entry {
    pub card: &'static Card,
    /// Loads it, where it is to compute, from the weights that are found.
    pub open: fn(&Compute, &Store) -> Result<Arc<dyn Backbone>>,
}

/// The backbones of this program.
static OWN: &[&Entry] = &[&mini::ENTRY, &sd2::ENTRY, &flux::ENTRY];
/// Those that were added.
static ADDED: RwLock<Vec<&'static Entry>> = RwLock::new(Vec::new());

/// Adds a backbone to those there are, as a program built on this one may; of one name the first counts.
pub fn add(entry: &'static Entry) {
    ADDED.write().unwrap_or_else(PoisonError::into_inner).push(entry);
}

fn entries() -> Vec<&'static Entry> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    OWN.iter().chain(added.iter()).copied().collect()
}

/// The cards of all backbones.
pub fn cards() -> Vec<&'static Card> {
    entries().into_iter().map(|entry| entry.card).collect()
}

/// The card of the backbone of this name. The error names those that there are.
pub fn card_of(name: &str) -> Result<&'static Card> {
    entry_of(name).map(|entry| entry.card)
}

/// Loads the backbone of this name.
pub fn open(name: &str, on: &Compute, weights: &Store) -> Result<Arc<dyn Backbone>> {
    (entry_of(name)?.open)(on, weights)
}

fn entry_of(name: &str) -> Result<&'static Entry> {
    let all = entries();
    all.iter().copied().find(|entry| entry.card.name == name).ok_or_else(|| {
        let there: Vec<_> = all.iter().map(|entry| entry.card.name).collect();
        Error::invalid(format!(
            "sampling.backbone: `{}` is not in this program; there is {}",
            name.escape_debug(),
            there.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_its_card_and_its_network_or_to_the_names_there_are() {
        let store = Store::of_machine(&[], false);
        for card in cards() {
            match open(card.name, &Compute::cpu(), &store) {
                Ok(backbone) => assert_eq!(backbone.card().name, card.name),
                Err(missing) => assert!(!card.parts.is_empty() && missing.to_string().contains("get it"), "{missing}"),
            }
            assert!(card.latent.align.is_multiple_of(card.latent.factor) && !card.solvers.is_empty());
        }
        let error = card_of("no\nsuch").unwrap_err().to_string();
        assert!(error.contains("mini") && error.lines().count() == 1, "{error}");
    }
}
