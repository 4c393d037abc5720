//! The viewer's tools above the pictures and the line below them.

use std::sync::Arc;

use egui::{Align2, ComboBox, Rect, RichText, Slider, TextStyle, Ui, Vec2, pos2, vec2};

use super::truth::Truth;
use super::{Item, Mode, Viewer, legend};
use crate::app::actions::Cx;
use crate::app::gpu::colormap::Colormap;
use crate::app::gpu::view::Heat;
use crate::app::theme::space;
use crate::app::{format, widgets};
use crate::engine::protocol::MapPicture;

/// Width of the colour bar with its figures, in points.
const BAR: f32 = 220.0;
/// Room that the choice of a map needs with a map chosen and without, in points.
const HEAT: f32 = 320.0;
const NO_HEAT: f32 = 92.0;

impl Viewer {
    pub(super) fn tools_ui(&mut self, ui: &mut Ui, cx: &Cx, pictures: usize, metrics: &[String]) {
        let has_gpu = cx.gpu.is_some();
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = space::XS;
            if pictures > 1 {
                for (mode, title, hint) in [
                    (Mode::Side, "Side", "Side by side; hold Space or B to swap them"),
                    (Mode::Wipe, "Wipe", "Drag the divider"),
                    (Mode::Blink, "Blink", "Hold Space or B to see the other in the same place"),
                    (Mode::Difference, "Difference", "First less second, grey where they are alike"),
                ] {
                    let enabled = mode != Mode::Difference || has_gpu;
                    ui.add_enabled_ui(enabled, |ui| {
                        let response = ui.selectable_value(&mut self.mode, mode, title).on_hover_text(hint);
                        response.on_disabled_hover_text("Needs a graphics device");
                    });
                }
                if self.mode == Mode::Difference {
                    ui.spacing_mut().slider_width = 70.0;
                    let slider = Slider::new(&mut self.amplify, 1.0..=32.0).logarithmic(true).show_value(false);
                    widgets::slider(ui, slider, "Amplification").on_hover_text("Amplification of the difference");
                    ui.label(RichText::new(format!("{:.0}×", self.amplify)).small());
                }
                ui.separator();
            }
            for truth in Truth::ALL {
                let hint = format!("Beside the others; hold {} to see it in their place", truth.key().name());
                ui.toggle_value(&mut self.beside[truth as usize], truth.title()).on_hover_text(hint);
            }
            if !metrics.is_empty() {
                // What is nested does not wrap by itself.
                let width = if self.heat.metric.is_some() { HEAT } else { NO_HEAT };
                let scale = ui.spacing().interact_size.y / 24.0;
                if ui.available_size_before_wrap().x < width * scale {
                    ui.end_row()
                } else {
                    drop(ui.separator())
                }
                ui.add_enabled_ui(has_gpu, |ui| self.heat_ui(ui, metrics, pictures));
            }
            if !has_gpu {
                let text = "no graphics device: no differences, no maps";
                ui.label(RichText::new(text).small().color(cx.palette.warning));
            }
        });
    }

    fn heat_ui(&mut self, ui: &mut Ui, metrics: &[String], pictures: usize) {
        let chosen = self.heat.metric.clone().unwrap_or_else(|| "No map".into());
        let combo = ComboBox::from_id_salt("map").width(76.0).selected_text(chosen);
        let combo = combo.show_ui(ui, |ui| {
            ui.selectable_value(&mut self.heat.metric, None, "No map");
            for metric in metrics {
                ui.selectable_value(&mut self.heat.metric, Some(metric.clone()), metric);
            }
        });
        combo.response.on_hover_text("A metric's map on top: where it sees errors");
        if self.heat.metric.is_none() {
            return;
        }
        ui.spacing_mut().slider_width = 52.0;
        let opacity = Slider::new(&mut self.heat.opacity, 0.0..=1.0).show_value(false);
        widgets::slider(ui, opacity, "Opacity of the map").on_hover_text("Opacity of the map");
        if !self.heat.is_difference {
            let combo = ComboBox::from_id_salt("colormap").width(76.0).selected_text(self.heat.colormap.title());
            combo.show_ui(ui, |ui| {
                for map in Colormap::SEQUENTIAL {
                    ui.selectable_value(&mut self.heat.colormap, map, map.title());
                }
            });
        }
        if pictures > 1 {
            let hint = "The first picture's map less the second's: blue where the first is better";
            ui.toggle_value(&mut self.heat.is_difference, "Δ map").on_hover_text(hint);
        }
    }

    pub(super) fn zoom_ui(&mut self, ui: &mut Ui) {
        let ppp = ui.ctx().pixels_per_point();
        ui.spacing_mut().item_spacing.x = 2.0;
        ui.spacing_mut().interact_size.y = 20.0;
        ui.spacing_mut().button_padding = vec2(6.0, 2.0);
        if ui.selectable_label(self.zoom.is_none(), "Fit").on_hover_text("Double click").clicked() {
            self.fit();
        }
        let is_one = self.zoom.is_some_and(|zoom| (zoom * ppp - 1.0).abs() < 1e-3);
        if ui.selectable_label(is_one, "1:1").on_hover_text("A pixel of the picture on one of the screen").clicked() {
            self.zoom = Some(1.0 / ppp);
        }
        let percent = format!("{:.0} %", self.shown_zoom * ppp * 100.0);
        ui.label(RichText::new(percent).small()).on_hover_text("Wheel zooms at the pointer, dragging moves");
    }

    /// The line below: what lies under the pointer, and the scale.
    #[expect(clippy::too_many_arguments, reason = "one call site, all of it needed")]
    pub(super) fn foot_ui(
        &self,
        ui: &Ui,
        cx: &Cx,
        rect: Rect,
        items: &[Item],
        maps: &[Option<Result<Arc<MapPicture>, String>>],
        heat: Option<Heat>,
        size: Vec2,
    ) {
        let font = TextStyle::Small.resolve(ui.style());
        let mut line = rect;
        let values = self.hovered.map(|at| self.values_at(maps, at)).unwrap_or_default();
        if let Some(heat) = &heat {
            let bar = Rect::from_min_max(pos2(rect.right() - BAR, rect.top()), rect.max);
            let mark = match values.as_slice() {
                [a, b] if heat.is_difference => a.zip(*b).map(|(a, b)| a - b),
                _ => values.iter().flatten().next().copied(),
            };
            let unit = self.unit(cx);
            // What the colours mean comes before what the mouse does.
            let is_quiet = self.hovered.is_none();
            let width = if is_quiet { rect.width() - BAR - 8.0 } else { (rect.width() * 0.34).min(150.0) };
            let (rest, unit_room) = bar.split_left_right_at_x(bar.left() - 8.0);
            let unit_room =
                Rect::from_min_max(pos2(unit_room.left() - width, rest.top()), pos2(unit_room.left(), rest.bottom()));
            widgets::paint_text(ui, unit_room, Align2::RIGHT_CENTER, &unit, font.clone(), cx.palette.text_weak);
            legend::paint_bar(ui, cx, bar, heat, mark);
            line = Rect::from_min_max(rect.min, pos2(unit_room.left() - 8.0, rect.bottom()));
        }
        let waiting = maps.iter().any(Option::is_none) && self.heat.metric.is_some();
        let fault = maps.iter().flatten().find_map(|map| map.as_ref().err());
        let (text, color) = match (self.hovered.filter(|at| at.min_elem() >= 0.0 && at.max_elem() < 1.0), fault) {
            (_, Some(fault)) => (fault.clone(), cx.palette.warning),
            (Some(at), None) => (self.probe_text(cx, items, &values, heat, at, size), cx.palette.text_weak),
            (None, None) if heat.is_some() && !waiting => (String::new(), cx.palette.text_faint),
            (None, None) if waiting => ("The map is being computed…".into(), cx.palette.text_weak),
            (None, None) => {
                let flip = if items.len() > 1 { "Space or B the other, " } else { "" };
                (
                    format!("Wheel zooms, dragging moves, double click fits; hold {flip}L for LR, G for HR"),
                    cx.palette.text_faint,
                )
            }
        };
        widgets::paint_text(ui, line.translate(vec2(2.0, 0.0)), Align2::LEFT_CENTER, &text, font, color);
    }

    /// What the values of the map are.
    fn unit(&self, cx: &Cx) -> String {
        let Some(metric) = &self.heat.metric else { return String::new() };
        let columns = || cx.state.rewards.as_ref().map(|rewards| rewards.ranking.scores.train.table.columns());
        let known = columns().and_then(|columns| columns.iter().find(|info| info.name == metric.as_str()));
        let unit = known.map_or(metric.as_str(), |info| info.map.as_ref());
        if self.heat.is_difference { format!("Δ {unit}") } else { unit.to_owned() }
    }

    fn values_at(&self, maps: &[Option<Result<Arc<MapPicture>, String>>], at: Vec2) -> Vec<Option<f32>> {
        let value = |map: &Option<Result<Arc<MapPicture>, String>>| {
            let map = map.as_ref()?.as_ref().ok()?;
            let (x, y) = (at.x * map.width as f32, at.y * map.height as f32);
            let inside = x >= 0.0 && y >= 0.0 && (x as usize) < map.width && (y as usize) < map.height;
            inside.then(|| map.values.get(y as usize * map.width + x as usize).copied())?
        };
        maps.iter().map(value).collect()
    }

    fn probe_text(
        &self,
        cx: &Cx,
        items: &[Item],
        values: &[Option<f32>],
        heat: Option<Heat>,
        at: Vec2,
        size: Vec2,
    ) -> String {
        let (x, y) = ((at.x * size.x) as usize, (at.y * size.y) as usize);
        let mut text = format!("x {x}  y {y}");
        for (index, item) in items.iter().enumerate() {
            let name = if items.len() > 1 { format!("  {}", ["A", "B"][index.min(1)]) } else { String::new() };
            if let Some([r, g, b]) = cx.state.pictures.pixel(&item.source, x, y) {
                text += &format!("{name}  {r} {g} {b}");
            }
            if let (Some(Some(value)), Some(_)) = (values.get(index), heat) {
                text += &format!("  map {}", format::brief(f64::from(*value)));
                if let Some(heat) = heat.filter(|heat| !heat.is_difference) {
                    let share = (value - heat.range[0]) / (heat.range[1] - heat.range[0]).max(f32::MIN_POSITIVE);
                    text += &format!(" ({share:.2})");
                }
            }
        }
        text
    }
}
