//! How f32 values become the 8 bits of a file and back.
//!
//! A candidate is scored and shown as it is stored: round first, then measure.

use std::ops::Range;

use super::Image;
use super::rows::Rows;
use crate::words::words;
use crate::{Error, Result};
use rayon::prelude::*;

words! {
    /// How values become whole ones.
    pub enum Rounding {
        Nearest = "nearest",
        /// Towards zero, as tensors become pictures in torchvision.
        Truncate = "truncate",
        /// As the official scripts do: to the nearest as what was decoded becomes a picture, and towards zero after the colours of
        /// that were fixed.
        Official = "official",
    }
}

/// A picture whose values are those of 8 bits, the nearest, given by rows.
pub struct Quantized<R>(pub R);

impl<R: Rows> Rows for Quantized<R> {
    fn width(&self) -> usize {
        self.0.width()
    }

    fn height(&self) -> usize {
        self.0.height()
    }

    fn rows(&self, rows: Range<usize>) -> Result<Image> {
        Ok(quantized(&self.0.rows(rows)?))
    }
}

/// A picture whose values are the 8 bits that truncating leaves, given by rows: rounding them changes nothing more.
pub struct Truncated<R>(pub R);

impl<R: Rows> Rows for Truncated<R> {
    fn width(&self) -> usize {
        self.0.width()
    }

    fn height(&self) -> usize {
        self.0.height()
    }

    fn rows(&self, rows: Range<usize>) -> Result<Image> {
        let image = self.0.rows(rows)?;
        Ok(image.with_data(image.data().iter().map(|v| from_u8((v * 255.0) as u8)).collect()))
    }
}

/// The 8-bit value of one component: clamped to [0, 1], rounded to the nearest (halves up); NaN becomes 0.
pub fn to_u8(value: f32) -> u8 {
    // `as` saturates and takes NaN to 0.
    (value * 255.0 + 0.5) as u8
}

/// The f32 value of an 8-bit component, in [0, 1].
pub fn from_u8(value: u8) -> f32 {
    value as f32 / 255.0
}

/// Interleaved 8-bit RGB (HWC), `3 * height * width` bytes, as files and screens want it.
pub fn to_rgb8(image: &Image) -> Vec<u8> {
    let width = image.width();
    let [red, green, blue] = [0, 1, 2].map(|c| image.plane(c));
    let mut bytes = vec![0; 3 * red.len()];
    bytes.par_chunks_exact_mut(3 * width).enumerate().for_each(|(y, line)| {
        let row = y * width..(y + 1) * width;
        let rows = red[row.clone()].iter().zip(&green[row.clone()]).zip(&blue[row]);
        for (pixel, ((&r, &g), &b)) in line.chunks_exact_mut(3).zip(rows) {
            pixel.copy_from_slice(&[to_u8(r), to_u8(g), to_u8(b)]);
        }
    });
    bytes
}

/// The image of interleaved 8-bit RGB (HWC); fails where the length does not fit the size.
pub fn from_rgb8(width: usize, height: usize, bytes: &[u8]) -> Result<Image> {
    if bytes.len() != 3 * width * height {
        return Err(Error::invalid(format!("{} bytes do not make a {width}×{height} RGB image", bytes.len())));
    }
    let mut data = vec![0.0; bytes.len()];
    for (channel, plane) in data.chunks_exact_mut((width * height).max(1)).enumerate() {
        for (value, pixel) in plane.iter_mut().zip(bytes.chunks_exact(3)) {
            *value = from_u8(pixel[channel]);
        }
    }
    Image::new(width, height, data)
}

/// An image in the 8 bits of a file: a quarter of the memory of an [`Image`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb8 {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Interleaved RGB (HWC).
    pub bytes: Vec<u8>,
}

impl Rgb8 {
    /// The image; fails where the length does not fit the size.
    pub fn image(&self) -> Result<Image> {
        from_rgb8(self.width, self.height, &self.bytes)
    }
}

/// The image as it will be read back after being stored: every value rounded to 8 bits.
pub fn quantized(image: &Image) -> Image {
    image.with_data(image.data().par_iter().with_min_len(1 << 14).map(|&v| from_u8(to_u8(v))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_the_way_there_and_back() {
        for byte in 0..=255 {
            assert_eq!(to_u8(from_u8(byte)), byte);
        }
    }

    #[test]
    fn rounds_to_nearest_and_clamps() {
        assert_eq!(
            [-1.0, 0.4 / 255.0, 0.6 / 255.0, 1.0, 9.0, f32::NAN, f32::INFINITY].map(to_u8),
            [0, 0, 1, 255, 255, 0, 255]
        );
    }

    #[test]
    fn truncating_takes_what_is_begun_for_nothing() {
        let values = [-1.0, 0.0, 0.999 / 255.0, 1.0 / 255.0, 254.999 / 255.0, 1.0, 9.0, f32::NAN, 0.5];
        let image = Image::new(3, 1, values.to_vec()).unwrap();
        let whole = Truncated(&image).whole().unwrap();
        let bytes: Vec<u8> = whole.data().iter().map(|&v| to_u8(v)).collect();
        assert_eq!(bytes, [0, 0, 0, 1, 254, 255, 255, 0, 127]);
        assert_eq!(quantized(&whole), whole);
    }

    #[test]
    fn interleaved_and_planar_hold_the_same_pixels() {
        let bytes: Vec<u8> = (0..3 * 5 * 4).map(|v| (v * 4) as u8).collect();
        let image = from_rgb8(5, 4, &bytes).unwrap();
        assert_eq!(image.plane(1)[7], from_u8(bytes[7 * 3 + 1]));
        assert_eq!(to_rgb8(&image), bytes);
        assert_eq!(quantized(&image), image);
        assert!(from_rgb8(5, 5, &bytes).is_err());
        assert!(from_rgb8(0, 0, &[]).is_err());
    }
}
