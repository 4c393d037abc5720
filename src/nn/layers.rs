//! Which weights form a layer, and how they start. Names and shapes are PyTorch's.

use super::params::{Init, ParamId, Specs};

/// Convolution with weight OIHW.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    pub weight: ParamId,
    pub bias: Option<ParamId>,
    pub c_in: usize,
    pub c_out: usize,
    /// Rows and columns.
    pub kernel: [usize; 2],
    pub stride: usize,
    /// Zeros before and after the rows, and the columns.
    pub pad: [usize; 2],
    pub dilation: usize,
    pub groups: usize,
}

/// What a convolution looks at.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// Rows and columns.
    pub size: [usize; 2],
    pub stride: usize,
    /// Zeros before and after the rows, and the columns.
    pub pad: [usize; 2],
    pub dilation: usize,
    pub groups: usize,
    pub bias: bool,
}

/// Fully connected layer with weight `[c_out, c_in]`.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    pub weight: ParamId,
    pub bias: Option<ParamId>,
    pub c_in: usize,
    pub c_out: usize,
}

/// Group normalization.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm {
    /// Weight and bias per channel.
    pub affine: Option<[ParamId; 2]>,
    pub channels: usize,
    pub groups: usize,
    /// Added to the variance.
    pub eps: f32,
}

/// Layer normalization.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    /// Weight and bias per channel.
    pub affine: Option<[ParamId; 2]>,
    pub channels: usize,
    /// Added to the variance.
    pub eps: f32,
}

/// RMS normalization.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    /// Per channel.
    pub weight: Option<ParamId>,
    pub channels: usize,
    /// Added to the mean square.
    pub eps: f32,
}

/// A table of rows, `[count, width]`.
#[derive(Clone, Copy, Debug)]
pub struct Embedding {
    pub weight: ParamId,
    pub count: usize,
    pub width: usize,
}

/// Attention with its four projections.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub out: Linear,
    pub heads: usize,
}

/// What a published attention layer calls its projections, and which of them have a bias.
#[derive(Clone, Copy, Debug)]
pub struct AttentionNames {
    pub q: &'static str,
    pub k: &'static str,
    pub v: &'static str,
    pub out: &'static str,
    /// Of `q`, `k` and `v`; of `out`.
    pub bias: [bool; 2],
}

impl AttentionNames {
    /// Diffusers' `Attention`.
    pub const DIFFUSERS: Self = Self { q: "to_q", k: "to_k", v: "to_v", out: "to_out.0", bias: [false, true] };
    /// CLIP of transformers.
    pub const CLIP: Self = Self { q: "q_proj", k: "k_proj", v: "v_proj", out: "out_proj", bias: [true, true] };
    /// T5 of transformers.
    pub const T5: Self = Self { q: "q", k: "k", v: "v", out: "o", bias: [false, false] };
}

impl Kernel {
    /// The usual: a square that leaves the size as it is, with bias.
    pub const fn square(size: usize) -> Self {
        Self { size: [size; 2], stride: 1, pad: [size / 2; 2], dilation: 1, groups: 1, bias: true }
    }
}

impl Conv {
    /// A `kernel × kernel` convolution with padding `kernel / 2` and bias. `gain` scales the initial weights (He et al. 2015
    /// is `gain = √2`; 0 makes the layer start as zero).
    pub fn new(
        specs: &mut Specs,
        name: &str,
        channels: (usize, usize),
        kernel: usize,
        stride: usize,
        gain: f32,
    ) -> Self {
        Self::with(specs, name, channels, Kernel { stride, ..Kernel::square(kernel) }, gain)
    }

    /// Any convolution; `gain` as in [`Conv::new`].
    pub fn with(specs: &mut Specs, name: &str, (c_in, c_out): (usize, usize), k: Kernel, gain: f32) -> Self {
        let Kernel { size: kernel, stride, pad, dilation, groups, bias } = k;
        let shape = [c_out, c_in / groups, kernel[0], kernel[1]];
        let (weight, bias) = weight_and_bias(specs, name, &shape, bias, gain);
        Self { weight, bias, c_in, c_out, kernel, stride, pad, dilation, groups }
    }
}

