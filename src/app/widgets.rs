//! Small things that several panes draw: bars, badges, empty states, histograms.

use egui::accesskit::Role;
use egui::scroll_area::ScrollAreaOutput;
use egui::style::HandleShape;
use egui::{
    Align2, Button, Color32, FontId, Frame, Label, Margin, Mesh, Rect, Response, RichText, Sense, Slider, Stroke,
    StrokeKind, Ui, WidgetInfo, WidgetText, pos2, vec2,
};

use super::format;
use super::theme::{self, RADIUS, RADIUS_LARGE, space};
use crate::method::summary::Histogram;

/// Gives a widget that egui knows nothing of a role and a name, for screen readers and for tests.
pub fn name(response: &Response, role: Role, name: &str) {
    response.widget_info(|| WidgetInfo::labeled(role, true, name));
}

/// The one button of a place that says what to do next.
pub fn primary_button(ui: &mut Ui, text: &str) -> Response {
    let p = theme::palette(ui);
    let size = ui.text_style_height(&egui::TextStyle::Button) * 0.8;
    let text = RichText::new(text).color(p.on_accent).font(theme::strong(size.round()));
    ui.add(Button::new(text).fill(p.accent).stroke(Stroke::NONE))
}

/// A slider with a knob that does not shout, named for screen readers.
pub fn slider(ui: &mut Ui, slider: Slider<'_>, title: &str) -> Response {
    let p = theme::palette(ui);
    ui.scope(|ui| {
        let visuals = ui.visuals_mut();
        visuals.selection.bg_fill = p.accent;
        visuals.widgets.inactive.fg_stroke = Stroke::new(1.5, p.text_faint);
        visuals.widgets.hovered.fg_stroke = Stroke::new(1.5, p.text);
        visuals.widgets.active.bg_fill = p.accent;
        visuals.widgets.active.fg_stroke = Stroke::new(1.5, p.text);
        visuals.handle_shape = HandleShape::Rect { aspect_ratio: 0.55 };
        ui.spacing_mut().interact_size.y *= 0.8;
        let response = ui.add(slider);
        name(&response, Role::Slider, title);
        response
    })
    .inner
}

/// A key as it is printed on a keyboard.
pub fn key_cap(ui: &mut Ui, text: &str) -> Response {
    let p = theme::palette(ui);
    let frame = Frame::new().fill(p.well).stroke(Stroke::new(1.0, p.line_strong)).corner_radius(4);
    frame
        .inner_margin(Margin::symmetric(5, 1))
        .show(ui, |ui| ui.add(Label::new(RichText::new(text).small().color(p.text_weak)).selectable(false)))
        .inner
}

/// A word in a coloured lozenge.
pub fn badge(ui: &mut Ui, text: &str, color: Color32) -> Response {
    let frame = Frame::new().fill(color.gamma_multiply(0.18)).corner_radius(RADIUS);
    frame
        .inner_margin(Margin::symmetric(6, 1))
        .show(ui, |ui| ui.add(Label::new(RichText::new(text).small().color(color)).selectable(false)))
        .response
}

/// The title of a section within a pane.
pub fn section(ui: &mut Ui, title: &str) -> Response {
    let p = theme::palette(ui);
    let size = ui.text_style_height(&egui::TextStyle::Body) * 0.8;
    ui.label(RichText::new(title).font(theme::strong(size.round())).color(p.text))
}

/// A pane with nothing to show yet: what it will show, and what to do about it. Returns whether the button was pressed.
pub fn empty_state(ui: &mut Ui, mark: &str, title: &str, text: &str, button: Option<&str>) -> bool {
    let p = theme::palette(ui);
    let mut pressed = false;
    let room = ui.available_size();
    ui.vertical_centered(|ui| {
        ui.add_space((room.y * 0.5 - 110.0).max(space::XL));
        ui.label(RichText::new(mark).size(34.0).color(p.text_faint));
        ui.add_space(space::S);
        ui.label(RichText::new(title).font(theme::strong(17.0)).color(p.text));
        ui.add_space(space::XS);
        ui.scope(|ui| {
            ui.set_max_width(room.x.min(440.0));
            ui.add(Label::new(RichText::new(text).color(p.text_weak)).wrap());
        });
        if let Some(button) = button {
            ui.add_space(space::M);
            pressed = primary_button(ui, button).clicked();
        }
    });
    pressed
}

/// A thin bar that is filled to a share in [0, 1].
pub fn bar(ui: &mut Ui, size: egui::Vec2, share: f32, color: Color32) -> Response {
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    paint_bar(ui, rect, share, color);
    response
}

/// Paints a bar that is filled to a share in [0, 1].
pub fn paint_bar(ui: &Ui, rect: Rect, share: f32, color: Color32) {
    let p = theme::palette(ui);
    let radius = rect.height() * 0.5;
    ui.painter().rect_filled(rect, radius, p.line);
    if share.is_finite() && share > 0.0 {
        let width = (rect.width() * share.min(1.0)).max(rect.height());
        ui.painter().rect_filled(Rect::from_min_size(rect.min, vec2(width, rect.height())), radius, color);
    }
}

