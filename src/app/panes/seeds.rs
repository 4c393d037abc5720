//! All candidates of an image, or of all images.

use egui::Ui;

use super::Pane;
use crate::app::actions::Cx;
use crate::app::widgets;

/// All candidates of an image, or of all images.
#[derive(Default)]
pub struct SeedsPane {
    cell: f32,
}

impl SeedsPane {
    pub fn cell_points(&self) -> f32 {
        self.cell
    }
    pub fn set_cell_points(&mut self, points: f32) {
        self.cell = points;
    }
}

impl Pane for SeedsPane {
    fn ui(&mut self, ui: &mut Ui, _cx: &mut Cx) {
        widgets::empty_state(ui, "▦", "Seeds", "This pane is being built.", None);
    }
}
