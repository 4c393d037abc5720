//! Everything the studio knows of the engine, and the one place where an event changes it.
//!
//! [`State::apply`] (in `apply`) is a pure function of state and event: no drawing, no sending, no clock. What is to be asked next
//! is noted in [`Wants`], which [`super::client`] turns into queries.

mod apply;
pub mod curves;
pub mod jobs;
pub mod judgements;
pub mod log;
pub mod maps;
pub mod pictures;
mod restart;
pub mod rewards;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::devices::Choice;
use crate::engine::grid::{Grid, GridOf};
use crate::engine::memory_need::MemoryNeed;
use crate::engine::previews::{Incoming, Preview};
use crate::engine::progress::Progress;
use crate::engine::protocol::{Attributed, Compared, Library, ModelCheck, Opened, QueryId, RunReport, Source};
use crate::method::learning::Learning;
use crate::method::presets;
use crate::method::recipe::Recipe;
use crate::weights::PartReport;
use crate::workspace::{CandidateSet, ImageId, ImageRow, RunId};

use curves::Curves;
use jobs::{JobEntry, Jobs};
use judgements::Judgements;
use log::Log;
use maps::Maps;
use pictures::Pictures;
use rewards::RewardView;

/// What was asked, to know the answer by.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    Library,
    Group(ImageId),
    /// The reference's candidates under the recipe being edited.
    Ranking,
    /// What was said of the reference's candidates blindly.
    Judgements,
    /// Which metric decides.
    Attribution,
    /// One number of every candidate.
    Grid(GridOf),
    /// Candidates of another checkpoint.
    RankingOf(CandidateSet),
    Picture(pictures::Request),
    Map(Source, String),
    Curves(RunId),
    Learning(RunId),
    Weights,
    /// What the recipe being edited takes of memory.
    Memory,
    /// What would come in.
    Preview(Box<Incoming>),
}

/// What is to be asked as soon as possible.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    pub library: bool,
    /// A person has just changed the library, so it is not put off.
    pub library_now: bool,
    pub ranking: bool,
    /// The ranking waits for a person's hand on a slider, or has just been told a verdict, so it is not put off.
    pub ranking_now: bool,
    pub judgements: bool,
    pub groups: BTreeSet<ImageId>,
    pub rankings: HashSet<CandidateSet>,
    pub curves: BTreeSet<RunId>,
    /// What runs have come to.
    pub learning: BTreeSet<RunId>,
    /// One number of every candidate.
    pub grid: Option<GridOf>,
    /// Which metric decides.
    pub attribution: bool,
    /// How published weights stand.
    pub weights: bool,
    /// What the recipe takes of memory.
    pub memory: bool,
    /// What would come in.
    pub preview: Option<Box<Incoming>>,
    /// A candidate that was looked at is damaged or gone: it is to be taken out of use.
    pub discard: bool,
}

/// What is selected, across all panes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// The image all panes show.
    pub image: Option<ImageId>,
    /// All selected images, for actions on several.
    pub images: BTreeSet<ImageId>,
    /// The candidate that was clicked last.
    pub seed: Option<u64>,
    /// The halves of the reward that candidates are picked out by, in all panes.
    pub brush: Option<Brush>,
}

/// A rectangle in the plane of FR and NR half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brush {
    /// Lowest and highest FR half.
    pub fr: [f64; 2],
    /// Lowest and highest NR half.
    pub nr: [f64; 2],
}

impl Brush {
    /// Whether a candidate with these halves is within it.
    pub fn holds(&self, [fr, nr]: [f64; 2]) -> bool {
        (self.fr[0]..=self.fr[1]).contains(&fr) && (self.nr[0]..=self.nr[1]).contains(&nr)
    }
}

impl Selection {
    /// Selects a candidate, in all panes.
    pub fn candidate(&mut self, image: ImageId, seed: u64) {
        if self.image != Some(image) {
            self.image = Some(image);
            self.images = [image].into();
        }
        self.seed = Some(seed);
    }
}

