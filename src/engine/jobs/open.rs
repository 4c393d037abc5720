//! Making and opening workspaces.

use std::path::Path;

use super::add;
use crate::engine::context::Context;
use crate::engine::metrics;
use crate::engine::protocol::{Event, Level, Outcome};
use crate::method::presets;
use crate::method::recipe::{Recipe, Sampling};
use crate::workspace::{NewReference, Workspace};
use crate::{Error, Result};

pub fn create(context: &mut Context, dir: &Path, recipe: Recipe, example: bool) -> Result<Outcome> {
    metrics::check(&recipe)?;
    // Noted before the directory is a workspace: cut off after that, it must not be taken for one without images.
    let task = example.then(|| add::example_task(&recipe.data)).transpose()?;
    if task.is_some() && half_made(dir) {
        return open(context, dir, false);
    }
    let task = task.as_deref().map(|about| (add::EXAMPLE, about));
    let workspace = Workspace::create_for(dir, &recipe.to_ron()?, task)?;
    context.open_workspace(workspace, recipe, None)?;
    if example { add::add_example(context) } else { Ok(Outcome::None) }
}

/// Whether `dir` is a workspace that was cut off while the shipped photographs were added.
fn half_made(dir: &Path) -> bool {
    let task = Workspace::open_read_only(dir).and_then(|workspace| workspace.ledger().incomplete_task(add::EXAMPLE));
    matches!(task, Ok(Some(_)))
}

/// Opens a workspace; the example that a cut-off creation left half added is completed.
pub fn open(context: &mut Context, dir: &Path, or_look: bool) -> Result<Outcome> {
    // Its own lock would be in the way of opening the same workspace again.
    let was_open = context.writes(dir);
    if was_open {
        context.close_workspace();
    }
    let opened = match Workspace::open(dir) {
        Err(Error::InUse { .. }) if or_look && context.looks_at(dir) => return Ok(Outcome::None),
        Err(Error::InUse { holder, .. }) if or_look => Workspace::open_read_only(dir).map(|w| (w, Some(holder))),
        other => other.map(|workspace| (workspace, None)),
    };
    let opened = opened.and_then(|(workspace, holder)| {
        let mut recipe: Recipe = workspace.recipe()?;
        let dropped = recipe.drop_unused();
        recipe.validate()?;
        context.open_workspace(workspace, recipe, holder)?;
        dropped.into_iter().for_each(|text| context.log(Level::Warning, text));
        Ok(())
    });
    if opened.is_err() && was_open {
        context.emit(Event::Closed);
    }
    opened?;
    if context.workspace()?.is_writable() { add::complete_example(context) } else { Ok(Outcome::None) }
}

/// Sets right what opening refuses. Candidates that no run made are taken for those of the recipe's reference, or of the
/// preset's where the recipe cannot be read.
pub fn repair(context: &mut Context, dir: &Path) -> Result<Outcome> {
    if context.writes(dir) {
        context.close_workspace();
        context.emit(Event::Closed);
    }
    let recipe = presets::preset(presets::DEFAULT)?;
    let kept = Workspace::recipe_left(dir).filter(|kept: &Recipe| kept.check_backbone().is_ok());
    let Sampling { backbone, precision, .. } = kept.as_ref().unwrap_or(&recipe).sampling.clone();
    let weights_hash = context.models.reference(&backbone, precision)?.weights_hash;
    let lines = Workspace::rebuild(dir, &NewReference { backbone, weights_hash }, &recipe.to_ron()?)?;
    Ok(Outcome::Repaired(lines))
}
