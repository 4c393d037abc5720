//! The whole loop in one job.

use std::sync::Arc;
use std::time::Instant;

use super::{candidates, compare, curate, sheet, train};
use crate::Result;
use crate::engine::context::Context;
use crate::engine::protocol::{Level, Outcome, RunReport};
use crate::workspace::{ImageId, RunState};

/// Samples and scores; scores appear while candidates still come.
pub fn generate(context: &mut Context, only: Option<&[ImageId]>) -> Result<Outcome> {
    let made = candidates::of_reference(context, only)?;
    Ok(Outcome::Generated { candidates: made.candidates, scores: made.scores, failed: made.failed })
}

/// Sample, score, curate, train, compare: what is missing of each; then the image sheet.
pub fn run(context: &mut Context) -> Result<Outcome> {
    let mut clock = Instant::now();
    let mut lap = || {
        let seconds = clock.elapsed().as_secs_f64();
        clock = Instant::now();
        seconds
    };
    let candidates::Made { failed, secs: [sample, score], .. } = candidates::of_reference(context, None)?;
    lap();
    let pairs = curate::curate(context)?.curation.pairs().len();
    let (name, ended) = train::rounds(context, None)?;
    if ended.state == RunState::Collapsed {
        context.log(
            Level::Warning,
            format!("{name} collapsed after {} steps: its best checkpoint is compared", ended.steps),
        );
    }
    let train = lap();
    let compared = Arc::new(compare::compared(context, "reference", &name, None)?);
    let sheet = sheet::write(context, &compared, &name)?;
    let timings_secs = [sample, score, train, lap()];
    let report = RunReport { compared, run: name, pairs, steps: ended.steps, failed, timings_secs, sheet };
    Ok(Outcome::Ran(Arc::new(report)))
}
