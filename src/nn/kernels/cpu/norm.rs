//! Group normalization with optional SiLU, channels-last, forward and backward.
//!
//! Wu & He, "Group Normalization", arXiv 1803.08494. The affine part is given per image and channel, so that the time
//! embedding's scale and shift cost nothing extra: `y = act(x̂ · gain[b, c] + shift[b, c])`.

use std::ops::Range;

use rayon::prelude::*;

use super::super::shape::NormShape;
use super::math;
use super::scratch;
use super::simd::{self, SendPtr, Simd, WithSimd, for_lanes};

/// Values handled by one thread at once. Fixed, so that sums do not depend on the number of threads.
const BLOCK_VALUES: usize = 16 << 10;

/// How the work is cut.
impl NormShape {
    fn block_pixels(&self) -> usize {
        (BLOCK_VALUES / self.channels).max(1)
    }

    fn blocks(&self) -> usize {
        self.pixels.div_ceil(self.block_pixels())
    }

    /// Image and pixels of block `i` of all.
    fn block(&self, i: usize) -> (usize, Range<usize>) {
        let (image, start) = (i / self.blocks(), i % self.blocks() * self.block_pixels());
        (image, start..(start + self.block_pixels()).min(self.pixels))
    }

    fn values_per_group(&self) -> f64 {
        (self.pixels * self.channels / self.groups) as f64
    }
}

/// Mean and reciprocal standard deviation, `[batch, groups]` each.
#[derive(Default)]
pub struct Stats {
    pub mean: Vec<f32>,
    pub rstd: Vec<f32>,
}

/// `y = act(x̂ · gain + shift)`; `x`, `y`: `[batch, pixels, channels]`; `gain`, `shift`: `[batch, channels]`.
pub fn forward(shape: NormShape, x: &[f32], gain: &[f32], shift: &[f32], y: &mut [f32]) -> Stats {
    let NormShape { batch, channels, groups, eps, silu, .. } = shape;
    let sums = block_sums(shape, |range, sums| simd::dispatch(Moments { x: &x[range], channels, sums }));
    let mut stats = Stats { mean: vec![0.0; batch * groups], rstd: vec![0.0; batch * groups] };
    let per_group = channels / groups;
    for (i, (mean, rstd)) in stats.mean.iter_mut().zip(&mut stats.rstd).enumerate() {
        let (image, group) = (i / groups, i % groups);
        let sums = &sums[image * 2 * channels..][..2 * channels];
        let range = group * per_group..(group + 1) * per_group;
        let sum: f64 = sums[range.clone()].iter().sum();
        let squares: f64 = sums[channels..][range].iter().sum();
        let m = sum / shape.values_per_group();
        let variance = (squares / shape.values_per_group() - m * m).max(0.0);
        (*mean, *rstd) = (m as f32, (1.0 / (variance + eps as f64).sqrt()) as f32);
    }
    let (scale, offset) = affine(shape, &stats, gain, shift);
    let out = SendPtr(y.as_mut_ptr());
    (0..batch * shape.blocks()).into_par_iter().for_each(|i| {
        let (image, pixels) = shape.block(i);
        let range = value_range(shape, image, pixels);
        let (scale, offset) = (&scale[image * channels..][..channels], &offset[image * channels..][..channels]);
        // SAFETY: blocks are disjoint.
        let y = unsafe { std::slice::from_raw_parts_mut(out.add(range.start), range.len()) };
        simd::dispatch(Apply { x: &x[range], scale, offset, silu, y });
    });
    stats
}

