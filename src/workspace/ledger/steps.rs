//! Steps and evaluations: the curves of a run.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, named_params};

use super::{Ledger, RunId, execute, real, rows};
use crate::Result;
use crate::method::provenance::On;

/// One training step, as logged. A value that is not known is NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRow {
    /// Counted from 1: number of optimizer steps including this one.
    pub step: u32,
    /// Mean of w · ℓ over the batch.
    pub loss: f64,
    /// Share of pairs with d < 0, ties counted half; in [0, 1].
    pub implicit_accuracy: f64,
    /// Mean of −(β/2) · d.
    pub margin: f64,
    /// e_θ on winners.
    pub policy_winner_error: f64,
    /// e_θ on losers.
    pub policy_loser_error: f64,
    /// e_ref on winners.
    pub reference_winner_error: f64,
    /// e_ref on losers.
    pub reference_loser_error: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// What the step took.
    pub seconds: f64,
    /// JSON with whatever else belongs to the step.
    pub extra: Option<String>,
}

impl StepRow {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            step: row.get("step")?,
            loss: real(row, "loss")?,
            implicit_accuracy: real(row, "implicit_accuracy")?,
            margin: real(row, "margin")?,
            policy_winner_error: real(row, "policy_winner_error")?,
            policy_loser_error: real(row, "policy_loser_error")?,
            reference_winner_error: real(row, "reference_winner_error")?,
            reference_loser_error: real(row, "reference_loser_error")?,
            grad_norm: real(row, "grad_norm")?,
            learning_rate: real(row, "learning_rate")?,
            seconds: real(row, "seconds")?,
            extra: row.get("extra")?,
        })
    }
}

impl ToSql for On {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for On {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(FromSqlError::other)
    }
}

/// An evaluation of a run after some steps.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationRow {
    /// Number of training steps behind it; 0 is the start.
    pub step: u32,
    /// The images: validation, or all that were held out before there was such a thing.
    pub on: On,
    /// How many; `None` if unknown.
    pub images: Option<u32>,
    /// Which: only evaluations of the same are comparable. Empty if unknown.
    pub images_digest: String,
    /// JSON: Best@m, Mean@m and Worst@m, mean and spread of every metric.
    pub report: String,
    /// What the evaluation took; NaN if unknown.
    pub seconds: f64,
}

impl EvaluationRow {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            step: row.get("step")?,
            on: row.get("measured_on")?,
            images: row.get("images")?,
            images_digest: row.get("images_digest")?,
            report: row.get("report")?,
            seconds: real(row, "seconds")?,
        })
    }
}

impl Ledger {
    /// Records steps, all or none; a step that was recorded before is replaced.
    pub fn record_steps(&self, run: RunId, steps: &[StepRow]) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO steps (run_id, step, loss, implicit_accuracy, margin, policy_winner_error,
                policy_loser_error, reference_winner_error, reference_loser_error, grad_norm, learning_rate, seconds, extra)
            VALUES (:run, :step, :loss, :accuracy, :margin, :policy_winner, :policy_loser, :reference_winner,
                :reference_loser, :grad_norm, :learning_rate, :seconds, :extra)";
        self.write(|conn| {
            let mut insert = conn.prepare_cached(sql)?;
            for step in steps {
                insert.execute(named_params! {
                    ":run": run,
                    ":step": step.step,
                    ":loss": step.loss,
                    ":accuracy": step.implicit_accuracy,
                    ":margin": step.margin,
                    ":policy_winner": step.policy_winner_error,
                    ":policy_loser": step.policy_loser_error,
                    ":reference_winner": step.reference_winner_error,
                    ":reference_loser": step.reference_loser_error,
                    ":grad_norm": step.grad_norm,
                    ":learning_rate": step.learning_rate,
                    ":seconds": step.seconds,
                    ":extra": step.extra,
                })?;
            }
            Ok(())
        })
    }

    /// The steps of a run after `step`, in order; all of them after 0.
    pub fn steps_since(&self, run: RunId, step: u32) -> Result<Vec<StepRow>> {
        let sql = "SELECT * FROM steps WHERE run_id = ?1 AND step > ?2 ORDER BY step";
        self.read(|conn| rows(conn, sql, (run, step), StepRow::from_row))
    }

    /// Records an evaluation; an earlier one of the same step and kind of images is replaced.
    pub fn record_evaluation(&self, run: RunId, new: &EvaluationRow) -> Result<()> {
        let sql =
            "INSERT OR REPLACE INTO evaluations (run_id, step, measured_on, images, images_digest, report, seconds)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let values = (run, new.step, new.on, new.images, &new.images_digest, &new.report, new.seconds);
        self.write(|conn| execute(conn, sql, values).map(drop))
    }

    /// All evaluations of a run by step.
    pub fn evaluations(&self, run: RunId) -> Result<Vec<EvaluationRow>> {
        let sql = "SELECT * FROM evaluations WHERE run_id = ?1 ORDER BY step, measured_on";
        self.read(|conn| rows(conn, sql, [run], EvaluationRow::from_row))
    }

    /// Forgets the steps and evaluations after `step`, from which training is about to go on: a resumed run shows no
    /// curve of steps whose result was lost.
    pub fn rewind_run(&self, run: RunId, step: u32) -> Result<()> {
        self.write(|conn| {
            for table in ["steps", "evaluations"] {
                let sql = format!("DELETE FROM {table} WHERE run_id = ?1 AND step > ?2");
                execute(conn, &sql, (run, step))?;
            }
            Ok(())
        })
    }
}
