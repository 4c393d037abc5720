//! What clients say to the engine and what it answers: plain data, no tensor and no widget.
//!
//! Commands go in, events come out, both over bounded channels. *Jobs* change the workspace or take long; the engine
//! runs them one after the other, in the order they came, on the thread that owns device and models. *Edits*
//! ([`Job::is_edit`]) are jobs that are written at once, beside the one that runs. *Queries* only look; another thread
//! answers them while a job runs.

mod outcomes;
mod requests;
mod views;

pub use outcomes::{Compared, Finding, Mark, ModelCheck, Outcome, RunReport};
pub use requests::{AddImages, CheckModel, ImportCandidates, PairsLayout, Role, TableOf, Upscale, WeightsForm};
pub use views::{Attributed, Library, MapPicture, Picture, Source};

use std::path::PathBuf;
use std::sync::Arc;

use crate::Permit;
use crate::method::evaluation::Evaluation;
use crate::method::learning::Learning;
use crate::method::provenance::On;
use crate::method::recipe::Recipe;
use crate::report::Format;
use crate::report::table::Form;
use crate::weights::PartReport;
use crate::workspace::{CandidateSet, EvaluationRow, ImageId, Judgement, PairOverride, RunId, SplitChoice, StepRow};

use super::devices::Choice;
use super::grid::{Grid, GridOf};
use super::memory_need::MemoryNeed;
use super::previews::{Incoming, Preview};
use super::progress::Progress;
use super::ranking::Ranking;

/// Names a job; chosen by the client, unique within its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// Names a query; chosen by the client. The answer carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub u64);

/// What a client tells the engine.
#[derive(Clone, Debug)]
pub enum Command {
    /// Appends a job to the queue.
    Start { id: JobId, job: Job },
    /// Takes a waiting job out of the queue, or stops the running one within one sampling or training step.
    Cancel(JobId),
    /// Holds a job within one sampling or training step, or as it begins; what it did is saved. Others are not held.
    Pause(JobId),
    /// Goes on after [`Command::Pause`].
    Resume(JobId),
    /// Asks for something to look at. Of waiting queries with the same [`Query::topic`] only the last is answered.
    Ask { id: QueryId, query: Query },
    /// Cancels everything and ends the engine.
    Close,
}

/// Work that changes the workspace, or writes files.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// Makes a workspace and opens it; `example` fills it with the shipped photographs.
    Create { dir: PathBuf, recipe: Box<Recipe>, example: bool },
    /// Opens a workspace for writing, or with `or_look`, where another process writes it, to look at. Asked for again, that
    /// becomes writing once the other has ended. What was open stays so where this fails.
    Open { dir: PathBuf, or_look: bool },
    /// Sets right what opening a workspace refuses: a new ledger from the files, damaged files out of the way.
    Repair { dir: PathBuf },
    /// Keeps a recipe in the workspace; the jobs after it use it.
    SetRecipe(Box<Recipe>),
    /// The jobs after it use a recipe that is not kept: the next time the workspace is opened its own is there.
    TryRecipe(Box<Recipe>),
    /// Adds images from files and folders.
    Add(AddImages),
    /// Adds crops of the shipped photographs, as many as the recipe says.
    AddExample,
    /// Says what images are for, and with each the others of its source that are not named.
    SetSplits(Vec<(ImageId, SplitChoice)>),
    /// Says what is to be seen on images, for backbones that read it.
    SetPrompts(Vec<(ImageId, String)>),
    /// Has the tag model say what is to be seen on images: on `images`, or on all without a prompt.
    Tag { images: Option<Vec<ImageId>> },
    /// Writes the tag model's published files as one small file.
    ConvertTagger { path: PathBuf },
    /// Removes images from view, or brings them back.
    SetRemoved { images: Vec<ImageId>, removed: bool },
    /// Records a rater's verdict on a pair of candidates, or takes it back.
    Judge { set: CandidateSet, verdict: Box<PairOverride>, is_taken_back: bool },
    /// Records what a rater said of two candidates blindly, or takes that back.
    JudgeBlindly { set: CandidateSet, judgement: Box<Judgement>, is_taken_back: bool },
    /// Takes candidates whose files were found damaged or gone when they were looked at out of use, so that they no longer count.
    DiscardDamaged,
    /// Samples the candidates that are missing: those of `images`, or of all.
    Sample { images: Option<Vec<ImageId>> },
    /// Computes the scores that are missing.
    Score,
    /// [`Job::Sample`] and [`Job::Score`] in turns, image by image.
    Generate { images: Option<Vec<ImageId>> },
    /// Ranks, pairs and weighs; freezes the reward bounds where there are none. Refused where an image to train on lacks
    /// some of the recipe's seeds, unless `allow_partial`; the same holds for all jobs that make pairs.
    Curate { allow_partial: bool },
    /// Fine-tunes. Goes on with the run of the same settings and pairs, else begins a new one; a warning names the run that
    /// is left unfinished then, and why.
    Train { run: Option<String>, allow_partial: bool },
    /// Samples and scores held-out images with two checkpoints and sets them side by side. A checkpoint is
    /// `reference`, `RUN` (its best on the validation images) or `RUN@STEP`.
    Compare { a: String, b: String, seeds: Option<usize>, on: On },
    /// Sample, score, curate, train and, with `compare`, compare: what is missing of each.
    Run { compare: bool, allow_partial: bool },
    /// Super-resolves pictures outside of the workspace.
    Upscale(Upscale),
    /// Looks whether a backbone's files do what they should. Needs no workspace.
    CheckModel(CheckModel),
    /// Writes the pairs with their pictures. Refused where the folder has files already, unless `overwrite`.
    ExportPairs { dir: PathBuf, layout: PairsLayout, allow_partial: bool, overwrite: bool },
    /// Writes the weights of a checkpoint (`reference`, `RUN` or `RUN@STEP`) as other programs read them. Refused where the file
    /// is there already, unless `overwrite`.
    ExportWeights { checkpoint: String, path: PathBuf, form: WeightsForm, overwrite: bool },
    /// Writes a table of what the workspace knows. Refused where the file is there already, unless `overwrite`.
    ExportTable { of: TableOf, form: Form, path: PathBuf, overwrite: bool },
    /// Records scores that were computed elsewhere: CSV or JSON lines of image, seed, metric, value, and for a metric that is not
    /// known yet direction and kind.
    ImportScores { path: PathBuf },
    /// Records the scores or the verdicts of a file, whichever it holds.
    ImportTable { path: PathBuf },
    /// Takes the candidates of another model in, under a name of their own.
    ImportCandidates(ImportCandidates),
    /// Records verdicts on pairs that were made elsewhere: CSV or JSON lines of image, winner_seed, loser_seed, verdict.
    ImportVerdicts { path: PathBuf },
    /// Writes a comparison in one of the forms that leave the studio.
    ExportComparison { compared: Arc<Compared>, format: Format, path: PathBuf },
    /// Computes on another device from now on. Errors: it cannot be opened; the one before stays.
    ComputeOn(Choice),
    /// Allows the commands that the recipe names as metrics, on this machine and for good, then does what was refused for
    /// want of that.
    AllowExternal { then: Option<Box<Job>> },
}

