//! One candidate as large as the tab; the arrows go on to the others in the order of the grid.

use egui::{Align, Key, Label, Layout, RichText, Ui, vec2};

use super::OrderBy;
use super::cell::Side;
use super::grid::{self, Slot};
use crate::app::actions::Cx;
use crate::app::panes::pairs::metrics_of;
use crate::app::panes::why;
use crate::app::viewer::{Item, Viewer};
use crate::app::{format, theme, widgets};
use crate::engine::protocol::Source;
use crate::workspace::{CandidateSet, ImageId};

/// The loupe of the Seeds tab.
#[derive(Default)]
pub struct Loupe {
    pub is_open: bool,
    /// The best candidate stands beside the one that is looked at.
    beside_best: bool,
    viewer: Viewer,
}

impl Loupe {
    /// Draws the selected candidate of an image; closes where there is none.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx, order_by: &OrderBy) {
        let image = cx.state.selected_image().map(|image| image.id);
        let set = cx.state.library.as_ref().and_then(|library| library.set.clone());
        let Some((image, set)) = image.zip(set) else {
            self.is_open = false;
            return;
        };
        let slots: Vec<Slot> = grid::slots_of(cx, image, order_by).into_iter().filter(|slot| slot.exists).collect();
        let chosen = |cx: &Cx| slots.iter().position(|slot| Some(slot.seed) == cx.state.selection.seed);
        let Some(first) = slots.first() else {
            self.is_open = false;
            return;
        };
        let mut at = chosen(cx).unwrap_or(0);
        if let Some(by) = self.keys(ui) {
            at = at.saturating_add_signed(by).min(slots.len() - 1);
        }
        at = self.head_ui(ui, cx, &slots, at);
        let slot = slots.get(at).unwrap_or(first);
        cx.state.selection.candidate(image, slot.seed);
        let best = slots.iter().find(|slot| slot.rank == Some(0)).filter(|best| best.seed != slot.seed);
        let mut items = vec![item(cx, &set, image, slot)];
        if let Some(best) = best.filter(|_| self.beside_best) {
            items.insert(0, item(cx, &set, image, best));
            let parts = why::parts(cx, image, best.seed, slot.seed);
            if let Some(metric) = why::ui(ui, cx, &parts, self.viewer.heat.metric.as_deref()) {
                self.viewer.toggle_map(metric);
            }
        }
        let metrics = metrics_of(cx, image);
        self.viewer.ui(ui, cx, &items, &metrics);
    }

    /// Escape and Enter close, arrows go on.
    fn keys(&mut self, ui: &Ui) -> Option<isize> {
        if ui.ctx().egui_wants_keyboard_input() {
            return None;
        }
        let pressed = |key| ui.input(|i| i.key_pressed(key) && i.modifiers.is_none());
        self.is_open &= !(pressed(Key::Escape) || pressed(Key::Enter));
        let keys = [(Key::ArrowLeft, -1), (Key::ArrowUp, -1), (Key::ArrowRight, 1), (Key::ArrowDown, 1)];
        keys.into_iter().find(|(key, _)| pressed(*key)).map(|(_, by)| by)
    }

    fn head_ui(&mut self, ui: &mut Ui, cx: &Cx, slots: &[Slot], at: usize) -> usize {
        let p = cx.palette;
        let mut next = at;
        let line = vec2(ui.available_width(), ui.spacing().interact_size.y);
        ui.allocate_ui_with_layout(line, Layout::left_to_right(Align::Center), |ui| {
            if ui.button("Back to the grid").on_hover_text("Esc or Enter").clicked() {
                self.is_open = false;
            }
            if ui.button("◀").on_hover_text("The one before  ←").clicked() {
                next = at.saturating_sub(1);
            }
            if ui.button("▶").on_hover_text("The next one  →").clicked() {
                next = (at + 1).min(slots.len() - 1);
            }
            let Some(slot) = slots.get(next) else { return };
            ui.label(RichText::new(format!("Seed {}", slot.seed)).font(theme::strong(14.0)));
            match slot.side {
                Side::Winner => drop(widgets::badge(ui, "▲ winner", p.winner)),
                Side::Loser => drop(widgets::badge(ui, "▼ loser", p.loser)),
                Side::Middle => {}
            }
            let rank = match slot.rank {
                Some(rank) => format!("rank {} of {}   R {}", rank + 1, slots.len(), format::reward(slot.reward)),
                None => "not scored yet".into(),
            };
            ui.add(Label::new(RichText::new(rank).color(p.text_weak)).truncate());
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let hint = "The candidate of the highest reward beside this one, and what each metric makes of it";
                ui.toggle_value(&mut self.beside_best, "Beside the best").on_hover_text(hint);
            });
        });
        next
    }
}

fn item(cx: &Cx, set: &CandidateSet, image: ImageId, slot: &Slot) -> Item {
    let source = Source::Candidate { set: set.clone(), image, seed: slot.seed };
    let mark = slot.side.mark();
    let label = format!("{mark} seed {}  R {}", slot.seed, format::reward(slot.reward));
    Item::new(source, label.trim_start(), slot.side.color(cx.palette))
}
