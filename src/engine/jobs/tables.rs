//! What a workspace knows, as tables for notebooks and other tools: scores, pairs, verdicts; of a run [`run_table`].

use std::path::Path;

use serde_json::{Value, json};

use super::paired::{self, Half};
use super::{curate, run_table};
use crate::engine::context::Context;
use crate::engine::failures::Failures;
use crate::engine::metrics::MetricSet;
use crate::engine::protocol::{Outcome, TableOf};
use crate::imaging::output;
use crate::report::table::{Form, Table};
use crate::workspace::{CandidateId, CandidateSet, ImageRow, RelPath};
use crate::{Error, Result};

/// Writes a table. Refused where the file is there already, unless `overwrite`.
pub fn export(context: &mut Context, of: &TableOf, form: Form, path: &Path, overwrite: bool) -> Result<Outcome> {
    output::check_new_file(path, overwrite)?;
    let table = match of {
        TableOf::Scores => scores(context)?,
        TableOf::Pairs { allow_partial } => pairs(context, *allow_partial)?,
        TableOf::Verdicts => verdicts(context)?,
        TableOf::Run(name) => run_table::table(context, name)?,
    };
    if table.is_empty() {
        return Err(Error::invalid(format!("there are no {} yet, so nothing is written", of.title())));
    }
    output::write(path, &table.bytes(form)?)?;
    Ok(Outcome::Written { files: vec![path.to_owned()], failed: Failures::default() })
}

/// Every score of the reference's candidates that the recipe asks for.
fn scores(context: &mut Context) -> Result<Table> {
    let set = context.reference_set()?;
    let metrics = MetricSet::of(&context.recipe, &context.store())?;
    let workspace = context.workspace()?;
    let scores = workspace.ledger().scores(&set, &metrics.keys)?;
    let mut table = Table::new(&[
        "image",
        "split",
        "seed",
        "metric",
        "value",
        "direction",
        "kind",
        "version",
        "crop_policy",
        "weights",
        "path",
    ]);
    let paths = paths(context, &set)?;
    let mut image = None;
    for (index, candidate) in scores.candidates().iter().enumerate() {
        if image.as_ref().is_none_or(|row: &ImageRow| row.id != candidate.image) {
            context.checkpoint()?;
            image = Some(workspace.ledger().image(candidate.image)?);
        }
        let Some(image) = &image else { continue };
        for ((&value, info), key) in scores.row(index).iter().zip(&metrics.columns).zip(&metrics.keys) {
            if !value.is_finite() {
                continue;
            }
            table.push([
                json!(image.name),
                json!(image.split.as_str()),
                json!(candidate.seed),
                json!(info.name),
                json!(value),
                json!(info.direction.word()),
                json!(info.kind.word()),
                json!(key.version),
                json!(key.crop_policy),
                json!(key.weights_hash),
                paths.get(&candidate.id).map_or(Value::Null, |path| json!(path)),
            ]);
        }
    }
    Ok(table)
}

type Paths = std::collections::HashMap<CandidateId, String>;

/// Where the candidates of a set lie.
fn paths(context: &Context, set: &CandidateSet) -> Result<Paths> {
    let workspace = context.workspace()?;
    let path = |path: &RelPath| workspace.path(path).to_string_lossy().into_owned();
    Ok(workspace.ledger().candidates(set)?.iter().map(|candidate| (candidate.id, path(&candidate.path))).collect())
}

/// The pairs of the recipe's curation with their weights.
fn pairs(context: &mut Context, allow_partial: bool) -> Result<Table> {
    let ranking = curate::curate(context, allow_partial)?.ranking;
    let workspace = context.workspace()?;
    let mut table = Table::new(&[
        "image",
        "winner_seed",
        "loser_seed",
        "winner_reward",
        "loser_reward",
        "gap",
        "w_intra",
        "w_inter",
        "w",
        "winner",
        "loser",
        "lr",
    ]);
    let path = |path: &RelPath| json!(workspace.path(path).to_string_lossy());
    let file = |half: &Half| half.candidate.map_or(Value::Null, |candidate| path(&candidate.path));
    paired::each(context, &ranking, |pair| {
        table.push([
            json!(pair.image.name),
            json!(pair.winner.seed),
            json!(pair.loser.seed),
            json!(pair.winner.reward),
            json!(pair.loser.reward),
            json!(pair.gap),
            json!(pair.w_intra),
            json!(pair.w_inter),
            json!(pair.weight),
            file(&pair.winner),
            file(&pair.loser),
            path(&pair.image.lr_path),
        ]);
        Ok(())
    })?;
    Ok(table)
}

/// What people said of pairs.
fn verdicts(context: &mut Context) -> Result<Table> {
    let set = context.reference_set()?;
    let ledger = context.workspace()?.ledger();
    let mut table = Table::new(&[
        "image",
        "winner_seed",
        "loser_seed",
        "verdict",
        "rater",
        "left_seed",
        "right_seed",
        "shuffle",
        "decided_at_secs",
    ]);
    let none = Value::Null;
    for row in ledger.verdicts(&set)? {
        let name = json!(ledger.image(row.image)?.name);
        let (winner, loser) = (json!(row.winner_seed), json!(row.loser_seed));
        let (verdict, rater) = (json!(row.kind.as_str()), json!(row.rater));
        let none = || none.clone();
        table.push([name, winner, loser, verdict, rater, none(), none(), none(), none()]);
    }
    // Of a blind judgement the winner is the one that was preferred; where none was, there is neither.
    for row in ledger.judgements(&set)? {
        let name = json!(ledger.image(row.image)?.name);
        let (winner, loser) = row.preferred().map_or((none.clone(), none.clone()), |(w, l)| (json!(w), json!(l)));
        let verdict = json!(if row.preferred().is_some() { "prefer" } else { row.choice.word() });
        let [left, right] = row.seeds.map(|seed| json!(seed));
        let (rater, shuffle, at) = (json!(row.rater), json!(row.shuffle), json!(row.decided_at_secs));
        table.push([name, winner, loser, verdict, rater, left, right, shuffle, at]);
    }
    Ok(table)
}