/// Writes `dx` and returns the gradients of `gain` and `shift`, `[batch, channels]` each.
pub fn backward(
    shape: NormShape,
    x: &[f32],
    stats: &Stats,
    gain: &[f32],
    shift: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) -> (Vec<f32>, Vec<f32>) {
    let NormShape { batch, channels, groups, silu, .. } = shape;
    let (scale, offset) = affine(shape, stats, gain, shift);
    let out = SendPtr(dx.as_mut_ptr());
    // First the gradient before the activation, kept in `dx`, and its sums.
    let sums = {
        let per_block = |range: Range<usize>, sums: &mut [f32]| {
            let image = range.start / (shape.pixels * channels);
            let (scale, offset) = (&scale[image * channels..][..channels], &offset[image * channels..][..channels]);
            // SAFETY: blocks are disjoint.
            let dz = unsafe { std::slice::from_raw_parts_mut(out.add(range.start), range.len()) };
            let (x, dy) = (&x[range.clone()], &dy[range]);
            simd::dispatch(ActivationGradient { x, dy, scale, offset, silu, dz, sums });
        };
        block_sums(shape, per_block)
    };
    let (mut dgain, mut dshift) = (vec![0.0; batch * channels], vec![0.0; batch * channels]);
    // dx = a·dz + b·x + c, with a per channel, b and c per group.
    let (mut a, mut b, mut c) = (vec![0.0; batch * channels], vec![0.0; batch * channels], vec![0.0; batch * channels]);
    let per_group = channels / groups;
    for image in 0..batch {
        let sums = &sums[image * 2 * channels..][..2 * channels];
        for group in 0..groups {
            let (mean, rstd) = (stats.mean[image * groups + group] as f64, stats.rstd[image * groups + group] as f64);
            let (mut sum, mut dot) = (0.0, 0.0);
            for ch in group * per_group..(group + 1) * per_group {
                let along = rstd * (sums[channels + ch] - mean * sums[ch]);
                let at = image * channels + ch;
                (dgain[at], dshift[at]) = (along as f32, sums[ch] as f32);
                sum += gain[at] as f64 * sums[ch];
                dot += gain[at] as f64 * along;
            }
            let (sum, dot) = (sum / shape.values_per_group(), dot / shape.values_per_group());
            for at in image * channels + group * per_group..image * channels + (group + 1) * per_group {
                a[at] = (rstd * gain[at] as f64) as f32;
                b[at] = (-rstd * rstd * dot) as f32;
                c[at] = (rstd * (rstd * mean * dot - sum)) as f32;
            }
        }
    }
    (0..batch * shape.blocks()).into_par_iter().for_each(|i| {
        let (image, pixels) = shape.block(i);
        let range = value_range(shape, image, pixels);
        let of = |v: &'_ [f32]| v[image * channels..][..channels].as_ptr();
        // SAFETY: blocks are disjoint.
        let dx = unsafe { std::slice::from_raw_parts_mut(out.add(range.start), range.len()) };
        simd::dispatch(InputGradient { x: &x[range], abc: [of(&a), of(&b), of(&c)], channels, dx });
    });
    (dgain, dshift)
}

fn value_range(shape: NormShape, image: usize, pixels: Range<usize>) -> Range<usize> {
    (image * shape.pixels + pixels.start) * shape.channels..(image * shape.pixels + pixels.end) * shape.channels
}

/// Per image two sums per channel: `[batch, 2, channels]`, accumulated block by block.
fn block_sums(shape: NormShape, per_block: impl Fn(Range<usize>, &mut [f32]) + Sync) -> Vec<f64> {
    let width = 2 * shape.channels;
    let mut total = vec![0.0f64; shape.batch * width];
    scratch::with(shape.batch * shape.blocks() * width, |partial| {
        partial.par_chunks_exact_mut(width).enumerate().for_each(|(i, sums)| {
            let (image, pixels) = shape.block(i);
            sums.fill(0.0);
            per_block(value_range(shape, image, pixels), sums);
        });
        for (total, partial) in total.chunks_exact_mut(width).zip(partial.chunks_exact(width * shape.blocks())) {
            for block in partial.chunks_exact(width) {
                total.iter_mut().zip(block).for_each(|(t, &p)| *t += p as f64);
            }
        }
    });
    total
}

/// Normalization and affine part as one multiply-add per channel: `x · scale + offset`.
fn affine(shape: NormShape, stats: &Stats, gain: &[f32], shift: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let per_group = shape.channels / shape.groups;
    let scale_offset = |i: usize| {
        let group = i / shape.channels * shape.groups + i % shape.channels / per_group;
        let scale = gain[i] * stats.rstd[group];
        (scale, shift[i] - stats.mean[group] * scale)
    };
    (0..gain.len()).map(scale_offset).unzip()
}

