//! Scores as a matrix, metrics as maps over the picture, rewards of all images × seeds, and where the halves disagree.

mod correlation;
mod images;
mod maps;
mod matrix;
mod scatter;

use egui::Ui;

use crate::app::actions::{Cx, Pane};
use crate::app::commands::CommandId;
use crate::app::pane_kind::HeatmapView;
use crate::app::theme::space;

/// The Heatmaps tab.
#[derive(Default)]
pub struct HeatmapsPane {
    /// What it shows.
    pub shows: HeatmapView,
    matrix: matrix::MatrixView,
    maps: maps::MapsView,
    images: images::ImagesView,
    scatter: scatter::ScatterView,
    correlation: correlation::CorrelationView,
}

impl HeatmapsPane {
    /// Turns to the maps of the selected candidate beside the best one's.
    pub fn show_maps(&mut self) {
        self.shows = HeatmapView::Maps;
        self.maps.explain();
    }
}

impl Pane for HeatmapsPane {
    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = space::XS;
            for view in HeatmapView::ALL {
                ui.selectable_value(&mut self.shows, view, view.title()).on_hover_text(view.hint());
            }
        });
        match self.shows {
            HeatmapView::Matrix => self.matrix.ui(ui, cx),
            HeatmapView::Maps => self.maps.ui(ui, cx),
            HeatmapView::Images => self.images.ui(ui, cx),
            HeatmapView::Scatter => self.scatter.ui(ui, cx),
            HeatmapView::Correlation => self.correlation.ui(ui, cx),
        }
    }

    fn command(&mut self, id: CommandId, _: &mut Cx) {
        self.shows = match id {
            CommandId::ShowMatrix => HeatmapView::Matrix,
            CommandId::ShowMaps => HeatmapView::Maps,
            CommandId::ShowRewards => HeatmapView::Images,
            CommandId::ShowFrNr => HeatmapView::Scatter,
            CommandId::ShowCorrelation => HeatmapView::Correlation,
            _ => return,
        };
    }
}
