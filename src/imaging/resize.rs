//! Resizing, in the conventions of the super-resolution literature.
//!
//! Pixel centres lie at half-integers (`(x + ½) · from / to − ½`), beyond the edge the image is mirrored including its
//! edge pixel, and a shrinking kernel is stretched against aliasing: MATLAB's `imresize`, whose bicubic ×¼ is what "LR"
//! means in the field. PIL, and PyTorch with `antialias=True`, agree with it except near the edges, where they drop the
//! outside part of the kernel. Cubic is the kernel of Keys with a = −½ (OpenCV and PyTorch without antialiasing: −¾).

pub use super::resize_weights::{Filter, cubic};
use super::{Image, SCALE, resize_weights::Weights};
use crate::{Error, Result};
use rayon::prelude::*;

/// Resizes to `width` × `height` pixels, without aliasing where it shrinks. Values are not clamped: bicubic overshoots
/// beyond [0, 1]. Fails where a side would be 0.
pub fn resize(image: &Image, width: usize, height: usize, filter: Filter) -> Result<Image> {
    resize_image(image, width, height, filter, true)
}

/// [`resize`] with the kernel never stretched, so that shrinking aliases; enlarging is the same.
pub fn resize_aliased(image: &Image, width: usize, height: usize, filter: Filter) -> Result<Image> {
    resize_image(image, width, height, filter, false)
}

/// The bicubic LR image of an HR image: each side divided by [`SCALE`], which must divide it. Not clamped.
pub fn shrink_x4(hr: &Image) -> Result<Image> {
    if !hr.width().is_multiple_of(SCALE) || !hr.height().is_multiple_of(SCALE) {
        return Err(Error::invalid(format!("{}×{} px cannot be divided by {SCALE}", hr.width(), hr.height())));
    }
    resize(hr, hr.width() / SCALE, hr.height() / SCALE, Filter::Bicubic)
}

/// The bicubic enlargement of an LR image by [`SCALE`]. Not clamped.
pub fn enlarge_x4(lr: &Image) -> Result<Image> {
    resize(lr, lr.width() * SCALE, lr.height() * SCALE, Filter::Bicubic)
}

/// [`resize`] for one plane of `width` × `height` values, row by row: for grey images and maps.
pub fn resize_plane(
    plane: &[f32],
    (width, height): (usize, usize),
    (new_width, new_height): (usize, usize),
    filter: Filter,
) -> Result<Vec<f32>> {
    if width == 0 || plane.len() != width * height {
        return Err(Error::invalid(format!("{} values do not make a {width}×{height} plane", plane.len())));
    }
    resize_planes(plane, (width, height), (new_width, new_height), filter, true)
}

fn resize_image(image: &Image, width: usize, height: usize, filter: Filter, antialias: bool) -> Result<Image> {
    let size = (image.width(), image.height());
    Image::new(width, height, resize_planes(image.data(), size, (width, height), filter, antialias)?)
}

/// Resizes any number of planes that lie one after another.
fn resize_planes(
    planes: &[f32],
    (width, height): (usize, usize),
    (new_width, new_height): (usize, usize),
    filter: Filter,
    antialias: bool,
) -> Result<Vec<f32>> {
    if new_width == 0 || new_height == 0 {
        return Err(Error::invalid(format!("cannot resize to {new_width}×{new_height} px")));
    }
    if (width, height) == (new_width, new_height) {
        return Ok(planes.to_vec());
    }
    let along_x = Weights::new(width, new_width, filter, antialias);
    let along_y = Weights::new(height, new_height, filter, antialias);
    // The order that leaves less to do for the second pass.
    Ok(if new_height <= height {
        horizontal(&vertical(planes, width, height, new_height, &along_y), width, new_width, &along_x)
    } else {
        vertical(&horizontal(planes, width, new_width, &along_x), new_width, height, new_height, &along_y)
    })
}

/// Combines rows into rows.
fn vertical(planes: &[f32], width: usize, height: usize, new_height: usize, weights: &Weights) -> Vec<f32> {
    let mut out = vec![0.0; planes.len() / height * new_height];
    out.par_chunks_exact_mut(width).enumerate().for_each(|(line, out)| {
        let plane = &planes[line / new_height * width * height..][..width * height];
        let (first, weights) = weights.of(line % new_height);
        for (row, &weight) in plane.chunks_exact(width).skip(first).zip(weights) {
            for (out, &value) in out.iter_mut().zip(row) {
                *out += weight * value;
            }
        }
    });
    out
}

/// Combines the samples of each row.
fn horizontal(planes: &[f32], width: usize, new_width: usize, weights: &Weights) -> Vec<f32> {
    let mut out = vec![0.0; planes.len() / width * new_width];
    out.par_chunks_exact_mut(new_width).zip(planes.par_chunks_exact(width)).for_each(|(out, row)| {
        for (x, out) in out.iter_mut().enumerate() {
            let (first, weights) = weights.of(x);
            *out = dot(&row[first..first + weights.len()], weights);
        }
    });
    out
}

/// A dot product in four partial sums: a fixed order that still fills vector registers.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f32 = a4.remainder().iter().zip(b4.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a4.zip(b4) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
#[path = "resize_tests.rs"]
mod tests;
