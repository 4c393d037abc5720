//! Why one candidate is rewarded more than another: what each metric adds to the difference, as bars with a sign.

use egui::accesskit::Role;
use egui::{Align2, Rect, RichText, Sense, Stroke, StrokeKind, TextStyle, Ui, vec2};

use crate::app::actions::Cx;
use crate::app::theme::space;
use crate::app::{format, widgets};
use crate::workspace::ImageId;

/// The narrowest room of a metric, in points.
const CELL: f32 = 118.0;
/// Its height.
const HEIGHT: f32 = 27.0;

/// What a metric adds to R_a − R_b.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub metric: String,
    pub value: f64,
    /// It can be shown where the metric sees errors.
    pub has_map: bool,
}

/// What each metric of the reward adds to the difference of two candidates, the most first, and what was taken out of it as
/// following the scores that it is regardless of; they sum to it.
pub fn parts(cx: &Cx, image: ImageId, a: u64, b: u64) -> Vec<Part> {
    let of_pair = || {
        let view = cx.state.rewards.as_ref()?;
        let place = view.place(image)?;
        let plan = view.ranking.plan.as_ref()?;
        let table = &view.part(place).table;
        let of = |seed| Some(plan.parts(table, place.group, view.column_of_seed(seed)?));
        let part = |((column, a), (_, b)): ((usize, f64), (usize, f64))| {
            let info = table.columns().get(column)?;
            let has_map = !info.map.is_empty() && (table.has_hr(place.group) || !info.is_fr());
            Some(Part { metric: info.name.to_string(), value: a - b, has_map })
        };
        let mut parts: Vec<Part> = of(a)?.into_iter().zip(of(b)?).filter_map(part).collect();
        let regardless = &cx.state.recipe.edited.reward.regardless;
        // Only what pairs are made of is ranked regardless of anything.
        if !(place.held_out || regardless.is_empty() || parts.is_empty()) {
            let reward = |seed| view.rewards(place).get(view.column_of_seed(seed)?).copied();
            let value = reward(a)? - reward(b)? - parts.iter().map(|part| part.value).sum::<f64>();
            parts.push(Part { metric: format!("{} taken out", regardless.join(", ")), value, has_map: false });
        }
        Some(parts)
    };
    let mut parts = of_pair().unwrap_or_default();
    parts.sort_by(|a, b| b.value.abs().total_cmp(&a.value.abs()));
    parts
}

/// The metric that decided most, of those that have a map. A held-out metric decides nothing.
pub fn decider(parts: &[Part]) -> Option<&str> {
    parts.iter().find(|part| part.has_map).map(|part| part.metric.as_str())
}

/// Draws the parts; `shown` is the metric whose map is on the pictures. Returns the one that was clicked.
pub fn ui(ui: &mut Ui, cx: &Cx, parts: &[Part], shown: Option<&str>) -> Option<String> {
    if parts.is_empty() {
        return None;
    }
    let p = cx.palette;
    let small = TextStyle::Small.resolve(ui.style());
    let width = ui.available_width();
    let rows = (parts.len() + 1).div_ceil(((width / CELL) as usize).max(1));
    // As many in each row, so that none is left with one alone.
    let columns = (parts.len() + 1).div_ceil(rows);
    let cell = (width - (columns - 1) as f32 * space::S) / columns as f32;
    let (room, _) = ui.allocate_exact_size(vec2(width, rows as f32 * (HEIGHT + space::XS)), Sense::hover());
    let at = |index: usize| {
        let (column, row) = ((index % columns) as f32, (index / columns) as f32);
        let min = room.min + vec2(column * (cell + space::S), row * (HEIGHT + space::XS));
        Rect::from_min_size(min, vec2(cell, HEIGHT))
    };
    let total: f64 = parts.iter().map(|part| part.value).sum();
    let largest = parts.iter().map(|part| part.value.abs()).fold(1e-12, f64::max);
    let head = at(0);
    let (top, foot) = head.split_top_bottom_at_fraction(0.55);
    widgets::paint_text(ui, top, Align2::LEFT_CENTER, "R_w − R_l", small.clone(), p.text_weak);
    widgets::paint_text(ui, top, Align2::RIGHT_CENTER, &signed(total), small.clone(), p.text);
    widgets::paint_text(ui, foot, Align2::LEFT_CENTER, "is the sum of", small.clone(), p.text_faint);
    let mut clicked = None;
    for (index, part) in parts.iter().enumerate() {
        let rect = at(index + 1);
        let color = if part.value >= 0.0 { p.winner } else { p.loser };
        let sense = if part.has_map { Sense::click() } else { Sense::hover() };
        let response = ui.interact(rect, ui.scope_id().with(("why", index)), sense);
        let role = if part.has_map { Role::Button } else { Role::Label };
        widgets::name(&response, role, &format!("{} adds {}", part.metric, signed(part.value)));
        if shown == Some(part.metric.as_str()) {
            ui.painter().rect_stroke(rect.expand(2.0), 3.0, Stroke::new(1.0, p.accent), StrokeKind::Outside);
        } else if part.has_map && (response.hovered() || response.has_focus()) {
            ui.painter().rect_filled(rect.expand(2.0), 3.0, p.hovered);
        }
        let (top, foot) = rect.split_top_bottom_at_fraction(0.6);
        widgets::paint_text(ui, top, Align2::RIGHT_CENTER, &signed(part.value), small.clone(), color);
        let name = top.with_max_x(top.right() - 44.0);
        widgets::paint_text(ui, name, Align2::LEFT_CENTER, &part.metric, small.clone(), p.text_weak);
        let rail = Rect::from_center_size(foot.center(), vec2(foot.width(), 5.0));
        ui.painter().rect_filled(rail, 2.0, p.line);
        let middle = rail.center().x;
        let reach = rail.width() * 0.5 * (part.value / largest) as f32;
        let bar = Rect::from_x_y_ranges(middle.min(middle + reach)..=middle.max(middle + reach), rail.y_range());
        ui.painter().rect_filled(bar, 2.0, color);
        ui.painter().vline(middle, rail.expand(1.5).y_range(), Stroke::new(1.0, p.text_faint));
        let side = if part.value >= 0.0 { "the winner" } else { "the loser" };
        let map = if part.has_map { "; a click shows its map" } else { "" };
        let hint =
            format!("{}: its share of the reward, {} for {side}{map}", part.metric, format::reward(part.value.abs()));
        if response.on_hover_text(RichText::new(hint)).clicked() {
            clicked = Some(part.metric.clone());
        }
    }
    clicked
}

/// A difference of rewards with its sign.
pub fn signed(value: f64) -> String {
    if value.is_finite() { format!("{value:+.3}").replace('-', "−") } else { "–".into() }
}
