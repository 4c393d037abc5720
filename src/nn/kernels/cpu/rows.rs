//! What is done to rows of contiguous values: softmax, layer and RMS normalization, forward and backward.
//!
//! Layer normalization: Ba et al., arXiv 1607.06450. RMS normalization: Zhang & Sennrich, arXiv 1910.07467.

use rayon::prelude::*;

use super::super::shape::{Center, RowNorm};
use super::math;
use super::simd::{self, Simd, WithSimd, for_lanes};

/// Values handled by one thread at once. Fixed, so that sums do not depend on the number of threads.
const BLOCK_VALUES: usize = 16 << 10;

/// Values of a block of whole rows.
fn block(width: usize) -> usize {
    (BLOCK_VALUES / width).max(1) * width
}

/// `y = softmax(x)` along rows of `width` values.
pub fn softmax(x: &[f32], width: usize, y: &mut [f32]) {
    let block = block(width);
    y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| simd::dispatch(Softmax { x, width, y }));
}

/// `dx` of [`softmax`] from its result `y`: `y · (dy − Σ dy·y)`.
pub fn softmax_gradient(y: &[f32], dy: &[f32], width: usize, dx: &mut [f32]) {
    let block = block(width);
    let parts = y.par_chunks(block).zip(dy.par_chunks(block));
    dx.par_chunks_mut(block).zip(parts).for_each(|(dx, (y, dy))| simd::dispatch(SoftmaxGradient { y, dy, width, dx }));
}

/// `y = x̂ · weight + bias` along rows.
pub fn normalize(norm: RowNorm, x: &[f32], weight: Option<&[f32]>, bias: Option<&[f32]>, y: &mut [f32]) {
    let block = block(norm.width);
    y.par_chunks_mut(block)
        .zip(x.par_chunks(block))
        .for_each(|(y, x)| simd::dispatch(Normalize { norm, x, weight, bias, y }));
}

/// Writes `dx` of [`normalize`] and returns the gradients of `weight` and `bias`.
pub fn normalize_gradient(
    norm: RowNorm,
    x: &[f32],
    weight: Option<&[f32]>,
    dy: &[f32],
    dx: &mut [f32],
) -> (Vec<f32>, Vec<f32>) {
    let (width, block) = (norm.width, block(norm.width));
    let parts = x.par_chunks(block).zip(dy.par_chunks(block));
    let sums: Vec<Vec<f32>> = dx
        .par_chunks_mut(block)
        .zip(parts)
        .map(|(dx, (x, dy))| {
            let mut sums = vec![0.0; 2 * width];
            simd::dispatch(NormalizeGradient { norm, x, weight, dy, dx, sums: &mut sums });
            sums
        })
        .collect();
    let mut total = vec![0.0f64; 2 * width];
    for part in sums {
        total.iter_mut().zip(part).for_each(|(t, p)| *t += p as f64);
    }
    let (weight, bias) = total.split_at(width);
    let rounded = |v: &[f64]| v.iter().map(|&v| v as f32).collect();
    (rounded(weight), rounded(bias))
}

struct Softmax<'a> {
    x: &'a [f32],
    width: usize,
    y: &'a mut [f32],
}

impl WithSimd for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        for (x, y) in self.x.chunks_exact(self.width).zip(self.y.chunks_exact_mut(self.width)) {
            // SAFETY: both rows have `width` values.
            unsafe {
                let max = row_max(s, x);
                let sum = exp_row(s, x.as_ptr(), self.width, 1.0, max, y.as_mut_ptr());
                scale_row(s, y.as_ptr(), self.width, 1.0 / sum, y.as_mut_ptr());
            }
        }
    }
}

struct SoftmaxGradient<'a> {
    y: &'a [f32],
    dy: &'a [f32],
    width: usize,
    dx: &'a mut [f32],
}

impl WithSimd for SoftmaxGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let rows = self.y.chunks_exact(self.width).zip(self.dy.chunks_exact(self.width));
        for ((y, dy), dx) in rows.zip(self.dx.chunks_exact_mut(self.width)) {
            let mean = s.splat_f32s(dot_row(s, y, dy));
            for_lanes!(s, self.width, |i, mask| {
                unsafe {
                    let d = s.sub_f32s(simd::load_masked(s, dy.as_ptr().add(i), mask), mean);
                    let d = s.mul_f32s(simd::load_masked(s, y.as_ptr().add(i), mask), d);
                    simd::store_masked(s, dx.as_mut_ptr().add(i), d, mask);
                }
            });
        }
    }
}