impl Job {
    /// Whether it is written at once, beside the job that runs.
    pub fn is_edit(&self) -> bool {
        matches!(
            self,
            Job::SetRecipe(_)
                | Job::TryRecipe(_)
                | Job::SetSplits(_)
                | Job::SetPrompts(_)
                | Job::SetRemoved { .. }
                | Job::Judge { .. }
                | Job::JudgeBlindly { .. }
                | Job::DiscardDamaged
        )
    }

    /// Whether another workspace is the open one after it.
    pub fn opens_workspace(&self) -> bool {
        matches!(self, Job::Create { .. } | Job::Open { .. } | Job::Repair { .. })
    }

    /// Whether it makes pairs.
    pub fn makes_pairs(&self) -> bool {
        match self {
            Job::AllowExternal { then } => then.as_ref().is_some_and(|job| job.makes_pairs()),
            Job::ExportTable { of, .. } => matches!(of, TableOf::Pairs { .. }),
            job => matches!(job, Job::Curate { .. } | Job::Train { .. } | Job::Run { .. } | Job::ExportPairs { .. }),
        }
    }

    /// The same job with what it was refused for permitted; `None` where the job is never refused for it.
    pub fn permitting(&self, permit: Permit) -> Option<Self> {
        if let Job::AllowExternal { then: Some(job) } = self {
            return job.permitting(permit);
        }
        if permit == Permit::External {
            return Some(Job::AllowExternal { then: Some(Box::new(self.clone())) });
        }
        let mut job = self.clone();
        let asked = match (&mut job, permit) {
            (
                Job::Curate { allow_partial }
                | Job::Train { allow_partial, .. }
                | Job::Run { allow_partial, .. }
                | Job::ExportPairs { allow_partial, .. }
                | Job::ExportTable { of: TableOf::Pairs { allow_partial }, .. },
                Permit::Partial,
            ) => allow_partial,
            (
                Job::ExportPairs { overwrite, .. }
                | Job::ExportWeights { overwrite, .. }
                | Job::ExportTable { overwrite, .. },
                Permit::Overwrite,
            ) => overwrite,
            _ => return None,
        };
        *asked = true;
        Some(job)
    }
}

/// What the engine tells its clients.
#[derive(Clone, Debug)]
pub enum Event {
    /// A job began, moved on or ended.
    Job { id: JobId, state: JobState },
    /// A workspace was opened; everything known before is void.
    Opened(Arc<Opened>),
    /// The workspace that was open is not any more.
    Closed,
    /// Something in the workspace is not as it was; ask again for what you show.
    Changed(Change),
    /// A training step was made.
    Step { run: RunId, row: StepRow },
    /// A checkpoint was evaluated.
    Evaluated { run: RunId, row: EvaluationRow },
    /// The answer to a query, or why there is none.
    Answer { id: QueryId, answer: Result<Answer, String> },
    /// What is computed on is another device than before; its name in words.
    Device { choice: Choice, name: String },
    /// What was found of a backbone's files, one thing after the other.
    Found(Finding),
    /// A line for the log.
    Log { level: Level, text: String },
}

