//! The whole loop in one job.

use std::sync::Arc;
use std::time::Instant;

use super::{compare, curate, sampling, scoring, sheet, train};
use crate::Result;
use crate::engine::context::Context;
use crate::engine::protocol::{Level, Outcome, RunReport};
use crate::workspace::{ImageId, RunState};

/// Samples and scores in turns, image by image, so that scores appear while candidates still come.
pub fn generate(context: &mut Context, only: Option<&[ImageId]>) -> Result<Outcome> {
    let images: Vec<ImageId> = context.workspace()?.ledger().images()?.into_iter().map(|i| i.id).collect();
    let (mut candidates, mut scores) = (0, 0);
    if images.is_empty() {
        sampling::sample(context, None)?;
    }
    for id in images.into_iter().filter(|id| only.is_none_or(|only| only.contains(id))) {
        candidates += sampling::sample(context, Some(&[id]))?;
        scores += scoring::score(context)?;
    }
    Ok(Outcome::Generated { candidates, scores })
}

/// Sample, score, curate, train, compare: what is missing of each; then the image sheet.
pub fn run(context: &mut Context) -> Result<Outcome> {
    let mut clock = Instant::now();
    let mut lap = || {
        let seconds = clock.elapsed().as_secs_f64();
        clock = Instant::now();
        seconds
    };
    sampling::sample(context, None)?;
    let sample = lap();
    scoring::score(context)?;
    let score = lap();
    let pairs = curate::curate(context)?.curation.pairs().len();
    let (name, ended) = train::rounds(context, None)?;
    if ended.state == RunState::Collapsed {
        context.log(
            Level::Warning,
            format!("{name} collapsed after {} steps: its best checkpoint is compared", ended.steps),
        );
    }
    let train = lap();
    let comparison = compare::comparison(context, "reference", &name, None)?;
    let sheet = sheet::write(context, &comparison, &name)?;
    let timings_secs = [sample, score, train, lap()];
    let report = RunReport { comparison, run: name, pairs, steps: ended.steps, timings_secs, sheet };
    Ok(Outcome::Ran(Arc::new(report)))
}
