//! Scores as a matrix, metrics as maps over the picture.

use egui::Ui;

use super::Pane;
use crate::app::actions::Cx;
use crate::app::widgets;

/// Scores as a matrix, metrics as maps over the picture.
#[derive(Default)]
pub struct HeatmapsPane;

impl Pane for HeatmapsPane {
    fn ui(&mut self, ui: &mut Ui, _cx: &mut Cx) {
        widgets::empty_state(
            ui,
            "▤",
            "Heatmaps",
            "This pane is being built. It will show seeds × metrics as a matrix, and every metric as a map over the candidate.",
            None,
        );
    }
}
