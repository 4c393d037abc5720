//! Which metrics rank the seeds of an image alike, and which of them decide: ρ within groups, and each metric's share of R.

use std::sync::Arc;

use egui::accesskit::Role;
use egui::{Align2, Color32, Rect, RichText, ScrollArea, Sense, TextStyle, Ui, pos2, vec2};

use super::matrix::ink_on;
use crate::app::actions::Cx;
use crate::app::commands::CommandId;
use crate::app::gpu::colormap::Colormap;
use crate::app::viewer::legend;
use crate::app::widgets;
use crate::engine::protocol::Attributed;
use crate::method::attribution::{Attribution, MetricAttribution};

const ROW: f32 = 24.0;
const NAME: f32 = 96.0;
/// Width of a figure before the matrix.
const FIGURE: f32 = 60.0;
/// The widths that a cell of the matrix can have: as wide as there is room for all.
const CELLS: std::ops::RangeInclusive<f32> = 44.0..=64.0;
/// Height of the names above the matrix: two lines.
const HEAD: f32 = 34.0;
/// The figures of a metric.
const FIGURES: [(&str, &str); 4] = [
    ("share of R", "Share of the variance of R within groups that the metric makes: below 0 it works against the rest"),
    ("ρ with R", "Spearman's rank correlation with the reward within groups"),
    ("decides", "Share of the pairs that would be another without the metric"),
    (
        "by seed",
        "How much of what candidates differ by is what the seed's noise does to every image of that size, rather than to this one: \
         pairs ranked regardless of `seed` leave it out",
    ),
];

/// The correlation of metrics.
#[derive(Default)]
pub struct CorrelationView {
    /// The rewards it was asked for last.
    asked: Option<usize>,
}

impl CorrelationView {
    /// Draws it.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let Some(rewards) = cx.state.rewards.clone() else {
            let text = "Which metrics rank alike, and which of them decide, is told from the first scores.";
            if widgets::empty_state(ui, "▤", "No scores yet", text, Some("Generate")) {
                cx.run(CommandId::Generate);
            }
            return;
        };
        let key = Arc::as_ptr(&rewards) as usize;
        if self.asked != Some(key) {
            self.asked = Some(key);
            cx.state.wants.attribution = true;
        }
        let Some(known) = cx.state.attribution.clone() else {
            let text = "Nothing to attribute yet: the metrics of the reward have no scores of the images to train on.";
            ui.add(egui::Label::new(RichText::new(text).color(cx.palette.text_weak)).wrap());
            return;
        };
        let Attributed { attribution, images } = known.as_ref();
        conflict_ui(ui, cx, attribution, images.len());
        ScrollArea::both().id_salt("correlation").auto_shrink(false).show(ui, |ui| table_ui(ui, cx, attribution));
    }
}

/// How often the halves disagree, and what the colours stand for.
fn conflict_ui(ui: &mut Ui, cx: &Cx, attribution: &Attribution, images: usize) {
    let p = cx.palette;
    ui.horizontal_wrapped(|ui| {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let conflict = attribution.conflict.map_or("–".into(), percent);
        let all = attribution.conflict_of_all.map_or("–".into(), percent);
        let text = format!("FR and NR disagree in {conflict} of the pairs");
        ui.label(RichText::new(text).color(p.text)).on_hover_text(format!(
            "The loser of the pair is the better one by the other half of the reward.\nOf any two candidates of an image: {all}"
        ));
        let [fr, nr] = attribution.halves.map(percent);
        let text = format!("FR makes {fr} of R's spread, NR {nr}; {}", crate::app::format::counted(images, "image"));
        ui.label(RichText::new(text).small().color(p.text_weak));
    });
    let (bar, response) = ui.allocate_exact_size(vec2(ui.available_width().min(300.0), 16.0), Sense::hover());
    legend::paint_scale(ui, cx, bar, Colormap::Diverging, ["ρ = −1, opposite", "+1, alike"]);
    response.on_hover_text("Spearman's ρ of two metrics over the seeds of an image, better up, averaged over images");
}

