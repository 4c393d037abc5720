//! The table: every metric before and after, the better side marked where that is more than noise.

use egui::accesskit::Role;
use egui::{Align2, FontId, Rect, ScrollArea, Sense, TextStyle, Ui, pos2, vec2};

use super::shown::Shown;
use crate::app::theme::{self, Palette};
use crate::app::widgets;
use crate::iqa::Direction;
use crate::method::intervals::ENOUGH;
use crate::report::rows::{Kind, Row, Side, number, signed, with_spread};

/// Height of a row, in points.
const ROW: f32 = 22.0;
/// Height of the line above a kind's rows, in points.
const HEAD: f32 = 24.0;

/// Where the columns lie, as distances from the right edge; the name takes the rest.
struct Columns {
    a: f32,
    b: f32,
    change: f32,
    /// The change in the metric's own unit is left out where there is no room.
    sigma: f32,
    interval: f32,
    /// The spreads over seeds are left out where there is no room.
    has_spread: bool,
}

impl Columns {
    fn of(width: f32) -> Self {
        // "0.04853 ± 0.00281" and "[−0.12, +0.31]" are whole wherever they stand.
        let has_spread = width > 480.0;
        let figure = if has_spread { (width * 0.25).clamp(118.0, 134.0) } else { 62.0 };
        let interval = 98.0;
        let sigma = interval + 46.0;
        let change = sigma + if width > 560.0 { 66.0 } else { 0.0 };
        Self { a: 2.0 * figure + change, b: figure + change, change, sigma, interval, has_spread }
    }
}

/// Draws it.
pub fn ui(ui: &mut Ui, p: &Palette, shown: &Shown) {
    let width = ui.available_width();
    let columns = Columns::of(width);
    let comparison = &shown.compared.report.comparison;
    let small = TextStyle::Small.resolve(ui.style());
    let (head, response) = ui.allocate_exact_size(vec2(width, HEAD), Sense::hover());
    let sides = [(columns.a, columns.b, &comparison.a), (columns.b, columns.change, &comparison.b)];
    for (from, to, name) in sides {
        let rect = column(head, from, to);
        widgets::paint_text(ui, rect, Align2::RIGHT_CENTER, name, small.clone(), p.text_weak);
    }
    let pairs = [
        (columns.change, columns.sigma, "change"),
        (columns.sigma, columns.interval, "in σ"),
        (columns.interval, 0.0, "95 %"),
    ];
    for (from, to, name) in pairs.into_iter().filter(|(from, to, _)| from > to) {
        widgets::paint_text(ui, column(head, from, to), Align2::RIGHT_CENTER, name, small.clone(), p.text_faint);
    }
    let text = format!("{} {} × {} seeds", comparison.images, comparison.on.adjective(), comparison.seeds);
    let left = Rect::from_min_max(head.min, pos2(head.right() - columns.a, head.bottom()));
    widgets::paint_text(ui, left, Align2::LEFT_CENTER, &text, small, p.text_faint);
    response.on_hover_text(format!(
        "{} and {}, {} × {} seeds: mean ± standard deviation over the seeds of an image, averaged over images.\nσ \
         is that spread before. 95 %: interval of the change over {}, in σ; bold and coloured where it excludes zero.",
        comparison.a,
        comparison.b,
        comparison.on.count(comparison.images),
        comparison.seeds,
        comparison.photographs_in_words()
    ));
    ui.painter().hline(head.x_range(), head.bottom(), egui::Stroke::new(1.0, p.line));
    ui.spacing_mut().item_spacing.y = 0.0;
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        let mut kind = Kind::Reward;
        for row in &shown.rows {
            if row.kind != kind {
                kind = row.kind;
                let (line, _) = ui.allocate_exact_size(vec2(width, 7.0), Sense::hover());
                ui.painter().hline(line.x_range(), line.center().y, egui::Stroke::new(1.0, p.line));
            }
            row_ui(ui, p, row, &columns, width);
        }
    });
}

/// The part of a line between two distances from its right edge.
fn column(line: Rect, from: f32, to: f32) -> Rect {
    Rect::from_min_max(pos2(line.right() - from + 6.0, line.top()), pos2(line.right() - to, line.bottom()))
}

