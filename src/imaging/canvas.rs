//! A picture to draw on: rectangles, lines, images and text, for the sheets that go to disk.
//!
//! The letters are Ubuntu Light (Ubuntu Font Licence 1.0), the symbols Hack (MIT and Bitstream Vera licences), from the
//! crate that ships egui's fonts; both licences allow embedding.

use super::Image;
use crate::{Error, Result};
use ab_glyph::{Font, FontRef, Glyph, GlyphId, PxScale, ScaleFont, point};

/// An RGB colour, each component in [0, 1], sRGB-encoded.
pub type Color = [f32; 3];

/// A drawing surface and its font.
pub struct Canvas {
    width: usize,
    height: usize,
    data: Vec<f32>,
    letters: Letters,
}

/// The fonts, for measuring text before there is a canvas.
#[derive(Clone)]
pub struct Letters {
    text: FontRef<'static>,
    /// For what the first one lacks, such as arrows.
    symbols: FontRef<'static>,
}

/// A glyph in its place and the font it comes from.
struct Placed<'a> {
    font: &'a FontRef<'static>,
    glyph: Glyph,
}

impl Letters {
    /// The embedded fonts.
    pub fn new() -> Result<Self> {
        let font = |bytes: &'static [u8]| {
            FontRef::try_from_slice(bytes)
                .map_err(|cause| Error::invalid(format!("an embedded font is damaged: {cause}")))
        };
        Ok(Self { text: font(epaint_default_fonts::UBUNTU_LIGHT)?, symbols: font(epaint_default_fonts::HACK_REGULAR)? })
    }

    /// The width of a line of text in pixels, at a font size in pixels.
    pub fn width(&self, text: &str, size_px: f32) -> f32 {
        self.place(text, size_px).1
    }

    /// The text itself, or as much of it as fits into `width_px` with an ellipsis at its end.
    pub fn fit(&self, text: &str, size_px: f32, width_px: f32) -> String {
        if self.width(text, size_px) <= width_px {
            return text.to_owned();
        }
        let mut letters: Vec<char> = text.chars().collect();
        while letters.pop().is_some() {
            let shorter = format!("{}…", letters.iter().collect::<String>().trim_end());
            if self.width(&shorter, size_px) <= width_px {
                return shorter;
            }
        }
        String::new()
    }

    /// The font that has this letter: the first one unless only the second does.
    fn font_of(&self, letter: char) -> &FontRef<'static> {
        let only_symbols = self.text.glyph_id(letter).0 == 0 && self.symbols.glyph_id(letter).0 != 0;
        if only_symbols { &self.symbols } else { &self.text }
    }

    /// Glyphs on a baseline that starts at (0, 0), and where the line ends.
    fn place(&self, text: &str, size_px: f32) -> (Vec<Placed<'_>>, f32) {
        let mut x = 0.0;
        let mut last: Option<(&FontRef, GlyphId)> = None;
        let mut placed = Vec::with_capacity(text.len());
        for letter in text.chars().filter(|c| !c.is_control()) {
            let font = self.font_of(letter);
            let scaled = font.as_scaled(PxScale::from(size_px));
            let id = scaled.glyph_id(letter);
            if let Some((_, last)) = last.filter(|(of, _)| std::ptr::eq(*of, font)) {
                x += scaled.kern(last, id);
            }
            placed.push(Placed { font, glyph: id.with_scale_and_position(size_px, point(x, 0.0)) });
            x += scaled.h_advance(id);
            last = Some((font, id));
        }
        (placed, x)
    }
}

impl Canvas {
    /// A surface of one colour.
    pub fn new(width: usize, height: usize, background: Color, letters: Letters) -> Self {
        let data = background.iter().flat_map(|&value| std::iter::repeat_n(value, width * height)).collect();
        Self { width, height, data, letters }
    }

