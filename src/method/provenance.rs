//! What a reader of figures has to know: which images they are on, how the checkpoint was chosen, and whether it has seen
//! them.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which held-out images something is measured on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// Those that nothing was chosen by.
    #[default]
    Test,
    /// Those that choose checkpoints.
    Validation,
    /// All of them.
    HeldOut,
}

impl On {
    /// All of them, in the order they are offered.
    pub const ALL: [On; 3] = [On::Test, On::Validation, On::HeldOut];

    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            On::Test => "test",
            On::Validation => "validation",
            On::HeldOut => "held_out",
        }
    }

    /// As in "8 test images".
    pub fn adjective(self) -> &'static str {
        match self {
            On::HeldOut => "held-out",
            other => other.as_str(),
        }
    }

    /// Such as "8 test images".
    pub fn count(self, images: usize) -> String {
        format!("{images} {} image{}", self.adjective(), if images == 1 { "" } else { "s" })
    }
}

impl std::str::FromStr for On {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is = |on: &On| on.as_str() == text || on.adjective() == text;
        let known = Self::ALL.into_iter().find(is);
        known.ok_or_else(|| Error::invalid(format!("`{text}` is none of test, validation, held-out")))
    }
}

/// How a checkpoint came to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Chosen {
    /// A person named it, or it is the reference.
    #[default]
    Name,
    /// It has the highest reward on the `images` validation images of the `of` checkpoints evaluated on them.
    Validation { of: usize, images: usize },
    /// It is the last one, for want of evaluations to choose by.
    Last { why: String },
}

/// A run that was trained on images it is judged on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainedOn {
    /// The run, or one of an earlier round that it goes on from.
    pub run: String,
    /// Names of the images compared that the run's pairs show, or another part or form of the same source.
    pub images: Vec<String>,
    /// Names of others that look like something the run's pairs show.
    pub alike: Vec<String>,
    /// Why it cannot be told what the run was trained on, where that is so.
    pub unknown: Option<String>,
}

/// Names written out in a note.
const NAMES: usize = 6;

/// The first of some names, and how many more there are.
pub fn listed(names: &[String]) -> String {
    match names.len().checked_sub(NAMES) {
        Some(more) if more > 0 => format!("{} and {more} more", names[..NAMES].join(", ")),
        _ => names.join(", "),
    }
}
