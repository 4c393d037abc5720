//! Whether a run is the one that training now would be: what [`resume`] compares of its recipe, its place among the rounds,
//! and its pairs.

use crate::Result;
use crate::engine::context::Context;
use crate::engine::plan::Sampling;
use crate::engine::protocol::Level;
use crate::fs::hash;
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
    let [then, now] = [&began, recipe].map(|recipe| Sampling::of(recipe).ok().map(|sampling| sampling.key.to_string()));
    if let (true, Some(then), Some(now)) = (differing.is_empty() && then != now, then, now) {
        whys.push(format!("its candidates are those of {then}, not of {now}"));
    }
    if run.parent != parent {
        whys.push("it follows another run".into());
    }
    if !has_pairs(context, run, lines)? {
        let kept = kept_pairs(context, run)?;
        let causes = resume::causes_of_other_pairs(&began, recipe);
        let causes = match causes.is_empty() {
            true => String::new(),
            false => format!(" ({})", resume::in_words(&causes, &began, recipe)),
        };
        let count = |text: &[u8]| text.iter().filter(|&&byte| byte == b'\n').count();
        let (kept, now) = (count(&kept), count(lines.as_bytes()));
        whys.push(format!("its {kept} pairs are not the {now} there are now{causes}"));
    }
    Ok((!whys.is_empty()).then(|| whys.join("; ")))
}

/// Writes the pairs of a run again where their file is damaged; `lines` are those it has.
pub fn mend_pairs(context: &Context, run: &RunRow, lines: &str) -> Result<()> {
    if kept_pairs(context, run)? == lines.as_bytes() {
        return Ok(());
    }
    let workspace = context.workspace()?;
    let file = workspace.pairs_file(run)?;
    context.log(Level::Warning, format!("{file}: was damaged and is written again"));
    workspace.write_file(&file, lines.as_bytes())
}

/// Whether a run was made of these pairs. What the ledger knows decides, as the file may be damaged; runs of earlier
/// versions have only the file, or were cut off before it.
fn has_pairs(context: &Context, run: &RunRow, lines: &str) -> Result<bool> {
    if let Some(known) = &run.pairs_hash {
        return Ok(*known == hash::hash_bytes(lines.as_bytes()));
    }
    let kept = kept_pairs(context, run)?;
    let ledger = context.workspace()?.ledger();
    Ok(kept == lines.as_bytes() || (kept.is_empty() && ledger.steps_since(run.id, 0)?.is_empty()))
}

/// The pairs' file as it is; nothing where it cannot be read.
fn kept_pairs(context: &Context, run: &RunRow) -> Result<Vec<u8>> {
    let workspace = context.workspace()?;
    Ok(std::fs::read(workspace.path(&workspace.pairs_file(run)?)).unwrap_or_default())
}
