//! What importing candidates came to, and what it would come to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::added::{Added, Detail};
use super::failures::Failures;
use super::previews::Thumb;
use crate::workspace::ImageId;

/// What importing candidates came to. Lists hold `NAME: what`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Imported {
    /// What the candidates go by now.
    pub name: String,
    /// Where image and seed stand in the names.
    pub pattern: String,
    /// New candidates.
    pub candidates: usize,
    /// Files that are here already.
    pub known: usize,
    /// Images that they are of; at several steps each counts again.
    pub images: usize,
    /// Seeds of a group.
    pub seeds: usize,
    /// They are the reference's.
    pub is_reference: bool,
    /// Images that came in with them.
    pub added: Vec<Added>,
    /// What was done to pictures, how many, and one of them.
    pub converted: BTreeMap<String, (usize, String)>,
    /// Images with fewer seeds than others.
    pub lacking: Vec<String>,
    pub notes: Vec<String>,
    /// What was left out.
    pub failed: Failures,
}

impl Imported {
    /// Notes what was done to a picture.
    pub fn convert(&mut self, what: String, name: String) {
        self.converted.entry(what).or_insert((0, name)).0 += 1;
    }

    /// The first line: counts.
    pub fn headline(&self) -> String {
        let Self { name, candidates, known, images, seeds, pattern, .. } = self;
        let known = if *known > 0 { format!(", {known} here already") } else { String::new() };
        let reference = if self.is_reference { ", the reference of this workspace" } else { "" };
        format!(
            "{candidates} candidates imported as {name}{reference} ({images} groups, {seeds} seeds, {pattern}){known}"
        )
    }

    /// The lines after the first, at most `most` names of a kind.
    pub fn details(&self, most: usize) -> Vec<Detail> {
        let mut details = Vec::new();
        for added in &self.added {
            details.push(Detail { is_warning: false, heading: added.headline(), lines: Vec::new() });
            details.extend(added.details(most).into_iter().filter(|detail| detail.is_warning));
        }
        for (what, (count, name)) in &self.converted {
            let heading = format!("{count} pictures {what}, such as {name}");
            details.push(Detail { is_warning: true, heading, lines: Vec::new() });
        }
        let mut list = |heading: &str, names: &[String]| {
            if names.is_empty() {
                return;
            }
            let mut lines: Vec<String> = names.iter().take(most).cloned().collect();
            if names.len() > most {
                lines.push(format!("and {} more", names.len() - most));
            }
            details.push(Detail { is_warning: true, heading: format!("{} {heading}", names.len()), lines });
        };
        list("images lack seeds:", &self.lacking);
        list("not imported:", &self.failed.causes);
        let note = |note: &String| Detail { is_warning: false, heading: note.clone(), lines: Vec::new() };
        details.extend(self.notes.iter().map(note));
        details
    }
}

/// What an import would find, by the names of files alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportPreview {
    pub pattern: String,
    /// Files that follow it.
    pub files: usize,
    /// Images that they name.
    pub images: usize,
    pub seeds: usize,
    /// Steps, where the names have some.
    pub steps: Vec<u32>,
    /// LR and HR files that come in with them.
    pub lr: usize,
    pub hr: usize,
    /// What of it is of images that are here.
    pub shares: Vec<Share>,
    /// What does not fit.
    pub faults: Vec<String>,
    /// Small pictures of the first of them.
    pub thumbs: Vec<Vec<Thumb>>,
}

/// Files of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// `None` where it is not here yet.
    pub image: Option<ImageId>,
    /// The first of them.
    pub files: Vec<PathBuf>,
    pub seeds: usize,
}
