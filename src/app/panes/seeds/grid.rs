//! The candidates of one image as a grid of which only the visible rows are drawn; LR and HR stay beside it.

use std::sync::Arc;

use egui::accesskit::Role;
use egui::{Align2, Key, Rect, RichText, ScrollArea, Sense, TextStyle, Ui, pos2, vec2};

use super::OrderBy;
use super::cell::{Side, paint_caption, paint_frame, paint_picture, scores_ui};
use crate::app::actions::{Action, Cx};
use crate::app::commands::CommandId;
use crate::app::pane_kind::PaneKind;
use crate::app::state::rewards::{Place, RewardView};
use crate::app::theme::space;
use crate::app::{format, widgets};
use crate::backbones::registry;
use crate::engine::protocol::Source;
use crate::iqa::Direction;
use crate::workspace::{CandidateSet, ImageId};

/// Between cells, in points.
const GAP: f32 = 10.0;
/// Room for the scroll bar, in points.
const SCROLL_BAR: f32 = 14.0;
/// Height of the line below a picture, in points.
const CAPTION: f32 = 18.0;

/// A candidate, or the place of one that is still to be sampled.
pub struct Slot {
    pub seed: u64,
    pub exists: bool,
    pub rank: Option<usize>,
    pub side: Side,
    /// Its reward, NaN without one.
    pub reward: f64,
    /// What the cells are ordered by, or the reward, as it stands below the picture.
    figure: String,
}

/// Draws the grid. With `stretch` the cells grow to fill the width. True if the selected candidate is to be seen large.
pub fn ui(ui: &mut Ui, cx: &mut Cx, cell: f32, order_by: &OrderBy, stretch: bool) -> bool {
    let Some(image) = cx.state.selected_image().cloned() else {
        widgets::empty_state(ui, "▦", "No image selected", "Choose one in the library.", None);
        return false;
    };
    let set = cx.state.library.as_ref().and_then(|library| library.set.clone());
    let rewards = cx.state.rewards.clone();
    let place = rewards.as_ref().and_then(|rewards| rewards.place(image.id));
    let slots = slots(cx, image.id, rewards.as_deref(), place, order_by);
    ui.add_space(space::XS);
    let room = ui.available_rect_before_wrap();
    let pinned_side = pinned_side(cell, room.size());
    let pinned = Rect::from_min_max(room.min, pos2(room.left() + pinned_side, room.bottom()));
    pinned_ui(ui, cx, image.id, image.hr_path.is_some(), pinned);
    let rest = Rect::from_min_max(pos2(pinned.right() + space::L, room.top()), room.max);
    ui.painter().vline(pinned.right() + space::S, room.y_range(), egui::Stroke::new(1.0, cx.palette.line));
    let mut grid = ui.new_child(egui::UiBuilder::new().max_rect(rest));
    let any = slots.iter().any(|slot| slot.exists);
    let mut opened = false;
    if !any && !is_sampling(cx) {
        let m = slots.len();
        let card = registry::card_of(&cx.state.recipe.edited.sampling.backbone);
        // Of a large model nobody knows how long it takes here.
        let soon =
            if card.is_ok_and(|card| card.parts.is_empty()) { " The first ones appear within seconds." } else { "" };
        let text = format!(
            "Generate draws {m} candidates for each of {} with {m} seeds of one model, then scores them.{soon}",
            format::counted(cx.state.images_count(), "image")
        );
        if widgets::empty_state(&mut grid, "▦", "No candidates yet", &text, Some("Generate")) {
            cx.run(CommandId::Generate);
        }
    } else {
        let largest = if stretch { cell * 1.2 } else { cell };
        opened = grid_ui(&mut grid, cx, &Shown { image: image.id, set, rewards, place }, &slots, cell, largest);
    }
    ui.allocate_rect(room, Sense::hover());
    opened
}

/// The candidates of an image in the order of the grid.
pub fn slots_of(cx: &mut Cx, image: ImageId, order_by: &OrderBy) -> Vec<Slot> {
    let rewards = cx.state.rewards.clone();
    let place = rewards.as_ref().and_then(|rewards| rewards.place(image));
    slots(cx, image, rewards.as_deref(), place, order_by)
}