fn row_ui(ui: &mut Ui, p: &Palette, row: &Row, columns: &Columns, width: f32) {
    let (line, response) = ui.allocate_exact_size(vec2(width, ROW), Sense::hover());
    widgets::name(&response, Role::Row, &spoken(row));
    if response.hovered() {
        ui.painter().rect_filled(line, 3.0, p.raised);
    }
    let body = TextStyle::Body.resolve(ui.style());
    let strong = theme::strong(body.size);
    let name = Rect::from_min_max(line.min, pos2(line.right() - columns.a, line.bottom()));
    // Short, as the column is narrow; the note above the table and the row's own hint say it in full.
    let mark = if row.mark.is_empty() { String::new() } else { format!(" ({})", row.images) };
    let text = format!("{} {}{mark}", row.name, row.direction.arrow());
    let color = if row.kind == Kind::HeldOut { p.held_out } else { p.text };
    widgets::paint_text(ui, name, Align2::LEFT_CENTER, &text, body.clone(), color);
    let better = row.better();
    for (side, figure, from, to) in
        [(Side::A, row.a, columns.a, columns.b), (Side::B, row.b, columns.b, columns.change)]
    {
        let is_better = better == Some(side);
        let (font, color) = if is_better { (strong.clone(), p.text) } else { (body.clone(), p.text_weak) };
        let text = if columns.has_spread { with_spread(figure) } else { number(figure.mean) };
        figure_ui(ui, column(line, from, to), &text, font, color);
    }
    let color = match better {
        Some(Side::B) => p.winner,
        Some(Side::A) => p.loser,
        None => p.text_faint,
    };
    if columns.change > columns.sigma {
        let text = signed(row.change(), row.a.mean);
        figure_ui(ui, column(line, columns.change, columns.sigma), &text, body.clone(), color);
    }
    let sigma = row.change_in_sigma().map_or("–".into(), |sigma| format!("{sigma:+.2}").replace('-', "−"));
    figure_ui(ui, column(line, columns.sigma, columns.interval), &sigma, body.clone(), color);
    let color = if better.is_some() { p.text_weak } else { p.text_faint };
    figure_ui(ui, column(line, columns.interval, 0.0), &row.interval_in_sigma(), body, color);
    response.on_hover_text(explanation(row));
}

fn figure_ui(ui: &Ui, rect: Rect, text: &str, font: FontId, color: egui::Color32) {
    widgets::paint_text(ui, rect, Align2::RIGHT_CENTER, text, font, color);
}

fn explanation(row: &Row) -> String {
    let direction = row.direction.phrase();
    let what = match row.kind {
        Kind::Reward => "Reward of the best, of all, of the worst of the seeds, averaged over images",
        Kind::Trained => "Part of the reward that was trained on",
        Kind::HeldOut if row.direction == Direction::Neither => {
            "Reported, never trained on: what the change is made of"
        }
        Kind::HeldOut => "Never trained on: rises only where quality does",
    };
    let verdict = match (row.better(), row.ahead()) {
        (Some(Side::A), _) => "before is better",
        (Some(Side::B), _) => "after is better",
        (None, Some(_)) if row.interval.is_none_or(|known| known.photographs < ENOUGH) => {
            "too few photographs to tell from chance"
        }
        (None, Some(_)) => "the change is within noise",
        (None, None) => "no side is better",
    };
    let images = crate::app::format::counted(row.images, "image");
    let interval = row.interval_in_sigma();
    let told = row.interval.map_or(String::new(), |known| {
        let photographs = crate::app::format::counted(known.photographs, "photograph");
        format!("\n95 % interval of the change over {photographs}: {interval} σ; paired test: p = {:.3}", known.p)
    });
    format!("{}: {direction}; {verdict}{told}\n{what}\nOf {images} that have it on both sides", row.name)
}

/// The row as a screen reader says it.
fn spoken(row: &Row) -> String {
    let (before, after) = (with_spread(row.a), with_spread(row.b));
    let change = row.change_in_sigma().map_or_else(String::new, |sigma| format!(", {sigma:+.2} σ").replace('-', "−"));
    let verdict = match row.better() {
        Some(Side::B) => "better",
        Some(Side::A) => "worse",
        None if row.direction == Direction::Neither => "neither better nor worse",
        None => "within noise",
    };
    let (kind, interval) = (row.kind.title(), row.interval_in_sigma());
    format!("{}, {kind}{}: {before} before, {after} after{change} {interval}, {verdict}", row.name, row.mark)
}
