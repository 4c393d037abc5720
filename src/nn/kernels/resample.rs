//! Linear resampling along one axis: interpolation, pooling by averages and fixed filters are all the same two sparse matrices,
//! one for the rows and one for the columns, and their gradients the transposed ones. Sampling positions are PyTorch's.

use crate::imaging::border::reflect;

/// How the outputs along an axis are made of its inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    inputs: usize,
    outputs: Vec<Taps>,
}

/// An output: weighted inputs from `first` on.
#[derive(Clone, Debug, PartialEq)]
pub struct Taps {
    pub first: usize,
    pub weights: Vec<f32>,
}

/// Between which inputs interpolation takes what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interpolation {
    Nearest,
    /// A triangle of radius 1.
    Bilinear,
    /// Keys' cubic of radius 2 with this `a`: −0.75 in PyTorch and OpenCV, −0.5 in PIL, MATLAB and PyTorch's antialiased one.
    Bicubic(f64),
}

impl Interpolation {
    fn radius(self) -> f64 {
        match self {
            Self::Nearest => 0.5,
            Self::Bilinear => 1.0,
            Self::Bicubic(_) => 2.0,
        }
    }

    fn kernel(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Nearest => f64::from(x <= 0.5),
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic(a) if x < 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
            Self::Bicubic(a) if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * a,
            Self::Bicubic(_) => 0.0,
        }
    }
}

impl Axis {
    /// `outputs` pixels between `inputs` pixels, whose centres lie at half-integers (`align_corners=False`). With `antialias`
    /// a shrinking kernel is stretched and what lies beyond the border is left out; without, the border pixel repeats.
    pub fn interpolate(inputs: usize, outputs: usize, how: Interpolation, antialias: bool) -> Self {
        let scale = inputs as f64 / outputs as f64;
        let output = |i: usize| match how {
            Interpolation::Nearest => Taps { first: i * inputs / outputs, weights: vec![1.0] },
            _ if antialias => {
                let (center, stretch) = (scale * (i as f64 + 0.5), scale.max(1.0));
                let radius = how.radius() * stretch;
                let first = (center - radius + 0.5).max(0.0) as usize;
                let end = ((center + radius + 0.5) as usize).min(inputs);
                let weights: Vec<f64> = (first..end).map(|j| how.kernel((j as f64 - center + 0.5) / stretch)).collect();
                let sum: f64 = weights.iter().sum();
                Taps { first, weights: weights.iter().map(|w| (w / sum) as f32).collect() }
            }
            _ => {
                let at = scale * (i as f64 + 0.5) - 0.5;
                let at = if how == Interpolation::Bilinear { at.max(0.0) } else { at };
                let (below, reach) = (at.floor(), how.radius() as isize);
                let taps = (1 - reach..=reach).map(|j| {
                    let index = below as isize + j;
                    (index.clamp(0, inputs as isize - 1) as usize, how.kernel(at - index as f64))
                });
                Taps::gathered(taps.collect())
            }
        };
        Self { inputs, outputs: (0..outputs).map(output).collect() }
    }

    /// `outputs` pixels that lie `1 / factor` input pixels apart, bilinear: PyTorch's `interpolate` where it is given a factor, which need
    /// not be that of the sizes.
    pub fn enlarged(inputs: usize, outputs: usize, factor: f64) -> Self {
        let output = |i: usize| {
            let at = ((i as f64 + 0.5) / factor - 0.5).max(0.0);
            let (below, last) = (at as usize, inputs.saturating_sub(1));
            let share = at - below as f64;
            Taps::gathered(vec![(below.min(last), 1.0 - share), ((below + 1).min(last), share)])
        };
        Self { inputs, outputs: (0..outputs).map(output).collect() }
    }

    /// `outputs` pixels between `inputs` pixels, bilinear, the outer ones of both on one another (`align_corners=True`).
    pub fn between_corners(inputs: usize, outputs: usize) -> Self {
        let scale = (inputs - 1) as f64 / (outputs.max(2) - 1) as f64;
        let output = |i: usize| {
            let at = (i as f64 * scale).min((inputs - 1) as f64);
            let below = at as usize;
            let share = at - below as f64;
            Taps::gathered(vec![(below, 1.0 - share), ((below + 1).min(inputs - 1), share)])
        };
        Self { inputs, outputs: (0..outputs).map(output).collect() }
    }