/// The recipe: as the workspace holds it, as it is being edited, and what it is compared with.
#[derive(Clone, Debug, Default)]
pub struct RecipeState {
    /// As the workspace holds it.
    pub saved: Recipe,
    /// As the controls show it.
    pub edited: Recipe,
    /// Before the last edit.
    pub before_edit: Option<Box<Recipe>>,
    /// Name of the preset that differences are marked against.
    pub preset_name: String,
    /// That preset.
    pub preset: Recipe,
    /// What is wrong with the edited recipe.
    pub fault: Option<String>,
}

/// Where a workspace stands on its way from images to a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// No workspace.
    Closed,
    /// No image.
    Empty,
    /// Images, candidates are missing.
    Images,
    /// Candidates and rewards.
    Scored,
    /// A run exists.
    Trained,
}

/// Everything known.
#[derive(Default)]
pub struct State {
    /// Seconds since the studio started, for the log and for toasts.
    pub now_secs: f64,
    pub opened: Option<Arc<Opened>>,
    /// A workspace is being opened or made.
    pub opening: Option<PathBuf>,
    pub recipe: RecipeState,
    /// Which unfinished run training would leave behind for a new one, as far as the edited recipe tells, and why.
    pub restart: Option<String>,
    pub library: Option<Arc<Library>>,
    /// Place of each image in [`Library::images`].
    pub image_index: HashMap<ImageId, usize>,
    /// Seeds known to exist of the images looked at.
    pub groups: HashMap<ImageId, Arc<Vec<u64>>>,
    /// The reference's candidates under the edited recipe.
    pub rewards: Option<Arc<RewardView>>,
    /// What was said of the reference's candidates blindly.
    pub judgements: Arc<Judgements>,
    /// Why there is no ranking.
    pub ranking_fault: Option<String>,
    /// One number of every candidate, as it was asked for last.
    pub grid: Option<Arc<Grid>>,
    /// Which metric decides the ranking, as it was asked for last.
    pub attribution: Option<Arc<Attributed>>,
    /// Candidates of other checkpoints under the edited recipe.
    pub rankings: HashMap<CandidateSet, Arc<RewardView>>,
    pub pictures: Pictures,
    pub maps: Maps,
    pub curves: BTreeMap<RunId, Curves>,
    /// What runs have come to, as far as it was asked.
    pub learning: BTreeMap<RunId, Learning>,
    pub jobs: Jobs,
    pub log: Log,
    /// How published weights stand, as it was last heard of.
    pub weights: Option<Arc<Vec<PartReport>>>,
    /// What the edited recipe takes of memory; `None` where its backbone is not in this program, or before it was heard.
    pub memory: Option<Box<MemoryNeed>>,
    /// What was asked last of what would come in, and what was found.
    pub preview: Option<(Incoming, Result<Arc<Preview>, String>)>,
    /// What was found of a model's files last.
    pub model_check: Option<Arc<ModelCheck>>,
    /// Terms of published weights that were confirmed on this machine.
    pub licences: BTreeSet<String>,
    /// What was compared, last at the end.
    pub comparisons: Vec<Arc<Compared>>,
    pub reports: Vec<Arc<RunReport>>,
    pub selection: Selection,
    pub wants: Wants,
    /// Queries on their way.
    pub asked: HashMap<QueryId, Asked>,
    /// What was chosen to compute on.
    pub device: Choice,
}

impl State {
    /// Whether the job in progress is held.
    pub fn is_paused(&self) -> bool {
        self.jobs.current().is_some_and(|job| job.phase == jobs::Phase::Paused)
    }

    /// A state before anything is known.
    pub fn new() -> Self {
        let mut state = Self::default();
        state.set_preset(crate::method::presets::DEFAULT);
        state
    }

    /// The preset that differences are marked against; an unknown name changes nothing.
    pub fn set_preset(&mut self, name: &str) {
        if let Ok(preset) = presets::preset(name) {
            (self.recipe.preset_name, self.recipe.preset) = (name.to_owned(), preset);
        }
    }

    /// Changes the recipe as the controls show it and asks for what follows from it.
    pub fn edit_recipe(&mut self, recipe: Recipe) {
        let sampler = |r: &Recipe| (r.sampling.clone(), r.reward.held_out.clone(), r.reward.regardless.clone());
        self.wants.library |= sampler(&recipe) != sampler(&self.recipe.edited);
        self.recipe.fault = fault_of(&recipe);
        self.recipe.edited = recipe;
        self.wants.memory = true;
        self.note_restart();
        if self.recipe.fault.is_none() {
            (self.wants.ranking, self.wants.ranking_now) = (true, true);
            self.wants.rankings.extend(self.rankings.keys().cloned());
        }
    }

