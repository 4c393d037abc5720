//! What a workspace holds, in numbers.

use std::fs;
use std::path::Path;

use super::Workspace;
use super::files::{self, CANDIDATES_DIR, EXPORTS_DIR, IMAGES_DIR, LEDGER_FILE, RUNS_DIR};
use super::ledger::Counts;
use crate::Result;

/// Counts and sizes of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What the ledger holds.
    pub counts: Counts,
    /// The ledger with its log.
    pub ledger_bytes: u64,
    /// LR and HR images.
    pub images_bytes: u64,
    /// Pictures of candidates.
    pub candidates_bytes: u64,
    /// Their latents, and what they were drawn under.
    pub latents_bytes: u64,
    /// Checkpoints and training states.
    pub runs_bytes: u64,
    /// What the user exported.
    pub exports_bytes: u64,
}

impl Workspace {
    /// Counts rows and adds up file sizes. Walks the directory: not for every frame.
    pub fn summary(&self) -> Result<Summary> {
        let size_of = |name: &str| tree_bytes(&self.root.join(name), &|_| true);
        let of_candidates =
            |kept: bool| tree_bytes(&self.root.join(CANDIDATES_DIR), &|name| files::is_kept_for_training(name) == kept);
        Ok(Summary {
            counts: self.ledger.counts()?,
            ledger_bytes: ["", "-wal", "-shm"].iter().map(|suffix| size_of(&format!("{LEDGER_FILE}{suffix}"))).sum(),
            images_bytes: size_of(IMAGES_DIR),
            candidates_bytes: of_candidates(false),
            latents_bytes: of_candidates(true),
            runs_bytes: size_of(RUNS_DIR),
            exports_bytes: size_of(EXPORTS_DIR),
        })
    }
}

/// Size of a file, or of all files below a directory whose names are `wanted`; what cannot be read counts nothing. Links are not followed.
fn tree_bytes(path: &Path, wanted: &dyn Fn(&str) -> bool) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => {
            fs::read_dir(path).into_iter().flatten().flatten().map(|entry| tree_bytes(&entry.path(), wanted)).sum()
        }
        Ok(meta) if meta.is_file() && path.file_name().is_some_and(|name| wanted(&name.to_string_lossy())) => {
            meta.len()
        }
        _ => 0,
    }
}
