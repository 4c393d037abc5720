//! The pairs for other tools: as `w/` and `l/` folders, as a folder of Hugging Face `datasets`, or in the columns of Diffusion-DPO's
//! script.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::curate;
use super::paired::{self, Half, Paired};
use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::failures::Failures;
use crate::engine::progress::Meter;
use crate::engine::protocol::{Outcome, PairsLayout};
use crate::engine::ranking::Ranking;
use crate::imaging::output;
use crate::report::csv::field;
use crate::report::parquet::{Cell, Kind, Writer};
use crate::workspace::{CandidateRow, RelPath};
use crate::{Error, Result};

/// Pairs that a Parquet file has together: their pictures are in memory at once.
const PAIRS_OF_GROUP: usize = 32;

/// Writes every pair of the recipe's curation. Refused where `dir` has files already, unless `overwrite`.
pub fn pairs(
    context: &mut Context,
    dir: &Path,
    layout: PairsLayout,
    allow_partial: bool,
    overwrite: bool,
) -> Result<Outcome> {
    output::check_empty_folder(dir, overwrite)?;
    let ranking = curate::curate(context, allow_partial)?.ranking;
    let files = match layout {
        PairsLayout::Folders => folders(context, &ranking, dir)?,
        PairsLayout::HuggingFace => hugging_face(context, &ranking, dir)?,
        PairsLayout::DiffusionDpo => diffusion_dpo(context, &ranking, dir)?,
    };
    Ok(Outcome::Written { files, failed: Failures::default() })
}

fn meter(ranking: &Ranking) -> Meter {
    Meter::new("exporting", "pairs", ranking.curation.pairs().len())
}

/// The file of a half. Errors: it is not there any more, or damaged.
fn whole<'p>(context: &Context, pair: &Paired<'p>, half: &Half<'p>) -> Result<&'p CandidateRow> {
    let gone = || Error::invalid(format!("{}: seed {} is not sampled any more", pair.image.name, half.seed));
    let candidate = half.candidate.ok_or_else(gone)?;
    damage::check(context, candidate)?;
    Ok(candidate)
}

/// Copies a file of the workspace once.
fn copy(context: &Context, from: &RelPath, to: PathBuf, files: &mut Vec<PathBuf>) -> Result<()> {
    fs::copy(context.workspace()?.path(from), &to).map_err(|e| Error::file(&to, e))?;
    files.push(to);
    Ok(())
}

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

/// The same file name in `w/` and `l/` is a pair, `lr/` holds its input; `pairs.jsonl` and `pairs.csv` list them.
fn folders(context: &Context, ranking: &Ranking, dir: &Path) -> Result<Vec<PathBuf>> {
    ["w", "l", "lr"].iter().try_for_each(|sub| output::make_folder(dir.join(sub)))?;
    let (mut files, mut meter) = (Vec::new(), meter(ranking));
    let (mut jsonl, mut csv) = (String::new(), String::new());
    csv.push_str("name,image,winner_seed,loser_seed,winner_reward,loser_reward,gap,w_intra,w_inter,weight\n");
    paired::each(context, ranking, |pair| {
        let (winner, loser) = (&pair.winner, &pair.loser);
        let row = Row {
            name: format!("{}_{}_{}.png", pair.image.dir, winner.seed, loser.seed),
            image: &pair.image.name,
            winner_seed: winner.seed,
            loser_seed: loser.seed,
            winner_reward: winner.reward,
            loser_reward: loser.reward,
            gap: pair.gap,
            w_intra: pair.w_intra,
            w_inter: pair.w_inter,
            weight: pair.weight,
        };
        for (folder, half) in [("w", winner), ("l", loser)] {
            copy(context, &whole(context, pair, half)?.path, dir.join(folder).join(&row.name), &mut files)?;
        }
        copy(context, &pair.image.lr_path, dir.join("lr").join(&row.name), &mut files)?;
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
        Ok(())
    })?;
    for (name, text) in [("pairs.jsonl", jsonl), ("pairs.csv", csv)] {
        output::write(dir.join(name), text.as_bytes())?;
        files.push(dir.join(name));
    }
    Ok(files)
}

/// One pair in `metadata.jsonl`. Columns that end in `_file_name` are pictures of their folder.
#[derive(Serialize)]
struct Metadata<'a> {
    winner_file_name: String,
    loser_file_name: String,
    lr_file_name: String,
    caption: &'a str,
    image: &'a str,
    winner_seed: u64,
    loser_seed: u64,
    winner_reward: f64,
    loser_reward: f64,
    gap: f64,
    w_intra: f64,
    w_inter: f64,
    w: f32,
}

