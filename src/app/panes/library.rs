//! The LR images of the workspace.

use egui::Ui;

use super::Pane;
use crate::app::actions::Cx;
use crate::app::widgets;

/// The LR images of the workspace.
#[derive(Default)]
pub struct LibraryPane;

impl LibraryPane {
    pub fn order(&self, state: &crate::app::state::State) -> Vec<crate::workspace::ImageId> {
        state.library.as_ref().map_or_else(Vec::new, |l| l.images.iter().map(|i| i.id).collect())
    }
    pub fn scroll_to_selected(&mut self) {}
}

impl Pane for LibraryPane {
    fn ui(&mut self, ui: &mut Ui, _cx: &mut Cx) {
        widgets::empty_state(ui, "🖼", "Library", "This pane is being built.", None);
    }
}
