//! The metrics of a recipe, as the method and the ledger know them.

use crate::Result;
use crate::iqa::{self, Direction, Kind, Metric};
use crate::method::recipe::{MetricInfo, Recipe};
use crate::method::scores::MetricColumn;
use crate::workspace::{ScoreRequest, Scorer};

/// What the method needs to know of a metric; `None` where there is none of that name.
pub fn info(name: &str) -> Option<MetricInfo> {
    let info = iqa::by_name(name).ok()?.info();
    Some(MetricInfo {
        higher_is_better: info.direction == Direction::HigherIsBetter,
        is_fr: info.kind == Kind::FullReference,
        min_size_px: info.min_size_px,
    })
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
    /// Their provenance, kept with every score.
    pub scorers: Vec<Scorer>,
    /// Their columns in a score table.
    pub columns: Vec<MetricColumn>,
}

impl MetricSet {
    /// The metrics of a recipe. Errors: a name that is no metric, or one that does not fit the recipe.
    pub fn of(recipe: &Recipe) -> Result<Self> {
        recipe.check_metrics(&info)?;
        let metrics = recipe.scored_metrics().into_iter().map(iqa::by_name).collect::<Result<Vec<_>>>()?;
        let scorer = |metric: &&'static dyn Metric| {
            let known = metric.info();
            Scorer {
                metric: known.name.into(),
                weights_hash: metric.weights_hash().into(),
                crop_policy: known.crop_policy.into(),
                version: known.version.into(),
            }
        };
        let column = |metric: &&'static dyn Metric| {
            let known = metric.info();
            MetricColumn {
                name: known.name.into(),
                higher_is_better: known.direction == Direction::HigherIsBetter,
                is_fr: known.kind == Kind::FullReference,
            }
        };
        let (scorers, columns) = (metrics.iter().map(scorer).collect(), metrics.iter().map(column).collect());
        Ok(Self { metrics, scorers, columns })
    }

    /// What to ask the ledger for.
    pub fn requests(&self) -> Vec<ScoreRequest> {
        let pairs = self.scorers.iter().zip(&self.columns);
        pairs.map(|(scorer, column)| ScoreRequest { scorer: scorer.clone(), needs_hr: column.is_fr }).collect()
    }
}
