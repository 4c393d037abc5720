//! Every setting of a run, and live below them what they make of the pairs.

mod chooser;
mod control;
mod external;
mod live;
mod metrics;
mod ratio;

use egui::{Align, Button, ComboBox, Layout, RichText, ScrollArea, Ui};

use crate::app::actions::{Action, Cx, Pane};
use crate::app::commands::CommandId;
use crate::app::theme::{self, space};
use crate::app::{format, weights_window, widgets};
use crate::engine::parts;
use crate::method::fields::{self, Field};
use crate::method::presets;
use crate::method::recipe::Recipe;
use crate::method::value::Accepted;

/// The sections: topic of the keys, title, and whether it is open at first. What is turned most comes first.
const SECTIONS: [(&str, &str, bool); 7] = [
    ("sampling", "Sampling", true),
    ("curation", "Curation", true),
    ("hpo", "Pair weights (HPO)", true),
    ("reward", "Reward", true),
    ("training", "Training", true),
    ("metrics", "Metrics", true),
    ("data", "Images", false),
];

/// Settings that are shown once "all settings" is on.
const RARE: [&str; 28] = [
    "data.unverified_weights",
    "sampling.imported",
    "sampling.first_seed",
    "sampling.solver",
    "sampling.guidance",
    "sampling.negative_prompt",
    "sampling.color_fix",
    "sampling.rounding",
    "sampling.latents",
    "sampling.precision",
    "sampling.tile_px",
    "sampling.tile_overlap_px",
    "sampling.memory_budget_mib",
    "metrics.border_px",
    "metrics.external",
    "reward.regardless",
    "training.warmup_steps",
    "training.activations",
    "training.augmentation",
    "training.grad_clip",
    "training.weight_decay",
    "training.ema_decay",
    "training.frozen",
    "training.seed",
    "training.events",
    "training.winners",
    "training.round_reference",
    "training.pool_rounds",
];

/// Settings that are shown only where they do something.
const WHERE_USED: [&str; 2] = ["reward.bounds", "training.mixture"];

/// The Recipe pane.
#[derive(Default)]
pub struct RecipePane {
    shows_all: bool,
    filter: String,
    chooser: chooser::Chooser,
}

impl Pane for RecipePane {
    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        if cx.state.opened.is_none() {
            let text = "Every setting of a run, from the number of seeds to the learning rate.";
            widgets::empty_state(ui, "≡", "No recipe yet", text, None);
            return;
        }
        self.head_ui(ui, cx);
        let live = live::height(ui, cx);
        let room = ui.available_height();
        let area = ScrollArea::vertical().auto_shrink(false).max_height((room - live).max(160.0));
        let scrolled = area.show(ui, |ui| {
            ui.set_width(ui.available_width() - 8.0);
            let mut recipe = cx.state.recipe.edited.clone();
            let mut changed = None;
            for (topic, title, is_open) in SECTIONS {
                self.section_ui(ui, cx, &mut recipe, topic, title, is_open, &mut changed);
            }
            if let Some(name) = self.chooser.show(ui.ctx(), cx, &mut recipe) {
                changed = Some(format!("metric {name}"));
            }
            if let Some(what) = changed {
                cx.act(Action::EditRecipe { recipe: Box::new(recipe), what });
            }
        });
        widgets::more_below(ui, &scrolled);
        live::ui(ui, cx);
    }
}

