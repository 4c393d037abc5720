//! Two pictures of the workspace, or one, looked at in the same place: side by side, wiped, blinked, subtracted, with a
//! metric's map on top. A pane owns a [`Viewer`] and hands it what to show each frame:
//!
//! ```ignore
//! let items = [Item::new(winner, "Winner", p.winner), Item::new(loser, "Loser", p.loser)];
//! self.viewer.ui(ui, cx, &items, &metrics);
//! ```

pub mod legend;
pub mod paint;
mod tools;
mod truth;

use std::sync::Arc;

use egui::accesskit::Role;
use egui::{Align, Align2, Color32, CursorIcon, Key, Layout, Rect, Sense, Stroke, TextStyle, Ui, Vec2, pos2, vec2};

use super::actions::Cx;
use super::theme::space;
use super::widgets;
use crate::app::gpu::colormap::Colormap;
use crate::app::gpu::view::{Heat, Show};
use crate::engine::protocol::{MapPicture, Source};
use paint::Painting;

/// Zooms from one picture pixel on a fourth of a point to 64 points.
const ZOOM: std::ops::RangeInclusive<f32> = 0.05..=64.0;
/// Height of the line below the pictures, in points.
const FOOT: f32 = 26.0;
/// Width of the zoom's controls on it.
const ZOOM_WIDTH: f32 = 126.0;
/// How near the divider it is taken hold of, in points.
const GRIP: f32 = 8.0;

/// How two pictures are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Side,
    Wipe,
    Blink,
    Difference,
}

/// A picture with its name.
#[derive(Clone, Debug)]
pub struct Item {
    pub source: Source,
    pub label: String,
    pub color: Color32,
}

impl Item {
    /// A picture with its name.
    pub fn new(source: Source, label: impl Into<String>, color: Color32) -> Self {
        Self { source, label: label.into(), color }
    }
}

/// The map on top, as chosen.
#[derive(Clone, Debug)]
pub struct HeatChoice {
    /// `None` shows no map.
    pub metric: Option<String>,
    /// From 0 to 1.
    pub opacity: f32,
    pub colormap: Colormap,
    /// The first picture's map less the second's.
    pub is_difference: bool,
    /// Ends of the scale; `None` takes those of the maps shown.
    pub range: Option<[f32; 2]>,
}

impl HeatChoice {
    fn heat(&self, range: [f32; 2]) -> Heat {
        if self.is_difference {
            // Half of the scale to either side shows most differences and is the same for all of them.
            let reach = (range[1] - range[0]) * 0.5;
            let range = [-reach, reach];
            Heat { is_difference: true, opacity: self.opacity, range, colormap: Colormap::Diverging }
        } else {
            Heat { is_difference: false, opacity: self.opacity, range, colormap: self.colormap }
        }
    }
}

/// What the views of a frame have in common.
struct Shown<'a> {
    items: &'a [Item],
    maps: &'a [Option<Result<Arc<MapPicture>, String>>],
    heat: Option<Heat>,
    size: Vec2,
}

/// What one of the views shows.
enum Face<'a> {
    Pictures(Show),
    Truth(&'a Item),
}

/// What is kept between frames.
#[derive(Debug)]
pub struct Viewer {
    pub mode: Mode,
    pub heat: HeatChoice,
    /// LR and HR have views of their own beside the pictures.
    pub beside: [bool; 2],
    /// Points a pixel of the first picture; `None` fits.
    zoom: Option<f32>,
    /// What lies in the middle, in shares of the picture.
    center: Vec2,
    /// The divider, in shares of the view.
    wipe: f32,
    amplify: f32,
    drags_divider: bool,
    /// Under the pointer, in shares of the picture.
    hovered: Option<Vec2>,
    /// Points a pixel as of the last frame.
    shown_zoom: f32,
}

