//! The whole loop in one job.

use std::sync::Arc;
use std::time::Instant;

use super::train::Trained;
use super::{candidates, compare, evaluate, sheet, train};
use crate::engine::context::Context;
use crate::engine::plan;
use crate::engine::protocol::{Level, Outcome, RunReport};
use crate::method::provenance::On;
use crate::workspace::{ImageId, ImageRow, RunState};
use crate::{Error, Result};

/// Samples and scores; scores appear while candidates still come.
pub fn generate(context: &mut Context, only: Option<&[ImageId]>) -> Result<Outcome> {
    let made = candidates::of_reference(context, only)?;
    Ok(Outcome::Generated { candidates: made.candidates, scores: made.scores, failed: made.failed })
}

/// Sample, score, curate, train: what is missing of each; with `compare` the comparison and the image sheet.
pub fn run(context: &mut Context, compare: bool, allow_partial: bool) -> Result<Outcome> {
    if let Some(name) = context.recipe.imported() {
        return Err(plan::not_here(name, "nothing can be trained"));
    }
    // What a whole run would find missing at its end is said before it begins.
    if compare {
        evaluate::images(context, On::Test)
            .map_err(|e| Error::invalid(format!("{e}, or --no-compare to train only")))?;
    }
    if context.workspace()?.ledger().images()?.iter().all(ImageRow::is_held_out) {
        return Err(Error::invalid("there are no images to train on; add some that are not held out"));
    }
    let mut clock = Instant::now();
    let mut lap = || {
        let seconds = clock.elapsed().as_secs_f64();
        clock = Instant::now();
        seconds
    };
    let candidates::Made { failed, secs: [sample, score], .. } = candidates::of_reference(context, None)?;
    lap();
    let Trained { run, pairs, ended } = train::rounds(context, None, allow_partial)?;
    let name = run.name.clone();
    if ended.state == RunState::Collapsed {
        context.log(
            Level::Warning,
            format!(
                "{name} collapsed after {} steps: its best checkpoint on the validation images is compared",
                ended.steps
            ),
        );
    }
    let train = lap();
    let compared = match compare {
        true => {
            let compared = compare::compared(context, ["reference", &name], None, On::Test)?;
            let sheet = sheet::write(context, &compared, &run)?;
            Some((Arc::new(compared), sheet))
        }
        false => None,
    };
    let timings_secs = [sample, score, train, lap()];
    let report = RunReport { compared, run: name, pairs, steps: ended.steps, failed, timings_secs };
    Ok(Outcome::Ran(Arc::new(report)))
}
