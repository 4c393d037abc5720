//! One round of a run: steps, checkpoints and evaluations until it is done, stopped, or collapses.
//!
//! What is due after a step (checkpoint, evaluation) is done once, whether before or after a restart; steps whose result a
//! kill lost are made again.

use std::sync::Arc;
use std::time::Instant;

use super::evaluate::{self, Side};
use super::events::Curves;
use super::pairs::Loader;
use super::states::States;
use crate::engine::context::Context;
use crate::engine::devices;
use crate::engine::memory_plan::{self, Doubt};
use crate::engine::model::{Model, Reference};
use crate::engine::plan::{self, Sampling};
use crate::engine::progress::Meter;
use crate::engine::protocol::{Change, Event, Level};
use crate::method::evaluation::Evaluation;
use crate::method::provenance::On;
use crate::method::recipe::Training;
use crate::method::trainer::{Pairs, StepLog, Trainer};
use crate::words::counted;
use crate::workspace::{
    CheckpointId, CheckpointKind, EvaluationRow, NewCheckpoint, RunRow, RunState, StepRow, digest_of,
};
use crate::{Error, Result};

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Steps made in all.
    pub steps: u32,
    pub state: RunState,
}

/// A round about to be trained.
pub struct Round<'c> {
    pub context: &'c Context,
    pub run: &'c RunRow,
    pub round: u32,
    /// What checkpoints add to.
    pub released: &'c Reference,
    /// π_ref.
    pub reference: &'c Model,
    /// The weights π_θ starts from, and their checkpoint.
    pub start: &'c Model,
    pub start_id: CheckpointId,
}

