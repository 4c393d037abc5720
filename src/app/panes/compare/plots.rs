//! The plots: Best, Mean and Worst of m seeds, and each candidate's reward after over before.

use egui::accesskit::Role;
use egui::{Align, Color32, Layout, RichText, Sense, Stroke, Ui, pos2, vec2};
use egui_plot::{
    AxisHints, GridMark, HoverPosition, Line, LineStyle, MarkerShape, Plot, PlotPoint, PlotPoints, Points,
};

use super::shown::{Shown, signed};
use crate::app::actions::Cx;
use crate::app::theme::{Palette, space};
use crate::app::{format, widgets};
use crate::report::plot::Tone;

/// How near a click must be to a point, in points of the screen.
const NEAR: f64 = 12.0;

/// Which plot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    #[default]
    Curves,
    Scatter,
}

impl Which {
    fn title(self) -> &'static str {
        match self {
            Which::Curves => "Best · Mean · Worst",
            Which::Scatter => "Before → after",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Which::Curves => "Reward of the best, of the mean and of the worst of m seeds, averaged over images",
            Which::Scatter => "Reward of each image and seed; above the line is better after. A click selects",
        }
    }
}

/// The plots, one of them in front where there is no room for both.
#[derive(Default)]
pub struct Plots {
    pub which: Which,
    /// A plot is in front of the table, where there is room for one of them.
    hides_table: bool,
}

impl Plots {
    /// The choice between the plots.
    pub fn tabs_ui(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = space::XS;
            for which in [Which::Curves, Which::Scatter] {
                ui.selectable_value(&mut self.which, which, which.title()).on_hover_text(which.hint());
            }
        });
    }

    /// The choice between table and plots, where one of them has all the room; `None` is the table.
    pub fn tabs_or_table_ui(&mut self, ui: &mut Ui) -> Option<Which> {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = space::XS;
            if ui.selectable_label(!self.hides_table, "Table").clicked() {
                self.hides_table = false;
            }
            for which in [Which::Curves, Which::Scatter] {
                let is_on = self.hides_table && self.which == which;
                if ui.selectable_label(is_on, which.title()).on_hover_text(which.hint()).clicked() {
                    (self.hides_table, self.which) = (true, which);
                }
            }
        });
        self.hides_table.then_some(self.which)
    }

    /// The title of a plot that stands by itself.
    pub fn title_ui(&self, ui: &mut Ui, which: Which) {
        ui.label(RichText::new(which.title()).color(crate::app::theme::palette(ui).text)).on_hover_text(which.hint());
    }

    /// Draws a plot in the room that is left.
    pub fn ui(&self, ui: &mut Ui, cx: &mut Cx, shown: &mut Shown, which: Which) {
        match which {
            Which::Curves => curves_ui(ui, cx.palette, shown),
            Which::Scatter => scatter_ui(ui, cx, shown),
        }
    }
}

fn color_of(p: &Palette, tone: Tone) -> Color32 {
    match tone {
        Tone::Best => p.series[2],
        Tone::Mean => p.series[0],
        Tone::Worst => p.series[1],
    }
}

/// A plot without anything that moves it: all of it is seen, and the wheel scrolls the pane.
fn still<'a>(ui: &Ui, id: &str, p: &'static Palette) -> Plot<'a> {
    let size = ui.available_size();
    Plot::new(id)
        .width(size.x)
        .height(size.y.max(60.0))
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_axis_zoom_drag(false)
        .allow_double_click_reset(false)
        .show_crosshair(false)
        // Few marks, all of which are to be named.
        .custom_x_axes(vec![AxisHints::new_x().label_spacing(egui::Rangef::new(14.0, 18.0))])
        .set_margin_fraction(vec2(0.05, 0.05))
        .y_axis_min_width(34.0)
        .grid_color(p.grid)
}

fn marks(ticks: &[(f64, String)]) -> Vec<GridMark> {
    ticks.iter().map(|(value, _)| GridMark { value: *value, step_size: 1.0 }).collect()
}

fn curves_ui(ui: &mut Ui, p: &'static Palette, shown: &Shown) {
    let comparison = &shown.compared.report.comparison;
    legend_ui(ui, p, &comparison.a, &comparison.b);
    let curves = &shown.curves;
    let (x_ticks, y_ticks) = (curves.x_ticks.clone(), curves.y_ticks.clone());
    let names = [comparison.a.clone(), comparison.b.clone()];
    let plot = still(ui, "curves", p)
        .x_grid_spacer(move |_| marks(&x_ticks))
        .y_grid_spacer(move |_| marks(&y_ticks))
        .x_axis_formatter(|mark, _| format!("{:.0}", 2f64.powf(mark.value)))
        .y_axis_formatter(|mark, _| format!("{:.2}", mark.value))
        .include_y(curves.y[0])
        .include_y(curves.y[1])
        .label_formatter(|hover| match hover {
            HoverPosition::NearDataPoint { plot_name, position, .. } => {
                let (m, reward) = (2f64.powf(position.x).round(), format::reward(position.y));
                Some(format!("{plot_name}\nm = {m}: {reward}"))
            }
            HoverPosition::Elsewhere { .. } => None,
        });
    let response = plot.show(ui, |plot| {
        for line in &curves.lines {
            let name = format!("{} of {}", line.tone.title(), names[usize::from(!line.is_before)]);
            let color = color_of(p, line.tone);
            let points = || PlotPoints::from(line.points.clone());
            let style = if line.is_before { LineStyle::dashed_dense() } else { LineStyle::Solid };
            let width = if line.is_before { 1.5 } else { 2.0 };
            plot.line(Line::new(name.clone(), points()).color(color).width(width).style(style));
            let radius = if line.is_before { 2.0 } else { 3.0 };
            plot.points(Points::new(name, points()).color(color).radius(radius).shape(MarkerShape::Circle));
        }
    });
    widgets::name(&response.response, Role::Image, "Best, Mean and Worst of m seeds");
}