/// The widest column kept for LR and HR, as a share of the room.
const PINNED_SHARE: f32 = 0.28;

/// Side of LR and HR where the cells have a side of `cell`.
fn pinned_side(cell: f32, room: egui::Vec2) -> f32 {
    cell.max(110.0).min(room.x * PINNED_SHARE).min((room.y - 3.0 * (CAPTION + GAP)) * 0.5).max(40.0)
}

/// The largest side at which all candidates of an image are seen without scrolling.
pub fn fitting_side(ui: &Ui, cx: &Cx) -> f32 {
    let room = ui.available_size();
    let m = cx.state.recipe.edited.sampling.m.max(1);
    let mut best = 0.0f32;
    for columns in 1..=m {
        let rows = m.div_ceil(columns) as f32;
        let by_height = (room.y - 8.0) / rows - CAPTION - GAP;
        // The pinned column is as wide as a cell, within its limits.
        let width = room.x - pinned_side(by_height.max(1.0), room) - space::L - SCROLL_BAR;
        let by_width = (width + GAP) / columns as f32 - GAP;
        best = best.max(by_height.min(by_width));
    }
    // Beyond a size where something can be seen, scrolling is the lesser evil.
    best.max(92.0)
}

/// What the cells of a grid have in common.
struct Shown {
    image: ImageId,
    /// `None` before the first candidate.
    set: Option<CandidateSet>,
    rewards: Option<Arc<RewardView>>,
    place: Option<Place>,
}

fn is_sampling(cx: &Cx) -> bool {
    use crate::app::state::jobs::Kind;
    cx.state.jobs.is_active(&[Kind::Generate, Kind::Sample, Kind::Run])
}

fn pinned_ui(ui: &mut Ui, cx: &mut Cx, image: ImageId, has_hr: bool, column: Rect) {
    let small = TextStyle::Small.resolve(ui.style());
    let p = cx.palette;
    let side = column.width();
    for (index, (source, title)) in [(Source::Lr(image), "LR"), (Source::Hr(image), "HR")].into_iter().enumerate() {
        let top = column.top() + 2.0 + index as f32 * (side + CAPTION + GAP);
        let square = Rect::from_min_size(pos2(column.left(), top), vec2(side, side));
        let caption = Rect::from_min_size(square.left_bottom(), vec2(side, CAPTION));
        let response = ui.interact(square, ui.scope_id().with(title), Sense::hover());
        widgets::name(&response, Role::Image, title);
        if title == "HR" && !has_hr {
            ui.painter().rect_filled(square, 3.0, p.well);
            let text = "no HR:\nNR reward only";
            ui.painter().text(square.center(), Align2::CENTER_CENTER, text, small.clone(), p.text_faint);
        } else {
            paint_picture(ui, cx, &source, square);
        }
        widgets::paint_text(ui, caption, Align2::LEFT_CENTER, title, small.clone(), p.text_weak);
    }
    let Some(rewards) = &cx.state.rewards else { return };
    let Some(stats) = rewards.stats(image).filter(|s| s.scored > 0) else { return };
    let top = column.top() + 2.0 + 2.0 * (side + CAPTION + GAP) + space::XS;
    let figures = [
        (rewards.ranking.mean_name(), format::reward(stats.mean)),
        ("σ", format::reward(stats.sigma)),
        ("scored", stats.scored.to_string()),
    ];
    for (index, (title, figure)) in figures.into_iter().enumerate() {
        let line = Rect::from_min_size(pos2(column.left(), top + index as f32 * CAPTION), vec2(side, CAPTION));
        widgets::paint_text(ui, line, Align2::LEFT_CENTER, title, small.clone(), p.text_faint);
        widgets::paint_text(ui, line, Align2::RIGHT_CENTER, &figure, small.clone(), p.text);
    }
}

