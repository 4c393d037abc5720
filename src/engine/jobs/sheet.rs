//! The image sheet: LR, HR, and the same seeds before and after.

use std::path::PathBuf;

use crate::Result;
use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::protocol::Compared;
use crate::imaging::resize::Filter;
use crate::imaging::sheet::{Cell, Row, Sheet};
use crate::imaging::{decode, encode};
use crate::workspace::{RunRow, files};

/// Held-out images shown.
const ROWS: usize = 6;
/// Seeds shown of each.
const SEEDS: usize = 3;
const CELL_PX: usize = 256;

/// Writes the sheet of a comparison into the workspace; returns its path. A ledger from elsewhere may call a run anything:
/// then its directory names the sheet.
pub fn write(context: &Context, compared: &Compared, run: &RunRow) -> Result<PathBuf> {
    let name = if files::check_run_name(&run.name).is_ok() { &run.name } else { &run.dir };
    let path = context.workspace()?.export_place(&format!("{name}-sheet.png"))?;
    encode::write_png(&path, &sheet(context, compared)?.render()?)?;
    Ok(path)
}

/// The sheet of a comparison whose candidates are in the workspace.
pub fn sheet(context: &Context, compared: &Compared) -> Result<Sheet> {
    let comparison = &compared.report.comparison;
    let workspace = context.workspace()?;
    let every = compared.images.len().div_ceil(ROWS).max(1);
    let seeds: Vec<u64> = compared.report.provenance.seeds.iter().copied().take(SEEDS).collect();
    let mut rows = Vec::new();
    for (index, &id) in compared.images.iter().enumerate().step_by(every) {
        context.checkpoint()?;
        let image = workspace.ledger().image(id)?;
        let read = |path| decode::read(workspace.path(path));
        let mut cells = vec![Some(Cell::new(read(&image.lr_path)?).enlarge(Filter::Nearest))];
        cells.push(image.hr_path.as_ref().map(|path| read(path).map(Cell::new)).transpose()?);
        let [before, after] = &compared.sets;
        let (group_before, group_after) = (workspace.ledger().group(before, id)?, workspace.ledger().group(after, id)?);
        let known = comparison.by_image.get(index);
        for (column, &seed) in seeds.iter().enumerate() {
            for (group, rewards) in
                [(&group_before, known.map(|k| &k.reference)), (&group_after, known.map(|k| &k.policy))]
            {
                let candidate = group.iter().find(|c| c.seed == seed);
                let reward = rewards.and_then(|r| r.get(column).copied().flatten());
                let caption = reward.map_or(String::new(), |r| format!("R {r:.3}"));
                cells.push(
                    candidate.map(|c| damage::read(context, c).map(|i| Cell::new(i).caption(caption))).transpose()?,
                );
            }
        }
        rows.push(Row { label: image.name.clone(), cells });
    }
    let mut columns = vec!["LR".to_owned(), "HR".to_owned()];
    columns.extend(seeds.iter().flat_map(|seed| [format!("seed {seed}, before"), format!("seed {seed}, after")]));
    let [_, mean, worst] = comparison.gains_in_sigma();
    let m = comparison.seeds;
    Ok(Sheet {
        title: format!("{} → {}", comparison.a, comparison.b),
        notes: std::iter::once(format!(
            "{}. Mean@{m} {:.3} → {:.3} ({mean}), Worst@{m} {:.3} → {:.3} ({worst})",
            comparison.on.count(comparison.images),
            comparison.reference.mean_reward(),
            comparison.policy.mean_reward(),
            comparison.reference.worst_reward(),
            comparison.policy.worst_reward(),
        ))
        .chain(comparison.notes().into_iter().map(|note| note.to_string()))
        .collect(),
        columns,
        rows,
        cell_px: CELL_PX,
    })
}
