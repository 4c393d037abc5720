//! Scoring candidates: what is missing of each metric, on all cores.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use super::sampling::Fresh;
use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::failures::Failures;
use crate::engine::metrics::Open;
use crate::engine::progress::Meter;
use crate::engine::protocol::{Change, Level, Outcome};
use crate::imaging::quantize::Rgb8;
use crate::imaging::{Image, SCALE, decode};
use crate::iqa::{Bound, Features, Info};
use crate::workspace::{CandidateId, CandidateSet, ImageId, ImageRow, MissingScores, NewScore};
use crate::{Error, Result};

/// Scores what the reference's candidates lack.
pub fn score(context: &mut Context) -> Result<Outcome> {
    let set = context.reference_set()?;
    if context.workspace()?.ledger().candidates(&set)?.is_empty() {
        return Err(Error::invalid("there are no candidates to score; sample some first (`dp2o-studio sample WS`)"));
    }
    let metrics = context.open_metrics(&context.recipe)?;
    let (scores, failed) = fill(context, &set, &metrics, "scoring")?;
    Ok(Outcome::Scored { scores, failed })
}

/// Scores what is missing of `set`. Returns the number of scores computed, and the images of which some candidate could not
/// be scored: whoever needs every score asks [`Failures::check_in`].
pub fn fill(context: &Context, set: &CandidateSet, metrics: &Open, stage: &str) -> Result<(usize, Failures)> {
    let workspace = context.workspace()?;
    let missing = workspace.ledger().missing_scores(set, &metrics.set.wanted())?;
    let total = missing.iter().map(|m| m.metrics.len()).sum();
    let mut meter = Meter::new(stage, "scores", total);
    context.report(Some(meter.now()));
    let device = context.models.device_name();
    let by_image = || missing.chunk_by(|a, b| a.candidate.image == b.candidate.image);
    let (mut made, mut failed) = (0, Failures::of(by_image().count()));
    for missing in by_image() {
        let group = match Group::of(context, metrics, missing.to_vec(), Vec::new()) {
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
        for some in group.missing.chunks(group.at_once()) {
            context.checkpoint()?;
            let mut new = Vec::new();
            for (tried, scored) in some.iter().zip(group.scores_of(some)) {
                new.extend(scored.scores);
                if let Some(error) = scored.fault {
                    let error = damage::check(context, &tried.candidate).err().unwrap_or(error);
                    context.log(Level::Warning, format!("not scored: {error}"));
                    causes.push(error);
                }
            }
            workspace.ledger().record_scores(&device, &metrics.set.keys, &new)?;
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
pub struct Group<'m> {
    pub image: ImageId,
    missing: Vec<MissingScores>,
    /// The pixels of candidates that are in memory.
    fresh: HashMap<CandidateId, Rgb8>,
    /// One for each metric, `None` where it is not wanted or not defined.
    bounds: Vec<Option<Box<dyn Bound + 'm>>>,
    features: Features<'static>,
    /// Candidates that are scored together.
    batch: usize,
    /// Says which metrics the image is too small for, if any.
    too_small: Option<String>,
    root: PathBuf,
}

/// What came of scoring a candidate.
#[derive(Default)]
pub struct Scored {
    pub scores: Vec<NewScore>,
    /// Why some are missing.
    pub fault: Option<Error>,
}

impl<'m> Group<'m> {
    /// From what candidates of one image lack; at least one does. Those whose pixels are in memory are `fresh`.
    pub fn of(context: &Context, metrics: &'m Open, missing: Vec<MissingScores>, fresh: Vec<Fresh>) -> Result<Self> {
        let workspace = context.workspace()?;
        let row = workspace.ledger().image(missing[0].candidate.image)?;
        let hr = row.hr_path.as_ref().map(|path| damage::read_image(workspace, &row, path)).transpose()?.map(Arc::new);
        let px @ [width, height] = [row.lr_width_px, row.lr_height_px].map(|side| side as usize * SCALE);
        let mut features = Features::until(context.cancelled());
        let is_wanted = |(_, info): &(usize, &Info)| info.against_lr;
        let mut against_lr = metrics.set.columns.iter().enumerate().filter(is_wanted);
        if against_lr.any(|(index, _)| missing.iter().any(|candidate| candidate.metrics.contains(&index))) {
            features = features.of_lr(damage::low_res(workspace, &row)?);
        }
        let (mut bounds, mut batch) = (Vec::new(), 1);
        for (index, (info, scorer)) in metrics.set.columns.iter().zip(&metrics.scorers).enumerate() {
            let is_wanted = missing.iter().any(|candidate| candidate.metrics.contains(&index));
            let bind = || {
                batch = batch.max(scorer.batch(px));
                scorer.bind(hr.as_ref(), &features).map_err(|e| Error::invalid(format!("{}: {e}", row.name)))
            };
            bounds.push((is_wanted && info.is_defined_on(width, height)).then(bind).transpose()?);
        }
        let too_small = too_small(metrics, &missing, &row, px);
        let (image, root) = (row.id, workspace.root().to_owned());
        let fresh = fresh.into_iter().collect();
        Ok(Self { image, missing, fresh, bounds, features, batch, too_small, root })
    }

    /// The scores of all of them; once the job is cancelled, of those begun.
    pub fn scores(&self) -> Vec<Scored> {
        self.scores_of(&self.missing)
    }

    /// Candidates between two looks at whether to go on.
    fn at_once(&self) -> usize {
        self.batch.max(4 * rayon::current_num_threads())
    }

    /// One by one they are scored side by side; where a metric takes several at once, batch after batch.
    fn scores_of(&self, some: &[MissingScores]) -> Vec<Scored> {
        match self.batch {
            1 => some.par_iter().flat_map_iter(|one| self.batch_scores(std::slice::from_ref(one))).collect(),
            batch => some.chunks(batch).flat_map(|batch| self.batch_scores(batch)).collect(),
        }
    }

    fn batch_scores(&self, some: &[MissingScores]) -> Vec<Scored> {
        let mut all: Vec<Scored> = some.iter().map(|_| Scored::default()).collect();
        if self.features.checkpoint().is_err() {
            return all;
        }
        let features = self.features.within();
        let images: Vec<Option<Arc<Image>>> = (all.iter_mut().zip(some))
            .map(|(scored, missing)| self.read(missing).map_err(|error| scored.fault = Some(error)).ok())
            .collect();
        for (metric, bound) in self.bounds.iter().enumerate() {
            let Some(bound) = bound else { continue };
            let wants = |i: &usize| images[*i].is_some() && some[*i].metrics.contains(&metric);
            let places: Vec<usize> = (0..some.len()).filter(wants).collect();
            let images: Vec<Arc<Image>> = places.iter().filter_map(|&i| images[i].clone()).collect();
            if images.is_empty() {
                continue;
            }
            for (&i, score) in places.iter().zip(bound.scores(&images, &features)) {
                let candidate = &some[i].candidate;
                match score {
                    Ok(value) => all[i].scores.push(NewScore { candidate: candidate.id, metric, value }),
                    // Tried again when the job is.
                    Err(Error::Cancelled) => {}
                    Err(error) => all[i].fault = Some(Error::file(candidate.path.under(&self.root), error)),
                }
            }
        }
        all
    }

    /// The candidate as it is saved: from memory if it was just made, else from its file.
    fn read(&self, missing: &MissingScores) -> Result<Arc<Image>> {
        let image = match self.fresh.get(&missing.candidate.id) {
            Some(pixels) => pixels.image()?,
            None => decode::read(missing.candidate.path.under(&self.root))?,
        };
        Ok(Arc::new(image))
    }
}

/// Says which wanted metrics are not defined on candidates of an image, if any.
fn too_small(metrics: &Open, group: &[MissingScores], row: &ImageRow, [width, height]: [usize; 2]) -> Option<String> {
    let columns = metrics.set.columns.iter().enumerate();
    let undefined = columns.filter(|(index, info)| {
        !info.is_defined_on(width, height) && group.iter().any(|candidate| candidate.metrics.contains(index))
    });
    let names: Vec<String> = undefined.map(|(_, info)| format!("{} ({} px)", info.name, info.min_size_px)).collect();
    (!names.is_empty()).then(|| {
        let (name, names) = (&row.name, names.join(", "));
        format!("{name}: {width}×{height} px are too few for {names}; add larger crops or choose other metrics")
    })
}
