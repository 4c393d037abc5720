//! Whether a run is the one that training now would be: what [`resume`] compares of its recipe, its place among the rounds,
//! and its pairs.

use super::sampling::sampler_of;
use super::train;
use crate::Result;
use crate::engine::context::Context;
use crate::method::recipe::Recipe;
use crate::method::resume;
use crate::workspace::{RunId, RunRow};

/// The newest unfinished run that a new one in this round leaves behind, and why; `others` are those of the round.
pub fn left_unfinished(
    context: &Context,
    round: u32,
    others: Vec<(RunRow, String)>,
) -> Result<Option<(RunRow, String)>> {
    if let Some(found) = others.into_iter().find(|(run, _)| !run.state.is_final()) {
        return Ok(Some(found));
    }
    let runs = context.workspace()?.ledger().runs()?;
    let later = runs.into_iter().rfind(|run| run.round > round && !run.state.is_final());
    Ok(later.map(|run| (run, "the round before it is another".into())))
}

/// Why training now would not go on with this run but begin another; `None` where it goes on.
pub fn why_another(
    context: &Context,
    run: &RunRow,
    (round, parent): (u32, Option<RunId>),
    lines: &str,
) -> Result<Option<String>> {
    let recipe = &context.recipe;
    let Ok(began) = Recipe::from_ron_unchecked(&run.recipe) else {
        return Ok(Some("the recipe it began with cannot be read".into()));
    };
    let mut whys = Vec::new();
    let differing = resume::differences(&began, recipe, round);
    if !differing.is_empty() {
        whys.push(resume::in_words(&differing, &began, recipe));
    }
    // Tiles may follow from the memory budget, which is not a setting that makes another run by itself.
    let [then, now] = [&began, recipe].map(|recipe| sampler_of(recipe).ok().map(|(_, sampler)| sampler.to_string()));
    if let (true, Some(then), Some(now)) = (differing.is_empty() && then != now, then, now) {
        whys.push(format!("its candidates are those of {then}, not of {now}"));
    }
    if run.parent != parent {
        whys.push("it follows another run".into());
    }
    let kept = std::fs::read_to_string(train::pairs_path(context, run)?).unwrap_or_default();
    if kept != lines {
        let causes = resume::causes_of_other_pairs(&began, recipe);
        let causes = match causes.is_empty() {
            true => String::new(),
            false => format!(" ({})", resume::in_words(&causes, &began, recipe)),
        };
        let count = |text: &str| text.lines().count();
        whys.push(format!("its {} pairs are not the {} there are now{causes}", count(&kept), count(lines)));
    }
    Ok((!whys.is_empty()).then(|| whys.join("; ")))
}
