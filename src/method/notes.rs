//! The lines below a comparison: what a reader has to know beside the figures.

use super::evaluation::Comparison;
use super::provenance::{Chosen, On, listed};

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
