//! Native file dialogs that never hold up drawing: what was chosen comes back as an action, some frames later.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use rfd::{AsyncFileDialog, FileHandle};

use super::actions::Action;
use crate::engine::protocol::{Compared, Job};
use crate::imaging::decode;
use crate::report::Format;

/// What a dialog is opened for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Images to add, several files.
    Images,
    /// A folder of images to add.
    ImageFolder,
    /// A file for the window that checks a model: an adapter, or a photograph.
    ModelFile {
        is_adapter: bool,
    },
    OpenWorkspace,
    NewWorkspace,
    LoadRecipe,
    SaveRecipe,
    ExportPairs,
    /// The weights of this checkpoint.
    ExportWeights {
        checkpoint: String,
    },
    ExportComparison {
        compared: Arc<Compared>,
        format: Format,
    },
}

/// Dialogs that are open, and what was chosen in them.
pub struct Dialogs {
    sender: Sender<Vec<Action>>,
    chosen: Receiver<Vec<Action>>,
    ctx: egui::Context,
    /// A second dialog does not open on top of the first.
    is_open: bool,
    /// What the next dialog is answered with instead of being opened.
    answer: Option<PathBuf>,
}

impl Dialogs {
    /// No dialog is open.
    pub fn new(ctx: &egui::Context) -> Self {
        let (sender, chosen) = channel();
        Self { sender, chosen, ctx: ctx.clone(), is_open: false, answer: None }
    }

    /// Opens a dialog. It must be made on this thread; it is waited for on another.
    pub fn open(&mut self, ask: Ask) {
        if std::mem::replace(&mut self.is_open, true) {
            return;
        }
        let dialog = AsyncFileDialog::new();
        match ask {
            Ask::Images => {
                let files = dialog.set_title("Add images").add_filter("Images", &decode::EXTENSIONS).pick_files();
                self.wait(files, |files| vec![Action::OfferToAdd(files.iter().map(path).collect())]);
            }
            Ask::ImageFolder => {
                let folder = dialog.set_title("Add a folder of images").pick_folder();
                self.wait(folder, |dir| vec![Action::OfferToAdd(vec![path(&dir)])]);
            }
            Ask::ModelFile { is_adapter } => {
                let (title, name, ends): (_, _, &[&str]) = match is_adapter {
                    true => ("A ControlNet", "Weights", &["safetensors", "pth", "json"]),
                    false => ("A photograph", "Images", &decode::EXTENSIONS),
                };
                let file = dialog.set_title(title).add_filter(name, ends).pick_file();
                self.wait(file, move |file| vec![Action::ModelFile { path: path(&file), is_adapter }]);
            }
            Ask::OpenWorkspace => {
                let folder = dialog.set_title("Open a workspace").pick_folder();
                self.wait(folder, |dir| vec![Action::OpenWorkspace(path(&dir))]);
            }
            Ask::NewWorkspace => {
                let folder = dialog.set_title("An empty folder for the new workspace").pick_folder();
                self.wait(folder, |dir| vec![Action::CreateWorkspace { dir: path(&dir), example: false }]);
            }
            Ask::LoadRecipe => {
                let file = dialog.set_title("Load a recipe").add_filter("Recipe", &["ron"]).pick_file();
                self.wait(file, |file| vec![Action::LoadRecipe(path(&file))]);
            }
            Ask::SaveRecipe => {
                let dialog = dialog.set_title("Save the recipe").add_filter("Recipe", &["ron"]);
                let file = dialog.set_file_name("recipe.ron").save_file();
                self.wait(file, |file| vec![Action::SaveRecipe(path(&file))]);
            }
            Ask::ExportPairs => {
                let folder = dialog.set_title("A folder for the pairs").pick_folder();
                self.wait(folder, |dir| {
                    let dir = path(&dir);
                    vec![Action::Start(Job::ExportPairs {
                        dir,
                        layout: Default::default(),
                        allow_partial: false,
                        overwrite: false,
                    })]
                });
            }
            Ask::ExportWeights { checkpoint } => {
                let dialog = dialog.set_title("Export weights").add_filter("Weights", &["safetensors"]);
                let file = dialog.set_file_name(format!("{checkpoint}.safetensors")).save_file();
                // The dialog has asked before it replaces a file.
                self.wait(file, |file| {
                    let path = with_extension(path(&file), "safetensors");
                    let form = Default::default();
                    vec![Action::Start(Job::ExportWeights { checkpoint, path, form, overwrite: true })]
                });
            }
            Ask::ExportComparison { compared, format } => {
                if let Some(path) = self.answer.take() {
                    let _ = self.sender.send(vec![Action::Start(Job::ExportComparison { compared, format, path })]);
                    self.ctx.request_repaint();
                    return;
                }
                let dialog = dialog.set_title(format.title().trim_end_matches('…'));
                let dialog = dialog.add_filter(format.title().trim_end_matches('…'), &[format.extension()]);
                let file = dialog.set_file_name(format.file_name(&compared.report.comparison)).save_file();
                self.wait(file, move |file| {
                    let path = with_extension(path(&file), format.extension());
                    vec![Action::Start(Job::ExportComparison { compared, format, path })]
                });
            }
        }
    }

    fn wait<T: 'static>(
        &mut self,
        dialog: impl Future<Output = Option<T>> + Send + 'static,
        then: impl FnOnce(T) -> Vec<Action> + Send + 'static,
    ) {
        let (sender, ctx) = (self.sender.clone(), self.ctx.clone());
        let waiting = std::thread::Builder::new().name("dialog".into()).spawn(move || {
            let actions = block_on(dialog).map(then).unwrap_or_default();
            // Fails only when the window was closed meanwhile.
            let _ = sender.send(actions);
            ctx.request_repaint();
        });
        self.is_open = waiting.is_ok();
    }

    /// Answers the next dialog that asks where to save.
    pub fn answer_next(&mut self, path: PathBuf) {
        self.answer = Some(path);
    }

    /// egui's context, to wake it and to name the window.
    pub fn context(&self) -> &egui::Context {
        &self.ctx
    }

    /// What was chosen since the last frame.
    pub fn take(&mut self) -> Vec<Action> {
        let chosen: Vec<Vec<Action>> = self.chosen.try_iter().collect();
        self.is_open &= chosen.is_empty();
        chosen.into_iter().flatten().collect()
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