/// What `load_dataset("imagefolder", data_dir=…)` reads: pictures, each once, and `metadata.jsonl` with relative paths.
fn hugging_face(context: &Context, ranking: &Ranking, dir: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut meter) = (Vec::new(), meter(ranking));
    let mut jsonl = String::new();
    let mut once = |from: &RelPath, name: String| -> Result<String> {
        let to = dir.join(&name);
        // Files that were there before the export are replaced.
        if !files.contains(&to) {
            output::make_folder(to.parent().unwrap_or(dir))?;
            copy(context, from, to, &mut files)?;
        }
        Ok(name)
    };
    paired::each(context, ranking, |pair| {
        let image = &pair.image.dir;
        let [winner, loser] = [whole(context, pair, &pair.winner)?, whole(context, pair, &pair.loser)?];
        let row = Metadata {
            winner_file_name: once(&winner.path, format!("candidates/{image}/{}.png", winner.seed))?,
            loser_file_name: once(&loser.path, format!("candidates/{image}/{}.png", loser.seed))?,
            lr_file_name: once(&pair.image.lr_path, format!("lr/{image}.png"))?,
            caption: &pair.image.prompt,
            image: &pair.image.name,
            winner_seed: pair.winner.seed,
            loser_seed: pair.loser.seed,
            winner_reward: pair.winner.reward,
            loser_reward: pair.loser.reward,
            gap: pair.gap,
            w_intra: pair.w_intra,
            w_inter: pair.w_inter,
            w: pair.weight,
        };
        jsonl.push_str(&serde_json::to_string(&row).map_err(Error::invalid)?);
        jsonl.push('\n');
        context.advance(&mut meter, 1);
        Ok(())
    })?;
    output::write(dir.join("metadata.jsonl"), jsonl.as_bytes())?;
    files.push(dir.join("metadata.jsonl"));
    Ok(files)
}

/// The columns of Diffusion-DPO's script (Wallace et al., arXiv 2311.12908): the bytes of both pictures, which of them is preferred, the
/// caption; besides, what super-resolution and the weights of pairs need.
const COLUMNS: [(&str, Kind); 12] = [
    ("jpg_0", Kind::Bytes),
    ("jpg_1", Kind::Bytes),
    ("label_0", Kind::Number),
    ("label_1", Kind::Number),
    ("caption", Kind::Text),
    ("lr", Kind::Bytes),
    ("image", Kind::Text),
    ("seed_0", Kind::Whole),
    ("seed_1", Kind::Whole),
    ("gap", Kind::Number),
    ("w", Kind::Number),
    ("has_label", Kind::Number),
];

/// `data/train-00000-of-00001.parquet`, which `load_dataset(…)` reads; winner and loser take turns in being the first.
fn diffusion_dpo(context: &Context, ranking: &Ranking, dir: &Path) -> Result<Vec<PathBuf>> {
    let mut meter = meter(ranking);
    output::make_folder(dir.join("data"))?;
    let to = dir.join("data").join("train-00000-of-00001.parquet");
    let part = dir.join("data").join("part.tmp");
    let fault = |cause: &dyn std::fmt::Display| Error::file(&to, format!("cannot be written: {cause}"));
    let file = File::create(&part).map_err(|e| fault(&e))?;
    let written = (|| {
        let mut writer = Writer::new(file, &COLUMNS).map_err(|e| fault(&e))?;
        let (mut rows, mut count) = (Vec::new(), 0usize);
        paired::each(context, ranking, |pair| {
            let workspace = context.workspace()?;
            let bytes = |path: &RelPath| {
                let path = workspace.path(path);
                fs::read(&path).map(Cell::Bytes).map_err(|e| Error::file(path, e))
            };
            let [winner, loser] = [whole(context, pair, &pair.winner)?, whole(context, pair, &pair.loser)?];
            let is_first = count.is_multiple_of(2);
            let [first, second] = if is_first { [winner, loser] } else { [loser, winner] };
            let label = |is: bool| Cell::Number(f64::from(u8::from(is)));
            rows.push(vec![
                bytes(&first.path)?,
                bytes(&second.path)?,
                label(is_first),
                label(!is_first),
                Cell::Bytes(pair.image.prompt.clone().into_bytes()),
                bytes(&pair.image.lr_path)?,
                Cell::Bytes(pair.image.name.clone().into_bytes()),
                Cell::Whole(first.seed),
                Cell::Whole(second.seed),
                Cell::Number(pair.gap),
                Cell::Number(f64::from(pair.weight)),
                Cell::Number(1.0),
            ]);
            count += 1;
            if rows.len() == PAIRS_OF_GROUP {
                writer.rows(&std::mem::take(&mut rows)).map_err(|e| fault(&e))?;
            }
            context.advance(&mut meter, 1);
            Ok(())
        })?;
        if !rows.is_empty() {
            writer.rows(&rows).map_err(|e| fault(&e))?;
        }
        writer.finish().map_err(|e| fault(&e))?;
        fs::rename(&part, &to).map_err(|e| fault(&e))
    })();
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written.map(|()| vec![to])
}
