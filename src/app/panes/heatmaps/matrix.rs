//! Seeds × metrics as a matrix of normalized scores, or images × metrics with each group's means.

use std::sync::Arc;

use eframe::egui_wgpu::Callback as Painted;
use egui::accesskit::Role;
use egui::{Align2, Color32, Pos2, Rect, RichText, ScrollArea, Sense, TextStyle, Ui, pos2, vec2};

use crate::app::actions::Cx;
use crate::app::commands::CommandId;
use crate::app::format;
use crate::app::gpu::callback::Callback;
use crate::app::gpu::colormap::Colormap;
use crate::app::gpu::make_ready;
use crate::app::gpu::matrix::Cells;
use crate::app::panes::seeds::{Side, scores_ui};
use crate::app::state::rewards::RewardView;
use crate::app::viewer::legend;
use crate::app::widgets;
use crate::iqa::Info;
use crate::method::recipe::{Recipe, Scope};
use crate::method::reward::normalized_row;
use crate::workspace::ImageId;

const NAME: f32 = 118.0;
const ROW: f32 = 22.0;
/// Two lines: a metric's name, then its variant and the arrow of the order.
const HEAD: f32 = 32.0;
/// Between groups of columns.
const GAP: f32 = 8.0;
/// Height of the line that names the groups.
const GROUPS: f32 = 17.0;
const COLORMAP: Colormap = Colormap::Viridis;
/// Columns before the metrics: the reward and its halves.
const REWARDS: [&str; 3] = ["R", "FR", "NR"];

/// What a column has a part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Reward,
    Fr,
    Nr,
    /// Scored, but no part of the reward.
    HeldOut,
}

impl Group {
    /// The title, with what its scale is where that isn't the one from 0 to the best of 1.
    fn title(self, scope: Scope) -> &'static str {
        match self {
            Group::Reward if scope.has_best() => "Reward",
            Group::Reward => "Reward, 0 = mean",
            Group::Fr => "FR",
            Group::Nr => "NR",
            Group::HeldOut => "held out",
        }
    }
}

/// A column.
#[derive(Debug)]
struct Head {
    name: String,
    group: Group,
}

/// A row: a candidate, or an image with the means of its group.
#[derive(Debug)]
struct Row {
    label: String,
    image: ImageId,
    /// Seed and its column in the tables.
    seed: Option<(u64, usize)>,
    side: Side,
    /// R, FR, NR, then s̄ of each metric; NaN where absent.
    values: Vec<f64>,
}

/// What the rows were made of.
type Key = (usize, Option<ImageId>, String, bool);

/// The matrix of seeds × metrics.
#[derive(Default)]
pub struct MatrixView {
    shows_all: bool,
    /// Colours each column by its own range: within a group values differ little.
    is_stretched: bool,
    /// Name of the column that the rows are ordered by; the reward's where there is none of that name.
    sort_by: String,
    ascending: bool,
    made_of: Option<Key>,
    heads: Vec<Head>,
    rows: Vec<Row>,
    /// Lowest and highest value of each column.
    ranges: Vec<[f64; 2]>,
    /// Values that the ends of each column's colours stand for unless stretched.
    scales: Vec<[f64; 2]>,
}

