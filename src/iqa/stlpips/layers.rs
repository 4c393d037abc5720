//! The anti-aliased downsampling of ST-LPIPS: a 3×3 binomial blur at every second position, the input mirrored by two
//! positions at each end (edge not repeated).
//!
//! Zhang, "Making convolutional networks shift-invariant again", ICML 2019. Such a blur of a convolution is one
//! convolution with a wider kernel and stride 2. The first layer is computed that way, with a third of the
//! multiplications.

use std::ops::Range;

use super::conv::{Conv, Features, conv2d_relu};
use crate::imaging::border::reflect;
use crate::iqa::parallel::{strips_mut, vectorised};

/// Length after the blur: positions -2, 0, 2 … of the input, as far as its mirror image reaches.
pub const fn blurred_len(len: usize) -> usize {
    len.div_ceil(2) + 1
}

/// Binomial weights of three neighbours.
const BINOMIAL: [f32; 3] = [0.25, 0.5, 0.25];
/// What they come to at the end of an input of even length: its last two positions count a half each.
const EVEN_END: [f32; 3] = [0.0, 0.5, 0.5];

/// Maximum over 3×3 windows, then the blur.
pub fn pool_and_blur(input: &Features) -> Features {
    let c = input.channels;
    let (pooled_w, pooled_h) = (input.width - 2, input.height - 2);
    let mut out = Features::zeros(blurred_len(pooled_w), blurred_len(pooled_h), c);
    let row_len = out.width * c;
    strips_mut(&mut out.data, row_len, |rows, out| {
        // Pooled rows in use, by number: the last one of an output row is the first one of the next.
        let mut pooled: [(usize, Vec<f32>); 3] = std::array::from_fn(|_| (usize::MAX, vec![0.0; pooled_w * c]));
        let (mut highest, mut mixed) = (vec![0.0; input.width * c], vec![0.0; pooled_w * c]);
        for (y, out) in rows.zip(out.chunks_exact_mut(row_len)) {
            let wanted: [usize; 3] = std::array::from_fn(|k| reflect((2 * y + k) as isize - 2, pooled_h));
            for number in wanted {
                if pooled.iter().any(|row| row.0 == number) {
                    continue;
                }
                if let Some(free) = pooled.iter_mut().find(|row| !wanted.contains(&row.0)) {
                    free.0 = number;
                    let rows = [0, 1, 2].map(|k| input.row(number + k));
                    vectorised(|| pool(rows, c, &mut highest, &mut free.1));
                }
            }
            let rows = wanted.map(|number| pooled.iter().find(|row| row.0 == number).map_or(&[][..], |row| &row.1));
            vectorised(|| {
                mix(rows, &mut mixed);
                for (x, out) in out.chunks_exact_mut(c).enumerate() {
                    mix([0, 1, 2].map(|k| &mixed[reflect((2 * x + k) as isize - 2, pooled_w) * c..][..c]), out);
                }
            });
        }
    });
    out
}

/// Maximum over three rows and three columns.
#[inline(always)]
fn pool([a, b, c]: [&[f32]; 3], channels: usize, highest: &mut [f32], out: &mut [f32]) {
    for (((highest, a), b), c) in highest.iter_mut().zip(a).zip(b).zip(c) {
        *highest = max(max(*a, *b), *c);
    }
    let shifted = highest[channels..].iter().zip(&highest[2 * channels..]);
    for ((out, a), (b, c)) in out.iter_mut().zip(&*highest).zip(shifted) {
        *out = max(max(*a, *b), *c);
    }
}

/// The maximum of values that are not NaN, in one instruction.
#[inline(always)]
fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
fn mix([a, b, c]: [&[f32]; 3], out: &mut [f32]) {
    for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
        *out = 0.25 * (a + c) + 0.5 * b;
    }
}

/// A convolution with stride 1, then the blur, then ReLU, as one convolution.
///
/// The blur mirrors the convolution's output at its ends: its first position then equals the second; so does the last
/// equal the one before if the length is odd. With an even length the last has weights of its own ([`EVEN_END`]).
pub struct BlurredConv {
    kernel: usize,
    inner: Conv,
    /// At the right end, at the bottom, at both.
    right: Conv,
    bottom: Conv,
    corner: Conv,
}

impl BlurredConv {
    /// From weights in the order output channel, input channel, row, column.
    pub fn new((c_in, c_out): (usize, usize), kernel: usize, oihw: &[f32], bias: &[f32]) -> Self {
        let conv = |rows, columns| {
            let weights: Vec<f32> =
                oihw.chunks_exact(kernel * kernel).flat_map(|filter| widened(filter, kernel, rows, columns)).collect();
            Conv::new((c_in, c_out), (kernel + 2, 2, 0), &weights, bias.to_vec())
        };
        Self {
            kernel,
            inner: conv(BINOMIAL, BINOMIAL),
            right: conv(BINOMIAL, EVEN_END),
            bottom: conv(EVEN_END, BINOMIAL),
            corner: conv(EVEN_END, EVEN_END),
        }
    }

