//! The threads that take jobs off the queue one by one and survive whatever they do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use super::context::Context;
use super::control::Control;
use super::jobs;
use super::protocol::{Event, Job, JobId, JobState, Level, Outcome};
use super::queue::Queue;
use crate::{Error, Result, memory};

/// Runs jobs until the engine is closed.
pub(super) fn run(queue: &Queue, mut context: Context) {
    while let Some((id, job, control)) = queue.next() {
        context.take_edited_recipe();
        run_one(&mut context, id, job, control);
    }
}

/// Writes edits until the engine is closed and none is left.
pub(super) fn run_edits(queue: &Queue, context: &Mutex<Context>) {
    while let Some((id, job)) = queue.next_edit() {
        let mut context = context.lock().unwrap_or_else(PoisonError::into_inner);
        let changes_pairs =
            !matches!(job, Job::SetRecipe(_) | Job::TryRecipe(_) | Job::DiscardDamaged | Job::JudgeBlindly { .. });
        run_one(&mut context, id, job, Control::default());
        if changes_pairs && queue.is_pairing() {
            context.log(Level::Info, "written; pairs that the running job has made already stay as they were");
        }
    }
}

fn run_one(context: &mut Context, id: JobId, job: Job, control: Control) {
    context.voice = context.voice.of(id, control);
    context.emit(Event::Job { id, state: JobState::Started });
    let result = catch_unwind(AssertUnwindSafe(|| jobs::run(context, job)));
    memory::doing("");
    let state = match result {
        Ok(result) => ended(result),
        Err(panic) => {
            // What the job held may be half-changed; the files and the ledger are not.
            context.forget_models();
            JobState::Failed(format!("internal error, please report it: {}", message_of(&*panic)))
        }
    };
    context.emit(Event::Job { id, state });
}

fn ended(result: Result<Outcome>) -> JobState {
    match result {
        Ok(outcome) => JobState::Done(outcome),
        Err(Error::Cancelled) => JobState::Cancelled,
        Err(Error::Refused { cause, permit }) => JobState::Refused { cause, permit },
        Err(error) => JobState::Failed(error.to_string()),
    }
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
