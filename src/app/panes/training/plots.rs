//! The curves of the runs shown, one plot for each quantity, all over the same steps.

use std::collections::HashMap;

use egui::accesskit::Role;
use egui::{Align, Align2, Id, Key, Label, Layout, RichText, ScrollArea, TextStyle, Ui, Vec2, pos2, vec2};
use egui_plot::{AxisHints, GridMark, HLine, Line, LineStyle, Plot, PlotPoint, PlotPoints, Points, VLine};

use super::quantity::{Chart, Quantity, charts};
use super::runs::color_of;
use super::series::Series;
use crate::app::actions::Cx;
use crate::app::theme::{Palette, space};
use crate::app::{format, widgets};
use crate::report::plot::ticks;
use crate::workspace::RunId;

/// Smallest width of a plot, in points.
const WIDTH: f32 = 190.0;
const HEIGHT: f32 = 136.0;
/// Height of a plot where all are seen with room to spare.
const TALLEST: f32 = 230.0;
/// Height of the title above a plot.
const HEAD: f32 = 26.0;
/// Width from which the title of a plot has its legend beside it.
const ROOMY: f32 = 300.0;
/// Height of the legend above a plot.
const LEGEND: f32 = 14.0;

/// How curves are drawn.
#[derive(Default)]
pub struct Plots {
    /// Weight of the past in the moving average, in [0, 1); evaluations are never smoothed.
    pub smoothing: f32,
    pub is_log: bool,
    series: HashMap<(RunId, Quantity), Series>,
    /// Range of steps the plots showed last; they are linked.
    range: Option<[f64; 2]>,
    /// The one plot that is shown large.
    enlarged: Option<String>,
}

/// A run drawn: its name and the version of its curves.
struct Drawn {
    id: RunId,
    name: String,
    version: u64,
}

