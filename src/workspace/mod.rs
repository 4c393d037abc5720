//! The workspace: a directory the user names that holds everything the product keeps, and can be moved as a whole.
//!
//! * [`Workspace`] opens the directory; [`files`] says what lies where in it.
//! * [`Ledger`] is the database of images, candidates, scores, runs and the rest.
//! * `save` puts files and their rows in place, always the whole file first: killing the process at any instant loses
//!   at most what was being saved.
//! * `place` keeps every write and deletion inside of the directory.
//! * `damage` takes damaged files out of use. `repair` sets right, on opening, what a killed process or a person left behind, and says so.
//! * [`lock`] keeps a second writer out; readers are never kept out.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::fs::atomic;
use crate::{Error, Result};

mod config;
mod damage;
pub mod files;
mod ledger;
pub mod lock;
mod place;
mod rebuild;
mod repair;
mod save;
mod summary;

pub use config::FORMAT;
pub use files::{RelPath, SamplerKey};
pub use ledger::*;
pub use repair::{FileOwner, Finding};
pub use summary::Summary;

use config::ConfigFile;
use lock::WriterLock;

/// An open workspace. It can be sent to another thread but not shared: each thread opens its own, one of them for
/// writing.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    config: ConfigFile,
    ledger: Ledger,
    findings: Vec<Finding>,
    /// Held by the writer; dropped last.
    lock: Option<Arc<WriterLock>>,
}

impl Workspace {
    /// Makes a new workspace and opens it for writing; `recipe` is one RON value.
    ///
    /// The directory must be new or empty (what a killed `create` left does not count).
    pub fn create(dir: impl AsRef<Path>, recipe: &str) -> Result<Self> {
        Self::create_for(dir, recipe, None)
    }

    /// Like [`create`](Self::create); `task`, its name and what is known about it, is begun with the workspace, which is
    /// not what was asked for before that is complete (see [`Ledger::begin_task`]).
    pub fn create_for(dir: impl AsRef<Path>, recipe: &str, task: Option<(&str, &str)>) -> Result<Self> {
        let root = absolute(dir.as_ref())?;
        let config = ConfigFile::of(&root);
        if config.exists() {
            return Err(Error::file(root, "this directory is a workspace already"));
        }
        if let Some(name) = foreign_entry(&root)? {
            return Err(Error::file(
                root,
                format!("a workspace needs a directory of its own, and this one holds “{name}”"),
            ));
        }
        atomic::create_dir_durable(&root)?;
        place::refuse_linked_files(&root)?;
        let lock = WriterLock::acquire(&root)?;
        let ledger = Ledger::create(&root.join(files::LEDGER_FILE))?;
        ledger.forget_tasks()?;
        if let Some((name, about)) = task {
            ledger.begin_task(name, about)?;
        }
        for dir in [files::IMAGES_DIR, files::CANDIDATES_DIR, files::RUNS_DIR] {
            atomic::create_dir_durable(&root.join(dir))?;
        }
        // Last, because this file is what makes the directory a workspace.
        config.set_recipe_text(recipe)?;
        Ok(Self { root, config, ledger, findings: Vec::new(), lock: Some(Arc::new(lock)) })
    }