fn table_ui(ui: &mut Ui, cx: &Cx, attribution: &Attribution) {
    let p = cx.palette;
    let metrics = &attribution.metrics;
    let (small, body) = (TextStyle::Small.resolve(ui.style()), TextStyle::Body.resolve(ui.style()));
    let first = NAME + FIGURE * FIGURES.len() as f32 + 8.0;
    let cell = ((ui.available_width() - first) / metrics.len().max(1) as f32).clamp(*CELLS.start(), *CELLS.end());
    let width = first + cell * metrics.len() as f32;
    ui.spacing_mut().item_spacing.y = 0.0;
    let (head, _) = ui.allocate_exact_size(vec2(width, HEAD), Sense::hover());
    for (column, (title, hint)) in FIGURES.into_iter().enumerate() {
        let min = head.min + vec2(NAME + column as f32 * FIGURE, 0.0);
        let rect = Rect::from_min_size(min, vec2(FIGURE - 6.0, HEAD));
        widgets::paint_text(ui, rect, Align2::RIGHT_CENTER, title, small.clone(), p.text_weak);
        let response = ui.interact(rect, ui.scope_id().with(title), Sense::hover());
        response.on_hover_text(hint);
    }
    for (column, metric) in metrics.iter().enumerate() {
        let min = head.min + vec2(first + column as f32 * cell, 0.0);
        let rect = Rect::from_min_size(min, vec2(cell - 2.0, HEAD));
        widgets::paint_text(ui, rect, Align2::CENTER_CENTER, &metric.name, small.clone(), color_of(cx, metric));
        ui.interact(rect, ui.scope_id().with(("head", column)), Sense::hover()).on_hover_text(&metric.name);
    }
    for (row, metric) in metrics.iter().enumerate() {
        let (line, response) = ui.allocate_exact_size(vec2(width, ROW), Sense::hover());
        widgets::name(&response, Role::Row, &spoken(metric));
        let name = Rect::from_min_size(line.min, vec2(NAME - 6.0, ROW));
        let text = format!("{} {}", metric.name, metric.direction.arrow());
        widgets::paint_text(ui, name, Align2::LEFT_CENTER, &text, body.clone(), color_of(cx, metric));
        for (column, figure) in figures(metric).iter().enumerate() {
            let min = line.min + vec2(NAME + column as f32 * FIGURE, 0.0);
            let rect = Rect::from_min_size(min, vec2(FIGURE - 6.0, ROW));
            if column == 0 && metric.share > 0.0 {
                let bar = Rect::from_min_max(
                    pos2(rect.left() + 2.0, rect.bottom() - 4.0),
                    pos2(rect.right(), rect.bottom() - 1.0),
                );
                widgets::paint_bar(ui, bar, metric.share as f32, p.accent);
            }
            widgets::paint_text(ui, rect, Align2::RIGHT_CENTER, figure, body.clone(), p.text);
        }
        let known = attribution.correlations.get(row).map(Vec::as_slice).unwrap_or_default();
        for (column, rho) in known.iter().enumerate() {
            let min = line.min + vec2(first + column as f32 * cell, 0.0);
            let rect = Rect::from_min_size(min, vec2(cell - 1.0, ROW - 1.0));
            let (fill, text, ink) = match rho {
                // With itself every metric agrees: that says nothing and has no colour.
                Some(_) if row == column => (p.raised, "1".into(), p.text_faint),
                Some(rho) => {
                    let fill = Colormap::Diverging.color((0.5 + 0.5 * rho) as f32);
                    (fill, signed(*rho), ink_on(fill))
                }
                None => (p.well, "–".into(), p.text_faint),
            };
            ui.painter().rect_filled(rect, 0.0, fill);
            ui.painter().text(rect.center(), Align2::CENTER_CENTER, text, small.clone(), ink);
            let other = metrics.get(column).map_or("", |other| other.name.as_str());
            let said = rho.map_or("no group tells".into(), |rho| format!("ρ = {}", signed(rho)));
            let response = ui.interact(rect, ui.scope_id().with(("cell", row, column)), Sense::hover());
            response.on_hover_text(format!("{} and {other}: {said}", metric.name));
        }
    }
    ui.add_space(6.0);
    let text = "in this colour: held out, no part of the reward";
    ui.label(RichText::new(text).small().color(p.held_out));
}

fn color_of(cx: &Cx, metric: &MetricAttribution) -> Color32 {
    if metric.coefficient == 0.0 { cx.palette.held_out } else { cx.palette.text }
}

/// What [`FIGURES`] name.
fn figures(metric: &MetricAttribution) -> [String; 4] {
    // Adding 0 makes −0 a plain one.
    let percent = |share: f64| format!("{:.0} %", (100.0 * share).round() + 0.0).replace('-', "−");
    let counts = metric.coefficient != 0.0;
    let of_reward = |share: f64| if counts { percent(share) } else { "–".into() };
    let by_seed = metric.by_seed.map_or("–".into(), percent);
    [of_reward(metric.share), metric.with_reward.map_or("–".into(), signed), of_reward(metric.decides), by_seed]
}

fn signed(rho: f64) -> String {
    format!("{rho:+.2}").replace('-', "−")
}

/// The row as a screen reader says it.
fn spoken(metric: &MetricAttribution) -> String {
    let [share, rho, decides, by_seed] = figures(metric);
    format!("{}: share of R {share}, ρ with R {rho}, decides {decides}, by seed {by_seed}", metric.name)
}
