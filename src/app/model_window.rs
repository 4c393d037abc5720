//! The window that looks whether a backbone's files do what they should: a job like any other, its findings below.

use std::path::PathBuf;

use egui::{ComboBox, Context, DragValue, Grid, Label, RichText, ScrollArea, Ui};

use super::actions::Action;
use super::dialogs::Ask;
use super::state::State;
use super::state::jobs::{JobEntry, Kind};
use super::theme::{self, space};
use super::widgets;
use crate::backbones::registry;
use crate::engine::protocol::{CheckModel, Finding, Job, Mark};
use crate::method::presets;

/// Files of adapters that are compared at the most.
const ADAPTERS: usize = 2;

/// The window: closed, or with a request that is being filled in.
#[derive(Debug, Default)]
pub struct ModelWindow {
    is_open: bool,
    backbone: String,
    picture: Option<PathBuf>,
    adapters: Vec<PathBuf>,
    prompt: String,
    seeds: usize,
    steps: usize,
    fault: Option<String>,
}

impl ModelWindow {
    /// Opens it for the recipe's backbone.
    pub fn open(&mut self, state: &State) {
        self.is_open = true;
        self.backbone.clone_from(&state.recipe.edited.sampling.backbone);
        self.seeds = self.seeds.max(4);
        self.steps = state.recipe.edited.sampling.steps;
    }

    /// A file that was chosen in a dialog.
    pub fn chosen(&mut self, file: PathBuf, is_adapter: bool) {
        if !is_adapter {
            self.picture = Some(file);
        } else if self.adapters.len() < ADAPTERS {
            self.adapters.push(file);
        }
    }

    /// Draws it if it is open.
    pub fn show(&mut self, ctx: &Context, state: &State, actions: &mut Vec<Action>) {
        if !self.is_open {
            return;
        }
        let running = state.jobs.active().find(|job| job.kind == Kind::CheckModel);
        let modal = widgets::modal(ctx, "check model").show(ctx, |ui| {
            ui.set_width(720.0_f32.min(ctx.content_rect().width() - 80.0));
            ui.heading("Check a model");
            let text = "Compares the names in its files with those of the network, gives a photograph to its encoder and decoder, \
                        looks how well it predicts noise with and without its ControlNet, and of two ControlNets which is rewarded \
                        more.";
            ui.add(Label::new(RichText::new(text).color(theme::palette(ui).text_weak)).wrap());
            ui.add_space(space::S);
            ui.add_enabled_ui(running.is_none(), |ui| self.options_ui(ui, state, actions));
            ui.add_space(space::S);
            let height = ctx.content_rect().height() - 420.0;
            findings_ui(ui, state, height.max(120.0));
            ui.add_space(space::M);
            self.buttons_ui(ui, state, running, actions)
        });
        if modal.inner || modal.should_close() {
            self.is_open = false;
        }
    }

    fn options_ui(&mut self, ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
        Grid::new("model options").num_columns(2).spacing([space::L, space::S]).show(ui, |ui| {
            ui.label("Backbone");
            ComboBox::from_id_salt("backbone").selected_text(&self.backbone).show_ui(ui, |ui| {
                for card in registry::cards() {
                    let chosen = ui.selectable_value(&mut self.backbone, card.name.to_owned(), card.name);
                    if let Some(paper) = chosen.clicked().then(|| presets::of_backbone(card.name).ok()).flatten() {
                        self.steps = paper.sampling.steps;
                    }
                }
            });
            ui.end_row();
            ui.label("Photograph");
            ui.horizontal(|ui| {
                if ui.button("Choose…").clicked() {
                    actions.push(Action::Ask(Ask::ModelFile { is_adapter: false }));
                }
                let shown = self.picture.as_ref().map(|path| path.display().to_string());
                ui.add(
                    Label::new(shown.unwrap_or_else(|| "one of those that come with the program".into())).truncate(),
                );
            });
            ui.end_row();
            ui.label("ControlNets").on_hover_text("Files of the adapter; of two the second should be rewarded more");
            ui.vertical(|ui| {
                let mut gone = None;
                for (index, path) in self.adapters.iter().enumerate() {
                    ui.horizontal(|ui| {
                        let remove = ui.small_button("✕");
                        widgets::name(&remove, egui::accesskit::Role::Button, "Leaves the file out");
                        if remove.clicked() {
                            gone = Some(index);
                        }
                        ui.add(Label::new(path.display().to_string()).truncate());
                    });
                }
                if let Some(index) = gone {
                    self.adapters.remove(index);
                }
                if self.adapters.len() < ADAPTERS && ui.button("Add a file…").clicked() {
                    actions.push(Action::Ask(Ask::ModelFile { is_adapter: true }));
                }
            });
            ui.end_row();
            if registry::card_of(&self.backbone).is_ok_and(|card| card.prompt) {
                ui.label("Prompt");
                let text = egui::TextEdit::singleline(&mut self.prompt).hint_text("What is to be seen");
                let response = ui.add(text.desired_width(f32::INFINITY));
                widgets::name(&response, egui::accesskit::Role::TextInput, "Prompt of the photograph");
                ui.end_row();
            }
            if self.adapters.len() == ADAPTERS {
                ui.label("Seeds");
                let most = state.recipe.edited.sampling.m.max(1);
                ui.add(DragValue::new(&mut self.seeds).range(1..=most))
                    .on_hover_text("Outputs of each that are rewarded");
                ui.end_row();
                ui.label("Steps");
                ui.add(DragValue::new(&mut self.steps).range(1..=1000))
                    .on_hover_text("Steps of each from noise to picture; without a GPU fewer are quicker");
                ui.end_row();
            }
        });
    }

