//! The colour bar of a scale.

use egui::{Align2, Mesh, Rect, TextStyle, Ui, pos2};

use crate::app::actions::Cx;
use crate::app::gpu::colormap::Colormap;
use crate::app::gpu::view::Heat;
use crate::app::{format, widgets};

/// Strips a bar is made of.
const STRIPS: usize = 48;

/// Paints a bar with the ends of its scale beside it; `mark` is a value pointed at.
pub fn paint_bar(ui: &Ui, cx: &Cx, rect: Rect, heat: &Heat, mark: Option<f32>) {
    let ends = heat.range.map(|value| format::brief(f64::from(value)));
    let bar = paint_scale(ui, cx, rect, heat.colormap, [&ends[0], &ends[1]]);
    if let Some(value) = mark {
        // Where lower is better the scale runs down.
        let width = heat.range[1] - heat.range[0];
        let share = if width == 0.0 { 0.5 } else { (value - heat.range[0]) / width };
        let x = bar.left() + bar.width() * share.clamp(0.0, 1.0);
        let tick = Rect::from_center_size(pos2(x, bar.center().y), egui::vec2(2.0, 16.0));
        ui.painter().rect_filled(tick, 1.0, cx.palette.text);
    }
}

/// Paints the colours of a scale between what its ends mean; where they are.
pub fn paint_scale(ui: &Ui, cx: &Cx, rect: Rect, colormap: Colormap, ends: [&str; 2]) -> Rect {
    let font = TextStyle::Small.resolve(ui.style());
    let width = |text: &str| {
        let galley = ui.painter().layout_no_wrap(text.to_owned(), font.clone(), cx.palette.text_weak);
        galley.size().x.max(30.0)
    };
    let [low, high] = ends.map(width);
    let left = Rect::from_min_max(rect.min, pos2(rect.left() + low, rect.bottom()));
    let right = Rect::from_min_max(pos2(rect.right() - high, rect.top()), rect.max);
    widgets::paint_text(ui, left, Align2::RIGHT_CENTER, ends[0], font.clone(), cx.palette.text_weak);
    widgets::paint_text(ui, right, Align2::LEFT_CENTER, ends[1], font, cx.palette.text_weak);
    let bar = Rect::from_min_max(
        pos2(left.right() + 6.0, rect.center().y - 5.0),
        pos2(right.left() - 6.0, rect.center().y + 5.0),
    );
    let mut mesh = Mesh::default();
    for strip in 0..=STRIPS {
        let share = strip as f32 / STRIPS as f32;
        let (x, color) = (bar.left() + bar.width() * share, colormap.color(share));
        mesh.colored_vertex(pos2(x, bar.top()), color);
        mesh.colored_vertex(pos2(x, bar.bottom()), color);
        if strip > 0 {
            let i = strip as u32 * 2;
            mesh.add_triangle(i - 2, i - 1, i);
            mesh.add_triangle(i - 1, i, i + 1);
        }
    }
    ui.painter().add(mesh);
    bar
}
