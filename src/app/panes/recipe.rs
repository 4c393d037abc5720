//! Every setting of a run, and what it makes of the pairs.

use egui::Ui;

use super::Pane;
use crate::app::actions::Cx;
use crate::app::widgets;

/// Every setting of a run, and what it makes of the pairs.
#[derive(Default)]
pub struct RecipePane;

impl Pane for RecipePane {
    fn ui(&mut self, ui: &mut Ui, _cx: &mut Cx) {
        widgets::empty_state(ui, "⚙", "Recipe", "This pane is being built.", None);
    }
}
