//! Gaussian-weighted local means, the inner loop of SSIM and of all natural scene statistics.
//!
//! The window is separable: every input row is filtered along x once and kept in a ring of `K` rows, from which the
//! output rows are filtered along y. One pass over memory serves all the moments a metric needs.

use std::ops::Range;

/// `K` weights of a Gaussian with standard deviation `sigma_px`, summing to one (MATLAB's `fspecial`, one axis of it).
pub fn weights<const K: usize>(sigma_px: f64) -> [f32; K] {
    let centre = (K / 2) as f64;
    let raw: [f64; K] = std::array::from_fn(|i| (-(i as f64 - centre).powi(2) / (2.0 * sigma_px * sigma_px)).exp());
    let sum: f64 = raw.iter().sum();
    raw.map(|w| (w / sum) as f32)
}

/// Filters `N` images at once, output rows `rows` of `width` values.
///
/// `source(y, into)` fills row `y` of each image: `width + K - 1` values, rows counted from the top of the window of
/// output row 0. `sink(y, means)` receives each output row.
#[inline(always)]
pub fn local_means<const K: usize, const N: usize>(
    weights: &[f32; K],
    width: usize,
    rows: Range<usize>,
    mut source: impl FnMut(usize, &mut [Vec<f32>; N]),
    mut sink: impl FnMut(usize, &[Vec<f32>; N]),
) {
    let mut input: [Vec<f32>; N] = std::array::from_fn(|_| vec![0.0; width + K - 1]);
    let mut output: [Vec<f32>; N] = std::array::from_fn(|_| vec![0.0; width]);
    let mut ring: [Vec<f32>; N] = std::array::from_fn(|_| vec![0.0; K * width]);
    for y in rows.start..rows.end + K - 1 {
        source(y, &mut input);
        for (input, ring) in input.iter().zip(&mut ring) {
            let taps: [&[f32]; K] = std::array::from_fn(|t| &input[t..t + width]);
            weigh(weights, taps, &mut ring[y % K * width..][..width]);
        }
        if y + 1 >= rows.start + K {
            let top = y + 1 - K;
            for (ring, output) in ring.iter().zip(&mut output) {
                let taps: [&[f32]; K] = std::array::from_fn(|t| &ring[(top + t) % K * width..][..width]);
                weigh(weights, taps, output);
            }
            sink(top, &output);
        }
    }
}

/// `out = Σ weights[t] · taps[t]` for weights that are symmetric about their centre.
#[inline(always)]
fn weigh<const K: usize>(weights: &[f32; K], taps: [&[f32]; K], out: &mut [f32]) {
    let len = out.len();
    let taps = taps.map(|tap| &tap[..len]);
    for (i, out) in out.iter_mut().enumerate() {
        let mut sum = weights[K / 2] * taps[K / 2][i];
        for t in 0..K / 2 {
            sum += weights[t] * (taps[t][i] + taps[K - 1 - t][i]);
        }
        *out = sum;
    }
}
