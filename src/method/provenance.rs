//! What a reader of figures has to know: which images they are on, how the checkpoint was chosen, and whether it has seen
//! them.

use serde::{Deserialize, Serialize};

use super::evaluation::Comparison;
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

/// A line below a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The figures mean less than they seem to.
    pub is_warning: bool,
    /// One line, without a full stop.
    pub text: String,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_warning { "warning: " } else { "" })?;
        f.write_str(&self.text)
    }
}

/// Names written out in a note.
const NAMES: usize = 6;

impl Comparison {
    /// The lines that belong below the table, in every form of it.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes: Vec<Note> = self.fewer_line().map(|text| Note { is_warning: true, text }).into_iter().collect();
        for (name, chosen) in [&self.a, &self.b].into_iter().zip(&self.chosen) {
            let text = match chosen {
                Chosen::Name => continue,
                Chosen::Validation { of: 1, images } => {
                    format!("{name}: the only checkpoint evaluated on {}", On::Validation.count(*images))
                }
                Chosen::Validation { of, images } => {
                    format!("{name}: the best of {of} checkpoints by reward on {}", On::Validation.count(*images))
                }
                Chosen::Last { why } => format!("{name}: the last checkpoint, as {why}"),
            };
            notes.push(Note { is_warning: false, text });
        }
        if self.on != On::Test && self.validation_images > 0 {
            let text = match self.on {
                On::HeldOut => format!(
                    "{} of the {} choose checkpoints: only figures on test images are unbiased by that",
                    self.validation_images,
                    self.on.count(self.images)
                ),
                _ => "validation images choose checkpoints: only figures on test images are unbiased by that".into(),
            };
            notes.push(Note { is_warning: true, text });
        }
        for seen in &self.trained_on {
            let run = &seen.run;
            let seen_as = [("was trained on", &seen.images), ("was trained on pictures that look like", &seen.alike)];
            let texts = seen_as.into_iter().filter(|(_, names)| !names.is_empty()).map(|(how, names)| {
                format!("{run} {how} {}: figures on what was seen say little about new images", listed(names))
            });
            let unknown = seen.unknown.iter().map(|why| format!("what {run} was trained on is not known: {why}"));
            notes.extend(texts.chain(unknown).map(|text| Note { is_warning: true, text }));
        }
        notes
    }
}

/// The first of some names, and how many more there are.
pub fn listed(names: &[String]) -> String {
    match names.len().checked_sub(NAMES) {
        Some(more) if more > 0 => format!("{} and {more} more", names[..NAMES].join(", ")),
        _ => names.join(", "),
    }
}
