//! The curves of a run as a table: a row a step, each with the settings that the run was trained under, so that tables of several runs
//! go together.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::engine::context::Context;
use crate::engine::protocol::Level;
use crate::method::evaluation::Evaluation;
use crate::method::fields;
use crate::method::provenance::On;
use crate::method::recipe::Recipe;
use crate::method::value::Value as Setting;
use crate::report::table::Table;
use crate::workspace::{EvaluationRow, StepRow};
use crate::{Error, Result};

/// What is known of a step, then what of an evaluation after it.
const OF_STEP: [&str; 10] = [
    "loss",
    "implicit_accuracy",
    "margin",
    "policy_winner_error",
    "policy_loser_error",
    "reference_winner_error",
    "reference_loser_error",
    "grad_norm",
    "learning_rate",
    "seconds",
];
const OF_EVALUATION: [&str; 5] =
    ["validation_m", "validation_best", "validation_mean", "validation_worst", "validation_sigma"];

/// Every optimizer step and every evaluation of a run, by step; 0 is the start. Of a metric there is the mean over the validation images,
/// `validation.NAME`; of the recipe a column for each setting, by its key.
pub fn table(context: &Context, name: &str) -> Result<Table> {
    let ledger = context.workspace()?.ledger();
    let Some(run) = ledger.run_by_name(name)? else {
        let names: Vec<String> = ledger.runs()?.into_iter().map(|run| run.name).collect();
        let there = if names.is_empty() { "none yet".to_owned() } else { names.join(", ") };
        return Err(Error::invalid(format!("there is no run {}; there is {there}", name.escape_debug())));
    };
    let steps: BTreeMap<u32, StepRow> = ledger.steps_since(run.id, 0)?.into_iter().map(|row| (row.step, row)).collect();
    let evaluations = evaluations(ledger.evaluations(run.id)?);
    let metrics: BTreeSet<&String> = evaluations.values().flat_map(|known| known.metrics.keys()).collect();
    let settings: Vec<(&str, Value)> = match Recipe::from_ron(&run.recipe, &run.name) {
        Ok(recipe) => fields::fields().iter().map(|field| (field.key, json_of(field.value(&recipe)))).collect(),
        Err(error) => {
            context.log(Level::Warning, format!("{error}: the settings are left out"));
            Vec::new()
        }
    };

    let mut columns: Vec<String> =
        ["run", "step"].into_iter().chain(OF_STEP).chain(OF_EVALUATION).map(Into::into).collect();
    columns.extend(metrics.iter().map(|name| format!("validation.{name}")));
    columns.extend(settings.iter().map(|(key, _)| (*key).to_owned()));
    let mut table = Table::new(&columns);
    let all: BTreeSet<u32> = steps.keys().chain(evaluations.keys()).copied().collect();
    for step in all {
        let evaluation = evaluations.get(&step);
        let mut row = vec![json!(run.name), json!(step)];
        row.extend(of_step(steps.get(&step)));
        row.extend(of_evaluation(evaluation));
        row.extend(metrics.iter().map(|name| json!(evaluation.and_then(|known| Some(known.metrics.get(*name)?.mean)))));
        row.extend(settings.iter().map(|(_, value)| value.clone()));
        table.push(row);
    }
    Ok(table)
}

/// By step; those on the validation images go before those of workspaces that had none.
fn evaluations(rows: Vec<EvaluationRow>) -> BTreeMap<u32, Evaluation> {
    let mut by_step = BTreeMap::new();
    for on in [On::HeldOut, On::Validation] {
        let of = rows.iter().filter(|row| row.on == on);
        by_step.extend(of.filter_map(|row| Some((row.step, serde_json::from_str(&row.report).ok()?))));
    }
    by_step
}

fn of_step(row: Option<&StepRow>) -> [Value; OF_STEP.len()] {
    let Some(row) = row else { return [const { Value::Null }; OF_STEP.len()] };
    [
        row.loss,
        row.implicit_accuracy,
        row.margin,
        row.policy_winner_error,
        row.policy_loser_error,
        row.reference_winner_error,
        row.reference_loser_error,
        row.grad_norm,
        row.learning_rate,
        row.seconds,
    ]
    .map(|value| json!(value))
}

fn of_evaluation(known: Option<&Evaluation>) -> [Value; OF_EVALUATION.len()] {
    let Some(known) = known else { return [const { Value::Null }; OF_EVALUATION.len()] };
    let figures = [known.best_reward(), known.mean_reward(), known.worst_reward(), known.std].map(|value| json!(value));
    let [best, mean, worst, sigma] = figures;
    [json!(known.m.last()), best, mean, worst, sigma]
}

/// A setting as a number where it is one, else in the form that `--set` takes.
fn json_of(setting: Setting) -> Value {
    match setting {
        Setting::Count(count) => json!(count),
        Setting::Number(number) => json!(number),
        other => json!(other.to_string()),
    }
}
