//! Where weights are on this machine, and what to do where they are not.
//!
//! A part that is missing is a [`State`], known before anything is loaded, with the files, the places that were looked at and
//! the way to get them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compiled_in;
use super::open::Source;
use super::part::{Form, Part, Published, Size};
use super::places::{self, Place};
use super::trust::Trust;
use crate::fs::hashes::Hashes;
use crate::fs::reading::Reading;
use crate::{Error, Result};

/// The folder of weights in a workspace.
pub const WORKSPACE_DIR: &str = "weights";
/// The folder of texts as encoders read them, in a workspace: they can be made again.
const TEXTS_DIR: &str = "texts";

/// Finds parts on this machine. Cheap to clone; the default one looks nowhere.
#[derive(Clone, Debug, Default)]
pub struct Store {
    places: Vec<Place>,
    hashes: Arc<Hashes>,
    unverified: bool,
    /// The SHA-256s, or first digits of them, of files that a recipe accepts.
    accepted: Vec<String>,
    /// Parts that are in memory.
    held: Vec<(&'static Part, Source)>,
    /// The workspace, which keeps what is made of texts.
    workspace: Option<PathBuf>,
    /// Counts what is read of tensors, and ends it.
    reading: Reading,
}

/// Whether a part can be used.
#[derive(Clone, Debug)]
pub enum State {
    /// All files of one of its forms are there, and are the published ones or permitted all the same.
    Here(Found),
    /// The files are there, but one of them is not the published one and not permitted.
    Doubtful(Found, String),
    /// No form is there whole.
    Missing(Missing),
}

/// The files of a part.
#[derive(Clone, Debug)]
pub struct Found {
    pub part: &'static Part,
    pub files: Vec<FoundFile>,
}

/// A file of a part.
#[derive(Clone, Debug)]
pub struct FoundFile {
    pub path: PathBuf,
    pub bytes: u64,
    pub published: &'static Published,
    /// Whether it is the published one; `None` where it was not read for its hash yet.
    pub trust: Option<Trust>,
}

/// What is missing of a part, where it was looked for, and how to get it.
#[derive(Clone, Debug)]
pub struct Missing {
    pub part: &'static Part,
    /// The files that are missing of the form that comes closest.
    pub files: Vec<&'static Published>,
    /// What those files take.
    pub size: Size,
    /// The places that were looked at.
    pub looked: Vec<String>,
    /// What lies where a file should be and cannot be used: one line each.
    pub troubles: Vec<String>,
}

impl Store {
    /// The places of this process: `folders` first, then those that `DP2O_WEIGHTS` names, the program's data directory, and
    /// the cache of the Hugging Face hub. `unverified` permits files that are not the published ones.
    pub fn of_machine(folders: &[PathBuf], unverified: bool) -> Self {
        let mut all: Vec<Place> = folders.iter().map(|dir| Place::folder(dir, "--weights")).collect();
        all.extend(places::of_environment());
        Self { places: all, hashes: Arc::new(Hashes::of_machine()), unverified, ..Self::default() }
    }

    /// A store of these folders alone, which remembers nothing.
    pub fn of_folders(folders: &[PathBuf], unverified: bool) -> Self {
        Self::of_places(folders.iter().map(|dir| Place::folder(dir, "")).collect(), unverified)
    }

    /// A store of these places alone, which remembers nothing.
    pub fn of_places(places: Vec<Place>, unverified: bool) -> Self {
        Self { places, hashes: Arc::new(Hashes::at(None)), unverified, ..Self::default() }
    }

    /// The same, looking into the `weights` folder of a workspace as well, before the places of the machine.
    pub fn with_workspace(&self, root: &Path) -> Self {
        let mut store = self.clone();
        let at = store.places.iter().take_while(|place| place.is_asked_for()).count();
        store.places.insert(at, Place::folder(&root.join(WORKSPACE_DIR), "the workspace"));
        store.workspace = Some(root.to_owned());
        store
    }

    /// The same, where somebody waits for tensors, and may not want the rest.
    pub fn watched(&self, reading: &Reading) -> Self {
        Self { reading: reading.clone(), ..self.clone() }
    }

    /// Where texts are kept once they are encoded; `None` without a workspace.
    pub fn texts_dir(&self) -> Option<PathBuf> {
        self.workspace.as_ref().map(|root| root.join(TEXTS_DIR))
    }

    /// The same, looking into a folder before all places.
    pub fn looking_first_into(&self, dir: &Path) -> Self {
        let mut store = self.clone();
        store.places.insert(0, Place::folder(dir, "the folder of the file"));
        store
    }

    /// The same, accepting files of these SHA-256s (or at least 12 first digits) although they are not published ones.
    pub fn accepting(&self, hashes: &[String]) -> Self {
        Self { accepted: hashes.to_vec(), ..self.clone() }
    }

    /// The same with the tensors of a part, which is then looked for nowhere else.
    pub fn holding(&self, part: &'static Part, source: Source) -> Self {
        let mut store = self.clone();
        store.held.push((part, source));
        store
    }

