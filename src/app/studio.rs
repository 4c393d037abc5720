//! The window: takes events in, draws the panes, carries out what they ask for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use eframe::egui_wgpu::RenderState;
use eframe::{CreationContext, Frame, Storage};
use egui::{CentralPanel, Context, Key, Stroke, StrokeKind, Ui, ViewportBuilder, ViewportCommand};
use egui_tiles::Tree;

use super::actions::{Action, Cx};
use super::client::Client;
use super::command_palette::{self, CommandPalette};
use super::commands::{self, CommandId};
use super::dialogs::Dialogs;
use super::history::History;
use super::incoming::IncomingWindow;
use super::model_window::ModelWindow;
use super::pane_kind::PaneKind;
use super::panes::{Panes, Tiled};
use super::session::{self, APP_ID, Session};
use super::state::State;
use super::theme::Palette;
use super::weights_window::WeightsWindow;
use super::{chrome, fonts, layout, theme, toasts};
use crate::engine::devices::{Choice, SharedDevice};
use crate::engine::protocol::{Job, Level};
use crate::weights::{Store, terms};
use crate::{Error, Result};

/// The smallest window, in points.
const MIN_SIZE: [f32; 2] = [1280.0, 700.0];
/// Edits of the recipe are saved in the workspace after this long without another; the job under way keeps its own.
const SAVE_AFTER_SECS: f64 = 0.8;

/// A workspace that another process writes is tried again after this long.
const TRY_AGAIN_SECS: f64 = 3.0;

/// How the studio is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The workspace to open instead of the last one.
    pub workspace: Option<PathBuf>,
    /// Where weights are found; those of the machine by default.
    pub store: Option<Store>,
    /// What to compute on; what was chosen last by default.
    pub device: Option<Choice>,
    /// Opens none, not even the example: for tests and benches, which bring a workspace of their own making.
    pub is_idle: bool,
    /// Asks for paths in a window of its own, without trying the system's dialogs.
    pub asks_for_paths: bool,
}

/// Opens the window and returns once it is closed.
pub fn run(options: Options) -> Result<()> {
    let viewport = ViewportBuilder::default()
        .with_app_id(APP_ID)
        .with_title("DP²O Studio")
        .with_inner_size([1480.0, 920.0])
        .with_min_inner_size(MIN_SIZE);
    let native = eframe::NativeOptions { viewport, centered: true, ..eframe::NativeOptions::default() };
    let create = move |cc: &CreationContext<'_>| -> std::result::Result<Box<dyn eframe::App>, _> {
        Ok(Box::new(Studio::new(cc, options)?))
    };
    eframe::run_native(APP_ID, native, Box::new(create))
        .map_err(|e| Error::invalid(format!("the window could not be opened: {e}")))
}

/// The studio.
pub struct Studio {
    pub state: State,
    pub(super) dialogs: Dialogs,
    pub(super) command_palette: CommandPalette,
    pub(super) shows_shortcuts: bool,
    pub(super) session: Session,
    pub(super) history: History,
    pub(super) tree: Tree<PaneKind>,
    pub(super) panes: Panes,
    pub(super) front: PaneKind,
    pub(super) client: Client,
    pub(super) actions: Vec<Action>,
    /// When the recipe was last edited.
    pub(super) edited_secs: Option<f64>,
    /// When writing a workspace that another process held was tried last.
    tried_secs: f64,
    pub(super) incoming: IncomingWindow,
    weights_window: WeightsWindow,
    pub(super) model_window: ModelWindow,
    gpu: Option<RenderState>,
    began: Instant,
    /// What to open once the first frame is on the screen.
    start_with: Option<Start>,
    frames: u64,
    /// Keys have moved what they act on since the pointer was pressed last.
    shows_focus: bool,
}

/// What is opened at the start.
enum Start {
    Workspace(PathBuf),
    Example(PathBuf),
}

