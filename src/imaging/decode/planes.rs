//! Decoded rows become the planes of an image, strip by strip: a picture is never held twice.

use image::metadata::Orientation;
use rayon::prelude::*;

use super::layout::{Alpha, Color, Layout};
use super::profile::{self, Conversion};
use super::{Decoded, Header, Note};
use crate::imaging::{Image, quantize::from_u8};

/// Pixels that are converted before they are put in place: some rows of most pictures.
const STRIP_PIXELS: usize = 1 << 16;

/// A component as a decoder gives it.
pub(super) trait Sample: Copy + Sync {
    /// In [0, 1].
    fn unit(self) -> f32;
    /// In 16 bits, for a colour conversion.
    fn word(self) -> u16;
}

impl Sample for u8 {
    fn unit(self) -> f32 {
        from_u8(self)
    }

    fn word(self) -> u16 {
        u16::from(self) * 257
    }
}

impl Sample for u16 {
    fn unit(self) -> f32 {
        self as f32 / 65535.0
    }

    fn word(self) -> u16 {
        self
    }
}

impl Sample for f32 {
    fn unit(self) -> f32 {
        self.clamp(0.0, 1.0)
    }

    fn word(self) -> u16 {
        (self.unit() * 65535.0).round() as u16
    }
}

/// The image while it is being filled.
pub(super) struct Planes {
    size: [usize; 2],
    turned: (usize, usize),
    layout: Layout,
    place: Place,
    conversion: Option<Conversion>,
    data: Vec<f32>,
    strip: Vec<f32>,
    painted: usize,
    translucent: bool,
    notes: Vec<Note>,
}

impl Planes {
    /// Bytes of the image for each pixel.
    pub const BYTES_PER_PIXEL: u64 = 12;

    pub fn new(header: &Header) -> Self {
        let (conversion, note) = profile::conversion(&header.space, header.layout.color);
        let [width, height] = header.size;
        Self {
            size: header.size,
            turned: header.turned_size(),
            layout: header.layout,
            place: Place::new(header.orientation, width, height),
            conversion,
            data: vec![0.0; 3 * width * height],
            strip: Vec::new(),
            painted: 0,
            translucent: false,
            notes: note.into_iter().collect(),
        }
    }

    pub fn note(&mut self, note: Note) {
        self.notes.push(note);
    }

    /// Fills a rectangle with interleaved pixels, row by row; each pixel of the image is to be filled once.
    pub fn paint<T: Sample>(&mut self, x: usize, y: usize, width: usize, samples: &[T]) -> Result<(), String> {
        let row = width * self.layout.channels();
        let rows = samples.len() / row.max(1);
        if row == 0 || x + width > self.size[0] || y + rows > self.size[1] || rows * row != samples.len() {
            return Err("damaged: its pixels do not fit its size".into());
        }
        let rows_at_once = (STRIP_PIXELS / width).max(1);
        let mut strip = std::mem::take(&mut self.strip);
        for (part, samples) in samples.chunks(rows_at_once * row).enumerate() {
            strip.resize(samples.len() / row * width * 3, 0.0);
            let (layout, conversion) = (self.layout, self.conversion.as_ref());
            let lines = strip.par_chunks_exact_mut(3 * width).zip(samples.par_chunks_exact(row));
            self.translucent |=
                lines.map(|(rgb, row)| fill(layout, conversion, row, rgb)).reduce(|| false, |a, b| a || b);
            for (line, rgb) in strip.chunks_exact(3 * width).enumerate() {
                self.put(x, y + part * rows_at_once + line, rgb);
            }
        }
        self.strip = strip;
        self.painted += rows * width;
        Ok(())
    }

