//! FR half against NR half: where truth and looks disagree. A rectangle drawn over it picks candidates out in all panes.

use std::sync::Arc;

use egui::accesskit::Role;
use egui::{
    Align2, Color32, ColorImage, Key, Mesh, Pos2, Rect, RichText, Sense, Stroke, StrokeKind, TextStyle, TextureHandle,
    TextureOptions, Ui, pos2, vec2,
};

use crate::app::actions::{Action, Cx};
use crate::app::gpu::colormap::Colormap;
use crate::app::pane_kind::PaneKind;
use crate::app::state::Brush;
use crate::app::state::rewards::RewardView;
use crate::app::theme::Palette;
use crate::app::{format, widgets};
use crate::report::plot::ticks;
use crate::workspace::ImageId;

/// From this many candidates on their density is drawn.
const DENSE: usize = 4000;
/// Bins of the density along each axis.
const BINS: usize = 128;
/// How near the pointer must be to a candidate, in points.
const NEAR: f32 = 12.0;
/// Room for the figures of the axes, in points.
const MARGIN: [f32; 2] = [46.0, 34.0];

/// A candidate with both halves.
#[derive(Clone, Copy, Debug)]
struct Dot {
    image: ImageId,
    seed: u64,
    at: [f64; 2],
    side: Option<bool>,
}

/// The scatter and what it follows from.
#[derive(Default)]
pub struct ScatterView {
    shows_all: bool,
    made_of: Option<(usize, Option<ImageId>)>,
    dots: Vec<Dot>,
    /// Lowest and highest of FR, then of NR.
    range: [[f64; 2]; 2],
    density: Option<TextureHandle>,
    /// Where the rectangle began.
    from: Option<[f64; 2]>,
    /// Candidates within the brush, and the brush they were counted for.
    inside: Option<(Brush, usize)>,
}

