//! What jobs are given where that is more than a word.

use std::path::PathBuf;

use crate::method::recipe::Recipe;
use crate::workspace::SplitChoice;

/// How pairs are written with their pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PairsLayout {
    /// `w/`, `l/` and `lr/` folders with JSONL and CSV.
    #[default]
    Folders,
    /// A folder of pictures with `metadata.jsonl`, for Hugging Face `datasets`.
    HuggingFace,
    /// Parquet in the columns of Diffusion-DPO's script, pictures within.
    DiffusionDpo,
}

/// How the weights of a checkpoint are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightsForm {
    /// All of them, f32, low-rank factors merged: the published tensors under their names.
    #[default]
    Whole,
    /// The same in f16.
    Half,
    /// The low-rank factors alone.
    Factors,
}

/// What a table is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableOf {
    /// The scores of the reference's candidates.
    Scores,
    /// The pairs of the recipe's curation, and their weights.
    Pairs { allow_partial: bool },
    /// What a person said of pairs.
    Verdicts,
    /// The steps of a run of this name.
    Run(String),
}

impl TableOf {
    /// What its rows are, for people.
    pub fn title(&self) -> &'static str {
        match self {
            TableOf::Scores => "scores",
            TableOf::Pairs { .. } => "pairs",
            TableOf::Verdicts => "verdicts",
            TableOf::Run(_) => "steps",
        }
    }
}

/// What files given to the product are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Low-resolution inputs.
    Lr,
    /// High-resolution ground truths: each for the LR images of its name that it resembles; where there are none, LR
    /// images are made of it.
    #[default]
    Hr,
}

/// Images to add.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AddImages {
    /// Files, and folders whose images are taken.
    pub paths: Vec<PathBuf>,
    /// A list of pairs of LR and HR files (CSV or JSONL).
    pub pairs: Option<PathBuf>,
    /// The pairs of the list are taken though LR and HR do not resemble each other.
    pub trust_pairs: bool,
    /// Sub-folders are entered.
    pub recursive: bool,
    /// `None`: what the names of files and folders say, else HR.
    pub role: Option<Role>,
    /// What they are for.
    pub split: SplitChoice,
    /// Side of the square HR crops in pixels; 0 takes whole images.
    pub crop_px: usize,
    /// Crops of each image.
    pub crops: usize,
    /// Name of the degradation preset for HR images without LR; `None` is the recipe's.
    pub degradation: Option<String>,
    /// A list of prompts (CSV). Pictures that it does not name have what a text file beside them says.
    pub prompts: Option<PathBuf>,
}

/// Candidates of another model to import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportCandidates {
    /// Where they lie, in sub-folders too.
    pub dir: PathBuf,
    /// What they are called by; where the pattern has steps, NAME@STEP.
    pub name: String,
    /// Where image and seed stand in the names, such as `{image}_{seed}.png`; `None` finds out.
    pub pattern: Option<String>,
    /// Folders of the LR and HR images that are not here yet, by their names.
    pub lr: Option<PathBuf>,
    pub hr: Option<PathBuf>,
    /// What these are for.
    pub split: SplitChoice,
}

/// Pictures to super-resolve.
#[derive(Clone, Debug, PartialEq)]
pub struct Upscale {
    pub images: Vec<PathBuf>,
    pub out: PathBuf,
    /// A checkpoint file; `None` is the reference.
    pub checkpoint: Option<PathBuf>,
    /// What is said of every picture; `None` is what a text file beside each says. For backbones that read it.
    pub prompt: Option<String>,
    /// Keep only the output with the best no-reference reward.
    pub best_of: bool,
    /// Replace outputs that were made another way.
    pub overwrite: bool,
    pub recipe: Box<Recipe>,
}

/// Files to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckModel {
    /// A photograph; `None` is one of those that come with the program.
    pub picture: Option<PathBuf>,
    /// Adapters to compare with the network's names, and of two which is rewarded more.
    pub adapters: Vec<PathBuf>,
    /// What is said of the photograph.
    pub prompt: String,
    /// Outputs of each adapter that are rewarded, no more than the recipe has seeds.
    pub seeds: usize,
    /// Its backbone is looked at, as it samples.
    pub recipe: Box<Recipe>,
}
