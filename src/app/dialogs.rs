//! File dialogs that never hold up drawing: what was chosen comes back as an action, some frames later. Where the system opens none,
//! a window asks for the path.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rfd::{AsyncFileDialog, FileHandle};

use super::actions::Action;
use super::path_field::Wanted;
use super::path_window::{Kind, PathWindow};
use crate::engine::protocol::{Compared, Job, PairsLayout, TableOf};
use crate::imaging::decode;
use crate::report::Format;
use crate::report::table::Form;

/// A dialog that is not there after this long does not come.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a dialog is opened for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Images to add, several files.
    Images,
    /// A folder of images to add.
    ImageFolder,
    /// A folder of another model's candidates.
    Candidates,
    /// A folder of LR or HR images for these.
    CandidatesSide {
        is_hr: bool,
    },
    /// Scores or verdicts, as CSV or JSON lines.
    ImportTable,
    /// A file for the window that checks a model: an adapter, or a photograph.
    ModelFile {
        is_adapter: bool,
    },
    OpenWorkspace,
    NewWorkspace,
    LoadRecipe,
    SaveRecipe,
    ExportPairs(PairsLayout),
    ExportTable(TableOf),
    /// The weights of this checkpoint.
    ExportWeights {
        checkpoint: String,
    },
    ExportComparison {
        compared: Arc<Compared>,
        format: Format,
    },
}

/// What is chosen in a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Files,
    File,
    Folder,
    /// A folder to write into.
    NewFolder,
    Save,
}

