//! How the metrics use vector instructions and threads.

use std::ops::Range;

use rayon::prelude::*;

pub use crate::nn::kernels::cpu::simd::vectorised;

/// Rows worked on at once. Independent of the number of threads, so that sums are too.
const STRIP_ROWS: usize = 64;
/// Images below this many pixels stay on one thread: their candidates are scored in parallel instead.
const PARALLEL_PX: usize = 200 * 200;

/// Whether an image of this size is worth several threads.
pub fn is_large(width: usize, height: usize) -> bool {
    width * height >= PARALLEL_PX
}

/// Calls `f` for strips of rows, on all threads if the image is large; the results come in order.
pub fn strips<T: Send>(width: usize, height: usize, f: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
    let strip = |i: usize| f(i * STRIP_ROWS..((i + 1) * STRIP_ROWS).min(height));
    let count = height.div_ceil(STRIP_ROWS);
    match is_large(width, height) {
        true => (0..count).into_par_iter().map(strip).collect(),
        false => (0..count).map(strip).collect(),
    }
}

/// Calls `f` with strips of rows of `out` (`width` values a row) and the numbers of those rows.
pub fn strips_mut(out: &mut [f32], width: usize, f: impl Fn(Range<usize>, &mut [f32]) + Sync) {
    let height = out.len() / width;
    let strip = |(i, rows): (usize, &mut [f32])| f(i * STRIP_ROWS..i * STRIP_ROWS + rows.len() / width, rows);
    match is_large(width, height) {
        true => out.par_chunks_mut(STRIP_ROWS * width).enumerate().for_each(strip),
        false => out.chunks_mut(STRIP_ROWS * width).enumerate().for_each(strip),
    }
}

/// Lanes of the running sums below: enough for one AVX-512 register.
pub const LANES: usize = 16;

/// The sum of a row, in f32 lanes that the compiler can vectorise.
#[inline(always)]
pub fn sum(values: &[f32]) -> f64 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().chain(rest).map(|&v| v as f64).sum()
}