    /// `weights` slid over the axis in steps of `stride`, with `pad` zeros at both ends.
    pub fn windows(inputs: usize, weights: &[f32], stride: usize, pad: usize) -> Self {
        let count = (inputs + 2 * pad).saturating_sub(weights.len()) / stride + 1;
        let output = |i: usize| {
            let start = i * stride;
            let end = (start + weights.len()).min(inputs + pad);
            let skip = pad.saturating_sub(start).min(weights.len());
            let first = (start + skip).saturating_sub(pad).min(inputs - 1);
            Taps { first, weights: weights[skip..(end.saturating_sub(start)).max(skip)].to_vec() }
        };
        Self { inputs, outputs: (0..count).map(output).collect() }
    }

    /// `weights` slid over the axis in steps of `stride`, with `pad` inputs mirrored at both ends, the end itself once.
    pub fn mirrored(inputs: usize, weights: &[f32], stride: usize, pad: usize) -> Self {
        let count = (inputs + 2 * pad).saturating_sub(weights.len()) / stride + 1;
        let output = |i: usize| {
            let at = |k: usize| reflect((i * stride + k) as isize - pad as isize, inputs);
            Taps::gathered(weights.iter().enumerate().map(|(k, &weight)| (at(k), f64::from(weight))).collect())
        };
        Self { inputs, outputs: (0..count).map(output).collect() }
    }

    /// Means of windows of `kernel` values, zeros beyond the border included (PyTorch's `count_include_pad`) or not.
    pub fn average(inputs: usize, kernel: usize, stride: usize, pad: usize, count_pad: bool) -> Self {
        let mut axis = Self::windows(inputs, &vec![1.0 / kernel as f32; kernel], stride, pad);
        if !count_pad {
            for taps in &mut axis.outputs {
                let count = taps.weights.len() as f32;
                taps.weights.fill(1.0 / count);
            }
        }
        axis
    }

    /// Means over `outputs` parts of about the same size (PyTorch's adaptive average).
    pub fn adaptive(inputs: usize, outputs: usize) -> Self {
        let output = |i: usize| {
            let (first, end) = (i * inputs / outputs, ((i + 1) * inputs).div_ceil(outputs));
            Taps { first, weights: vec![1.0 / (end - first) as f32; end - first] }
        };
        Self { inputs, outputs: (0..outputs).map(output).collect() }
    }

    /// Inputs that it takes.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// What each output is made of.
    pub fn outputs(&self) -> &[Taps] {
        &self.outputs
    }

    /// From gradients of the outputs to those of the inputs.
    pub fn transposed(&self) -> Self {
        let mut gathered = vec![Vec::new(); self.inputs];
        for (i, taps) in self.outputs.iter().enumerate() {
            for (j, &weight) in taps.weights.iter().enumerate() {
                gathered[taps.first + j].push((i, weight as f64));
            }
        }
        Self { inputs: self.outputs.len(), outputs: gathered.into_iter().map(Taps::gathered).collect() }
    }

    /// As a matrix, a row an output.
    pub fn matrix(&self) -> Vec<f32> {
        let mut matrix = vec![0.0; self.outputs.len() * self.inputs];
        for (row, taps) in matrix.chunks_exact_mut(self.inputs).zip(&self.outputs) {
            row[taps.first..taps.first + taps.weights.len()].copy_from_slice(&taps.weights);
        }
        matrix
    }
}

impl Taps {
    /// From pairs of an index and a weight; weights of one index add up.
    fn gathered(pairs: Vec<(usize, f64)>) -> Self {
        let Some(first) = pairs.iter().map(|(index, _)| *index).min() else {
            return Self { first: 0, weights: Vec::new() };
        };
        let last = pairs.iter().map(|(index, _)| *index).max().unwrap_or(first);
        let mut weights = vec![0.0; last - first + 1];
        for (index, weight) in pairs {
            weights[index - first] += weight;
        }
        Self { first, weights: weights.into_iter().map(|w| w as f32).collect() }
    }
}
