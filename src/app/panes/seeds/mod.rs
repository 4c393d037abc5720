//! All candidates of an image as a grid, or all images × seeds at a glance; they appear as they are sampled.

mod cell;
mod grid;
mod loupe;
mod overview;

pub(super) use cell::{Side, paint_picture, scores_ui};

use egui::{Align, ComboBox, Label, Layout, RichText, Slider, Ui};

use crate::app::actions::{Cx, Pane};
use crate::app::commands::CommandId;
use crate::app::state::Stage;
use crate::app::{theme, widgets};

/// Sides a cell can have, in points.
const CELL_POINTS: std::ops::RangeInclusive<f32> = 48.0..=640.0;
/// Side of a cell in the overview as a share of that in the grid.
const OVERVIEW_SHARE: f32 = 0.32;

/// What the candidates are ordered by.
#[derive(Clone, Debug, Default, PartialEq)]
enum OrderBy {
    Seed,
    #[default]
    Reward,
    Metric(String),
}

impl OrderBy {
    fn title(&self) -> String {
        match self {
            OrderBy::Seed => "Seed".into(),
            OrderBy::Reward => "Reward".into(),
            OrderBy::Metric(name) => name.clone(),
        }
    }
}

/// Width of the tab below which its tools are named briefly, in points.
const NARROW: f32 = 560.0;

/// The Seeds tab.
#[derive(Default)]
pub struct SeedsPane {
    /// Side of a cell as chosen; 0 fits all candidates of an image.
    cell_points: f32,
    /// Side of a cell that fits, as of the last frame.
    fitted_points: f32,
    order_by: OrderBy,
    shows_all: bool,
    loupe: loupe::Loupe,
}

impl Pane for SeedsPane {
    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        match cx.state.stage() {
            Stage::Closed => {
                let text = "Its images and their candidates appear here.";
                widgets::empty_state(ui, "▦", "A workspace is being opened", text, None);
                return;
            }
            Stage::Empty => {
                let text = "Each LR image gets a group of M candidates, one for each seed, drawn by the same model.";
                if widgets::empty_state(ui, "▦", "Seeds of an image", text, Some("Add images…")) {
                    cx.run(CommandId::AddImages);
                }
                return;
            }
            Stage::Images | Stage::Scored | Stage::Trained => {}
        }
        if self.loupe.is_open {
            self.loupe.ui(ui, cx, &self.order_by);
            return;
        }
        self.tools_ui(ui, cx);
        self.zoom_with_wheel(ui);
        if self.is_fitted() {
            self.fitted_points = grid::fitting_side(ui, cx).clamp(*CELL_POINTS.start(), *CELL_POINTS.end());
        }
        let points = self.cell_points();
        if self.shows_all {
            let side = if self.is_fitted() { overview::fitting_side(ui, cx) } else { points * OVERVIEW_SHARE };
            self.loupe.is_open |= overview::ui(ui, cx, side.max(20.0));
        } else {
            self.loupe.is_open |= grid::ui(ui, cx, points, &self.order_by, !self.is_fitted());
        }
    }
}

impl SeedsPane {
    /// Side of a cell in points.
    pub fn cell_points(&self) -> f32 {
        if self.is_fitted() { self.fitted_points } else { self.cell_points }
    }

    /// Side of a cell as chosen, to be remembered: 0 where it follows the room there is.
    pub fn chosen_cell_points(&self) -> f32 {
        self.cell_points
    }

    /// Takes up what [`SeedsPane::chosen_cell_points`] said.
    pub fn restore_cell_points(&mut self, points: f32) {
        self.cell_points = if points > 0.0 { points.clamp(*CELL_POINTS.start(), *CELL_POINTS.end()) } else { 0.0 };
    }

    fn is_fitted(&self) -> bool {
        self.cell_points <= 0.0
    }

    /// Sets the side of a cell, within its limits.
    pub fn set_cell_points(&mut self, points: f32) {
        self.cell_points = points.clamp(*CELL_POINTS.start(), *CELL_POINTS.end());
    }

    fn tools_ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let height = ui.spacing().interact_size.y;
        let line = egui::vec2(ui.available_width(), height);
        ui.allocate_ui_with_layout(line, Layout::right_to_left(Align::Center), |ui| {
            self.size_ui(ui);
            if !self.shows_all {
                self.order_ui(ui, cx);
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let [one, all] = if line.x < NARROW { ["One", "All"] } else { ["One image", "All images"] };
                ui.selectable_value(&mut self.shows_all, false, one).on_hover_text("The candidates of one image");
                ui.selectable_value(&mut self.shows_all, true, all)
                    .on_hover_text("The candidates of all images, small");
                ui.separator();
                if self.shows_all {
                    let text = RichText::new("by reward, winners and losers underlined").color(cx.palette.text_weak);
                    ui.add(egui::Label::new(text).truncate());
                } else {
                    self.image_ui(ui, cx);
                }
            });
        });
    }

    fn size_ui(&mut self, ui: &mut Ui) {
        ui.spacing_mut().slider_width = 84.0;
        let mut points = if self.is_fitted() { self.fitted_points } else { self.cell_points };
        let slider = Slider::new(&mut points, CELL_POINTS).logarithmic(true).show_value(false);
        let response = widgets::slider(ui, slider, "Cell size");
        if response.on_hover_text("Size of the cells; Ctrl + wheel, + and − do the same").changed() {
            self.set_cell_points(points);
        }
        let mut fit = self.is_fitted();
        let response = ui.toggle_value(&mut fit, "Fit").on_hover_text("As large as all candidates of an image can be");
        if response.changed() {
            self.cell_points = if fit { 0.0 } else { self.fitted_points };
        }
    }

    fn image_ui(&self, ui: &mut Ui, cx: &mut Cx) {
        let p = cx.palette;
        if ui.button("◀").on_hover_text("Previous image  [").clicked() {
            cx.run(CommandId::PreviousImage);
        }
        if ui.button("▶").on_hover_text("Next image  ]").clicked() {
            cx.run(CommandId::NextImage);
        }
        let Some(image) = cx.state.selected_image() else { return };
        if image.is_held_out() {
            widgets::badge(ui, image.split.as_str(), p.held_out)
                .on_hover_text("Held out, never trained on: makes no pairs");
        }
        let name = RichText::new(&image.name).font(theme::strong(14.0));
        ui.add(Label::new(name).truncate()).on_hover_text(&image.name);
    }

    fn order_ui(&mut self, ui: &mut Ui, cx: &Cx) {
        let metrics: Vec<String> = match &cx.state.rewards {
            Some(rewards) => {
                rewards.ranking.scores.train.table.columns().iter().map(|column| column.name.to_string()).collect()
            }
            None => Vec::new(),
        };
        let combo = ComboBox::from_id_salt("order")
            .width(104.0)
            .selected_text(format!("by {}", self.order_by.title().to_lowercase()));
        combo
            .show_ui(ui, |ui| {
                let metrics = metrics.into_iter().map(OrderBy::Metric);
                for by in [OrderBy::Reward, OrderBy::Seed].into_iter().chain(metrics) {
                    let title = by.title();
                    ui.selectable_value(&mut self.order_by, by, title);
                }
            })
            .response
            .on_hover_text("What the candidates are ordered by, best first");
    }

    fn zoom_with_wheel(&mut self, ui: &Ui) {
        if ui.rect_contains_pointer(ui.max_rect()) {
            let factor = ui.input(|i| i.zoom_delta());
            if factor != 1.0 {
                self.set_cell_points(self.cell_points() * factor);
            }
        }
    }
}
