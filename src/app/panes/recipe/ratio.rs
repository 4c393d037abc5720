//! The selection ratio: a slider over N, with the usual fractions to jump to.

use egui::{Align, Label, Layout, RichText, Slider, Ui, vec2};

use super::control::LABEL_WIDTH;
use super::{explain, label_ui};
use crate::app::{format, theme, widgets};
use crate::method::curation::n_from_ratio;
use crate::method::fields::Field;
use crate::method::recipe::Recipe;

/// Draws the control; true if the ratio was changed.
pub fn ui(ui: &mut Ui, field: &Field, recipe: &mut Recipe, preset: &Recipe) -> bool {
    let p = theme::palette(ui);
    let m = recipe.sampling.m.max(2);
    let mut changed = false;
    ui.horizontal(|ui| {
        changed |= label_ui(ui, field, recipe, preset, LABEL_WIDTH);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let n = n_from_ratio(recipe.curation.ratio, m);
            ui.label(RichText::new(format!("{n} of {m}")).color(p.text));
            ui.spacing_mut().slider_width = (ui.available_width() - 4.0).max(18.0);
            let mut wanted = n;
            let slider = Slider::new(&mut wanted, 1..=m / 2).show_value(false).logarithmic(m > 16);
            let response = widgets::slider(ui, slider, "Selection ratio slider");
            let response = response.on_hover_ui(|ui| explain(ui, field, preset));
            if response.changed() && wanted != n {
                recipe.curation.ratio = wanted as f64 / m as f64;
                changed = true;
            }
        });
    });
    // From the right, so that six of them reach under the label instead of out of the pane.
    let line = vec2(ui.available_width(), ui.spacing().interact_size.y);
    ui.allocate_ui_with_layout(line, Layout::right_to_left(Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        ui.spacing_mut().button_padding.x = 5.0;
        for divisor in (1..=6).rev().map(|power| 1usize << power).filter(|divisor| *divisor <= m) {
            let ratio = 1.0 / divisor as f64;
            let is_on = (recipe.curation.ratio - ratio).abs() < 1e-9;
            let text = RichText::new(format!("1/{divisor}")).small();
            if ui.selectable_label(is_on, text).clicked() && !is_on {
                recipe.curation.ratio = ratio;
                changed = true;
            }
        }
        let n = n_from_ratio(recipe.curation.ratio, m);
        let text = format!("{n}² = {} a group", format::counted(n * n, "pair"));
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            ui.add_space(10.0);
            let label = Label::new(RichText::new(&text).small().color(p.text_faint)).truncate();
            ui.add(label).on_hover_text(&text);
        });
    });
    changed
}
