//! Seeds × metrics as a matrix of normalized scores.

use egui::Ui;

use crate::app::actions::Cx;
use crate::app::widgets;

/// The matrix of seeds × metrics.
#[derive(Default)]
pub struct MatrixView {}

impl MatrixView {
    /// Draws it.
    pub fn ui(&mut self, ui: &mut Ui, _cx: &mut Cx) {
        let text = "This view is being built. It will show seeds × metrics as a matrix of normalized scores.";
        widgets::empty_state(ui, "▤", "Matrix", text, None);
    }
}