impl Default for Viewer {
    fn default() -> Self {
        let heat =
            HeatChoice { metric: None, opacity: 0.6, colormap: Colormap::default(), is_difference: false, range: None };
        Self {
            mode: Mode::default(),
            heat,
            beside: [false; 2],
            zoom: None,
            center: vec2(0.5, 0.5),
            wipe: 0.5,
            amplify: 4.0,
            drags_divider: false,
            hovered: None,
            shown_zoom: 1.0,
        }
    }
}

impl Viewer {
    /// Draws tools, pictures and the line below them into all the room there is. `metrics` can be shown as maps.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx, items: &[Item], metrics: &[String]) {
        let Some(first) = items.first() else { return };
        self.heat.is_difference &= items.len() > 1;
        let bounds = ui.max_rect();
        self.tools_ui(ui, cx, items.len(), metrics);
        // What does not fit above must not widen the pictures: the pane has others beside them.
        let room = ui.available_rect_before_wrap().intersect(bounds);
        let views = Rect::from_min_max(room.min, pos2(room.right(), (room.bottom() - FOOT).max(room.top() + 40.0)));
        let maps = self.maps(cx, items);
        let range = self.heat.range.or_else(|| joined_range(maps.iter().flatten().filter_map(|m| m.as_ref().ok())));
        let heat = range.filter(|_| self.heat.metric.is_some()).map(|range| self.heat.heat(range));
        let size = self.size_px(cx, &first.source);
        self.hovered = None;
        let truths = truth::items(cx, first.source.image());
        let held_truth = truth::held(ui).and_then(|held| truths.iter().find(|(truth, _)| *truth == held));
        let faces: Vec<Face> = match held_truth {
            Some((_, item)) => self.pictures(items.len(), false).iter().map(|_| Face::Truth(item)).collect(),
            None => self.pictures(items.len(), is_held(ui)).into_iter().map(Face::Pictures).collect(),
        };
        let beside = truths.iter().filter(|(truth, _)| self.beside[*truth as usize]);
        let faces: Vec<Face> = faces.into_iter().chain(beside.map(|(_, item)| Face::Truth(item))).collect();
        let shown = Shown { items, maps: &maps, heat, size };
        for (index, (rect, face)) in tiles(views, faces.len(), size).into_iter().zip(&faces).enumerate() {
            self.view_ui(ui, cx, (index, rect), &shown, face);
        }
        let foot = Rect::from_min_max(pos2(room.left(), views.bottom()), pos2(room.right(), views.bottom() + FOOT));
        let (zoom, foot) = foot.split_left_right_at_x(foot.left() + ZOOM_WIDTH);
        let line = Layout::left_to_right(Align::Center);
        self.zoom_ui(&mut ui.new_child(egui::UiBuilder::new().max_rect(zoom).layout(line)));
        self.foot_ui(ui, cx, foot, items, &maps, heat, size);
        ui.allocate_rect(room, Sense::hover());
    }

    /// The maps of the pictures, by picture: `None` where none is wanted or it is not there yet.
    fn maps(&self, cx: &mut Cx, items: &[Item]) -> Vec<Option<Result<Arc<MapPicture>, String>>> {
        let map = |item: &Item| {
            let metric = self.heat.metric.as_ref()?;
            cx.state.maps.get(&item.source, metric)
        };
        items.iter().map(map).collect()
    }

    fn size_px(&self, cx: &mut Cx, source: &Source) -> Vec2 {
        let shown = cx.state.pictures.full(source);
        shown.map_or(vec2(128.0, 128.0), |s| vec2(s.full_size_px[0] as f32, s.full_size_px[1] as f32))
    }

    /// What the views of the pictures show; with `held` the other one.
    fn pictures(&self, count: usize, held: bool) -> Vec<Show> {
        match self.mode {
            _ if count == 1 => vec![Show::First],
            Mode::Side if held => vec![Show::Second, Show::First],
            Mode::Side => vec![Show::First, Show::Second],
            _ if held => vec![Show::Second],
            Mode::Wipe => vec![Show::Wipe(self.wipe)],
            Mode::Difference => vec![Show::Difference(self.amplify)],
            Mode::Blink => vec![Show::First],
        }
    }

    fn view_ui(&mut self, ui: &mut Ui, cx: &mut Cx, (index, rect): (usize, Rect), shown: &Shown, face: &Face) {
        let Shown { items, maps, heat, size } = *shown;
        let second = items.get(1);
        let (show, front, label) = match face {
            Face::Truth(item) => (Show::First, *item, item.label.clone()),
            Face::Pictures(show) => {
                let front = if *show == Show::Second { second.unwrap_or(&items[0]) } else { &items[0] };
                let label = match (show, second) {
                    (Show::Difference(factor), Some(second)) => {
                        format!("{} − {} × {factor:.0}", items[0].label, second.label)
                    }
                    _ => front.label.clone(),
                };
                (*show, front, label)
            }
        };
        let response = ui.interact(rect, ui.scope_id().with(("view", index)), Sense::click_and_drag());
        widgets::name(&response, Role::Image, &label);
        self.navigate(ui, &response, rect, size);
        let part = self.part(rect, size);
        let map = |index: usize| maps.get(index).and_then(|m| m.as_ref()?.as_deref().ok());
        let painting = match face {
            Face::Truth(item) => {
                Painting { first: &item.source, second: None, maps: [None; 2], part, show, heat: None }
            }
            Face::Pictures(_) => {
                let second = second.map(|item| &item.source);
                Painting { first: &items[0].source, second, maps: [map(0), map(1)], part, show, heat }
            }
        };
        if !paint::paint(ui, cx, rect, &painting) {
            let failed = cx.state.pictures.failure(&front.source);
            let text = failed.unwrap_or("loading…").to_owned();
            let font = TextStyle::Small.resolve(ui.style());
            ui.painter().text(rect.center(), Align2::CENTER_CENTER, text, font, cx.palette.text_faint);
        }
        if let Some(at) = response.hover_pos() {
            let share = (at - rect.min) / rect.size();
            self.hovered = Some(vec2(part[0], part[1]) + share * vec2(part[2] - part[0], part[3] - part[1]));
        }
        paint_label(ui, cx, rect.min + vec2(6.0, 6.0), Align2::LEFT_TOP, &label, front.color);
        if let (Show::Wipe(share), Some(second)) = (show, second) {
            let x = rect.left() + rect.width() * share;
            ui.painter().vline(x, rect.y_range(), Stroke::new(3.0, cx.palette.scrim));
            ui.painter().vline(x, rect.y_range(), Stroke::new(1.0, cx.palette.on_scrim));
            ui.painter().circle(pos2(x, rect.center().y), 6.0, cx.palette.on_scrim, Stroke::new(1.0, cx.palette.scrim));
            let corner = rect.right_top() + vec2(-6.0, 6.0);
            paint_label(ui, cx, corner, Align2::RIGHT_TOP, &second.label, second.color);
        }
    }

    /// Left, top, right, bottom of a view in shares of the picture.
    fn part(&self, rect: Rect, size: Vec2) -> [f32; 4] {
        let half = rect.size() * 0.5 / (size * self.shown_zoom);
        let (min, max) = (self.center - half, self.center + half);
        [min.x, min.y, max.x, max.y]
    }

    /// Wheel, drag and double click.
    fn navigate(&mut self, ui: &Ui, response: &egui::Response, rect: Rect, size: Vec2) {
        let fitting = (rect.size() / size).min_elem().max(*ZOOM.start());
        let zoom = self.zoom.unwrap_or(fitting);
        let x = rect.left() + rect.width() * self.wipe;
        let is_wipe = self.mode == Mode::Wipe;
        let near = |at: egui::Pos2| is_wipe && (at.x - x).abs() <= GRIP;
        if response.drag_started() {
            self.drags_divider = ui.input(|i| i.pointer.press_origin()).is_some_and(near);
        }
        if is_wipe && (response.hover_pos().is_some_and(near) || (self.drags_divider && response.dragged())) {
            ui.ctx().set_cursor_icon(CursorIcon::ResizeHorizontal);
        }
        if response.dragged() {
            let moved = response.drag_delta();
            if self.drags_divider {
                self.wipe = (self.wipe + moved.x / rect.width()).clamp(0.0, 1.0);
            } else {
                self.zoom = Some(zoom);
                self.center -= moved / (size * zoom);
            }
        }
        if response.double_clicked() {
            self.fit();
        } else if let Some(at) = response.hover_pos() {
            let (wheel, pinch) = ui.input(|i| (i.smooth_scroll_delta.y, i.zoom_delta()));
            let factor = (wheel * 0.004).exp() * pinch;
            if factor != 1.0 {
                let new = (zoom * factor).clamp(*ZOOM.start(), *ZOOM.end());
                // What lies under the pointer stays there.
                let offset = at - rect.center();
                self.center += offset / (size * zoom) - offset / (size * new);
                self.zoom = Some(new);
            }
        }
        self.center = self.center.clamp(Vec2::ZERO, Vec2::splat(1.0));
        self.shown_zoom = self.zoom.unwrap_or(fitting);
    }

    /// Shows how a metric's maps of two pictures differ; the one that is shown already is taken away.
    pub fn toggle_map(&mut self, metric: String) {
        let is_shown = self.heat.metric.as_ref() == Some(&metric) && self.heat.is_difference;
        self.heat.metric = (!is_shown).then_some(metric);
        self.heat.is_difference = !is_shown;
    }

    /// Shows whole pictures.
    pub fn fit(&mut self) {
        (self.zoom, self.center) = (None, vec2(0.5, 0.5));
    }
}