struct Normalize<'a> {
    norm: RowNorm,
    x: &'a [f32],
    weight: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    y: &'a mut [f32],
}

impl WithSimd for Normalize<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let width = self.norm.width;
        for (x, y) in self.x.chunks_exact(width).zip(self.y.chunks_exact_mut(width)) {
            let (mean, rstd) = moments(s, self.norm, x);
            let (mean, rstd) = (s.splat_f32s(mean), s.splat_f32s(rstd));
            for_lanes!(s, width, |i, mask| {
                unsafe {
                    let x = s.sub_f32s(simd::load_masked(s, x.as_ptr().add(i), mask), mean);
                    let mut z = s.mul_f32s(x, rstd);
                    if let Some(weight) = self.weight {
                        z = s.mul_f32s(z, simd::load_masked(s, weight.as_ptr().add(i), mask));
                    }
                    if let Some(bias) = self.bias {
                        z = s.add_f32s(z, simd::load_masked(s, bias.as_ptr().add(i), mask));
                    }
                    simd::store_masked(s, y.as_mut_ptr().add(i), z, mask);
                }
            });
        }
    }
}

struct NormalizeGradient<'a> {
    norm: RowNorm,
    x: &'a [f32],
    weight: Option<&'a [f32]>,
    dy: &'a [f32],
    dx: &'a mut [f32],
    /// Σ dy·x̂, then Σ dy, per column.
    sums: &'a mut [f32],
}

impl WithSimd for NormalizeGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let width = self.norm.width;
        let (dot_sums, plain_sums) = self.sums.split_at_mut(width);
        let rows = self.x.chunks_exact(width).zip(self.dy.chunks_exact(width));
        for ((x, dy), dx) in rows.zip(self.dx.chunks_exact_mut(width)) {
            let (mean, rstd) = moments(s, self.norm, x);
            let (mean_v, rstd_v) = (s.splat_f32s(mean), s.splat_f32s(rstd));
            let (mut sum, mut dot) = (s.splat_f32s(0.0), s.splat_f32s(0.0));
            for_lanes!(s, width, |i, mask| {
                unsafe {
                    let mut normal = s.sub_f32s(simd::load_masked(s, x.as_ptr().add(i), mask), mean_v);
                    normal = s.mul_f32s(normal, rstd_v);
                    let d = simd::load_masked(s, dy.as_ptr().add(i), mask);
                    let (dots, plain) = (dot_sums.as_mut_ptr().add(i), plain_sums.as_mut_ptr().add(i));
                    let along = s.mul_add_e_f32s(d, normal, simd::load_masked(s, dots, mask));
                    simd::store_masked(s, dots, along, mask);
                    simd::store_masked(s, plain, s.add_f32s(d, simd::load_masked(s, plain, mask)), mask);
                    // The gradient reads as zero beyond the row, and so does what is summed here.
                    let d = match self.weight {
                        Some(weight) => s.mul_f32s(d, simd::load_masked(s, weight.as_ptr().add(i), mask)),
                        None => d,
                    };
                    sum = s.add_f32s(sum, d);
                    dot = s.mul_add_e_f32s(d, normal, dot);
                }
            });
            let mean_d = match self.norm.center {
                Center::Mean => s.reduce_sum_f32s(sum) / width as f32,
                Center::Zero => 0.0,
            };
            let mean_dot = s.splat_f32s(s.reduce_sum_f32s(dot) / width as f32);
            let mean_d = s.splat_f32s(mean_d);
            for_lanes!(s, width, |i, mask| {
                unsafe {
                    let mut normal = s.sub_f32s(simd::load_masked(s, x.as_ptr().add(i), mask), mean_v);
                    normal = s.mul_f32s(normal, rstd_v);
                    let mut d = simd::load_masked(s, dy.as_ptr().add(i), mask);
                    if let Some(weight) = self.weight {
                        d = s.mul_f32s(d, simd::load_masked(s, weight.as_ptr().add(i), mask));
                    }
                    let d = s.sub_f32s(s.sub_f32s(d, mean_d), s.mul_f32s(normal, mean_dot));
                    simd::store_masked(s, dx.as_mut_ptr().add(i), s.mul_f32s(d, rstd_v), mask);
                }
            });
        }
    }
}

