//! The image sheet: LR, HR, and the same seeds before and after.

use std::path::PathBuf;

use super::{checkpoints, evaluate, sampling};
use crate::engine::context::Context;
use crate::imaging::resize::Filter;
use crate::imaging::sheet::{Cell, Row, Sheet};
use crate::imaging::{decode, encode};
use crate::method::evaluation::Comparison;
use crate::workspace::{CandidateSet, files};
use crate::{Error, Result};

/// Held-out images shown.
const ROWS: usize = 6;
/// Seeds shown of each.
const SEEDS: usize = 3;
const CELL_PX: usize = 256;

/// Writes the sheet of a comparison whose candidates are in the workspace; returns its path.
pub fn write(context: &mut Context, comparison: &Comparison, run: &str) -> Result<PathBuf> {
    let recipe = evaluate::recipe_for(context, comparison.seeds);
    let (_, sampler) = sampling::sampler_of(&recipe)?;
    let sets = [&comparison.a, &comparison.b].map(|name| {
        let checkpoint = checkpoints::load(context, name)?.id;
        Ok::<_, Error>(CandidateSet { checkpoint, sampler: sampler.clone() })
    });
    let [before, after] = sets;
    let (before, after) = (before?, after?);
    let workspace = context.workspace()?;
    let images = evaluate::held_out(context)?;
    let every = images.len().div_ceil(ROWS).max(1);
    let seeds: Vec<u64> = recipe.seeds().into_iter().take(SEEDS).collect();
    let mut rows = Vec::new();
    for (index, image) in images.iter().enumerate().step_by(every) {
        let read = |path| decode::read(workspace.path(path));
        let mut cells = vec![Some(Cell::new(read(&image.lr_path)?).enlarge(Filter::Nearest))];
        cells.push(image.hr_path.as_ref().map(|path| read(path).map(Cell::new)).transpose()?);
        let groups = [&before, &after].map(|set| workspace.ledger().group(set, image.id));
        let [group_before, group_after] = groups;
        let known = comparison.by_image.get(index);
        for (column, &seed) in seeds.iter().enumerate() {
            for (group, rewards) in
                [(&group_before, known.map(|k| &k.reference)), (&group_after, known.map(|k| &k.policy))]
            {
                let group = group.as_ref().map_err(|e| Error::invalid(e.to_string()))?;
                let candidate = group.iter().find(|c| c.seed == seed);
                let reward = rewards.and_then(|r| r.get(column).copied().flatten());
                let caption = reward.map_or(String::new(), |r| format!("R {r:.3}"));
                cells.push(candidate.map(|c| read(&c.path).map(|i| Cell::new(i).caption(caption))).transpose()?);
            }
        }
        rows.push(Row { label: image.name.clone(), cells });
    }
    let mut columns = vec!["LR".to_owned(), "HR".to_owned()];
    columns.extend(seeds.iter().flat_map(|seed| [format!("seed {seed}, before"), format!("seed {seed}, after")]));
    let (mean, worst) = comparison.gains_in_sigma();
    let m = comparison.seeds;
    let sheet = Sheet {
        title: format!("{} → {}", comparison.a, comparison.b),
        notes: vec![format!(
            "Held-out images, never trained on. Mean@{m} {:.3} → {:.3} ({mean:+.2} σ), Worst@{m} {:.3} → {:.3} ({worst:+.2} σ)",
            comparison.reference.mean_reward(),
            comparison.policy.mean_reward(),
            comparison.reference.worst_reward(),
            comparison.policy.worst_reward(),
        )],
        columns,
        rows,
        cell_px: CELL_PX,
    };
    let path = workspace.root().join(files::EXPORTS_DIR).join(format!("{run}-sheet.png"));
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|e| Error::file(dir, e))?;
    }
    encode::write_png(&path, &sheet.render()?)?;
    Ok(path)
}
