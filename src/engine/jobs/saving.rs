//! What devices draw is saved here as it comes, and whoever scores it is told of each image that is done.

use std::collections::HashMap;

use crate::engine::context::Context;
use crate::engine::failures::Failures;
use crate::engine::progress::Meter;
use crate::engine::protocol::{Change, Level};
use crate::imaging::quantize::Rgb8;
use crate::workspace::{CandidateId, CandidateSet, ImageId, ImageRow, NewCandidate};
use crate::{Error, Result};

/// A candidate just made, with its pixels as they were saved: whoever scores it need not read it.
pub type Fresh = (CandidateId, Rgb8);

/// Who is told of each image that is done, and given its new candidates, as far as they are not too many to keep.
pub type Done<'d> = &'d mut dyn FnMut(ImageId, Vec<Fresh>) -> Result<()>;

/// Pixels of new candidates that are kept for scoring, in bytes; those beyond are read back.
const KEPT_BYTES: usize = 256 << 20;

/// Seeds of one image that a device draws.
pub struct Unit<'r> {
    pub row: &'r ImageRow,
    pub seeds: &'r [u64],
}

/// What comes of a unit.
pub struct Made<'r> {
    pub row: &'r ImageRow,
    pub what: What,
}

pub enum What {
    /// Of the candidates of a device's next batch, so much is done.
    Begun(usize, f64),
    Batch(Batch),
    Whole,
    /// So many of its seeds are not made.
    Failed(Error, usize),
}

/// Candidates of one image as they are saved.
pub struct Batch {
    /// The device's number.
    pub worker: usize,
    pub seeds: Vec<u64>,
    pub pngs: Vec<Vec<u8>>,
    pub pixels: Vec<Rgb8>,
    pub latents: Vec<Vec<u8>>,
    /// What all of the image's are drawn under, where that is kept; once.
    pub condition: Option<Vec<u8>>,
    /// For each of them.
    pub seconds: f64,
}

/// Saves what is made.
pub struct Saving<'a, 'd> {
    context: &'a Context,
    set: &'a CandidateSet,
    meter: Meter,
    /// What of batches is done that are begun, by device.
    begun: HashMap<usize, f64>,
    done: Option<Done<'d>>,
    pub made: usize,
    pub failed: Failures,
    /// Images that are not done.
    open: HashMap<ImageId, Open>,
}

/// What is known of an image that is not done.
struct Open {
    /// Units that have not ended.
    units: usize,
    /// Nothing of it has failed.
    is_whole: bool,
    fresh: Vec<Fresh>,
    /// Bytes of its candidates that may still be kept.
    room: usize,
}

impl<'a, 'd> Saving<'a, 'd> {
    pub fn new(
        context: &'a Context,
        set: &'a CandidateSet,
        units: &[Unit],
        (meter, done, failed): (Meter, Option<Done<'d>>, Failures),
    ) -> Self {
        let mut open: HashMap<ImageId, Open> = HashMap::new();
        for unit in units {
            let new = || Open { units: 0, is_whole: true, fresh: Vec::new(), room: KEPT_BYTES };
            open.entry(unit.row.id).or_insert_with(new).units += 1;
        }
        Self { context, set, meter, begun: HashMap::new(), done, made: 0, failed, open }
    }

    pub fn take(&mut self, Made { row, what }: Made) -> Result<()> {
        match what {
            What::Begun(worker, candidates) => {
                self.begun.insert(worker, candidates);
                self.context.report(self.meter.begun(self.begun.values().sum()));
            }
            What::Batch(batch) => match (batch.seeds.len(), self.save(row, batch)) {
                (seeds, Err(error)) if !error.ends_job() => self.fail(row, error, seeds),
                (_, saved) => return saved,
            },
            What::Whole => return self.end(row),
            What::Failed(error, seeds) => {
                self.fail(row, error, seeds);
                return self.end(row);
            }
        }
        Ok(())
    }

    /// So many seeds of an image were not made, or not saved; the image is counted once.
    fn fail(&mut self, row: &ImageRow, error: Error, seeds: usize) {
        let cause = format!("{}: not sampled: {error}", row.name);
        self.context.log(Level::Warning, cause.clone());
        self.context.advance(&mut self.meter, seeds);
        if self.open.get_mut(&row.id).is_some_and(|open| std::mem::replace(&mut open.is_whole, false)) {
            self.failed.add(cause);
        }
    }

    fn save(&mut self, row: &ImageRow, batch: Batch) -> Result<()> {
        let Batch { worker, seeds, pngs, pixels, latents, condition, seconds } = batch;
        self.begun.remove(&worker);
        // An edit may say something else of the image meanwhile.
        let candidate = |&seed: &u64| NewCandidate { set: self.set.of_prompt(row), image: row.id, seed, seconds };
        let new: Vec<_> = seeds.iter().map(candidate).zip(pngs).collect();
        // Once is enough: all seeds are drawn under the same.
        let ids = self.context.workspace()?.save_candidates_with(&new, &latents, condition.as_deref())?;
        self.made += ids.len();
        if let Some(open) = self.open.get_mut(&row.id) {
            let fits = |(_, pixels): &Fresh| {
                let rest = open.room.checked_sub(pixels.bytes.len());
                open.room = rest.unwrap_or(open.room);
                rest.is_some()
            };
            open.fresh.extend(ids.into_iter().zip(pixels).filter(fits));
        }
        self.context.advance(&mut self.meter, seeds.len());
        self.context.changed(Change::Candidates(row.id));
        Ok(())
    }

    /// A unit of an image has ended.
    fn end(&mut self, row: &ImageRow) -> Result<()> {
        let Some(open) = self.open.get_mut(&row.id) else { return Ok(()) };
        open.units -= 1;
        if open.units > 0 {
            return Ok(());
        }
        match (self.open.remove(&row.id), &mut self.done) {
            (Some(Open { is_whole: true, fresh, .. }), Some(done)) => done(row.id, fresh),
            _ => Ok(()),
        }
    }
}
