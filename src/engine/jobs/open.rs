//! Making and opening workspaces.

use std::path::Path;

use super::add;
use crate::Result;
use crate::engine::context::Context;
use crate::engine::metrics;
use crate::engine::protocol::{Level, Outcome};
use crate::method::recipe::Recipe;
use crate::workspace::Workspace;

pub fn create(context: &mut Context, dir: &Path, recipe: Recipe, example: bool) -> Result<Outcome> {
    metrics::check(&recipe)?;
    context.close_workspace();
    let workspace = Workspace::create(dir, &recipe.to_ron()?)?;
    context.open_workspace(workspace, recipe);
    if example { add::add_example(context) } else { Ok(Outcome::None) }
}

pub fn open(context: &mut Context, dir: &Path) -> Result<Outcome> {
    // Its own lock would be in the way of opening the same workspace again.
    context.close_workspace();
    let workspace = Workspace::open(dir)?;
    let mut recipe: Recipe = workspace.recipe()?;
    let dropped = recipe.drop_unused();
    recipe.validate()?;
    context.open_workspace(workspace, recipe);
    dropped.into_iter().for_each(|text| context.log(Level::Warning, text));
    Ok(Outcome::None)
}