impl MatrixView {
    /// Draws it.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let Some(rewards) = cx.state.rewards.clone().filter(|r| !r.ranking.scores.seeds.is_empty()) else {
            let text = "Each candidate's scores appear here side by side once there are some.";
            if widgets::empty_state(ui, "▤", "No scores yet", text, Some("Generate")) {
                cx.run(CommandId::Generate);
            }
            return;
        };
        ui.horizontal(|ui| {
            ui.selectable_value(&mut self.shows_all, false, "This image").on_hover_text("Its candidates");
            ui.selectable_value(&mut self.shows_all, true, "All images").on_hover_text("Means over each image's seeds");
            ui.separator();
            ui.toggle_value(&mut self.is_stretched, "Stretch")
                .on_hover_text("Colours run from the lowest to the highest value of each column");
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let (bar, response) = ui.allocate_exact_size(vec2(190.0, ROW), Sense::hover());
                let ends = if self.is_stretched { ["lowest", "highest"] } else { ["0", "1 = best"] };
                legend::paint_scale(ui, cx, bar, COLORMAP, ends);
                response.on_hover_text("Scores are normalized: 0 is the worst, 1 the best within the reward's bounds");
                if let Some(image) = cx.state.selected_image().filter(|_| !self.shows_all) {
                    let name = RichText::new(&image.name).color(cx.palette.text_weak);
                    ui.add(egui::Label::new(name).truncate()).on_hover_text(&image.name);
                }
            });
        });
        self.update(cx, &rewards);
        if self.rows.is_empty() {
            ui.label(RichText::new("Select an image that has scores.").color(cx.palette.text_weak));
            return;
        }
        let gaps = self.gap_before(self.heads.len());
        let room = (ui.available_width() - NAME - gaps - 12.0) / self.heads.len().max(1) as f32;
        let width = room.clamp(48.0, 120.0);
        ScrollArea::horizontal().id_salt("matrix across").auto_shrink(false).show(ui, |ui| {
            ui.set_min_width(self.width(width));
            self.heads_ui(ui, cx, width);
            let count = self.rows.len();
            ui.spacing_mut().item_spacing.y = 0.0;
            ScrollArea::vertical().id_salt("matrix down").auto_shrink(false).show_rows(ui, ROW, count, |ui, shown| {
                self.rows_ui(ui, cx, &rewards, shown, width);
            });
        });
    }

    /// Makes the rows anew if what they follow from has changed.
    fn update(&mut self, cx: &Cx, rewards: &Arc<RewardView>) {
        let image = cx.state.selection.image.filter(|_| !self.shows_all);
        let key = (Arc::as_ptr(rewards) as usize, image, self.sort_by.clone(), self.ascending);
        if self.made_of.as_ref() == Some(&key) {
            return;
        }
        self.made_of = Some(key);
        let metrics = metrics_by_group(rewards, &cx.state.recipe.edited);
        let of_reward = REWARDS.iter().map(|&name| Head { name: name.to_owned(), group: Group::Reward });
        let columns: Vec<usize> = metrics.iter().map(|(column, _)| *column).collect();
        self.heads = of_reward.chain(metrics.into_iter().map(|(_, head)| head)).collect();
        self.rows.clear();
        for known in cx.state.library.iter().flat_map(|library| &library.images) {
            if self.shows_all || image == Some(known.id) {
                self.rows.extend(rows_of(rewards, known.id, &known.name, self.shows_all, &columns));
            }
        }
        let range = |column: usize| {
            let values = self.rows.iter().filter_map(|row| row.values.get(column)).filter(|v| !v.is_nan());
            values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], &v| [low.min(v), high.max(v)])
        };
        self.ranges = (0..self.heads.len()).map(range).collect();
        self.scales = scales(&self.ranges, cx.state.recipe.edited.reward.scope);
        let (by, ascending) = (self.sorted_by(), self.ascending);
        self.rows.sort_by(|a, b| match (a.values[by], b.values[by]) {
            (a, b) if a.is_nan() || b.is_nan() => a.is_nan().cmp(&b.is_nan()),
            (a, b) if ascending => a.total_cmp(&b),
            (a, b) => b.total_cmp(&a),
        });
    }

    /// Column that the rows are ordered by.
    fn sorted_by(&self) -> usize {
        self.heads.iter().position(|head| head.name == self.sort_by).unwrap_or(0)
    }

    /// Room between groups left of a column.
    fn gap_before(&self, column: usize) -> f32 {
        let before = self.heads.iter().take(column + 1);
        let changes = before.clone().zip(before.skip(1)).filter(|(a, b)| a.group != b.group).count();
        changes as f32 * GAP
    }

    /// Width of a row.
    fn width(&self, column: f32) -> f32 {
        NAME + column * self.heads.len() as f32 + self.gap_before(self.heads.len())
    }

    fn heads_ui(&mut self, ui: &mut Ui, cx: &Cx, width: f32) {
        let size = vec2(self.width(width), GROUPS + HEAD);
        let (all, _) = ui.allocate_exact_size(size, Sense::hover());
        let (groups, row) = all.split_top_bottom_at_y(all.top() + GROUPS);
        let font = TextStyle::Small.resolve(ui.style());
        self.groups_ui(ui, cx, groups, width);
        let sorted_by = self.sorted_by();
        let scope = cx.state.recipe.edited.reward.scope;
        let mut clicked = None;
        for (index, Head { name: head, .. }) in self.heads.iter().enumerate() {
            let min = pos2(row.left() + NAME + index as f32 * width + self.gap_before(index), row.top());
            let cell = Rect::from_min_size(min, vec2(width - 1.0, row.height()));
            let response = ui.interact(cell, ui.scope_id().with(("head", index)), Sense::click());
            widgets::name(&response, Role::ColumnHeader, head);
            let is_sorted = sorted_by == index;
            if is_sorted {
                ui.painter().rect_filled(cell, 3.0, cx.palette.selected);
            }
            let arrow = match (is_sorted, self.ascending) {
                (false, _) => "",
                (true, true) => "▲",
                (true, false) => "▼",
            };
            let (name, variant) = name_and_variant(head);
            let color = if is_sorted || response.hovered() { cx.palette.text } else { cx.palette.text_weak };
            let (upper, lower) = cell.shrink(1.0).split_top_bottom_at_fraction(0.5);
            widgets::paint_text(ui, upper, Align2::CENTER_CENTER, name, font.clone(), color);
            let second = format!("{variant} {arrow}");
            widgets::paint_text(ui, lower, Align2::CENTER_CENTER, second.trim(), font.clone(), color);
            let hint = match index < REWARDS.len() {
                true if scope.has_best() => "Reward, and its halves",
                true => "Reward, and its halves: z-scores within the image, whose mean is 0",
                false => "Normalized: 1 is best",
            };
            if response.on_hover_text(format!("{head}\n{hint}; a click sorts")).clicked() {
                clicked = Some((head.clone(), is_sorted && !self.ascending));
            }
        }
        if let Some((head, ascending)) = clicked {
            (self.sort_by, self.ascending) = (head, ascending);
        }
    }

    /// The names of the groups over their columns.
    fn groups_ui(&self, ui: &Ui, cx: &Cx, line: Rect, width: f32) {
        let font = TextStyle::Small.resolve(ui.style());
        let scope = cx.state.recipe.edited.reward.scope;
        for (start, count) in self.groups() {
            let left = line.left() + NAME + start as f32 * width + self.gap_before(start);
            let room = Rect::from_min_size(pos2(left, line.top()), vec2(count as f32 * width - 1.0, line.height()));
            let color =
                if self.heads[start].group == Group::HeldOut { cx.palette.held_out } else { cx.palette.text_faint };
            let title = self.heads[start].group.title(scope);
            widgets::paint_text(ui, room, Align2::CENTER_CENTER, title, font.clone(), color);
            ui.painter().hline(room.x_range(), room.bottom(), egui::Stroke::new(1.0, cx.palette.line_strong));
        }
    }

    /// The groups of columns: where each begins, and how many it has.
    fn groups(&self) -> Vec<(usize, usize)> {
        let mut at = 0;
        let of_group = |heads: &[Head]| {
            let found = (at, heads.len());
            at += heads.len();
            found
        };
        self.heads.chunk_by(|a, b| a.group == b.group).map(of_group).collect()
    }

    /// Hands the cells of the rows shown to the shader, a group at a time.
    fn paint_cells(&self, ui: &Ui, cx: &Cx, values: &[f32], first: Pos2, [width, height]: [f32; 2]) {
        for (start, count) in self.groups() {
            let of_group = values.chunks(self.heads.len()).flat_map(|row| &row[start..start + count]).copied();
            let left = first.x + start as f32 * width + self.gap_before(start);
            self.paint_group(ui, cx, of_group.collect(), count, pos2(left, first.y), [width, height]);
        }
    }

    fn paint_group(&self, ui: &Ui, cx: &Cx, values: Vec<f32>, columns: usize, first: Pos2, [width, height]: [f32; 2]) {
        let all = Rect::from_min_size(first, vec2(width * columns as f32, height));
        let seen = all.intersect(ui.clip_rect());
        if !seen.is_positive() {
            return;
        }
        let cells = Cells {
            columns,
            values,
            pitch: [width, ROW],
            spacing: 1.0,
            gap: (columns, 0.0),
            viewport: [seen.left() - first.x, seen.top() - first.y, seen.width(), seen.height()],
            colormap: COLORMAP,
            absent: cx.palette.well,
        };
        ui.painter().add(Painted::new_paint_callback(seen, Callback::new(cells)));
    }

    fn rows_ui(&self, ui: &mut Ui, cx: &mut Cx, rewards: &RewardView, shown: std::ops::Range<usize>, width: f32) {
        let p = cx.palette;
        let font = TextStyle::Small.resolve(ui.style());
        let top = ui.next_widget_position();
        let count = shown.len();
        let mut values = Vec::with_capacity(count * self.heads.len());
        let mut texts = Vec::new();
        let is_painted = make_ready(cx.gpu);
        let ranges = if self.is_stretched { &self.ranges } else { &self.scales };
        for row in &self.rows[shown] {
            let (line, response) = ui.allocate_exact_size(vec2(self.width(width), ROW), Sense::click());
            widgets::name(&response, Role::Row, &row.label);
            let is_selected = match row.seed {
                Some((seed, _)) => cx.state.selection.seed == Some(seed),
                None => cx.state.selection.image == Some(row.image),
            };
            let brushed = cx.state.selection.brush.zip(rewards.place(row.image).zip(row.seed));
            let is_out =
                brushed.is_some_and(|(brush, (place, (_, column)))| !brush.holds(rewards.halves_of(place, column)));
            if is_selected {
                ui.painter().rect_filled(line, 3.0, p.selected);
            } else if response.hovered() {
                ui.painter().rect_filled(line, 3.0, p.raised);
            }
            if response.clicked() {
                cx.state.selection.image = Some(row.image);
                cx.state.selection.images = [row.image].into();
                cx.state.selection.seed = row.seed.map(|(seed, _)| seed);
            }
            let name = Rect::from_min_size(line.min, vec2(NAME - 8.0, ROW)).translate(vec2(4.0, 0.0));
            let color = if row.side == Side::Middle { p.text } else { row.side.color(p) };
            let color = if is_out { p.text_faint.gamma_multiply(0.6) } else { color };
            let label = format!("{} {}", row.side.mark(), row.label);
            widgets::paint_text(ui, name, Align2::LEFT_CENTER, label.trim_start(), font.clone(), color);
            for (index, &value) in row.values.iter().enumerate() {
                let gap = self.gap_before(index);
                let min = pos2(line.left() + NAME + index as f32 * width + gap, line.top());
                let cell = Rect::from_min_size(min, vec2(width - 1.0, ROW - 1.0));
                let share = share_of(value, ranges[index]);
                values.push(if is_out { f32::NAN } else { share });
                if !value.is_nan() {
                    let ink = match (is_out, is_painted) {
                        (true, _) => p.text_faint,
                        (false, true) => ink_on(COLORMAP.color(share)),
                        (false, false) => p.text,
                    };
                    texts.push((cell, text_of(value), ink));
                }
            }
            if let Some((place, (_, column))) = rewards.place(row.image).zip(row.seed) {
                let (rank, side) = (rewards.order(place).iter().position(|&c| usize::from(c) == column), row.side);
                response.on_hover_ui_at_pointer(|ui| scores_ui(ui, rewards, place, column, side, rank));
            }
        }
        if is_painted {
            self.paint_cells(ui, cx, &values, pos2(top.x + NAME, top.y), [width, count as f32 * ROW]);
        }
        for (cell, text, ink) in texts {
            ui.painter().text(cell.center(), Align2::CENTER_CENTER, text, font.clone(), ink);
        }
    }
}

