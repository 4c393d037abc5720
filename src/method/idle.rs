//! Settings that do nothing under a recipe: the backbone does not use them, or another setting turns them off.
//!
//! What a backbone does not use is refused where it was turned, so that nobody reports a setting that had no effect; what
//! another setting turns off is only shown so.

use super::fields::{self, Field};
use super::recipe::{Mode, Objective, Recipe, Scope, Winners};
use super::value::Value;
use crate::Result;
use crate::backbones::card::Card;
use crate::backbones::registry;
use crate::backbones::solver::Solver;

impl Recipe {
    /// Why a setting does nothing under this recipe, as the end of a sentence; `None` where it counts. Of a backbone that is
    /// not in this program nothing is known.
    pub fn why_idle(&self, key: &str) -> Option<String> {
        let unused = registry::card_of(&self.sampling.backbone).ok().and_then(|card| card.why_unused(key));
        unused.or_else(|| self.why_turned_off(key).map(str::to_owned))
    }

    fn why_turned_off(&self, key: &str) -> Option<&'static str> {
        match key {
            "sampling.tile_overlap_px" if self.sampling.tile_px == 0 => {
                Some("the tile is chosen, and its overlap with it")
            }
            "sampling.precision" if self.sampling.precision != self.sampling.precision.here() => {
                Some("this processor multiplies no bf16 (it has neither AMX nor AVX-512 BF16): f32 is computed")
            }
            "reward.bounds" if self.reward.scope != Scope::Fixed => Some("the normalization is not fixed"),
            "hpo.effective_share" if self.hpo.alpha_intra == 0.0 && self.hpo.alpha_inter == 0.0 => {
                Some("both strengths are 0")
            }
            "curation.ratio" | "hpo.alpha_intra" | "hpo.alpha_inter" | "hpo.effective_share"
                if self.training.objective.takes_groups() =>
            {
                Some("this objective takes every candidate of a group, by its advantage")
            }
            "training.beta" if matches!(self.training.objective, Objective::Nft | Objective::Sft) => {
                Some("this objective has no margin")
            }
            "training.winners" if self.training.objective.takes_groups() => {
                Some("this objective takes every candidate of a group, by its advantage")
            }
            "training.noise" if self.training.winners == Winners::Truth => Some("the HR image was drawn from no noise"),
            "training.anchor" if self.training.objective != Objective::Dpo => Some("only dpo has an anchor"),
            "training.mixture" if self.training.objective != Objective::Nft => Some("only nft mixes policies"),
            "training.lora_rank" | "training.lora_alpha" if self.training.mode != Mode::Lora => {
                Some("all weights are trained, not low-rank additions")
            }
            "training.round_reference" | "training.pool_rounds" if self.training.rounds == 1 => {
                Some("there is only one round")
            }
            _ => None,
        }
    }

    /// Why a word of a choice cannot be taken with the recipe's backbone; `None` where it can.
    pub fn why_refused(&self, key: &str, word: &str) -> Option<String> {
        let card = registry::card_of(&self.sampling.backbone).ok()?;
        match key {
            "sampling.solver" => card.why_unsolved_by(Solver::from_word(word)?).map(|error| error.to_string()),
            _ => None,
        }
    }

    /// Errors: the recipe's backbone is not in this program. A recipe may be read and shown without it, as the papers'
    /// presets are, but not worked with.
    pub fn check_backbone(&self) -> Result<()> {
        registry::card_of(&self.sampling.backbone).map(drop)
    }

    /// The first setting that does not go with the recipe's backbone, if that is in this program.
    pub(super) fn fault_of_backbone(&self) -> Option<(&'static str, String)> {
        let card = registry::card_of(&self.sampling.backbone).ok()?;
        self.unused_but_turned(card).map(|(field, why)| (field.key, refusal(field, &why))).or_else(|| {
            let key = "sampling.solver";
            card.why_unsolved_by(self.sampling.solver).map(|error| (key, format!("{key}: {error}")))
        })
    }

    fn unused_but_turned(&self, card: &'static Card) -> Option<(&'static Field, String)> {
        let is_turned = |field: &&Field| field.value(self) != field.default_value();
        let reasons = fields::fields().iter().filter(is_turned);
        reasons.filter_map(|field| Some((field, card.why_unused(field.key)?))).next()
    }

    /// Sets what does not go with the backbone to its default, as workspaces of earlier versions may hold it; it never had
    /// an effect. Returns a line for each.
    pub fn drop_unused(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some((key, fault)) = self.fault_of_backbone() {
            let Ok((field, _)) = fields::find(key) else { break };
            let default = field.default_value();
            let was = field.value(self);
            if was == default || field.assign(self, default.clone()).is_err() {
                break;
            }
            said.push(format!("{fault} (was {was}, is now {})", shown(&default)));
        }
        said
    }
}

fn refusal(field: &Field, why: &str) -> String {
    format!("{}: without effect, as {why}; leave it {}", field.key, shown(&field.default_value()))
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.is_empty() { "empty".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_the_backbone_does_not_use_is_refused_once_turned() {
        for card in registry::cards() {
            for field in fields::fields() {
                let key = field.key;
                let Some(why) = card.why_unused(key) else { continue };
                let mut recipe = Recipe::default();
                recipe.sampling.backbone = card.name.into();
                recipe.validate().unwrap();
                field.assign(&mut recipe, field.another_value(&Recipe::default())).unwrap();
                let error = recipe.validate().unwrap_err().to_string();
                assert!(error.starts_with(key) && error.contains(card.name) && error.contains(&why), "{error}");
                assert_eq!(error.lines().count(), 1);
                assert_eq!(recipe.why_idle(key), Some(why));
                // A workspace of an earlier version may hold it.
                assert_eq!(recipe.drop_unused().len(), 1);
                recipe.validate().unwrap();
            }
        }
        let mut recipe = Recipe::default();
        recipe.set("sampling.solver", "ddim").unwrap();
        let error = recipe.validate().unwrap_err().to_string();
        assert!(error.starts_with("sampling.solver: ddim") && error.contains("euler and heun"), "{error}");
        recipe.drop_unused();
        assert_eq!(recipe, Recipe::default());
    }

    #[test]
    fn a_setting_that_another_turns_off_is_said_to_be() {
        for (key, other, on) in [
            ("training.lora_rank", "training.mode", "lora"),
            ("training.lora_alpha", "training.mode", "lora"),
            ("training.round_reference", "training.rounds", "2"),
            ("training.pool_rounds", "training.rounds", "2"),
            ("sampling.tile_overlap_px", "sampling.tile_px", "128"),
            ("reward.bounds", "reward.scope", "fixed"),
            ("training.mixture", "training.objective", "nft"),
        ] {
            let mut recipe = Recipe::default();
            assert!(recipe.why_idle(key).is_some(), "{key}");
            recipe.set(other, on).unwrap();
            assert!(recipe.why_idle(key).is_none(), "{key}");
        }
    }

    #[test]
    fn a_backbone_that_is_not_here_is_shown_but_not_worked_with() {
        let mut recipe = Recipe::default();
        recipe.check_backbone().unwrap();
        recipe.set("sampling.backbone", "later").unwrap();
        recipe.set("guidance", "3.5").unwrap();
        recipe.validate().unwrap();
        assert!(recipe.check_backbone().unwrap_err().to_string().contains("there is mini"));
    }
}
