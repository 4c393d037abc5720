//! Which job runs next: long ones one after the other, edits beside them, so that a verdict never waits behind hours of
//! sampling.
//!
//! Order is kept where it matters: a job waits for the edits given before it, an edit for the workspaces to be opened
//! before it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::control::Control;
use super::protocol::{Job, JobId};

/// Jobs that wait, and those that run.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// Set while the job that runs is to stop: what reads for it lasts longer than a job.
    cancelled: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Given>,
    edits: VecDeque<Given>,
    running: Option<Running>,
    editing: Option<u64>,
    /// Jobs and edits ever given.
    given: u64,
    closed: bool,
}

struct Given {
    /// Its place among all jobs and edits.
    order: u64,
    id: JobId,
    job: Job,
    control: Control,
}

struct Running {
    order: u64,
    id: JobId,
    control: Control,
    opens: bool,
    makes_pairs: bool,
}

/// Where a job was that is to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It did not begin and never will.
    Waiting,
    /// It runs, and was asked to stop.
    Running,
    /// It has ended, or is an edit being written.
    Nowhere,
}

impl State {
    fn has_edit_before(&self, order: u64) -> bool {
        self.editing.is_some_and(|edit| edit < order) || self.edits.front().is_some_and(|edit| edit.order < order)
    }

    fn has_opening_before(&self, order: u64) -> bool {
        self.running.as_ref().is_some_and(|running| running.opens && running.order < order)
            || self.jobs.iter().any(|given| given.order < order && given.job.opens_workspace())
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Appends a job; false once the engine is closed, or with more than `most` waiting.
    pub fn give(&self, id: JobId, job: Job, most: usize) -> bool {
        let mut state = self.state();
        if state.closed || state.jobs.len() + state.edits.len() >= most {
            return false;
        }
        state.given += 1;
        let is_edit = job.is_edit();
        let given = Given { order: state.given, id, job, control: Control::sharing(&self.cancelled) };
        if is_edit {
            state.edits.push_back(given)
        } else {
            state.jobs.push_back(given)
        }
        self.changed.notify_all();
        true
    }

    /// Waits for the next job that is no edit; `None` once the engine is closed.
    pub fn next(&self) -> Option<(JobId, Job, Control)> {
        let mut state = self.state();
        state.running = None;
        self.changed.notify_all();
        loop {
            if state.closed {
                return None;
            }
            let is_next = state.jobs.front().is_some_and(|given| !state.has_edit_before(given.order));
            if let Some(Given { order, id, job, control }) = state.jobs.pop_front_if(|_| is_next) {
                // Under the lock, so that no cancel meant for this job is lost.
                self.cancelled.store(false, Ordering::Relaxed);
                let (opens, makes_pairs) = (job.opens_workspace(), job.makes_pairs());
                state.running = Some(Running { order, id, control: control.clone(), opens, makes_pairs });
                return Some((id, job, control));
            }
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// Waits for the next edit; `None` once the engine is closed and all of them are written.
    pub fn next_edit(&self) -> Option<(JobId, Job)> {
        let mut state = self.state();
        state.editing = None;
        self.changed.notify_all();
        loop {
            let is_next = state.edits.front().is_some_and(|given| !state.has_opening_before(given.order));
            if let Some(Given { order, id, job, .. }) = state.edits.pop_front_if(|_| is_next) {
                state.editing = Some(order);
                return Some((id, job));
            }
            if state.closed && state.edits.is_empty() {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// Set while the job that runs is to stop.
    pub fn cancelled(&self) -> Arc<AtomicBool> {
        self.cancelled.clone()
    }

    /// Whether a job is under way that makes pairs.
    pub fn is_pairing(&self) -> bool {
        self.state().running.as_ref().is_some_and(|running| running.makes_pairs)
    }

    /// Takes a waiting job or edit out, or asks the running job to stop.
    pub fn cancel(&self, id: JobId) -> Taken {
        let mut state = self.state();
        if let Some(running) = state.running.as_ref().filter(|running| running.id == id) {
            running.control.cancel();
            return Taken::Running;
        }
        let before = state.jobs.len() + state.edits.len();
        state.jobs.retain(|given| given.id != id);
        state.edits.retain(|given| given.id != id);
        self.changed.notify_all();
        if state.jobs.len() + state.edits.len() < before { Taken::Waiting } else { Taken::Nowhere }
    }

    /// Holds a job, running or yet to run, or lets it go on. Edits are written at once.
    pub fn set_pause(&self, id: JobId, pause: bool) {
        let state = self.state();
        let running = state.running.iter().map(|running| (running.id, &running.control));
        let waiting = state.jobs.iter().map(|given| (given.id, &given.control));
        running.chain(waiting).filter(|(known, _)| *known == id).for_each(|(_, control)| control.set_pause(pause));
    }

    /// No more jobs: those that wait are dropped and the running one is stopped, edits are still written.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.jobs.clear();
        state.running.iter().for_each(|running| running.control.cancel());
        self.changed.notify_all();
    }
}
