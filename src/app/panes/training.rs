//! Runs: started, watched, stopped.

use egui::Ui;

use super::Pane;
use crate::app::actions::Cx;
use crate::app::widgets;

/// Runs: started, watched, stopped.
#[derive(Default)]
pub struct TrainingPane;

impl Pane for TrainingPane {
    fn ui(&mut self, ui: &mut Ui, _cx: &mut Cx) {
        widgets::empty_state(
            ui,
            "↗",
            "Training",
            "This pane is being built. Train (Ctrl+T) runs meanwhile; its progress is on top, its evaluations are in the log.",
            None,
        );
    }
}
