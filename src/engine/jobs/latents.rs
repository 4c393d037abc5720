//! What training needs of candidates beside their scores, where it was not kept when they were sampled or is lost: encoded
//! once, and said.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;

use super::pairs::{Line, Loader};
use crate::backbones::condition::Shown;
use crate::backbones::stored::{self, Origin};
use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::model::Model;
use crate::engine::plan::Sampling;
use crate::engine::progress::Meter;
use crate::engine::protocol::Level;
use crate::imaging::crop;
use crate::method::recipe::{Augmentation, Winners};
use crate::nn::tensors::Width;
use crate::words::counted;
use crate::workspace::{CandidateRow, CandidateSet, ImageId, ImageRow, RelPath, files};
use crate::{Error, Result};

/// The loader of a run's pairs, of candidates of `sets` by age: from latents where the recipe keeps them, which then are all
/// there.
pub fn loader(context: &Context, sets: &[CandidateSet], model: &Model, lines: &[Line]) -> Result<Loader> {
    let (workspace, sampling) = (context.workspace()?, Sampling::of(&context.recipe)?);
    let loader = Loader::new(workspace, sets, lines.to_vec())?;
    if context.recipe.training.winners == Winners::Truth {
        // No latent is kept of an HR image: winners and losers are encoded as they are read.
        return loader.with_truths(workspace);
    }
    let Some(width) = sampling.kept_width() else { return Ok(loader) };
    if context.recipe.training.augmentation == Augmentation::Turns {
        let text = "turned pictures are encoded anew at every step; training.augmentation = none takes the latents that are kept";
        context.log(Level::Info, text);
        return Ok(loader);
    }
    for (age, set) in sets.iter().enumerate() {
        fill(context, set, model, &sampling, width, lines.iter().filter(|line| line.age as usize == age))?;
    }
    loader.with_latents(workspace, sets, model.backbone.card().latent)
}

/// Encodes the candidates of pairs that have no latent.
fn fill<'l>(
    context: &Context,
    set: &CandidateSet,
    model: &Model,
    sampling: &Sampling,
    width: Width,
    lines: impl Iterator<Item = &'l Line>,
) -> Result<()> {
    let workspace = context.workspace()?;
    let mut needed: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
    for line in lines {
        needed.entry(line.image).or_default().extend([line.winner, line.loser]);
    }
    let mut lacking = Vec::new();
    for (image, seeds) in needed {
        let row = workspace.ledger().image(ImageId(image))?;
        let lacks = |path: &RelPath| Ok::<_, Error>(!workspace.path(&files::latent_path(path)?).is_file());
        let mut candidates = Vec::new();
        for candidate in workspace.ledger().group(set, row.id)? {
            if seeds.contains(&candidate.seed) && lacks(&candidate.path)? {
                candidates.push(candidate);
            }
        }
        if !candidates.is_empty() {
            lacking.push((row, candidates));
        }
    }
    let count = lacking.iter().map(|(_, candidates)| candidates.len()).sum();
    if count == 0 {
        return Ok(());
    }
    context.log(Level::Info, format!("encoded once, without latents until now: {}", counted(count, "candidate")));
    let prompts: Vec<_> = lacking.iter().map(|(row, _)| sampling.prompt(&row.prompt)).collect();
    context.prepare(model.backbone.as_ref(), &prompts)?;
    let mut meter = Meter::new("encoding", "candidates", count);
    context.report(Some(meter.now()));
    lacking
        .iter()
        .try_for_each(|(row, candidates)| of_image(context, model, sampling, width, (row, candidates), &mut meter))
}

fn of_image(
    context: &Context,
    model: &Model,
    sampling: &Sampling,
    width: Width,
    (row, candidates): (&ImageRow, &[CandidateRow]),
    meter: &mut Meter,
) -> Result<()> {
    let workspace = context.workspace()?;
    let lr = damage::read_image(workspace.root(), row, &row.lr_path)?;
    let condition = model.backbone.condition(&lr, &sampling.prompt(&row.prompt))?;
    let shown = condition.whole(1, model.params.device())?;
    for candidate in candidates {
        context.checkpoint()?;
        let latent = encoded(context, model, &shown, candidate)?;
        let file = stored::latent_file(&latent, width, Origin::Encoded)?;
        workspace.write_file(&files::latent_path(&candidate.path)?, &file)?;
        context.advance(meter, 1);
    }
    let kept = condition.kept();
    match candidates.first() {
        Some(candidate) if !kept.is_lr_alone() => {
            workspace.write_file(&files::condition_path(&candidate.path)?, &stored::condition_file(&kept, width)?)
        }
        _ => Ok(()),
    }
}

fn encoded(context: &Context, model: &Model, shown: &Shown, candidate: &CandidateRow) -> Result<Tensor> {
    let image = damage::read(context, candidate)?;
    let image = crop::padded(&image, model.backbone.card().latent.align)?;
    let image = Tensor::from_slice(image.data(), (1, 3, image.height(), image.width()), model.params.device())?;
    model.backbone.encode(&image, shown)
}

/// Takes a file that is kept for training out of the way where the error says that it is damaged; says whether it did: what was
/// in it is then made again.
pub fn discard_damaged(context: &Context, error: &Error) -> Result<bool> {
    let workspace = context.workspace()?;
    let Error::File { path, .. } = error else { return Ok(false) };
    let inside = path.strip_prefix(workspace.root()).ok().and_then(Path::to_str);
    let Some(inside) = inside.filter(|inside| files::is_kept_for_training(inside)) else { return Ok(false) };
    context.log(Level::Warning, format!("{error}; it is made again"));
    workspace.delete_file(&RelPath::new(inside.replace(std::path::MAIN_SEPARATOR, "/"))?)?;
    Ok(true)
}
