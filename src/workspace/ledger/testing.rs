//! Ledgers for tests, filled without any image file.

use super::*;
use crate::iqa::MetricKey;
use crate::workspace::files::{RelPath, SamplerKey};

/// A ledger in a directory that goes with it.
pub struct TestLedger {
    pub ledger: Ledger,
    _dir: tempfile::TempDir,
}

impl TestLedger {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::create(&dir.path().join("ledger.sqlite")).unwrap();
        Self { ledger, _dir: dir }
    }

    /// A reader of the same file.
    pub fn reader(&self) -> Ledger {
        Ledger::open_reader(&self.ledger.path).unwrap()
    }

    /// The reference, sampled with Euler in 10 steps.
    pub fn set(&self) -> CandidateSet {
        let new = NewReference { backbone: "mini".into(), weights_hash: "weights".into() };
        CandidateSet {
            checkpoint: self.ledger.ensure_reference(&new).unwrap(),
            sampler: SamplerKey::new("euler/10").unwrap(),
        }
    }

    pub fn add_image(&self, name: &str, has_hr: bool) -> ImageId {
        let path = |file: &str| RelPath::new(format!("images/{name}/{file}.png")).unwrap();
        let hr = has_hr.then(|| path("hr"));
        self.ledger.insert_image(&new_image(name), name, &path("lr"), hr.as_ref()).unwrap()
    }

    /// A run that has no files.
    pub fn add_run(&self, new: &NewRun) -> Result<RunId> {
        let dir = self.ledger.free_run_dir(&new.name, |_| false)?;
        self.ledger.insert_run(new, &dir, "pairs")
    }

    /// Candidates of one image, with seeds from 0.
    pub fn add_group(&self, set: &CandidateSet, image: ImageId, count: u64) -> Vec<CandidateId> {
        let new: Vec<_> = (0..count)
            .map(|seed| {
                let path = format!("candidates/{}/{}/{seed}.png", image.0, set.checkpoint.0);
                let candidate = NewCandidate { set: set.clone(), image, seed, seconds: 0.5 };
                (candidate, RelPath::new(path).unwrap())
            })
            .collect();
        self.ledger.insert_candidates(new.iter().map(|(c, p)| (c, p))).unwrap()
    }
}

/// A plain image of this name.
pub fn new_image(name: &str) -> NewImage {
    NewImage {
        name: name.into(),
        source: name.into(),
        source_hash: format!("hash of {name}"),
        lr_width_px: 32,
        lr_height_px: 32,
        ..NewImage::default()
    }
}

/// The key of a metric without weights.
pub fn key(metric: &str) -> MetricKey {
    MetricKey { metric: metric.into(), weights_hash: String::new(), crop_policy: "none".into(), version: "1".into() }
}