fn grid_ui(ui: &mut Ui, cx: &mut Cx, shown: &Shown, slots: &[Slot], cell: f32, largest: f32) -> bool {
    let room = ui.available_width() - SCROLL_BAR;
    let columns = (((room + GAP + 0.5) / (cell + GAP)).floor() as usize).max(1);
    // The cells fill the width, so that no ragged strip is left at the right.
    let side = ((room + GAP) / columns as f32 - GAP).min(largest).max(20.0);
    let rows = slots.len().div_ceil(columns);
    let mut opened = move_selection(ui, cx, slots, columns);
    ui.spacing_mut().item_spacing.y = GAP;
    let row_height = side + CAPTION;
    ScrollArea::vertical().auto_shrink(false).show_rows(ui, row_height, rows, |ui, visible| {
        for row in visible {
            let (line, _) = ui.allocate_exact_size(vec2(room, row_height), Sense::hover());
            for column in 0..columns {
                let Some(slot) = slots.get(row * columns + column) else { break };
                let min = pos2(line.left() + 3.0 + column as f32 * (side + GAP), line.top() + 3.0);
                opened |= cell_ui(ui, cx, shown, slot, Rect::from_min_size(min, vec2(side - 6.0, side - 6.0)));
            }
        }
    });
    opened
}

/// Draws a candidate, or its place; true if it is to be seen large.
fn cell_ui(ui: &mut Ui, cx: &mut Cx, shown: &Shown, slot: &Slot, square: Rect) -> bool {
    let p = cx.palette;
    let caption = Rect::from_min_size(square.left_bottom() + vec2(0.0, 3.0), vec2(square.width(), CAPTION));
    let whole = square.union(caption);
    let Some(set) = shown.set.as_ref().filter(|_| slot.exists) else {
        placeholder_ui(ui, cx, square, slot.seed);
        paint_caption(ui, p, caption, Side::Middle, None, slot.seed, "");
        return false;
    };
    let response = ui.interact(whole, ui.scope_id().with(("cell", slot.seed)), Sense::click());
    widgets::name(&response, Role::Button, &format!("Candidate of seed {}", slot.seed));
    let source = Source::Candidate { set: set.clone(), image: shown.image, seed: slot.seed };
    paint_picture(ui, cx, &source, square);
    let brushed = cx.state.selection.brush.zip(shown.rewards.as_ref().zip(shown.place));
    let is_out = brushed.is_some_and(|(brush, (rewards, place))| {
        rewards.column_of_seed(slot.seed).is_none_or(|column| !brush.holds(rewards.halves_of(place, column)))
    });
    if is_out {
        ui.painter().rect_filled(square, 0.0, p.surface.gamma_multiply(0.75));
    }
    let is_selected = cx.state.selection.seed == Some(slot.seed);
    paint_frame(ui, p, square, slot.side, is_selected, response.hovered());
    paint_caption(ui, p, caption, slot.side, slot.rank, slot.seed, &slot.figure);
    let mut opened = response.double_clicked();
    if opened {
        cx.state.selection.seed = Some(slot.seed);
    } else if response.clicked() {
        cx.state.selection.seed = (!is_selected).then_some(slot.seed);
    }
    if response.secondary_clicked() {
        cx.state.selection.seed = Some(slot.seed);
    }
    opened |= context_menu(&response, cx);
    let place = shown.rewards.as_ref().zip(shown.place);
    let column = place.and_then(|(rewards, _)| rewards.column_of_seed(slot.seed));
    if let (Some((rewards, place)), Some(column)) = (place, column) {
        response.on_hover_ui_at_pointer(|ui| scores_ui(ui, rewards, place, column, slot.side, slot.rank));
    } else {
        response.on_hover_text(RichText::new("Not scored yet"));
    }
    opened
}

/// The place of a candidate that is still to be sampled.
fn placeholder_ui(ui: &mut Ui, cx: &Cx, square: Rect, seed: u64) {
    let p = cx.palette;
    ui.painter().rect_filled(square, 3.0, p.well);
    let stroke = egui::Stroke::new(1.0, p.line);
    ui.painter().rect_stroke(square, 3.0, stroke, egui::StrokeKind::Inside);
    let response = ui.interact(square, ui.scope_id().with(("place", seed)), Sense::hover());
    widgets::name(&response, Role::Image, &format!("Place of seed {seed}"));
    if is_sampling(cx) {
        let small = TextStyle::Small.resolve(ui.style());
        widgets::paint_text(ui, square, Align2::CENTER_CENTER, "to be sampled", small, p.text_faint);
    }
}

