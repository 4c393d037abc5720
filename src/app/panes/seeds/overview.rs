//! All images × seeds, best first, small: where a group spreads and where it does not is seen at a glance.

use egui::accesskit::Role;
use egui::{Align2, Rect, ScrollArea, Sense, TextStyle, Ui, pos2, vec2};

use super::cell::{Side, paint_picture, scores_ui};
use super::grid::context_menu;
use crate::app::actions::Cx;
use crate::app::state::rewards::RewardView;
use crate::app::theme::space;
use crate::app::{format, widgets};
use crate::engine::protocol::Source;
use crate::workspace::{CandidateSet, ImageId};

/// Between cells, in points.
const GAP: f32 = 3.0;
/// Width of the names, in points.
const NAME: f32 = 128.0;

/// The side at which all seeds are seen without scrolling to the right, within what can be told apart.
pub fn fitting_side(ui: &Ui, cx: &Cx) -> f32 {
    let columns = cx.state.recipe.edited.sampling.m as f32 + 1.0;
    let room = ui.available_width() - NAME - 2.0 * space::S;
    (room / columns - GAP).floor().clamp(24.0, 96.0)
}

/// Draws the overview; true if a candidate is to be seen large.
pub fn ui(ui: &mut Ui, cx: &mut Cx, side: f32) -> bool {
    let Some(library) = cx.state.library.clone() else { return false };
    let seeds = cx.state.recipe.edited.seeds();
    let row_height = side + 6.0;
    let width = NAME + side + space::S + seeds.len() as f32 * (side + GAP);
    let mut opened = false;
    ui.spacing_mut().item_spacing.y = 2.0;
    let area = ScrollArea::both().auto_shrink(false);
    area.show_rows(ui, row_height, library.images.len(), |ui, rows| {
        for index in rows {
            let image = &library.images[index];
            let (row, response) = ui.allocate_exact_size(vec2(width, row_height), Sense::click());
            widgets::name(&response, Role::Row, &image.name);
            let p = cx.palette;
            if cx.state.selection.image == Some(image.id) {
                ui.painter().rect_filled(row, 4.0, p.selected);
            } else if response.hovered() {
                ui.painter().rect_filled(row, 4.0, p.raised);
            }
            if response.clicked() {
                choose(cx, image.id, None);
            }
            let small = TextStyle::Small.resolve(ui.style());
            let name = Rect::from_min_size(row.min + vec2(4.0, 0.0), vec2(NAME - 12.0, row_height));
            let (top, bottom) = name.split_top_bottom_at_fraction(0.5);
            let color = if image.is_held_out() { p.held_out } else { p.text };
            let stats = cx.state.rewards.as_ref().and_then(|r| r.stats(image.id)).filter(|s| s.scored > 0);
            match stats {
                Some(stats) if row_height > 30.0 => {
                    widgets::paint_text(ui, top, Align2::LEFT_BOTTOM, &image.name, small.clone(), color);
                    let text = format!("{}  σ {}", format::reward(stats.mean), format::reward(stats.sigma));
                    widgets::paint_text(ui, bottom, Align2::LEFT_TOP, &text, small, p.text_faint);
                }
                _ => widgets::paint_text(ui, name, Align2::LEFT_CENTER, &image.name, small, color),
            }
            let first = pos2(row.left() + NAME, row.top() + 3.0);
            let lr = Rect::from_min_size(first, vec2(side, side));
            if ui.is_rect_visible(lr) {
                paint_picture(ui, cx, &Source::Lr(image.id), lr);
            }
            if let Some(set) = &library.set {
                let left = lr.right() + space::S;
                opened |= row_ui(ui, cx, &Row { image: image.id, set, seeds: &seeds, left, top: lr.top(), side });
            }
        }
    });
    opened
}

struct Row<'a> {
    image: ImageId,
    set: &'a CandidateSet,
    seeds: &'a [u64],
    left: f32,
    top: f32,
    side: f32,
}

fn row_ui(ui: &mut Ui, cx: &mut Cx, row: &Row) -> bool {
    let rewards = cx.state.rewards.clone().filter(|r| r.ranking.scores.seeds == row.seeds);
    let place = rewards.as_ref().and_then(|r| r.place(row.image));
    let is_whole = cx.state.sampled(row.image) as usize >= row.seeds.len();
    let known = if is_whole { None } else { Some(cx.state.group(row.image).unwrap_or_default()) };
    let order: Vec<usize> = match rewards.as_ref().zip(place) {
        Some((rewards, place)) => rewards.order(place).into_iter().map(usize::from).collect(),
        None => (0..row.seeds.len()).collect(),
    };
    let (winners, losers) = rewards.as_deref().zip(place).map_or((&[][..], &[][..]), |(r, p)| r.winners_losers(p));
    let mut opened = false;
    for (at, column) in order.into_iter().enumerate() {
        let min = pos2(row.left + at as f32 * (row.side + GAP), row.top);
        let square = Rect::from_min_size(min, vec2(row.side, row.side));
        if !ui.is_rect_visible(square) {
            continue;
        }
        let seed = row.seeds[column];
        let exists = known.as_ref().is_none_or(|known| known.binary_search(&seed).is_ok());
        if !exists {
            ui.painter().rect_filled(square, 2.0, cx.palette.well);
            continue;
        }
        let source = Source::Candidate { set: row.set.clone(), image: row.image, seed };
        paint_picture(ui, cx, &source, square);
        let holds = |list: &[u16]| list.iter().any(|&c| usize::from(c) == column);
        let side = match () {
            () if holds(winners) => Side::Winner,
            () if holds(losers) => Side::Loser,
            () => Side::Middle,
        };
        if side != Side::Middle {
            // A line below is seen where a frame around would hide half of the picture.
            let line = Rect::from_min_max(square.left_bottom() - vec2(0.0, 2.5), square.right_bottom());
            ui.painter().rect_filled(line, 0.0, side.color(cx.palette));
        }
        opened |= interact(ui, cx, row, square, seed, rewards.as_deref(), side, at);
    }
    opened
}

#[allow(clippy::too_many_arguments)]
fn interact(
    ui: &Ui,
    cx: &mut Cx,
    row: &Row,
    square: Rect,
    seed: u64,
    rewards: Option<&RewardView>,
    side: Side,
    at: usize,
) -> bool {
    let response = ui.interact(square, ui.scope_id().with((row.image.0, seed)), Sense::click());
    if response.clicked() {
        choose(cx, row.image, Some(seed));
    }
    let mut opened = response.double_clicked();
    if response.secondary_clicked() {
        choose(cx, row.image, Some(seed));
    }
    opened |= context_menu(&response, cx);
    let place = rewards.and_then(|r| Some((r, r.place(row.image)?, r.column_of_seed(seed)?)));
    if let Some((rewards, place, column)) = place {
        let rank = (!rewards.rewards(place)[column].is_nan()).then_some(at);
        response.on_hover_ui_at_pointer(|ui| scores_ui(ui, rewards, place, column, side, rank));
    }
    opened
}

fn choose(cx: &mut Cx, image: ImageId, seed: Option<u64>) {
    cx.state.selection.image = Some(image);
    cx.state.selection.images = [image].into();
    cx.state.selection.seed = seed;
}
