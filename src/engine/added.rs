//! What adding images came to, said once: how many, which LR and HR found each other, what was left and why.

use std::fmt;

use serde::Serialize;

use super::failures::Failures;
use crate::words::counted;

/// Why something in a folder was not taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PassedOver {
    /// An image of a format that is not read, by the ending of its name.
    Unreadable(String),
    /// No image, by the ending of its name.
    NoImage(String),
    /// A sub-folder, where only the folder itself was asked for.
    Folder,
    /// A folder that was entered before, by another name.
    SeenFolder,
    /// A device, a pipe, a socket.
    NotRegular,
    /// A link to nothing.
    BrokenLink,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PassedOver::Unreadable(ending) => write!(f, "of a format that is not read here (.{ending})"),
            PassedOver::NoImage(ending) if ending.is_empty() => f.write_str("without an ending"),
            PassedOver::NoImage(ending) => write!(f, "not an image (.{ending})"),
            PassedOver::Folder => f.write_str("sub-folders that were not asked for (--recursive)"),
            PassedOver::SeenFolder => f.write_str("folders that had been entered by another name"),
            PassedOver::NotRegular => f.write_str("not regular files"),
            PassedOver::BrokenLink => f.write_str("links to nothing"),
        }
    }
}

/// What adding came to. Lists hold `NAME` or `NAME: why`, in the order of the files.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Added {
    /// Images that are new in the workspace.
    pub images: usize,
    /// LR images that got a given HR image, new or here before.
    pub pairs: usize,
    /// Images among the new ones whose LR image was made, and how.
    pub made: usize,
    /// The degradation they were made by.
    pub degradation: String,
    /// Images among the new ones with a prompt.
    pub prompts: usize,
    /// Files whose images are here already.
    pub known: Vec<String>,
    /// LR images left without HR although there was one to be compared.
    pub lr_alone: Vec<String>,
    /// HR images left without a given LR although there was one to be compared.
    pub hr_alone: Vec<String>,
    /// HR files whose given LR came and took the place of the one made from them.
    pub replaced: Vec<String>,
    /// HR files whose given LR came when candidates of the one made from them existed: both are kept.
    pub beside: Vec<String>,
    /// Pairs that are alike too little and were taken on trust.
    pub trusted: Vec<String>,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// What of folders was not taken, by kind.
    pub passed_over: Vec<(PassedOver, Vec<String>)>,
    /// Files that were not added, of how many without those passed over.
    pub failed: Failures,
}

impl Added {
    /// The first line: counts.
    pub fn headline(&self) -> String {
        let mut parts = Vec::new();
        let mut part = |count: usize, text: String| {
            if count > 0 {
                parts.push(text)
            }
        };
        part(self.pairs, format!("{} of LR and HR joined", counted(self.pairs, "pair")));
        part(self.made, format!("{} LR made by {}", self.made, self.degradation));
        part(self.prompts, format!("{} with a prompt", self.prompts));
        part(self.known.len(), format!("{} here already", self.known.len()));
        let passed: usize = self.passed_over.iter().map(|(_, names)| names.len()).sum();
        part(passed, format!("{passed} passed over"));
        part(self.failed.causes.len(), format!("{} refused", counted(self.failed.causes.len(), "file")));
        let images = format!("{} added", counted(self.images, "image"));
        if parts.is_empty() { images } else { format!("{images}: {}", parts.join(", ")) }
    }

    /// The lines after the first, at most `most` names of a kind: a heading for each kind, its names indented below.
    pub fn details(&self, most: usize) -> Vec<Detail> {
        let mut details = Vec::new();
        let mut list = |is_warning: bool, heading: String, names: &[String]| {
            if names.is_empty() {
                return;
            }
            let mut lines: Vec<String> = names.iter().take(most).cloned().collect();
            if names.len() > most {
                lines.push(format!("and {} more", names.len() - most));
            }
            details.push(Detail { is_warning, heading: format!("{} {heading}", names.len()), lines });
        };
        for (kind, names) in &self.passed_over {
            list(false, format!("passed over, {kind}:"), names);
        }
        list(false, "here already:".into(), &self.known);
        list(false, "with the LR given now instead of the one made:".into(), &self.replaced);
        list(true, "with the LR given now beside the one made, of which candidates exist:".into(), &self.beside);
        list(true, "pairs taken on trust:".into(), &self.trusted);
        list(true, "LR without HR:".into(), &self.lr_alone);
        list(true, "HR without a given LR:".into(), &self.hr_alone);
        list(true, "not added:".into(), &self.failed.causes);
        details.extend(self.notes.iter().map(|note| Detail {
            is_warning: false,
            heading: note.clone(),
            lines: Vec::new(),
        }));
        details
    }
}

/// A part of what there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Something that a person may have wanted otherwise.
    pub is_warning: bool,
    pub heading: String,
    pub lines: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_counted_and_long_lists_are_cut() {
        let names = |n: usize| (0..n).map(|i| format!("{i}.png")).collect::<Vec<_>>();
        let added = Added {
            images: 3,
            pairs: 1,
            made: 2,
            degradation: "bicubic_x4".into(),
            known: names(1),
            passed_over: vec![(PassedOver::Folder, names(2)), (PassedOver::Unreadable("avif".into()), names(1))],
            failed: Failures { items: 9, causes: names(5) },
            ..Added::default()
        };
        assert_eq!(
            added.headline(),
            "3 images added: 1 pair of LR and HR joined, 2 LR made by bicubic_x4, 1 here already, 3 passed over, 5 files refused"
        );
        let details = added.details(2);
        assert_eq!(details.len(), 4);
        assert_eq!(details[1].heading, "1 passed over, of a format that is not read here (.avif):");
        assert_eq!(details[3].lines, ["0.png", "1.png", "and 3 more"]);
        assert!(details[3].is_warning && !details[0].is_warning);
        assert_eq!(Added { images: 1, ..Added::default() }.headline(), "1 image added");
    }
}
