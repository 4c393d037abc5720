//! What jobs work with: the open workspace, its recipe, the models, and the way to the client.
//!
//! There are two: of the thread that computes, and of the one that writes edits beside it, with a second handle on the
//! same workspace.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::Sender;

use super::devices::{Choice, SharedDevice};
use super::emitter::Emitter;
use super::memory_need::MemoryNeed;
use super::metrics::{self, Open, Scorers};
use super::model::{Model, Reference};
use super::models::Models;
use super::progress::{Meter, PROMPTS, Progress};
use super::protocol::{Change, Event, JobState, Level, Opened};
use super::reading::Watched;
use super::suspects::Suspects;
use super::viewer::Opening;
use super::voice::Voice;
use super::{parts, plan};
use crate::backbones::condition::Prompt;
use crate::backbones::products::Products;
use crate::backbones::{Backbone, registry};
use crate::fs::reading::Reading;
use crate::imaging::{Image, decode};
use crate::method::recipe::Recipe;
use crate::weights::Store;
use crate::workspace::{CandidateSet, CheckpointKind, Workspace};
use crate::{Error, Result};

fn closed() -> Error {
    Error::invalid("no workspace is open")
}

/// The state of the computing thread.
pub(super) struct Context {
    /// The running job's.
    pub voice: Voice,
    pub models: Models,
    /// The recipe of the open workspace.
    pub recipe: Recipe,
    /// What the viewer found damaged.
    pub suspects: Suspects,
    /// Candidates discarded in this session, because they were damaged.
    pub discarded: Cell<usize>,
    /// Counts what is read of weights, and ends it when the job is cancelled.
    pub reading: Reading,
    /// Where weights are found on this machine.
    store: Store,
    scorers: Scorers,
    workspace: Option<Workspace>,
    openings: [Sender<Opening>; 2],
    /// Where edits are written; `None` for those themselves.
    edits: Option<Arc<Mutex<Context>>>,
}

impl Context {
    pub fn new(
        emitter: Emitter,
        openings: [Sender<Opening>; 2],
        suspects: Suspects,
        store: Store,
        device: SharedDevice,
        cancelled: Arc<AtomicBool>,
    ) -> Self {
        let reading = Reading::stopped_by(cancelled);
        let store = store.watched(&reading);
        Self {
            voice: Voice::new(emitter),
            reading,
            models: Models::on(device, store.clone()),
            recipe: Recipe::default(),
            suspects,
            discarded: Cell::new(0),
            store,
            scorers: Scorers::default(),
            workspace: None,
            openings,
            edits: None,
        }
    }

    /// A context for edits, which nothing pauses or cancels.
    pub fn of_edits(&self, emitter: Emitter) -> Self {
        let (store, openings) = (self.store.clone(), self.openings.clone());
        let (suspects, device) = (self.suspects.clone(), self.models.device.clone());
        Self::new(emitter, openings, suspects, store, device, Arc::default())
    }

    /// The context with the one for edits, which opens and closes workspaces with it.
    pub fn with_edits(self, edits: Arc<Mutex<Context>>) -> Self {
        Self { edits: Some(edits), ..self }
    }

