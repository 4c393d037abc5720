//! What jobs have to show when they are done.

use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::added::Added;
use crate::engine::failures::Failures;
use crate::engine::imported::Imported;
use crate::method::summary::Summary;
use crate::report::Report;
use crate::workspace::{CandidateSet, ImageId, RunState};

/// What was found of a backbone's files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelCheck {
    pub findings: Vec<Finding>,
}

impl ModelCheck {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.mark != Mark::Bad)
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub mark: Mark,
    /// What was looked at, in a word or two.
    pub what: String,
    pub text: String,
}

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Good,
    Bad,
    /// Neither good nor bad.
    Said,
}

impl Mark {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Mark::Good => "good",
            Mark::Bad => "bad",
            Mark::Said => "",
        }
    }
}

/// What a finished job has to show.
#[derive(Clone, Debug)]
pub enum Outcome {
    None,
    /// Images added, and what else came of the files.
    Added(Box<Added>),
    /// Candidates sampled, and images that could not be.
    Sampled {
        candidates: usize,
        failed: Failures,
    },
    /// Scores computed, and images whose candidates could not be scored.
    Scored {
        scores: usize,
        failed: Failures,
    },
    Generated {
        candidates: usize,
        scores: usize,
        failed: Failures,
    },
    /// Names of images and what is to be seen on them, and what could not be said.
    Tagged {
        prompts: Vec<(String, String)>,
        failed: Failures,
    },
    /// Candidates imported, and what of the files did not fit.
    Imported(Box<Imported>),
    /// Verdicts recorded, and lines that were left out.
    Judged {
        verdicts: usize,
        failed: Failures,
    },
    Curated(Box<Summary>),
    Trained {
        run: String,
        steps: u32,
        state: RunState,
    },
    Compared(Arc<Compared>),
    Ran(Arc<RunReport>),
    /// Every file written, and what could not be.
    Written {
        files: Vec<PathBuf>,
        failed: Failures,
    },
    /// What was repaired, a line each.
    Repaired(Vec<String>),
    /// What was found of a backbone's files.
    Checked(Arc<ModelCheck>),
}

impl Outcome {
    /// What failed while the rest was done and kept.
    pub fn failed(&self) -> Option<&Failures> {
        let failed = match self {
            Outcome::Added(added) => &added.failed,
            Outcome::Imported(imported) => &imported.failed,
            Outcome::Sampled { failed, .. }
            | Outcome::Scored { failed, .. }
            | Outcome::Generated { failed, .. }
            | Outcome::Tagged { failed, .. }
            | Outcome::Judged { failed, .. }
            | Outcome::Written { failed, .. } => failed,
            Outcome::Ran(report) => &report.failed,
            Outcome::None
            | Outcome::Repaired(_)
            | Outcome::Checked(_)
            | Outcome::Curated(_)
            | Outcome::Trained { .. }
            | Outcome::Compared(_) => return None,
        };
        (!failed.is_empty()).then_some(failed)
    }
}

/// What [`Job::Compare`](super::Job::Compare) found, and where its pictures are.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    pub report: Report,
    /// The images, in the order of the comparison.
    pub images: Vec<ImageId>,
    /// The candidates before and after.
    pub sets: [CandidateSet; 2],
}

impl Compared {
    /// The seed of a column.
    pub fn seed(&self, column: usize) -> Option<u64> {
        self.report.provenance.seeds.get(column).copied()
    }

    /// The same with before and after exchanged.
    pub fn swapped(&self) -> Self {
        let Report { comparison, changes, provenance } = &self.report;
        let (mut provenance, mut sets) = (provenance.clone(), self.sets.clone());
        provenance.weights.reverse();
        sets.reverse();
        let changes = changes.iter().rev().map(|change| change.swapped()).collect();
        let report = Report { comparison: comparison.swapped(), changes, provenance };
        Self { report, images: self.images.clone(), sets }
    }
}

/// What [`Job::Run`](super::Job::Run) did.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The comparison and its image sheet, where one was asked for.
    pub compared: Option<(Arc<Compared>, PathBuf)>,
    /// Name of the run.
    pub run: String,
    pub pairs: usize,
    pub steps: u32,
    /// Images that could not be sampled or scored.
    pub failed: Failures,
    /// Seconds spent by stage, in order: sample, score, train, compare.
    pub timings_secs: [f64; 4],
}
