//! One candidate: its picture, its frame, rank and reward, and all its scores on hover.

use egui::{Align2, Color32, Grid, Rect, RichText, Stroke, StrokeKind, TextStyle, Ui, pos2, vec2};

use crate::app::actions::Cx;
use crate::app::format;
use crate::app::state::pictures::fit;
use crate::app::state::rewards::{Place, RewardView};
use crate::app::theme::{self, Palette};
use crate::app::widgets;
use crate::engine::protocol::Source;
use crate::method::reward::normalized_row;

/// Which side of the pairs a candidate is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Winner,
    Loser,
    Middle,
}

impl Side {
    /// Its colour.
    pub fn color(self, p: &Palette) -> Color32 {
        match self {
            Side::Winner => p.winner,
            Side::Loser => p.loser,
            Side::Middle => p.text_faint,
        }
    }

    /// Its mark, for those who do not see the colour.
    pub fn mark(self) -> &'static str {
        match self {
            Side::Winner => "▲",
            Side::Loser => "▼",
            Side::Middle => "",
        }
    }
}

/// Paints a picture into a square; a blank where it is not there yet.
pub fn paint_picture(ui: &Ui, cx: &mut Cx, source: &Source, square: Rect) -> bool {
    let side = square.width() * ui.ctx().pixels_per_point();
    let shown = if side > 280.0 { cx.state.pictures.full(source) } else { cx.state.pictures.thumb(source, side) };
    match shown {
        Some(shown) => {
            let at = Rect::from_center_size(square.center(), fit(shown.size_px, square.size()));
            ui.painter().image(shown.texture, at, shown.uv, Color32::WHITE);
            true
        }
        None => {
            ui.painter().rect_filled(square, 3.0, cx.palette.well);
            false
        }
    }
}

/// Paints the frame that says which side a candidate is on, and whether it is selected.
pub fn paint_frame(ui: &Ui, p: &Palette, square: Rect, side: Side, is_selected: bool, is_hovered: bool) {
    let width = if square.width() > 70.0 { 2.5 } else { 2.0 };
    if side != Side::Middle {
        ui.painter().rect_stroke(square, 3.0, Stroke::new(width, side.color(p)), StrokeKind::Outside);
    } else if is_hovered {
        ui.painter().rect_stroke(square, 3.0, Stroke::new(1.0, p.line_strong), StrokeKind::Outside);
    }
    if is_selected {
        ui.painter().rect_stroke(square.expand(width), 4.0, Stroke::new(2.0, p.accent), StrokeKind::Outside);
    }
}

/// Paints rank and reward below a picture.
pub fn paint_caption(ui: &Ui, p: &Palette, rect: Rect, side: Side, rank: Option<usize>, seed: u64, figure: &str) {
    let small = TextStyle::Small.resolve(ui.style());
    let inside = rect.shrink2(vec2(2.0, 0.0));
    let left = match rank {
        Some(rank) => format!("{} {}", side.mark(), rank + 1).trim_start().to_owned(),
        None => format!("seed {seed}"),
    };
    let color = if rank.is_some() && side != Side::Middle { side.color(p) } else { p.text_weak };
    widgets::paint_text(ui, inside, Align2::LEFT_CENTER, &left, small.clone(), color);
    if rank.is_some() && rect.width() > 116.0 {
        widgets::paint_text(ui, inside, Align2::CENTER_CENTER, &format!("seed {seed}"), small.clone(), p.text_faint);
    }
    let half = Rect::from_min_max(pos2(inside.center().x, inside.top()), inside.max);
    widgets::paint_text(ui, half, Align2::RIGHT_CENTER, figure, small, p.text);
}

/// All scores of a candidate, raw and normalized, with the parts of its reward.
pub fn scores_ui(ui: &mut Ui, rewards: &RewardView, place: Place, column: usize, side: Side, rank: Option<usize>) {
    let p = theme::palette(ui);
    let ranking = &rewards.ranking;
    let part = rewards.part(place);
    let seed = ranking.scores.seeds.get(column).copied().unwrap_or_default();
    let total = rewards.rewards(place).get(column).copied().unwrap_or(f64::NAN);
    let halves = if place.held_out { &ranking.held_out } else { &ranking.rewards };
    let half = |values: &[f64]| format::reward(values.get(column).copied().unwrap_or(f64::NAN));
    ui.horizontal(|ui| {
        ui.label(RichText::new(format!("Seed {seed}")).font(theme::strong(14.0)));
        match side {
            Side::Winner => drop(widgets::badge(ui, "▲ winner", p.winner)),
            Side::Loser => drop(widgets::badge(ui, "▼ loser", p.loser)),
            Side::Middle => {}
        }
        if let Some(rank) = rank {
            ui.label(RichText::new(format!("rank {}", rank + 1)).color(p.text_weak));
        }
    });
    if total.is_nan() {
        ui.label(RichText::new("Not all its scores are there yet").color(p.text_weak));
    }
    Grid::new("scores").num_columns(3).spacing([18.0, 3.0]).show(ui, |ui| {
        let weak = |text: &str| RichText::new(text).small().color(p.text_faint);
        for head in ["", "score", "normalized"] {
            ui.label(weak(head));
        }
        ui.end_row();
        let rows = [
            ("Reward R", format::reward(total)),
            ("FR half", half(halves.fr(place.group))),
            ("NR half", half(halves.nr(place.group))),
        ];
        for (name, value) in rows {
            ui.label(name);
            ui.label("");
            ui.label(RichText::new(value).color(p.text));
            ui.end_row();
        }
        for (index, metric) in part.table.columns().iter().enumerate() {
            let Some(score) = part.table.get(place.group, column, index) else { continue };
            let bounds = ranking.bounds.get(&metric.name);
            let normalized = normalized_row(&part.table, place.group, index, bounds);
            let arrow = metric.direction.arrow();
            ui.label(RichText::new(format!("{} {arrow}", metric.name)).color(p.text_weak));
            ui.label(RichText::new(format::number(score)).color(p.text_weak));
            let value = normalized.get(column).copied().unwrap_or(f64::NAN);
            ui.label(RichText::new(format::reward(value)).color(p.text_weak));
            ui.end_row();
        }
    });
}
