//! What there is to say of a part, as plain data: the same in the studio, on the command line and in JSON.

use std::path::PathBuf;

use serde::Serialize;

use super::compiled_in;
use super::part::Part;
use super::store::{FoundFile, State, Store};
use super::trust::Trust;

/// A part and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartReport {
    pub id: &'static str,
    pub title: &'static str,
    pub state: Standing,
    /// What its files take, in words.
    pub size: String,
    pub licence: &'static str,
    /// The files that are there.
    pub files: Vec<FileReport>,
    /// What is missing, where it was looked for and how to get it, or what is wrong; one line.
    pub cause: Option<String>,
    /// The same without what is said elsewhere in a list: the part, the places, and how to add it.
    pub brief: Option<String>,
}

/// How a part stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It can be used.
    Here,
    /// It can be used: it comes with the program.
    #[serde(rename = "compiled in")]
    CompiledIn,
    /// It is there, but is not known to be as published, and not permitted.
    Unverified,
    Missing,
}

/// A file of a part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileReport {
    pub path: PathBuf,
    pub bytes: u64,
    /// `None` where it was not read for it yet.
    pub sha256: Option<String>,
    /// Whether it is the published file; `None` where that is not known yet.
    pub verified: Option<bool>,
}

impl Standing {
    /// Whether the part can be used.
    pub fn is_usable(self) -> bool {
        matches!(self, Standing::Here | Standing::CompiledIn)
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Here => "here",
            Standing::CompiledIn => "compiled in",
            Standing::Unverified => "unverified",
            Standing::Missing => "missing",
        }
    }
}

impl FileReport {
    /// Whether it is the published file, in words.
    pub fn mark(&self) -> &'static str {
        match self.verified {
            Some(true) => "the published file",
            Some(false) => "not known to be the published file",
            None => "SHA-256 not read yet",
        }
    }
}

impl PartReport {
    /// How a part stands.
    pub fn of(part: &'static Part, state: &State) -> Self {
        let (standing, found) = match state {
            State::Here(found) => (Standing::Here, Some(found)),
            State::Doubtful(found, _) => (Standing::Unverified, Some(found)),
            State::Missing(_) if compiled_in::bytes_of(part).is_some() => (Standing::CompiledIn, None),
            State::Missing(_) => (Standing::Missing, None),
        };
        let file = |file: &FoundFile| FileReport {
            path: file.path.clone(),
            bytes: file.bytes,
            sha256: file.trust.as_ref().map(|trust| trust.sha256().to_owned()),
            verified: file.trust.as_ref().map(Trust::is_verified),
        };
        Self {
            id: part.id,
            title: part.title,
            state: standing,
            size: part.size().to_string(),
            licence: part.licence,
            files: found.map_or_else(Vec::new, |found| found.files.iter().map(file).collect()),
            brief: match state {
                _ if standing.is_usable() => None,
                State::Missing(missing) => Some(missing.brief()),
                other => other.why_not(),
            },
            cause: state.why_not().filter(|_| !standing.is_usable()),
        }
    }

    /// How parts stand, as far as is known without reading them.
    pub fn of_all(store: &Store, parts: &[&'static Part]) -> Vec<Self> {
        parts.iter().map(|part| Self::of(part, &store.state(part))).collect()
    }
}
