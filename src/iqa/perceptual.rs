//! Distances of images in the features of a network, as LPIPS and its kin measure them: features are normalized along channels,
//! squared differences are weighted per channel, each layer's distances are averaged over positions, and layers are summed.
//!
//! Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018.

use candle_core::Tensor;

use super::metric::Map;
use super::parallel::{LANES, strips, strips_mut, vectorised};
use crate::Result;
use crate::nn::kernels::cpu::values::values;

/// Keeps the norm of features that are all zero from dividing by zero.
const EPSILON: f32 = 1e-10;

/// The distance at each position of a layer, row by row.
pub struct Distances {
    /// Positions of a row.
    pub width: usize,
    pub values: Vec<f32>,
}

impl Distances {
    /// Over all positions.
    pub fn mean(&self) -> f64 {
        self.values.iter().map(|&v| v as f64).sum::<f64>() / self.values.len() as f64
    }
}

/// The sum of the layers' distances at each pixel of an image, bilinear between positions.
pub fn spread([width, height]: [usize; 2], layers: Vec<Distances>) -> Map {
    let mut data = vec![0.0; width * height];
    for Distances { width: layer_width, values: distances } in layers {
        let rows = taps(height, distances.len() / layer_width);
        let columns = taps(width, layer_width);
        strips_mut(&mut data, width, |strip, out| {
            for (y, out) in strip.zip(out.chunks_exact_mut(width)) {
                let (top, bottom, t) = rows[y];
                let (top, bottom) = (&distances[top * layer_width..], &distances[bottom * layer_width..]);
                for (out, &(left, right, s)) in out.iter_mut().zip(&columns) {
                    let upper = top[left] * (1.0 - s) + top[right] * s;
                    let lower = bottom[left] * (1.0 - s) + bottom[right] * s;
                    *out += upper * (1.0 - t) + lower * t;
                }
            }
        });
    }
    Map { width, height, data }
}

/// The features of each position divided by their norm.
pub fn normalized(layer: &Tensor) -> Result<Vec<f32>> {
    let (_, width, channels) = layer.dims3()?;
    let mut data = values(layer)?.to_vec();
    strips_mut(&mut data, width * channels, |_, rows| {
        vectorised(|| {
            for position in rows.chunks_exact_mut(channels) {
                let scale = inverse_norm(position);
                position.iter_mut().for_each(|v| *v *= scale);
            }
        });
    });
    Ok(data)
}

/// The weighted squared distance at each position. The channel count is a multiple of [`LANES`].
pub fn distances(layer: &Tensor, normalized: &[f32], weights: &[f32]) -> Result<Distances> {
    let (height, width, channels) = layer.dims3()?;
    let values = values(layer)?;
    let values: &[f32] = &values;
    let parts = strips(width, height, |rows| {
        let range = rows.start * width * channels..rows.end * width * channels;
        let (a, b) = (&values[range.clone()], &normalized[range]);
        vectorised(|| {
            let positions = a.chunks_exact(channels).zip(b.chunks_exact(channels));
            positions.map(|(a, b)| distance(a, b, weights)).collect::<Vec<_>>()
        })
    });
    Ok(Distances { width, values: parts.concat() })
}

#[inline(always)]
fn distance(features: &[f32], normalized: &[f32], weights: &[f32]) -> f32 {
    let scale = inverse_norm(features);
    let (a, b, w) =
        (features.as_chunks::<LANES>().0, normalized.as_chunks::<LANES>().0, weights.as_chunks::<LANES>().0);
    let mut sums = [0.0f32; LANES];
    for ((a, b), w) in a.iter().zip(b).zip(w) {
        for lane in 0..LANES {
            let difference = a[lane] * scale - b[lane];
            sums[lane] += w[lane] * (difference * difference);
        }
    }
    sums.iter().sum()
}

#[inline(always)]
fn inverse_norm(features: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for chunk in features.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            sums[lane] += chunk[lane] * chunk[lane];
        }
    }
    1.0 / (sums.iter().sum::<f32>().sqrt() + EPSILON)
}

/// For each output position the two input positions to interpolate and the share of the second; corners not aligned.
fn taps(out: usize, len: usize) -> Vec<(usize, usize, f32)> {
    let scale = len as f32 / out as f32;
    let tap = |i: usize| {
        let at = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
        let first = (at as usize).min(len - 1);
        (first, (first + 1).min(len - 1), at - first as f32)
    };
    (0..out).map(tap).collect()
}