/// Text cut off at a width, its full form on hover left to the caller.
pub fn paint_text(ui: &Ui, rect: Rect, align: Align2, text: &str, font: FontId, color: Color32) {
    let galley = {
        let mut job = egui::text::LayoutJob::simple_singleline(text.to_owned(), font, color);
        job.wrap = egui::text::TextWrapping::truncate_at_width(rect.width());
        ui.painter().layout_job(job)
    };
    let at = align.align_size_within_rect(galley.size(), rect);
    ui.painter().galley(at.min, galley, color);
}

/// A histogram with its range; hovering names the bin.
pub fn histogram(ui: &mut Ui, title: &str, explanation: &str, h: &Histogram, color: Color32, width: f32) {
    let p = theme::palette(ui);
    let height = 46.0;
    let (rect, response) = ui.allocate_exact_size(vec2(width, height + 34.0), Sense::hover());
    name(&response, Role::Image, &format!("Histogram of {title}"));
    let small = egui::TextStyle::Small.resolve(ui.style());
    let head = Rect::from_min_size(rect.min, vec2(width, 16.0));
    paint_text(ui, head, Align2::LEFT_CENTER, title, small.clone(), p.text_weak);
    let well = Rect::from_min_size(pos2(rect.left(), rect.top() + 17.0), vec2(width, height));
    ui.painter().rect(well, RADIUS, p.well, Stroke::new(1.0, p.line), StrokeKind::Inside);
    let Some(bins) = filled_bins(h) else {
        paint_text(ui, well, Align2::CENTER_CENTER, "no pairs", small, p.text_faint);
        return;
    };
    let unit = h.max / h.counts.len() as f64;
    let foot = Rect::from_min_max(pos2(rect.left() + 2.0, well.bottom() + 1.0), rect.right_bottom() - vec2(2.0, 0.0));
    let edge = |bin: usize| format::brief(bin as f64 * unit);
    paint_text(ui, foot, Align2::LEFT_CENTER, &edge(bins.start), small.clone(), p.text_faint);
    paint_text(ui, foot, Align2::RIGHT_CENTER, &edge(bins.end), small, p.text_faint);
    let top = h.counts.iter().copied().max().unwrap_or(1);
    let inside = well.shrink(3.0);
    let step = inside.width() / bins.len() as f32;
    let bin_at = |x: f32| bins.start + (((x - inside.left()) / step) as usize).min(bins.len() - 1);
    let hovered = response.hover_pos().filter(|at| well.contains(*at)).map(|at| bin_at(at.x));
    for bin in bins.clone().filter(|&bin| h.counts[bin] > 0) {
        // The square root keeps rare bins visible beside common ones.
        let share = (h.counts[bin] as f32 / top as f32).sqrt();
        let left = inside.left() + (bin - bins.start) as f32 * step;
        let bar_top = inside.bottom() - (inside.height() * share).max(1.5);
        let bar = Rect::from_min_max(pos2(left + 0.5, bar_top), pos2(left + step.max(1.5) - 0.5, inside.bottom()));
        ui.painter().rect_filled(bar, 1.0, if hovered == Some(bin) { p.text } else { color });
    }
    let text: WidgetText = match hovered {
        Some(bin) => {
            let count = format::count(h.counts[bin] as usize);
            format!("{} to {}: {count}\n{explanation}", edge(bin), edge(bin + 1)).into()
        }
        None => explanation.into(),
    };
    response.on_hover_text(text);
}

/// The bins worth showing: from the first to the last that is filled, a quarter of all at least. `None` if all are
/// empty.
fn filled_bins(h: &Histogram) -> Option<std::ops::Range<usize>> {
    let first = h.counts.iter().position(|&count| count > 0)?;
    let end = h.counts.iter().rposition(|&count| count > 0)? + 1;
    let start = first.min(end.saturating_sub(h.counts.len() / 4));
    let end = end.max(start + h.counts.len() / 4).min(h.counts.len());
    Some(start..end)
}

/// Says that more follows below what is scrolled, where it does.
pub fn more_below<R>(ui: &Ui, scrolled: &ScrollAreaOutput<R>) {
    let room = scrolled.inner_rect;
    if scrolled.content_size.y - scrolled.state.unclamped_offset().y <= room.height() + 2.0 {
        return;
    }
    let p = theme::palette(ui);
    let fade = Rect::from_min_max(pos2(room.left(), room.bottom() - 26.0), room.max);
    let mut mesh = Mesh::default();
    for (y, color) in [(fade.top(), Color32::TRANSPARENT), (fade.center().y, p.surface), (fade.bottom(), p.surface)] {
        mesh.colored_vertex(pos2(fade.left(), y), color);
        mesh.colored_vertex(pos2(fade.right(), y), color);
    }
    for strip in [0, 2] {
        mesh.add_triangle(strip, strip + 1, strip + 2);
        mesh.add_triangle(strip + 1, strip + 2, strip + 3);
    }
    ui.painter().add(mesh);
    let at = fade.center_bottom() - vec2(0.0, 7.0);
    let font = egui::TextStyle::Small.resolve(ui.style());
    ui.painter().text(at, Align2::CENTER_CENTER, "▼ more settings", font, p.text_faint);
}

/// A framed block.
pub fn card<R>(ui: &mut Ui, contents: impl FnOnce(&mut Ui) -> R) -> R {
    let p = theme::palette(ui);
    let frame = Frame::new().fill(p.raised).corner_radius(RADIUS_LARGE).inner_margin(space::M);
    frame.show(ui, contents).inner
}