impl Plots {
    /// Draws the plots of the runs.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx, shown: &[RunId]) {
        let runs = cx.state.library.as_ref().map(|library| library.runs.clone()).unwrap_or_default();
        let mut drawn = Vec::new();
        let mut all: Vec<Chart> = Vec::new();
        for run in runs.iter().filter(|run| shown.contains(&run.id)) {
            let curves = cx.state.curves_of(run.id);
            drawn.push(Drawn { id: run.id, name: run.name.clone(), version: curves.version });
            for chart in charts(curves) {
                if all.iter().all(|known| known.title != chart.title) {
                    all.push(chart);
                }
            }
        }
        if let Some(chart) = all.iter().find(|chart| self.enlarged.as_ref() == Some(&chart.title)) {
            let size = vec2(ui.available_width() - 4.0, (ui.available_height() - 30.0).max(HEIGHT));
            self.chart_ui(ui, cx, chart, &drawn, size);
            return;
        }
        if all.is_empty() {
            ui.label(RichText::new("Curves appear with the first steps.").color(cx.palette.text_weak));
            return;
        }
        // As many columns as have room, and no more than there are plots: what is left over widens them.
        let columns = ((ui.available_width() + space::S) / (WIDTH + space::S)).floor().clamp(1.0, all.len() as f32);
        let width = ((ui.available_width() - (columns - 1.0) * space::S - 10.0) / columns).floor();
        let rows: Vec<&[Chart]> = all.chunks(columns as usize).collect();
        let room = ui.available_height() / rows.len() as f32 - HEAD - space::S - space::XS;
        let height = room.clamp(HEIGHT, TALLEST).floor();
        ScrollArea::vertical().id_salt("plots").auto_shrink(false).show(ui, |ui| {
            for row in rows {
                ui.horizontal_top(|ui| {
                    ui.spacing_mut().item_spacing.x = space::S;
                    for chart in row {
                        ui.allocate_ui_with_layout(vec2(width, height + HEAD), Layout::top_down(Align::Min), |ui| {
                            self.chart_ui(ui, cx, chart, &drawn, vec2(width, height))
                        });
                    }
                });
                ui.add_space(space::XS);
            }
        });
    }

    fn chart_ui(&mut self, ui: &mut Ui, cx: &Cx, chart: &Chart, drawn: &[Drawn], size: Vec2) {
        let (p, width) = (cx.palette, size.x);
        ui.allocate_ui_with_layout(vec2(width, 20.0), Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = space::XS;
            let is_large = self.enlarged.is_some();
            let (button, hint) = match is_large {
                true => (ui.small_button("All plots"), "Back to all plots  Esc"),
                false => (widgets::enlarge_button(ui), "This plot alone, large"),
            };
            widgets::name(&button, Role::Button, &format!("{}: {}", chart.title, hint.trim_end_matches("  Esc")));
            let is_left = is_large && ui.input(|input| input.key_pressed(Key::Escape));
            if button.on_hover_text(hint).clicked() || is_left {
                self.enlarged = (!is_large).then(|| chart.title.clone());
            }
            if width > ROOMY {
                parts_ui(ui, p, chart);
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let title = Label::new(RichText::new(&chart.title).color(p.text)).truncate();
                ui.add(title).on_hover_text(&chart.hint);
            });
        });
        let mut height = size.y;
        if width <= ROOMY && chart.quantities.len() > 1 {
            // A line of its own, as within the plot it would lie on the curves.
            let line = vec2(width, LEGEND);
            ui.allocate_ui_with_layout(line, Layout::right_to_left(Align::Center), |ui| parts_ui(ui, p, chart));
            height -= LEGEND + ui.spacing().item_spacing.y;
        }
        // Quantities with a sign or that are zero at the start have no logarithm.
        let is_log =
            self.is_log && matches!(chart.quantities[0], Quantity::Loss | Quantity::GradNorm | Quantity::LearningRate);
        let range = self.range.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
        for run in drawn {
            for quantity in &chart.quantities {
                let series = self.series.entry((run.id, quantity.clone())).or_default();
                let smoothing = if quantity.is_per_step() { self.smoothing } else { 0.0 };
                let curves = cx.state.curves.get(&run.id);
                let values = || curves.map(|curves| quantity.of(curves)).unwrap_or_default();
                series.update(run.version, smoothing, is_log, values);
                // Where many lie on top of each other, finer than this is not told apart and costs frames.
                series.thin(range, width as usize / drawn.len().div_ceil(3));
            }
        }
        let steps = drawn.iter().filter_map(|run| cx.state.curves.get(&run.id)?.steps.last()).map(|row| row.step);
        // Where there is room it is said what runs from left to right.
        let x_axis = if self.enlarged.is_some() { AxisHints::new_x().label("step") } else { AxisHints::new_x() };
        let plot = Plot::new(Id::unique(("training", &chart.title)))
            .width(width)
            .height(height)
            .link_axis(Id::unique("training steps"), [true, false])
            .link_cursor(Id::unique("training steps"), [true, false])
            .allow_scroll(false)
            .allow_zoom([true, false])
            .allow_drag([true, false])
            .auto_bounds([true, true])
            // One range for all, also where there is only one evaluation yet.
            .include_x(0.0)
            .include_x(f64::from(steps.max().unwrap_or(1)))
            .grid_color(p.grid)
            .x_grid_spacer(|input| marks(input.bounds, 4.0))
            .y_grid_spacer(|input| marks(input.bounds, 4.0))
            .grid_spacing(egui::Rangef::new(4.0, 8.0))
            .custom_x_axes(vec![x_axis.label_spacing(egui::Rangef::new(16.0, 20.0))])
            .custom_y_axes(vec![
                AxisHints::new_y().min_thickness(38.0).label_spacing(egui::Rangef::new(12.0, 14.0)).formatter(
                    move |mark, _| match is_log {
                        true => format::brief(10f64.powf(mark.value)),
                        false => format::mark(mark.value, mark.step_size),
                    },
                ),
            ])
            .set_margin_fraction(vec2(0.01, 0.08))
            .label_formatter(|_| None);
        let series = &self.series;
        let reference = chart.quantities[0].reference();
        let response = plot.show(ui, |plot| {
            if let Some((value, name)) = reference {
                let value = if is_log { value.log10() } else { value };
                let line = HLine::new(name, value).color(p.text_faint).width(1.0).style(LineStyle::dashed_loose());
                plot.hline(line.allow_hover(false));
            }
            for run in drawn {
                let color = color_of(p, run.id);
                for quantity in &chart.quantities {
                    let Some(series) = series.get(&(run.id, quantity.clone())) else { continue };
                    let name = format!("{} {}", run.name, quantity.part());
                    let points = || PlotPoints::Borrowed(&series.thinned);
                    let line = Line::new(name.clone(), points()).color(color).width(1.6).style(style_of(quantity));
                    plot.line(line.allow_hover(false));
                    if !quantity.is_per_step() || series.thinned.len() == 1 {
                        plot.points(Points::new(name, points()).color(color).radius(2.4).allow_hover(false));
                    }
                    for &step in &series.broken {
                        plot.vline(VLine::new("not finite", step).color(p.error).width(1.5).allow_hover(false));
                    }
                }
            }
            let bounds = plot.plot_bounds();
            let is_whole = plot.auto_bounds().x;
            (plot.pointer_coordinate(), (!is_whole).then(|| [bounds.min()[0], bounds.max()[0]]))
        });
        widgets::name(&response.response, Role::Image, &chart.title);
        if let Some((value, name)) = reference {
            let at = response
                .transform
                .position_from_point(&PlotPoint::new(0.0, if is_log { value.log10() } else { value }));
            let rect = response.response.rect;
            if rect.y_range().contains(at.y) {
                let font = TextStyle::Small.resolve(ui.style());
                let at = pos2(rect.right() - 3.0, at.y - 1.0);
                ui.painter().text(at, Align2::RIGHT_BOTTOM, name, font, p.text_faint);
            }
        }
        let (pointer, range) = response.inner;
        if self.range != range {
            self.range = range;
            ui.ctx().request_repaint();
        }
        if let Some(pointer) = pointer.filter(|_| response.response.hovered()) {
            response.response.on_hover_ui_at_pointer(|ui| self.read_out_ui(ui, p, chart, drawn, &pointer, is_log));
        }
    }

    /// The values under the pointer.
    fn read_out_ui(&self, ui: &mut Ui, p: &Palette, chart: &Chart, drawn: &[Drawn], at: &PlotPoint, is_log: bool) {
        ui.label(RichText::new(format!("step {:.0}", at.x.max(0.0))).small().color(p.text_weak));
        for run in drawn {
            for quantity in &chart.quantities {
                let value = self.series.get(&(run.id, quantity.clone())).and_then(|s| s.at(at.x + 0.5));
                let Some(value) = value.map(|v| if is_log { 10f64.powf(v) } else { v }) else { continue };
                ui.horizontal(|ui| {
                    ui.label(RichText::new("●").small().color(color_of(p, run.id)));
                    let text = format!("{} {}  {}", run.name, quantity.part(), format::number(value));
                    ui.add(Label::new(text).extend());
                });
            }
        }
    }
}

/// About `count` marks at round values.
fn marks((low, high): (f64, f64), count: f64) -> Vec<GridMark> {
    let (step_size, values) = ticks([low, high], count);
    values.into_iter().map(|value| GridMark { value, step_size }).collect()
}

/// Strokes tell the quantities of one plot apart, colours the runs.
fn style_of(quantity: &Quantity) -> LineStyle {
    match quantity {
        Quantity::Best | Quantity::LoserError => LineStyle::dashed_dense(),
        Quantity::Worst => LineStyle::dotted_dense(),
        _ => LineStyle::Solid,
    }
}

/// What the strokes stand for, right to left.
fn parts_ui(ui: &mut Ui, p: &Palette, chart: &Chart) {
    if chart.quantities.len() < 2 {
        return;
    }
    for quantity in chart.quantities.iter().rev() {
        ui.label(RichText::new(format!("{} {}", mark_of(quantity), quantity.part())).small().color(p.text_weak));
    }
}

fn mark_of(quantity: &Quantity) -> &'static str {
    match style_of(quantity) {
        LineStyle::Solid => "—",
        LineStyle::Dashed { .. } => "- -",
        LineStyle::Dotted { .. } => "···",
    }
}
