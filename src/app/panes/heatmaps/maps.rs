//! Metrics as maps over the candidates of an image: one large, all of them small on one scale, and what sets a
//! candidate apart from the best one.

use std::sync::Arc;

use egui::accesskit::Role;
use egui::{
    Align2, Color32, Rect, RichText, ScrollArea, Sense, Stroke, StrokeKind, TextStyle, Ui, UiBuilder, pos2, vec2,
};

use crate::app::actions::Cx;
use crate::app::commands::CommandId;
use crate::app::gpu::view::{Heat, Show};
use crate::app::panes::pairs::metrics_of;
use crate::app::panes::why::{self, Part};
use crate::app::state::Stage;
use crate::app::state::pictures::fit;
use crate::app::theme::space;
use crate::app::viewer::paint::{self, Painting};
use crate::app::viewer::{Item, Viewer, joined_range};
use crate::app::{format, widgets};
use crate::engine::protocol::{MapPicture, Source};
use crate::workspace::{CandidateSet, ImageId};

/// Side of a small candidate, in points.
const SMALL: f32 = 92.0;
/// Height of the line below it, in points.
const CAPTION: f32 = 16.0;

/// Maps over candidates.
#[derive(Default)]
pub struct MapsView {
    viewer: Viewer,
    /// Beside the best candidate, with the difference of their maps.
    compares: bool,
    /// The metric that was shown because it decided most; another one was chosen by hand.
    decided: Option<String>,
}

/// The candidates of the image, best first where there are rewards.
struct Group {
    image: ImageId,
    set: CandidateSet,
    /// Seeds with their rewards, NaN without one.
    seeds: Vec<(u64, f64)>,
}

impl Group {
    fn source(&self, seed: u64) -> Source {
        Source::Candidate { set: self.set.clone(), image: self.image, seed }
    }
}

fn group(cx: &mut Cx) -> Option<Group> {
    let image = cx.state.selected_image()?.id;
    let set = cx.state.library.as_ref()?.set.clone()?;
    let existing = cx.state.group(image)?;
    let view = cx.state.rewards.clone();
    let place = view.as_ref().and_then(|view| view.place(image));
    let mut seeds: Vec<(u64, f64)> = match (&view, place) {
        (Some(view), Some(place)) => {
            let rewards = view.rewards(place);
            let seed = |column: &u16| view.ranking.scores.seeds.get(usize::from(*column)).copied();
            let order = view.order(place);
            let known = order.iter().filter_map(|c| Some((seed(c)?, rewards.get(usize::from(*c)).copied()?)));
            known.filter(|(seed, _)| existing.binary_search(seed).is_ok()).collect()
        }
        _ => Vec::new(),
    };
    if seeds.is_empty() {
        seeds = existing.iter().map(|&seed| (seed, f64::NAN)).collect();
    }
    (!seeds.is_empty()).then_some(Group { image, set, seeds })
}

