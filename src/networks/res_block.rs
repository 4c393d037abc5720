//! The residual block of diffusion U-Nets and their autoencoders: normalization, SiLU and convolution twice, the time added in
//! between (Ho et al., "Denoising Diffusion Probabilistic Models", arXiv 2006.11239; diffusers' `ResnetBlock2D`).

use crate::Result;
use crate::nn::layers::{Conv, GroupNorm, Linear};
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};

/// The layers of a block.
#[derive(Clone, Copy, Debug)]
pub struct ResBlock {
    norm1: GroupNorm,
    conv1: Conv,
    /// Absent where the network knows no time.
    time_emb_proj: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv,
    /// Present where the number of channels changes.
    conv_shortcut: Option<Conv>,
}

/// How a network's blocks normalize, and the width of its time embedding.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    pub groups: usize,
    /// Added to the variance of a group.
    pub eps: f32,
    pub time: Option<usize>,
}

impl ResBlock {
    /// Declares the weights of a block `name` from `c_in` to `c_out` channels.
    pub fn new(specs: &mut Specs, name: &str, (c_in, c_out): (usize, usize), blocks: Blocks) -> Self {
        let named = |part: &str| format!("{name}.{part}");
        let Blocks { groups, eps, time } = blocks;
        Self {
            norm1: GroupNorm::new(specs, &named("norm1"), c_in, groups, eps),
            conv1: Conv::new(specs, &named("conv1"), (c_in, c_out), 3, 1, 1.0),
            time_emb_proj: time.map(|width| Linear::new(specs, &named("time_emb_proj"), (width, c_out), 1.0)),
            norm2: GroupNorm::new(specs, &named("norm2"), c_out, groups, eps),
            conv2: Conv::new(specs, &named("conv2"), (c_out, c_out), 3, 1, 1.0),
            conv_shortcut: (c_in != c_out).then(|| Conv::new(specs, &named("conv_shortcut"), (c_in, c_out), 1, 1, 1.0)),
        }
    }

    /// `x` is `[B, H, W, c_in]`; `time` the embedding after its SiLU, `[B, width]`, for a block that has one.
    pub fn forward(&self, tape: &Tape, params: &Params, x: &Var, time: Option<&Var>) -> Result<Var> {
        let (block, weights) = (*self, params.clone());
        let inputs: Vec<&Var> = std::iter::once(x).chain(time).collect();
        tape.segment(&inputs, params, move |tape, inputs| block.layers(tape, &weights, &inputs[0], inputs.get(1)))
    }

    fn layers(&self, tape: &Tape, params: &Params, x: &Var, time: Option<&Var>) -> Result<Var> {
        let mut h = tape.conv2d(params, &self.conv1, &tape.group_norm(params, &self.norm1, x, None, true)?, None)?;
        if let (Some(layer), Some(time)) = (&self.time_emb_proj, time) {
            h = tape.add(&h, &tape.per_image(&h, &tape.linear(params, layer, time)?)?)?;
        }
        let h = tape.group_norm(params, &self.norm2, &h, None, true)?;
        let skip = match &self.conv_shortcut {
            Some(conv) => tape.conv2d(params, conv, x, None)?,
            None => x.clone(),
        };
        tape.conv2d(params, &self.conv2, &h, Some(&skip))
    }
}