    fn buttons_ui(
        &mut self,
        ui: &mut Ui,
        state: &State,
        running: Option<&JobEntry>,
        actions: &mut Vec<Action>,
    ) -> bool {
        ui.horizontal(|ui| {
            match running {
                Some(job) => {
                    if ui.button("Cancel").clicked() {
                        actions.push(Action::CancelJob(job.id));
                    }
                    let (p, progress) = (theme::palette(ui), job.progress.as_ref());
                    let share = progress.map_or(0.0, |progress| progress.share());
                    widgets::bar(ui, egui::vec2(180.0, 6.0), share as f32, p.accent);
                    let stage = progress.map_or("waiting".into(), |p| format!("{} {}/{}", p.stage, p.done, p.total));
                    ui.label(RichText::new(stage).color(p.text_weak));
                }
                None => {
                    if widgets::primary_button(ui, "Check").clicked() {
                        match self.request(state) {
                            Ok(request) => actions.push(Action::Start(Job::CheckModel(request))),
                            Err(error) => self.fault = Some(error.to_string()),
                        }
                    }
                }
            }
            if let Some(fault) = &self.fault {
                ui.add(Label::new(RichText::new(fault).small().color(theme::palette(ui).error)).truncate());
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| ui.button("Close").clicked()).inner
        })
        .inner
    }

    /// What is to be looked at: the backbone as the recipe samples it, or as its paper does.
    fn request(&self, state: &State) -> crate::Result<CheckModel> {
        let edited = &state.recipe.edited;
        let is_edited = edited.sampling.backbone == self.backbone;
        let mut recipe = if is_edited { edited.clone() } else { presets::of_backbone(&self.backbone)? };
        recipe.sampling.steps = self.steps;
        let (adapters, prompt) = (self.adapters.clone(), self.prompt.clone());
        Ok(CheckModel { picture: self.picture.clone(), adapters, prompt, seeds: self.seeds, recipe: Box::new(recipe) })
    }
}

fn findings_ui(ui: &mut Ui, state: &State, height: f32) {
    let Some(check) = &state.model_check else { return };
    ui.separator();
    // Scrolled only where the window has no more room: what it had before findings were there does not count.
    let area = ScrollArea::vertical().max_height(height).min_scrolled_height(height);
    area.auto_shrink([false, true]).show(ui, |ui| {
        ui.set_width(ui.available_width() - 8.0);
        check.findings.iter().for_each(|finding| finding_ui(ui, finding));
    });
}

fn finding_ui(ui: &mut Ui, finding: &Finding) {
    let p = theme::palette(ui);
    let (sign, color) = match finding.mark {
        Mark::Good => ("✓", p.winner),
        Mark::Bad => ("✗", p.error),
        Mark::Said => ("·", p.text_faint),
    };
    ui.horizontal_top(|ui| {
        for (text, width) in
            [(RichText::new(sign).color(color), 14.0), (RichText::new(&finding.what).color(p.text_weak), 128.0)]
        {
            ui.allocate_ui(egui::vec2(width, 0.0), |ui| {
                ui.set_min_width(width);
                ui.add(Label::new(text))
            });
        }
        ui.add(
            Label::new(RichText::new(&finding.text).color(if finding.mark == Mark::Bad { p.error } else { p.text }))
                .wrap(),
        );
    });
}