    /// Opens a workspace for writing and repairs it; [`findings`](Self::findings) tells what was found.
    ///
    /// Fails when the directory is no workspace, was made by a newer version (nothing is touched then), has a mistake in
    /// its RON file, cannot be written, or is being written by another process.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let (root, config) = existing(dir.as_ref())?;
        let ledger_path = root.join(files::LEDGER_FILE);
        let lock = WriterLock::acquire(&root)?;
        let mut workspace = Self {
            ledger: Ledger::open_writer(&ledger_path)?,
            root,
            config,
            findings: Vec::new(),
            lock: Some(Arc::new(lock)),
        };
        refuse_foreign(&workspace.root, &workspace.ledger, 1)?;
        workspace.findings = workspace.repair()?;
        Ok(workspace)
    }

    /// Opens a workspace for reading: also while another process writes it, also where nothing can be written.
    ///
    /// Nothing is repaired; [`check`](Self::check) tells what a repair would find.
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<Self> {
        let (root, config) = existing(dir.as_ref())?;
        let ledger = Ledger::open_reader(&root.join(files::LEDGER_FILE))?;
        refuse_foreign(&root, &ledger, 1)?;
        Ok(Self { root, config, ledger, findings: Vec::new(), lock: None })
    }

    /// A second handle that writes, for another thread of this process. The workspace is given back once both are dropped.
    pub fn second_writer(&self) -> Result<Self> {
        self.require_writable()?;
        let ledger = Ledger::open_writer(&self.root.join(files::LEDGER_FILE))?;
        let (root, config, lock) = (self.root.clone(), self.config.clone(), self.lock.clone());
        Ok(Self { root, config, ledger, findings: Vec::new(), lock })
    }

    /// Another handle on the same directory, for reading on another thread.
    pub fn reader(&self) -> Result<Self> {
        Self::open_read_only(&self.root)
    }

    /// Whether this is the workspace at `dir`, by whatever path.
    pub fn is_at(&self, dir: &Path) -> bool {
        let real = |dir: &Path| dir.canonicalize().ok();
        real(&self.root).is_some_and(|root| real(dir) == Some(root))
    }

    /// The directory, as an absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file of the workspace lies now.
    pub fn path(&self, path: &RelPath) -> PathBuf {
        path.under(&self.root)
    }

    /// Whether this handle can write.
    pub fn is_writable(&self) -> bool {
        self.lock.is_some()
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What was found and set right when the workspace was opened; show it to the user.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The recipe as text, as it stands in the file now, comments included.
    pub fn recipe_text(&self) -> Result<String> {
        self.config.recipe_text()
    }

    /// The recipe as a value; a mistake in it is reported with file, line and column.
    pub fn recipe<R: DeserializeOwned>(&self) -> Result<R> {
        self.config.recipe()
    }

    /// Replaces the recipe. The text must be one RON value; whether it is a good recipe is the caller's to check.
    pub fn set_recipe_text(&self, text: &str) -> Result<()> {
        self.require_writable()?;
        self.config.set_recipe_text(text)
    }

    fn require_writable(&self) -> Result<()> {
        match self.is_writable() {
            true => Ok(()),
            false => Err(Error::file(&self.root, "the workspace is open for reading only")),
        }
    }
}

/// The directory and checked configuration of a workspace that must exist.
fn existing(dir: &Path) -> Result<(PathBuf, ConfigFile)> {
    let root = absolute(dir)?;
    let config = ConfigFile::of(&root);
    if !root.is_dir() {
        return Err(Error::file(root, "there is no such directory"));
    }
    if !config.exists() {
        return Err(Error::file(
            &root,
            format!(
                "this directory is not a workspace (it has no {}); `dp2o-studio new` makes one",
                files::WORKSPACE_FILE
            ),
        ));
    }
    config.check()?;
    // Also to read: SQLite then makes files beside the ledger, wherever that is.
    place::refuse_linked_files(&root)?;
    let ledger = root.join(files::LEDGER_FILE);
    if !ledger.is_file() {
        let hint = repair_hint(&root);
        return Err(Error::file(ledger, format!("the ledger of this workspace is missing; {hint}")));
    }
    Ledger::refuse_newer(&ledger)?;
    Ok((root, config))
}

/// Fails where the ledger knows none of the images that lie at `root`, more than `tolerated`: it was emptied, or is another
/// workspace's. A kill leaves one unknown image at most, whose files are saved before its row.
fn refuse_foreign(root: &Path, ledger: &Ledger, tolerated: usize) -> Result<()> {
    if ledger.all_images()?.iter().any(|image| image.lr_path.under(root).is_file()) {
        return Ok(());
    }
    let images = root.join(files::IMAGES_DIR);
    let dirs = fs::read_dir(&images).into_iter().flatten().flatten();
    let unknown = dirs.filter(|dir| dir.path().join("lr.png").is_file()).count();
    if unknown <= tolerated {
        return Ok(());
    }
    let (images, hint) = (images.display(), repair_hint(root));
    let cause = format!(
        "this ledger knows none of the {unknown} images in {images}: it was emptied or is another workspace's; {hint}"
    );
    Err(Error::file(root.join(files::LEDGER_FILE), cause))
}

/// What to do about a ledger that is of no use.
fn repair_hint(root: &Path) -> String {
    format!("put a copy of it back, or `dp2o-studio repair {}` makes a new one from the files", root.display())
}

fn absolute(dir: &Path) -> Result<PathBuf> {
    std::path::absolute(dir).map_err(|e| Error::file(dir, e))
}

/// Something in `dir` that no cut-off creation of a workspace can have left.
fn foreign_entry(dir: &Path) -> Result<Option<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::file(dir, e)),
    };
    for entry in entries {
        let name = entry.map_err(|e| Error::file(dir, e))?.file_name();
        let name = name.to_string_lossy().into_owned();
        let is_ours = name.starts_with(files::LEDGER_FILE)
            || atomic::is_temporary(&name)
            || [lock::LOCK_FILE, lock::HOLDER_FILE].contains(&name.as_str())
            || [files::IMAGES_DIR, files::CANDIDATES_DIR, files::RUNS_DIR].contains(&name.as_str());
        if !is_ours {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