impl RecipePane {
    fn head_ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let state = &cx.state.recipe;
        let p = cx.palette;
        let differences = state.edited.diff(&state.preset).len();
        ui.horizontal(|ui| {
            let width = (ui.available_width() * 0.41).min(118.0);
            let combo = ComboBox::from_id_salt("preset").width(width).truncate().selected_text(&state.preset_name);
            let response = combo.show_ui(ui, |ui| {
                for name in presets::preset_names() {
                    let Ok(recipe) = presets::preset(name) else { continue };
                    let missing = recipe.check_backbone().err().map(|e| {
                        let lacking = weights_window::lacking(cx.state.weights.as_ref(), &parts::of(&recipe));
                        [vec![e.to_string()], lacking].concat().join("\n")
                    });
                    let label = Button::selectable(name == state.preset_name, name);
                    let response = ui.add_enabled(missing.is_none(), label);
                    let response = response.on_hover_text(presets::purpose(name));
                    if response.on_disabled_hover_text(missing.unwrap_or_default()).clicked() {
                        cx.actions.push(Action::TakePreset(name.to_owned()));
                    }
                }
                ui.separator();
                for id in [CommandId::LoadRecipe, CommandId::SaveRecipe] {
                    if ui.button(crate::app::commands::command(id).title).clicked() {
                        cx.actions.push(Action::Command(id));
                    }
                }
            });
            response.response.on_hover_text("Starts from a preset; undo brings the settings back");
            if differences > 0 {
                let text = RichText::new(format!("● {differences} changed")).small().color(p.changed);
                let button = ui.add(Button::new(text).frame(false));
                if button.on_hover_text("Reset all settings to the preset").clicked() {
                    cx.actions.push(Action::Command(CommandId::ResetRecipe));
                }
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.toggle_value(&mut self.shows_all, "All").on_hover_text("Shows the settings one rarely turns, too");
            });
        });
        if self.shows_all {
            let filter = egui::TextEdit::singleline(&mut self.filter).hint_text("Find a setting");
            let response = ui.add_sized([ui.available_width(), ui.spacing().interact_size.y], filter);
            widgets::name(&response, egui::accesskit::Role::TextInput, "Find a setting");
        }
        if let Some(fault) = &cx.state.recipe.fault {
            ui.add_space(space::XS);
            egui::Frame::new()
                .fill(p.error.gamma_multiply(0.14))
                .corner_radius(theme::RADIUS)
                .inner_margin(space::S)
                .show(ui, |ui| {
                    ui.add(egui::Label::new(RichText::new(fault).small().color(p.error)).wrap());
                });
        }
        let lacking = weights_window::lacking(cx.state.weights.as_ref(), &parts::of(&cx.state.recipe.edited));
        if !lacking.is_empty() {
            ui.add_space(space::XS);
            // The paper's recipe lacks twenty on a new machine, which must not push the settings off the screen.
            let title = match lacking.len() {
                1 => "1 part of it is not on this machine".to_owned(),
                count => format!("{count} parts of it are not on this machine"),
            };
            let title = RichText::new(title).small().color(p.warning);
            let header = egui::CollapsingHeader::new(title).id_salt("lacking").default_open(lacking.len() <= 3);
            header.show_unindented(ui, |ui| {
                ScrollArea::vertical().id_salt("lacking").max_height(120.0).show(ui, |ui| {
                    for line in lacking {
                        ui.add(egui::Label::new(RichText::new(line).small().color(p.warning)).wrap());
                    }
                });
            });
            if ui.small_button("How to get them…").clicked() {
                cx.actions.push(Action::Command(CommandId::ShowWeights));
            }
        }
        chooser::unread_ui(ui, cx);
        ui.add_space(2.0);
    }

    #[allow(clippy::too_many_arguments)]
    fn section_ui(
        &mut self,
        ui: &mut Ui,
        cx: &mut Cx,
        recipe: &mut Recipe,
        topic: &str,
        title: &str,
        is_open: bool,
        changed: &mut Option<String>,
    ) {
        let preset = cx.state.recipe.preset.clone();
        let weights = cx.state.weights.clone();
        let known = weights.as_ref();
        let shown: Vec<&Field> =
            fields::fields().iter().filter(|f| f.topic() == topic && self.is_shown(f, recipe, &preset)).collect();
        if shown.is_empty() {
            return;
        }
        let heading = RichText::new(title).font(theme::strong(12.5)).color(cx.palette.text_weak);
        let header = egui::CollapsingHeader::new(heading).id_salt(topic).default_open(is_open);
        header.show_unindented(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 4.0;
            for field in shown {
                let edited = match field.accepted {
                    Accepted::Weights => metrics::weights_ui(ui, field, recipe, &preset, &mut self.chooser),
                    Accepted::External => external::ui(ui, field, recipe, &preset),
                    _ if field.key == "reward.held_out" => {
                        metrics::held_out_ui(ui, field, recipe, &preset, &mut self.chooser)
                    }
                    _ if field.key == "curation.ratio" => ratio::ui(ui, field, recipe, &preset),
                    _ => control::ui(ui, field, recipe, &preset, known),
                };
                if edited {
                    *changed = Some(field.label.to_owned());
                }
            }
            if topic == "training" {
                let pairs = recipe.training.pairs_per_step();
                let text = format!("{} a step", format::counted(pairs, "pair"));
                ui.horizontal(|ui| {
                    ui.label(RichText::new(text).small().color(cx.palette.text_faint));
                    memory_ui(ui, cx);
                });
                if let Some(doubt) = cx.state.memory.as_ref().and_then(|need| need.doubt()) {
                    ui.add(egui::Label::new(RichText::new(doubt).small().color(cx.palette.warning)).wrap());
                }
                if let Some(text) = &cx.state.restart {
                    ui.add(egui::Label::new(RichText::new(text).small().color(cx.palette.warning)).wrap());
                }
            }
            ui.add_space(space::XS);
        });
    }

    fn is_shown(&self, field: &Field, recipe: &Recipe, preset: &Recipe) -> bool {
        let wanted = self.filter.trim().to_lowercase();
        if self.shows_all && !wanted.is_empty() {
            let text = format!("{} {} {}", field.label, field.key, field.aliases.join(" ")).to_lowercase();
            return text.contains(&wanted);
        }
        let is_idle = || WHERE_USED.contains(&field.key) && recipe.why_idle(field.key).is_some();
        // A setting that was turned is never hidden.
        self.shows_all || (!RARE.contains(&field.key) && !is_idle()) || field.value(recipe) != field.value(preset)
    }
}

