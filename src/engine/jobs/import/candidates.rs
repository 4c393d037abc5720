//! Candidates of any model, as a set under a name of their own: ranked, paired, judged and compared like those that are sampled here.
//!
//! Their identity is the name (and step) that they are given, as nothing is known of the weights. A candidate is never replaced by
//! another picture under the same name, so an import that was cut off goes on where it was when it is given again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::pattern::{Pattern, Place};
use super::read::{Read, read};
use super::{ByName, key};
use crate::engine::added::Added;
use crate::engine::context::Context;
use crate::engine::imported::{ImportPreview, Imported, Share};
use crate::engine::jobs::imported::listed_seeds;
use crate::engine::jobs::{Collected, add};
use crate::engine::plan;
use crate::engine::progress::Meter;
use crate::engine::protocol::{AddImages, Change, ImportCandidates, Level, Outcome, Role};
use crate::imaging::SCALE;
use crate::method::recipe::Recipe;
use crate::workspace::{CandidateSet, ImageId, ImageRow, NewCandidate, Workspace, files};
use crate::{Error, Result};

/// Pictures that are read and saved together.
const AT_ONCE: usize = 8;
/// Files of an image that are shown.
const SHOWN: usize = 4;
/// Files named in a line.
const NAMED: usize = 3;
/// Most seeds of a group that a recipe may have.
const MOST_SEEDS: usize = 1024;

/// The files of one image at one step, by seed.
type Groups = BTreeMap<(Option<u32>, ImageId), BTreeMap<u64, Vec<PathBuf>>>;

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

/// What an import would find, by names alone.
pub fn preview(workspace: &Workspace, request: &ImportCandidates) -> Result<ImportPreview> {
    let images = workspace.ledger().images()?;
    let found = Found::of(request, &ByName::of(images.clone()))?;
    let mut report = Imported::default();
    let groups = groups(&found, &ByName::of(images), &mut report);
    // Images that come in with them are known by then.
    let new: HashSet<String> = found.lr.iter().chain(&found.hr).map(|path| key(&stem_of(path))).collect();
    let comes = |cause: &String| cause.split_once(": ").is_some_and(|(image, _)| new.contains(&key(image)));
    let faults =
        found.faults().into_iter().chain(report.failed.causes.into_iter().filter(|cause| !comes(cause))).collect();
    let steps: BTreeSet<Option<u32>> = found.placed.iter().map(|(place, _)| place.step).collect();
    let seeds: BTreeSet<u64> = found.placed.iter().map(|(place, _)| place.seed).collect();
    let share = |((_, image), files): (&(Option<u32>, ImageId), &BTreeMap<u64, Vec<PathBuf>>)| Share {
        image: Some(*image),
        files: files.values().flatten().take(SHOWN).cloned().collect(),
        seeds: files.len(),
    };
    let mut shares: Vec<Share> = groups.iter().map(share).collect();
    if shares.is_empty() {
        let files = found.placed.iter().take(SHOWN).map(|(_, file)| file.clone()).collect();
        shares.push(Share { image: None, files, seeds: seeds.len() });
    }
    Ok(ImportPreview {
        pattern: found.pattern.text().into(),
        files: found.placed.len(),
        images: found.placed.iter().map(|(place, _)| &place.image).collect::<HashSet<_>>().len(),
        seeds: seeds.len(),
        steps: steps.into_iter().flatten().collect(),
        lr: found.lr.len(),
        hr: found.hr.len(),
        shares,
        faults,
        thumbs: Vec::new(),
    })
}

/// The files of a request, each with what its path says.
struct Found {
    pattern: Pattern,
    placed: Vec<(Place, PathBuf)>,
    /// Paths that do not follow the pattern.
    strange: Vec<String>,
    refused: Vec<Error>,
    /// LR and HR files of the images that candidates are of.
    lr: Vec<PathBuf>,
    hr: Vec<PathBuf>,
}