/// What colours and strokes stand for.
fn legend_ui(ui: &mut Ui, p: &Palette, a: &str, b: &str) {
    let size = vec2(ui.available_width(), 16.0);
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        let small = |text: &str| RichText::new(text).small().color(p.text_weak);
        for tone in [Tone::Best, Tone::Mean, Tone::Worst] {
            stroke_ui(ui, color_of(p, tone), false, 10.0);
            ui.label(small(tone.title()));
        }
        for (side, name, is_dashed) in [("before", a, true), ("after", b, false)] {
            stroke_ui(ui, p.text_weak, is_dashed, 18.0);
            ui.add(egui::Label::new(small(side)).truncate()).on_hover_text(name);
        }
    });
}

fn stroke_ui(ui: &mut Ui, color: Color32, is_dashed: bool, width: f32) {
    let (rect, _) = ui.allocate_exact_size(vec2(width, 10.0), Sense::hover());
    let ends = [rect.left_center(), rect.right_center()];
    let stroke = Stroke::new(2.0, color);
    if is_dashed {
        ui.painter().extend(egui::Shape::dashed_line(&ends, stroke, 4.0, 3.0));
    } else {
        ui.painter().line_segment(ends, stroke);
    }
}

fn scatter_ui(ui: &mut Ui, cx: &mut Cx, shown: &mut Shown) {
    let p = cx.palette;
    let report = &shown.compared.report;
    let text = match shown.every {
        1 => format!("{} candidates", format::count(report.changes.len())),
        every => format!("every {every}th of {} candidates", format::count(report.changes.len())),
    };
    let up = report.changes.iter().take_while(|c| c.gain() > 0.0).count();
    let text = format!("{text}, {} improved", format::count(up));
    ui.allocate_ui(vec2(ui.available_width(), 16.0), |ui| {
        ui.add(egui::Label::new(RichText::new(text).small().color(p.text_weak)).truncate());
    });
    let all = || shown.risen.iter().chain(&shown.fallen);
    let low = all().map(|point| point.x.min(point.y)).fold(f64::INFINITY, f64::min);
    let high = all().map(|point| point.x.max(point.y)).fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        ui.weak("No candidate has a reward on both sides.");
        return;
    }
    let selected = shown.rewards();
    let plot = still(ui, "scatter", p)
        .data_aspect(1.0)
        .include_x(low)
        .include_x(high)
        .include_y(low)
        .include_y(high)
        .label_formatter(|_| None);
    let response = plot.show(ui, |plot| {
        let even = PlotPoints::from(vec![[low, low], [high, high]]);
        plot.line(
            Line::new("equal", even).color(p.text_faint).width(1.0).style(LineStyle::dashed_dense()).allow_hover(false),
        );
        for (name, points, color) in [("risen", &shown.risen, p.winner), ("fallen", &shown.fallen, p.loser)] {
            let points = PlotPoints::Borrowed(points);
            plot.points(Points::new(name, points).color(color.gamma_multiply(0.75)).radius(2.5).allow_hover(false));
        }
        if let Some([before, after]) = selected {
            let point = || PlotPoints::from(vec![[before, after]]);
            plot.points(Points::new("ring", point()).color(p.surface).radius(6.0).allow_hover(false));
            plot.points(Points::new("selected", point()).color(p.accent).radius(4.5).allow_hover(false));
        }
        plot.pointer_coordinate()
    });
    widgets::name(&response.response, Role::Image, "Reward of each candidate, after over before");
    let Some(at) = response.inner.filter(|_| response.response.hovered()) else { return };
    let scale = response.transform.dpos_dvalue().map(|s| 1.0 / s.abs().max(1e-9));
    let Some((change, _)) = shown.nearest(at, scale).filter(|(_, distance)| *distance < NEAR) else { return };
    let screen = response.transform.position_from_point(&PlotPoint::new(change.before, change.after));
    ui.painter().circle_stroke(pos2(screen.x, screen.y), 5.5, Stroke::new(1.5, p.text));
    let clicked = response.response.clicked();
    let name = report.comparison.by_image.get(change.image).map_or("", |image| image.name.as_str());
    let seed = shown.compared.seed(change.seed).unwrap_or_default();
    let text = format!(
        "{name}, seed {seed}\n{} → {}  ({})",
        format::reward(change.before),
        format::reward(change.after),
        signed(change.gain())
    );
    response.response.on_hover_text_at_pointer(text);
    if clicked {
        shown.go(change.image, change.seed);
        shown.select(&mut cx.state.selection);
    }
}