    /// Changes the context for edits, after the edit that is being written.
    fn for_edits(&self, change: impl FnOnce(&mut Context)) {
        if let Some(edits) = &self.edits {
            change(&mut edits.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// The recipe as edited last is the one of the next job.
    pub fn take_edited_recipe(&mut self) {
        let mut edited = None;
        self.for_edits(|edits| edited = edits.workspace.is_some().then(|| edits.recipe.clone()));
        if let Some(recipe) = edited {
            self.recipe = recipe;
        }
        self.models.look_in(self.store());
    }

    /// The open workspace.
    pub fn workspace(&self) -> Result<&Workspace> {
        self.workspace.as_ref().ok_or_else(closed)
    }

    /// The candidates of the reference: sampled here, or imported.
    pub fn reference_set(&mut self) -> Result<CandidateSet> {
        match plan::imported_reference(self.workspace()?, &self.recipe)? {
            Some(imported) => Ok(imported),
            None => Ok(self.reference("")?.0),
        }
    }

    /// The reference model of the recipe and its candidates, for `what`. Errors: they are imported, and there is no model.
    pub fn reference(&mut self, what: &str) -> Result<(CandidateSet, Model)> {
        let workspace = self.workspace.as_ref().ok_or_else(closed)?;
        if let Some(name) = self.recipe.imported() {
            return Err(plan::not_here(name, what));
        }
        let sampling = &self.recipe.sampling;
        self.say_licence(&sampling.backbone);
        let is_first = !self.models.is_open(&sampling.backbone);
        let _watched = self.watch_opening(&sampling.backbone, sampling.precision);
        let found = plan::reference(&mut self.models, workspace, &self.recipe)?;
        if is_first {
            self.say_other_weights(&found.0)?;
        }
        Ok(found)
    }

    /// Says that candidates there are do not count, as they are of other weights than the backbone has now: those of an earlier
    /// version of this program, or of other files.
    fn say_other_weights(&self, set: &CandidateSet) -> Result<()> {
        let ledger = self.workspace()?.ledger();
        let backbone = &self.recipe.sampling.backbone;
        let mut others = 0;
        for (other, count) in ledger.candidate_sets()? {
            let of = ledger.checkpoint(other.checkpoint)?;
            if other.checkpoint != set.checkpoint && of.kind == CheckpointKind::Reference && of.backbone == *backbone {
                others += count;
            }
        }
        if others > 0 && ledger.group_sizes(set)?.is_empty() {
            let bounds = match ledger.bounds()?.iter().any(|bounds| bounds.fitted_on != *set) {
                true => "; the bounds of the reward stay those fitted before, new ones take a new workspace",
                false => "",
            };
            self.log(
                Level::Warning,
                format!(
                    "{others} candidates are of other weights of {backbone} than it has now, such as an earlier version's; they \
                     stay and do not count, and new ones are generated beside them{bounds}"
                ),
            );
        }
        Ok(())
    }

    /// The released model of a backbone.
    pub fn released(&mut self, backbone: &str, products: Products) -> Result<Reference> {
        let _watched = self.watch_opening(backbone, products);
        self.models.reference(backbone, products)
    }

    /// Reports what is read while a backbone is opened; `None` where it is open.
    pub fn watch_opening(&self, backbone: &str, products: Products) -> Option<Watched> {
        let card = registry::card_of(backbone).ok().filter(|_| !self.models.has(backbone, products))?;
        let (texts, _) = card.memory.passing;
        let opened: Vec<_> =
            card.parts.iter().filter(|part| texts.iter().all(|text| text.id != part.id)).copied().collect();
        Some(Watched::new(self, format!("opening {backbone}"), self.store().bytes(&opened)))
    }

    /// Has a backbone read what it needs for the pictures to come: encodes what is said of them, all at once, and then loads the
    /// rest.
    pub fn prepare(&self, backbone: &dyn Backbone, prompts: &[Prompt]) -> Result<()> {
        let card = backbone.card();
        let (texts, _) = card.memory.passing;
        if !texts.is_empty() {
            let mut reading = Some(Watched::new(self, "opening text encoders", self.store().bytes(texts)));
            let mut meter = None;
            backbone.prepare(prompts, &mut |done, total| {
                reading = None;
                let meter = meter.get_or_insert_with(|| Meter::new("encoding prompts", PROMPTS, total));
                self.advance(meter, done.saturating_sub(meter.now().done as usize));
                self.checkpoint()
            })?;
        }
        let _reading = Watched::new(self, format!("opening {}", card.name), self.store().bytes(card.parts));
        backbone.read()
    }

    /// Says under which terms published weights of a backbone are, before they are loaded for the first time.
    pub fn say_licence(&self, backbone: &str) {
        if let Ok(card) = registry::card_of(backbone)
            && !card.parts.is_empty()
            && !self.models.is_open(backbone)
        {
            self.log(Level::Info, format!("{backbone}: its weights are under terms of their own: {}", card.licence));
        }
    }

    /// Whether the workspace at `dir` is the open one, for writing.
    pub fn writes(&self, dir: &Path) -> bool {
        self.workspace.as_ref().is_some_and(|open| open.is_writable() && open.is_at(dir))
    }

    /// Whether the workspace at `dir` is the open one, to look at.
    pub fn looks_at(&self, dir: &Path) -> bool {
        self.workspace.as_ref().is_some_and(|open| !open.is_writable() && open.is_at(dir))
    }

    /// Where weights are found: those of the open workspace first, and those that its recipe accepts.
    pub fn store(&self) -> Store {
        let store = match &self.workspace {
            Some(workspace) => self.store.with_workspace(workspace.root()),
            None => self.store.clone(),
        };
        store.accepting(&self.recipe.data.unverified_weights)
    }

    /// Errors: published weights that the recipe needs are not there.
    pub fn check_parts(&self) -> Result<()> {
        parts::check(&self.store(), &self.recipe)
    }

    /// Says what the recipe takes of memory before a backbone of published files is loaded.
    pub fn say_memory(&self) {
        let name = &self.recipe.sampling.backbone;
        if self.recipe.imported().is_some() {
            return;
        }
        let is_large = registry::card_of(name).is_ok_and(|card| card.memory.network > 0 && !card.parts.is_empty());
        let precision = self.recipe.sampling.precision;
        if !is_large || self.models.has(name, precision) {
            return;
        }
        if let Some(why) = self.recipe.why_idle("sampling.precision").filter(|_| precision != precision.here()) {
            self.log(Level::Warning, format!("sampling.precision: {}, as {why}", precision.here().word()));
        }
        if let Ok(need) = MemoryNeed::of(&self.recipe, &self.store(), &self.models.device) {
            self.log(Level::Info, format!("{name} takes of memory: {need}"));
            need.doubt().into_iter().for_each(|doubt| self.log(Level::Warning, doubt));
        }
    }

    /// Lets go of the open workspace and its lock.
    pub fn close_workspace(&mut self) {
        self.for_edits(|edits| edits.workspace = None);
        self.workspace = None;
        self.tell(&Opening::Closed);
    }

    /// Tells those who look.
    fn tell(&self, opening: &Opening) {
        for lane in &self.openings {
            let _ = lane.send(opening.clone());
        }
    }

    /// Makes a workspace the open one instead of that which was, and tells the client; `held_by` names who writes it where
    /// it is only looked at.
    pub fn open_workspace(&mut self, workspace: Workspace, recipe: Recipe, held_by: Option<String>) -> Result<()> {
        let second = if held_by.is_some() { workspace.reader() } else { workspace.second_writer() }?;
        self.for_edits(|edits| (edits.workspace, edits.recipe) = (Some(second), recipe.clone()));
        let opened = Opened {
            root: workspace.root().to_owned(),
            recipe: recipe.clone(),
            findings: workspace.findings().iter().map(ToString::to_string).collect(),
            device: self.models.device_name(),
            devices: Choice::all(),
            held_by,
        };
        self.tell(&Opening::Opened { root: opened.root.clone(), recipe: Box::new(recipe.clone()) });
        self.recipe = recipe;
        self.workspace = Some(workspace);
        if let Some(doubt) = self.models.device.doubt() {
            self.log(Level::Warning, doubt);
        }
        self.emit(Event::Opened(Arc::new(opened)));
        Ok(())
    }

    /// Keeps a recipe in the open workspace; one that does not hold leaves the workspace's as it was.
    pub fn set_recipe(&mut self, recipe: Recipe) -> Result<()> {
        metrics::check(&recipe)?;
        self.workspace()?.set_recipe_text(&recipe.to_ron()?)?;
        self.try_recipe(recipe)
    }

    /// Uses a recipe as that of the open workspace, without keeping it there.
    pub fn try_recipe(&mut self, recipe: Recipe) -> Result<()> {
        metrics::check(&recipe)?;
        let root: PathBuf = self.workspace()?.root().to_owned();
        self.tell(&Opening::Opened { root, recipe: Box::new(recipe.clone()) });
        self.for_edits(|edits| edits.recipe = recipe.clone());
        self.recipe = recipe;
        Ok(())
    }

    /// [`Context::set_recipe`] for a recipe that a job changed, which the client is told.
    pub fn adopt_recipe(&mut self, recipe: Recipe) -> Result<()> {
        self.set_recipe(recipe.clone())?;
        let root = self.workspace()?.root().to_owned();
        let device = self.models.device_name();
        let devices = Choice::all();
        let opened = Opened { root, recipe, findings: Vec::new(), device, devices, held_by: None };
        self.emit(Event::Opened(Arc::new(opened)));
        Ok(())
    }

    /// The metrics of a recipe, open on the devices. Errors: one cannot be opened.
    pub fn open_metrics(&self, recipe: &Recipe) -> Result<Open> {
        let parts: Vec<_> = recipe.scored_metrics().into_iter().flat_map(parts::of_metric).collect();
        let _watched = Watched::new(self, "opening metrics", self.store().bytes(&parts));
        self.scorers.open(recipe, &self.store(), self.models.workers())
    }

    /// Drops everything that can be loaded again.
    pub fn forget_models(&mut self) {
        self.models = Models::on(self.models.device.clone(), self.store());
        self.scorers = Scorers::default();
    }

    /// Computes on another device from now on. Errors: it cannot be opened, and nothing changes.
    pub fn compute_on(&mut self, choice: Choice) -> Result<()> {
        self.models.device.choose(choice.clone())?;
        self.forget_models();
        self.tell(&Opening::OtherDevice);
        self.emit(Event::Device { choice, name: self.models.device_name() });
        Ok(())
    }

    pub fn emit(&self, event: Event) {
        self.voice.emit(event);
    }

    pub fn changed(&self, change: Change) {
        self.emit(Event::Changed(change));
    }

    pub fn log(&self, level: Level, text: impl Into<String>) {
        self.voice.log(level, text);
    }

    /// Reads a picture that a person gave; what reading did to it is logged.
    pub fn read_picture(&self, path: &Path) -> Result<Image> {
        let decoded = decode::read_noted(path)?;
        decoded.notes.iter().for_each(|note| self.log(Level::Info, format!("note: {}: {note}", path.display())));
        Ok(decoded.image)
    }

    /// Reports progress if there is any to report.
    pub fn report(&self, progress: Option<Progress>) {
        progress.into_iter().for_each(self.reporter());
    }

    /// What reports progress of the job from any thread.
    pub fn reporter(&self) -> impl Fn(Progress) + Send + 'static {
        let voice = self.voice.clone();
        move |progress| voice.emit(Event::Job { id: voice.job, state: JobState::Progress(progress) })
    }

    /// Counts units of a stage and reports.
    pub fn advance(&self, meter: &mut Meter, units: usize) {
        self.report(meter.add(units));
    }

    /// Reports what is done of units that are begun, and obeys pause and cancel.
    pub fn within(&self, meter: &mut Meter, units: f64) -> Result<()> {
        self.report(meter.begun(units));
        self.checkpoint()
    }

    /// Obeys pause and cancel.
    pub fn checkpoint(&self) -> Result<()> {
        self.voice.checkpoint()
    }
}
