//! The heat map of all images × seeds: where seeds differ, and how much. One texture, however many candidates there are.

use std::sync::Arc;

use egui::accesskit::Role;
use egui::{
    Align2, Color32, ColorImage, ComboBox, EventFilter, Key, Rect, Response, RichText, ScrollArea, Sense, Slider,
    Stroke, StrokeKind, TextStyle, TextureHandle, TextureOptions, Ui, pos2, vec2,
};

use crate::app::actions::{Action, Cx};
use crate::app::commands::CommandId;
use crate::app::gpu::colormap::{Colormap, ENTRIES};
use crate::app::gpu::view::Heat;
use crate::app::pane_kind::PaneKind;
use crate::app::state::pictures::fit;
use crate::app::state::rewards::RewardView;
use crate::app::state::{Brush, State};
use crate::app::theme::{Palette, space};
use crate::app::viewer::legend;
use crate::app::{format, widgets};
use crate::engine::grid::{Grid, GridOf, Order, Subject};
use crate::engine::protocol::Source;
use crate::iqa::{Direction, info};
use crate::method::recipe::Scope;

const COLORMAP: Colormap = Colormap::Viridis;
/// Width of the names and of the spreads, in points.
const NAME: f32 = 118.0;
const SPREAD: f32 = 76.0;
/// Height of the line above the cells, in points.
const HEAD: f32 = 18.0;
/// Rows from this height on have their names beside them.
const NAMED: f32 = 13.0;
/// The heights a row can have.
const ROWS: std::ops::RangeInclusive<f32> = 2.0..=24.0;
/// Rows of one texture: every graphics card takes as many pixels.
const TEXTURE_ROWS: usize = 1024;
/// Side of the picture beside the pointer, in points.
const PEEK: f32 = 128.0;

/// What the textures were made of: the grid, the way it is coloured, the brush, the theme.
type MadeOf = (usize, bool, Option<Brush>, Color32);

/// The heat map and how it is looked at.
#[derive(Default)]
pub struct ImagesView {
    of: GridOf,
    /// Colours run over each row's own values.
    by_row: bool,
    /// As a person chose it; `None` shows as many rows as there is room for.
    row_height: Option<f32>,
    /// The height at which as many rows as can be are seen.
    fitting: f32,
    /// What was asked for last, and of which rewards.
    asked: Option<(GridOf, usize)>,
    made_of: Option<MadeOf>,
    textures: Vec<TextureHandle>,
    /// The candidate that was scrolled to last.
    followed: Option<[usize; 2]>,
    /// Top and bottom of what was seen last, from the first row's top.
    seen: [f32; 2],
}

