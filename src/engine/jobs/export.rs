//! The pairs for other tools: `w/` and `l/` folders, JSONL and CSV.

use std::path::Path;

use serde::Serialize;

use super::{curate, sampling};
use crate::engine::context::Context;
use crate::engine::failures::Failures;
use crate::engine::progress::Meter;
use crate::engine::protocol::Outcome;
use crate::imaging::atomic;
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

/// Writes every pair of the recipe's curation; the same file name in `w/` and `l/` is a pair, `lr/` holds its input.
pub fn pairs(context: &mut Context, dir: &Path) -> Result<Outcome> {
    let (set, _) = sampling::reference(context)?;
    let ranking = curate::curate(context)?;
    let workspace = context.workspace()?;
    for sub in ["w", "l", "lr"] {
        let sub = dir.join(sub);
        std::fs::create_dir_all(&sub).map_err(|e| Error::file(&sub, e))?;
    }
    let copy = |from: &Path, to: &Path| std::fs::copy(from, to).map(drop).map_err(|e| Error::file(to, e));
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
            if let Some(candidate) = group.iter().find(|c| c.seed == seed) {
                copy(&workspace.path(&candidate.path), &dir.join(folder).join(&row.name))?;
            }
        }
        copy(&workspace.path(&image.lr_path), &dir.join("lr").join(&row.name))?;
        jsonl.push_str(&serde_json::to_string(&row).map_err(Error::invalid)?);
        jsonl.push('\n');
        let quoted = row.image.replace('"', "\"\"");
        csv.push_str(&format!(
            "{},\"{quoted}\",{},{},{},{},{},{},{},{}\n",
            row.name,
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
    let files = [dir.join("pairs.jsonl"), dir.join("pairs.csv")];
    atomic::write_atomic(&files[0], jsonl.as_bytes())?;
    atomic::write_atomic(&files[1], csv.as_bytes())?;
    Ok(Outcome::Written { files: files.into(), failed: Failures::default() })
}
