//! Metrics as maps over the candidates of an image.

use egui::Ui;

use crate::app::actions::Cx;
use crate::app::widgets;

/// Maps over candidates.
#[derive(Default)]
pub struct MapsView {}

impl MapsView {
    /// Draws them.
    pub fn ui(&mut self, ui: &mut Ui, _cx: &mut Cx) {
        let text = "This view is being built. It will show every metric as a map over the candidate.";
        widgets::empty_state(ui, "▤", "Maps", text, None);
    }
}