    /// Fills a rectangle; what lies outside the canvas is left out.
    pub fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, color: Color) {
        let (right, bottom) = ((x + width).min(self.width), (y + height).min(self.height));
        for (plane, value) in self.data.chunks_exact_mut(self.width * self.height).zip(color) {
            for row in plane.chunks_exact_mut(self.width).take(bottom).skip(y) {
                row[x.min(right)..right].fill(value);
            }
        }
    }

    /// Draws an image with its top left corner at (`x`, `y`), pixel for pixel.
    pub fn image(&mut self, x: usize, y: usize, image: &Image) {
        let width = image.width().min(self.width.saturating_sub(x));
        for (channel, plane) in self.data.chunks_exact_mut(self.width * self.height).enumerate() {
            let rows = plane.chunks_exact_mut(self.width).skip(y);
            for (row, source) in rows.zip(image.plane(channel).chunks_exact(image.width())) {
                row[x..x + width].copy_from_slice(&source[..width]);
            }
        }
    }

    /// Draws one line of text; (`x`, `y`) is the left end of its baseline.
    pub fn text(&mut self, x: f32, y: f32, text: &str, size_px: f32, color: Color) {
        let (width, height) = (self.width as i32, self.height as i32);
        for Placed { font, mut glyph } in self.letters.place(text, size_px).0 {
            glyph.position.x += x;
            glyph.position.y += y;
            let Some(outline) = font.outline_glyph(glyph) else {
                continue;
            };
            let (left, top) = (outline.px_bounds().min.x as i32, outline.px_bounds().min.y as i32);
            outline.draw(|dx, dy, coverage| {
                let (px, py) = (left + dx as i32, top + dy as i32);
                if (0..width).contains(&px) && (0..height).contains(&py) {
                    let at = (py * width + px) as usize;
                    let cover = coverage.clamp(0.0, 1.0);
                    for (plane, value) in self.data.chunks_exact_mut((width * height) as usize).zip(color) {
                        plane[at] += cover * (value - plane[at]);
                    }
                }
            });
        }
    }

    /// Draws a straight line of a width in pixels, its edges smooth.
    pub fn line(&mut self, from: [f32; 2], to: [f32; 2], width: f32, color: Color) {
        let [dx, dy] = [to[0] - from[0], to[1] - from[1]];
        let length_squared = dx * dx + dy * dy;
        self.cover(from, to, width * 0.5, color, |x, y| {
            let along = ((x - from[0]) * dx + (y - from[1]) * dy) / length_squared.max(1e-9);
            let along = along.clamp(0.0, 1.0);
            (x - from[0] - along * dx).hypot(y - from[1] - along * dy)
        });
    }

    /// Draws a filled circle.
    pub fn dot(&mut self, center: [f32; 2], radius: f32, color: Color) {
        self.cover(center, center, radius, color, |x, y| (x - center[0]).hypot(y - center[1]));
    }

    /// Covers the pixels nearer than `radius`, of a box around two corners that leaves the canvas or not.
    fn cover(&mut self, a: [f32; 2], b: [f32; 2], radius: f32, color: Color, distance: impl Fn(f32, f32) -> f32) {
        if ![a[0], a[1], b[0], b[1], radius].iter().all(|v| v.is_finite()) {
            return;
        }
        let span = |a: f32, b: f32, side: usize| {
            let low = (a.min(b) - radius - 1.0).max(0.0) as usize;
            let high = (a.max(b) + radius + 2.0).clamp(0.0, side as f32) as usize;
            low..high
        };
        let (xs, ys) = (span(a[0], b[0], self.width), span(a[1], b[1], self.height));
        let size = self.width * self.height;
        for y in ys {
            for x in xs.clone() {
                let cover = (radius + 0.5 - distance(x as f32 + 0.5, y as f32 + 0.5)).clamp(0.0, 1.0);
                if cover > 0.0 {
                    for (plane, value) in self.data.chunks_exact_mut(size).zip(color) {
                        let pixel = &mut plane[y * self.width + x];
                        *pixel += cover * (value - *pixel);
                    }
                }
            }
        }
    }

    /// The finished picture.
    pub fn into_image(self) -> Result<Image> {
        Image::new(self.width, self.height, self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_measured_and_shortened() {
        let letters = Letters::new().unwrap();
        assert!(letters.width("wider", 20.0) > letters.width("wide", 20.0));
        assert!((letters.width("abc", 40.0) / letters.width("abc", 20.0) - 2.0).abs() < 0.05);
        assert_eq!(letters.fit("short", 20.0, 500.0), "short");
        let fitted = letters.fit("a name that is far too long for its cell", 20.0, 120.0);
        assert!(fitted.ends_with('…') && letters.width(&fitted, 20.0) <= 120.0, "{fitted}");
        assert_eq!(letters.fit("any", 20.0, 1.0), "");
    }

    #[test]
    fn the_font_has_the_letters_reports_need() {
        let letters = Letters::new().unwrap();
        for letter in "Az09 ×²±→–·…σµäéα%".chars() {
            assert_ne!(letters.font_of(letter).glyph_id(letter).0, 0, "{letter}");
        }
    }

    #[test]
    fn lines_and_dots_cover_what_they_should() {
        let mut canvas = Canvas::new(40, 40, [1.0; 3], Letters::new().unwrap());
        canvas.line([5.0, 20.5], [35.0, 20.5], 1.0, [0.0; 3]);
        canvas.dot([20.0, 8.0], 4.0, [0.0; 3]);
        let image = canvas.into_image().unwrap();
        let at = |x: usize, y: usize| image.plane(0)[y * 40 + x];
        assert!(at(20, 20) < 0.01 && at(20, 22) > 0.99 && at(2, 20) > 0.99);
        let area: f32 = (0..16).flat_map(|y| (0..40).map(move |x| (x, y))).map(|(x, y)| 1.0 - at(x, y)).sum();
        assert!((area - 16.0 * std::f32::consts::PI).abs() < 1.0, "{area}");
    }

    #[test]
    fn drawing_beyond_the_edges_is_clipped() {
        let mut canvas = Canvas::new(20, 10, [1.0; 3], Letters::new().unwrap());
        canvas.fill(15, 5, 100, 100, [0.0; 3]);
        canvas.fill(50, 50, 3, 3, [0.0; 3]);
        canvas.text(-5.0, 9.0, "clipped text", 14.0, [0.0; 3]);
        canvas.image(18, 8, &Image::new(4, 4, vec![0.25; 48]).unwrap());
        canvas.image(40, 40, &Image::new(4, 4, vec![0.25; 48]).unwrap());
        canvas.line([-50.0, 2.0], [90.0, 2.0], 1.0, [1.0; 3]);
        canvas.line([f32::NAN, 2.0], [9.0, 2.0], 1.0, [0.0; 3]);
        canvas.dot([-3.0, 40.0], 2.0, [0.0; 3]);
        let image = canvas.into_image().unwrap();
        assert_eq!(image.plane(0)[5 * 20 + 15], 0.0);
        assert_eq!(image.plane(2)[9 * 20 + 19], 0.25);
        assert!(image.plane(1)[..100].iter().any(|&v| v < 0.9));
    }
}
