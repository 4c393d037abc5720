//! Small things that several panes draw: bars, badges, empty states, histograms.

use egui::accesskit::Role;
use egui::scroll_area::ScrollAreaOutput;
use egui::style::HandleShape;
use egui::{
    Align2, Button, Color32, FontId, Frame, Id, Label, Margin, Mesh, Modal, Rect, Response, RichText, Sense, Slider,
    Stroke, StrokeKind, Ui, WidgetInfo, WidgetText, pos2, vec2,
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

/// Two corners that move apart: a button that shows one thing large. No font here has the sign.
pub fn enlarge_button(ui: &mut Ui) -> Response {
    let p = theme::palette(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(18.0, 18.0), Sense::click());
    if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect, RADIUS, p.hovered);
    }
    let stroke = Stroke::new(1.3, if response.hovered() { p.text } else { p.text_weak });
    let inside = Rect::from_center_size(rect.center(), vec2(9.0, 9.0));
    let arm = 4.0;
    for (corner, x, y) in [(inside.right_top(), -arm, arm), (inside.left_bottom(), arm, -arm)] {
        ui.painter().line_segment([corner, corner + vec2(x, 0.0)], stroke);
        ui.painter().line_segment([corner, corner + vec2(0.0, y)], stroke);
    }
    ui.painter().line_segment([inside.left_bottom(), inside.right_top()], stroke);
    response
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
    // Painted, as a frame is as high as the bar that it stands in.
    let font = egui::TextStyle::Small.resolve(ui.style());
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, color);
    let (rect, response) = ui.allocate_exact_size(galley.size() + vec2(12.0, 4.0), Sense::hover());
    name(&response, Role::Label, text);
    ui.painter().rect_filled(rect, RADIUS, color.gamma_multiply(0.18));
    ui.painter().galley(rect.min + vec2(6.0, 2.0), galley, color);
    response
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

/// What a histogram shows beside its counts.
#[derive(Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The same before an edit, drawn as an outline.
    pub before: Option<&'a Histogram>,
    /// A value that means something, and is marked.
    pub mark: Option<f64>,
}

/// Width within which the figures of a mark and of an end would touch.
const MARK_ROOM: f32 = 56.0;