/// How a dialog looks.
struct Look {
    title: String,
    choice: Choice,
    /// Name of the files that can be chosen, and their endings.
    filter: Option<(&'static str, &'static [&'static str])>,
    /// The name that is proposed for what is saved.
    name: String,
}

const WEIGHTS: &[&str] = &["safetensors", "pth", "json"];
const TABLES: &[&str] = &["csv", "jsonl"];

impl Ask {
    fn look(&self) -> Look {
        let images: Option<(_, &'static [&'static str])> = Some(("Images", &decode::EXTENSIONS));
        let (title, choice, filter) = match self {
            Ask::Images => ("Add images", Choice::Files, images),
            Ask::ImageFolder => ("Add a folder of images", Choice::Folder, None),
            Ask::Candidates => ("A folder of another model's candidates", Choice::Folder, None),
            Ask::CandidatesSide { is_hr: false } => ("The folder of their LR images", Choice::Folder, None),
            Ask::CandidatesSide { is_hr: true } => ("The folder of their HR images", Choice::Folder, None),
            Ask::ImportTable => ("Scores or verdicts", Choice::File, Some(("Tables", TABLES))),
            Ask::ModelFile { is_adapter: true } => ("A ControlNet", Choice::File, Some(("Weights", WEIGHTS))),
            Ask::ModelFile { is_adapter: false } => ("A photograph", Choice::File, images),
            Ask::OpenWorkspace => ("Open a workspace", Choice::Folder, None),
            Ask::NewWorkspace => ("An empty folder for the new workspace", Choice::NewFolder, None),
            Ask::LoadRecipe => ("Load a recipe", Choice::File, Some(("Recipe", &["ron"][..]))),
            Ask::SaveRecipe => ("Save the recipe", Choice::Save, Some(("Recipe", &["ron"][..]))),
            Ask::ExportPairs(_) => ("A folder for the pairs", Choice::NewFolder, None),
            Ask::ExportTable(_) => ("Export a table", Choice::Save, Some(("Tables", Form::WORDS))),
            Ask::ExportWeights { .. } => ("Export weights", Choice::Save, Some(("Weights", &["safetensors"][..]))),
            Ask::ExportComparison { format, .. } => (format.title(), Choice::Save, None),
        };
        let name = match self {
            Ask::SaveRecipe => "recipe.ron".to_owned(),
            Ask::ExportTable(TableOf::Run(run)) => format!("{run}.csv"),
            Ask::ExportTable(of) => format!("{}.csv", of.title()),
            Ask::ExportWeights { checkpoint } => format!("{checkpoint}.safetensors"),
            Ask::ExportComparison { compared, format } => format.file_name(&compared.report.comparison),
            _ => String::new(),
        };
        Look { title: title.trim_end_matches('…').to_owned(), choice, filter, name }
    }

    /// What is to be done with what was chosen.
    fn then(self, paths: Vec<PathBuf>) -> Vec<Action> {
        let Some(path) = paths.first().cloned() else { return Vec::new() };
        vec![match self {
            Ask::Images | Ask::ImageFolder => Action::OfferToAdd(paths),
            Ask::Candidates => Action::OfferCandidates(path),
            Ask::CandidatesSide { is_hr } => Action::CandidatesSide { path, is_hr },
            Ask::ImportTable => Action::Start(Job::ImportTable { path }),
            Ask::ModelFile { is_adapter } => Action::ModelFile { path, is_adapter },
            Ask::OpenWorkspace => Action::OpenWorkspace(path),
            Ask::NewWorkspace => Action::CreateWorkspace { dir: path, example: false },
            Ask::LoadRecipe => Action::LoadRecipe(path),
            Ask::SaveRecipe => Action::SaveRecipe(path),
            Ask::ExportPairs(layout) => {
                Action::Start(Job::ExportPairs { dir: path, layout, allow_partial: false, overwrite: false })
            }
            // Whoever chose the file has been asked before it is replaced.
            Ask::ExportTable(of) => {
                let path = with_extension(path, "csv");
                let form = Form::of_name(&path);
                Action::Start(Job::ExportTable { of, form, path, overwrite: true })
            }
            Ask::ExportWeights { checkpoint } => {
                let (path, form) = (with_extension(path, "safetensors"), Default::default());
                Action::Start(Job::ExportWeights { checkpoint, path, form, overwrite: true })
            }
            Ask::ExportComparison { compared, format } => {
                let path = with_extension(path, format.extension());
                Action::Start(Job::ExportComparison { compared, format, path })
            }
        }]
    }
}

/// The dialog that is open, or the window in its place.
pub struct Dialogs {
    sender: Sender<(u64, Option<Vec<PathBuf>>)>,
    chosen: Receiver<(u64, Option<Vec<PathBuf>>)>,
    ctx: egui::Context,
    /// What is to be asked in the next frame, when the window that it belongs to is at hand.
    next: Option<Ask>,
    open: Option<Open>,
    window: PathWindow,
    number: u64,
    /// Where the window begins.
    folder: PathBuf,
    /// What the next dialog is answered with instead of being opened.
    answer: Option<PathBuf>,
    /// No dialog of the system is tried.
    asks_for_paths: bool,
}

/// A question that was asked.
struct Open {
    number: u64,
    ask: Ask,
    since: Instant,
}

impl Dialogs {
    /// No dialog is open. With `asks_for_paths` the window is used without trying one of the system.
    pub fn new(ctx: &egui::Context, asks_for_paths: bool) -> Self {
        let (sender, chosen) = channel();
        let folder = std::env::current_dir().unwrap_or_default();
        let window = PathWindow::default();
        let ctx = ctx.clone();
        Self { sender, chosen, ctx, next: None, open: None, window, number: 0, folder, answer: None, asks_for_paths }
    }

    /// Asks, in the next frame. A question that has not been answered is dropped for it.
    pub fn open(&mut self, ask: Ask) {
        self.next = Some(ask);
        self.ctx.request_repaint();
    }

    /// Opens what was asked for. It must be made on this thread, for the window that `frame` is of; it is waited for on another.
    pub fn open_next(&mut self, frame: &eframe::Frame) {
        let Some(ask) = self.next.take() else { return };
        self.number += 1;
        let (number, sender) = (self.number, self.sender.clone());
        self.open = Some(Open { number, ask: ask.clone(), since: Instant::now() });
        if let Some(path) = self.answer.take() {
            let _ = sender.send((number, Some(vec![path])));
            self.ctx.request_repaint();
        } else if self.asks_for_paths || !self.try_system(frame, ask.look(), number) {
            self.ask_for_path();
        } else {
            self.window.close();
            self.ctx.request_repaint_after(PATIENCE);
        }
    }