    /// The tensors of a part that is compiled into the program, unless this store [holds](Self::holding) others.
    pub fn compiled_in(&self, part: &'static Part) -> Result<Source> {
        match (self.held(part), compiled_in::bytes_of(part)) {
            (Some(source), _) => Ok(source.clone()),
            (None, Some(bytes)) => Source::embedded(part.id, bytes),
            (None, None) => self.open(part),
        }
    }

    fn held(&self, part: &Part) -> Option<&Source> {
        self.held.iter().find(|(known, _)| known.id == part.id).map(|(_, source)| source)
    }

    /// The places that are looked at, in this order.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether a part can be used, as far as is known without reading its files.
    pub fn state(&self, part: &'static Part) -> State {
        self.locate(part).map_or_else(State::Missing, |found| self.judged(found))
    }

    fn judged(&self, found: Found) -> State {
        match found.files.iter().find_map(|file| self.objection(found.part, file)) {
            Some(cause) => State::Doubtful(found, cause),
            None => State::Here(found),
        }
    }

    /// The parts of these that cannot be used, each in one line.
    pub fn lacking(&self, parts: &[&'static Part]) -> Vec<String> {
        parts.iter().filter_map(|part| self.state(part).why_not()).collect()
    }

    /// The files of these parts whose hashes are not known yet, with their bytes: opening reads them for it.
    pub fn unread(&self, parts: &[&'static Part]) -> Vec<(PathBuf, u64)> {
        let found = parts.iter().filter_map(|part| self.locate(part).ok());
        let files = found.flat_map(|found| found.files);
        files.filter(|file| file.trust.is_none()).map(|file| (file.path, file.bytes)).collect()
    }

    /// Bytes of the files of these parts that are here.
    pub fn bytes(&self, parts: &[&'static Part]) -> u64 {
        let found = parts.iter().filter_map(|part| self.locate(part).ok());
        found.flat_map(|found| found.files).map(|file| file.bytes).sum()
    }

    /// Whether a part can be used, once its files were read for their hashes. Errors: a file that cannot be read.
    pub fn verify(&self, part: &'static Part) -> Result<State> {
        let Ok(mut found) = self.locate(part) else { return Ok(self.state(part)) };
        self.read_hashes(&mut found)?;
        Ok(self.judged(found))
    }

    /// By what scores made with these parts are known: [`Trust::mark`] of all of them, or `missing`. Reads files whose SHA-256 is
    /// not known yet.
    pub fn mark(&self, parts: &[&'static Part]) -> String {
        let trusts = parts.iter().map(|part| {
            if let Some(source) = self.held(part) {
                return source.trust().cloned();
            }
            let mut found = self.locate(part).ok()?;
            self.read_hashes(&mut found).ok()?;
            Trust::of_all(found.files.iter().filter_map(|file| file.trust.as_ref()))
        });
        let trusts: Option<Vec<Trust>> = trusts.collect();
        trusts.and_then(|trusts| Trust::of_all(&trusts)).map_or_else(|| "missing".into(), |trust| trust.mark())
    }

    /// The tensors of a part, and whether they are the published ones.
    ///
    /// Errors, in one line: what is missing and how to get it; a file that is not the published one and not permitted; a file
    /// that cannot be read. Tensors are not looked at: [`Source::check`] does.
    pub fn open(&self, part: &'static Part) -> Result<Source> {
        if let Some(source) = self.held(part) {
            return Ok(source.clone());
        }
        let found = self.files(part)?;
        // Of shards, the index names the rest.
        let index = found.files.iter().find(|file| file.published.path.ends_with(".index.json"));
        let named: Vec<&FoundFile> = index.map_or_else(|| found.files.iter().collect(), |index| vec![index]);
        let source = Source::joined(
            named.iter().map(|file| Source::watched(&file.path, &self.reading)).collect::<Result<_>>()?,
        )?;
        let trust = Trust::of_all(found.files.iter().filter_map(|file| file.trust.as_ref()));
        // What was opened is what was read for its hash.
        source.check_unchanged()?;
        Ok(source.with_trust(trust))
    }

    /// The files of a part, read for their hashes: for parts that hold no tensors. Errors as [`Store::open`].
    pub fn files(&self, part: &'static Part) -> Result<Found> {
        let mut found = self.locate(part).map_err(|missing| Error::invalid(&missing))?;
        self.read_hashes(&mut found)?;
        match self.judged(found) {
            State::Here(found) => Ok(found),
            other => Err(Error::invalid(other.why_not().unwrap_or_default())),
        }
    }

    fn read_hashes(&self, found: &mut Found) -> Result<()> {
        for file in &mut found.files {
            file.trust = Some(trust_of(file.published, self.hashes.of(&file.path)?));
        }
        Ok(())
    }

    /// Why a file may not be used, as far as is known.
    fn objection(&self, part: &Part, file: &FoundFile) -> Option<String> {
        let published = file.published;
        let is_other_size = matches!(published.size, Size::Bytes(bytes) if bytes != file.bytes);
        let cause = match &file.trust {
            Some(Trust::Verified { .. }) => return None,
            Some(Trust::Unverified { sha256 }) if self.permits(sha256) => return None,
            _ if self.unverified => return None,
            Some(Trust::Unverified { sha256 }) if published.sha256.is_empty() => {
                format!("no SHA-256 of it is published to compare with; its own is {sha256}")
            }
            Some(Trust::Unverified { sha256 }) => format!(
                "is not the published {}: its SHA-256 is {sha256}, published is {}; get it anew {}",
                published.name(),
                published.sha256,
                part.get
            ),
            None if is_other_size => format!(
                "is not the published {}: it has {} bytes, published are {}; get it anew {}",
                published.name(),
                file.bytes,
                published.size,
                part.get
            ),
            None if published.sha256.is_empty() && self.accepted.is_empty() => {
                "no SHA-256 of it is published to compare with".to_owned()
            }
            None => return None,
        };
        Some(format!(
            "{}: {cause}; --unverified, or its SHA-256 in the recipe's data.unverified_weights, uses it all the same and marks \
             what is made with it",
            file.path.display()
        ))
    }

    /// The SHA-256 of a file, read for it where it is not known.
    pub fn hash(&self, path: &Path) -> Result<String> {
        self.hashes.of(path)
    }

    /// The same, where somebody waits for it, and may not want the rest.
    pub fn hash_watched(&self, path: &Path, reading: &Reading) -> Result<String> {
        self.hashes.watched(path, reading)
    }

    pub(super) fn permits(&self, sha256: &str) -> bool {
        self.unverified || self.accepted.iter().any(|known| known.len() >= 12 && sha256.starts_with(known.as_str()))
    }

    /// The files of the first form that is whole in one place.
    fn locate(&self, part: &'static Part) -> Result<Found, Missing> {
        if self.held(part).is_some() {
            return Ok(Found { part, files: Vec::new() });
        }
        let mut closest: Option<(&Form, Vec<&'static Published>)> = None;
        let mut troubles = Vec::new();
        for form in part.forms {
            for place in &self.places {
                let (files, missing) = place.files(form, &mut troubles);
                if missing.is_empty() {
                    let with_trust = |(path, bytes, published)| {
                        let path: PathBuf = path;
                        let trust = self.hashes.known(&path).map(|sha256| trust_of(published, sha256));
                        FoundFile { path, bytes, published, trust }
                    };
                    return Ok(Found { part, files: files.into_iter().map(with_trust).collect() });
                }
                if closest.as_ref().is_none_or(|(_, least)| !files.is_empty() && missing.len() < least.len()) {
                    closest = Some((form, missing));
                }
            }
        }
        let (files, size) = match closest {
            Some((form, files)) if files.len() == form.files.len() => (files, form.size),
            Some((_, files)) => {
                let size = match files.as_slice() {
                    [one] => one.size,
                    _ => Size::Unknown,
                };
                (files, size)
            }
            None => (part.files().iter().collect(), part.size()),
        };
        let looked = self.places.iter().map(ToString::to_string).collect();
        Err(Missing { part, files, size, looked, troubles })
    }
}

fn trust_of(published: &Published, sha256: String) -> Trust {
    match published.is(&sha256) {
        true => Trust::Verified { sha256 },
        false => Trust::Unverified { sha256 },
    }
}

impl State {
    /// Why the part cannot be used, in one line; `None` where it can.
    pub fn why_not(&self) -> Option<String> {
        match self {
            State::Here(_) => None,
            State::Doubtful(_, cause) => Some(cause.clone()),
            State::Missing(missing) => Some(missing.to_string()),
        }
    }

    /// Whether the part can be used.
    pub fn is_here(&self) -> bool {
        matches!(self, State::Here(_))
    }
}

impl Missing {
    /// What is missing: the part with its files and what they take.
    pub fn what(&self) -> String {
        let folder = self.part.forms.first().map_or("", |form| form.folder);
        let separator = if folder.is_empty() { "" } else { "/" };
        let names: Vec<String> = self.files.iter().map(|file| format!("{folder}{separator}{}", file.path)).collect();
        format!("{} ({}): {} ({})", self.part.title, self.part.id, names.join(", "), self.size)
    }

    /// The files and where to get them, where it is said elsewhere what they are of and where they go.
    pub fn brief(&self) -> String {
        let names: Vec<&str> = self.files.iter().map(|file| file.path).collect();
        format!("{}; get it {}", names.join(", "), self.part.get)
    }

    /// How to get it, as what to do next.
    pub fn how(&self) -> String {
        let folder = self.part.forms.first().map_or("", |form| form.folder);
        let into = if folder.is_empty() { String::new() } else { format!(" as a folder {folder}") };
        format!(
            "get it {}; then `dp2o-studio weights add FILE`, or put it{into} into one of these places, or name its folder with \
             --weights DIR",
            self.part.get
        )
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "missing: {}; looked in {}", self.what(), self.looked.join(", "))?;
        self.troubles.iter().try_for_each(|trouble| write!(f, "; {trouble}"))?;
        write!(f, "; {}", self.how())
    }
}
