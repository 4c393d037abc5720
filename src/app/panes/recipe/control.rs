//! The control of one setting: a slider, a number, a choice or a text, as its accepted values ask for.

use egui::accesskit::Role;
use egui::{Align, Button, ComboBox, DragValue, Id, Layout, Sense, Slider, TextEdit, Ui};

use super::{explain, explain_idle, label_ui};
use crate::app::weights_window::{Known, lacking};
use crate::app::widgets;
use crate::backbones::registry;
use crate::degrade;
use crate::engine::parts;
use crate::method::fields::Field;
use crate::method::recipe::Recipe;
use crate::method::value::{Accepted, Value};

/// Width of the names in points.
pub const LABEL_WIDTH: f32 = 134.0;

/// Width of a control beside its name: less where the pane is narrow or large letters make it so.
fn control_width(ui: &Ui) -> f32 {
    ui.available_width().clamp(56.0, 112.0)
}

/// Numbers that are turned by a slider: key, range and whether the scale is logarithmic. The number beside the slider
/// takes what lies beyond.
const SLIDERS: [(&str, f64, f64, bool); 6] = [
    ("reward.fr_balance", 0.0, 1.0, false),
    ("hpo.alpha_intra", 0.0, 10.0, false),
    ("hpo.alpha_inter", 0.0, 10.0, false),
    ("training.beta", 1.0, 100_000.0, true),
    ("training.learning_rate", 1e-7, 1e-2, true),
    ("training.ema_decay", 0.0, 0.9999, false),
];

/// Draws the control; true if the setting was changed.
pub fn ui(ui: &mut Ui, field: &Field, recipe: &mut Recipe, preset: &Recipe, known: Known) -> bool {
    let mut changed = false;
    ui.horizontal(|ui| {
        changed |= label_ui(ui, field, recipe, preset, LABEL_WIDTH);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let value = match recipe.why_idle(field.key) {
                None => control_ui(ui, field, recipe, preset, known),
                Some(why) => {
                    let off = ui.add_enabled_ui(false, |ui| control_ui(ui, field, recipe, preset, known));
                    // A control that is off says nothing of itself.
                    let over = ui.interact(off.response.rect, ui.scope_id().with(("idle", field.key)), Sense::hover());
                    over.on_hover_ui(|ui| explain_idle(ui, field, preset, &why));
                    None
                }
            };
            if let Some(value) = value {
                changed |= field.assign(recipe, value).is_ok();
            }
        });
    });
    changed
}

/// Draws the control itself; the new value if there is one.
fn control_ui(ui: &mut Ui, field: &Field, recipe: &Recipe, preset: &Recipe, known: Known) -> Option<Value> {
    match (field.accepted, field.value(recipe)) {
        (Accepted::Count { min, max }, Value::Count(mut v)) => {
            let speed = (v as f64 * 0.01).max(0.1);
            let suffix = suffix(field, v != 1);
            let drag = DragValue::new(&mut v).range(min..=max).speed(speed).suffix(suffix);
            let response = ui.add_sized([control_width(ui), ui.spacing().interact_size.y], drag);
            let response = response.on_hover_ui(|ui| explain(ui, field, preset));
            widgets::name(&response, Role::SpinButton, field.label);
            response.changed().then_some(Value::Count(v))
        }
        (Accepted::Number { .. } | Accepted::Positive { .. }, Value::Number(v)) => number_ui(ui, field, v, preset),
        (Accepted::Choice(words), Value::Choice(word)) => choice_ui(ui, field, words, word, (recipe, preset)),
        (Accepted::Text { .. }, Value::Text(text)) => text_ui(ui, field, text, preset, known),
        (Accepted::Names, Value::Names(names)) => names_ui(ui, field, &names, preset),
        _ => None,
    }
}

fn suffix(field: &Field, plural: bool) -> String {
    match field.unit {
        "" => String::new(),
        unit if plural => format!(" {unit}"),
        "batches" => " batch".into(),
        unit => format!(" {}", unit.strip_suffix('s').unwrap_or(unit)),
    }
}

fn number_ui(ui: &mut Ui, field: &Field, mut v: f64, preset: &Recipe) -> Option<Value> {
    let (min, max) = match field.accepted {
        Accepted::Number { min, max } => (min, max),
        Accepted::Positive { max } => (max * 1e-18, max),
        _ => (f64::MIN, f64::MAX),
    };
    let slider = SLIDERS.iter().find(|(key, ..)| *key == field.key);
    let speed = (v.abs() * 0.01).max(if max <= 1.0 { 1e-4 } else { 1e-3 });
    let is_zero = v == 0.0;
    let mut drag = DragValue::new(&mut v).range(min..=max).speed(speed).max_decimals(6);
    drag = match field.key {
        "training.learning_rate" => {
            drag.custom_formatter(|v, _| format!("{v:.2e}")).custom_parser(|text| text.trim().parse().ok())
        }
        // 0 takes the strengths as they are.
        "hpo.effective_share" if is_zero => drag.custom_formatter(|_, _| "off".into()),
        "hpo.effective_share" => drag.max_decimals(3).suffix(suffix(field, true)),
        _ => drag.suffix(suffix(field, true)),
    };
    let width = if slider.is_some() { 62.0 } else { control_width(ui) };
    let response = ui.add_sized([width, ui.spacing().interact_size.y], drag);
    let response = response.on_hover_ui(|ui| explain(ui, field, preset));
    widgets::name(&response, Role::SpinButton, field.label);
    let mut changed = response.changed();
    if let Some((_, from, to, logarithmic)) = slider {
        ui.spacing_mut().slider_width = (ui.available_width() - 4.0).max(40.0);
        let mut shown = v.clamp(*from, *to);
        let rail = Slider::new(&mut shown, *from..=*to).logarithmic(*logarithmic).show_value(false);
        let response = widgets::slider(ui, rail, &format!("{} slider", field.label));
        let response = response.on_hover_ui(|ui| explain(ui, field, preset));
        if response.changed() {
            v = rounded(shown, *logarithmic, *to - *from);
            changed = true;
        }
    }
    changed.then_some(Value::Number(v))
}

