//! Candidates of any model, as a set under a name of their own: ranked, paired, judged and compared like those that are sampled here.
//!
//! Their identity is the name (and step) that they are given, as nothing is known of the weights. A candidate is never replaced by
//! another picture under the same name, so an import that was cut off goes on where it was when it is given again.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use rayon::prelude::*;

use super::ByName;
use super::found::{Found, Groups, files_in_words, groups, named};
use super::read::{Read, read};
use crate::Result;
use crate::engine::added::Added;
use crate::engine::context::Context;
use crate::engine::imported::Imported;
use crate::engine::jobs::add;
use crate::engine::jobs::imported::listed_seeds;
use crate::engine::plan;
use crate::engine::progress::Meter;
use crate::engine::protocol::{AddImages, Change, ImportCandidates, Level, Outcome, Role};
use crate::imaging::SCALE;
use crate::method::recipe::Recipe;
use crate::workspace::{CandidateSet, ImageId, ImageRow, NewCandidate, Workspace, files};

/// Pictures that are read and saved together.
const AT_ONCE: usize = 8;
/// Most seeds of a group that a recipe may have.
const MOST_SEEDS: usize = 1024;

/// Imports what lies below a folder; what does not fit is named and left out.
pub fn candidates(context: &mut Context, request: &ImportCandidates) -> Result<Outcome> {
    files::check_import_name(&request.name)?;
    let found = Found::of(request, &ByName::of(context.workspace()?.ledger().images()?))?;
    let mut report =
        Imported { name: request.name.clone(), pattern: found.pattern.text().into(), ..Imported::default() };
    report.failed.causes.extend(found.faults());
    report.added = add_images(context, request, &found)?;
    let images = context.workspace()?.ledger().images()?;
    let groups = groups(&found, &ByName::of(images.clone()), &mut report);
    report.failed.items = groups.len() + report.failed.causes.len();
    if request.split.is_held_out() {
        say_split(&images, &groups, &mut report);
    }
    let total = groups.values().flat_map(BTreeMap::values).map(Vec::len).sum();
    let mut meter = Meter::new("importing", "candidates", total);
    context.report(Some(meter.now()));
    let mut sets = BTreeMap::new();
    for ((step, image), group) in &groups {
        let Some(row) = images.iter().find(|row| row.id == *image) else { continue };
        let workspace = context.workspace()?;
        let checkpoint = workspace.ledger().ensure_imported(&request.name, *step)?;
        let set = workspace.ledger().checkpoint(checkpoint)?.imported_set();
        sets.entry(*step).or_insert_with(|| set.clone());
        import_group(context, &set, row, group, &mut report, &mut meter)?;
    }
    say_missing(context, &sets, &images, &mut report)?;
    if let Some(set) = sets.values().next() {
        become_reference(context, set, &mut report)?;
    }
    context.changed(Change::Images);
    context.changed(Change::Runs);
    Ok(Outcome::Imported(Box::new(report)))
}

/// Adds the LR and HR images that come with the candidates, whole.
fn add_images(context: &mut Context, request: &ImportCandidates, found: &Found) -> Result<Vec<Added>> {
    let mut all = Vec::new();
    for (paths, role) in [(&found.lr, Role::Lr), (&found.hr, Role::Hr)] {
        if paths.is_empty() {
            continue;
        }
        let images = AddImages {
            paths: paths.clone(),
            role: Some(role),
            split: request.split,
            crops: 1,
            ..AddImages::default()
        };
        if let Outcome::Added(added) = add::add(context, &images)? {
            all.push(*added);
        }
    }
    if request.lr.is_none() && all.iter().any(|added| added.made > 0) {
        let text = "LR images were made of the HR images: they are not those that the candidates were made from; --lr gives those";
        context.log(Level::Warning, text);
    }
    Ok(all)
}

/// Says which images were here before for something else than they are asked to be for.
fn say_split(images: &[ImageRow], groups: &Groups, report: &mut Imported) {
    let ids: HashSet<ImageId> = groups.keys().map(|(_, image)| *image).collect();
    let trained = images.iter().filter(|row| ids.contains(&row.id) && !row.is_held_out());
    let names: Vec<String> = trained.map(|row| row.name.clone()).collect();
    if !names.is_empty() {
        let count = names.len();
        report.notes.push(format!(
            "{count} of the images were here to train on, and stay so: {}; `split` holds them out",
            named(&names)
        ));
    }
}