impl ScatterView {
    /// Draws it.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let Some(rewards) = cx.state.rewards.clone() else {
            widgets::empty_state(
                ui,
                "▤",
                "No rewards yet",
                "Both halves of the reward of every candidate appear here.",
                None,
            );
            return;
        };
        self.update(ui, cx, &rewards);
        self.tools_ui(ui, cx);
        if self.dots.is_empty() {
            let text = "No candidate shown has both halves: FR metrics need an HR image, and both halves a metric.";
            ui.add(egui::Label::new(RichText::new(text).color(cx.palette.text_weak)).wrap());
            return;
        }
        self.plot_ui(ui, cx);
    }

    fn update(&mut self, ui: &Ui, cx: &Cx, rewards: &Arc<RewardView>) {
        let image = cx.state.selection.image.filter(|_| !self.shows_all);
        let key = (Arc::as_ptr(rewards) as usize, image);
        if self.made_of == Some(key) {
            return;
        }
        self.made_of = Some(key);
        self.inside = None;
        self.dots.clear();
        let seeds = &rewards.ranking.scores.seeds;
        let shown = cx.state.library.iter().flat_map(|library| &library.images);
        for row in shown.filter(|row| image.is_none_or(|id| row.id == id) && (self.shows_all || image.is_some())) {
            let Some(place) = rewards.place(row.id) else { continue };
            let (winners, losers) = rewards.winners_losers(place);
            for (column, &seed) in seeds.iter().enumerate() {
                let at = rewards.halves_of(place, column);
                if at.iter().all(|half| half.is_finite()) {
                    let is_in = |list: &[u16]| list.iter().any(|&c| usize::from(c) == column);
                    let side = if is_in(winners) { Some(true) } else { is_in(losers).then_some(false) };
                    self.dots.push(Dot { image: row.id, seed, at, side });
                }
            }
        }
        let range = |half: usize| {
            let values = self.dots.iter().map(|dot| dot.at[half]);
            let [low, high] = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], v| [a.min(v), b.max(v)]);
            let margin = ((high - low) * 0.04).max(1e-6);
            [low - margin, high + margin]
        };
        self.range = [range(0), range(1)];
        self.density = (self.dots.len() > DENSE).then(|| self.density(ui, cx.palette));
    }

    /// How many candidates there are at each place, brighter with the logarithm of their number.
    fn density(&self, ui: &Ui, p: &Palette) -> TextureHandle {
        let mut counts = vec![0u32; BINS * BINS];
        for dot in &self.dots {
            let [x, y] =
                [0, 1].map(|i| self.share(i, dot.at[i])).map(|share| ((share * BINS as f64) as usize).min(BINS - 1));
            counts[(BINS - 1 - y) * BINS + x] += 1;
        }
        let most = (1.0 + f64::from(counts.iter().copied().max().unwrap_or(1))).ln();
        let color = |&count: &u32| match count {
            0 => p.well,
            count => Colormap::Viridis.color(((1.0 + f64::from(count)).ln() / most) as f32),
        };
        let image = ColorImage::new([BINS, BINS], counts.iter().map(color).collect());
        ui.ctx().load_texture("FR × NR", image, TextureOptions::NEAREST)
    }

    fn share(&self, axis: usize, value: f64) -> f64 {
        let [low, high] = self.range[axis];
        (value - low) / (high - low)
    }

    fn tools_ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        ui.horizontal_wrapped(|ui| {
            ui.selectable_value(&mut self.shows_all, false, "This image").on_hover_text("Its candidates");
            ui.selectable_value(&mut self.shows_all, true, "All images")
                .on_hover_text("Every candidate that has both halves");
            ui.separator();
            let text = match cx.state.selection.brush {
                None => "drag a rectangle: its candidates stand out in Seeds, Matrix and Images × seeds".into(),
                Some(brush) => {
                    if self.inside.is_none_or(|(of, _)| of != brush) {
                        self.inside = Some((brush, self.dots.iter().filter(|dot| brush.holds(dot.at)).count()));
                    }
                    let inside = self.inside.map_or(0, |(_, count)| count);
                    let all = format::counted(self.dots.len(), "candidate");
                    format!("{} of {all} inside", format::count(inside))
                }
            };
            if cx.state.selection.brush.is_some() {
                let clear = ui.button("Clear").on_hover_text("All candidates again  Esc");
                widgets::name(&clear, Role::Button, "Clear the rectangle");
                if clear.clicked() || ui.input(|input| input.key_pressed(Key::Escape)) {
                    cx.state.selection.brush = None;
                }
            }
            ui.add(egui::Label::new(RichText::new(text).small().color(cx.palette.text_weak)).wrap());
        });
    }

    fn plot_ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let p = cx.palette;
        let (all, _) = ui.allocate_exact_size(ui.available_size().max(vec2(120.0, 120.0)), Sense::hover());
        let plot = Rect::from_min_max(all.min + vec2(MARGIN[0], 4.0), all.max - vec2(8.0, MARGIN[1]));
        let response = ui.interact(plot, ui.scope_id().with("plot"), Sense::click_and_drag());
        let what = if self.shows_all { "all images" } else { "this image" };
        let said = format!("FR half against NR half of {what}, {}", format::counted(self.dots.len(), "candidate"));
        widgets::name(&response, Role::Image, &said);
        ui.painter().rect(plot, 3.0, p.well, Stroke::new(1.0, p.line), StrokeKind::Inside);
        self.axes(ui, p, plot);
        let painter = ui.painter().with_clip_rect(plot);
        match &self.density {
            Some(texture) => {
                let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
                painter.image(texture.id(), plot.shrink(1.0), uv, Color32::WHITE);
            }
            None => drop(painter.add(self.dots_mesh(cx, plot))),
        }
        if let Some(brush) = cx.state.selection.brush {
            let corners = [[brush.fr[0], brush.nr[0]], [brush.fr[1], brush.nr[1]]].map(|at| self.to_screen(plot, at));
            let rect = Rect::from_two_pos(corners[0], corners[1]);
            painter.rect(rect, 0.0, p.accent.gamma_multiply(0.12), Stroke::new(1.5, p.accent), StrokeKind::Inside);
        }
        let selected = cx.state.selection.image.zip(cx.state.selection.seed);
        if let Some(dot) = self.dots.iter().find(|dot| Some((dot.image, dot.seed)) == selected) {
            painter.circle_stroke(self.to_screen(plot, dot.at), 6.0, Stroke::new(2.0, p.accent));
        }
        self.brush(cx, plot, &response);
        let Some(dot) = response.hover_pos().filter(|_| !response.dragged()).and_then(|at| self.nearest(plot, at))
        else {
            return;
        };
        painter.circle_stroke(self.to_screen(plot, dot.at), 6.0, Stroke::new(1.5, p.text));
        if response.clicked() {
            cx.state.selection.candidate(dot.image, dot.seed);
            cx.act(Action::Show(PaneKind::Seeds));
        }
        let name = cx.state.image(dot.image).map_or_else(String::new, |image| image.name.clone());
        response.on_hover_ui_at_pointer(|ui| {
            ui.label(RichText::new(format!("{name}, seed {}", dot.seed)).color(p.text));
            let [fr, nr] = dot.at.map(format::reward);
            ui.label(RichText::new(format!("FR half {fr}   NR half {nr}")).small().color(p.text_weak));
            ui.label(RichText::new("a click opens it in Seeds").small().color(p.text_faint));
        });
    }

    fn to_screen(&self, plot: Rect, at: [f64; 2]) -> Pos2 {
        let [x, y] = [self.share(0, at[0]) as f32, self.share(1, at[1]) as f32];
        pos2(plot.left() + x * plot.width(), plot.bottom() - y * plot.height())
    }

    fn to_value(&self, plot: Rect, at: Pos2) -> [f64; 2] {
        let shares = [(at.x - plot.left()) / plot.width(), (plot.bottom() - at.y) / plot.height()];
        [0, 1].map(|i| self.range[i][0] + f64::from(shares[i]) * (self.range[i][1] - self.range[i][0]))
    }

    /// All candidates as one mesh: winners up, losers down, the others square.
    fn dots_mesh(&self, cx: &Cx, plot: Rect) -> Mesh {
        let p = cx.palette;
        let mut mesh = Mesh::default();
        let size = if self.dots.len() > 300 { 2.0 } else { 4.5 };
        for dot in &self.dots {
            let color = match dot.side {
                Some(true) => p.winner,
                Some(false) => p.loser,
                None => p.text_faint,
            };
            let is_out = cx.state.selection.brush.is_some_and(|brush| !brush.holds(dot.at));
            let color = if is_out { color.gamma_multiply(0.3) } else { color };
            let at = self.to_screen(plot, dot.at);
            match dot.side {
                None => mesh.add_colored_rect(Rect::from_center_size(at, vec2(size, size) * 1.4), color),
                Some(is_winner) => {
                    let up = if is_winner { -size } else { size };
                    let first = mesh.vertices.len() as u32;
                    for corner in [vec2(0.0, up * 1.3), vec2(-size * 1.2, -up), vec2(size * 1.2, -up)] {
                        mesh.colored_vertex(at + corner, color);
                    }
                    mesh.add_triangle(first, first + 1, first + 2);
                }
            }
        }
        mesh
    }

    fn axes(&self, ui: &Ui, p: &Palette, plot: Rect) {
        let font = TextStyle::Small.resolve(ui.style());
        for axis in 0..2 {
            let (step, values) = ticks(self.range[axis], 5.0);
            for value in values {
                let text = format::mark(value, step);
                let share = self.share(axis, value) as f32;
                if axis == 0 {
                    let x = plot.left() + share * plot.width();
                    ui.painter().vline(x, plot.y_range(), Stroke::new(1.0, p.grid));
                    ui.painter().text(
                        pos2(x, plot.bottom() + 3.0),
                        Align2::CENTER_TOP,
                        text,
                        font.clone(),
                        p.text_faint,
                    );
                } else {
                    let y = plot.bottom() - share * plot.height();
                    ui.painter().hline(plot.x_range(), y, Stroke::new(1.0, p.grid));
                    ui.painter().text(
                        pos2(plot.left() - 4.0, y),
                        Align2::RIGHT_CENTER,
                        text,
                        font.clone(),
                        p.text_faint,
                    );
                }
            }
        }
        let below = pos2(plot.center().x, plot.bottom() + 17.0);
        ui.painter().text(below, Align2::CENTER_TOP, "FR half → truer", font.clone(), p.text_weak);
        let above = plot.left_top() + vec2(5.0, 3.0);
        ui.painter().text(above, Align2::LEFT_TOP, "↑ NR half: better looking", font, p.text_weak);
    }

    /// Dragging draws the rectangle.
    fn brush(&mut self, cx: &mut Cx, plot: Rect, response: &egui::Response) {
        let Some(at) = response.interact_pointer_pos() else {
            self.from = None;
            return;
        };
        let at = self.to_value(plot, at.clamp(plot.min, plot.max));
        if response.drag_started() {
            // By the time it is a drag the pointer is further on.
            let origin = response.ctx.input(|input| input.pointer.press_origin());
            self.from = origin.map(|origin| self.to_value(plot, origin.clamp(plot.min, plot.max)));
        }
        if let Some(from) = self.from.filter(|_| response.dragged()) {
            let side = |i: usize| [from[i].min(at[i]), from[i].max(at[i])];
            cx.state.selection.brush = Some(Brush { fr: side(0), nr: side(1) });
        }
    }

    fn nearest(&self, plot: Rect, at: Pos2) -> Option<Dot> {
        let distance = |dot: &Dot| self.to_screen(plot, dot.at).distance_sq(at);
        let near = self.dots.iter().map(|dot| (dot, distance(dot))).min_by(|a, b| a.1.total_cmp(&b.1));
        near.filter(|(_, distance)| *distance < NEAR * NEAR).map(|(dot, _)| *dot)
    }
}