    /// The output for an input that already has its zero padding.
    pub fn forward(&self, input: &Features) -> Features {
        let (w, h, wide) = (input.width, input.height, self.kernel + 2);
        let (conv_w, conv_h) = (w + 1 - self.kernel, h + 1 - self.kernel);
        let inner = conv2d_relu(&self.inner, input);
        let is_even = |len: usize| len.is_multiple_of(2);
        let right = is_even(conv_w).then(|| conv2d_relu(&self.right, &input.part(w - wide, 0, wide, h)));
        let bottom = is_even(conv_h).then(|| conv2d_relu(&self.bottom, &input.part(0, h - wide, w, wide)));
        let corner = (is_even(conv_w) && is_even(conv_h))
            .then(|| conv2d_relu(&self.corner, &input.part(w - wide, h - wide, wide, wide)));

        let c = inner.channels;
        let mut out = Features::zeros(blurred_len(conv_w), blurred_len(conv_h), c);
        // One output row from the row of the inner part and the position beyond its right end.
        let assemble = |row: &[f32], end: Option<&[f32]>, out: &mut [f32]| {
            out[..c].copy_from_slice(&row[..c]);
            out[c..c + row.len()].copy_from_slice(row);
            out[c + row.len()..].copy_from_slice(end.unwrap_or(&row[row.len() - c..]));
        };
        let row_len = out.width * c;
        let last = out.height - 1;
        strips_mut(&mut out.data, row_len, |rows: Range<usize>, out| {
            for (y, out) in rows.zip(out.chunks_exact_mut(row_len)) {
                match &bottom {
                    Some(bottom) if y == last => {
                        assemble(bottom.row(0), corner.as_ref().map(|corner| corner.row(0)), out);
                    }
                    _ => {
                        let y = y.saturating_sub(1).min(inner.height - 1);
                        assemble(inner.row(y), right.as_ref().map(|right| right.row(y)), out);
                    }
                }
            }
        });
        out
    }
}

/// A filter followed by three weights along each axis, as one filter.
fn widened(filter: &[f32], kernel: usize, rows: [f32; 3], columns: [f32; 3]) -> Vec<f32> {
    let wide = kernel + 2;
    let mut out = vec![0.0f64; wide * wide];
    for (i, &w) in filter.iter().enumerate() {
        for (dy, row) in rows.iter().enumerate() {
            for (dx, column) in columns.iter().enumerate() {
                out[(i / kernel + dy) * wide + i % kernel + dx] += w as f64 * (row * column) as f64;
            }
        }
    }
    out.into_iter().map(|v| v as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(width: usize, height: usize, channels: usize) -> Features {
        let data = (0..width * height * channels).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
        Features { width, height, channels, data }
    }

    /// The blur as defined, of any function of the position.
    fn blur(at: impl Fn(usize, usize) -> f64, width: usize, height: usize, x: usize, y: usize) -> f64 {
        let mut sum = 0.0;
        for (ky, kx) in (0..3).flat_map(|ky| (0..3).map(move |kx| (ky, kx))) {
            let index = |i: usize, k: usize, len| reflect((2 * i + k) as isize - 2, len);
            sum += (BINOMIAL[ky] * BINOMIAL[kx]) as f64 * at(index(x, kx, width), index(y, ky, height));
        }
        sum
    }

    #[test]
    fn pooling_follows_the_definition() {
        for (width, height) in [(9, 12), (5, 140), (6, 5)] {
            let input = features(width, height, 3);
            let out = pool_and_blur(&input);
            for (i, &got) in out.data.iter().enumerate() {
                let (channel, x, y) = (i % 3, i / 3 % out.width, i / 3 / out.width);
                let pooled = |x: usize, y: usize| {
                    let window = (0..9).map(|k| input.row(y + k / 3)[(x + k % 3) * 3 + channel] as f64);
                    window.fold(f64::MIN, f64::max)
                };
                let want = blur(pooled, width - 2, height - 2, x, y);
                assert!((got as f64 - want).abs() < 1e-5, "{width}×{height} ({x}, {y}): {got} {want}");
            }
        }
    }

    #[test]
    fn a_blurred_convolution_is_a_convolution_and_a_blur() {
        let kernel = 5;
        let weights = features(kernel, kernel, 2 * 3).data;
        let bias = [0.1, -0.2];
        for (width, height) in [(15, 15), (16, 15), (15, 16), (20, 18)] {
            let input = features(width, height, 3);
            let plain: Vec<f64> = {
                // Without ReLU: a large bias keeps everything positive.
                let conv = Conv::new((3, 2), (kernel, 1, 0), &weights, vec![1000.0; 2]);
                conv2d_relu(&conv, &input).data.iter().map(|&v| v as f64 - 1000.0).collect()
            };
            let (w, h) = (width + 1 - kernel, height + 1 - kernel);
            let out = BlurredConv::new((3, 2), kernel, &weights, &bias).forward(&input);
            assert_eq!((out.width, out.height), (blurred_len(w), blurred_len(h)));
            for (i, &got) in out.data.iter().enumerate() {
                let (channel, x, y) = (i % 2, i / 2 % out.width, i / 2 / out.width);
                let want = bias[channel] as f64 + blur(|x, y| plain[(y * w + x) * 2 + channel], w, h, x, y);
                assert!((got as f64 - want.max(0.0)).abs() < 2e-3, "{width}×{height} ({x}, {y}): {got} {want}");
            }
        }
    }
}
