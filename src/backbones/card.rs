//! What is known of a backbone before a byte of it is loaded: what can solve it, and which settings mean nothing to it.
//!
//! The recipe's check, the identity of candidates and the studio's controls all ask here.

use super::process::Kind;
use super::sampler::Solver;
use crate::{Error, Result};

/// A backbone of this program.
#[derive(Debug)]
pub struct Card {
    /// The name in recipes and files.
    pub name: &'static str,
    /// Its noising process, and with it the solvers there are for it.
    pub process: Kind,
    /// Keys of the recipe's settings that it does not use, each with the reason: the end of "without effect, as …".
    pub unused: &'static [(&'static str, &'static str)],
}

/// The embedded backbone.
pub static MINI: Card = Card {
    name: "mini",
    process: Kind::Flow,
    unused: &[
        ("sampling.guidance", "mini was not trained for classifier-free guidance"),
        ("sampling.negative_prompt", "mini reads no text"),
    ],
};

/// The backbones of this program.
pub static CARDS: &[&Card] = &[&MINI];

impl Card {
    /// Why the setting of this key means nothing to the backbone; `None` where it is used.
    pub fn why_unused(&self, key: &str) -> Option<&'static str> {
        self.unused.iter().find(|(unused, _)| *unused == key).map(|(_, why)| *why)
    }

    /// Why a solver cannot sample the backbone; `None` where it can.
    pub fn why_unsolved_by(&self, solver: Solver) -> Option<Error> {
        (!self.process.solvers().contains(&solver)).then(|| self.process.refuse(self.name, solver))
    }
}

/// The backbone of this name. The error names those that there are.
pub fn of(name: &str) -> Result<&'static Card> {
    CARDS.iter().copied().find(|card| card.name == name).ok_or_else(|| {
        let there: Vec<_> = CARDS.iter().map(|card| card.name).collect();
        Error::invalid(format!(
            "sampling.backbone: `{}` is not in this program; there is {}",
            name.escape_debug(),
            there.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Backbone, mini::Mini};
    use super::*;

    #[test]
    fn the_card_tells_the_truth_of_the_network() {
        assert_eq!(MINI.name, Mini::new().name());
        assert_eq!(MINI.process, Mini::new().process().kind());
        let error = of("no\nsuch").unwrap_err().to_string();
        assert!(error.contains("mini") && error.lines().count() == 1, "{error}");
    }
}
