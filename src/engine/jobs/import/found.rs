//! The files of an import, by what their paths say: before anything is read.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::pattern::{Pattern, Place};
use super::{ByName, key};
use crate::engine::imported::{ImportPreview, Imported, Share};
use crate::engine::jobs::Collected;
use crate::engine::protocol::ImportCandidates;
use crate::workspace::{ImageId, Workspace};
use crate::{Error, Result};

/// Files of an image that are shown.
const SHOWN: usize = 4;
/// Files named in a line.
const NAMED: usize = 3;

/// The files of one image at one step, by seed.
pub type Groups = BTreeMap<(Option<u32>, ImageId), BTreeMap<u64, Vec<PathBuf>>>;

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
    type Place = (Option<u32>, ImageId);
    let share = |((_, image), files): (&Place, &BTreeMap<u64, Vec<PathBuf>>)| Share {
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
pub struct Found {
    pub pattern: Pattern,
    pub placed: Vec<(Place, PathBuf)>,
    /// Paths that do not follow the pattern.
    strange: Vec<String>,
    refused: Vec<Error>,
    /// LR and HR files of the images that candidates are of.
    pub lr: Vec<PathBuf>,
    pub hr: Vec<PathBuf>,
}

impl Found {
    /// Finds them. Errors: there are none, or none that follows the pattern.
    pub fn of(request: &ImportCandidates, known: &ByName) -> Result<Self> {
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

    /// What does not follow the pattern or could not be read.
    pub fn faults(&self) -> Vec<String> {
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

/// `1 file`, `3 files`.
pub fn files_in_words<T>(files: &[T]) -> String {
    format!("{} file{}", files.len(), if files.len() == 1 { "" } else { "s" })
}

/// The first of some names.
pub fn named(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let first = names[..NAMED.min(names.len())].join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

/// The files by image; names that no image goes by are faults, and seeds that two files claim.
pub fn groups(found: &Found, images: &ByName, report: &mut Imported) -> Groups {
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
        report.failed.add(format!(
            "{image}: {cause} ({count} candidates); add it first, or name the folder of its LR or HR image (--lr, --hr)"
        ));
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
