//! Which input samples make up one output sample of a resize along one axis, and with which weights.

use serde::{Deserialize, Serialize};

use super::border::symmetric;

/// The kernel of a resize.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// The nearest input pixel.
    Nearest,
    /// Triangle of radius 1.
    Bilinear,
    /// Cubic convolution of radius 2, a = −½.
    Bicubic,
    /// The mean of what an output pixel covers, partly covered pixels in proportion.
    Area,
}

/// One axis of a resize: for each output sample, a run of input samples.
pub(super) struct Weights {
    /// Per output sample: the first input sample and where its weights lie in `values`.
    runs: Vec<(usize, std::ops::Range<usize>)>,
    values: Vec<f32>,
}

impl Weights {
    /// The weights of an axis going from `from` to `to` samples.
    pub(super) fn new(from: usize, to: usize, filter: Filter, antialias: bool) -> Self {
        let mut weights = Self { runs: Vec::with_capacity(to), values: Vec::new() };
        let ratio = from as f64 / to as f64;
        // An antialiased kernel is stretched to cover the input samples an output sample stands for.
        let stretch = if antialias { ratio.max(1.0) } else { 1.0 };
        for i in 0..to {
            match filter {
                // Exact in integers: floor((i + ½) · from / to).
                Filter::Nearest => weights.push(from, (2 * i + 1) * from / (2 * to), &[1.0]),
                Filter::Area => {
                    // What the output sample covers of the input, in input samples.
                    let (low, high) = (i as f64 * ratio, (i + 1) as f64 * ratio);
                    let first = (low.floor() as usize).min(from - 1);
                    let last = ((high - 1e-9).ceil() as usize).clamp(first + 1, from);
                    let cover: Vec<f64> = (first..last).map(|j| high.min(j as f64 + 1.0) - low.max(j as f64)).collect();
                    weights.push(from, first, &cover);
                }
                Filter::Bilinear | Filter::Bicubic => {
                    let (kernel, radius): (fn(f64) -> f64, f64) =
                        if filter == Filter::Bilinear { (triangle, 1.0) } else { (cubic, 2.0) };
                    let center = (i as f64 + 0.5) * ratio - 0.5;
                    let first = (center - radius * stretch).floor() as isize;
                    let last = (center + radius * stretch).ceil() as isize;
                    weights.push_reflected(from, first, last, |j| kernel((j - center) / stretch));
                }
            }
        }
        weights
    }

    /// The input samples of output sample `i`: the first one and the weights from there on.
    pub(super) fn of(&self, i: usize) -> (usize, &[f32]) {
        let (first, range) = &self.runs[i];
        (*first, &self.values[range.clone()])
    }

    /// Adds an output sample, its weights brought to a sum of 1.
    fn push(&mut self, from: usize, first: usize, values: &[f64]) {
        let total: f64 = values.iter().sum();
        let start = self.values.len();
        self.values.extend(values.iter().map(|v| (v / total) as f32));
        debug_assert!(first + values.len() <= from);
        self.runs.push((first, start..self.values.len()));
    }

    /// Adds an output sample from the kernel over `first..=last`, the part beyond the edge folded back into the image.
    fn push_reflected(&mut self, from: usize, first: isize, last: isize, kernel: impl Fn(f64) -> f64) {
        let taps: Vec<(usize, f64)> =
            (first..=last).map(|j| (symmetric(j, from), kernel(j as f64))).filter(|&(_, w)| w != 0.0).collect();
        let low = taps.iter().map(|t| t.0).min().unwrap_or(0);
        let high = taps.iter().map(|t| t.0).max().unwrap_or(0);
        let mut values = vec![0.0; high - low + 1];
        for (j, weight) in taps {
            values[j - low] += weight;
        }
        self.push(from, low, &values);
    }
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = −½.
pub const fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}
