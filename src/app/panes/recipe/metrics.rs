//! Which metrics count and how much; which are held out.

use egui::accesskit::Role;
use egui::{Align, DragValue, Layout, RichText, Slider, Ui};

use super::chooser::{self, Chooser, Purpose};
use super::control::LABEL_WIDTH;
use super::label_ui;
use crate::app::{theme, widgets};
use crate::engine::metrics;
use crate::iqa::{Info, Kind};
use crate::method::fields::Field;
use crate::method::recipe::Recipe;
use crate::method::value::Value;

/// Weights that the sliders reach; the number beside takes larger ones.
const MAX_WEIGHT: f64 = 2.0;

/// The weights of one half of the reward; true if one was changed.
pub fn weights_ui(ui: &mut Ui, field: &Field, recipe: &mut Recipe, preset: &Recipe, chooser: &mut Chooser) -> bool {
    let kind = if field.key == "reward.fr" { Kind::FullReference } else { Kind::NoReference };
    let Value::Weights(mut weights) = field.value(recipe) else { return false };
    let mut changed = false;
    ui.horizontal(|ui| {
        changed |= label_ui(ui, field, recipe, preset, LABEL_WIDTH);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if let Some(purpose) = chooser::button(ui, Purpose::Reward(kind)) {
                chooser.open(purpose);
            }
        });
    });
    if changed {
        return true;
    }
    let total: f64 = weights.values().sum();
    let mut removed = None;
    let before = weights.clone();
    let all = metrics::all(recipe);
    for (name, weight) in &mut weights {
        let info = all.iter().find(|info| info.name == *name);
        ui.horizontal(|ui| {
            if weight_ui(ui, name, info, weight, total) {
                removed = Some(name.clone());
            }
        });
    }
    if let Some(name) = removed {
        weights.remove(&name);
    }
    weights != before && field.assign(recipe, Value::Weights(weights)).is_ok()
}

/// One metric; true if it is to be removed.
fn weight_ui(ui: &mut Ui, name: &str, info: Option<&Info>, weight: &mut f64, total: f64) -> bool {
    let p = theme::palette(ui);
    let height = ui.spacing().interact_size.y;
    let (rect, response) = ui.allocate_exact_size(egui::vec2(LABEL_WIDTH, height), egui::Sense::hover());
    let arrow = info.map_or("", |info| info.direction.arrow());
    let color = if *weight > 0.0 { p.text } else { p.text_faint };
    let font = egui::TextStyle::Body.resolve(ui.style());
    let text = egui::Rect::from_min_max(rect.min + egui::vec2(20.0, 0.0), rect.max);
    widgets::paint_text(ui, text, egui::Align2::LEFT_CENTER, &format!("{name} {arrow}"), font, color);
    let share = if total > 0.0 { *weight / total } else { 0.0 };
    response.on_hover_ui(|ui| match info {
        Some(info) => info_ui(ui, info, Some(share)),
        None => drop(ui.label("This metric is not part of this version")),
    });
    let mut removed = false;
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let close =
            ui.add(egui::Button::new(RichText::new("×").color(p.text_faint)).frame(false).min_size([14.0, 0.0].into()));
        widgets::name(&close, Role::Button, &format!("Remove {name}"));
        removed = close.on_hover_text("Take the metric out; at weight 0 it is scored without counting").clicked();
        let drag = DragValue::new(weight).range(0.0..=1000.0).speed(0.01).max_decimals(2);
        let response = ui.add_sized([42.0, height], drag);
        widgets::name(&response, Role::SpinButton, &format!("Weight of {name}"));
        ui.spacing_mut().slider_width = (ui.available_width() - 4.0).max(30.0);
        let mut shown = weight.min(MAX_WEIGHT);
        let slider = Slider::new(&mut shown, 0.0..=MAX_WEIGHT).show_value(false).step_by(0.05);
        if widgets::slider(ui, slider, &format!("Weight of {name} slider")).changed() {
            *weight = shown;
        }
    });
    removed
}

/// The held-out metrics, each with a button that takes it out, and one that adds another; true if one was changed.
pub fn held_out_ui(ui: &mut Ui, field: &Field, recipe: &mut Recipe, preset: &Recipe, chooser: &mut Chooser) -> bool {
    let mut changed = false;
    ui.horizontal(|ui| {
        changed |= label_ui(ui, field, recipe, preset, LABEL_WIDTH);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if let Some(purpose) = chooser::button(ui, Purpose::HeldOut) {
                chooser.open(purpose);
            }
        });
    });
    let p = theme::palette(ui);
    let indented = egui::Frame::new().inner_margin(egui::Margin { left: 12, ..egui::Margin::ZERO });
    let mut removed = None;
    let chips = |ui: &mut Ui| {
        ui.spacing_mut().item_spacing = egui::vec2(4.0, 4.0);
        let all = metrics::all(recipe);
        for name in &recipe.reward.held_out {
            let info = all.iter().find(|info| info.name == *name);
            let arrow = info.map_or("", |info| info.direction.arrow());
            let text = RichText::new(format!("{name} {arrow} ×")).small().color(p.held_out);
            let response = ui.add(egui::Button::selectable(true, text));
            widgets::name(&response, Role::Button, &format!("Hold {name} out no more"));
            let response = response.on_hover_ui(|ui| match info {
                Some(info) => info_ui(ui, info, None),
                None => drop(ui.label("This metric is not part of this version")),
            });
            if response.clicked() {
                removed = Some(name.clone());
            }
        }
        if recipe.reward.held_out.is_empty() {
            ui.weak("None: nothing would show whether an improvement is real");
        }
    };
    indented.show(ui, |ui| ui.horizontal_wrapped(chips));
    if let Some(name) = removed {
        recipe.reward.held_out.retain(|held_out| *held_out != name);
        changed = true;
    }
    changed
}

/// The facts of a metric, for a tooltip.
pub fn info_ui(ui: &mut Ui, info: &Info, share: Option<f64>) {
    let p = theme::palette(ui);
    ui.set_max_width(340.0);
    ui.label(RichText::new(info.title.as_ref()).font(theme::strong(13.5)));
    let (kind, better) = (info.kind.adjective(), info.direction.phrase());
    ui.label(format!("{kind}, {better}, needs {} px", info.min_size_px));
    if let Some(share) = share {
        ui.label(format!("{:.0} % of its half of the reward", share * 100.0));
    }
    ui.label(format!("Looks at {}; {} at 512 px", info.crop_phrase(), info.cost()));
    ui.add(egui::Label::new(RichText::new(info.status.phrase()).small().color(p.text_weak)).wrap());
    ui.add(egui::Label::new(RichText::new(info.paper.as_ref()).small().color(p.text_weak)).wrap());
}
