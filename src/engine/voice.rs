//! What a job says to the client and is told by it: for the thread that runs it, and for those that work for it.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::control::Control;
use super::emitter::Emitter;
use super::protocol::{Event, JobId, JobState, Level};
use crate::Result;
use crate::backbones::Backbone;
use crate::backbones::condition::Prompt;

/// The way between a job and the client.
#[derive(Clone)]
pub(super) struct Voice {
    pub job: JobId,
    pub control: Control,
    emitter: Emitter,
}

impl Voice {
    /// Of no job yet.
    pub fn new(emitter: Emitter) -> Self {
        Self { job: JobId(0), control: Control::default(), emitter }
    }

    /// Of a job that nobody hears.
    #[cfg(test)]
    pub fn of_nobody() -> Self {
        let (sender, _) = crossbeam_channel::bounded(64);
        Self::new(Emitter::new(sender, Arc::new(|| ())))
    }

    /// Of another job.
    pub fn of(&self, job: JobId, control: Control) -> Self {
        Self { job, control, emitter: self.emitter.clone() }
    }

    pub fn emit(&self, event: Event) {
        self.emitter.send(event);
    }

    pub fn log(&self, level: Level, text: impl Into<String>) {
        self.emit(Event::Log { level, text: text.into() });
    }

    /// Says what of a prompt a backbone does not read; `name` is the picture's.
    pub fn say_unread(&self, backbone: &dyn Backbone, name: &dyn Display, prompt: &Prompt) -> Result<()> {
        if let Some(unread) = backbone.unread(prompt)? {
            self.log(Level::Warning, format!("{name}: {unread}"));
        }
        Ok(())
    }

    /// Set once the job is to be cancelled, for work that cannot come to a checkpoint.
    pub fn cancelled(&self) -> Arc<AtomicBool> {
        self.control.cancelled()
    }

    /// Obeys pause and cancel.
    pub fn checkpoint(&self) -> Result<()> {
        self.checkpoint_after(|| ())
    }

    /// [`Voice::checkpoint`] that does something before it holds.
    pub fn checkpoint_after(&self, before_pause: impl Fn()) -> Result<()> {
        self.control.checkpoint(|held| {
            if held {
                before_pause();
            }
            let state = if held { JobState::Paused } else { JobState::Resumed };
            self.emit(Event::Job { id: self.job, state });
        })
    }
}
