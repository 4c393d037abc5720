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

/// Luma in [0, 255]: 0.299 R + 0.587 G + 0.114 B (the Y of YIQ, full range), rounded to integers as the original
/// MATLAB releases get it.
pub fn rounded_luma(image: &Image) -> Plane {
    luma(image, |y| (y * 255.0).round_ties_even())
}

/// Luma in [0, 1].
pub fn unit_luma(image: &Image) -> Plane {
    luma(image, |y| y)
}

fn luma(image: &Image, scale: impl Fn(f32) -> f32 + Sync) -> Plane {
    let width = image.width();
    let mut luma = Plane::zeros(width, image.height());
    strips_mut(&mut luma.data, width, |rows, out| {
        let part = |channel| &image.plane(channel)[rows.start * width..rows.end * width];
        let (r, g, b) = (part(0), part(1), part(2));
        vectorised(|| {
            for (((y, r), g), b) in out.iter_mut().zip(r).zip(g).zip(b) {
                *y = scale(0.299 * r + 0.587 * g + 0.114 * b);
            }
        });
    });
    luma
}
