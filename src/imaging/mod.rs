//! Pixels in memory and on disk.
//!
//! [`Image`] is what every other room works on. Files come in by [`decode`] and go out by [`encode`];
//! [`whole`] tells files that were cut off; [`quantize`] is the one place that says how f32 becomes the 8 bits
//! of a file and back. [`resize`], [`crop`], [`turn`], [`color`] and [`color_fix`] compute on images, [`fingerprint`] tells
//! one again; [`sheet`] draws contact sheets with [`canvas`]. What may be too large to be in memory whole is given by
//! [`rows`], and enlarged by [`window`]s; beyond its edges stands what [`border`] says. [`extensions`] says which files of a
//! folder are images, [`output`] writes what a person names, [`stems`] names what is made of several files. [`draw`] has
//! the seeded numbers behind every random choice here and in [`crate::degrade`].

pub mod border;
pub mod canvas;
pub mod color;
pub mod color_fix;
pub mod crop;
pub mod decode;
pub mod draw;
pub mod encode;
pub mod extensions;
pub mod fingerprint;
#[cfg(test)]
pub(crate) mod fixture;
pub mod output;
pub mod quantize;
pub mod resize;
mod resize_weights;
pub mod rows;
pub mod sheet;
pub mod stems;
pub mod turn;
pub mod whole;
pub mod window;

use crate::{Error, Result};

/// The magnification of super-resolution here: HR is 4 times LR on each side.
pub const SCALE: usize = 4;

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

    /// An image of the same size from other values; the caller keeps the length.
    fn with_data(&self, data: Vec<f32>) -> Self {
        debug_assert_eq!(data.len(), self.data.len());
        Self { width: self.width, height: self.height, data }
    }
}