    /// Whether a workspace is open that can be changed.
    pub fn is_writable(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.held_by.is_none())
    }

    /// An image of the workspace.
    pub fn image(&self, id: ImageId) -> Option<&ImageRow> {
        self.library.as_ref()?.images.get(*self.image_index.get(&id)?)
    }

    /// The selected image.
    pub fn selected_image(&self) -> Option<&ImageRow> {
        self.image(self.selection.image?)
    }

    /// Candidates the reference has of an image.
    pub fn sampled(&self, id: ImageId) -> u32 {
        let count = || self.library.as_ref()?.sampled.get(*self.image_index.get(&id)?).copied();
        count().unwrap_or(0)
    }

    /// Seeds of an image that candidates exist of, ascending; asks if it is not known.
    pub fn group(&mut self, image: ImageId) -> Option<Arc<Vec<u64>>> {
        if let Some(known) = self.groups.get(&image) {
            return Some(known.clone());
        }
        let is_on_its_way = self.asked.values().any(|a| *a == Asked::Group(image));
        if !is_on_its_way && self.library.as_ref().is_some_and(|l| l.set.is_some()) {
            self.wants.groups.insert(image);
        }
        None
    }

    /// The ranking of a checkpoint's candidates under the edited recipe; asks if it is not known.
    pub fn ranking_of(&mut self, set: &CandidateSet) -> Option<Arc<RewardView>> {
        let known = self.rankings.get(set).cloned();
        if known.is_none() && !self.asked.values().any(|a| matches!(a, Asked::RankingOf(s) if s == set)) {
            self.wants.rankings.insert(set.clone());
        }
        known
    }

    /// The curves of a run; asks if they are not known from its beginning.
    pub fn curves_of(&mut self, run: RunId) -> &Curves {
        let curves = self.curves.entry(run).or_default();
        if !curves.is_whole && !self.asked.values().any(|a| *a == Asked::Curves(run)) {
            self.wants.curves.insert(run);
        }
        curves
    }

    /// Number of images.
    pub fn images_count(&self) -> usize {
        self.library.as_ref().map_or(0, |l| l.images.len())
    }

    /// Candidates there are and candidates the recipe wants.
    pub fn candidates_done(&self) -> (usize, usize) {
        let Some(library) = &self.library else { return (0, 0) };
        let m = self.recipe.edited.sampling.m;
        let done = library.sampled.iter().map(|&n| (n as usize).min(m)).sum();
        (done, library.images.len() * m)
    }

    /// How far a job is. Generating goes image by image; what a person wants to know is how far all of them are.
    pub fn progress_of(&self, job: &JobEntry) -> Option<Progress> {
        let progress = job.progress.clone()?;
        if !job.is_whole || progress.is_before_work() {
            return Some(progress);
        }
        let (done, total) = self.candidates_done();
        let elapsed_secs = self.now_secs - job.began_secs;
        let made = done.saturating_sub(job.candidates_before);
        let rate = if elapsed_secs > 0.0 { made as f64 / elapsed_secs } else { 0.0 };
        let eta_secs = (made > 0).then(|| total.saturating_sub(done) as f64 / rate);
        let (done, total) = (done as u64, total as u64);
        Some(Progress { stage: "generating".into(), unit: "candidates", done, begun: 0.0, total, rate, eta_secs })
    }

    /// Where the workspace stands.
    pub fn stage(&self) -> Stage {
        let has_pairs = self.rewards.as_ref().is_some_and(|r| r.ranking.summary.pairs > 0);
        match &self.library {
            None => Stage::Closed,
            Some(library) if library.images.is_empty() => Stage::Empty,
            Some(library) if !library.runs.is_empty() => Stage::Trained,
            Some(_) if has_pairs => Stage::Scored,
            Some(_) => Stage::Images,
        }
    }
}

/// Why a recipe cannot be worked with.
fn fault_of(recipe: &Recipe) -> Option<String> {
    recipe.check_backbone().and_then(|()| recipe.validate()).err().map(|e| e.to_string())
}

#[cfg(test)]
mod tests;