/// `ms_ssim_s4` as `ms_ssim` and `s4`: whole, names like this are wider than a column can be.
fn name_and_variant(metric: &str) -> (&str, &str) {
    match metric.rsplit_once('_') {
        Some((name, variant)) if variant.ends_with(|c: char| c.is_ascii_digit()) => (name, variant),
        _ => (metric, ""),
    }
}

/// What the ends of each column's colours stand for: 0 and the best of 1, but of rewards that have no best as far on
/// either side of their mean as the farthest of them lies, the same for the reward and its halves.
fn scales(ranges: &[[f64; 2]], scope: Scope) -> Vec<[f64; 2]> {
    let mut scales = vec![[0.0, 1.0]; ranges.len()];
    if !scope.has_best() {
        let of_rewards = ranges.iter().take(REWARDS.len()).flatten().filter(|value| value.is_finite());
        // Means over an image's seeds are 0 but for rounding, which must not be coloured.
        let farthest = of_rewards.fold(0.01, |far: f64, value| far.max(value.abs()));
        scales.iter_mut().take(REWARDS.len()).for_each(|scale| *scale = [-farthest, farthest]);
    }
    scales
}

/// Where between the ends of its column's colours a value lies, in [0, 1]; NaN where there is none.
fn share_of(value: f64, [low, high]: [f64; 2]) -> f32 {
    ((value - low) / (high - low).max(1e-12)).clamp(0.0, 1.0) as f32
}