impl Studio {
    /// The studio of the last session, or a new one. Opens no workspace yet: that waits for the first frame.
    pub fn new(cc: &CreationContext<'_>, options: Options) -> Result<Self> {
        let ctx = &cc.egui_ctx;
        let session = Session::load(cc.storage);
        fonts::install(ctx);
        theme::install(ctx, session.font_size);
        ctx.set_theme(theme_of(session.is_dark));
        ctx.options_mut(|o| o.zoom_with_keyboard = false);
        ctx.set_zoom_factor(session.zoom);
        let wake = {
            let ctx = ctx.clone();
            Arc::new(move || ctx.request_repaint())
        };
        let is_workspace = |dir: &&PathBuf| dir.join(crate::workspace::files::WORKSPACE_FILE).is_file();
        let start_with = match options.workspace {
            Some(dir) => Start::Workspace(dir),
            None => match session.recent.first().filter(is_workspace) {
                Some(dir) => Start::Workspace(dir.clone()),
                None => Start::Example(session::example_dir()),
            },
        };
        let device = options.device.unwrap_or_else(|| session.device.clone());
        let mut panes = Panes::default();
        panes.seeds.restore_cell_points(session.cell_points);
        panes.pairs.set_rater(session.rater.clone());
        Ok(Self {
            state: State { licences: session.licences.clone(), device: device.clone(), ..State::new() },
            dialogs: Dialogs::new(ctx, options.asks_for_paths),
            command_palette: CommandPalette::default(),
            shows_shortcuts: false,
            session,
            history: History::default(),
            tree: layout::load(cc.storage),
            panes,
            front: PaneKind::Seeds,
            client: Client::start(
                &SharedDevice::new(device),
                wake,
                options.store.unwrap_or_else(|| Store::of_machine(&[], false)),
            )?,
            actions: Vec::new(),
            edited_secs: None,
            tried_secs: 0.0,
            incoming: IncomingWindow::default(),
            weights_window: WeightsWindow::default(),
            model_window: ModelWindow::default(),
            gpu: cc.wgpu_render_state.clone(),
            began: Instant::now(),
            start_with: (!options.is_idle).then_some(start_with),
            frames: 0,
            shows_focus: false,
        })
    }

    /// Notes an action as a pane would, to be carried out at the end of the frame.
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Says something in the log and on the screen.
    pub(super) fn say(&mut self, level: Level, text: impl Into<String>) {
        self.state.log.toast(self.state.now_secs, level, text);
    }

    /// Hands a command to the tab in front.
    pub(super) fn pane_command(&mut self, id: CommandId) {
        let kind = self.front;
        let dark = self.session.is_dark;
        let mut cx =
            Cx { state: &mut self.state, actions: &mut self.actions, palette: theme::of(dark), gpu: self.gpu.as_ref() };
        self.panes.get(kind).command(id, &mut cx);
    }

    /// Hands a command to the Compare tab and brings it to the front.
    pub(super) fn compare_command(&mut self, id: CommandId) {
        self.show(PaneKind::Compare);
        self.front = PaneKind::Compare;
        self.pane_command(id);
    }

    /// Hands a command to the Heatmaps tab and brings it to the front.
    pub(super) fn heatmaps_command(&mut self, id: CommandId) {
        self.show(PaneKind::Heatmaps);
        self.front = PaneKind::Heatmaps;
        self.pane_command(id);
    }

    /// Answers the next dialog with a path instead of opening it: for scripts, which cannot reach the system's dialogs.
    pub fn answer_next_dialog(&mut self, path: PathBuf) {
        self.dialogs.answer_next(path);
    }

    /// Opens a workspace, after the first frame.
    fn start(&mut self) {
        match self.start_with.take() {
            Some(Start::Workspace(dir)) => self.open_workspace(&dir),
            Some(Start::Example(dir)) => self.create_workspace(&dir, true),
            None => {}
        }
    }

    /// Whether the recipe as edited is not in the workspace yet.
    fn has_unsaved_recipe(&self) -> bool {
        self.state.opened.is_some() && self.state.recipe.edited != self.state.recipe.saved
    }

    /// Saves an edited recipe when the hand has let go.
    fn save_recipe_when_idle(&mut self, ctx: &Context) {
        let Some(edited) = self.edited_secs else { return };
        if !self.has_unsaved_recipe() || self.state.recipe.fault.is_some() {
            self.edited_secs = None;
            return;
        }
        let wait = edited + SAVE_AFTER_SECS - self.state.now_secs;
        if wait > 0.0 {
            ctx.request_repaint_after_secs(wait as f32);
        } else {
            self.save_recipe();
        }
    }

    /// Hands the edited recipe to the workspace; jobs started later use it.
    pub(super) fn save_recipe(&mut self) {
        self.edited_secs = None;
        if !self.has_unsaved_recipe() || self.state.recipe.fault.is_some() || !self.state.is_writable() {
            return;
        }
        let recipe = self.state.recipe.edited.clone();
        self.state.recipe.saved = recipe.clone();
        self.start_job(Job::SetRecipe(Box::new(recipe)));
    }

    /// Starts a job; a refusal is said.
    pub(super) fn start_job(&mut self, job: Job) {
        if let Err(error) = self.client.start_job(&mut self.state, job) {
            self.say(Level::Error, error.to_string());
        }
    }

    pub(super) fn open_workspace(&mut self, dir: &Path) {
        self.save_recipe();
        self.state.opening = Some(dir.to_owned());
        self.start_job(Job::Open { dir: dir.to_owned(), or_look: true });
    }