impl Round<'_> {
    /// Trains to the end, or until cancelled: then the run is paused.
    pub fn train(&self, mut pairs: Loader) -> Result<Ended> {
        let ledger = self.context.workspace()?.ledger();
        let mut settings = self.context.recipe.training.clone();
        settings.seed = settings.seed.wrapping_add(u64::from(self.round) << 32);
        let (backbone, device) = (self.reference.backbone.as_ref(), self.reference.params.device());
        let models = self.context.models.of_each(self.reference)?;
        let models: Vec<_> = models.iter().map(|model| (model.backbone.as_ref(), model.params.as_ref())).collect();
        let workers = self.context.models.workers();
        let mut trainer =
            Trainer::new(backbone, &self.reference.params, &self.start.params, settings.clone(), pairs.len())?
                .told(Sampling::of(&self.context.recipe)?.told())
                .on(workers, &models)?;
        if workers.len() > settings.accumulation {
            let (parts, devices) = (settings.accumulation, workers.len());
            let text = format!(
                "{parts} of {devices} devices train: what they share of a step is its batches, training.accumulation of them"
            );
            self.context.log(Level::Info, text);
        }
        let sharing = devices::sharing(workers).min(settings.accumulation.max(1));
        if let Some(Doubt { at_once, text }) =
            memory_plan::doubt_of_step(&settings, backbone, (device, sharing), pairs.largest_px())
        {
            self.context.log(Level::Warning, text);
            trainer = trainer.at_once(at_once);
        }
        let states = States::new(self.context, self.run, &settings);
        states.restore(&mut trainer)?;
        ledger.rewind_run(self.run.id, trainer.step_number() as u32)?;
        ledger.set_run_state(self.run.id, RunState::Running, None)?;
        self.context.changed(Change::Runs);
        let mut unrecorded = None;
        let result = self.steps(&mut trainer, &mut pairs, &settings, &states, &mut unrecorded);
        let steps = trainer.step_number() as u32;
        let (state, message) = match &result {
            Ok(state) => (*state, None),
            Err(Error::Diverged(cause)) => {
                if steps > 0 {
                    self.save_checkpoint(&trainer, &states)?;
                }
                (RunState::Failed, Some(format!("{cause}; step {steps} is the last good one and is saved")))
            }
            Err(error) => {
                // A state after a step that the ledger lacks would leave a gap in the curves: then the step is made again.
                if unrecorded.is_none_or(|row| ledger.record_steps(self.run.id, &[row]).is_ok()) {
                    states.try_to_write(&trainer);
                }
                (RunState::Paused, Some(error.to_string()).filter(|_| !matches!(error, Error::Cancelled)))
            }
        };
        if state.is_final() {
            states.finish()?;
        }
        let noted = ledger.set_run_state(self.run.id, state, message.as_deref());
        match (result, message) {
            (Err(Error::Diverged(_)), Some(message)) => Err(Error::Diverged(message)),
            (Err(error), _) => Err(error),
            (Ok(_), _) => noted.map(|()| Ended { steps, state }),
        }
    }

    fn steps(
        &self,
        trainer: &mut Trainer,
        pairs: &mut Loader,
        settings: &Training,
        states: &States,
        unrecorded: &mut Option<StepRow>,
    ) -> Result<RunState> {
        let (context, total, mut has_fallen) = (self.context, settings.steps, false);
        let mut meter = Meter::new("training", "steps", total).resumed_at(trainer.step_number() as usize);
        let curves = Curves::begin(context, self.run, trainer.step_number());
        context.advance(&mut meter, 0);
        loop {
            if self.after_step(trainer, settings, states, &curves)? {
                return Ok(RunState::Collapsed);
            }
            if trainer.step_number() >= total as u64 {
                return Ok(RunState::Done);
            }
            states.write_when_due(trainer)?;
            meter.skip_time();
            let began = Instant::now();
            let mut checkpoint = |trainer: &Trainer| {
                context.report(meter.begun(trainer.share()));
                context.voice.checkpoint_after(|| states.try_to_write(trainer))
            };
            let log = match trainer.step(pairs, &mut checkpoint) {
                // Once: what does not fit then will not fit later either.
                Err(error) if error.is_out_of_memory() && !has_fallen => {
                    let Some(at_once) = trainer.halve() else { return Err(error) };
                    has_fallen = true;
                    let text = format!("{error}; from here on the network gets {} at once", counted(at_once, "pair"));
                    context.log(Level::Warning, text);
                    continue;
                }
                made => made?,
            };
            let row = step_row(&log, began.elapsed().as_secs_f64());
            *unrecorded = Some(row.clone());
            context.workspace()?.ledger().record_steps(self.run.id, std::slice::from_ref(&row))?;
            *unrecorded = None;
            curves.step(&row);
            context.emit(Event::Step { run: self.run.id, row });
            context.advance(&mut meter, 1);
        }
    }

    /// Does what is due after the trainer's step and was not done before; true if the run has collapsed.
    fn after_step(&self, trainer: &Trainer, settings: &Training, states: &States, curves: &Curves) -> Result<bool> {
        let ledger = self.context.workspace()?.ledger();
        let step = trainer.step_number();
        let last = step >= settings.steps as u64;
        let every = |n: usize| n > 0 && step.is_multiple_of(n as u64);
        let validation = ledger.images_on(On::Validation)?;
        let evaluate = !validation.is_empty() && (last || step == 0 || every(settings.eval_every));
        let checkpoint = match step {
            0 => self.start_id,
            _ if evaluate || last || every(settings.checkpoint_every) => self.save_checkpoint(trainer, states)?,
            _ => return Ok(false),
        };
        // Rewards on other images do not compare.
        let digest = digest_of(&validation);
        let mut known = ledger.evaluations(self.run.id)?;
        known.retain(|e| e.on == On::Validation && e.images_digest == digest);
        if evaluate && known.iter().all(|e| u64::from(e.step) != step) {
            let began = Instant::now();
            // Weights of its own, so that the forms that kernels make of them go with it; the values are the policy's.
            let params = Arc::new(trainer.policy().evaluated()?.trainable(false));
            let model = Model { backbone: self.reference.backbone.clone(), params, layers: None };
            let stage = format!("evaluation at step {step}");
            let (context, seeds) = (self.context, settings.eval_seeds);
            let recipe = &context.recipe;
            let seeds: Vec<u64> = recipe.seeds_of(seeds);
            let side = Side { set: plan::candidates_of(checkpoint, recipe)?, model: Some(&model) };
            let evaluation = evaluate::evaluate(context, &side, &seeds, &stage, On::Validation)?;
            curves.evaluation(step, &evaluation);
            if step > 0 {
                ledger.set_held_out_reward(checkpoint, evaluation.mean_reward())?;
            }
            let row = EvaluationRow {
                step: step as u32,
                on: On::Validation,
                images: Some(validation.len() as u32),
                images_digest: digest,
                report: serde_json::to_string(&evaluation).map_err(Error::invalid)?,
                seconds: began.elapsed().as_secs_f64(),
            };
            ledger.record_evaluation(self.run.id, &row)?;
            known.push(row.clone());
            self.context.emit(Event::Evaluated { run: self.run.id, row });
            self.context.changed(Change::Runs);
        }
        Ok(collapsed(&known, settings.early_stop_evaluations))
    }

    /// The checkpoint of the trainer's step, saved now if it is not there.
    fn save_checkpoint(&self, trainer: &Trainer, states: &States) -> Result<CheckpointId> {
        let workspace = self.context.workspace()?;
        let step = trainer.step_number() as u32;
        let kind = if trainer.policy().is_averaged() { CheckpointKind::Ema } else { CheckpointKind::Policy };
        if let Some(row) = workspace.ledger().checkpoint_at(self.run.id, step, kind)?
            && !row.file_missing
        {
            return Ok(row.id);
        }
        let state = states.write_for_checkpoint(trainer)?;
        let new = NewCheckpoint {
            run: self.run.id,
            step,
            kind,
            backbone: self.reference.backbone.card().name.into(),
            state: Some(state),
            held_out_reward: None,
        };
        let id = workspace.save_checkpoint(&new, &self.checkpoint_file(trainer)?)?;
        workspace.prune_training_states(self.run.id, 1)?;
        self.context.changed(Change::Runs);
        Ok(id)
    }

    fn checkpoint_file(&self, trainer: &Trainer) -> Result<Vec<u8>> {
        let about = [("run", self.run.name.clone()), ("step", trainer.step_number().to_string())];
        let about = about.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        let policy = trainer.policy();
        let layers = match (&self.start.layers, policy.addition()) {
            (Some(below), Some(layer)) => Some([below, &[layer][..]].concat()),
            _ => None,
        };
        self.released.released().file_of(&policy.evaluated()?, layers.as_deref(), about)
    }
}

