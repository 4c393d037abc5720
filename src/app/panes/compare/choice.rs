//! Which two checkpoints are looked at.

use std::sync::Arc;

use crate::app::state::State;
use crate::engine::protocol::{Compared, Job, Library};
use crate::method::provenance::On;
use crate::workspace::CheckpointKind;

/// The name of the reference in commands.
pub const REFERENCE: &str = "reference";

/// A checkpoint that can be chosen.
pub struct Candidate {
    /// As a command spells it: `reference`, `RUN@STEP`.
    pub name: String,
    /// Mean reward on the images it was evaluated on as its run trained, once it was.
    pub reward: Option<f64>,
    /// The best of its run.
    pub is_best: bool,
}

/// Two checkpoints by name.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Before.
    pub a: String,
    /// After.
    pub b: String,
    /// Which held-out images are reported on.
    pub on: On,
    /// The comparison that was last at the end of the list.
    last: Option<Arc<Compared>>,
    /// Runs when the choice was last looked at.
    runs: usize,
}

impl Choice {
    /// Turns to a comparison that has just been made; chooses the reference and the best of the last run where nothing
    /// is chosen yet, or nothing that exists.
    pub fn follow(&mut self, state: &State) {
        let Some(library) = &state.library else { return };
        let last = state.comparisons.last();
        let is_new = |last: &Arc<Compared>| self.last.as_ref().is_none_or(|known| !Arc::ptr_eq(known, last));
        if let Some(new) = last.filter(|last| is_new(last)) {
            let comparison = &new.report.comparison;
            let is_shown_swapped = (&comparison.a, &comparison.b) == (&self.b, &self.a);
            if !is_shown_swapped {
                (self.a, self.b) = (comparison.a.clone(), comparison.b.clone());
            }
            self.on = comparison.on;
        }
        self.last = last.cloned();
        let known = candidates(library);
        let exists = |name: &str| known.iter().any(|c| c.name == name);
        let is_new_run = library.runs.len() > self.runs && self.last.is_none();
        self.runs = library.runs.len();
        if !exists(&self.a) {
            self.a = REFERENCE.into();
        }
        if !exists(&self.b) || is_new_run {
            let best = known.iter().rfind(|c| c.is_best).or(known.last());
            self.b = best.map_or_else(String::new, |c| c.name.clone());
        }
    }

    /// The job that compares them.
    pub fn job(&self) -> Job {
        Job::Compare { a: self.a.clone(), b: self.b.clone(), seeds: None, on: self.on }
    }

    /// Exchanges before and after.
    pub fn swap(&mut self) {
        std::mem::swap(&mut self.a, &mut self.b);
    }
}

/// The checkpoints that can be compared: the reference, then by run and step.
pub fn candidates(library: &Library) -> Vec<Candidate> {
    let mut found = vec![Candidate { name: REFERENCE.into(), reward: None, is_best: false }];
    let imported = library.others_imported().filter(|row| !row.file_missing).map(|row| row.import_name());
    found.extend(imported.map(|name| Candidate { name, reward: None, is_best: false }));
    for run in &library.runs {
        let of_run = library.checkpoints.iter().filter(|c| c.run == Some(run.id) && !c.file_missing);
        for checkpoint in of_run {
            let name = format!("{}@{}", run.name, checkpoint.step);
            let is_ema = checkpoint.kind == CheckpointKind::Ema;
            let reward = checkpoint.held_out_reward;
            // Where a step has both, it is the moving average that its name stands for.
            let is_best = library.best.contains(&checkpoint.id);
            match found.iter_mut().find(|c| c.name == name) {
                Some(known) if is_ema => (known.reward, known.is_best) = (reward, is_best),
                Some(_) => {}
                None => found.push(Candidate { name, reward, is_best }),
            }
        }
    }
    found
}