/// What sampling and training take of memory, and more where the pointer rests.
fn memory_ui(ui: &mut Ui, cx: &Cx) {
    let Some(need) = &cx.state.memory else { return };
    let text = RichText::new(format!("memory: {need}")).small().color(cx.palette.text_faint);
    ui.add(egui::Label::new(text).truncate()).on_hover_ui(|ui| {
        ui.set_max_width(420.0);
        ui.label(RichText::new("What it takes of memory, about").font(theme::strong(13.5)));
        for (what, how) in need.lines() {
            ui.add(egui::Label::new(format!("{what}: {how}")).wrap());
        }
    });
}

/// What is said about a setting when the pointer rests on it.
fn explain(ui: &mut Ui, field: &Field, preset: &Recipe) {
    let p = theme::palette(ui);
    ui.set_max_width(360.0);
    ui.label(RichText::new(field.label).font(theme::strong(13.5)));
    ui.add(egui::Label::new(field.doc).wrap());
    if !field.formula.is_empty() {
        let formula = RichText::new(format!("method {}", field.formula)).color(p.accent);
        ui.add(egui::Label::new(formula).wrap());
    }
    let unit = if field.unit.is_empty() { String::new() } else { format!(" {}", field.unit) };
    let value = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let default = value(field.default_value().to_string());
    let preset = value(field.value(preset).to_string());
    let weak = |text: String| RichText::new(text).small().color(p.text_weak);
    ui.add(egui::Label::new(weak(format!("default {default}{unit}, preset {preset}"))).wrap());
    ui.label(RichText::new(format!("--set {}=…", field.key)).small().monospace().color(p.text_faint));
}

/// The same of a setting that does nothing, and why it does not.
fn explain_idle(ui: &mut Ui, field: &Field, preset: &Recipe, why: &str) {
    explain(ui, field, preset);
    let text = RichText::new(format!("Without effect, as {why}")).color(theme::palette(ui).warning);
    ui.add(egui::Label::new(text).wrap());
}

/// The name of a setting, marked where it differs from the preset, and the button that resets it. Returns whether that
/// was pressed.
fn label_ui(ui: &mut Ui, field: &Field, recipe: &mut Recipe, preset: &Recipe, width: f32) -> bool {
    let p = theme::palette(ui);
    let is_changed = field.value(recipe) != field.value(preset);
    let height = ui.spacing().interact_size.y;
    let (rect, response) = ui.allocate_exact_size(egui::vec2(width, height), egui::Sense::hover());
    let idle = recipe.why_idle(field.key);
    let color = match (&idle, is_changed) {
        (Some(_), _) => p.text_faint,
        (None, true) => p.text,
        (None, false) => p.text_weak,
    };
    let font = egui::TextStyle::Body.resolve(ui.style());
    let text = egui::Rect::from_min_max(rect.min + egui::vec2(10.0, 0.0), rect.max);
    widgets::paint_text(ui, text, egui::Align2::LEFT_CENTER, field.label, font, color);
    response.on_hover_ui(|ui| match idle {
        Some(why) => explain_idle(ui, field, preset, &why),
        None => explain(ui, field, preset),
    });
    if !is_changed {
        return false;
    }
    let mark = egui::Rect::from_center_size(egui::pos2(rect.left() + 3.0, rect.center().y), egui::vec2(14.0, height));
    let reset = ui.interact(mark, ui.scope_id().with(("reset", field.key)), egui::Sense::click());
    widgets::name(&reset, egui::accesskit::Role::Button, &format!("Reset {}", field.label));
    if reset.hovered() {
        let font = egui::TextStyle::Body.resolve(ui.style());
        ui.painter().text(mark.center(), egui::Align2::CENTER_CENTER, "↺", font, p.changed);
    } else {
        ui.painter().circle_filled(mark.center(), 3.0, p.changed);
    }
    let hint = format!("Reset to {} of the preset", field.value(preset));
    if reset.on_hover_text(hint).on_hover_cursor(egui::CursorIcon::PointingHand).clicked() {
        return field.assign(recipe, field.value(preset)).is_ok();
    }
    false
}
