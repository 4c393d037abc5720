//! The curves of a run as TensorBoard reads them, written as it goes. They are for looking at: where they cannot be written, that is
//! said once, and the run goes on.

use std::cell::RefCell;
use std::fs::{self, File};

use crate::engine::context::Context;
use crate::engine::protocol::Level;
use crate::fs::atomic::create_dir_durable;
use crate::method::evaluation::Evaluation;
use crate::method::recipe::Events as Setting;
use crate::report::events::Events;
use crate::workspace::{RunRow, StepRow};
use crate::{Error, Result};

/// Folder of the event files in a run's.
const FOLDER: &str = "tensorboard";

/// The event file of a run that is being trained, if one is.
pub struct Curves<'c> {
    context: &'c Context,
    file: RefCell<Option<Events<File>>>,
}

impl<'c> Curves<'c> {
    /// Begins a file for the steps after `step`; `None` of it where the recipe says so, or it cannot be written.
    pub fn begin(context: &'c Context, run: &RunRow, step: u64) -> Self {
        let is_on = context.recipe.training.events == Setting::Tensorboard;
        let file = match is_on.then(|| open(context, run, step)).transpose() {
            Ok(file) => file,
            Err(error) => {
                context.log(Level::Warning, format!("no event files for TensorBoard: {error}"));
                None
            }
        };
        Self { context, file: RefCell::new(file) }
    }

    /// Tells of an optimizer step.
    pub fn step(&self, row: &StepRow) {
        let values = [
            ("train/loss", row.loss),
            ("train/implicit_accuracy", row.implicit_accuracy),
            ("train/margin", row.margin),
            ("error/policy_winner", row.policy_winner_error),
            ("error/policy_loser", row.policy_loser_error),
            ("error/reference_winner", row.reference_winner_error),
            ("error/reference_loser", row.reference_loser_error),
            ("train/grad_norm", row.grad_norm),
            ("train/learning_rate", row.learning_rate),
            ("train/seconds", row.seconds),
        ];
        self.write(u64::from(row.step), values.map(|(tag, value)| (tag.to_owned(), value)).into());
    }

    /// Tells of an evaluation on the validation images.
    pub fn evaluation(&self, step: u64, evaluation: &Evaluation) {
        let m = evaluation.m.last().copied().unwrap_or_default();
        let mut values = vec![
            (format!("validation/best@{m}"), evaluation.best_reward()),
            (format!("validation/mean@{m}"), evaluation.mean_reward()),
            (format!("validation/worst@{m}"), evaluation.worst_reward()),
            ("validation/sigma".to_owned(), evaluation.std),
        ];
        values
            .extend(evaluation.metrics.iter().map(|(name, metric)| (format!("validation_metric/{name}"), metric.mean)));
        self.write(step, values);
    }

    fn write(&self, step: u64, values: Vec<(String, f64)>) {
        let mut file = self.file.borrow_mut();
        let Some(events) = file.as_mut() else { return };
        let values = values.iter().map(|(tag, value)| (tag.as_str(), *value));
        if let Err(error) = events.scalars(step, values) {
            self.context.log(Level::Warning, format!("no more event files for TensorBoard: {error}"));
            *file = None;
        }
    }
}

/// A new file among those of the run.
fn open(context: &Context, run: &RunRow, step: u64) -> Result<Events<File>> {
    let workspace = context.workspace()?;
    let folder = workspace.path(&workspace.run_file(run, FOLDER)?);
    // TensorBoard reads the files of a folder in the order of their names.
    let known = fs::read_dir(&folder).into_iter().flatten().count();
    let path = workspace.run_file(run, &format!("{FOLDER}/events.out.tfevents.{known:010}.dp2o-studio"))?;
    let place = workspace.place(&path)?;
    place.parent().map_or(Ok(()), create_dir_durable)?;
    let file = File::create_new(&place).map_err(|e| Error::file(&place, e))?;
    Events::begin(file, step + 1).map_err(|e| Error::file(&place, e))
}