impl Found {
    fn of(request: &ImportCandidates, known: &ByName) -> Result<Self> {
        let side = |dir: &Option<PathBuf>| -> Result<Vec<PathBuf>> {
            let Some(dir) = dir else { return Ok(Vec::new()) };
            let collected = Collected::of(std::slice::from_ref(dir), true);
            match (collected.files.is_empty(), collected.refused.into_iter().next()) {
                (true, Some(error)) => Err(error),
                (true, None) => Err(Error::file(dir, "there are no image files in it")),
                _ => Ok(collected.files),
            }
        };
        let (lr, hr) = (side(&request.lr)?, side(&request.hr)?);
        let collected = Collected::of(std::slice::from_ref(&request.dir), true);
        let beside = |file: &Path| [&request.lr, &request.hr].into_iter().flatten().any(|dir| file.starts_with(dir));
        let files: Vec<PathBuf> = collected.files.into_iter().filter(|file| !beside(file)).collect();
        if files.is_empty() {
            let error = collected.refused.into_iter().next();
            return Err(error.unwrap_or_else(|| Error::file(&request.dir, "there are no image files in it")));
        }
        let paths: Vec<String> = files.iter().map(|file| below(file, &request.dir)).collect();
        let stems: HashSet<String> = lr.iter().chain(&hr).map(|path| key(&stem_of(path))).collect();
        let pattern = match &request.pattern {
            Some(text) => Pattern::parse(text)?,
            None => Pattern::guess(&paths, |image| known.find(image).is_ok() || stems.contains(&key(image)))?,
        };
        let (mut placed, mut strange) = (Vec::new(), Vec::new());
        for (path, file) in paths.into_iter().zip(files) {
            match pattern.place(&path) {
                Some(place) => placed.push((place, file)),
                None => strange.push(path),
            }
        }
        if placed.is_empty() {
            let first = strange.first().map_or("", String::as_str);
            return Err(Error::file(
                &request.dir,
                format!("no file follows the pattern {}, such as {first}", pattern.text()),
            ));
        }
        let wanted: HashSet<String> = placed.iter().map(|(place, _)| key(&place.image)).collect();
        let of = |files: Vec<PathBuf>, wanted: &HashSet<String>| -> Vec<PathBuf> {
            files.into_iter().filter(|path| wanted.contains(&key(&stem_of(path)))).collect()
        };
        let lr = of(lr, &wanted);
        let with_lr: HashSet<String> = lr.iter().map(|path| key(&stem_of(path))).collect();
        let hr = of(hr, if request.lr.is_some() { &with_lr } else { &wanted });
        Ok(Self { pattern, placed, strange, refused: collected.refused, lr, hr })
    }

    fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.refused.iter().map(Error::to_string).collect();
        if !self.strange.is_empty() {
            let pattern = self.pattern.text();
            faults.push(format!(
                "{} do not follow the pattern {pattern}: {}",
                files_in_words(&self.strange),
                named(&self.strange)
            ));
        }
        faults
    }
}

fn stem_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn below(file: &Path, dir: &Path) -> String {
    let path = file.strip_prefix(dir).unwrap_or(file);
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn files_in_words<T>(files: &[T]) -> String {
    format!("{} file{}", files.len(), if files.len() == 1 { "" } else { "s" })
}

/// The first of some names.
fn named(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let first = names[..NAMED.min(names.len())].join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
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

/// The files by image; names that no image goes by are faults, and seeds that two files claim.
fn groups(found: &Found, images: &ByName, report: &mut Imported) -> Groups {
    let (mut groups, mut unknown) = (Groups::new(), BTreeMap::<&str, (String, usize)>::new());
    let mut image_names = BTreeMap::new();
    for (place, file) in &found.placed {
        match images.find(&place.image) {
            Ok(row) => {
                image_names.insert(row.id, row.name.clone());
                let group = groups.entry((place.step, row.id)).or_default();
                group.entry(place.seed).or_default().push(file.clone());
            }
            Err(cause) => unknown.entry(&place.image).or_insert((cause, 0)).1 += 1,
        }
    }
    for (image, (cause, count)) in unknown {
        report
            .failed
            .add(format!("{image}: {cause} ({count} candidates); add it first, or name its folder with --lr or --hr"));
    }
    for ((_, id), group) in &mut groups {
        group.retain(|seed, files| {
            if files.len() > 1 {
                let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
                let (image, count, names) =
                    (image_names.get(id).map_or("", String::as_str), files.len(), named(&names));
                report.failed.add(format!("{image}: seed {seed} has {count} files, none is taken: {names}"));
            }
            files.len() == 1
        });
    }
    groups
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