/// What can be done with a candidate; true if it is to be seen large.
pub(super) fn context_menu(response: &egui::Response, cx: &mut Cx) -> bool {
    let mut opened = false;
    response.context_menu(|ui| {
        let item = |ui: &mut Ui, title: &str, key: &str| ui.add(egui::Button::new(title).shortcut_text(key)).clicked();
        opened = item(ui, "Look at it closely", "Enter");
        for (title, kind) in
            [("Its maps, beside the best", PaneKind::Heatmaps), ("Pairs of its image", PaneKind::Pairs)]
        {
            if item(ui, title, "") {
                cx.act(Action::ShowCandidate(kind));
            }
        }
    });
    opened
}

/// The arrow keys move the selection; true if Enter asks to see it large.
fn move_selection(ui: &Ui, cx: &mut Cx, slots: &[Slot], columns: usize) -> bool {
    if ui.ctx().egui_wants_keyboard_input() || slots.is_empty() {
        return false;
    }
    let at = cx.state.selection.seed.and_then(|seed| slots.iter().position(|slot| slot.seed == seed));
    let keys = [
        (Key::ArrowLeft, -1),
        (Key::ArrowRight, 1),
        (Key::ArrowUp, -(columns as isize)),
        (Key::ArrowDown, columns as isize),
    ];
    for (key, by) in keys {
        if ui.input(|i| i.key_pressed(key)) {
            let next = at.map_or(0, |at| at.saturating_add_signed(by).min(slots.len() - 1));
            cx.state.selection.seed = Some(slots[next].seed);
        }
    }
    let is_there = |slot: &Slot| slot.exists && cx.state.selection.seed == Some(slot.seed);
    slots.iter().any(is_there) && ui.input(|i| i.key_pressed(Key::Enter) && i.modifiers.is_none())
}

/// The seeds of the recipe in the order to be shown, and what is known of each.
fn slots(cx: &mut Cx, image: ImageId, rewards: Option<&RewardView>, place: Option<Place>, by: &OrderBy) -> Vec<Slot> {
    let seeds = cx.state.recipe.edited.seeds();
    let exists: Arc<Vec<u64>> = cx.state.group(image).unwrap_or_default();
    let known = rewards.zip(place);
    let mut side_of = vec![Side::Middle; seeds.len()];
    let mut rank_of = vec![None; seeds.len()];
    let mut reward_of = vec![f64::NAN; seeds.len()];
    let mut figure_of = vec![f64::NAN; seeds.len()];
    let mut written: fn(f64) -> String = format::reward;
    let mut direction = Direction::Higher;
    if let Some((rewards, place)) = known.filter(|(rewards, _)| rewards.ranking.scores.seeds == seeds) {
        reward_of.copy_from_slice(rewards.rewards(place));
        figure_of.copy_from_slice(&reward_of);
        let order = rewards.order(place).into_iter().filter(|column| !reward_of[usize::from(*column)].is_nan());
        for (rank, column) in order.enumerate() {
            rank_of[usize::from(column)] = Some(rank);
        }
        let (winners, losers) = rewards.winners_losers(place);
        winners.iter().for_each(|w| side_of[usize::from(*w)] = Side::Winner);
        losers.iter().for_each(|l| side_of[usize::from(*l)] = Side::Loser);
        if let OrderBy::Metric(name) = by {
            let table = &rewards.part(place).table;
            if let Some(column) = table.column_of(name) {
                figure_of.copy_from_slice(table.row(place.group, column));
                direction = table.columns()[column].direction;
                written = format::brief;
            }
        }
    }
    let mut columns: Vec<usize> = (0..seeds.len()).collect();
    if *by != OrderBy::Seed {
        let key = |c: &usize| direction.align(figure_of[*c]);
        columns.sort_by(|a, b| match (key(a), key(b)) {
            (a, b) if a.is_nan() || b.is_nan() => a.is_nan().cmp(&b.is_nan()),
            (a, b) => b.total_cmp(&a),
        });
    }
    let slot = |column: usize| Slot {
        seed: seeds[column],
        exists: exists.binary_search(&seeds[column]).is_ok(),
        rank: rank_of[column],
        side: side_of[column],
        reward: reward_of[column],
        figure: written(figure_of[column]),
    };
    columns.into_iter().map(slot).collect()
}
