//! The metrics of a recipe, as the method and the ledger know them.

use crate::Result;
use crate::iqa::{self, Info, Kind, Metric, MetricKey};
use crate::method::recipe::Recipe;

/// What is known of a metric; `None` where there is none of that name.
pub fn info(name: &str) -> Option<Info> {
    Some(iqa::by_name(name).ok()?.info().clone())
}

/// Whether a recipe can be worked with: its settings, its backbone and its metrics.
pub fn check(recipe: &Recipe) -> Result<()> {
    recipe.check_backbone()?;
    recipe.validate()?;
    recipe.check_metrics(&info)
}

/// The metrics that a recipe wants scored, in a fixed order.
pub struct MetricSet {
    /// The metrics.
    pub metrics: Vec<&'static dyn Metric>,
    /// As what their scores are kept.
    pub keys: Vec<MetricKey>,
    /// Their columns in a score table.
    pub columns: Vec<Info>,
}

impl MetricSet {
    /// The metrics of a recipe. Errors: a name that is no metric, or one that does not fit the recipe.
    pub fn of(recipe: &Recipe) -> Result<Self> {
        recipe.check_metrics(&info)?;
        let metrics = recipe.scored_metrics().into_iter().map(iqa::by_name).collect::<Result<Vec<_>>>()?;
        let keys = metrics.iter().map(|metric| metric.key()).collect();
        let columns = metrics.iter().map(|metric| metric.info().clone()).collect();
        Ok(Self { metrics, keys, columns })
    }

    /// What to ask the ledger for.
    pub fn wanted(&self) -> Vec<(MetricKey, Kind)> {
        self.keys.iter().cloned().zip(self.columns.iter().map(|info| info.kind)).collect()
    }
}
