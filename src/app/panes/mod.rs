//! The panes, one file each, behind one small trait.
//!
//! A pane draws from [`Cx::state`] and notes what is to be done in [`Cx::actions`]; it changes nothing else and never
//! waits. What it keeps between frames (scroll, sort order, what is hovered) is in its own struct.

pub mod compare;
pub mod heatmaps;
pub mod library;
pub mod log;
pub mod pairs;
pub mod recipe;
pub mod seeds;
pub mod training;
pub mod why;

use egui::Ui;
use egui_tiles::{Behavior, SimplificationOptions, TabState, TileId, Tiles, UiResponse};

use super::actions::{Cx, Pane};
use super::pane_kind::PaneKind;
use super::theme::{self, space};

/// All panes with what they keep between frames.
#[derive(Default)]
pub struct Panes {
    pub library: library::LibraryPane,
    pub recipe: recipe::RecipePane,
    pub seeds: seeds::SeedsPane,
    pub heatmaps: heatmaps::HeatmapsPane,
    pub pairs: pairs::PairsPane,
    pub training: training::TrainingPane,
    pub compare: compare::ComparePane,
    pub log: log::LogPane,
}

impl Panes {
    /// A pane by its name.
    pub fn get(&mut self, kind: PaneKind) -> &mut dyn Pane {
        match kind {
            PaneKind::Library => &mut self.library,
            PaneKind::Recipe => &mut self.recipe,
            PaneKind::Seeds => &mut self.seeds,
            PaneKind::Heatmaps => &mut self.heatmaps,
            PaneKind::Pairs => &mut self.pairs,
            PaneKind::Training => &mut self.training,
            PaneKind::Compare => &mut self.compare,
            PaneKind::Log => &mut self.log,
        }
    }
}

/// How the tiles draw panes and tabs.
pub struct Tiled<'a, 'b> {
    pub panes: &'a mut Panes,
    pub cx: &'a mut Cx<'b>,
    /// The pane in front: the tab that was drawn.
    pub front: &'a mut PaneKind,
}

impl Behavior<PaneKind> for Tiled<'_, '_> {
    fn pane_ui(&mut self, ui: &mut Ui, _: TileId, pane: &mut PaneKind) -> UiResponse {
        let kind = *pane;
        if PaneKind::TABS.contains(&kind) {
            *self.front = kind;
        }
        ui.push_id(kind, |ui| {
            let fill = self.cx.palette.surface;
            ui.painter().rect_filled(ui.max_rect(), 0.0, fill);
            egui::Frame::new().inner_margin(egui::Margin::symmetric(12, 10)).show(ui, |ui| {
                if !PaneKind::TABS.contains(&kind) {
                    widgets_title(ui, kind);
                }
                self.panes.get(kind).ui(ui, self.cx);
                ui.allocate_space(ui.available_size().max(egui::Vec2::ZERO));
            });
        });
        UiResponse::None
    }

    fn tab_title_for_pane(&mut self, pane: &PaneKind) -> egui::WidgetText {
        pane.title().into()
    }

    fn tab_bar_height(&self, style: &egui::Style) -> f32 {
        style.spacing.interact_size.y + 8.0
    }

    fn tab_title_spacing(&self, _: &egui::Visuals) -> f32 {
        space::M
    }

    fn tab_bar_color(&self, _: &egui::Visuals) -> egui::Color32 {
        self.cx.palette.backdrop
    }

    fn tab_bg_color(&self, _: &egui::Visuals, _: &Tiles<PaneKind>, _: TileId, state: &TabState) -> egui::Color32 {
        if state.active { self.cx.palette.surface } else { egui::Color32::TRANSPARENT }
    }

    fn tab_outline_stroke(&self, _: &egui::Visuals, _: &Tiles<PaneKind>, _: TileId, _: &TabState) -> egui::Stroke {
        egui::Stroke::NONE
    }

    fn tab_bar_hline_stroke(&self, _: &egui::Visuals) -> egui::Stroke {
        egui::Stroke::new(1.0, self.cx.palette.line)
    }

    fn tab_text_color(&self, _: &egui::Visuals, _: &Tiles<PaneKind>, _: TileId, state: &TabState) -> egui::Color32 {
        if state.active { self.cx.palette.text } else { self.cx.palette.text_weak }
    }

    fn gap_width(&self, _: &egui::Style) -> f32 {
        2.0
    }

    fn min_size(&self) -> f32 {
        120.0
    }

    fn simplification_options(&self) -> SimplificationOptions {
        SimplificationOptions { all_panes_must_have_tabs: false, ..SimplificationOptions::default() }
    }

    fn resize_stroke(&self, _: &egui::Style, state: egui_tiles::ResizeState) -> egui::Stroke {
        match state {
            egui_tiles::ResizeState::Idle => egui::Stroke::new(2.0, self.cx.palette.backdrop),
            _ => egui::Stroke::new(2.0, self.cx.palette.accent),
        }
    }
}

fn widgets_title(ui: &mut Ui, kind: PaneKind) {
    let p = theme::palette(ui);
    let size = ui.text_style_height(&egui::TextStyle::Body) * 0.85;
    ui.label(egui::RichText::new(kind.title()).font(theme::strong(size.round())).color(p.text));
}