/// What a slider is dragged to, with the digits a person would type.
fn rounded(v: f64, logarithmic: bool, extent: f64) -> f64 {
    let unit = if logarithmic { 10f64.powf(v.abs().max(1e-12).log10().floor() - 1.0) } else { extent / 1000.0 };
    let text = format!("{:.3e}", (v / unit).round() * unit);
    text.parse().unwrap_or(v)
}

fn choice_ui(
    ui: &mut Ui,
    field: &Field,
    words: &[&'static str],
    word: &str,
    (recipe, preset): (&Recipe, &Recipe),
) -> Option<Value> {
    let mut chosen = None;
    let readable = |word: &str| word.replace('_', " ");
    if words.len() <= 2 {
        // Right to left, so that the first word stands first.
        for option in words.iter().rev() {
            let response = ui.selectable_label(*option == word, readable(option));
            if response.on_hover_ui(|ui| explain(ui, field, preset)).clicked() {
                chosen = Some(Value::Choice(option));
            }
        }
    } else {
        let combo = ComboBox::from_id_salt(field.key)
            .width(control_width(ui).min(104.0))
            .truncate()
            .selected_text(readable(word));
        let shown = combo.show_ui(ui, |ui| {
            for option in words {
                let refused = recipe.why_refused(field.key, option);
                let label = Button::selectable(*option == word, readable(option));
                let response = ui.add_enabled(refused.is_none(), label);
                if response.on_disabled_hover_text(refused.unwrap_or_default()).clicked() {
                    chosen = Some(Value::Choice(option));
                }
            }
        });
        let response = shown.response.on_hover_ui(|ui| explain(ui, field, preset));
        widgets::name(&response, Role::ComboBox, field.label);
    }
    chosen.filter(|value| *value != Value::Choice(words.iter().find(|w| **w == word).copied().unwrap_or_default()))
}

fn text_ui(ui: &mut Ui, field: &Field, mut text: String, preset: &Recipe, known: Known) -> Option<Value> {
    let names: Option<Vec<&str>> = match field.key {
        "data.degradation" => Some(degrade::PRESETS.into()),
        "sampling.backbone" => return backbone_ui(ui, field, &text, preset, known),
        _ => None,
    };
    if let Some(names) = names {
        let mut chosen = None;
        let combo = ComboBox::from_id_salt(field.key).width(control_width(ui)).truncate().selected_text(&text);
        let shown = combo.show_ui(ui, |ui| {
            for name in names {
                if ui.selectable_label(name == text, name).clicked() {
                    chosen = Some(Value::Text(name.to_owned()));
                }
            }
        });
        let response = shown.response.on_hover_ui(|ui| explain(ui, field, preset));
        widgets::name(&response, Role::ComboBox, field.label);
        return chosen;
    }
    let response = ui.add_sized([control_width(ui), ui.spacing().interact_size.y], TextEdit::singleline(&mut text));
    let response = response.on_hover_ui(|ui| explain(ui, field, preset));
    widgets::name(&response, Role::TextInput, field.label);
    response.changed().then_some(Value::Text(text))
}

/// The backbones there are; what cannot be used is greyed and says why.
fn backbone_ui(ui: &mut Ui, field: &Field, text: &str, preset: &Recipe, known: Known) -> Option<Value> {
    let mut chosen = None;
    let combo = ComboBox::from_id_salt(field.key).width(control_width(ui)).truncate().selected_text(text);
    let shown = combo.show_ui(ui, |ui| {
        for name in registry::cards().into_iter().map(|card| card.name) {
            let why = lacking(known, parts::of_backbone(name)).into_iter().collect::<Vec<_>>().join("\n");
            let response = ui.add_enabled(why.is_empty(), Button::selectable(name == text, name));
            if response.on_disabled_hover_text(why).clicked() {
                chosen = Some(Value::Text(name.to_owned()));
            }
        }
    });
    let response = shown.response.on_hover_ui(|ui| explain(ui, field, preset));
    widgets::name(&response, Role::ComboBox, field.label);
    chosen
}

/// Names with commas between them. What is typed is kept while it is: a comma at its end names nothing yet.
fn names_ui(ui: &mut Ui, field: &Field, names: &[String], preset: &Recipe) -> Option<Value> {
    let typed = Id::unique(field.key);
    let mut text = ui.data(|data| data.get_temp(typed)).unwrap_or_else(|| names.join(","));
    let edit = TextEdit::singleline(&mut text).hint_text("none");
    let response = ui.add_sized([control_width(ui), ui.spacing().interact_size.y], edit);
    let response = response.on_hover_ui(|ui| explain(ui, field, preset));
    widgets::name(&response, Role::TextInput, field.label);
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    // Asked before the data are locked: it reads them too.
    let is_typing = response.has_focus();
    ui.data_mut(|data| match is_typing {
        true => drop(data.insert_temp(typed, text)),
        false => data.remove::<String>(typed),
    });
    response.changed().then_some(Value::Names(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sliders_give_numbers_a_person_would_type() {
        assert_eq!(rounded(1234.567, true, 0.0), 1200.0);
        assert_eq!(rounded(1.2345e-5, true, 0.0), 1.2e-5);
        assert_eq!(rounded(0.333_333, false, 1.0), 0.333);
        assert_eq!(rounded(2.345_678, false, 10.0), 2.35);
    }
}
