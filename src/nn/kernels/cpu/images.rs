//! What is done to images channels-last besides convolution: resampling and the maximum over windows.

use std::ops::Range;

use rayon::prelude::*;

use super::super::resample::Axis;
use super::super::shape::PoolShape;
use super::scratch;

/// Resamples `[images, rows, columns, channels]` along both axes, rows first.
pub fn resample(x: &[f32], [rows, columns]: &[Axis; 2], channels: usize, y: &mut [f32]) {
    let (in_row, out_row) = (columns.inputs() * channels, columns.outputs().len() * channels);
    let (image, out_rows) = (rows.inputs() * in_row, rows.outputs().len());
    y.par_chunks_exact_mut(out_row).enumerate().for_each(|(i, y)| {
        let x = &x[i / out_rows * image..][..image];
        let taps = &rows.outputs()[i % out_rows];
        scratch::with(in_row, |row| {
            row.fill(0.0);
            for (j, &weight) in taps.weights.iter().enumerate() {
                add_scaled(row, &x[(taps.first + j) * in_row..][..in_row], weight);
            }
            for (y, taps) in y.chunks_exact_mut(channels).zip(columns.outputs()) {
                y.fill(0.0);
                for (j, &weight) in taps.weights.iter().enumerate() {
                    add_scaled(y, &row[(taps.first + j) * channels..][..channels], weight);
                }
            }
        });
    });
}

fn add_scaled(sum: &mut [f32], x: &[f32], by: f32) {
    sum.iter_mut().zip(x).for_each(|(s, x)| *s += x * by);
}

/// The part of the axis that window `i` covers.
fn window(shape: PoolShape, i: usize, len: usize) -> Range<usize> {
    let start = i * shape.stride;
    start.saturating_sub(shape.pad)..(start + shape.kernel).saturating_sub(shape.pad).min(len)
}

/// The largest value of each window and channel; NaN where there is one.
pub fn max_pool(shape: PoolShape, x: &[f32], y: &mut [f32]) {
    let PoolShape { height, width, channels, .. } = shape;
    let (out_h, out_w) = shape.out_size();
    y.par_chunks_exact_mut(out_w * channels).enumerate().for_each(|(i, y)| {
        let x = &x[i / out_h * height * width * channels..][..height * width * channels];
        for (ox, y) in y.chunks_exact_mut(channels).enumerate() {
            y.fill(f32::NEG_INFINITY);
            for (iy, ix) in pixels(shape, i % out_h, ox) {
                let x = &x[(iy * width + ix) * channels..][..channels];
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = if x > *y || x.is_nan() { x } else { *y });
            }
        }
    });
}

/// The pixels of a window, row by row.
fn pixels(shape: PoolShape, oy: usize, ox: usize) -> impl Iterator<Item = (usize, usize)> {
    let columns = window(shape, ox, shape.width);
    window(shape, oy, shape.height).flat_map(move |iy| columns.clone().map(move |ix| (iy, ix)))
}

/// `dx` of [`max_pool`]: each window's gradient goes to its first largest value. Every row of the input collects from the
/// windows over it, so that no two threads write one value.
pub fn max_pool_gradient(shape: PoolShape, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let PoolShape { height, width, channels, kernel, stride, pad, .. } = shape;
    let (out_h, out_w) = shape.out_size();
    dx.par_chunks_exact_mut(width * channels).enumerate().for_each(|(i, dx)| {
        let (image, row) = (i / height, i % height);
        let x = &x[image * height * width * channels..][..height * width * channels];
        let dy = &dy[image * out_h * out_w * channels..][..out_h * out_w * channels];
        dx.fill(0.0);
        let first = (row + pad + 1).saturating_sub(kernel).div_ceil(stride);
        let (mut best, mut at) = (vec![0.0; channels], vec![(0, 0); channels]);
        for oy in first..((row + pad) / stride + 1).min(out_h) {
            for ox in 0..out_w {
                best.fill(f32::NEG_INFINITY);
                for (iy, ix) in pixels(shape, oy, ox) {
                    let x = &x[(iy * width + ix) * channels..][..channels];
                    for ((best, at), &x) in best.iter_mut().zip(&mut at).zip(x) {
                        if x > *best || x.is_nan() {
                            (*best, *at) = (x, (iy, ix));
                        }
                    }
                }
                for (c, &(iy, ix)) in at.iter().enumerate().filter(|(_, at)| at.0 == row) {
                    debug_assert_eq!(iy, row);
                    dx[ix * channels + c] += dy[(oy * out_w + ox) * channels + c];
                }
            }
        }
    });
}