impl ImagesView {
    /// Draws it.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let Some(rewards) = cx.state.rewards.clone().filter(|r| !r.ranking.scores.seeds.is_empty()) else {
            let text = "Every image is a row and every seed a cell here, once there are scores.";
            if widgets::empty_state(ui, "▤", "No scores yet", text, Some("Generate")) {
                cx.run(CommandId::Generate);
            }
            return;
        };
        let key = (self.of.clone(), Arc::as_ptr(&rewards) as usize);
        if self.asked.as_ref() != Some(&key) {
            cx.state.wants.grid = Some(self.of.clone());
            self.asked = Some(key);
        }
        self.tools_ui(ui, &rewards);
        let Some(grid) = cx.state.grid.clone().filter(|grid| grid.seeds == rewards.ranking.scores.seeds) else {
            ui.spinner();
            return;
        };
        self.legend_ui(ui, cx, &grid);
        if grid.range[0] > grid.range[1] {
            let text = format!("No candidate has {} yet.", grid.of.subject.title());
            ui.label(RichText::new(text).color(cx.palette.text_weak));
            return;
        }
        self.paint_textures(ui, cx, &grid, &rewards);
        self.cells_ui(ui, cx, &grid, &rewards);
    }

    fn tools_ui(&mut self, ui: &mut Ui, rewards: &RewardView) {
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = space::XS;
            let mut subjects = vec![Subject::Reward, Subject::FrHalf, Subject::NrHalf];
            let columns = rewards.ranking.scores.train.table.columns();
            subjects.extend(columns.iter().map(|metric| Subject::Metric(metric.name.to_string())));
            let combo = ComboBox::from_id_salt("subject").width(96.0).height(400.0);
            let shown = combo.selected_text(self.of.subject.title().to_owned()).show_ui(ui, |ui| {
                for subject in subjects {
                    let title = subject.title().to_owned();
                    ui.selectable_value(&mut self.of.subject, subject, title);
                }
            });
            widgets::name(&shown.response, Role::ComboBox, &format!("Shows {}", self.of.subject.title()));
            shown
                .response
                .on_hover_text("What is coloured: the reward, one of its halves, or a metric in its own unit");
            ui.separator();
            ui.label("Columns");
            ui.selectable_value(&mut self.of.by_rank, false, "Seed").on_hover_text("The same seed in a column");
            ui.selectable_value(&mut self.of.by_rank, true, "Rank").on_hover_text("The best of each image first");
            ui.separator();
            ui.label("Rows");
            for order in Order::ALL {
                let hint = match order {
                    Order::Spread => "The images first whose seeds differ most: there is something to learn",
                    Order::Mean => "The images first whose candidates are best",
                    Order::Added => "As they were added",
                };
                ui.selectable_value(&mut self.of.order, order, order.title()).on_hover_text(hint);
            }
        });
    }

    /// The colour bar with its unit, and the value under the pointer's or the selection's mark.
    fn legend_ui(&mut self, ui: &mut Ui, cx: &Cx, grid: &Grid) {
        ui.horizontal(|ui| {
            self.scale_ui(ui);
            let scope = cx.state.recipe.edited.reward.scope;
            let title = scale_title(&grid.of.subject, grid.direction, scope);
            ui.label(RichText::new(title).small().color(cx.palette.text_weak));
            if self.by_row {
                ui.label(RichText::new("each row from its worst to its best").small().color(cx.palette.text_weak));
                return;
            }
            if grid.range[0] > grid.range[1] {
                return;
            }
            let (bar, response) = ui.allocate_exact_size(vec2(ui.available_width().min(240.0), 16.0), Sense::hover());
            let [low, high] = grid.range.map(|v| v as f32);
            let range = if grid.direction == Direction::Lower { [high, low] } else { [low, high] };
            let selected = cx.state.selection.image.zip(cx.state.selection.seed);
            let mark = selected.and_then(|(image, seed)| grid.find(image, seed)).and_then(|[r, c]| grid.cell(r, c));
            let heat = Heat { is_difference: false, opacity: 1.0, range, colormap: COLORMAP };
            legend::paint_bar(ui, cx, bar, &heat, mark.map(|(value, _)| value).filter(|value| !value.is_nan()));
            response.on_hover_text("Worst to best of all candidates shown; the mark is the selected one");
        });
        if cx.state.rewards.as_ref().is_some_and(|r| r.ranking.scores.frozen.is_none())
            && !matches!(grid.of.subject, Subject::Metric(_))
        {
            let text = "Bounds open: all R move a little with every new score, until training freezes the scale.";
            ui.add(egui::Label::new(RichText::new(text).small().color(cx.palette.text_faint)).truncate());
        }
    }

    /// How the cells are coloured and how high they are.
    fn scale_ui(&mut self, ui: &mut Ui) {
        ui.toggle_value(&mut self.by_row, "Stretch rows")
            .on_hover_text("Colours run from the worst to the best of each image, not of all images");
        let mut height = self.row_height.unwrap_or(self.fitting);
        ui.spacing_mut().slider_width = 64.0;
        let slider = Slider::new(&mut height, ROWS).show_value(false).step_by(1.0);
        if widgets::slider(ui, slider, "Row height").on_hover_text("Height of the rows").changed() {
            self.row_height = Some(height);
        }
        ui.separator();
    }

    /// Colours the cells anew if what they follow from has changed.
    fn paint_textures(&mut self, ui: &Ui, cx: &Cx, grid: &Arc<Grid>, rewards: &RewardView) {
        let brush = cx.state.selection.brush;
        let key = (Arc::as_ptr(grid) as usize, self.by_row, brush, cx.palette.well);
        if self.made_of == Some(key) {
            return;
        }
        self.made_of = Some(key);
        let (m, table, well) = (grid.seeds.len(), COLORMAP.table(), cx.palette.well);
        let mut pixels = Vec::with_capacity(grid.values.len());
        for (row, (line, columns)) in grid.rows.iter().zip(grid.values.chunks(m).zip(grid.columns.chunks(m))) {
            let range = if self.by_row { row.range } else { grid.range };
            let place = brush.and_then(|brush| Some((brush, rewards.place(row.image)?)));
            for (&value, &column) in line.iter().zip(columns) {
                let is_out = place.is_some_and(|(brush, place)| !brush.holds(rewards.halves_of(place, column.into())));
                pixels.push(match value.is_nan() {
                    true => well,
                    false => {
                        let share = grid.share(value, range).clamp(0.0, 1.0);
                        let color = table[(share * (ENTRIES - 1) as f32) as usize];
                        if is_out { color.lerp_to_gamma(well, 0.8) } else { color }
                    }
                });
            }
        }
        let load = |(n, pixels): (usize, &[Color32])| {
            let image = ColorImage::new([m, pixels.len() / m], pixels.to_vec());
            ui.ctx().load_texture(format!("images × seeds {n}"), image, TextureOptions::NEAREST)
        };
        self.textures = pixels.chunks(TEXTURE_ROWS * m).enumerate().map(load).collect();
    }

    fn cells_ui(&mut self, ui: &mut Ui, cx: &mut Cx, grid: &Grid, rewards: &RewardView) {
        let (m, count) = (grid.seeds.len(), grid.rows.len());
        let room = ui.available_size();
        let fitting = ((room.y - HEAD - 4.0) / count as f32).floor().clamp(*ROWS.start(), *ROWS.end());
        self.fitting = fitting;
        let height = self.row_height.unwrap_or(fitting);
        let width = ((room.x - NAME - SPREAD - 14.0) / m as f32).max(2.0);
        let left = ui.cursor().left() + NAME;
        self.heads_ui(ui, cx, grid, left, width);
        let selected = cx.state.selection.image.zip(cx.state.selection.seed);
        let at = selected.and_then(|(image, seed)| grid.find(image, seed));
        let mut area = ScrollArea::vertical().id_salt("images × seeds").auto_shrink(false);
        if at != self.followed {
            self.followed = at;
            let top = at.map(|[row, _]| row as f32 * height);
            let hidden = top.filter(|&top| top < self.seen[0] || top + height > self.seen[1]);
            if let Some(top) = hidden {
                area = area.vertical_scroll_offset((top - (room.y - HEAD) * 0.5).max(0.0));
            }
        }
        area.show_viewport(ui, |ui, view| {
            self.seen = [view.top(), view.bottom()];
            let (all, _) = ui.allocate_exact_size(vec2(ui.available_width(), count as f32 * height), Sense::hover());
            let cells = Rect::from_min_size(pos2(left, all.top()), vec2(width * m as f32, all.height()));
            self.paint_cells(ui, cells, height, count);
            let first = ((view.top() / height).floor().max(0.0) as usize).min(count);
            let last = ((view.bottom() / height).ceil() as usize + 1).min(count);
            margins_ui(ui, cx, grid, cells, height, first..last);
            let map = Map { grid, rewards, cells, cell: [width, height] };
            let response = map.interact(ui, cx, at);
            map.marks(ui, cx, at, &response);
        });
    }

    fn heads_ui(&self, ui: &mut Ui, cx: &Cx, grid: &Grid, left: f32, width: f32) {
        let (line, _) = ui.allocate_exact_size(vec2(ui.available_width(), HEAD), Sense::hover());
        let font = TextStyle::Small.resolve(ui.style());
        let p = cx.palette;
        let name = if self.of.by_rank { "image, rank →" } else { "image, seed →" };
        let before = Rect::from_min_max(line.min, pos2(left - 6.0, line.bottom()));
        widgets::paint_text(ui, before, Align2::LEFT_CENTER, name, font.clone(), p.text_faint);
        let m = grid.seeds.len();
        let every = (24.0 / width).ceil().max(1.0) as usize;
        for column in (0..m).step_by(every) {
            let text = if self.of.by_rank { (column + 1).to_string() } else { grid.seeds[column].to_string() };
            let at = pos2(left + (column as f32 + 0.5) * width, line.center().y);
            ui.painter().text(at, Align2::CENTER_CENTER, text, font.clone(), p.text_faint);
        }
        let after = Rect::from_min_size(pos2(left + m as f32 * width + 8.0, line.top()), vec2(SPREAD, HEAD));
        widgets::paint_text(ui, after, Align2::LEFT_CENTER, "σ over seeds", font, p.text_faint);
    }

    fn paint_cells(&self, ui: &Ui, cells: Rect, height: f32, count: usize) {
        let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        for (n, texture) in self.textures.iter().enumerate() {
            let rows = (count - (n * TEXTURE_ROWS).min(count)).min(TEXTURE_ROWS);
            let top = cells.top() + (n * TEXTURE_ROWS) as f32 * height;
            let at = Rect::from_min_size(pos2(cells.left(), top), vec2(cells.width(), rows as f32 * height));
            if ui.is_rect_visible(at) {
                ui.painter().image(texture.id(), at, uv, Color32::WHITE);
            }
        }
    }
}