/// Whether the last `limit` of evaluations on the same images all lie below that of the start, if there is one.
fn collapsed(evaluations: &[EvaluationRow], limit: usize) -> bool {
    if evaluations.first().is_none_or(|start| start.step != 0) {
        return false;
    }
    let rewards: Vec<f64> = evaluations
        .iter()
        .filter_map(|e| serde_json::from_str::<Evaluation>(&e.report).ok())
        .map(|evaluation| evaluation.mean_reward())
        .collect();
    match rewards.split_first() {
        Some((start, later)) if limit > 0 && later.len() >= limit => {
            later[later.len() - limit..].iter().all(|reward| reward < start)
        }
        _ => false,
    }
}

fn step_row(log: &StepLog, seconds: f64) -> StepRow {
    let errors = log.loss.errors;
    StepRow {
        step: log.step as u32,
        loss: log.loss.loss,
        implicit_accuracy: log.loss.accuracy,
        margin: log.loss.margin,
        policy_winner_error: errors.policy_winner,
        policy_loser_error: errors.policy_loser,
        reference_winner_error: errors.reference_winner,
        reference_loser_error: errors.reference_loser,
        grad_norm: log.grad_norm,
        learning_rate: log.learning_rate,
        seconds,
        extra: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_collapses_after_several_evaluations_below_its_start() {
        let row = |step: u32, reward: f64| EvaluationRow {
            step,
            on: On::Validation,
            images: Some(4),
            images_digest: String::new(),
            report: serde_json::to_string(&Evaluation {
                m: vec![1],
                best: vec![reward],
                mean: vec![reward],
                worst: vec![reward],
                std: 0.1,
                images: 1,
                metrics: Default::default(),
                by_image: Default::default(),
            })
            .unwrap(),
            seconds: 0.0,
        };
        let rows = |rewards: &[f64]| -> Vec<_> { rewards.iter().enumerate().map(|(i, &r)| row(i as u32, r)).collect() };
        assert!(!collapsed(&rows(&[0.5, 0.4, 0.4]), 3));
        assert!(collapsed(&rows(&[0.5, 0.4, 0.4, 0.4]), 3));
        assert!(!collapsed(&rows(&[0.5, 0.4, 0.6, 0.4, 0.4]), 3));
        assert!(!collapsed(&rows(&[0.5, 0.4, 0.4, 0.4]), 0));
        // The start was evaluated on other images.
        assert!(!collapsed(&rows(&[0.5, 0.5, 0.4, 0.4, 0.4])[1..], 3));
    }
}
