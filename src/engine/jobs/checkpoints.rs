//! Finding checkpoints by the names people type, and loading them.

use super::evaluate::Side;
use crate::engine::context::Context;
use crate::engine::model::Model;
use crate::engine::models::Recorded;
use crate::engine::plan;
use crate::engine::protocol::Level;
use crate::engine::reading;
use crate::method::provenance::Chosen;
use crate::method::recipe::Recipe;
use crate::workspace::{CandidateSet, CheckpointId, CheckpointKind, CheckpointRow, RunId, SamplerKey};
use crate::{Error, Result};

/// A checkpoint with its weights.
pub struct Loaded {
    pub id: CheckpointId,
    /// `reference`, or `RUN@STEP`.
    pub name: String,
    /// `None` where only its candidates are here, imported.
    model: Option<Model>,
    /// Name of its backbone.
    pub backbone: String,
    /// `None` for the reference.
    pub run: Option<RunId>,
    /// How it came to be this one.
    pub chosen: Chosen,
}

impl Loaded {
    /// Its weights. Errors: they are not here.
    pub fn model(&self) -> Result<&Model> {
        self.model.as_ref().ok_or_else(|| plan::not_here(&self.name, "there are no weights"))
    }

    /// Its candidates under a recipe, and what makes them.
    pub fn side(&self, recipe: &Recipe) -> Result<Side<'_>> {
        let set = match &self.model {
            Some(_) => plan::candidates_of(self.id, recipe)?,
            None => CandidateSet { checkpoint: self.id, sampler: SamplerKey::imported() },
        };
        Ok(Side { set, model: self.model.as_ref() })
    }

    /// Says where a run's last checkpoint stands for it, for want of something to choose by.
    pub fn say_choice(&self, context: &Context) {
        if let Chosen::Last { why } = &self.chosen {
            context.log(Level::Info, format!("{}: the last checkpoint, as {why}", self.name));
        }
    }
}

/// The checkpoint of `reference`, `RUN` (its best on the validation images, else its last) or `RUN@STEP`.
pub fn load(context: &mut Context, name: &str) -> Result<Loaded> {
    let imported = if name == "reference" { context.recipe.imported().map(str::to_owned) } else { None };
    if name == "reference" && imported.is_none() {
        let (set, model) = context.reference("there is no reference")?;
        let backbone = context.recipe.sampling.backbone.clone();
        let (name, model) = (name.to_owned(), Some(model));
        return Ok(Loaded { id: set.checkpoint, name, model, backbone, run: None, chosen: Chosen::Name });
    }
    if let Some(row) = context.workspace()?.ledger().imported(imported.as_deref().unwrap_or(name))? {
        let (id, name, backbone) = (row.id, row.import_name(), row.backbone);
        return Ok(Loaded { id, name, model: None, backbone, run: None, chosen: Chosen::Name });
    }
    let (row, chosen) = find(context, imported.as_deref().unwrap_or(name))?;
    let run = name.split_once('@').map_or(name, |(run, _)| run);
    let name = format!("{run}@{}", row.step);
    let model = Some(of(context, &row, &name)?);
    Ok(Loaded { id: row.id, name, model, backbone: row.backbone, run: row.run, chosen })
}

/// The weights of a checkpoint, which `name` names. Errors: they are not those that were recorded.
fn of(context: &mut Context, row: &CheckpointRow, name: &str) -> Result<Model> {
    let products = context.recipe.sampling.precision;
    match &row.path {
        None => Ok(context.released(&row.backbone, products)?.model),
        Some(path) => {
            let path = context.workspace()?.path(path);
            let _watched = context.watch_opening(&row.backbone, products);
            reading::say_file(context, &path);
            let recorded = Recorded { name, weights_hash: &row.weights_hash };
            Ok(context.models.checkpoint((&row.backbone, products), &path, Some(recorded))?.model)
        }
    }
}

fn find(context: &Context, name: &str) -> Result<(CheckpointRow, Chosen)> {
    let ledger = context.workspace()?.ledger();
    let (run_name, step) = match name.split_once('@') {
        None => (name, None),
        Some((run, step)) => {
            let step: u32 = step.parse().map_err(|_| {
                Error::invalid(format!("`{name}`: after @ comes the number of a step, such as run-1@100"))
            })?;
            (run, Some(step))
        }
    };
    let run = ledger.run_by_name(run_name)?.ok_or_else(|| {
        let imported = ledger.checkpoints().unwrap_or_default().into_iter().filter(CheckpointRow::is_imported);
        let runs = ledger.runs().unwrap_or_default().into_iter().map(|run| run.name);
        let runs: Vec<String> = imported.map(|row| row.import_name()).chain(runs).collect();
        Error::invalid(format!("there is no run `{run_name}`; there are: reference {}", runs.join(" ")))
    })?;
    match step {
        Some(step) => {
            let all = ledger.checkpoints_of_run(run.id)?;
            let usable = |c: &&CheckpointRow| !c.file_missing;
            let mut at = all.iter().filter(usable).filter(|c| c.step == step);
            // Where there is a moving average, it is what was evaluated.
            let found = at.clone().find(|c| c.kind == CheckpointKind::Ema).or_else(|| at.next());
            let row = found.cloned().ok_or_else(|| {
                let steps: Vec<String> = all.iter().map(|c| c.step.to_string()).collect();
                Error::invalid(format!("{run_name} has no checkpoint at step {step}; it has: {}", steps.join(" ")))
            })?;
            // Named because it is the best, as the studio does, it is the best all the same.
            let best = ledger.chosen_checkpoint(run.id)?.filter(|(best, _)| best.id == row.id);
            let chosen = best.map(|(_, chosen)| chosen).filter(|chosen| matches!(chosen, Chosen::Validation { .. }));
            Ok((row, chosen.unwrap_or_default()))
        }
        None => {
            ledger.chosen_checkpoint(run.id)?.ok_or_else(|| Error::invalid(format!("{run_name} has no checkpoint yet")))
        }
    }
}
