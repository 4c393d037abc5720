//! A recipe through the table of its settings: read and set by key, checked, compared.

use std::collections::BTreeMap;

use super::bounds::Bounds;
use super::fields::{self, Field};
use super::recipe::{Recipe, Sampling, Scope};
use super::value::Value;
use crate::{Error, Result};

impl Recipe {
    /// The value of a setting as text, in the form [`Recipe::set`] reads. `key` is a path such as
    /// `training.beta`, an alias such as `beta`, or one weight such as `reward.fr.stlpips`.
    pub fn get(&self, key: &str) -> Result<String> {
        let (field, metric) = fields::find(key)?;
        Ok(match (field.value(self), metric) {
            (Value::Weights(map), Some(metric)) => map.get(metric).copied().unwrap_or(0.0).to_string(),
            (value, _) => value.to_string(),
        })
    }

    /// Sets one setting from text. The error of a wrong key lists near matches, the error of a wrong value names
    /// what is accepted; the recipe is then unchanged. Rules between settings are left to [`Recipe::validate`].
    pub fn set(&mut self, key: &str, text: &str) -> Result<()> {
        let (field, metric) = fields::find(key)?;
        match (field.value(self), metric) {
            (Value::Weights(mut map), Some(metric)) => {
                let refuse = |_| Error::invalid(format!("{key}: `{text}` is not a weight"));
                map.insert(metric.to_owned(), text.trim().parse().map_err(refuse)?);
                field.assign(self, Value::Weights(map))
            }
            _ => field.assign_text(self, text),
        }
    }

    /// Sets one setting from `key=value`, as `--set` is given.
    pub fn set_assignment(&mut self, assignment: &str) -> Result<()> {
        let (key, text) =
            assignment.split_once('=').ok_or_else(|| Error::invalid(format!("`{assignment}` is not key=value")))?;
        self.set(key.trim(), text.trim())
    }

    /// Checks every setting against its range, and the rules between settings.
    pub fn validate(&self) -> Result<()> {
        self.first_fault().map_or(Ok(()), |(_, fault)| Err(Error::invalid(fault)))
    }

    /// Keys of the settings in which two recipes differ, in the order of the table.
    pub fn diff(&self, other: &Self) -> Vec<&'static str> {
        let differs = |field: &&Field| field.value(self) != field.value(other);
        fields::fields().iter().filter(differs).map(|field| field.key).collect()
    }

    /// The first setting at fault: its key and a message that begins with it.
    pub(super) fn first_fault(&self) -> Option<(&'static str, String)> {
        for field in fields::fields() {
            if let Err(error) = field.check(&field.value(self)) {
                return Some((field.key, error.to_string()));
            }
        }
        let reward = &self.reward;
        let total = |half: &BTreeMap<String, f64>| half.values().sum::<f64>();
        let fr_counts = total(&reward.fr) > 0.0 && reward.fr_balance > 0.0;
        let nr_counts = total(&reward.nr) > 0.0 && reward.fr_balance < 1.0;
        if !fr_counts && !nr_counts {
            let key = "reward.fr_balance";
            let fault = format!("{key}: no metric counts, neither of reward.fr nor of reward.nr");
            return Some((key, fault));
        }
        if let Some(name) = reward.fr.keys().find(|name| reward.nr.contains_key(*name)) {
            let key = "reward.nr";
            return Some((key, format!("{key}: `{name}` is listed in reward.fr too")));
        }
        let trained = self.trained_metrics();
        if let Some(name) = reward.held_out.iter().find(|name| trained.contains(&name.as_str())) {
            let key = "reward.held_out";
            let fault = format!("{key}: `{name}` is trained on, so it cannot be held out");
            return Some((key, fault));
        }
        if reward.scope == Scope::Fixed {
            let key = "reward.bounds";
            match Bounds::typed(&reward.bounds) {
                Err(error) => return Some((key, format!("{key}: {error}"))),
                Ok(bounds) => {
                    if let Some(name) = trained.iter().find(|name| bounds.get(name).is_none()) {
                        let fault = format!("{key}: there are none for `{name}`, which counts; add {name}:LOW..HIGH");
                        return Some((key, fault));
                    }
                }
            }
        }
        let Sampling { tile_px, tile_overlap_px, .. } = self.sampling;
        if tile_px > 0 && tile_overlap_px * 2 > tile_px {
            let key = "sampling.tile_overlap_px";
            let fault = format!("{key}: {tile_overlap_px} is more than half of tile_px {tile_px}");
            return Some((key, fault));
        }
        self.fault_of_backbone()
    }
}