    /// Makes a workspace, or opens it if it is there.
    pub(super) fn create_workspace(&mut self, dir: &Path, example: bool) {
        if dir.join(crate::workspace::files::WORKSPACE_FILE).is_file() {
            return self.open_workspace(dir);
        }
        if let Some(parent) = dir.parent()
            && let Err(error) = std::fs::create_dir_all(parent)
        {
            return self.say(Level::Error, format!("{}: {error}", parent.display()));
        }
        self.save_recipe();
        self.state.opening = Some(dir.to_owned());
        let recipe = crate::method::presets::preset(crate::method::presets::DEFAULT).unwrap_or_default();
        self.start_job(Job::Create { dir: dir.to_owned(), recipe: Box::new(recipe), example });
    }

    /// A workspace that another process writes is tried again from time to time.
    fn try_to_write(&mut self, ctx: &Context) {
        let Some(opened) = self.state.opened.as_ref().filter(|opened| opened.held_by.is_some()) else { return };
        let wait = self.tried_secs + TRY_AGAIN_SECS - self.state.now_secs;
        if wait > 0.0 {
            return ctx.request_repaint_after_secs(wait as f32);
        }
        self.tried_secs = self.state.now_secs;
        let dir = opened.root.clone();
        if self.state.jobs.active().next().is_none() {
            self.start_job(Job::Open { dir, or_look: true });
        }
    }

    fn note_opened(&mut self, before: Option<PathBuf>) {
        let Some(opened) = self.state.opened.clone() else { return };
        if before.as_ref() == Some(&opened.root) {
            return;
        }
        self.history.clear();
        self.session.opened(&opened.root);
        let title = opened.root.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        self.dialogs.context().send_viewport_cmd(ViewportCommand::Title(format!("{title} – DP²O Studio")));
        // Edits that the last session could not save any more.
        if let Some(text) = self.session.unsaved_recipe.take()
            && let Ok(recipe) = crate::method::recipe::Recipe::from_ron(&text, "session")
            && self.session.recent.get(1).is_none_or(|other| *other != opened.root)
        {
            self.state.edit_recipe(recipe);
            self.edited_secs = Some(self.state.now_secs);
        }
    }

    fn take_drops(&mut self, ctx: &Context) {
        let dropped: Vec<PathBuf> =
            ctx.input(|i| i.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect());
        if dropped.is_empty() {
            return;
        }
        match dropped.as_slice() {
            [one] if one.join(crate::workspace::files::WORKSPACE_FILE).is_file() => {
                self.act(Action::OpenWorkspace(one.clone()));
            }
            [one] if one.extension().is_some_and(|e| e == "ron") => self.act(Action::LoadRecipe(one.clone())),
            [one] if one.extension().is_some_and(|e| e == "csv" || e == "jsonl") && self.state.opened.is_some() => {
                self.act(Action::Start(Job::ImportTable { path: one.clone() }));
            }
            _ => self.act(Action::OfferToAdd(dropped)),
        }
    }

    fn draw(&mut self, ui: &mut Ui) {
        let palette = theme::palette(ui);
        let mut cx = Cx { state: &mut self.state, actions: &mut self.actions, palette, gpu: self.gpu.as_ref() };
        chrome::top_bar(ui, &mut cx, &self.session);
        chrome::status_bar(ui, &mut cx);
        let frame = egui::Frame::new().fill(palette.backdrop);
        CentralPanel::default().frame(frame).show(ui, |ui| {
            let width = ui.available_width();
            if width != self.session.width {
                layout::follow(&mut self.tree, self.session.width, width);
                self.session.width = width;
            }
            let mut tiled = Tiled { panes: &mut self.panes, cx: &mut cx, front: &mut self.front };
            self.tree.ui(&mut tiled, ui);
        });
        let ctx = ui.ctx().clone();
        if let Some(id) = self.command_palette.show(&ctx, &self.state) {
            self.actions.push(Action::Command(id));
        }
        if self.shows_shortcuts {
            self.shows_shortcuts = command_palette::shortcut_sheet(&ctx);
        }
        self.incoming.show(&ctx, &mut self.state, &mut self.actions);
        self.weights_window.show(&ctx, &mut self.state);
        self.model_window.show(&ctx, &self.state, &mut self.actions);
        let chosen = self.dialogs.show(&ctx);
        self.actions.extend(chosen);
        toasts::show(&ctx, &mut self.state, &mut self.actions);
        self.focus_ui(&ctx, palette);
        drop_hint(&ctx);
    }