impl MapsView {
    /// Draws them.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let Some(group) = group(cx) else {
            let (text, button) = match cx.state.stage() {
                Stage::Closed | Stage::Empty => ("Maps show where in a candidate a metric sees errors.", None),
                _ => ("Candidates of the selected image appear here once they are generated.", Some("Generate")),
            };
            if widgets::empty_state(ui, "▤", "Maps over the candidates", text, button) {
                cx.run(CommandId::Generate);
            }
            return;
        };
        let metrics = metrics_of(cx, group.image);
        let best = group.seeds[0];
        let chosen = cx.state.selection.seed.and_then(|seed| group.seeds.iter().find(|(s, _)| *s == seed).copied());
        let other = chosen.filter(|(seed, _)| *seed != best.0).or(group.seeds.last().copied()).unwrap_or(best);
        let parts = why::parts(cx, group.image, best.0, other.0);
        self.follow(&parts, &metrics);
        let maps = self.maps(cx, &group);
        self.viewer.heat.range = joined_range(maps.iter().flatten());
        self.viewer.heat.is_difference &= self.compares;
        self.compare_ui(ui, cx, &maps, group.seeds.len());
        if self.compares
            && let Some(metric) = why::ui(ui, cx, &parts, self.viewer.heat.metric.as_deref())
        {
            (self.viewer.heat.metric, self.viewer.heat.is_difference) = (Some(metric), true);
        }
        let room = ui.available_rect_before_wrap();
        let height = (room.height() * 0.64).max(room.height() - 3.0 * (SMALL + CAPTION + 8.0));
        let upper = Rect::from_min_size(room.min, vec2(room.width(), height));
        let lower = Rect::from_min_max(pos2(room.left(), upper.bottom() + space::S), room.max);
        let mut child = ui.new_child(UiBuilder::new().max_rect(upper).id_salt("large"));
        let label = |word: &str, (seed, reward): (u64, f64)| format!("{word}seed {seed}  R {}", format::reward(reward));
        let p = cx.palette;
        let items = if self.compares && other.0 != best.0 {
            let winner = Item::new(group.source(best.0), label("▲ best  ", best), p.winner);
            vec![winner, Item::new(group.source(other.0), label("", other), p.loser)]
        } else {
            let shown = chosen.unwrap_or(best);
            vec![Item::new(group.source(shown.0), label("", shown), p.accent)]
        };
        self.viewer.ui(&mut child, cx, &items, &metrics);
        let mut child = ui.new_child(UiBuilder::new().max_rect(lower).id_salt("small"));
        self.multiples_ui(&mut child, cx, &group, &maps);
        ui.allocate_rect(room, Sense::hover());
    }

    /// Sets the best candidate beside the selected one.
    pub fn explain(&mut self) {
        (self.compares, self.viewer.heat.is_difference) = (true, true);
    }

    /// Shows the map of the metric that decided most, until another one is chosen: a tab of maps that shows none would have
    /// to be explained, and a held-out metric decides nothing.
    fn follow(&mut self, parts: &[Part], metrics: &[String]) {
        let shown = &mut self.viewer.heat.metric;
        let is_gone = shown.as_ref().is_some_and(|metric| !metrics.contains(metric));
        let decider = why::decider(parts).or(metrics.first().map(String::as_str));
        if (shown.is_none() && self.decided.is_none()) || is_gone || (shown.is_some() && *shown == self.decided) {
            *shown = decider.map(str::to_owned);
            self.decided = shown.clone();
        }
    }

    fn maps(&self, cx: &mut Cx, group: &Group) -> Vec<Option<Arc<MapPicture>>> {
        let Some(metric) = &self.viewer.heat.metric else { return vec![None; group.seeds.len()] };
        let map = |(seed, _): &(u64, f64)| cx.state.maps.get(&group.source(*seed), metric).and_then(Result::ok);
        group.seeds.iter().map(map).collect()
    }

    fn compare_ui(&mut self, ui: &mut Ui, cx: &Cx, maps: &[Option<Arc<MapPicture>>], all: usize) {
        ui.horizontal(|ui| {
            let before = self.compares;
            ui.toggle_value(&mut self.compares, "Why is this the winner?")
                .on_hover_text("The best candidate beside the chosen one, with the difference of their maps");
            if before != self.compares {
                self.viewer.heat.is_difference = self.compares;
            }
            let known = maps.iter().flatten().count();
            let text = match (self.compares, &self.viewer.heat.metric) {
                (_, Some(metric)) if known < all => format!("{metric}: {known} of {all} maps computed"),
                (true, Some(metric)) => format!("Δ {metric}: blue, less error in the best one; red, less in the other"),
                (false, Some(_)) => format!("one scale for all {all} candidates; larger is more distorted"),
                _ => String::new(),
            };
            ui.label(RichText::new(text).small().color(cx.palette.text_weak));
        });
    }

    /// All candidates, small, with their maps on one scale; a click chooses.
    fn multiples_ui(&self, ui: &mut Ui, cx: &mut Cx, group: &Group, maps: &[Option<Arc<MapPicture>>]) {
        let p = cx.palette;
        let choice = &self.viewer.heat;
        let heat = choice.range.filter(|_| choice.metric.is_some()).map(|range| Heat {
            is_difference: false,
            opacity: choice.opacity,
            range,
            colormap: choice.colormap,
        });
        let columns = ((ui.available_width() / (SMALL + 6.0)) as usize).max(1);
        let side = (ui.available_width() - 12.0) / columns as f32 - 6.0;
        let rows = group.seeds.len().div_ceil(columns);
        let font = TextStyle::Small.resolve(ui.style());
        ui.spacing_mut().item_spacing.y = 6.0;
        ScrollArea::vertical().auto_shrink(false).show_rows(ui, side + CAPTION, rows, |ui, visible| {
            for row in visible {
                let (line, _) = ui.allocate_exact_size(vec2(ui.available_width(), side + CAPTION), Sense::hover());
                for column in 0..columns {
                    let index = row * columns + column;
                    let Some(&(seed, reward)) = group.seeds.get(index) else { break };
                    let min = line.min + vec2(column as f32 * (side + 6.0) + 3.0, 2.0);
                    let square = Rect::from_min_size(min, vec2(side - 6.0, side - 6.0));
                    let response = ui.interact(square, ui.scope_id().with(seed), Sense::click());
                    widgets::name(&response, Role::Image, &format!("Map of seed {seed}"));
                    let source = group.source(seed);
                    paint_small(ui, cx, square, &source, maps.get(index).and_then(Option::as_deref), heat);
                    if cx.state.selection.seed == Some(seed) {
                        let stroke = Stroke::new(2.0, p.accent);
                        ui.painter().rect_stroke(square.expand(1.0), 2.0, stroke, StrokeKind::Outside);
                    } else if response.hovered() {
                        let stroke = Stroke::new(1.0, p.line_strong);
                        ui.painter().rect_stroke(square, 2.0, stroke, StrokeKind::Outside);
                    }
                    let caption = Rect::from_min_size(square.left_bottom(), vec2(square.width(), CAPTION));
                    let seed_text = format!("seed {seed}");
                    widgets::paint_text(ui, caption, Align2::LEFT_CENTER, &seed_text, font.clone(), p.text_weak);
                    let figure = format::reward(reward);
                    widgets::paint_text(ui, caption, Align2::RIGHT_CENTER, &figure, font.clone(), p.text);
                    if response.clicked() {
                        cx.state.selection.seed = Some(seed);
                    }
                }
            }
        });
    }
}

fn paint_small(ui: &Ui, cx: &mut Cx, square: Rect, source: &Source, map: Option<&MapPicture>, heat: Option<Heat>) {
    if cx.gpu.is_none() || map.is_none() || heat.is_none() {
        // Without a map a thumbnail will do.
        let side = square.width() * ui.ctx().pixels_per_point();
        match cx.state.pictures.thumb(source, side) {
            Some(shown) => {
                let at = Rect::from_center_size(square.center(), fit(shown.size_px, square.size()));
                ui.painter().image(shown.texture, at, shown.uv, Color32::WHITE);
            }
            None => {
                ui.painter().rect_filled(square, 2.0, cx.palette.well);
            }
        }
        return;
    }
    let size = map.map_or(square.size(), |map| vec2(map.width as f32, map.height as f32));
    let at = Rect::from_center_size(square.center(), fit(size, square.size()));
    let part = [0.0, 0.0, 1.0, 1.0];
    let painting = Painting { first: source, second: None, maps: [map, None], part, show: Show::First, heat };
    paint::paint(ui, cx, at, &painting);
}
