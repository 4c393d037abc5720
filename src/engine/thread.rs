//! The computing thread: takes jobs off the queue one by one and survives whatever they do.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::Sender;

use super::context::Context;
use super::control::Control;
use super::protocol::{Event, JobState, Outcome};
use super::suspects::Suspects;
use super::viewer::Opening;
use super::{Emitter, Queue, jobs};
use crate::{Error, Result, memory};

/// Runs jobs until the engine is closed.
pub(super) fn run(queue: &Queue, control: Control, emitter: Emitter, openings: &Sender<Opening>, suspects: Suspects) {
    let mut context = Context::new(emitter, control.clone(), openings.clone(), suspects);
    while let Some((id, job)) = queue.next(&control) {
        context.job = id;
        context.emit(Event::Job { id, state: JobState::Started });
        let result = catch_unwind(AssertUnwindSafe(|| jobs::run(&mut context, job)));
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