    /// A ring around what the keys act on, where keys brought it there: rows and cells that are painted here have no other sign.
    fn focus_ui(&mut self, ctx: &Context, palette: &Palette) {
        let (tab, pressed) = ctx.input(|i| (i.key_pressed(Key::Tab), i.pointer.any_pressed()));
        self.shows_focus = (self.shows_focus || tab) && !pressed;
        let focused = ctx.memory(|memory| memory.focused()).filter(|_| self.shows_focus);
        let Some(response) = focused.and_then(|id| ctx.read_response(id)) else { return };
        let painter = ctx.layer_painter(response.layer_id).with_clip_rect(response.interact_rect.expand(2.0));
        painter.rect_stroke(response.rect, theme::RADIUS, Stroke::new(2.0, palette.accent), StrokeKind::Inside);
    }

    /// Opens the window of published weights.
    pub(super) fn show_weights(&mut self) {
        self.weights_window.open(&mut self.state);
    }

    /// Opens the window that checks a model.
    pub(super) fn check_model(&mut self) {
        self.model_window.open(&self.state);
    }

    /// Opens the window in which it is said what files are.
    pub(super) fn offer_to_add(&mut self, paths: Vec<PathBuf>) {
        if self.state.opened.is_none() {
            return self.say(Level::Warning, "Open a workspace first, then add images to it");
        }
        self.incoming.open_images(paths, &self.state);
    }

    /// Opens it for a folder of another model's candidates.
    pub(super) fn offer_candidates(&mut self, dir: PathBuf) {
        if self.state.opened.is_none() {
            return self.say(Level::Warning, "Open a workspace first, then import candidates into it");
        }
        self.incoming.open_candidates(dir, &self.state);
    }
}

impl eframe::App for Studio {
    fn logic(&mut self, ctx: &Context, frame: &mut Frame) {
        self.state.now_secs = self.began.elapsed().as_secs_f64();
        let root = self.state.opened.as_ref().map(|o| o.root.clone());
        if self.client.drain(&mut self.state) {
            ctx.request_repaint();
        }
        self.note_opened(root);
        self.try_to_write(ctx);
        self.dialogs.open_next(frame);
        let chosen = self.dialogs.take();
        self.actions.extend(chosen);
        self.carry_out(ctx);
        if self.state.pictures.upload(ctx) {
            ctx.request_repaint();
        }
        if let Some(secs) = self.client.ask(&mut self.state) {
            ctx.request_repaint_after_secs(secs as f32);
        }
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut Frame) {
        let ctx = ui.ctx().clone();
        self.frames += 1;
        if self.frames == 2 {
            self.start();
        } else if self.frames < 2 {
            ctx.request_repaint();
        }
        let is_modal = self.command_palette.is_open();
        if !is_modal && let Some(id) = commands::pressed(&ctx, self.front) {
            self.actions.push(Action::Command(id));
        }
        self.take_drops(&ctx);
        self.draw(ui);
        let let_go = ctx.input(|i| i.pointer.any_released());
        self.carry_out(&ctx);
        if let_go {
            self.history.end_gesture();
        }
        self.save_recipe_when_idle(&ctx);
        // What was wanted while drawing is asked now, not a frame later.
        if let Some(secs) = self.client.ask(&mut self.state) {
            ctx.request_repaint_after_secs(secs as f32);
        }
    }

    fn save(&mut self, storage: &mut dyn Storage) {
        let unsaved = self.has_unsaved_recipe().then(|| self.state.recipe.edited.to_ron().ok()).flatten();
        self.session.unsaved_recipe = unsaved;
        self.session.licences = self.state.licences.clone();
        self.session.device = self.state.device.clone();
        self.session.rater = self.panes.pairs.rater().to_owned();
        // The command line knows them too.
        if let Err(error) = terms::confirm(self.session.licences.iter().cloned()) {
            self.state.log.note(self.state.now_secs, Level::Warning, error.to_string());
        }
        self.session.cell_points = self.panes.seeds.chosen_cell_points();
        self.session.save(storage);
        layout::save(&self.tree, storage);
    }

    fn persist_egui_memory(&self) -> bool {
        false
    }
}

/// egui's name of a theme.
pub(super) fn theme_of(is_dark: bool) -> egui::Theme {
    if is_dark { egui::Theme::Dark } else { egui::Theme::Light }
}

/// While files hang over the window, says what dropping them does.
fn drop_hint(ctx: &Context) {
    if ctx.input(|i| i.raw.hovered_files.is_empty()) {
        return;
    }
    let screen = ctx.content_rect();
    let painter = ctx.layer_painter(egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop hint")));
    let palette = theme::of(ctx.theme() == egui::Theme::Dark);
    painter.rect_filled(screen, 0.0, palette.scrim);
    let font = theme::strong(22.0);
    let text = "Drop images, folders, or tables of scores and verdicts";
    painter.text(screen.center(), egui::Align2::CENTER_CENTER, text, font, palette.on_scrim);
}
