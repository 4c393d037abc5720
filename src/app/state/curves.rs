//! The curves of a run, complete or growing.

use crate::method::evaluation::Evaluation;
use crate::method::provenance::On;
use crate::workspace::{EvaluationRow, StepRow};

/// An evaluation with its report read.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// Training steps behind it; 0 is the start.
    pub step: u32,
    /// The images.
    pub on: On,
    /// Which exactly; see [`EvaluationRow::images_digest`].
    pub images_digest: String,
    pub report: Evaluation,
}

/// Steps and evaluations of a run.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    /// By step, without a gap once [`Curves::is_whole`].
    pub steps: Vec<StepRow>,
    /// By step.
    pub evaluations: Vec<Evaluated>,
    /// The steps before the first event seen have been read.
    pub is_whole: bool,
    /// Counts changes, so that what is derived can be kept until there is one.
    pub version: u64,
}

impl Curves {
    /// A step was made. A run that goes on from an earlier step forgets what came after it.
    pub fn push(&mut self, row: StepRow) {
        let keep = self.steps.partition_point(|s| s.step < row.step);
        self.steps.truncate(keep);
        self.steps.push(row);
        self.version += 1;
    }

    /// The evaluations that compare: those of the same images as the last.
    pub fn comparable(&self) -> impl Iterator<Item = &Evaluated> {
        let last = self.evaluations.last().map(|e| (e.on, e.images_digest.as_str()));
        self.evaluations.iter().filter(move |e| Some((e.on, e.images_digest.as_str())) == last)
    }

    /// The evaluation at the start and the last one on the same images, with its step; `None` before there are both.
    pub fn start_and_last(&self) -> Option<(&Evaluation, &Evaluation, u32)> {
        let start = self.comparable().next().filter(|first| first.step == 0)?;
        let last = self.comparable().last().filter(|last| last.step > 0)?;
        Some((&start.report, &last.report, last.step))
    }

    /// An evaluation was made.
    pub fn evaluated(&mut self, row: EvaluationRow) {
        let Ok(report) = serde_json::from_str(&row.report) else {
            return;
        };
        let new = Evaluated { step: row.step, on: row.on, images_digest: row.images_digest, report };
        self.evaluations.retain(|e| e.step < new.step || (e.step == new.step && e.on != new.on));
        self.evaluations.push(new);
        self.version += 1;
    }

    /// The ledger's rows after `since`; steps that came as events meanwhile are kept.
    pub fn read(&mut self, since: u32, steps: Vec<StepRow>, evaluations: Vec<EvaluationRow>) {
        let last = steps.last().map_or(since, |s| s.step);
        let newer = self.steps.split_off(self.steps.partition_point(|s| s.step <= last));
        self.steps.truncate(self.steps.partition_point(|s| s.step <= since));
        self.steps.extend(steps);
        self.steps.extend(newer);
        let newest = evaluations.last().map_or(0, |e| e.step);
        let mut known = std::mem::take(&mut self.evaluations);
        known.retain(|e| e.step > newest);
        for row in evaluations {
            self.evaluated(row);
        }
        self.evaluations.extend(known);
        self.is_whole |= since == 0;
        self.version += 1;
    }
}
