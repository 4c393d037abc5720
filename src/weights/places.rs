//! The places where weights may lie: folders, and the cache of the Hugging Face hub.

use std::env;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::part::{Form, Published};
use crate::{fs, input};

/// The environment variable that names folders of weights, separated as `PATH` is.
pub const VARIABLE: &str = "DP2O_WEIGHTS";

/// A place where weights may lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
    /// What it is, for people: the option or the variable that names it.
    why: &'static str,
    is_hub: bool,
}

/// A file that is there: path, bytes, as what.
pub(super) type Here = (PathBuf, u64, &'static Published);

impl Place {
    /// A folder of files, or of folders named as their publishers do.
    pub fn folder(path: &Path, why: &'static str) -> Self {
        Self { path: path.to_owned(), why, is_hub: false }
    }

    /// A cache of the Hugging Face hub.
    pub fn hub(path: &Path) -> Self {
        Self { path: path.to_owned(), why: "the Hugging Face cache", is_hub: true }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is, for people.
    pub fn why(&self) -> &'static str {
        self.why
    }

    /// Whether the person named it for this process, by option or variable.
    pub(super) fn is_asked_for(&self) -> bool {
        ["--weights", VARIABLE].contains(&self.why)
    }

    /// The files of a form that are here, and those that are not; what lies in their place and cannot be used goes to
    /// `troubles`.
    pub(super) fn files(&self, form: &Form, troubles: &mut Vec<String>) -> (Vec<Here>, Vec<&'static Published>) {
        let mut best = (Vec::new(), form.files.iter().collect::<Vec<_>>());
        for root in self.roots(form) {
            let (mut here, mut missing) = (Vec::new(), Vec::new());
            for file in form.files {
                let names = std::iter::once(&file.path).chain(file.aliases);
                match names.map(|name| root.join(name)).find_map(|path| usable(path, troubles)) {
                    Some((path, bytes)) => here.push((path, bytes, file)),
                    None => missing.push(file),
                }
            }
            if missing.is_empty() {
                return (here, missing);
            }
            if here.len() > best.0.len() {
                best = (here, missing);
            }
        }
        best
    }

    /// The folders that files of a form are relative to.
    fn roots(&self, form: &Form) -> Vec<PathBuf> {
        if self.is_hub {
            return form.hubs.iter().flat_map(|hub| snapshots(&self.path, hub)).collect();
        }
        if form.folder.is_empty() {
            return vec![self.path.clone()];
        }
        let is_it = self.path.file_name().is_some_and(|name| name == form.folder);
        let mut roots = vec![self.path.join(form.folder)];
        roots.extend(is_it.then(|| self.path.clone()));
        roots
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.why {
            "" => write!(f, "{}", self.path.display()),
            why => write!(f, "{} ({why})", self.path.display()),
        }
    }
}

/// The folder of the program's data directory that `weights add` fills; `None` without a home.
pub fn added_dir() -> Option<PathBuf> {
    fs::places::data_dir().map(|dir| dir.join("weights"))
}

/// The places that the environment and the platform name.
pub(super) fn of_environment() -> Vec<Place> {
    let named = env::var_os(VARIABLE).unwrap_or_default();
    let named = env::split_paths(&named).filter(|dir| !dir.as_os_str().is_empty());
    let mut places: Vec<Place> = named.map(|dir| Place::folder(&dir, VARIABLE)).collect();
    places.extend(added_dir().map(|dir| Place::folder(&dir, "the data directory")));
    places.extend(hub_dir().map(|dir| Place::hub(&dir)));
    places
}

/// Where the Hugging Face hub keeps its cache, by its own rules.
fn hub_dir() -> Option<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    folder("HF_HUB_CACHE").or_else(|| folder("HF_HOME").map(|home| home.join("hub"))).or_else(|| {
        let cache = folder("XDG_CACHE_HOME").or_else(|| env::home_dir().map(|home| home.join(".cache")));
        cache.map(|cache| cache.join("huggingface").join("hub"))
    })
}

/// The snapshots of a repository in a cache of the hub: the one that `main` is first, then the others, the latest first.
fn snapshots(cache: &Path, hub: &str) -> Vec<PathBuf> {
    let repository = cache.join(format!("models--{}", hub.replace('/', "--")));
    let main = std::fs::read_to_string(repository.join("refs/main")).unwrap_or_default();
    let entries = std::fs::read_dir(repository.join("snapshots")).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    all.sort_by_key(|path| {
        let is_main = path.file_name().is_some_and(|name| name == main.trim());
        let modified = std::fs::metadata(path).and_then(|about| about.modified()).ok();
        (!is_main, std::cmp::Reverse(modified), path.clone())
    });
    all
}

/// A regular file and its bytes. What is there and is none is noted.
fn usable(path: PathBuf, troubles: &mut Vec<String>) -> Option<(PathBuf, u64)> {
    let trouble = match std::fs::metadata(&path) {
        Ok(about) if about.is_file() && about.len() > 0 => return Some((path, about.len())),
        Ok(about) if about.is_file() => "is empty".into(),
        Ok(about) if about.is_dir() => "is a directory, not a file".into(),
        Ok(_) => "is not a file".into(),
        // A link to nothing is there itself.
        Err(error) if error.kind() == ErrorKind::NotFound && std::fs::symlink_metadata(&path).is_err() => return None,
        Err(error) if error.kind() == ErrorKind::NotFound => "is a link to a file that is not there".into(),
        Err(error) if error.kind() == ErrorKind::NotADirectory => return None,
        Err(error) => input::io_cause(&error),
    };
    let line = format!("{} {trouble}", path.display());
    if !troubles.contains(&line) {
        troubles.push(line);
    }
    None
}
