//! Convolution of an image with a small kernel, the edges mirrored without their edge pixel (OpenCV's default).

use super::kernel::Kernel;
use crate::Result;
use crate::imaging::Image;
use crate::imaging::border::reflect;
use rayon::prelude::*;

/// Output pixels computed at once: as many partial sums as fit into the vector registers.
const LANES: usize = 32;

/// Blurs every channel.
pub fn blur(image: &Image, kernel: &Kernel) -> Result<Image> {
    let (weights, size) = without_empty_border(kernel.weights()?, kernel.size_px);
    let (width, height) = (image.width(), image.height());
    let radius = size / 2;
    let stride = width.next_multiple_of(LANES) + size - 1;
    let padded = pad(image, radius, stride);
    let padded_height = height + 2 * radius;
    let mut data = vec![0.0; 3 * width * height];
    data.par_chunks_exact_mut(width).enumerate().for_each(|(line, out)| {
        let top = line / height * padded_height + line % height;
        for (block, out) in out.chunks_mut(LANES).enumerate() {
            let mut sums = [0.0f32; LANES];
            for (dy, weights) in weights.chunks_exact(size).enumerate() {
                let row = &padded[(top + dy) * stride + block * LANES..][..LANES + size - 1];
                for (&weight, values) in weights.iter().zip(row.windows(LANES)).filter(|(weight, _)| **weight != 0.0) {
                    for (sum, &value) in sums.iter_mut().zip(values) {
                        *sum += weight * value;
                    }
                }
            }
            out.copy_from_slice(&sums[..out.len()]);
        }
    });
    Image::new(width, height, data)
}

/// The planes with `radius` mirrored rows and columns around them, in rows of `stride` values.
fn pad(image: &Image, radius: usize, stride: usize) -> Vec<f32> {
    let (width, height) = (image.width(), image.height());
    let mirror = |at: usize, side: usize| reflect(at as isize - radius as isize, side);
    let columns: Vec<usize> = (0..width + 2 * radius).map(|x| mirror(x, width)).collect();
    let padded_height = height + 2 * radius;
    let mut padded = vec![0.0; 3 * padded_height * stride];
    padded.par_chunks_exact_mut(stride).enumerate().for_each(|(line, out)| {
        let row = &image.plane(line / padded_height)[mirror(line % padded_height, height) * width..][..width];
        for (out, &x) in out.iter_mut().zip(&columns) {
            *out = row[x];
        }
    });
    padded
}

/// The kernel without what does not reach single precision: such weights become 0 (as subnormal numbers they would
/// be slow), and the rings that are then empty go: narrow kernels come in large squares.
fn without_empty_border(mut weights: Vec<f32>, size: usize) -> (Vec<f32>, usize) {
    for weight in &mut weights {
        if weight.abs() < 1e-9 {
            *weight = 0.0;
        }
    }
    let middle = size / 2;
    let ring = |i: usize| (i / size).abs_diff(middle).max((i % size).abs_diff(middle));
    let radius = weights.iter().enumerate().filter(|(_, w)| **w != 0.0).map(|(i, _)| ring(i)).max().unwrap_or(0);
    let inner = weights.iter().enumerate().filter(|(i, _)| ring(*i) <= radius).map(|(_, w)| *w).collect();
    (inner, 2 * radius + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::degrade::kernel::Profile;

    /// The definition, pixel by pixel.
    fn slow(image: &Image, kernel: &Kernel) -> Vec<f64> {
        let (w, h, r) = (image.width() as isize, image.height() as isize, (kernel.size_px / 2) as isize);
        let weights = kernel.weights().unwrap();
        let mirror = |mut at: isize, side: isize| {
            while !(0..side).contains(&at) {
                at = if side == 1 {
                    0
                } else if at < 0 {
                    -at
                } else {
                    2 * side - 2 - at
                };
            }
            at
        };
        let mut out = Vec::new();
        for c in 0..3 {
            for y in 0..h {
                for x in 0..w {
                    let mut sum = 0.0;
                    for (i, &weight) in weights.iter().enumerate() {
                        let (dy, dx) = (i as isize / (2 * r + 1) - r, i as isize % (2 * r + 1) - r);
                        let at = mirror(y + dy, h) * w + mirror(x + dx, w);
                        sum += f64::from(weight) * f64::from(image.plane(c)[at as usize]);
                    }
                    out.push(sum);
                }
            }
        }
        out
    }

    #[test]
    fn agrees_with_the_definition_at_any_size() {
        let profiles = [
            Profile::Gaussian { sigma_px: [2.5, 0.7], angle_rad: 0.6, beta: 0.8 },
            Profile::Gaussian { sigma_px: [0.2, 0.2], angle_rad: 0.0, beta: 1.0 },
            Profile::Sinc { cutoff_rad_per_px: 1.3 },
        ];
        for (width, height) in [(70, 33), (32, 5), (3, 4), (1, 1), (1, 40)] {
            let data = (0..3 * width * height).map(|i| ((i * i) as f32 * 0.013).sin() * 0.5 + 0.5).collect();
            let image = Image::new(width, height, data).unwrap();
            for profile in profiles {
                let kernel = Kernel { size_px: 15, profile };
                let fast = blur(&image, &kernel).unwrap();
                for (fast, slow) in fast.data().iter().zip(slow(&image, &kernel)) {
                    assert!((f64::from(*fast) - slow).abs() < 2e-6, "{width}×{height} {profile:?}: {fast} {slow}");
                }
            }
        }
    }
}