/// What a colour stands for, with its unit.
fn scale_title(subject: &Subject, direction: Direction, scope: Scope) -> String {
    match subject {
        Subject::Metric(name) => {
            let unit = info::unit(name);
            let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
            format!("{name} {}{unit}", direction.arrow())
        }
        subject if scope.has_best() => format!("{} ↑, 1 = best", subject.title()),
        subject => format!("{} ↑, 0 = the image's mean", subject.title()),
    }
}

/// Names at the left of the rows shown and their spreads at the right.
fn margins_ui(ui: &Ui, cx: &Cx, grid: &Grid, cells: Rect, height: f32, rows: std::ops::Range<usize>) {
    let p = cx.palette;
    let font = TextStyle::Small.resolve(ui.style());
    for index in rows {
        let Some(row) = grid.rows.get(index) else { continue };
        let top = cells.top() + index as f32 * height;
        let line = Rect::from_min_size(pos2(cells.left() - NAME, top), vec2(NAME - 6.0, height));
        let is_selected = cx.state.selection.image == Some(row.image);
        let color = if row.held_out { p.held_out } else { p.text_weak };
        if is_selected {
            ui.painter().rect_filled(line.expand2(vec2(0.0, (3.0 - height).max(0.0))), 2.0, p.selected);
        }
        let share = if grid.max_spread > 0.0 { (row.spread / grid.max_spread) as f32 } else { 0.0 };
        let left = cells.right() + 8.0;
        let thick = (height * 0.6).clamp(1.0, 5.0);
        let bar = Rect::from_min_size(pos2(left, top + 0.5 * (height - thick)), vec2(30.0 * share, thick));
        ui.painter().rect_filled(bar, 0.5 * thick, p.series[4]);
        if height < NAMED {
            continue;
        }
        let name = cx.state.image(row.image).map_or("", |image| image.name.as_str());
        widgets::paint_text(ui, line, Align2::LEFT_CENTER, name, font.clone(), color);
        let figure = Rect::from_min_max(pos2(left + 36.0, top), pos2(left + SPREAD - 8.0, top + height));
        let spread = match grid.of.subject {
            Subject::Metric(_) => format::brief(row.spread),
            _ => format::reward(row.spread),
        };
        widgets::paint_text(ui, figure, Align2::RIGHT_CENTER, &spread, font.clone(), p.text_weak);
    }
}

