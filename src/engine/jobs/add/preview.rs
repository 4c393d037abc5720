//! What adding would find, by names and sizes alone: which files are LR and HR, which go together, what is wrong. Contents are
//! compared when they are added.

use std::collections::HashMap;
use std::path::PathBuf;

use super::collect::Collected;
use super::compare::fits;
use super::plan;
use super::sides::File;
use crate::engine::previews::AddPreview;
use crate::engine::protocol::{AddImages, Role};
use crate::{Error, Result};

/// Looks at the files of a request. Errors: there are none.
pub fn preview(request: &AddImages) -> Result<AddPreview> {
    let collected = Collected::of(&request.paths, request.recursive);
    let mut faults: Vec<String> = collected.refused.iter().map(Error::to_string).collect();
    let passed = collected.passed_over();
    faults.extend(passed.iter().map(|(kind, names)| format!("{} passed over, {kind}: {}", names.len(), first(names))));
    let files = plan::files(collected.files, request.role);
    let unread = files.iter().filter(|file| file.size_px.is_none()).map(|file| file.path.display().to_string());
    let unread: Vec<String> = unread.collect();
    if !unread.is_empty() {
        faults.push(format!("{} cannot be read as images: {}", unread.len(), first(&unread)));
    }
    let mut lr_of: HashMap<&str, Vec<&File>> = HashMap::new();
    for file in files.iter().filter(|file| file.role == Role::Lr) {
        lr_of.entry(&file.place.key).or_default().push(file);
    }
    let (mut pairs, mut hr_alone) = (Vec::new(), Vec::new());
    for hr in files.iter().filter(|file| file.role == Role::Hr && file.size_px.is_some()) {
        let candidates = lr_of.get_mut(hr.place.key.as_str());
        let size_fits = |lr: &&File| lr.size_px.zip(hr.size_px).is_some_and(|(lr, hr)| fits(lr, hr));
        let near = candidates.and_then(|all| {
            let best =
                (0..all.len()).filter(|&i| size_fits(&all[i])).min_by_key(|&i| all[i].place.distance(&hr.place))?;
            Some(all.swap_remove(best))
        });
        match near {
            Some(lr) => pairs.push([lr.path.clone(), hr.path.clone()]),
            None => {
                let misfit = lr_of.get(hr.place.key.as_str()).and_then(|all| all.first());
                if let (Some(lr), Some([w, h])) = (misfit, hr.size_px) {
                    let (hr, lr) = (hr.path.display(), lr.path.display());
                    faults.push(format!("{hr}: {w}×{h} px is not 4 times the size of {lr}"));
                }
                hr_alone.push(hr.path.clone());
            }
        }
    }
    let lr_alone: Vec<PathBuf> = lr_of.into_values().flatten().map(|file| file.path.clone()).collect();
    Ok(AddPreview { pairs, lr_alone, hr_alone, faults, thumbs: Vec::new() })
}

/// The first of some names.
fn first(names: &[String]) -> String {
    const NAMED: usize = 3;
    let more = names.len().saturating_sub(NAMED);
    let named = names[..NAMED.min(names.len())].join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}
