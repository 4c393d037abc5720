//! What a pane is, what it draws from, and what it may ask for. Panes only note actions; [`super::studio`] carries them
//! out after drawing.

use std::path::PathBuf;
use std::sync::Arc;

use egui::Ui;

use super::commands::CommandId;
use super::dialogs::Ask;
use super::pane_kind::PaneKind;
use super::state::State;
use super::theme::Palette;
use crate::engine::protocol::{AddImages, Compared, Job, JobId, Level};
use crate::method::overrides::Verdict;
use crate::method::recipe::Recipe;
use crate::report::Format;
use crate::workspace::{ImageId, Judgement, SplitChoice};

/// Something to be done after drawing.
#[derive(Clone, Debug)]
pub enum Action {
    /// Runs a command of the table, if it is enabled.
    Command(CommandId),
    /// Starts a job of the engine, after saving the recipe if it was edited.
    Start(Job),
    CancelJob(JobId),
    /// Replaces the recipe as edited. Edits of the same `what` within one gesture are one step of undo.
    EditRecipe {
        recipe: Box<Recipe>,
        what: String,
    },
    /// The pointer or the keyboard let go: the next edit is a step of its own.
    EndGesture,
    /// The recipe of a preset; differences are marked against that from now on.
    TakePreset(String),
    /// Records a verdict on a pair, given by its seeds; `None` takes it back.
    Judge {
        image: ImageId,
        winner: u64,
        loser: u64,
        verdict: Option<Verdict>,
    },
    /// Records what a rater said of two candidates blindly.
    JudgeBlindly(Box<Judgement>),
    /// Says what images are for, and all others of their sources.
    SetSplit {
        images: Vec<ImageId>,
        split: SplitChoice,
    },
    /// Says what is to be seen on images.
    SetPrompt {
        images: Vec<ImageId>,
        prompt: String,
    },
    Remove(Vec<ImageId>),
    /// Opens the window in which it is said what the files are.
    OfferToAdd(Vec<PathBuf>),
    /// Opens it for a folder of another model's candidates.
    OfferCandidates(PathBuf),
    /// The folder of their LR or HR images, for that window.
    CandidatesSide {
        path: PathBuf,
        is_hr: bool,
    },
    /// Opens a file dialog.
    Ask(Ask),
    /// A file for the window that checks a model: an adapter, or a photograph.
    ModelFile {
        path: PathBuf,
        is_adapter: bool,
    },
    Add(AddImages),
    OpenWorkspace(PathBuf),
    CreateWorkspace {
        dir: PathBuf,
        example: bool,
    },
    LoadRecipe(PathBuf),
    SaveRecipe(PathBuf),
    /// Asks where to, then writes all weights of a checkpoint.
    ExportWeights {
        checkpoint: String,
    },
    /// Asks where to, then writes a comparison in one of its forms.
    ExportComparison {
        compared: Arc<Compared>,
        format: Format,
    },
    /// Brings a pane to the front.
    Show(PaneKind),
    /// The same, with the selected candidate in it: its maps beside the best one's, or the pairs of its image.
    ShowCandidate(PaneKind),
    Say(Level, String),
}

/// What a pane draws from and writes its actions to.
pub struct Cx<'a> {
    pub state: &'a mut State,
    pub actions: &'a mut Vec<Action>,
    pub palette: &'static Palette,
    /// The graphics device, for panes with shaders of their own; `None` in tests without an adapter.
    pub gpu: Option<&'a eframe::egui_wgpu::RenderState>,
}

impl Cx<'_> {
    /// Notes an action.
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Notes that a command is to be run.
    pub fn run(&mut self, command: CommandId) {
        self.actions.push(Action::Command(command));
    }
}

/// A pane.
pub trait Pane {
    /// Draws it.
    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx);

    /// A command of the table that is for this pane.
    fn command(&mut self, _id: CommandId, _cx: &mut Cx) {}
}