/// The cells on the screen.
struct Map<'a> {
    grid: &'a Grid,
    rewards: &'a RewardView,
    cells: Rect,
    /// Width and height.
    cell: [f32; 2],
}

impl Map<'_> {
    /// Pointer and keys: a click opens the candidate in the Seeds tab, arrows move the selection, Enter opens it.
    fn interact(&self, ui: &Ui, cx: &mut Cx, selected: Option<[usize; 2]>) -> Response {
        let response = ui.interact(self.cells, ui.scope_id().with("cells"), Sense::click());
        let (m, count) = (self.grid.seeds.len(), self.grid.rows.len());
        let title = self.grid.of.subject.title();
        let mut said = format!("Heat map of {title}, {count} × {m}");
        if let Some(text) = selected.and_then(|[row, column]| self.describe(cx.state, row, column)) {
            said = format!("{said}: {text}");
        }
        widgets::name(&response, Role::Image, &said);
        if let Some([row, column]) =
            response.interact_pointer_pos().filter(|_| response.clicked()).and_then(|at| self.at(at))
        {
            response.request_focus();
            self.select(cx, row, column);
            cx.act(Action::Show(PaneKind::Seeds));
        }
        if response.has_focus() {
            let arrows = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, arrows));
            let step = |key| ui.input(|input| isize::from(input.key_pressed(key)));
            let by = [step(Key::ArrowDown) - step(Key::ArrowUp), step(Key::ArrowRight) - step(Key::ArrowLeft)];
            if by != [0, 0] {
                let [row, column] = selected.unwrap_or([0, 0]);
                let within = |at: usize, by: isize, n: usize| at.saturating_add_signed(by).min(n.saturating_sub(1));
                self.select(cx, within(row, by[0], count), within(column, by[1], m));
            }
            if ui.input(|input| input.key_pressed(Key::Enter)) && selected.is_some() {
                cx.act(Action::Show(PaneKind::Seeds));
            }
        }
        response
    }

    /// Row and column at a place of the screen.
    fn at(&self, at: egui::Pos2) -> Option<[usize; 2]> {
        let from = at - self.cells.min;
        let [row, column] = [from.y / self.cell[1], from.x / self.cell[0]];
        let inside = row >= 0.0 && column >= 0.0;
        let at = inside.then_some([row as usize, column as usize])?;
        (at[0] < self.grid.rows.len() && at[1] < self.grid.seeds.len()).then_some(at)
    }

    fn select(&self, cx: &mut Cx, row: usize, column: usize) {
        let place = self.grid.cell(row, column).map(|(_, place)| place);
        let seed = place.and_then(|place| self.grid.seeds.get(place).copied());
        if let (Some(row), Some(seed)) = (self.grid.rows.get(row), seed) {
            cx.state.selection.candidate(row.image, seed);
        }
    }

    /// The candidate in words: image, seed, value.
    fn describe(&self, state: &State, row: usize, column: usize) -> Option<String> {
        let (value, place) = self.grid.cell(row, column)?;
        let image = state.image(self.grid.rows.get(row)?.image)?;
        let seed = self.grid.seeds.get(place)?;
        let subject = &self.grid.of.subject;
        let unit = if let Subject::Metric(name) = subject { info::unit(name) } else { "" };
        let text = format!("{}, seed {seed}: {} {} {unit}", image.name, subject.title(), format::number(value.into()));
        Some(text.trim_end().to_owned())
    }

    /// What is selected and what is under the pointer, with its picture.
    fn marks(&self, ui: &Ui, cx: &mut Cx, selected: Option<[usize; 2]>, response: &Response) {
        let p = cx.palette;
        if let Some(at) = selected {
            self.outline(ui, at, p, if response.has_focus() { p.accent } else { p.text });
        }
        let Some([row, column]) = response.hover_pos().and_then(|at| self.at(at)) else { return };
        self.outline(ui, [row, column], p, p.text);
        let Some(text) = self.describe(cx.state, row, column) else { return };
        let shown = self.grid.rows.get(row).zip(self.grid.cell(row, column)).zip(cx.state.library.clone());
        response.clone().on_hover_ui_at_pointer(|ui| {
            ui.label(RichText::new(text).color(p.text));
            let Some(((row, (_, place)), library)) = shown else { return };
            if let Some(at) = self.rewards.place(row.image) {
                let [fr, nr] = self.rewards.halves_of(at, place).map(format::reward);
                let reward = self.rewards.rewards(at).get(place).copied().unwrap_or(f64::NAN);
                let text = format!("R {}   FR half {fr}   NR half {nr}", format::reward(reward));
                ui.label(RichText::new(text).small().color(p.text_weak));
            }
            // Where every image's mean is 0, it is so but for rounding.
            let mean = if row.mean.abs() < 1e-9 * row.spread { 0.0 } else { row.mean };
            let text = format!("image: mean {}, σ {}", format::number(mean), format::brief(row.spread));
            ui.label(RichText::new(text).small().color(p.text_weak));
            if let (Some(set), Some(&seed)) = (library.set.clone(), self.grid.seeds.get(place)) {
                let source = Source::Candidate { set, image: row.image, seed };
                let (square, _) = ui.allocate_exact_size(vec2(PEEK, PEEK), Sense::hover());
                if let Some(shown) = cx.state.pictures.thumb(&source, PEEK) {
                    let at = Rect::from_center_size(square.center(), fit(shown.size_px, square.size()));
                    ui.painter().image(shown.texture, at, shown.uv, Color32::WHITE);
                }
            }
            ui.label(RichText::new("a click opens it in Seeds").small().color(p.text_faint));
        });
    }

    fn outline(&self, ui: &Ui, [row, column]: [usize; 2], p: &Palette, color: Color32) {
        let min = self.cells.min + vec2(column as f32 * self.cell[0], row as f32 * self.cell[1]);
        let rect = Rect::from_min_size(min, vec2(self.cell[0], self.cell[1]));
        // Two lines, so that it is seen on dark and on bright cells.
        ui.painter().rect_stroke(rect.expand(1.0), 1.0, Stroke::new(2.0, p.backdrop), StrokeKind::Outside);
        ui.painter().rect_stroke(rect, 1.0, Stroke::new(1.5, color), StrokeKind::Outside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_says_what_the_ends_of_a_scale_are() {
        let of = |scope| scale_title(&Subject::Reward, Direction::Higher, scope);
        assert_eq!(of(Scope::Frozen), "R ↑, 1 = best");
        assert_eq!(of(Scope::PerGroup), "R ↑, 1 = best");
        assert_eq!(of(Scope::Decoupled), "R ↑, 0 = the image's mean");
        let psnr = scale_title(&Subject::Metric("psnr".into()), Direction::Higher, Scope::Decoupled);
        assert_eq!(psnr, "psnr ↑, dB", "a metric keeps its own scale");
    }
}
