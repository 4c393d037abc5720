//! Candidates that somebody who only reads found damaged.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::imaging::{Image, decode};
use crate::workspace::{CandidateRow, Workspace};
use crate::{Error, Result};

/// Candidates that the viewer, which only reads, found damaged: told to the computing thread, which discards them before
/// it samples.
#[derive(Clone, Default)]
pub(super) struct Suspects(Arc<Mutex<Vec<(PathBuf, CandidateRow)>>>);

impl Suspects {
    fn add(&self, workspace: &Workspace, candidate: CandidateRow) {
        let mut all = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        all.push((workspace.root().to_owned(), candidate));
    }

    /// Those of a workspace; the others are forgotten.
    pub fn take(&self, workspace: &Workspace) -> Vec<CandidateRow> {
        let mut all = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let own = all.drain(..).filter(|(root, _)| root == workspace.root());
        own.map(|(_, candidate)| candidate).collect()
    }
}

/// Reads a candidate to look at it. Errors: it is damaged, and now a suspect.
pub(super) fn look_at(workspace: &Workspace, candidate: CandidateRow, suspects: &Suspects) -> Result<Image> {
    let path = workspace.path(&candidate.path);
    decode::read(&path).map_err(|error| match workspace.damage_of(&candidate) {
        Ok(Some(damage)) => {
            suspects.add(workspace, candidate);
            Error::file(&path, format!("damaged ({damage}); the next sampling makes it again"))
        }
        _ => error,
    })
}
