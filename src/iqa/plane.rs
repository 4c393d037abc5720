//! One channel of an image, and the luma that the metrics other than PSNR and ST-LPIPS look at.

use super::parallel::{strips_mut, vectorised};
use crate::imaging::Image;

/// One channel, row by row.
#[derive(Clone, Debug)]
pub struct Plane {
    pub width: usize,
    pub height: usize,
    pub data: Vec<f32>,
}

impl Plane {
    pub fn zeros(width: usize, height: usize) -> Self {
        Self { width, height, data: vec![0.0; width * height] }
    }

    /// One row, top row first.
    #[inline(always)]
    pub fn row(&self, y: usize) -> &[f32] {
        &self.data[y * self.width..(y + 1) * self.width]
    }

    /// The top left part.
    pub fn crop(&self, width: usize, height: usize) -> Plane {
        let rows = self.data.chunks_exact(self.width).take(height);
        Plane { width, height, data: rows.flat_map(|row| &row[..width]).copied().collect() }
    }
}

/// Which luma: weights of R, G and B, and what is added, for values in [0, 1].
#[derive(Clone, Copy, Debug)]
pub struct Luma([f32; 4]);

impl Luma {
    /// The Y of YIQ, over the full range.
    pub const YIQ: Self = Self([0.299, 0.587, 0.114, 0.0]);
    /// The Y of YCbCr as ITU-R BT.601 and MATLAB's `rgb2ycbcr` have it: from 16 to 235 of 255.
    pub const YCBCR: Self = Self([65.481 / 255.0, 128.553 / 255.0, 24.966 / 255.0, 16.0 / 255.0]);

    /// In [0, 255], rounded to integers as the original MATLAB releases get it.
    pub fn rounded(self, image: &Image) -> Plane {
        luma(image, self, |y| (y * 255.0).round_ties_even())
    }

    /// In [0, 1].
    pub fn unit(self, image: &Image) -> Plane {
        luma(image, self, |y| y)
    }
}

/// Luma of the full range in [0, 255], rounded to integers.
pub fn rounded_luma(image: &Image) -> Plane {
    Luma::YIQ.rounded(image)
}

/// Luma of the full range in [0, 1].
pub fn unit_luma(image: &Image) -> Plane {
    Luma::YIQ.unit(image)
}

fn luma(image: &Image, Luma([red, green, blue, black]): Luma, scale: impl Fn(f32) -> f32 + Sync) -> Plane {
    let width = image.width();
    let mut luma = Plane::zeros(width, image.height());
    strips_mut(&mut luma.data, width, |rows, out| {
        let part = |channel| &image.plane(channel)[rows.start * width..rows.end * width];
        let (r, g, b) = (part(0), part(1), part(2));
        vectorised(|| {
            for (((y, r), g), b) in out.iter_mut().zip(r).zip(g).zip(b) {
                *y = scale(red * r + green * g + blue * b + black);
            }
        });
    });
    luma
}