fn import_group(
    context: &Context,
    set: &CandidateSet,
    row: &ImageRow,
    group: &BTreeMap<u64, Vec<PathBuf>>,
    report: &mut Imported,
    meter: &mut Meter,
) -> Result<()> {
    let workspace = context.workspace()?;
    let px = [row.lr_width_px, row.lr_height_px].map(|side| side as usize * SCALE);
    let here: BTreeMap<u64, PathBuf> = workspace
        .ledger()
        .group(set, row.id)?
        .into_iter()
        .map(|candidate| (candidate.seed, workspace.path(&candidate.path)))
        .collect();
    let files: Vec<(u64, &PathBuf)> =
        group.iter().flat_map(|(seed, files)| files.iter().map(|file| (*seed, file))).collect();
    let mut faults = Faults::default();
    for some in files.chunks(AT_ONCE) {
        context.checkpoint()?;
        let done: Vec<Result<Read>> =
            some.par_iter().map(|(seed, file)| read(file, px, here.get(seed).map(PathBuf::as_path))).collect();
        let mut new = Vec::new();
        for ((seed, file), done) in some.iter().zip(done) {
            let name = || file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match done {
                Ok(Read::Known) => report.known += 1,
                Ok(Read::New(bytes, said)) => {
                    said.into_iter().for_each(|what| report.convert(what, name()));
                    let candidate = NewCandidate { set: set.clone(), image: row.id, seed: *seed, seconds: f64::NAN };
                    new.push((candidate, bytes));
                }
                Ok(Read::Other) => faults.others.push(*seed),
                Ok(Read::Size(size)) => faults.sizes.entry(size).or_default().push(name()),
                Err(error) if error.ends_job() => return Err(error),
                Err(error) => faults.unread.push(error.to_string()),
            }
        }
        report.candidates += workspace.save_candidates(&new)?.len();
        context.advance(meter, some.len());
    }
    faults.say(&row.name, px, report);
    report.images += 1;
    context.changed(Change::Candidates(row.id));
    Ok(())
}

/// What did not fit of one image.
#[derive(Default)]
struct Faults {
    sizes: BTreeMap<[usize; 2], Vec<String>>,
    others: Vec<u64>,
    unread: Vec<String>,
}

impl Faults {
    fn say(self, image: &str, [width, height]: [usize; 2], report: &mut Imported) {
        for ([w, h], files) in self.sizes {
            let (count, names) = (files_in_words(&files), named(&files));
            report.failed.add(format!(
                "{image}: {count} of {w}×{h} px, where {width}×{height} px ({SCALE} × its LR) are wanted: {names}"
            ));
        }
        if !self.others.is_empty() {
            let seeds = listed_seeds(&self.others);
            report.failed.add(format!(
                "{image}: of {seeds} another picture is here under this name; import these under another"
            ));
        }
        if let Some(first) = self.unread.first() {
            report.failed.add(format!("{image}: {} cannot be read: {first}", files_in_words(&self.unread)));
        }
    }
}

/// Says which images have fewer seeds than the others of their set.
fn say_missing(
    context: &Context,
    sets: &BTreeMap<Option<u32>, CandidateSet>,
    images: &[ImageRow],
    report: &mut Imported,
) -> Result<()> {
    let ledger = context.workspace()?.ledger();
    for set in sets.values() {
        let seeds = ledger.seeds_of(set)?;
        report.seeds = report.seeds.max(seeds.len());
        let sizes = ledger.group_sizes(set)?;
        let ids: Vec<ImageId> = images.iter().map(|image| image.id).filter(|id| sizes.contains_key(id)).collect();
        for missing in ledger.missing_candidates(set, &ids, &seeds)? {
            let name = images.iter().find(|image| image.id == missing.image).map_or("", |image| image.name.as_str());
            report.lacking.push(format!("{name} lacks {}", listed_seeds(&missing.seeds)));
        }
    }
    Ok(())
}

/// The first candidates of a workspace are its reference's; of a reference the recipe has as many seeds as there are.
fn become_reference(context: &mut Context, set: &CandidateSet, report: &mut Imported) -> Result<()> {
    let workspace = context.workspace()?;
    let row = workspace.ledger().checkpoint(set.checkpoint)?;
    let mut recipe = context.recipe.clone();
    let is_first = recipe.imported().is_none() && !has_own(workspace, &recipe)?;
    if is_first {
        recipe.sampling.imported = row.import_name();
    }
    report.is_reference = recipe.imported() == Some(&row.import_name());
    if !report.is_reference {
        return Ok(());
    }
    let seeds = workspace.ledger().seeds_of(set)?;
    let grows = is_first || recipe.sampling.m < seeds.len();
    if let (Some(first), true) = (seeds.first(), grows && seeds.len() > 1) {
        (recipe.sampling.first_seed, recipe.sampling.m) = (*first, seeds.len().min(MOST_SEEDS));
    }
    if recipe != context.recipe {
        context.adopt_recipe(recipe)?;
    }
    Ok(())
}

/// Whether candidates of the backbone's own are here.
fn has_own(workspace: &Workspace, recipe: &Recipe) -> Result<bool> {
    match plan::known_reference(workspace, recipe)? {
        Some(own) => Ok(!workspace.ledger().group_sizes(&own)?.is_empty()),
        None => Ok(false),
    }
}
