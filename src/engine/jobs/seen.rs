//! Which of the images compared a checkpoint was trained on: by the pairs of its run and of the rounds before, whatever the
//! images are marked as by now.

use std::collections::HashSet;

use super::pairs;
use crate::Result;
use crate::engine::context::Context;
use crate::method::provenance::TrainedOn;
use crate::workspace::{ImageId, ImageRow, RunId, same_source};

/// Runs behind the checkpoints of `runs` that were trained on some of `images`, or on something of the same source.
pub fn trained_on(context: &Context, runs: &[RunId], images: &[ImageRow]) -> Result<Vec<TrainedOn>> {
    let workspace = context.workspace()?;
    let ledger = workspace.ledger();
    let mut all = ledger.images()?;
    all.extend(ledger.removed_images()?);
    let groups = same_source(all.iter().map(ImageRow::hashes));
    let mut found = Vec::new();
    let mut looked_at = HashSet::new();
    let mut waiting = runs.to_vec();
    while let Some(id) = waiting.pop() {
        if !looked_at.insert(id) {
            continue;
        }
        let run = ledger.run(id)?;
        waiting.extend(run.parent);
        let mut of_run = TrainedOn { run: run.name.clone(), images: Vec::new(), alike: Vec::new(), unknown: None };
        match pairs::read(&workspace.path(&workspace.pairs_file(&run)?)) {
            Err(error) => of_run.unknown = Some(error.to_string()),
            Ok(lines) => {
                let trained: HashSet<ImageId> = lines.iter().map(|line| ImageId(line.image)).collect();
                let is_seen = |group: &&Vec<usize>| group.iter().any(|&at| trained.contains(&all[at].id));
                let seen: HashSet<ImageId> = groups.iter().filter(is_seen).flatten().map(|&at| all[at].id).collect();
                let pictures: Vec<&ImageRow> = all.iter().filter(|image| trained.contains(&image.id)).collect();
                for image in images {
                    if seen.contains(&image.id) {
                        of_run.images.push(image.name.clone());
                    } else if pictures.iter().any(|picture| picture.looks_like(image)) {
                        of_run.alike.push(image.name.clone());
                    }
                }
            }
        }
        if of_run.unknown.is_some() || !(of_run.images.is_empty() && of_run.alike.is_empty()) {
            found.push(of_run);
        }
    }
    Ok(found)
}