/// As many equal views as there are pictures, as large as pictures of this size can be in them.
fn tiles(room: Rect, count: usize, size: Vec2) -> Vec<Rect> {
    let side = |columns: usize| {
        let rows = count.div_ceil(columns);
        (room.size() + Vec2::splat(space::XS)) / vec2(columns as f32, rows as f32) - Vec2::splat(space::XS)
    };
    let scale = |columns: &usize| (side(*columns) / size).min_elem();
    let columns = (1..=count).rev().max_by(|a, b| scale(a).total_cmp(&scale(b))).unwrap_or(1);
    let tile = side(columns).max(Vec2::splat(1.0));
    let corner = |index: usize| {
        let at = vec2((index % columns) as f32, (index / columns) as f32);
        room.min + at * (tile + Vec2::splat(space::XS))
    };
    (0..count).map(|index| Rect::from_min_size(corner(index), tile)).collect()
}

/// The key is held that shows the other picture.
fn is_held(ui: &Ui) -> bool {
    !ui.ctx().text_edit_focused()
        && ui.input(|i| i.key_down(Key::Space) || (i.key_down(Key::B) && i.modifiers.is_none()))
}

/// The smallest scale that holds all maps.
pub fn joined_range<'a>(maps: impl Iterator<Item = &'a Arc<MapPicture>>) -> Option<[f32; 2]> {
    let all =
        maps.fold([f32::INFINITY, f32::NEG_INFINITY], |all, map| [all[0].min(map.range[0]), all[1].max(map.range[1])]);
    (all[0] <= all[1]).then_some(all)
}

/// A name on top of a picture.
fn paint_label(ui: &Ui, cx: &Cx, at: egui::Pos2, align: Align2, text: &str, color: Color32) {
    let font = TextStyle::Small.resolve(ui.style());
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, cx.palette.on_scrim);
    let size = galley.size() + vec2(22.0, 6.0);
    let rect = align.anchor_size(at, size);
    ui.painter().rect_filled(rect, 4.0, cx.palette.scrim);
    ui.painter().circle_filled(pos2(rect.left() + 9.0, rect.center().y), 3.5, color);
    ui.painter().galley(rect.min + vec2(17.0, 3.0), galley, cx.palette.on_scrim);
}
