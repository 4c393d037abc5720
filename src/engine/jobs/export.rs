//! For other tools: the pairs as `w/` and `l/` folders with JSONL and CSV, and the weights of a checkpoint.

use std::path::{Path, PathBuf};

use candle_core::DType;
use serde::Serialize;

use super::{checkpoints, curate};
use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::failures::Failures;
use crate::engine::model::Model;
use crate::engine::progress::Meter;
use crate::engine::protocol::{Outcome, WeightsForm};
use crate::imaging::output;
use crate::report::csv::field;
use crate::{Error, Result};

/// One pair in `pairs.jsonl` and `pairs.csv`.
#[derive(Serialize)]
struct Row<'a> {
    name: String,
    image: &'a str,
    winner_seed: u64,
    loser_seed: u64,
    winner_reward: f64,
    loser_reward: f64,
    gap: f64,
    w_intra: f64,
    w_inter: f64,
    weight: f32,
}

/// Writes the weights of a checkpoint: all that are trained of its backbone, as they are when it runs, or what was added to them.
pub fn weights(context: &mut Context, name: &str, path: &Path, form: WeightsForm, overwrite: bool) -> Result<Outcome> {
    output::check_new_file(path, overwrite)?;
    let checkpoint = checkpoints::load(context, name)?;
    checkpoint.say_choice(context);
    let Model { backbone, params, layers } = &checkpoint.model;
    let about = [("backbone", backbone.card().name), ("checkpoint", &checkpoint.name), ("format", "pt")];
    let about = about.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let bytes = match (form, layers.as_deref()) {
        (WeightsForm::Whole, _) => params.to_safetensors(false, &about)?,
        (WeightsForm::Half, _) => {
            // What f16 does not hold is an error, and no file.
            params.as_ref().clone().trainable(false).narrowed(DType::F16)?;
            params.to_safetensors(true, &about)?
        }
        (WeightsForm::Factors, Some(layers)) if !layers.is_empty() => {
            let reference = context.models.reference(backbone.card().name, context.recipe.sampling.precision)?;
            reference.released().file_of(params, Some(layers), about)?
        }
        (WeightsForm::Factors, _) => {
            let cause = format!(
                "{} has no low-rank factors: it was not trained in that mode; leave out --factors",
                checkpoint.name
            );
            return Err(Error::invalid(cause));
        }
    };
    output::write(path, &bytes)?;
    Ok(Outcome::Written { files: vec![path.to_owned()], failed: Failures::default() })
}

/// Writes every pair of the recipe's curation; the same file name in `w/` and `l/` is a pair, `lr/` holds its input.
/// Refused where `dir` has files already, unless `overwrite`.
pub fn pairs(context: &mut Context, dir: &Path, allow_partial: bool, overwrite: bool) -> Result<Outcome> {
    output::check_empty_folder(dir, overwrite)?;
    let (set, _) = context.reference()?;
    let ranking = curate::curate(context, allow_partial)?.ranking;
    let workspace = context.workspace()?;
    ["w", "l", "lr"].iter().try_for_each(|sub| output::make_folder(dir.join(sub)))?;
    let mut files = Vec::new();
    let mut copy = |from: &Path, to: PathBuf| -> Result<()> {
        std::fs::copy(from, &to).map_err(|e| Error::file(&to, e))?;
        files.push(to);
        Ok(())
    };
    let total = ranking.curation.pairs().len();
    let mut meter = Meter::new("exporting", "pairs", total);
    let (mut jsonl, mut csv) = (String::new(), String::new());
    csv.push_str("name,image,winner_seed,loser_seed,winner_reward,loser_reward,gap,w_intra,w_inter,weight\n");
    for index in 0..total {
        context.checkpoint()?;
        let Some(detail) = ranking.curation.detail(&ranking.rewards, index) else { continue };
        let scores = &ranking.scores;
        let image = workspace.ledger().image(scores.train.images[detail.group])?;
        let seed = |s: u16| scores.seeds[usize::from(s)];
        let reward = |s: u16| ranking.rewards.get(detail.group, s.into()).unwrap_or(f64::NAN);
        let (winner, loser) = (detail.pair.winner, detail.pair.loser);
        let row = Row {
            name: format!("{}_{}_{}.png", image.dir, seed(winner), seed(loser)),
            image: &image.name,
            winner_seed: seed(winner),
            loser_seed: seed(loser),
            winner_reward: reward(winner),
            loser_reward: reward(loser),
            gap: detail.gap,
            w_intra: detail.w_intra,
            w_inter: detail.w_inter,
            weight: detail.pair.weight,
        };
        let group = workspace.ledger().group(&set, image.id)?;
        for (folder, seed) in [("w", row.winner_seed), ("l", row.loser_seed)] {
            let candidate = group.iter().find(|c| c.seed == seed);
            let gone = || Error::invalid(format!("{}: seed {seed} is not sampled any more", image.name));
            let candidate = candidate.ok_or_else(gone)?;
            damage::check(context, candidate)?;
            copy(&workspace.path(&candidate.path), dir.join(folder).join(&row.name))?;
        }
        copy(&workspace.path(&image.lr_path), dir.join("lr").join(&row.name))?;
        jsonl.push_str(&serde_json::to_string(&row).map_err(Error::invalid)?);
        jsonl.push('\n');
        csv.push_str(&format!(
            "{},{},{},{},{},{},{},{},{},{}\n",
            field(&row.name),
            field(row.image),
            row.winner_seed,
            row.loser_seed,
            row.winner_reward,
            row.loser_reward,
            row.gap,
            row.w_intra,
            row.w_inter,
            row.weight
        ));
        context.advance(&mut meter, 1);
    }
    for (name, text) in [("pairs.jsonl", jsonl), ("pairs.csv", csv)] {
        output::write(dir.join(name), text.as_bytes())?;
        files.push(dir.join(name));
    }
    Ok(Outcome::Written { files, failed: Failures::default() })
}
