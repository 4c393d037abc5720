//! What there is to look at.

use std::sync::Arc;

use crate::method::attribution::Attribution;
use crate::workspace::{CandidateSet, CheckpointId, CheckpointRow, ImageId, ImageRow, RunRow};

/// A picture of the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An LR image as it is.
    Lr(ImageId),
    Hr(ImageId),
    Candidate {
        set: CandidateSet,
        image: ImageId,
        seed: u64,
    },
}

impl Source {
    /// The image that the picture belongs to.
    pub fn image(&self) -> ImageId {
        match self {
            Source::Lr(image) | Source::Hr(image) | Source::Candidate { image, .. } => *image,
        }
    }
}

/// Which metric decides the ranking.
#[derive(Clone, Debug)]
pub struct Attributed {
    pub attribution: Attribution,
    /// The images of its groups, in their order.
    pub images: Vec<ImageId>,
}

/// What a workspace holds.
#[derive(Clone, Debug)]
pub struct Library {
    /// Without the removed.
    pub images: Vec<ImageRow>,
    /// Candidates of each image that the reference has under the recipe's sampler; in the order of `images`.
    pub sampled: Vec<u32>,
    /// References first, then by run and step.
    pub checkpoints: Vec<CheckpointRow>,
    /// The checkpoints chosen by their reward on the validation images, one a run at most.
    pub best: Vec<CheckpointId>,
    pub runs: Vec<RunRow>,
    /// The candidates the recipe is about: reference and sampler. `None` before anything was sampled.
    pub set: Option<CandidateSet>,
}

impl Library {
    /// What was imported and is not the reference.
    pub fn others_imported(&self) -> impl Iterator<Item = &CheckpointRow> {
        let reference = self.set.as_ref().map(|set| set.checkpoint);
        self.checkpoints.iter().filter(move |row| row.is_imported() && Some(row.id) != reference)
    }
}

/// Pixels for the screen.
#[derive(Clone, Debug)]
pub struct Picture {
    pub source: Source,
    pub width: usize,
    pub height: usize,
    /// `height · width` RGB triples, 8 bits each.
    pub rgb8: Arc<[u8]>,
    /// Size of the file's picture, in pixels.
    pub full_size: [usize; 2],
}

/// A metric's map for the screen.
#[derive(Clone, Debug)]
pub struct MapPicture {
    pub source: Source,
    pub metric: String,
    pub width: usize,
    pub height: usize,
    /// `height · width` values in the metric's own unit; larger is more distorted.
    pub values: Arc<[f32]>,
    /// Smallest and largest finite value.
    pub range: [f32; 2],
    /// The metric's score of the whole picture.
    pub score: f64,
}
