//! Painting a part of one or two pictures into a rectangle: by the shader, or plainly where there is no graphics device.

use eframe::egui_wgpu::Callback as Painted;
use egui::{Color32, Rect, Ui, pos2, vec2};

use crate::app::actions::Cx;
use crate::app::gpu::callback::Callback;
use crate::app::gpu::make_ready;
use crate::app::gpu::view::{Draw, Field, Heat, Pixels, Show};
use crate::engine::protocol::{MapPicture, Source};

/// What is painted.
pub struct Painting<'a> {
    pub first: &'a Source,
    pub second: Option<&'a Source>,
    pub maps: [Option<&'a MapPicture>; 2],
    /// The rectangle's left, top, right and bottom in shares of the picture.
    pub part: [f32; 4],
    pub show: Show,
    pub heat: Option<Heat>,
}

/// Paints; false while a picture is not there yet.
pub fn paint(ui: &Ui, cx: &mut Cx, rect: Rect, painting: &Painting<'_>) -> bool {
    let visible = rect.intersect(ui.clip_rect());
    if !visible.is_positive() {
        return true;
    }
    let ground = cx.palette.well;
    let first = cx.state.pictures.pixels(painting.first);
    let second = painting.second.map(|source| cx.state.pictures.pixels(source));
    if let (true, Some(first)) = (make_ready(cx.gpu), first)
        && second.as_ref().is_none_or(Option::is_some)
    {
        let pixels = |(rgb8, size)| Pixels { size, rgb8 };
        let field = |map: &MapPicture| Field { size: [map.width, map.height], values: map.values.clone() };
        let (part, show) = clipped(painting, rect, visible);
        let draw = Draw {
            first: pixels(first),
            second: second.flatten().map(pixels),
            maps: painting.maps.map(|map| map.map(field)),
            part,
            show,
            heat: painting.heat,
            ground,
        };
        ui.painter().add(Painted::new_paint_callback(visible, Callback::new(draw)));
        return true;
    }
    ui.painter().rect_filled(visible, 0.0, ground);
    match (painting.show, painting.second) {
        (Show::Second, Some(second)) => paint_plainly(ui, cx, rect, visible, second, painting.part),
        (Show::Wipe(share), Some(second)) => {
            let x = rect.left() + rect.width() * share;
            let left = Rect::from_min_max(visible.min, pos2(x.min(visible.right()), visible.bottom()));
            let right = Rect::from_min_max(pos2(x.max(visible.left()), visible.top()), visible.max);
            let is_there = paint_plainly(ui, cx, rect, left, painting.first, painting.part);
            paint_plainly(ui, cx, rect, right, second, painting.part) && is_there
        }
        _ => paint_plainly(ui, cx, rect, visible, painting.first, painting.part),
    }
}

/// Part and divider for what is left of a rectangle within the clip: egui would squeeze the whole into it.
fn clipped(painting: &Painting<'_>, rect: Rect, visible: Rect) -> ([f32; 4], Show) {
    let [left, top, right, bottom] = painting.part;
    let x = |at: f32| left + (right - left) * (at - rect.left()) / rect.width();
    let y = |at: f32| top + (bottom - top) * (at - rect.top()) / rect.height();
    let show = match painting.show {
        Show::Wipe(share) => Show::Wipe((rect.left() + rect.width() * share - visible.left()) / visible.width()),
        other => other,
    };
    ([x(visible.left()), y(visible.top()), x(visible.right()), y(visible.bottom())], show)
}

fn paint_plainly(ui: &Ui, cx: &mut Cx, rect: Rect, clip: Rect, source: &Source, part: [f32; 4]) -> bool {
    let Some(shown) = cx.state.pictures.full(source) else { return false };
    let size = vec2(rect.width() / (part[2] - part[0]), rect.height() / (part[3] - part[1]));
    let min = rect.min - vec2(part[0] * size.x, part[1] * size.y);
    let painter = ui.painter().with_clip_rect(clip);
    painter.image(shown.texture, Rect::from_min_size(min, size), shown.uv, Color32::WHITE);
    true
}
