//! The candidates by what they gained: the most improved first, or the most worsened.

use egui::accesskit::Role;
use egui::{Align2, Rect, ScrollArea, Sense, TextStyle, Ui, pos2, vec2};

use super::shown::{Shown, signed};
use crate::app::actions::Cx;
use crate::app::theme::space;
use crate::app::{format, widgets};

/// Height of a row, in points.
const ROW: f32 = 40.0;

/// The list.
#[derive(Default)]
pub struct ChangeList {
    /// The most worsened come first.
    worst_first: bool,
}

impl ChangeList {
    /// Draws it; a click selects the candidate in all panes.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx, shown: &mut Shown) {
        let p = cx.palette;
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = space::XS;
            ui.selectable_value(&mut self.worst_first, false, "▲ Improved").on_hover_text("Most improved first");
            ui.selectable_value(&mut self.worst_first, true, "▼ Worsened").on_hover_text("Most worsened first");
        });
        let compared = shown.compared.clone();
        let changes = &compared.report.changes;
        if changes.is_empty() {
            ui.weak("No candidate has a reward on both sides.");
            return;
        }
        let count = changes.len();
        let largest = changes[0].gain().abs().max(changes[count - 1].gain().abs());
        let index = |row: usize| if self.worst_first { count - 1 - row } else { row };
        ui.spacing_mut().item_spacing.y = 2.0;
        let mut chosen = None;
        ScrollArea::vertical().auto_shrink(false).show_rows(ui, ROW, count, |ui, rows| {
            for row in rows {
                let change = changes[index(row)];
                let (line, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
                let name = compared.report.comparison.by_image.get(change.image).map_or("", |i| i.name.as_str());
                let seed = compared.seed(change.seed).unwrap_or_default();
                let gain = signed(change.gain());
                widgets::name(&response, Role::ListItem, &format!("{name}, seed {seed}: {gain}"));
                let is_selected = shown.at() == (change.image, change.seed);
                if is_selected {
                    ui.painter().rect_filled(line, 4.0, p.selected);
                } else if response.hovered() {
                    ui.painter().rect_filled(line, 4.0, p.raised);
                }
                let color = if change.gain() >= 0.0 { p.winner } else { p.loser };
                let inside = line.shrink2(vec2(space::S, 3.0));
                let (top, bottom) = inside.split_top_bottom_at_fraction(0.5);
                let body = TextStyle::Body.resolve(ui.style());
                let small = TextStyle::Small.resolve(ui.style());
                let figure = Rect::from_min_max(pos2(inside.right() - 54.0, top.top()), top.max);
                widgets::paint_text(ui, figure, Align2::RIGHT_CENTER, &gain, body.clone(), color);
                widgets::paint_text(ui, top.with_max_x(figure.left()), Align2::LEFT_CENTER, name, body, p.text);
                let text =
                    format!("seed {seed}   {} → {}", format::reward(change.before), format::reward(change.after));
                widgets::paint_text(ui, bottom, Align2::LEFT_CENTER, &text, small, p.text_faint);
                // The bar says at a glance how the gains fall off down the list.
                let bar = Rect::from_min_max(
                    pos2(inside.right() - 46.0, bottom.center().y - 1.5),
                    pos2(inside.right(), bottom.center().y + 1.5),
                );
                let share = if largest > 0.0 { (change.gain().abs() / largest) as f32 } else { 0.0 };
                let filled = bar.with_min_x(bar.right() - bar.width() * share);
                ui.painter().rect_filled(filled, 1.5, color);
                if response.clicked() {
                    chosen = Some((change.image, change.seed));
                }
                response.on_hover_text(name);
            }
        });
        if let Some((image, seed)) = chosen {
            shown.go(image, seed);
            shown.select(&mut cx.state.selection);
        }
    }
}
