//! Whether an LR image can be that of an HR image: the HR reduced by bicubic must resemble it.

use crate::Result;
use crate::imaging::color::luma;
use crate::imaging::crop::trim;
use crate::imaging::resize::shrink_x4;
use crate::imaging::{Image, SCALE};

/// The least likeness of a pair. On 39 photographs (27 the backbone was trained on, 12 shipped; up to 12 crops of each, chosen
/// as for training) this share of true pairs reaches it, by degradation, and of wrong ones under all three:
///
/// | crop | bicubic | light | Real-ESRGAN | another photograph | half a crop away | 16 px away |
/// | --- | --- | --- | --- | --- | --- | --- |
/// | 512 px | 100 % | 100 % | 94 % | 0 | 0 | 2.0 % |
/// | 320 px | 100 % | 99 % | 93 % | 0 | 1.9 % | 2.9 % |
/// | 192 px | 100 % | 99.6 % | 92 % | 0 | 1.0 % | 1.7 % |
/// | 128 px | 100 % | 99.6 % | 90 % | 0.2 % | 2.1 % | 3.1 % |
/// | 80 px | 100 % | 98 % | 85 % | 0.4 % | 5.5 % | 5.7 % |
///
/// True pairs below it are of crops without contrast (sky) under heavy noise, wrong ones above it of such without detail. At
/// 0.5, another photograph reaches it at 192 px too (0.2 % of crops at random places).
pub const BOUND: f64 = 0.6;

/// Standard deviations of the Gaussians between which structure is looked at, in LR pixels.
const BAND_PX: [f32; 2] = [2.0, 8.0];

/// How far LR and HR are moved against each other to see whether they fit better elsewhere, in LR pixels.
const MOVE_PX: usize = 4;

/// Values kept of an image at most, about.
const VALUES: usize = 1 << 14;

/// Structure is not compared below this contrast, in units of luma: what flat images hold is noise.
const FLOOR: f64 = 0.5 / 255.0;

/// What is compared of an image: luma at the size of LR, without what is finer (noise, blocks of JPEG) and coarser (where
/// the sky is) than tells one picture from another.
#[derive(Clone, Debug)]
pub struct Look {
    size_px: [usize; 2],
    /// Every `step`th value of every `step`th row.
    step: usize,
    rows: Vec<Vec<f32>>,
}

impl Look {
    pub fn of_lr(lr: &Image) -> Self {
        let size_px @ [width, height] = [lr.width(), lr.height()];
        let luma = luma(lr);
        let [fine, coarse] = BAND_PX.map(|sigma| blurred(&luma, size_px, sigma));
        let step = ((luma.len() as f64 / VALUES as f64).sqrt().ceil() as usize).max(1);
        let row = |y: usize| (0..width).step_by(step).map(|x| fine[y * width + x] - coarse[y * width + x]).collect();
        Self { size_px, step, rows: (0..height).step_by(step).map(row).collect() }
    }

    /// Of an HR image, reduced by bicubic; fails where it is smaller than an LR pixel.
    pub fn of_hr(hr: &Image) -> Result<Self> {
        Ok(Self::of_lr(&shrink_x4(&trim(hr, SCALE)?)?))
    }
}

/// How alike LR and reduced HR are, the parts of one picture taken together: the correlation of what was looked at, from −1
/// to 1, so that brightness and contrast may differ; 0 where they are as alike when moved by [`MOVE_PX`]. `None` where sizes
/// differ or there is nothing.
pub fn likeness(parts: &[(&Look, &Look)]) -> Option<f64> {
    if parts.is_empty() || parts.iter().any(|(a, b)| a.size_px != b.size_px) {
        return None;
    }
    let here = correlation(parts, 0, 0);
    let directions = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)];
    // What is flat fits anywhere, but for rounding.
    let fits_elsewhere = || directions.into_iter().any(|(x, y)| correlation(parts, x, y) > here - 1e-6);
    Some(if here > 0.0 && fits_elsewhere() { 0.0 } else { here })
}

/// The correlation with the second of each pair moved by [`MOVE_PX`] times `x` and `y`, over what both cover.
fn correlation(parts: &[(&Look, &Look)], x: isize, y: isize) -> f64 {
    let (mut ab, mut aa, mut bb, mut count) = (0.0, 0.0, 0.0, 0.0);
    for (a, b) in parts {
        let by = (MOVE_PX / a.step).max(1) as isize;
        let start = |direction: isize| (direction * by).max(0) as usize;
        // Moving one by `by` is leaving out its first values, or those of the other.
        let rows = a.rows.iter().skip(start(-y)).zip(b.rows.iter().skip(start(y)));
        for (a, b) in rows {
            for (&a, &b) in a.iter().skip(start(-x)).zip(b.iter().skip(start(x))) {
                let (a, b) = (f64::from(a), f64::from(b));
                (ab, aa, bb, count) = (ab + a * b, aa + a * a, bb + b * b, count + 1.0);
            }
        }
    }
    let floor = count * FLOOR * FLOOR;
    if count > 0.0 { (ab + floor) / ((aa + floor) * (bb + floor)).sqrt() } else { -1.0 }
}

/// A plane blurred by a Gaussian; beyond the edge there is nothing, and the weights inside are raised for it.
fn blurred(plane: &[f32], [width, height]: [usize; 2], sigma: f32) -> Vec<f32> {
    let reach = (3.0 * sigma).ceil() as usize;
    let weights: Vec<f32> =
        (0..=2 * reach).map(|i| libm::expf(-(i as f32 - reach as f32).powi(2) / (2.0 * sigma * sigma))).collect();
    // The part of the window at `at` that is inside, and its sum.
    let inside = |at: usize, length: usize| {
        let first = reach.saturating_sub(at);
        let last = (length - 1 - at + reach).min(2 * reach);
        (first, weights[first..=last].iter().sum::<f32>(), last)
    };
    let mut along_x = vec![0.0; plane.len()];
    for (row, out) in plane.chunks_exact(width).zip(along_x.chunks_exact_mut(width)) {
        for (x, out) in out.iter_mut().enumerate() {
            let (first, sum, last) = inside(x, width);
            let values = &row[x + first - reach..=x + last - reach];
            *out = values.iter().zip(&weights[first..=last]).map(|(v, w)| v * w).sum::<f32>() / sum;
        }
    }
    let mut both = vec![0.0; plane.len()];
    for (y, out) in both.chunks_exact_mut(width).enumerate() {
        let (first, sum, last) = inside(y, height);
        for (tap, weight) in (first..=last).zip(&weights[first..=last]) {
            let row = &along_x[(y + tap - reach) * width..][..width];
            out.iter_mut().zip(row).for_each(|(out, v)| *out += v * weight / sum);
        }
    }
    both
}

#[cfg(test)]
#[path = "likeness_tests.rs"]
mod tests;