/// What a row is centred on and the reciprocal of its deviation from that.
#[inline(always)]
fn moments<S: Simd>(s: S, norm: RowNorm, x: &[f32]) -> (f32, f32) {
    let width = norm.width as f32;
    let mean = match norm.center {
        Center::Mean => {
            let mut sum = s.splat_f32s(0.0);
            for_lanes!(s, x.len(), |i, mask| {
                sum = s.add_f32s(sum, unsafe { simd::load_masked(s, x.as_ptr().add(i), mask) });
            });
            s.reduce_sum_f32s(sum) / width
        }
        Center::Zero => 0.0,
    };
    // A second pass, as the mean of squares minus the square of the mean loses digits.
    let (center, mut squares, mut rest) = (s.splat_f32s(mean), s.splat_f32s(0.0), 0.0);
    for_lanes!(s, x.len(), |i, mask| {
        match mask {
            None => {
                let d = s.sub_f32s(unsafe { simd::load(s, x.as_ptr().add(i)) }, center);
                squares = s.mul_add_e_f32s(d, d, squares);
            }
            // Lanes beyond the row would be centred too.
            Some(_) => rest = x[i..].iter().map(|x| (x - mean) * (x - mean)).sum(),
        }
    });
    let squares = s.reduce_sum_f32s(squares) + rest;
    (mean, 1.0 / (squares / width + norm.eps).sqrt())
}

/// The largest value of a row.
#[inline(always)]
pub(super) fn row_max<S: Simd>(s: S, x: &[f32]) -> f32 {
    let (vectors, tail) = S::as_simd_f32s(x);
    let mut max = s.splat_f32s(f32::NEG_INFINITY);
    for &v in vectors {
        max = s.max_f32s(max, v);
    }
    tail.iter().fold(s.reduce_max_f32s(max), |m, &v| m.max(v))
}

/// `y = exp(x · scale − shift)` for `width` values, none above 1, which may be in place; returns their sum.
///
/// # Safety
/// `width` values must be readable at `x` and writable at `y`.
#[inline(always)]
pub(super) unsafe fn exp_row<S: Simd>(s: S, x: *const f32, width: usize, scale: f32, shift: f32, y: *mut f32) -> f32 {
    let (scale, shift) = (s.splat_f32s(scale), s.splat_f32s(-shift));
    let mut sum = s.splat_f32s(0.0);
    let mut rest = 0.0;
    for_lanes!(s, width, |i, mask| {
        unsafe {
            let e = math::exp_of_share(s, s.mul_add_e_f32s(simd::load_masked(s, x.add(i), mask), scale, shift));
            simd::store_masked(s, y.add(i), e, mask);
            match mask {
                None => sum = s.add_f32s(sum, e),
                Some(_) => rest = (i..width).map(|i| *y.add(i)).sum(),
            }
        }
    });
    s.reduce_sum_f32s(sum) + rest
}

/// `y = x · by` for `width` values, which may be in place.
///
/// # Safety
/// `width` values must be readable at `x` and writable at `y`.
#[inline(always)]
pub(super) unsafe fn scale_row<S: Simd>(s: S, x: *const f32, width: usize, by: f32, y: *mut f32) {
    let by = s.splat_f32s(by);
    for_lanes!(s, width, |i, mask| {
        unsafe { simd::store_masked(s, y.add(i), s.mul_f32s(simd::load_masked(s, x.add(i), mask), by), mask) };
    });
}

/// Σ a·b of two rows.
#[inline(always)]
pub(super) fn dot_row<S: Simd>(s: S, a: &[f32], b: &[f32]) -> f32 {
    let mut sum = s.splat_f32s(0.0);
    for_lanes!(s, a.len().min(b.len()), |i, mask| {
        unsafe {
            let (a, b) = (simd::load_masked(s, a.as_ptr().add(i), mask), simd::load_masked(s, b.as_ptr().add(i), mask));
            sum = s.mul_add_e_f32s(a, b, sum);
        }
    });
    s.reduce_sum_f32s(sum)
}