/// A histogram over the range of its data; hovering names the bin.
pub fn histogram(
    ui: &mut Ui,
    title: &str,
    explanation: &str,
    h: &Histogram,
    color: Color32,
    width: f32,
    beside: Beside<'_>,
) {
    let p = theme::palette(ui);
    let height = 46.0;
    let (rect, response) = ui.allocate_exact_size(vec2(width, height + 34.0), Sense::hover());
    let small = egui::TextStyle::Small.resolve(ui.style());
    let head = Rect::from_min_size(rect.min, vec2(width, 16.0));
    paint_text(ui, head, Align2::LEFT_CENTER, title, small.clone(), p.text_weak);
    let well = Rect::from_min_size(pos2(rect.left(), rect.top() + 17.0), vec2(width, height));
    ui.painter().rect(well, RADIUS, p.well, Stroke::new(1.0, p.line), StrokeKind::Inside);
    let top = h.counts.iter().copied().max().unwrap_or(0);
    if top == 0 {
        name(&response, Role::Image, &format!("Histogram of {title}"));
        paint_text(ui, well, Align2::CENTER_CENTER, "no pairs", small, p.text_faint);
        return;
    }
    let before = beside.before.filter(|before| *before != h && before.counts.iter().any(|&count| count > 0));
    let [low, high] = shown_range(h, before, beside.mark);
    name(
        &response,
        Role::Image,
        &format!("Histogram of {title}, {} to {}", format::brief(h.min), format::brief(h.max)),
    );
    let foot = Rect::from_min_max(pos2(rect.left() + 2.0, well.bottom() + 1.0), rect.right_bottom() - vec2(2.0, 0.0));
    let inside = well.shrink(3.0);
    let mark_x = beside.mark.map(|mark| inside.left() + inside.width() * ((mark - low) / (high - low)) as f32);
    for (end, align, x) in [(low, Align2::LEFT_CENTER, foot.left()), (high, Align2::RIGHT_CENTER, foot.right())] {
        // What the mark says comes before where the data end.
        if mark_x.is_none_or(|mark| (mark - x).abs() > MARK_ROOM) {
            paint_text(ui, foot, align, &format::brief(end), small.clone(), p.text_faint);
        }
    }
    let x_of = |value: f64| inside.left() + inside.width() * ((value - low) / (high - low)) as f32;
    let edges = |h: &Histogram, bin: usize| {
        let unit = (h.max - h.min) / h.counts.len() as f64;
        [h.min + bin as f64 * unit, h.min + (bin + 1) as f64 * unit]
    };
    let bar = |h: &Histogram, bin: usize| {
        // The square root keeps rare bins visible beside common ones.
        let most = h.counts.iter().copied().max().unwrap_or(1).max(1);
        let share = (h.counts[bin] as f32 / most as f32).sqrt();
        let [left, right] = edges(h, bin).map(x_of);
        let top = inside.bottom() - (inside.height() * share).max(1.5);
        Rect::from_min_max(pos2(left, top), pos2(right.max(left + 1.5), inside.bottom()))
    };
    let filled = |h: &Histogram| (0..h.counts.len()).filter(|&bin| h.counts[bin] > 0).collect::<Vec<_>>();
    let at = response.hover_pos().filter(|at| well.contains(*at)).map(|at| at.x);
    let hovered = at.and_then(|x| filled(h).into_iter().find(|&bin| bar(h, bin).x_range().contains(x)));
    for bin in filled(h) {
        let rect = bar(h, bin);
        let rect = if rect.width() > 2.5 { rect.shrink2(vec2(0.5, 0.0)) } else { rect };
        ui.painter().rect_filled(rect, 1.0, if hovered == Some(bin) { p.text } else { color });
    }
    if let Some(before) = before {
        for bin in filled(before) {
            let rect = bar(before, bin);
            ui.painter().hline(rect.x_range(), rect.top(), Stroke::new(1.5, p.changed));
        }
    }
    if let Some(mark) = beside.mark {
        let x = x_of(mark);
        ui.painter().vline(x, well.y_range(), Stroke::new(1.0, p.text_weak));
        let at = pos2(x.clamp(foot.left() + 12.0, foot.right() - 12.0), foot.center().y);
        ui.painter().text(at, Align2::CENTER_CENTER, format::brief(mark), small, p.text_weak);
    }
    let said = if before.is_some() { "\nthe lines: before the last edit of the recipe" } else { "" };
    let text: WidgetText = match hovered {
        Some(bin) => {
            let [from, to] = edges(h, bin).map(format::brief);
            format!("{from} to {to}: {}\n{explanation}{said}", format::count(h.counts[bin] as usize)).into()
        }
        None => format!("{explanation}{said}").into(),
    };
    response.on_hover_text(text);
}

/// From the smallest to the largest of what is shown, with a little room where all are alike.
fn shown_range(h: &Histogram, before: Option<&Histogram>, mark: Option<f64>) -> [f64; 2] {
    let ends = [Some([h.min, h.max]), before.map(|b| [b.min, b.max]), mark.map(|mark| [mark; 2])];
    let join = |[low, high]: [f64; 2], [a, b]: [f64; 2]| [low.min(a), high.max(b)];
    let [low, high] = ends.into_iter().flatten().fold([f64::INFINITY, f64::NEG_INFINITY], join);
    let room = if high > low { 0.0 } else { 0.01 * high.abs().max(1.0) };
    [low - room, high + room]
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

/// A window in front of everything else, with room at its edges.
pub fn modal(ctx: &egui::Context, id: &str) -> Modal {
    let style = ctx.global_style();
    Modal::new(Id::unique(id)).frame(Frame::popup(&style).inner_margin(style.spacing.window_margin))
}

/// A framed block.
pub fn card<R>(ui: &mut Ui, contents: impl FnOnce(&mut Ui) -> R) -> R {
    let p = theme::palette(ui);
    let frame = Frame::new().fill(p.raised).corner_radius(RADIUS_LARGE).inner_margin(space::M);
    frame.show(ui, contents).inner
}
