//! Which weights form a layer, and how they start. Names and shapes are PyTorch's.

use super::params::{Init, ParamId, Specs};

/// Convolution with weight OIHW and bias.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    pub weight: ParamId,
    pub bias: ParamId,
    pub c_in: usize,
    pub c_out: usize,
    pub kernel: usize,
    pub stride: usize,
}

/// Group normalization with a weight and a bias per channel.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm {
    pub weight: ParamId,
    pub bias: ParamId,
    pub channels: usize,
    pub groups: usize,
    /// Added to the variance.
    pub eps: f32,
}

/// Layer normalization with a weight and a bias per channel.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    pub weight: ParamId,
    pub bias: ParamId,
    pub channels: usize,
    /// Added to the variance.
    pub eps: f32,
}

/// RMS normalization with a weight per channel.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    pub weight: ParamId,
    pub channels: usize,
    /// Added to the mean square.
    pub eps: f32,
}

impl Conv {
    /// A `kernel × kernel` convolution with padding `kernel / 2`. `gain` scales the initial weights (He et al. 2015 is
    /// `gain = √2`; 0 makes the layer start as zero).
    pub fn new(
        specs: &mut Specs,
        name: &str,
        (c_in, c_out): (usize, usize),
        kernel: usize,
        stride: usize,
        gain: f32,
    ) -> Self {
        let shape = [c_out, c_in, kernel, kernel];
        Self::with_shape(specs, name, &shape, (c_in, c_out), kernel, stride, gain)
    }

    /// A fully connected layer: a 1×1 convolution whose weight is `[c_out, c_in]`.
    pub fn linear(specs: &mut Specs, name: &str, (c_in, c_out): (usize, usize), gain: f32) -> Self {
        Self::with_shape(specs, name, &[c_out, c_in], (c_in, c_out), 1, 1, gain)
    }

    fn with_shape(
        specs: &mut Specs,
        name: &str,
        shape: &[usize],
        (c_in, c_out): (usize, usize),
        kernel: usize,
        stride: usize,
        gain: f32,
    ) -> Self {
        let std = gain / ((c_in * kernel * kernel) as f32).sqrt();
        let init = if gain == 0.0 { Init::Zeros } else { Init::Normal(std) };
        let weight = specs.add(format!("{name}.weight"), shape, init);
        let bias = specs.add(format!("{name}.bias"), &[c_out], Init::Zeros);
        Self { weight, bias, c_in, c_out, kernel, stride }
    }
}

impl GroupNorm {
    /// Starts as plain normalization.
    pub fn new(specs: &mut Specs, name: &str, channels: usize, groups: usize, eps: f32) -> Self {
        let weight = specs.add(format!("{name}.weight"), &[channels], Init::Ones);
        let bias = specs.add(format!("{name}.bias"), &[channels], Init::Zeros);
        Self { weight, bias, channels, groups, eps }
    }
}

impl LayerNorm {
    /// Starts as plain normalization.
    pub fn new(specs: &mut Specs, name: &str, channels: usize, eps: f32) -> Self {
        let weight = specs.add(format!("{name}.weight"), &[channels], Init::Ones);
        let bias = specs.add(format!("{name}.bias"), &[channels], Init::Zeros);
        Self { weight, bias, channels, eps }
    }
}

impl RmsNorm {
    /// Starts as plain normalization.
    pub fn new(specs: &mut Specs, name: &str, channels: usize, eps: f32) -> Self {
        let weight = specs.add(format!("{name}.weight"), &[channels], Init::Ones);
        Self { weight, channels, eps }
    }
}
