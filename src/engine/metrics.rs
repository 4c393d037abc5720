//! The metrics of a recipe: as the method and the ledger know them, and open, ready to score.

use std::cell::RefCell;
use std::sync::Arc;

use candle_core::Device;

use super::external;
use crate::iqa::external::ExternalMetric;
use crate::iqa::{self, External, Info, Kind, Metric, MetricKey, Scorer, border};
use crate::method::recipe::Recipe;
use crate::nn::kernels::Compute;
use crate::nn::workers::Worker;
use crate::weights::Store;
use crate::{Error, Result};

/// The metric that a recipe means by a name. Errors: there is none of that name.
pub fn by_name(recipe: &Recipe, name: &str) -> Result<Arc<dyn Metric>> {
    let metric = match recipe.metrics.external.iter().find(|command| command.name == name) {
        Some(command) => Arc::new(ExternalMetric::new(command)),
        None => iqa::by_name(name)?,
    };
    Ok(border::without(recipe.metrics.border_px, metric))
}

/// All metrics that a recipe may name, its commands last.
pub fn all(recipe: &Recipe) -> Vec<Info> {
    let commands =
        recipe.metrics.external.iter().map(|command| Arc::new(ExternalMetric::new(command)) as Arc<dyn Metric>);
    let all = iqa::all().into_iter().chain(commands);
    all.map(|metric| border::without(recipe.metrics.border_px, metric).info().clone()).collect()
}

/// What is known of a metric; `None` where there is none of that name.
pub fn info(recipe: &Recipe, name: &str) -> Option<Info> {
    Some(by_name(recipe, name).ok()?.info().clone())
}

/// The metrics of a recipe that this program does not have, a line each.
pub fn unknown(recipe: &Recipe) -> Vec<String> {
    let names = recipe.scored_metrics().into_iter().filter(|name| by_name(recipe, name).is_err());
    names
        .map(|name| format!("not in this program: the metric {name}; take it out, or bring a command of your own"))
        .collect()
}

/// Whether a recipe can be worked with: its settings, its backbone and its metrics.
pub fn check(recipe: &Recipe) -> Result<()> {
    recipe.check_backbone()?;
    recipe.validate()?;
    recipe.check_metrics(&|name| info(recipe, name))
}

/// The metrics that a recipe wants scored, in a fixed order.
pub struct MetricSet {
    /// The metrics.
    pub metrics: Vec<Arc<dyn Metric>>,
    /// As what their scores are kept.
    pub keys: Vec<MetricKey>,
    /// Their columns in a score table.
    pub columns: Vec<Info>,
}

impl MetricSet {
    /// The metrics of a recipe. Errors: a name that is no metric, or one that does not fit the recipe.
    pub fn of(recipe: &Recipe, store: &Store) -> Result<Self> {
        recipe.check_metrics(&|name| info(recipe, name))?;
        let names = recipe.scored_metrics();
        let metrics = names.into_iter().map(|name| by_name(recipe, name)).collect::<Result<Vec<_>>>()?;
        let keys = metrics.iter().map(|metric| metric.key(store)).collect();
        let columns = metrics.iter().map(|metric| metric.info().clone()).collect();
        Ok(Self { metrics, keys, columns })
    }

    /// What to ask the ledger for.
    pub fn wanted(&self) -> Vec<(MetricKey, Kind)> {
        self.keys.iter().cloned().zip(self.columns.iter().map(|info| info.kind)).collect()
    }
}

/// The metrics of a recipe, open.
pub struct Open {
    pub set: MetricSet,
    /// In the order of the set, on the first device.
    pub scorers: Vec<Arc<dyn Scorer>>,
    /// On the others: the same ones where they compute in its memory.
    others: Vec<Vec<Arc<dyn Scorer>>>,
}

/// The metrics as one device has them.
#[derive(Clone, Copy)]
pub struct OpenFor<'m> {
    pub set: &'m MetricSet,
    pub scorers: &'m [Arc<dyn Scorer>],
}

impl Open {
    /// Of a device by its number among those that share work.
    pub fn of_worker(&self, worker: usize) -> OpenFor<'_> {
        let others = worker.checked_sub(1).and_then(|index| self.others.get(index));
        OpenFor { set: &self.set, scorers: others.unwrap_or(&self.scorers) }
    }
}

/// Open metrics, kept until another recipe's are opened: opening one may mean to read a network.
#[derive(Default)]
pub struct Scorers(RefCell<Vec<Known>>);

/// A metric, and the device that it is open on.
struct Known {
    key: MetricKey,
    device: Device,
    scorer: Arc<dyn Scorer>,
}

impl Scorers {
    /// Opens the metrics of a recipe on devices that share work. Errors: one that cannot be opened, which is said before any work is begun. Refused
    /// where one is a command that was not allowed on this machine.
    pub fn open(&self, recipe: &Recipe, store: &Store, on: &[Worker]) -> Result<Open> {
        let set = MetricSet::of(recipe, store)?;
        let is_used =
            |command: &&External| !command.is_imported() && set.columns.iter().any(|info| info.name == command.name);
        external::check(&recipe.metrics.external.iter().filter(is_used).collect::<Vec<_>>())?;
        let of_worker = |worker: &Worker| -> Result<Vec<_>> {
            set.metrics.iter().map(|metric| self.one(metric.as_ref(), store, &worker.compute)).collect()
        };
        let mut all = on.iter().map(of_worker).collect::<Result<Vec<_>>>()?.into_iter();
        self.0.borrow_mut().retain(|known| set.keys.contains(&known.key));
        let scorers = all.next().ok_or_else(|| Error::invalid("there is no device to score on"))?;
        Ok(Open { set, scorers, others: all.collect() })
    }

    /// Opens one metric on a device, if it is not open there.
    pub fn one(&self, metric: &dyn Metric, store: &Store, on: &Compute) -> Result<Arc<dyn Scorer>> {
        let key = metric.key(store);
        let is_it = |known: &&Known| known.key == key && known.device.same_device(&on.device);
        let known = self.0.borrow().iter().find(is_it).map(|known| known.scorer.clone());
        known.map_or_else(
            || {
                let scorer: Arc<dyn Scorer> = Arc::from(metric.open(store, on)?);
                let device = on.device.clone();
                self.0.borrow_mut().push(Known { key: key.clone(), device, scorer: scorer.clone() });
                Ok(scorer)
            },
            Ok,
        )
    }
}
