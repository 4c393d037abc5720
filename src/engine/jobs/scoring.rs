//! Scoring candidates: what is missing of each metric, on all cores.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::failures::Failures;
use crate::engine::metrics::MetricSet;
use crate::engine::progress::Meter;
use crate::engine::protocol::{Change, Level, Outcome};
use crate::imaging::{SCALE, decode};
use crate::iqa::Scorer;
use crate::method::recipe::Recipe;
use crate::workspace::{CandidateSet, ImageId, MissingScores, NewScore, Workspace};
use crate::{Error, Result};

/// One for each metric, `None` where it is not wanted or not defined.
type Scorers = Vec<Option<Box<dyn Scorer>>>;

/// Scores what the reference's candidates lack.
pub fn score(context: &mut Context) -> Result<Outcome> {
    let (set, _) = super::sampling::reference(context)?;
    if context.workspace()?.ledger().candidates(&set)?.is_empty() {
        return Err(Error::invalid("there are no candidates to score; sample some first (`dp2o-studio sample WS`)"));
    }
    let (scores, failed) = fill(context, &set, &context.recipe, "scoring")?;
    Ok(Outcome::Scored { scores, failed })
}

/// Scores what is missing of `set` under the recipe's metrics. Returns the number of scores computed, and the images of
/// which some candidate could not be scored: whoever needs every score asks [`Failures::check_in`].
pub fn fill(context: &Context, set: &CandidateSet, recipe: &Recipe, stage: &str) -> Result<(usize, Failures)> {
    let workspace = context.workspace()?;
    let metrics = MetricSet::of(recipe)?;
    let missing = workspace.ledger().missing_scores(set, &metrics.wanted())?;
    let total = missing.iter().map(|m| m.metrics.len()).sum();
    let mut meter = Meter::new(stage, "scores", total);
    context.report(Some(meter.now()));
    let device = context.models.device_name();
    let at_once = 4 * rayon::current_num_threads();
    let by_image = || missing.chunk_by(|a, b| a.candidate.image == b.candidate.image);
    let (mut made, mut failed) = (0, Failures::of(by_image().count()));
    for missing in by_image() {
        let group = match Group::of(workspace, &metrics, missing.to_vec()) {
            Ok(group) => group,
            Err(error) if error.ends_job() => return Err(error),
            Err(error) => {
                context.log(Level::Warning, format!("not scored: {error}"));
                context.advance(&mut meter, missing.iter().map(|c| c.metrics.len()).sum());
                failed.add(error);
                continue;
            }
        };
        let mut causes = Vec::new();
        if let Some(warning) = &group.too_small {
            context.log(Level::Warning, warning.clone());
        }
        for some in group.missing.chunks(at_once) {
            context.checkpoint()?;
            let scored = group.scores_of(some, &AtomicBool::new(false));
            let mut new = Vec::new();
            for (tried, scores) in some.iter().zip(scored) {
                match scores {
                    Ok(scores) => new.extend(scores),
                    Err(error) => {
                        let error = damage::check(context, &tried.candidate).err().unwrap_or(error);
                        context.log(Level::Warning, format!("not scored: {error}"));
                        causes.push(error);
                    }
                }
            }
            workspace.ledger().record_scores(&device, &metrics.keys, &new)?;
            made += new.len();
            context.advance(&mut meter, some.iter().map(|c| c.metrics.len()).sum());
        }
        if let Some(first) = causes.first() {
            let (count, of) = (causes.len(), group.missing.len());
            failed.add(format!("{count} of {of} candidates not scored: {first}"));
        }
        context.changed(Change::Scores(group.image));
    }
    Ok((made, failed))
}

/// Candidates of one image that lack scores, with what computing them takes: the ledger stays on its thread, this need
/// not.
pub struct Group {
    pub image: ImageId,
    missing: Vec<MissingScores>,
    scorers: Scorers,
    /// Says which metrics the image is too small for, if any.
    too_small: Option<String>,
    root: PathBuf,
}

impl Group {
    /// From what candidates of one image lack; at least one does.
    pub fn of(workspace: &Workspace, metrics: &MetricSet, missing: Vec<MissingScores>) -> Result<Self> {
        let (scorers, too_small) = prepare(workspace, metrics, &missing)?;
        Ok(Self { image: missing[0].candidate.image, missing, scorers, too_small, root: workspace.root().to_owned() })
    }

    /// The scores of all of them; once `stop` is set, of those begun.
    pub fn scores(&self, stop: &AtomicBool) -> Vec<Result<Vec<NewScore>>> {
        self.scores_of(&self.missing, stop)
    }

    fn scores_of(&self, some: &[MissingScores], stop: &AtomicBool) -> Vec<Result<Vec<NewScore>>> {
        let scores = |candidate: &MissingScores| match stop.load(Ordering::Relaxed) {
            true => Ok(Vec::new()),
            false => candidate_scores(&self.root, &self.scorers, candidate),
        };
        some.par_iter().map(scores).collect()
    }
}

/// The metrics that a group lacks, bound to its HR image; without those that its candidates are too small for, which the
/// text names.
fn prepare(workspace: &Workspace, metrics: &MetricSet, group: &[MissingScores]) -> Result<(Scorers, Option<String>)> {
    let row = workspace.ledger().image(group[0].candidate.image)?;
    let [width, height] = [row.lr_width_px, row.lr_height_px].map(|side| side as usize * SCALE);
    let hr = row.hr_path.as_ref().map(|path| damage::read_image(workspace, &row, path)).transpose()?;
    let wanted = |index: usize| group.iter().any(|candidate| candidate.metrics.contains(&index));
    let mut too_small = Vec::new();
    let mut scorers = Scorers::new();
    for (index, metric) in metrics.metrics.iter().enumerate() {
        let info = metric.info();
        let is_wanted = wanted(index);
        let fits = info.is_defined_on(width, height);
        if is_wanted && !fits {
            too_small.push(format!("{} ({} px)", info.name, info.min_size_px));
        }
        let prepare = || metric.prepare(hr.as_ref()).map_err(|e| Error::invalid(format!("{}: {e}", row.name)));
        scorers.push((is_wanted && fits).then(prepare).transpose()?);
    }
    let warning = (!too_small.is_empty()).then(|| {
        let names = too_small.join(", ");
        format!("{}: {width}×{height} px are too few for {names}; add larger crops or choose other metrics", row.name)
    });
    Ok((scorers, warning))
}

fn candidate_scores(
    root: &Path,
    scorers: &[Option<Box<dyn Scorer>>],
    missing: &MissingScores,
) -> Result<Vec<NewScore>> {
    let path = missing.candidate.path.under(root);
    let image = decode::read(&path)?;
    let score = |&index: &usize| {
        let scorer = scorers[index].as_ref()?;
        let value = scorer.score(&image).map_err(|e| Error::file(&path, e));
        Some(value.map(|value| NewScore { candidate: missing.candidate.id, metric: index, value }))
    };
    missing.metrics.iter().filter_map(score).collect()
}
