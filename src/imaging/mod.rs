//! Pixels in memory and on disk.

use crate::{Error, Result};

/// An RGB image: planar (CHW) f32, nominally in [0, 1], sRGB-encoded as in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    width: usize,
    height: usize,
    data: Vec<f32>,
}

impl Image {
    /// An image from planar data of length `3 * height * width`.
    pub fn new(width: usize, height: usize, data: Vec<f32>) -> Result<Self> {
        if width == 0 || height == 0 || data.len() != 3 * width * height {
            return Err(Error::invalid(format!("{} values do not make a {width}×{height} RGB image", data.len())));
        }
        Ok(Self { width, height, data })
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All values, planar: R plane, G plane, B plane, each row by row.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// One plane: 0 red, 1 green, 2 blue; `height * width` values.
    pub fn plane(&self, channel: usize) -> &[f32] {
        let n = self.width * self.height;
        &self.data[channel * n..(channel + 1) * n]
    }

    /// The planar data, without a copy.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }
}
