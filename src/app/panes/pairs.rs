//! Winners beside losers, and a person's word on them.

use egui::Ui;

use super::Pane;
use crate::app::actions::Cx;
use crate::app::widgets;

/// Winners beside losers, and a person's word on them.
#[derive(Default)]
pub struct PairsPane;

impl Pane for PairsPane {
    fn ui(&mut self, ui: &mut Ui, _cx: &mut Cx) {
        widgets::empty_state(
            ui,
            "⇄",
            "Pairs",
            "This pane is being built. It will show the pairs by weight, side by side, to be excluded, flipped or pinned.",
            None,
        );
    }
}