    /// Puts a line of interleaved RGB where it belongs.
    fn put(&mut self, x: usize, y: usize, rgb: &[f32]) {
        let pixels = self.size[0] * self.size[1];
        for (channel, plane) in self.data.chunks_exact_mut(pixels).enumerate() {
            let values = rgb.iter().skip(channel).step_by(3);
            let first = self.place.index(x, y);
            if self.place.right == 1 {
                plane[first..].iter_mut().zip(values).for_each(|(to, &value)| *to = value);
            } else {
                for (i, &value) in values.enumerate() {
                    plane[self.place.index(x + i, y)] = value;
                }
            }
        }
    }

    /// The image, if every pixel was given.
    pub fn finish(mut self) -> Result<Decoded, String> {
        if self.painted != self.size[0] * self.size[1] {
            return Err("damaged or truncated: not all of its pixels are there".into());
        }
        if self.translucent {
            self.notes.push(Note::Flattened);
        }
        let image = Image::new(self.turned.0, self.turned.1, self.data).map_err(|e| e.to_string())?;
        Ok(Decoded { image, notes: self.notes })
    }
}

/// One row of pixels as RGB over white; whether any of them is not opaque.
fn fill<T: Sample>(layout: Layout, conversion: Option<&Conversion>, row: &[T], rgb: &mut [f32]) -> bool {
    let colors = layout.color.channels();
    let pixels = || row.chunks_exact(layout.channels());
    // Multiplied colours are divided for a conversion, which is one of colours; without one they stay as they are.
    let divided = conversion.is_some();
    match conversion {
        Some(conversion) => {
            let mut words = Vec::with_capacity(rgb.len() / 3 * colors);
            for pixel in pixels() {
                match layout.alpha {
                    Alpha::Multiplied => {
                        let alpha = pixel[colors].unit().max(f32::MIN_POSITIVE);
                        words.extend(pixel[..colors].iter().map(|value| (value.unit() / alpha).word()));
                    }
                    _ => words.extend(pixel[..colors].iter().map(|value| value.word())),
                }
            }
            conversion.apply(&words, rgb);
        }
        None => {
            for (pixel, rgb) in pixels().zip(rgb.chunks_exact_mut(3)) {
                match layout.color {
                    Color::Gray => rgb.fill(pixel[0].unit()),
                    Color::Rgb => rgb.iter_mut().zip(pixel).for_each(|(to, value)| *to = value.unit()),
                    Color::Cmyk => {
                        let light = 1.0 - pixel[3].unit();
                        rgb.iter_mut().zip(pixel).for_each(|(to, ink)| *to = (1.0 - ink.unit()) * light);
                    }
                }
            }
        }
    }
    let mut translucent = false;
    if layout.has_alpha() {
        for (pixel, rgb) in pixels().zip(rgb.chunks_exact_mut(3)) {
            let alpha = pixel[colors].unit();
            translucent |= alpha < 1.0;
            for value in rgb {
                *value = match layout.alpha {
                    Alpha::Multiplied if !divided => (*value + (1.0 - alpha)).min(1.0),
                    _ => *value * alpha + (1.0 - alpha),
                };
            }
        }
    }
    translucent
}

/// Where a stored pixel lies in a plane of the turned image.
#[derive(Clone, Copy)]
struct Place {
    origin: isize,
    right: isize,
    down: isize,
}

impl Place {
    fn new(orientation: Orientation, width: usize, height: usize) -> Self {
        let (w, h) = (width as isize, height as isize);
        let (origin, right, down) = match orientation {
            Orientation::NoTransforms => (0, 1, w),
            Orientation::FlipHorizontal => (w - 1, -1, w),
            Orientation::Rotate180 => (w * h - 1, -1, -w),
            Orientation::FlipVertical => (w * (h - 1), 1, -w),
            Orientation::Rotate90FlipH => (0, h, 1),
            Orientation::Rotate90 => (h - 1, h, -1),
            Orientation::Rotate270FlipH => (w * h - 1, -h, -1),
            Orientation::Rotate270 => (h * (w - 1), -h, 1),
        };
        Self { origin, right, down }
    }

    fn index(self, x: usize, y: usize) -> usize {
        (self.origin + self.right * x as isize + self.down * y as isize) as usize
    }
}
