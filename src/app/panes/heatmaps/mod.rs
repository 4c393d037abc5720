//! Scores as a matrix, metrics as maps over the picture.

mod maps;
mod matrix;

use egui::Ui;

use crate::app::actions::{Cx, Pane};

/// What the tab shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shows {
    #[default]
    Matrix,
    Maps,
}

/// The Heatmaps tab.
#[derive(Default)]
pub struct HeatmapsPane {
    shows: Shows,
    matrix: matrix::MatrixView,
    maps: maps::MapsView,
}

impl HeatmapsPane {
    /// Turns to the maps of the selected candidate beside the best one's.
    pub fn show_maps(&mut self) {
        self.shows = Shows::Maps;
        self.maps.explain();
    }
}

impl Pane for HeatmapsPane {
    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        ui.horizontal(|ui| {
            ui.selectable_value(&mut self.shows, Shows::Matrix, "Matrix")
                .on_hover_text("Seeds × metrics: normalized scores and rewards");
            ui.selectable_value(&mut self.shows, Shows::Maps, "Maps")
                .on_hover_text("Where in the picture a metric sees errors");
        });
        match self.shows {
            Shows::Matrix => self.matrix.ui(ui, cx),
            Shows::Maps => self.maps.ui(ui, cx),
        }
    }
}
