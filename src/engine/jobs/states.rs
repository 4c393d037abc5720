//! The state of a run's training: when it is written, and where it is found again.
//!
//! It is written every so many steps or seconds, as the recipe says, and with every checkpoint, before a pause and at the end;
//! a kill loses what was made since, and the run makes the same steps again.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::engine::context::Context;
use crate::engine::protocol::Level;
use crate::method::recipe::Training;
use crate::method::trainer::Trainer;
use crate::nn::optimizer::Lost;
use crate::nn::state;
use crate::workspace::{RelPath, RunRow};
use crate::{Error, Result};

/// The state between checkpoints, in a run's directory.
const STATE_FILE: &str = "training.state";

/// Writes and reads the states of one run.
pub struct States<'c> {
    context: &'c Context,
    run: &'c RunRow,
    every_steps: u64,
    every: Duration,
    /// The step that was written last, and when.
    written: Cell<(u64, Instant)>,
}

impl<'c> States<'c> {
    pub fn new(context: &'c Context, run: &'c RunRow, settings: &Training) -> Self {
        let every = Duration::from_secs(settings.state_every_secs as u64);
        Self {
            context,
            run,
            every_steps: settings.state_every_steps as u64,
            every,
            written: Cell::new((0, Instant::now())),
        }
    }

    /// Writes the state if it is due.
    pub fn write_when_due(&self, trainer: &Trainer) -> Result<()> {
        let (step, (_, at)) = (trainer.step_number(), self.written.get());
        let by_steps = self.every_steps > 0 && step.is_multiple_of(self.every_steps);
        let by_time = !self.every.is_zero() && at.elapsed() >= self.every;
        if by_steps || by_time { self.write(trainer) } else { Ok(()) }
    }

    /// Writes the state unless the last one written is the same.
    pub fn write(&self, trainer: &Trainer) -> Result<()> {
        if self.written.get().0 == trainer.step_number() {
            return Ok(());
        }
        let state = trainer.state();
        self.context.workspace()?.write_file_with(&self.path()?, |out| state.write(out))?;
        self.note(trainer);
        Ok(())
    }

    /// [`States::write`] where nobody waits for its error: it is said.
    pub fn try_to_write(&self, trainer: &Trainer) {
        if let Err(error) = self.write(trainer) {
            self.warn(format!("{}: the training state could not be written: {error}", self.run.name));
        }
    }

    /// Writes the state that belongs to a checkpoint about to be saved.
    pub fn write_for_checkpoint(&self, trainer: &Trainer) -> Result<RelPath> {
        let state = trainer.state();
        let (workspace, step) = (self.context.workspace()?, trainer.step_number() as u32);
        let path = workspace.save_training_state(self.run.id, step, |out| state.write(out))?;
        self.note(trainer);
        Ok(path)
    }

    /// Removes the state between checkpoints: the run is over, and its last checkpoint has one.
    pub fn finish(&self) -> Result<()> {
        self.context.workspace()?.delete_file(&self.path()?)
    }

    /// Goes on from the last whole state there is; where none is whole, from the start. The steps made again are the same.
    pub fn restore(&self, trainer: &mut Trainer) -> Result<()> {
        let mut damaged = false;
        for path in self.found()? {
            let restored = match fs::read(&path) {
                Ok(bytes) => trainer.restore(&bytes),
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::file(&path, e)),
            };
            match restored {
                Ok(lost) => {
                    lost.into_iter().for_each(|lost| self.warn(format!("{}: {}", path.display(), words(lost))));
                    self.note(trainer);
                    return Ok(());
                }
                Err(error) => self.warn(format!("{}: {error}; the state before is taken", path.display())),
            }
            damaged = true;
        }
        if damaged {
            self.warn(format!(
                "{}: no training state is whole: its steps are made again from the first",
                self.run.name
            ));
        }
        Ok(())
    }

    /// The files of states, the latest first.
    fn found(&self) -> Result<Vec<PathBuf>> {
        let workspace = self.context.workspace()?;
        let saved = workspace.ledger().resumable(self.run.id)?.into_iter().filter_map(|row| row.state_path);
        let paths = std::iter::once(self.path()?).chain(saved).map(|path| workspace.path(&path));
        let step = |path: &PathBuf| File::open(path).ok().and_then(state::step_of);
        let mut found: Vec<_> = paths.map(|path| (step(&path), path)).collect();
        found.sort_by_key(|(step, _)| std::cmp::Reverse(*step));
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    fn path(&self) -> Result<RelPath> {
        self.context.workspace()?.run_file(self.run, STATE_FILE)
    }

    fn note(&self, trainer: &Trainer) {
        self.written.set((trainer.step_number(), Instant::now()));
    }

    fn warn(&self, text: String) {
        self.context.log(Level::Warning, text);
    }
}

fn words(lost: Lost) -> &'static str {
    match lost {
        Lost::Average => {
            "an earlier version averaged the merged weights; the moving average of the factors begins anew at this step"
        }
    }
}