/// A value as it stands in its cell.
fn text_of(value: f64) -> String {
    let text = format!("{value:.2}");
    if text == "-0.00" { "0.00".into() } else { text.replace('-', "−") }
}

/// Black or white, whichever is read better on a colour.
pub(super) fn ink_on(fill: Color32) -> Color32 {
    let light = 0.3 * f32::from(fill.r()) + 0.59 * f32::from(fill.g()) + 0.11 * f32::from(fill.b());
    if light > 130.0 { Color32::BLACK } else { Color32::WHITE }
}

/// The metrics by what they have a part in, those of the reward first.
fn metrics_by_group(rewards: &RewardView, recipe: &Recipe) -> Vec<(usize, Head)> {
    let trained = recipe.trained_metrics();
    let group = |metric: &Info| match trained.iter().any(|name| *name == metric.name) {
        false => Group::HeldOut,
        true if metric.is_fr() => Group::Fr,
        true => Group::Nr,
    };
    let columns = rewards.ranking.scores.train.table.columns().iter().enumerate();
    let mut heads: Vec<_> =
        columns.map(|(at, metric)| (at, Head { name: metric.name.to_string(), group: group(metric) })).collect();
    heads.sort_by_key(|(at, head)| (head.group, *at));
    heads
}

/// The candidates of an image, or the one row of their means; the metrics are those of the table's `columns`.
fn rows_of(rewards: &RewardView, image: ImageId, name: &str, is_mean: bool, metrics: &[usize]) -> Vec<Row> {
    let Some(place) = rewards.place(image) else { return Vec::new() };
    let part = rewards.part(place);
    let halves = if place.held_out { &rewards.ranking.held_out } else { &rewards.ranking.rewards };
    let mut columns: Vec<Vec<f64>> =
        vec![rewards.rewards(place).to_vec(), halves.fr(place.group).to_vec(), halves.nr(place.group).to_vec()];
    for &index in metrics {
        let bounds = part.table.columns().get(index).and_then(|metric| rewards.ranking.bounds.get(&metric.name));
        columns.push(normalized_row(&part.table, place.group, index, bounds));
    }
    if is_mean {
        let mean = |values: &Vec<f64>| {
            let (sum, n) = values.iter().filter(|v| !v.is_nan()).fold((0.0, 0), |(s, n), v| (s + v, n + 1));
            if n > 0 { sum / f64::from(n) } else { f64::NAN }
        };
        let values = columns.iter().map(mean).collect();
        return vec![Row { label: format::short(name, 18), image, seed: None, side: Side::Middle, values }];
    }
    let (winners, losers) = rewards.winners_losers(place);
    let holds = |list: &[u16], column: usize| list.iter().any(|&c| usize::from(c) == column);
    let row = |(column, &seed): (usize, &u64)| Row {
        label: format!("seed {seed}"),
        image,
        seed: Some((seed, column)),
        side: match () {
            () if holds(winners, column) => Side::Winner,
            () if holds(losers, column) => Side::Loser,
            () => Side::Middle,
        },
        values: columns.iter().map(|values| values.get(column).copied().unwrap_or(f64::NAN)).collect(),
    };
    rewards.ranking.scores.seeds.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn z_scores_are_coloured_about_their_mean_and_scores_from_nothing_to_the_best() {
        let ranges = [[-1.5, 1.0], [-2.0, 1.8], [f64::INFINITY, f64::NEG_INFINITY], [0.2, 0.4]];
        assert_eq!(scales(&ranges, Scope::Frozen), [[0.0, 1.0]; 4]);
        assert_eq!(scales(&ranges, Scope::Decoupled), [[-2.0, 2.0], [-2.0, 2.0], [-2.0, 2.0], [0.0, 1.0]]);
        assert_eq!(share_of(0.0, [-2.0, 2.0]), 0.5);
        assert_eq!(share_of(-0.3, [0.0, 1.0]), 0.0, "below the bounds is the worst, not absent");
        assert!(share_of(f64::NAN, [0.0, 1.0]).is_nan());
    }

    #[test]
    fn means_of_z_scores_are_not_coloured_by_their_rounding() {
        let scale = scales(&[[-1e-17, 2e-17]; 3], Scope::Decoupled)[0];
        assert!((share_of(2e-17, scale) - 0.5).abs() < 1e-6);
        assert_eq!([text_of(-1e-17), text_of(-1.25), text_of(0.5)], ["0.00", "−1.25", "0.50"]);
    }
}