/// How a job stands. Every job ends in exactly one of `Done`, `Failed`, `Refused`, `Cancelled`.
#[derive(Clone, Debug)]
pub enum JobState {
    Started,
    Progress(Progress),
    Paused,
    Resumed,
    Done(Outcome),
    /// One line: what is at fault, and the cause.
    Failed(String),
    /// Not begun: the same job may be given again with [`Job::permitting`].
    Refused {
        cause: String,
        permit: Permit,
    },
    Cancelled,
}

impl JobState {
    /// Whether the job is over.
    pub fn is_final(&self) -> bool {
        matches!(self, JobState::Done(_) | JobState::Failed(_) | JobState::Refused { .. } | JobState::Cancelled)
    }
}

/// A workspace that was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    pub root: PathBuf,
    pub recipe: Recipe,
    /// What was found and set right.
    pub findings: Vec<String>,
    /// The device computing is done on.
    pub device: String,
    /// What else could be, of what this machine has and the program was built for.
    pub devices: Vec<Choice>,
    /// Who writes the workspace, where that is another process: nothing can be changed here.
    pub held_by: Option<String>,
}

/// What is not as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Images were added, removed, marked.
    Images,
    /// Prompts of images: their candidates are others, where those are drawn by them.
    Prompts,
    /// Candidates of an image were sampled.
    Candidates(ImageId),
    /// Candidates of an image were scored.
    Scores(ImageId),
    /// Verdicts on pairs.
    Overrides,
    /// Blind judgements.
    Judgements,
    /// Reward bounds were frozen.
    Bounds,
    /// A run began, ended, or has a new checkpoint.
    Runs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Info,
    Warning,
    Error,
}

/// Something to look at.
#[derive(Clone, Debug)]
pub enum Query {
    /// Images, checkpoints and runs.
    Library,
    /// Seeds of an image that candidates exist of, scored or not.
    Group { set: CandidateSet, image: ImageId },
    /// Scores, rewards, ranking, pairs and weights under a recipe that need not be the saved one. `set` names the
    /// candidates; `None` takes the reference's under the recipe's sampler. With `base`, the recipe before an edit, the
    /// answer says how many pairs the edit changes.
    Ranking { set: Option<CandidateSet>, recipe: Box<Recipe>, base: Option<Box<Recipe>> },
    /// What was said of a set's candidates, blindly and not.
    Judgements { set: CandidateSet },
    /// One number of every candidate of the reference under a recipe, image × seed.
    Grid { recipe: Box<Recipe>, of: GridOf },
    /// Which metric decides the ranking that [`Query::Ranking`] answers with.
    Attribution { set: Option<CandidateSet>, recipe: Box<Recipe> },
    /// Pixels, shrunk to `max_side_px` where that is less.
    Picture { source: Source, max_side_px: Option<usize> },
    /// A metric's map over a picture.
    Map { source: Source, metric: String },
    /// Steps of a run after `since`, and all its evaluations.
    Curves { run: RunId, since: u32 },
    /// What a run has come to, from its start to an evaluation on the same images.
    Learning { run: RunId, start: Box<Evaluation>, last: Box<Evaluation>, step: u32 },
    /// How published weights stand; their files are not read.
    Weights,
    /// What a recipe takes of memory.
    Memory { recipe: Box<Recipe> },
    /// What adding or importing would find.
    Preview(Box<Incoming>),
}

impl Query {
    /// Queries of one topic replace each other; `None` replaces nothing.
    pub fn topic(&self) -> Option<u64> {
        match self {
            Query::Library => Some(0),
            Query::Ranking { set: None, .. } => Some(1),
            Query::Weights => Some(2),
            Query::Memory { .. } => Some(3),
            Query::Judgements { .. } => Some(4),
            Query::Grid { .. } => Some(5),
            Query::Preview(_) => Some(6),
            Query::Attribution { set: None, .. } => Some(7),
            _ => None,
        }
    }
}

/// What a query is answered with.
#[derive(Clone, Debug)]
pub enum Answer {
    Library(Arc<Library>),
    /// Ascending.
    Group {
        set: CandidateSet,
        image: ImageId,
        seeds: Vec<u64>,
    },
    Ranking(Arc<Ranking>),
    /// Those made blindly in the order they were made, and all verdicts.
    Judgements {
        set: CandidateSet,
        judgements: Vec<Judgement>,
        verdicts: Vec<PairOverride>,
    },
    Grid(Arc<Grid>),
    Attribution(Arc<Attributed>),
    Picture(Picture),
    Map(MapPicture),
    Weights(Arc<Vec<PartReport>>),
    Memory(Box<MemoryNeed>),
    Learning {
        run: RunId,
        learning: Box<Learning>,
    },
    Preview(Arc<Preview>),
    Curves {
        run: RunId,
        since: u32,
        steps: Vec<StepRow>,
        evaluations: Vec<EvaluationRow>,
    },
}
