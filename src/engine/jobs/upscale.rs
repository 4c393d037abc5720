//! The model at work on pictures outside of the workspace.

use std::path::PathBuf;

use super::sampling::sampler_of;
use crate::engine::context::Context;
use crate::engine::failures::Failures;
use crate::engine::metrics;
use crate::engine::progress::Meter;
use crate::engine::protocol::{Level, Outcome, Upscale};
use crate::imaging::{Image, SCALE, decode, encode};
use crate::iqa;
use crate::method::bounds::Bounds;
use crate::method::recipe::{Recipe, Scope};
use crate::method::reward::{RewardPlan, Rewards};
use crate::method::scores::{MetricColumn, ScoreTable};
use crate::{Error, Result};

/// Writes `NAME_x4_seedS.png` for each seed, or `NAME_x4.png` of the best.
pub fn upscale(context: &mut Context, request: &Upscale) -> Result<Outcome> {
    let recipe = request.recipe.as_ref();
    let backbone = &recipe.sampling.backbone;
    let model = match &request.checkpoint {
        Some(path) => {
            // Nothing records what it should be: its name in papers and logs is its hash.
            let found = context.models.checkpoint(backbone, path, None)?;
            context.log(Level::Info, format!("weights {}: SHA-256 {}", path.display(), found.weights_hash));
            found.model
        }
        None => context.models.reference(backbone)?.model,
    };
    let (sampling, _) = sampler_of(recipe)?;
    std::fs::create_dir_all(&request.out).map_err(|e| Error::file(&request.out, e))?;
    let seeds = recipe.seeds();
    let mut meter = Meter::new("upscaling", "images", request.images.len() * seeds.len());
    let (mut files, mut failed) = (Vec::new(), Failures::of(request.images.len()));
    for path in &request.images {
        let made = (|| -> Result<Vec<PathBuf>> {
            let lr = decode::read(path)?;
            let pixels = lr.width() * lr.height() * SCALE * SCALE;
            let mut images = Vec::new();
            let at_once = sampling.batch(pixels, || context.models.fastest_pixels(&model));
            for batch in seeds.chunks(at_once) {
                images.extend(sampling.draw(&model, &lr, batch, &mut |_, _| context.checkpoint())?);
                context.advance(&mut meter, batch.len());
            }
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let mut files = Vec::new();
            if request.best_of {
                let best = best_of(recipe, &images)?;
                let file = request.out.join(format!("{stem}_x4.png"));
                encode::write_png(&file, &images[best])?;
                files.push(file);
            } else {
                for (seed, image) in seeds.iter().zip(&images) {
                    let file = request.out.join(format!("{stem}_x4_seed{seed}.png"));
                    encode::write_png(&file, image)?;
                    files.push(file);
                }
            }
            Ok(files)
        })();
        match made {
            Ok(made) => files.extend(made),
            Err(error) if error.ends_job() => return Err(error),
            Err(error) => {
                context.log(Level::Warning, error.to_string());
                failed.add(error);
            }
        }
    }
    Ok(Outcome::Written { files, failed })
}

/// Index of the output with the highest no-reference reward among its fellows; metrics that need larger images are left
/// out.
fn best_of(recipe: &Recipe, images: &[Image]) -> Result<usize> {
    let smallest = images.iter().map(|i| i.width().min(i.height())).min().unwrap_or(0);
    let mut reward = recipe.reward.clone();
    reward.scope = Scope::PerGroup;
    reward.fr.clear();
    reward
        .nr
        .retain(|name, weight| *weight > 0.0 && metrics::info(name).is_some_and(|info| info.min_size_px <= smallest));
    reward.fr_balance = 0.0;
    if reward.nr.is_empty() {
        return Err(Error::invalid(format!("no no-reference metric of the recipe is defined on {smallest} px")));
    }
    let columns = reward.nr.keys().filter_map(|name| Some(MetricColumn::new(name.clone(), metrics::info(name)?)));
    let mut table = ScoreTable::new(vec![false], images.len(), columns.collect())?;
    for (column, name) in reward.nr.keys().enumerate() {
        let scorer = iqa::by_name(name)?.prepare(None)?;
        for (seed, image) in images.iter().enumerate() {
            table.set(0, seed, column, scorer.score(image)?)?;
        }
    }
    let mut rewards = Rewards::default();
    rewards.compute(&table, &RewardPlan::new(&table, &reward, &Bounds::default())?);
    let best = rewards.group(0).iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    Ok(best.map_or(0, |(index, _)| index))
}
