//! Finding checkpoints by the names people type, and loading them.

use crate::engine::context::Context;
use crate::engine::models::{Model, Recorded};
use crate::workspace::{CheckpointId, CheckpointKind, CheckpointRow};
use crate::{Error, Result};

/// A checkpoint with its weights.
pub struct Loaded {
    pub id: CheckpointId,
    /// `reference`, or `RUN@STEP`.
    pub name: String,
    pub model: Model,
}

/// The checkpoint of `reference`, `RUN` (its best by held-out reward, else its last) or `RUN@STEP`.
pub fn load(context: &mut Context, name: &str) -> Result<Loaded> {
    if name == "reference" {
        let (set, model) = super::sampling::reference(context)?;
        return Ok(Loaded { id: set.checkpoint, name: name.into(), model });
    }
    let row = find(context, name)?;
    let run = name.split_once('@').map_or(name, |(run, _)| run);
    let name = format!("{run}@{}", row.step);
    let model = of(context, &row, &name)?;
    Ok(Loaded { id: row.id, name, model })
}

/// The weights of a checkpoint, which `name` names. Errors: they are not those that were recorded.
fn of(context: &mut Context, row: &CheckpointRow, name: &str) -> Result<Model> {
    match &row.path {
        None => Ok(context.models.reference(&row.backbone)?.model),
        Some(path) => {
            let path = context.workspace()?.path(path);
            let recorded = Recorded { name, weights_hash: &row.weights_hash };
            Ok(context.models.checkpoint(&row.backbone, &path, Some(recorded))?.model)
        }
    }
}

fn find(context: &Context, name: &str) -> Result<CheckpointRow> {
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
        let runs: Vec<String> = ledger.runs().unwrap_or_default().into_iter().map(|r| r.name).collect();
        Error::invalid(format!("there is no run `{run_name}`; there are: reference {}", runs.join(" ")))
    })?;
    let all = ledger.checkpoints_of_run(run.id)?;
    let usable = |c: &&CheckpointRow| !c.file_missing;
    match step {
        Some(step) => {
            let mut at = all.iter().filter(usable).filter(|c| c.step == step);
            // Where there is a moving average, it is what was evaluated.
            let found = at.clone().find(|c| c.kind == CheckpointKind::Ema).or_else(|| at.next());
            found.cloned().ok_or_else(|| {
                let steps: Vec<String> = all.iter().map(|c| c.step.to_string()).collect();
                Error::invalid(format!("{run_name} has no checkpoint at step {step}; it has: {}", steps.join(" ")))
            })
        }
        None => {
            let best = ledger.best_checkpoint(run.id)?.filter(|c| !c.file_missing);
            best.or_else(|| all.iter().rfind(usable).cloned())
                .ok_or_else(|| Error::invalid(format!("{run_name} has no checkpoint yet")))
        }
    }
}
