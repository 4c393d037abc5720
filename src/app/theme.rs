//! Every colour, distance and size of the studio, dark and light, from one place.
//!
//! [`install`] turns a [`Palette`] into egui's styles once; panes ask [`palette`] for what egui has no word for.

use std::sync::Arc;

use egui::style::{HandleShape, ScrollStyle, Selection, WidgetVisuals, Widgets};
use egui::{Color32, Context, CornerRadius, FontFamily, FontId, Margin, Shadow, Stroke, Style, TextStyle, Theme, Ui};
use egui::{Visuals, vec2};

use super::fonts;

/// The distances things are apart, in points.
pub mod space {
    /// Between a mark and its text.
    pub const XS: f32 = 4.0;
    /// Between things that belong together.
    pub const S: f32 = 8.0;
    /// Padding of a card, between controls.
    pub const M: f32 = 12.0;
    /// Between groups.
    pub const L: f32 = 16.0;
    /// Between sections.
    pub const XL: f32 = 24.0;
}

/// Rounding of small things such as buttons and cells, in points.
pub const RADIUS: u8 = 5;
/// Rounding of cards and windows.
pub const RADIUS_LARGE: u8 = 8;
/// Height of the bar on top.
pub const TOP_BAR_HEIGHT: f32 = 44.0;
/// Height of the line at the bottom.
pub const STATUS_HEIGHT: f32 = 26.0;
/// The font sizes that can be chosen, in points of body text.
pub const FONT_SIZES: std::ops::RangeInclusive<f32> = 11.0..=20.0;
/// The font size a new user gets.
pub const DEFAULT_FONT_SIZE: f32 = 13.0;

/// The colours with a meaning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Palette {
    /// Behind everything, seen in gaps.
    pub backdrop: Color32,
    /// Panes.
    pub surface: Color32,
    /// Cards, controls.
    pub raised: Color32,
    /// Under the pointer.
    pub hovered: Color32,
    /// Wells that content sits in: plots, text fields, grids.
    pub well: Color32,
    /// Lines between things.
    pub line: Color32,
    /// Lines that should be noticed.
    pub line_strong: Color32,
    /// Lines of plots, behind the curves.
    pub grid: Color32,
    pub text: Color32,
    pub text_weak: Color32,
    /// Text that may be overlooked: units, hints.
    pub text_faint: Color32,
    /// The one colour that says "this is what you do next", and what is selected.
    pub accent: Color32,
    /// Text on [`Palette::accent`].
    pub on_accent: Color32,
    /// What is selected, as a background.
    pub selected: Color32,
    /// The top N of a group; what got better.
    pub winner: Color32,
    /// The bottom N of a group; what got worse.
    pub loser: Color32,
    /// Kept away from training.
    pub held_out: Color32,
    /// Needs attention.
    pub warning: Color32,
    /// Went wrong.
    pub error: Color32,
    /// What a setting differs from its preset in.
    pub changed: Color32,
    /// Behind text on top of pictures.
    pub scrim: Color32,
    /// Text on [`Palette::scrim`].
    pub on_scrim: Color32,
    /// Lines of plots, to be taken in order.
    pub series: [Color32; 6],
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

/// Colours on dark.
pub const DARK: Palette = Palette {
    backdrop: rgb(0x0B0D11),
    surface: rgb(0x14171D),
    raised: rgb(0x1E222B),
    hovered: rgb(0x2A303C),
    well: rgb(0x0F1216),
    line: rgb(0x272C36),
    line_strong: rgb(0x3B4351),
    grid: rgb(0x313845),
    text: rgb(0xE7EAF0),
    text_weak: rgb(0xA7AFBD),
    text_faint: rgb(0x7C8594),
    accent: rgb(0x5B93FF),
    on_accent: rgb(0x081226),
    selected: rgb(0x203457),
    winner: rgb(0x3CCB95),
    loser: rgb(0xF4776A),
    held_out: rgb(0xB69CFF),
    warning: rgb(0xEDB84F),
    error: rgb(0xFF7A70),
    changed: rgb(0xEDB84F),
    scrim: Color32::from_rgba_premultiplied(6, 8, 12, 205),
    on_scrim: rgb(0xF2F4F8),
    series: [rgb(0x5B93FF), rgb(0xF2A24B), rgb(0x3CCB95), rgb(0xE879B9), rgb(0xB69CFF), rgb(0x5FD0E6)],
};

/// Colours on light.
pub const LIGHT: Palette = Palette {
    backdrop: rgb(0xDDE1E8),
    surface: rgb(0xF8F9FB),
    raised: rgb(0xE9ECF1),
    hovered: rgb(0xDCE1E9),
    well: rgb(0xFFFFFF),
    line: rgb(0xDADFE7),
    line_strong: rgb(0xB4BDCA),
    grid: rgb(0xDADFE7),
    text: rgb(0x171B22),
    text_weak: rgb(0x4B5563),
    text_faint: rgb(0x697586),
    accent: rgb(0x1F62DB),
    on_accent: rgb(0xFFFFFF),
    selected: rgb(0xD5E3FE),
    winner: rgb(0x0C8A5B),
    loser: rgb(0xCE4034),
    held_out: rgb(0x6B46D1),
    warning: rgb(0xA86A05),
    error: rgb(0xC62F24),
    changed: rgb(0xA86A05),
    scrim: Color32::from_rgba_premultiplied(6, 8, 12, 205),
    on_scrim: rgb(0xF2F4F8),
    series: [rgb(0x1F62DB), rgb(0xC06A00), rgb(0x0C8A5B), rgb(0xB8327F), rgb(0x6B46D1), rgb(0x0F7F99)],
};

