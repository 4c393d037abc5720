//! Scoring candidates: what is missing of each metric, on all cores. Images are shared by the devices.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;

use super::saving::Fresh;
use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::failures::Failures;
use crate::engine::metrics::{Open, OpenFor};
use crate::engine::progress::Meter;
use crate::engine::protocol::{Change, Level, Outcome};
use crate::imaging::quantize::Rgb8;
use crate::imaging::{Image, SCALE, decode};
use crate::iqa::{Bound, Features, Info};
use crate::nn::workers::{self, Give, Next};
use crate::workspace::{CandidateId, CandidateRow, CandidateSet, ImageId, ImageRow, MissingScores, NewScore};
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
    let meter = RefCell::new(Meter::new(stage, "scores", total));
    let advance = |scores: usize| context.advance(&mut meter.borrow_mut(), scores);
    context.report(Some(meter.borrow().now()));
    let device = context.models.device_name();
    let by_image = || missing.chunk_by(|a, b| a.candidate.image == b.candidate.image);
    let (mut made, failed) = (0, RefCell::new(Failures::of(by_image().count())));
    let not_scored = |error: Error, scores: usize| {
        context.log(Level::Warning, format!("not scored: {error}"));
        advance(scores);
        failed.borrow_mut().add(error);
    };
    let mut left = by_image();
    let mut next = || {
        for missing in left.by_ref() {
            match Wanted::of(context, metrics, missing.to_vec(), Vec::new()) {
                Ok(wanted) => {
                    wanted.too_small.iter().for_each(|warning| context.log(Level::Warning, warning.clone()));
                    return Ok(Next::Unit(wanted));
                }
                Err(error) if error.ends_job() => return Err(error),
                Err(error) => not_scored(error, scores_of(missing)),
            }
        }
        Ok(Next::End)
    };
    let voice = context.voice.clone();
    let work = |worker: usize, wanted: Wanted, give: Give<(ImageId, Said)>| {
        let (image, scores) = (wanted.image(), scores_of(&wanted.missing));
        let group = match wanted.bind(metrics.of_worker(worker), voice.cancelled()) {
            Ok(group) => group,
            Err(error) if error.ends_job() => return Err(error),
            Err(error) => return give((image, Said::Unbound(error, scores))),
        };
        for some in group.missing.chunks(group.at_once()) {
            voice.checkpoint()?;
            let tried = some.iter().map(|missing| missing.candidate.clone());
            give((image, Said::Scored(tried.zip(group.scores_of(some)).collect(), scores_of(some))))?;
        }
        give((image, Said::Through(group.missing.len())))
    };
    let mut causes: HashMap<ImageId, Vec<Error>> = HashMap::new();
    let mut take = |(image, said)| {
        match said {
            Said::Unbound(error, scores) => not_scored(error, scores),
            Said::Scored(all, scores) => {
                let mut new = Vec::new();
                for (candidate, scored) in all {
                    new.extend(scored.scores);
                    if let Some(error) = scored.fault {
                        let error = damage::check(context, &candidate).err().unwrap_or(error);
                        context.log(Level::Warning, format!("not scored: {error}"));
                        causes.entry(image).or_default().push(error);
                    }
                }
                workspace.ledger().record_scores(&device, &metrics.set.keys, &new)?;
                made += new.len();
                advance(scores);
            }
            Said::Through(of) => {
                if let Some(all @ [first, ..]) = causes.remove(&image).as_deref() {
                    failed.borrow_mut().add(format!("{} of {of} candidates not scored: {first}", all.len()));
                }
                context.changed(Change::Scores(image));
            }
        }
        Ok(())
    };
    workers::share(context.models.workers(), &mut next, &work, &mut take)?;
    Ok((made, failed.into_inner()))
}

/// What comes of a group that a device scores.
enum Said {
    /// It cannot be scored: so many scores.
    Unbound(Error, usize),
    /// Some of its candidates, and how many scores they lacked.
    Scored(Vec<(CandidateRow, Scored)>, usize),
    /// All of its so many candidates were tried.
    Through(usize),
}

fn scores_of(missing: &[MissingScores]) -> usize {
    missing.iter().map(|candidate| candidate.metrics.len()).sum()
}

/// Candidates of one image that lack scores, as the ledger has them: that stays on its thread, this need not.
pub struct Wanted {
    row: ImageRow,
    missing: Vec<MissingScores>,
    /// The pixels of candidates that are in memory.
    fresh: HashMap<CandidateId, Rgb8>,
    /// Says which metrics the image is too small for, if any.
    too_small: Option<String>,
    root: PathBuf,
}

impl Wanted {
    /// From what candidates of one image lack; at least one does. Those whose pixels are in memory are `fresh`.
    pub fn of(context: &Context, metrics: &Open, missing: Vec<MissingScores>, fresh: Vec<Fresh>) -> Result<Self> {
        let workspace = context.workspace()?;
        let row = workspace.ledger().image(missing[0].candidate.image)?;
        let too_small = too_small(metrics, &missing, &row, sides(&row));
        Ok(Self { row, missing, fresh: fresh.into_iter().collect(), too_small, root: workspace.root().to_owned() })
    }

    pub fn image(&self) -> ImageId {
        self.row.id
    }

    /// Bound to what its metrics need of the image; `stop` is set once nobody wants the scores any more.
    pub fn bind(self, metrics: OpenFor, stop: Arc<AtomicBool>) -> Result<Group> {
        let Self { row, missing, fresh, root, .. } = self;
        let hr = row.hr_path.as_ref().map(|path| damage::read_image(&root, &row, path)).transpose()?.map(Arc::new);
        let px @ [width, height] = sides(&row);
        let mut features = Features::until(stop);
        let is_wanted = |(_, info): &(usize, &Info)| info.against_lr;
        let mut against_lr = metrics.set.columns.iter().enumerate().filter(is_wanted);
        if against_lr.any(|(index, _)| missing.iter().any(|candidate| candidate.metrics.contains(&index))) {
            features = features.of_lr(damage::low_res(&root, &row)?);
        }
        let (mut bounds, mut batch) = (Vec::new(), 1);
        for (index, (info, scorer)) in metrics.set.columns.iter().zip(metrics.scorers).enumerate() {
            let is_wanted = missing.iter().any(|candidate| candidate.metrics.contains(&index));
            let bind = || {
                batch = batch.max(scorer.batch(px));
                scorer.bind(hr.as_ref(), &features).map_err(|e| Error::invalid(format!("{}: {e}", row.name)))
            };
            bounds.push((is_wanted && info.is_defined_on(width, height)).then(bind).transpose()?);
        }
        Ok(Group { missing, fresh, bounds, features, batch, root })
    }
}

/// Width and height of a row's candidates.
fn sides(row: &ImageRow) -> [usize; 2] {
    [row.lr_width_px, row.lr_height_px].map(|side| side as usize * SCALE)
}

/// Candidates of one image that lack scores, with what computing them takes.
pub struct Group<'m> {
    missing: Vec<MissingScores>,
    fresh: HashMap<CandidateId, Rgb8>,
    /// One for each metric, `None` where it is not wanted or not defined.
    bounds: Vec<Option<Box<dyn Bound + 'm>>>,
    features: Features<'static>,
    /// Candidates that are scored together.
    batch: usize,
    root: PathBuf,
}

/// What came of scoring a candidate.
#[derive(Default)]
pub struct Scored {
    pub scores: Vec<NewScore>,
    /// Why some are missing.
    pub fault: Option<Error>,
}

impl Group<'_> {
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
