//! Two checkpoints side by side.

use egui::Ui;

use super::Pane;
use crate::app::actions::Cx;
use crate::app::widgets;

/// Two checkpoints side by side.
#[derive(Default)]
pub struct ComparePane;

impl Pane for ComparePane {
    fn ui(&mut self, ui: &mut Ui, _cx: &mut Cx) {
        widgets::empty_state(
            ui,
            "◨",
            "Compare",
            "This pane is being built. Compare (Ctrl+R) runs meanwhile; its result is in the log.",
            None,
        );
    }
}
