//! The line on top: which checkpoints, the job that compares them, and the way out.

use egui::{Align, ComboBox, Layout, RichText, Ui, vec2};

use super::choice::{self, Candidate, Choice};
use super::shown::Shown;
use crate::app::actions::{Action, Cx};
use crate::app::commands::{self, CommandId};
use crate::app::theme::space;
use crate::app::{format, widgets};
use crate::engine::protocol::Library;
use crate::method::provenance::On;
use crate::report::Format;

/// Width of the choice of images, in points.
const ON_WIDTH: f32 = 142.0;
/// Room for all of it below which words are short.
const NARROW: f32 = 480.0;

/// Draws it.
pub fn ui(ui: &mut Ui, cx: &mut Cx, choice: &mut Choice, shown: Option<&Shown>) {
    let Some(library) = cx.state.library.clone() else { return };
    let known = choice::candidates(&library);
    let line = vec2(ui.available_width(), ui.spacing().interact_size.y);
    ui.allocate_ui_with_layout(line, Layout::right_to_left(Align::Center), |ui| {
        export_ui(ui, cx, shown);
        compare_ui(ui, cx, choice, shown);
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = space::XS;
            let on_width = (ui.available_width() * 0.36).min(ON_WIDTH);
            let width = ((ui.available_width() - 46.0 - on_width) * 0.5).clamp(60.0, 220.0);
            picker_ui(ui, "Before", &mut choice.a, &known, width);
            let swap = ui.button("⇄").on_hover_text("Exchange before and after  S");
            widgets::name(&swap, egui::accesskit::Role::Button, "Exchange before and after");
            if swap.clicked() {
                choice.swap();
            }
            picker_ui(ui, "After", &mut choice.b, &known, width);
            on_ui(ui, &library, choice, on_width);
        });
    });
    if let Some(cause) = shown.and_then(|shown| shown.is_outdated(cx.state)) {
        let text = format!("Made before a change: {cause}. Compare again to see what holds now.");
        ui.add(egui::Label::new(RichText::new(text).small().color(cx.palette.warning)).truncate());
    }
    for note in shown.iter().flat_map(|shown| &shown.notes) {
        let color = if note.is_warning { cx.palette.warning } else { cx.palette.text_weak };
        let text = note.to_string();
        ui.add(egui::Label::new(RichText::new(&text).small().color(color)).truncate()).on_hover_text(text);
    }
}

/// Which of the held-out images are reported on.
fn on_ui(ui: &mut Ui, library: &Library, choice: &mut Choice, width: f32) {
    let count = |on: On| library.images.iter().filter(|image| image.split.is_in(on)).count();
    let title = |on: On| on.count(count(on));
    let combo = ComboBox::from_id_salt("on").width(width - 20.0).truncate().selected_text(title(choice.on));
    let response = combo.show_ui(ui, |ui| {
        for on in On::ALL {
            ui.selectable_value(&mut choice.on, on, title(on)).on_hover_text(hint_of(on));
        }
    });
    widgets::name(&response.response, egui::accesskit::Role::ComboBox, &format!("On {}", title(choice.on)));
    response.response.on_hover_text(format!("The images compared on\n{}", hint_of(choice.on)));
}

fn hint_of(on: On) -> &'static str {
    match on {
        On::Test => "Nothing was chosen by them: what is reported",
        On::Validation => "They choose the checkpoint of a run, so its figures on them are too good",
        On::HeldOut => "Validation and test together, as before there were two",
    }
}

fn picker_ui(ui: &mut Ui, title: &str, chosen: &mut String, known: &[Candidate], width: f32) {
    let text = format::short(chosen, ((width - 30.0) / 7.0).max(5.0) as usize);
    let combo = ComboBox::from_id_salt(title).width(width).height(420.0).selected_text(text);
    let response = combo.show_ui(ui, |ui| {
        let p = crate::app::theme::palette(ui);
        for candidate in known {
            let mut row = egui::text::LayoutJob::default();
            let font = egui::TextStyle::Body.resolve(ui.style());
            row.append(&candidate.name, 0.0, egui::TextFormat::simple(font.clone(), p.text));
            if let Some(reward) = candidate.reward {
                let score = format!("R {}", format::reward(reward));
                row.append(&score, 14.0, egui::TextFormat::simple(font.clone(), p.text_weak));
            }
            if candidate.is_best {
                row.append("best", 10.0, egui::TextFormat::simple(font, p.winner));
            }
            if ui.selectable_label(*chosen == candidate.name, row).clicked() {
                chosen.clone_from(&candidate.name);
            }
        }
    });
    widgets::name(&response.response, egui::accesskit::Role::ComboBox, &format!("{title}: {chosen}"));
    response.response.on_hover_text(format!(
        "{title}: {chosen}\nR is the mean reward on the validation images, as the run was evaluated"
    ));
}

fn compare_ui(ui: &mut Ui, cx: &mut Cx, choice: &Choice, shown: Option<&Shown>) {
    let refusal = match (commands::command(CommandId::Compare).enabled)(cx.state) {
        Ok(()) if choice.a == choice.b => Some("both sides are the same checkpoint"),
        Ok(()) => None,
        Err(cause) => Some(cause),
    };
    let again = if ui.available_width() < NARROW { "Again" } else { "Compare again" };
    let title = if shown.is_some() { again } else { "Compare" };
    let response = ui.add_enabled(refusal.is_none(), egui::Button::new(title));
    let response = response.on_hover_text("Samples and scores what is missing on these images");
    if let Some(refusal) = refusal {
        response.on_disabled_hover_text(refusal);
    } else if response.clicked() {
        cx.act(Action::Start(choice.job()));
    }
}

fn export_ui(ui: &mut Ui, cx: &mut Cx, shown: Option<&Shown>) {
    ui.add_enabled_ui(shown.is_some(), |ui| {
        let menu = ui.menu_button("Export", |ui| {
            ui.set_min_width(220.0);
            for format in Format::ALL {
                if format == Format::Csv {
                    ui.separator();
                }
                let response = ui.button(format.title()).on_hover_text(format.hint());
                if let Some(shown) = shown.filter(|_| response.clicked()) {
                    cx.act(Action::ExportComparison { compared: shown.compared.clone(), format });
                }
            }
        });
        menu.response.on_disabled_hover_text("There is nothing to export yet: compare first");
    });
}
