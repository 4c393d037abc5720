//! Mean-subtracted, contrast-normalized coefficients: `(I - μ) / (σ + 1)` with local μ, σ in 7×7 Gaussian windows
//! (σ 7/6), for values in [0, 255]. Those of natural images are close to Gaussian, those of distorted images are not.
//!
//! Ruderman, "The statistics of natural scenes", 1994; as used by BRISQUE, NIQE and PIQE.

use super::gaussian::{local_means, weights};
use super::parallel::{strips_mut, vectorised};
use super::plane::Plane;

const WINDOW: usize = 7;
const RADIUS: usize = WINDOW / 2;
const SIGMA_PX: f64 = 7.0 / 6.0;
/// Subtracted before moments are taken: variances stay as they are and lose less to f32 rounding.
const CENTRE: f32 = 128.0;
/// Differences from the local mean below this are rounding errors of a constant area.
const FLAT: f32 = 1e-4;
/// By how much the 7×7 weights sum to more than one when rounded to f32, as pyiqa holds them. Constant areas so come
/// out just below their mean, and are counted as negative. What the original does is up to its rounding errors.
const EXCESS: f32 = 1.135e-8;

/// What lies beyond the edge of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Black.
    Zero,
    /// The nearest pixel.
    Replicate,
}

/// The coefficients of an image with values in [0, 255].
pub fn coefficients(image: &Plane, border: Border) -> Plane {
    local(image, border, |difference, deviation| difference / (deviation + 1.0))
}

/// The local standard deviation of an image with values in [0, 255]; its mean over a block is the block's sharpness.
pub fn deviations(image: &Plane, border: Border) -> Plane {
    local(image, border, |_, deviation| deviation)
}

/// A function of the difference from the local mean and of the local standard deviation.
#[inline(always)]
fn local(image: &Plane, border: Border, f: impl Fn(f32, f32) -> f32 + Sync) -> Plane {
    let (width, height) = (image.width, image.height);
    let mut out = Plane::zeros(width, height);
    let gaussian = weights(SIGMA_PX);
    strips_mut(&mut out.data, width, |rows, out| {
        let first = rows.start;
        vectorised(|| {
            local_means::<WINDOW, 2>(
                &gaussian,
                width,
                rows,
                |y, [x, squares]| {
                    let inside = y.wrapping_sub(RADIUS) < height;
                    let row = image.row(y.saturating_sub(RADIUS).min(height - 1));
                    match (inside, border) {
                        (false, Border::Zero) => x.fill(-CENTRE),
                        _ => {
                            let (left, right) = match border {
                                Border::Zero => (0.0, 0.0),
                                Border::Replicate => (row[0], row[width - 1]),
                            };
                            x[..RADIUS].fill(left - CENTRE);
                            x[RADIUS + width..].fill(right - CENTRE);
                            x[RADIUS..RADIUS + width].iter_mut().zip(row).for_each(|(x, v)| *x = v - CENTRE);
                        }
                    }
                    squares.iter_mut().zip(x).for_each(|(square, x)| *square = *x * *x);
                },
                |y, [mean, square]| {
                    let out = &mut out[(y - first) * width..][..width];
                    for (((out, value), mean), square) in out.iter_mut().zip(image.row(y)).zip(mean).zip(square) {
                        let deviation = (square - mean * mean).abs().sqrt();
                        let difference = value - CENTRE - mean;
                        let difference = if difference.abs() < FLAT { -EXCESS * value } else { difference };
                        *out = f(difference, deviation);
                    }
                },
            );
        });
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, in f64 and not separated.
    fn direct(image: &Plane, border: Border, x: usize, y: usize) -> f64 {
        let (mut sum, mut mean, mut square) = (0.0, 0.0, 0.0);
        for dy in -3isize..=3 {
            for dx in -3isize..=3 {
                let weight = (-((dx * dx + dy * dy) as f64) / (2.0 * SIGMA_PX * SIGMA_PX)).exp();
                let (px, py) = (x as isize + dx, y as isize + dy);
                let (cx, cy) = (px.clamp(0, image.width as isize - 1), py.clamp(0, image.height as isize - 1));
                let inside = (px, py) == (cx, cy) || border == Border::Replicate;
                let value = if inside { image.row(cy as usize)[cx as usize] as f64 } else { 0.0 };
                sum += weight;
                mean += weight * value;
                square += weight * value * value;
            }
        }
        let (mean, square) = (mean / sum, square / sum);
        (image.row(y)[x] as f64 - mean) / ((square - mean * mean).abs().sqrt() + 1.0)
    }

    #[test]
    fn follows_the_definition_to_the_edges() {
        let (width, height) = (23, 70);
        let data = (0..width * height).map(|i| (i * 7919 % 256) as f32).collect();
        let image = Plane { width, height, data };
        for border in [Border::Zero, Border::Replicate] {
            let got = coefficients(&image, border);
            for (x, y) in [(0, 0), (22, 69), (0, 35), (11, 63), (11, 64), (22, 0), (5, 66)] {
                let want = direct(&image, border, x, y);
                assert!((got.row(y)[x] as f64 - want).abs() < 1e-4, "{border:?} ({x}, {y}): {} {want}", got.row(y)[x]);
            }
        }
    }

    #[test]
    fn constant_areas_are_just_below_zero() {
        let image = Plane { width: 33, height: 20, data: vec![255.0; 660] };
        assert!(coefficients(&image, Border::Replicate).data.iter().all(|&v| v < 0.0 && v > -1e-5));
    }
}