impl Linear {
    /// With bias; `gain` as in [`Conv::new`].
    pub fn new(specs: &mut Specs, name: &str, (c_in, c_out): (usize, usize), gain: f32) -> Self {
        Self::with(specs, name, (c_in, c_out), true, gain)
    }

    /// With or without `bias`.
    pub fn with(specs: &mut Specs, name: &str, (c_in, c_out): (usize, usize), bias: bool, gain: f32) -> Self {
        let (weight, bias) = weight_and_bias(specs, name, &[c_out, c_in], bias, gain);
        Self { weight, bias, c_in, c_out }
    }
}

fn weight_and_bias(
    specs: &mut Specs,
    name: &str,
    shape: &[usize],
    bias: bool,
    gain: f32,
) -> (ParamId, Option<ParamId>) {
    let std = gain / (shape[1..].iter().product::<usize>() as f32).sqrt();
    let init = if gain == 0.0 { Init::Zeros } else { Init::Normal(std) };
    let weight = specs.add(format!("{name}.weight"), shape, init);
    (weight, bias.then(|| specs.add(format!("{name}.bias"), &shape[..1], Init::Zeros)))
}

/// Weight and bias that do nothing.
fn identity(specs: &mut Specs, name: &str, channels: usize) -> [ParamId; 2] {
    let weight = specs.add(format!("{name}.weight"), &[channels], Init::Ones);
    [weight, specs.add(format!("{name}.bias"), &[channels], Init::Zeros)]
}

impl GroupNorm {
    /// Starts as plain normalization.
    pub fn new(specs: &mut Specs, name: &str, channels: usize, groups: usize, eps: f32) -> Self {
        Self { affine: Some(identity(specs, name, channels)), channels, groups, eps }
    }

    /// Without weight and bias.
    pub fn plain(channels: usize, groups: usize, eps: f32) -> Self {
        Self { affine: None, channels, groups, eps }
    }
}

impl LayerNorm {
    /// Starts as plain normalization.
    pub fn new(specs: &mut Specs, name: &str, channels: usize, eps: f32) -> Self {
        Self { affine: Some(identity(specs, name, channels)), channels, eps }
    }

    /// Without weight and bias.
    pub fn plain(channels: usize, eps: f32) -> Self {
        Self { affine: None, channels, eps }
    }
}

impl RmsNorm {
    /// Starts as plain normalization.
    pub fn new(specs: &mut Specs, name: &str, channels: usize, eps: f32) -> Self {
        let weight = specs.add(format!("{name}.weight"), &[channels], Init::Ones);
        Self { weight: Some(weight), channels, eps }
    }

    /// Without a weight.
    pub fn plain(channels: usize, eps: f32) -> Self {
        Self { weight: None, channels, eps }
    }
}

impl Embedding {
    /// Starts normal with deviation `std`.
    pub fn new(specs: &mut Specs, name: &str, count: usize, width: usize, std: f32) -> Self {
        Self { weight: specs.add(format!("{name}.weight"), &[count, width], Init::Normal(std)), count, width }
    }
}

impl Attention {
    /// From tokens of `width` channels to `context` channels (the same for self-attention), with `heads` heads of `dim` channels.
    pub fn new(
        specs: &mut Specs,
        name: &str,
        names: AttentionNames,
        (width, context): (usize, usize),
        (heads, dim): (usize, usize),
    ) -> Self {
        let inner = heads * dim;
        let mut linear =
            |part: &str, channels, bias| Linear::with(specs, &format!("{name}.{part}"), channels, bias, 1.0);
        let [bias, bias_out] = names.bias;
        Self {
            q: linear(names.q, (width, inner), bias),
            k: linear(names.k, (context, inner), bias),
            v: linear(names.v, (context, inner), bias),
            out: linear(names.out, (inner, width), bias_out),
            heads,
        }
    }
}