/// The colours of the theme that is on.
pub fn palette(ui: &Ui) -> &'static Palette {
    of(ui.visuals().dark_mode)
}

/// The colours on dark, or on light.
pub fn of(dark: bool) -> &'static Palette {
    if dark { &DARK } else { &LIGHT }
}

/// Gives egui both themes. `font_size` is that of body text, in points.
pub fn install(ctx: &Context, font_size: f32) {
    for (theme, palette) in [(Theme::Dark, &DARK), (Theme::Light, &LIGHT)] {
        ctx.set_style_of(theme, Arc::new(style(palette, theme == Theme::Dark, font_size)));
    }
}

/// Text that leads a section.
pub fn strong(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(fonts::STRONG.into()))
}

fn style(p: &Palette, dark: bool, size: f32) -> Style {
    let mut style = Style { visuals: visuals(p, dark), ..Style::default() };
    let sans = |scale: f32| FontId::new((size * scale).round(), FontFamily::Proportional);
    style.text_styles = [
        (TextStyle::Small, sans(0.85)),
        (TextStyle::Body, sans(1.0)),
        (TextStyle::Button, sans(1.0)),
        (TextStyle::Monospace, FontId::new((size * 0.95).round(), FontFamily::Monospace)),
        (TextStyle::Heading, strong((size * 1.25).round())),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(space::S, 6.0);
    spacing.button_padding = vec2(10.0, 4.0);
    spacing.interact_size = vec2(32.0, (size * 1.85).round());
    spacing.window_margin = Margin::same(14);
    spacing.menu_margin = Margin::same(6);
    spacing.indent = 16.0;
    spacing.slider_width = 140.0;
    spacing.slider_rail_height = 4.0;
    spacing.combo_width = 120.0;
    spacing.icon_width = (size * 1.25).round();
    spacing.icon_width_inner = (size * 0.75).round();
    spacing.tooltip_width = 380.0;
    spacing.scroll = ScrollStyle { bar_width: 8.0, floating: true, ..ScrollStyle::floating() };
    style.interaction.tooltip_delay = 0.35;
    style.interaction.selectable_labels = false;
    style.animation_time = 0.1;
    style
}

fn visuals(p: &Palette, dark: bool) -> Visuals {
    let base = if dark { Visuals::dark() } else { Visuals::light() };
    let widget = |fill: Color32, line: Color32, text: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(1.0, line),
        corner_radius: CornerRadius::same(RADIUS),
        fg_stroke: Stroke::new(1.0, text),
        expansion: 0.0,
    };
    let shadow = |blur: u8, alpha: u8| Shadow {
        offset: [0, (blur / 3) as i8],
        blur,
        spread: 0,
        color: Color32::from_black_alpha(if dark { alpha } else { alpha / 3 }),
    };
    Visuals {
        widgets: Widgets {
            noninteractive: WidgetVisuals { bg_stroke: Stroke::new(1.0, p.line), ..widget(p.surface, p.line, p.text) },
            inactive: widget(p.raised, p.line, p.text),
            hovered: widget(p.hovered, p.line_strong, p.text),
            active: widget(p.selected, p.accent, p.text),
            open: widget(p.hovered, p.line_strong, p.text),
        },
        selection: Selection { bg_fill: p.selected, stroke: Stroke::new(1.0, p.accent) },
        weak_text_color: Some(p.text_weak),
        hyperlink_color: p.accent,
        faint_bg_color: if dark { Color32::from_white_alpha(5) } else { Color32::from_black_alpha(8) },
        extreme_bg_color: p.well,
        text_edit_bg_color: Some(p.well),
        code_bg_color: p.raised,
        warn_fg_color: p.warning,
        error_fg_color: p.error,
        window_corner_radius: CornerRadius::same(RADIUS_LARGE),
        menu_corner_radius: CornerRadius::same(RADIUS_LARGE),
        window_fill: p.surface,
        window_stroke: Stroke::new(1.0, p.line_strong),
        window_shadow: shadow(32, 140),
        popup_shadow: shadow(18, 110),
        panel_fill: p.surface,
        slider_trailing_fill: true,
        handle_shape: HandleShape::Circle,
        indent_has_left_vline: false,
        striped: false,
        // Light on light loses more of its contrast.
        disabled_alpha: if dark { 0.5 } else { 0.65 },
        ..base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast as WCAG 2.1 defines it, from 1 to 21.
    fn contrast(a: Color32, b: Color32) -> f32 {
        let luminance = |c: Color32| {
            let [r, g, b, _] = egui::Rgba::from(c).to_array();
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_and_marks_can_be_read_in_both_themes() {
        for p in [&DARK, &LIGHT] {
            for ground in [p.surface, p.raised, p.well] {
                assert!(contrast(p.text, ground) >= 7.0);
                assert!(contrast(p.text_weak, ground) >= 4.5);
                for mark in [p.text_faint, p.winner, p.loser, p.held_out, p.warning, p.error, p.accent] {
                    assert!(contrast(mark, ground) >= 3.0, "{mark:?} on {ground:?}");
                }
            }
            assert!(contrast(p.on_accent, p.accent) >= 4.5);
        }
    }
}