struct Moments<'a> {
    x: &'a [f32],
    channels: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Moments<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (rows, sums) = (self.x.len() / self.channels, self.sums.as_mut_ptr());
        for_lanes!(s, self.channels, |c, mask| {
            let (mut sum, mut squares) = (s.splat_f32s(0.0), s.splat_f32s(0.0));
            unsafe {
                for row in 0..rows {
                    let x = simd::load_masked(s, self.x.as_ptr().add(row * self.channels + c), mask);
                    sum = s.add_f32s(sum, x);
                    squares = s.mul_add_e_f32s(x, x, squares);
                }
                simd::store_masked(s, sums.add(c), sum, mask);
                simd::store_masked(s, sums.add(self.channels + c), squares, mask);
            }
        });
    }
}

struct Apply<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    offset: &'a [f32],
    silu: bool,
    y: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let channels = self.scale.len();
        let (x, y) = (self.x.as_ptr(), self.y.as_mut_ptr());
        for_lanes!(s, channels, |c, mask| {
            unsafe {
                let scale = simd::load_masked(s, self.scale.as_ptr().add(c), mask);
                let offset = simd::load_masked(s, self.offset.as_ptr().add(c), mask);
                for row in 0..self.x.len() / channels {
                    let at = row * channels + c;
                    let mut z = s.mul_add_e_f32s(simd::load_masked(s, x.add(at), mask), scale, offset);
                    if self.silu {
                        z = s.mul_f32s(z, math::sigmoid(s, z));
                    }
                    simd::store_masked(s, y.add(at), z, mask);
                }
            }
        });
    }
}

struct ActivationGradient<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    scale: &'a [f32],
    offset: &'a [f32],
    silu: bool,
    dz: &'a mut [f32],
    /// Σ dz and Σ dz·x per channel.
    sums: &'a mut [f32],
}

impl WithSimd for ActivationGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let channels = self.scale.len();
        let (x, dy, dz) = (self.x.as_ptr(), self.dy.as_ptr(), self.dz.as_mut_ptr());
        let one = s.splat_f32s(1.0);
        let sums = self.sums.as_mut_ptr();
        for_lanes!(s, channels, |c, mask| {
            let (mut sum, mut dot) = (s.splat_f32s(0.0), s.splat_f32s(0.0));
            unsafe {
                let scale = simd::load_masked(s, self.scale.as_ptr().add(c), mask);
                let offset = simd::load_masked(s, self.offset.as_ptr().add(c), mask);
                for row in 0..self.x.len() / channels {
                    let at = row * channels + c;
                    let x = simd::load_masked(s, x.add(at), mask);
                    let mut d = simd::load_masked(s, dy.add(at), mask);
                    if self.silu {
                        let z = s.mul_add_e_f32s(x, scale, offset);
                        let sig = math::sigmoid(s, z);
                        // d silu = σ·(1 + z·(1 − σ))
                        let slope = s.mul_add_e_f32s(z, s.sub_f32s(one, sig), one);
                        d = s.mul_f32s(d, s.mul_f32s(sig, slope));
                    }
                    sum = s.add_f32s(sum, d);
                    dot = s.mul_add_e_f32s(d, x, dot);
                    simd::store_masked(s, dz.add(at), d, mask);
                }
                simd::store_masked(s, sums.add(c), sum, mask);
                simd::store_masked(s, sums.add(channels + c), dot, mask);
            }
        });
    }
}

struct InputGradient<'a> {
    x: &'a [f32],
    abc: [*const f32; 3],
    channels: usize,
    /// Holds dz on entry.
    dx: &'a mut [f32],
}

impl WithSimd for InputGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (x, dx) = (self.x.as_ptr(), self.dx.as_mut_ptr());
        for_lanes!(s, self.channels, |i, mask| {
            unsafe {
                let [a, b, c] = self.abc;
                let (a, b) = (simd::load_masked(s, a.add(i), mask), simd::load_masked(s, b.add(i), mask));
                let c = simd::load_masked(s, c.add(i), mask);
                for row in 0..self.x.len() / self.channels {
                    let at = row * self.channels + i;
                    let rest = s.mul_add_e_f32s(simd::load_masked(s, x.add(at), mask), b, c);
                    let d = s.mul_add_e_f32s(simd::load_masked(s, dx.add(at), mask), a, rest);
                    simd::store_masked(s, dx.add(at), d, mask);
                }
            }
        });
    }
}
