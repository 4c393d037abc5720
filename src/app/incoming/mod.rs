//! The window in which it is said what comes in: images to add, or candidates of another model; with what was recognised of them
//! before anything is written.

mod candidates;
mod found;
mod images;

use std::path::PathBuf;

use egui::{Context, Label, RichText, ScrollArea, Ui, vec2};

use super::actions::Action;
use super::state::State;
use super::theme::{self, space};
use super::widgets;
use crate::engine::previews::Incoming;
use crate::engine::protocol::{AddImages, Job};
use candidates::CandidatesForm;
use found::Found;

/// What is typed is looked at after this long without another change.
const ASK_AFTER_SECS: f64 = 0.25;
/// Width of the labels of rows.
const LABEL: f32 = 92.0;

/// The window: closed, or with a request that is being filled in.
#[derive(Default)]
pub struct IncomingWindow {
    is_open: bool,
    is_candidates: bool,
    images: AddImages,
    /// The recipe's, where none is chosen.
    degradation: String,
    candidates: CandidatesForm,
    found: Found,
    /// What is to be looked at, and when it was first so.
    changed: Option<(Incoming, f64)>,
    asked: Option<Incoming>,
}

impl IncomingWindow {
    /// Opens it for files and folders, or adds them to those it is open for.
    pub fn open_images(&mut self, paths: Vec<PathBuf>, state: &State) {
        if !self.is_open {
            let data = &state.recipe.edited.data;
            *self = Self::default();
            self.degradation.clone_from(&data.degradation);
            self.images = AddImages { crop_px: data.crop_px, crops: 1, ..AddImages::default() };
        }
        if let [folder] = paths.as_slice()
            && self.candidates.dir.text.is_empty()
        {
            self.candidates.set_dir(folder, state);
        }
        self.is_open = true;
        self.images.paths.extend(paths);
    }

    /// Opens it for a folder of candidates.
    pub fn open_candidates(&mut self, dir: PathBuf, state: &State) {
        self.open_images(vec![dir.clone()], state);
        self.candidates.set_dir(&dir, state);
        self.is_candidates = true;
    }

    /// The folder of LR or HR images that was chosen in a dialog.
    pub fn set_side(&mut self, path: PathBuf, is_hr: bool) {
        self.candidates.set_side(path, is_hr);
    }

    /// Draws it if it is open.
    pub fn show(&mut self, ctx: &Context, state: &mut State, actions: &mut Vec<Action>) {
        if !self.is_open {
            return;
        }
        let mut done = false;
        let modal = widgets::modal(ctx, "incoming").show(ctx, |ui| {
            let room = ctx.content_rect().size() - vec2(96.0, 120.0);
            let size = vec2(960.0_f32.min(room.x), 540.0_f32.min(room.y));
            ui.set_width(size.x);
            ui.horizontal(|ui| {
                ui.heading("Bring in");
                ui.add_space(space::M);
                let is_one = self.images.paths.len() <= 1;
                ui.selectable_value(&mut self.is_candidates, false, "Images").on_hover_text("LR, HR or both, to work on");
                ui.add_enabled_ui(is_one, |ui| {
                    let hint = "SR pictures that another model made, of several seeds: scored, paired and compared like your own";
                    ui.selectable_value(&mut self.is_candidates, true, "Candidates of another model").on_hover_text(hint);
                });
            });
            ui.add_space(space::S);
            ui.allocate_ui(vec2(size.x, size.y - 90.0), |ui| {
                ui.horizontal_top(|ui| {
                    let left = (size.x * 0.46).round();
                    ui.allocate_ui(vec2(left, size.y - 90.0), |ui| {
                        ui.vertical(|ui| {
                            ui.set_width(left);
                            ScrollArea::vertical().id_salt("incoming options").max_height(size.y - 90.0).show(ui, |ui| {
                                match self.is_candidates {
                                    true => self.candidates.ui(ui, actions),
                                    false => {
                                        paths_ui(ui, &self.images.paths);
                                        images::options_ui(ui, &mut self.images, &self.degradation);
                                    }
                                }
                            });
                        });
                    });
                    ui.separator();
                    ui.vertical(|ui| {
                        ui.set_min_size(vec2(ui.available_width(), size.y - 90.0));
                        self.found.ui(ui, state, &self.request(), self.asked.is_some());
                    });
                });
            });
            ui.add_space(space::S);
            done = self.buttons_ui(ui, actions);
        });
        if done || modal.should_close() {
            *self = Self::default();
            state.preview = None;
            return;
        }
        self.ask(ctx, state);
    }

    fn request(&self) -> Incoming {
        match self.is_candidates {
            true => Incoming::Candidates(self.candidates.request()),
            false => Incoming::Images(self.images.clone()),
        }
    }

    fn buttons_ui(&self, ui: &mut Ui, actions: &mut Vec<Action>) -> bool {
        let fault = if self.is_candidates { self.candidates.fault() } else { None };
        let mut done = false;
        ui.horizontal(|ui| {
            let word = if self.is_candidates { "Import" } else { "Add to the workspace" };
            ui.add_enabled_ui(fault.is_none(), |ui| {
                if widgets::primary_button(ui, word).clicked() {
                    actions.push(match self.is_candidates {
                        true => Action::Start(Job::ImportCandidates(self.candidates.request())),
                        false => Action::Add(self.images.clone()),
                    });
                    done = true;
                }
            });
            done |= ui.button("Cancel").clicked();
            if let Some(fault) = fault {
                ui.label(RichText::new(fault).color(theme::palette(ui).text_weak));
            }
        });
        done
    }

    /// Asks what is there, once nothing changes any more.
    fn ask(&mut self, ctx: &Context, state: &mut State) {
        let request = self.request();
        if self.asked.as_ref() == Some(&request) {
            return;
        }
        let is_first = self.asked.is_none() && self.changed.is_none();
        match &self.changed {
            Some((known, since)) if *known == request => {
                let wait = since + ASK_AFTER_SECS - state.now_secs;
                if wait > 0.0 {
                    return ctx.request_repaint_after_secs(wait as f32);
                }
            }
            _ if !is_first => {
                self.changed = Some((request, state.now_secs));
                return ctx.request_repaint_after_secs(ASK_AFTER_SECS as f32);
            }
            _ => {}
        }
        state.wants.preview = Some(Box::new(request.clone()));
        (self.asked, self.changed) = (Some(request), None);
        ctx.request_repaint();
    }
}

/// A row of the form: a label of the same width everywhere, and what belongs to it beside.
fn row(ui: &mut Ui, label: &str, contents: impl FnOnce(&mut Ui)) {
    ui.horizontal_top(|ui| {
        let height = ui.spacing().interact_size.y;
        ui.allocate_ui_with_layout(vec2(LABEL, height), egui::Layout::left_to_right(egui::Align::Center), |ui| {
            ui.set_min_width(LABEL);
            ui.label(RichText::new(label).color(theme::palette(ui).text_weak));
        });
        ui.vertical(contents);
    });
    ui.add_space(space::XS);
}

fn paths_ui(ui: &mut Ui, paths: &[PathBuf]) {
    const NAMED: usize = 3;
    row(ui, "From", |ui| {
        for path in paths.iter().take(NAMED) {
            ui.add(Label::new(path.display().to_string()).truncate());
        }
        if paths.len() > NAMED {
            ui.weak(format!("and {} more", paths.len() - NAMED));
        }
    });
}
