//! The window of published weights: what is there, what is missing, and how to get it.

use std::sync::Arc;

use egui::accesskit::Role;
use egui::{Align2, Context, Label, RichText, ScrollArea, Sense, TextStyle, Ui, vec2};

use super::state::State;
use super::theme::{self, space};
use super::widgets;
use crate::weights::report::Standing;
use crate::weights::{Part, PartReport};

/// The window: closed or open.
#[derive(Debug, Default)]
pub struct WeightsWindow {
    is_open: bool,
    /// Only what is not there.
    only_missing: bool,
}

impl WeightsWindow {
    /// Opens it; what it shows is asked for anew.
    pub fn open(&mut self, state: &mut State) {
        self.is_open = true;
        state.wants.weights = true;
    }

    /// Draws it if it is open.
    pub fn show(&mut self, ctx: &Context, state: &mut State) {
        if !self.is_open {
            return;
        }
        let parts = state.weights.clone();
        let modal = widgets::modal(ctx, "weights").show(ctx, |ui| {
            ui.set_width(720.0_f32.min(ctx.content_rect().width() - 80.0));
            ui.heading("Published weights");
            let p = theme::palette(ui);
            let text = "What backbones and learned metrics are made of. Beside what is compiled in the program brings none of it along and downloads \
                        nothing: get a file, then add it with `dp2o-studio weights add FILE`, or start with --weights DIR. \
                        What is missing was looked for there, in DP2O_WEIGHTS, the workspace, the data directory and the \
                        Hugging Face cache; Copy says where exactly.";
            ui.add(Label::new(RichText::new(text).color(p.text_weak)).wrap());
            ui.add_space(space::S);
            let Some(parts) = parts else {
                ui.weak("Looking …");
                return false;
            };
            let height = ctx.content_rect().height() - 240.0;
            ScrollArea::vertical().max_height(height).auto_shrink([false, true]).show(ui, |ui| {
                // Beside the bar, not under it.
                ui.set_width(ui.available_width() - 8.0);
                let shown = parts.iter().filter(|part| !self.only_missing || !part.state.is_usable());
                shown.for_each(|part| part_ui(ui, part));
            });
            ui.add_space(space::M);
            ui.horizontal(|ui| {
                let here = parts.iter().filter(|part| part.state.is_usable()).count();
                ui.checkbox(&mut self.only_missing, "Only what is not there");
                state.wants.weights |= ui.button("Look again").clicked();
                ui.weak(format!("{here} of {} there", parts.len()));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| ui.button("Close").clicked()).inner
            })
            .inner
        });
        if modal.inner || modal.should_close() {
            self.is_open = false;
        }
    }
}

/// One part: how it stands, and below that where it is or how to get it.
fn part_ui(ui: &mut Ui, part: &PartReport) {
    let p = theme::palette(ui);
    let color = match part.state {
        Standing::Here | Standing::CompiledIn => p.text_weak,
        Standing::Unverified => p.warning,
        Standing::Missing => p.text_faint,
    };
    ui.add_space(space::XS);
    ui.horizontal(|ui| {
        let (state, _) = ui.allocate_exact_size(vec2(76.0, ui.spacing().interact_size.y), Sense::hover());
        let font = TextStyle::Body.resolve(ui.style());
        widgets::paint_text(ui, state, Align2::LEFT_CENTER, part.state.word(), font, color);
        ui.label(RichText::new(part.title).font(theme::strong(13.0)));
        ui.label(RichText::new(part.id).monospace().small().color(p.text_faint));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if let Some(cause) = &part.cause {
                let copy = ui.small_button("Copy");
                widgets::name(&copy, Role::Button, &format!("Copy what is said of {}", part.id));
                if copy.on_hover_text("Copies what is missing, where it was looked for and how to get it").clicked() {
                    ui.ctx().copy_text(cause.clone());
                }
            }
            ui.label(RichText::new(&part.size).small().color(p.text_weak));
        });
    });
    let small = |text: String| Label::new(RichText::new(text).small().color(p.text_weak)).wrap();
    egui::Frame::new().inner_margin(egui::Margin { left: 84, ..egui::Margin::ZERO }).show(ui, |ui| {
        for file in &part.files {
            ui.add(small(format!("{} · {}", file.path.display(), file.mark())));
        }
        if let Some(brief) = &part.brief {
            ui.add(small(brief.clone()));
        }
        ui.add(Label::new(RichText::new(format!("Licence: {}", part.licence)).small().color(p.text_faint)).wrap());
    });
}

/// How parts stand, as far as it was heard.
pub type Known<'k> = Option<&'k Arc<Vec<PartReport>>>;

/// What of these parts cannot be used, a line each, as far as it was heard; empty where all can.
pub fn lacking(known: Known, parts: &[&'static Part]) -> Vec<String> {
    let Some(known) = known else { return Vec::new() };
    let lacks = |wanted: &&'static Part| {
        let part = known.iter().find(|part| part.id == wanted.id)?;
        let word = part.state.word();
        (!part.state.is_usable()).then(|| format!("{word}: {} ({}), {}", part.title, part.id, part.size))
    };
    parts.iter().filter_map(lacks).collect()
}