    /// Opens a dialog of the system; false if it cannot be waited for.
    fn try_system(&self, frame: &eframe::Frame, look: Look, number: u64) -> bool {
        let mut dialog = AsyncFileDialog::new().set_title(&look.title).set_parent(frame);
        if let Some((name, endings)) = look.filter {
            dialog = dialog.add_filter(name, endings);
        }
        match look.choice {
            Choice::Files => self.wait(number, dialog.pick_files(), |files| files.iter().map(path).collect()),
            Choice::File => self.wait(number, dialog.pick_file(), |file| vec![path(&file)]),
            Choice::Folder | Choice::NewFolder => self.wait(number, dialog.pick_folder(), |dir| vec![path(&dir)]),
            Choice::Save => self.wait(number, dialog.set_file_name(look.name).save_file(), |file| vec![path(&file)]),
        }
    }

    fn wait<T: 'static>(
        &self,
        number: u64,
        dialog: impl Future<Output = Option<T>> + Send + 'static,
        paths: impl FnOnce(T) -> Vec<PathBuf> + Send + 'static,
    ) -> bool {
        let (sender, ctx) = (self.sender.clone(), self.ctx.clone());
        let waiting = std::thread::Builder::new().name("dialog".into()).spawn(move || {
            // Fails only when the window was closed meanwhile.
            let _ = sender.send((number, block_on(dialog).map(paths)));
            ctx.request_repaint();
        });
        waiting.is_ok()
    }

    /// Opens the window for what is asked.
    fn ask_for_path(&mut self) {
        let Some(open) = &self.open else { return };
        let look = open.ask.look();
        let endings = look.filter.map_or(&[][..], |(_, endings)| endings);
        let kind = match look.choice {
            Choice::Files => Kind::Several(endings),
            Choice::File => Kind::Existing(Wanted::File(endings)),
            Choice::Folder => Kind::Existing(Wanted::Folder),
            Choice::NewFolder | Choice::Save => Kind::New(look.name),
        };
        self.window.open(&look.title, kind, &self.folder);
    }

    /// Draws the window that stands in for a dialog, if it is open.
    pub fn show(&mut self, ctx: &egui::Context) -> Vec<Action> {
        match self.window.show(ctx) {
            None => Vec::new(),
            Some(paths) if paths.is_empty() => {
                self.open = None;
                Vec::new()
            }
            Some(paths) => self.answered(paths),
        }
    }

    /// Answers the next dialog with a path instead of opening it.
    pub fn answer_next(&mut self, path: PathBuf) {
        self.answer = Some(path);
    }

    /// egui's context, to wake it and to name the window.
    pub fn context(&self) -> &egui::Context {
        &self.ctx
    }

    /// What was chosen since the last frame. Where no dialog came, the window opens: an answer of nothing at once is none of a person,
    /// nor is there a dialog while this window keeps the keyboard.
    pub fn take(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        let answers: Vec<_> = self.chosen.try_iter().collect();
        for (number, chosen) in answers {
            let Some(open) = self.open.as_ref().filter(|open| open.number == number) else { continue };
            let is_at_once = open.since.elapsed() < PATIENCE;
            match chosen {
                Some(paths) => {
                    self.window.close();
                    actions.extend(self.answered(paths));
                }
                None if self.window.is_open() => {}
                None if is_at_once => self.ask_for_path(),
                None => self.open = None,
            }
        }
        let has_keyboard = self.ctx.input(|input| input.viewport().focused.unwrap_or(true));
        let is_late = self.open.as_ref().is_some_and(|open| open.since.elapsed() >= PATIENCE);
        if is_late && has_keyboard && !self.window.is_open() {
            self.ask_for_path();
        }
        actions
    }

    fn answered(&mut self, paths: Vec<PathBuf>) -> Vec<Action> {
        let Some(Open { ask, .. }) = self.open.take() else { return Vec::new() };
        if let Some(folder) = paths.first().and_then(|path| path.parent()).filter(|dir| *dir != Path::new("")) {
            self.folder = folder.to_owned();
        }
        ask.then(paths)
    }
}

/// The path with an extension, where a person typed none.
fn with_extension(path: PathBuf, extension: &str) -> PathBuf {
    if path.extension().is_some() { path } else { path.with_extension(extension) }
}

fn path(handle: &FileHandle) -> PathBuf {
    handle.path().to_owned()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
