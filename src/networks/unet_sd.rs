//! The U-Net of Stable Diffusion 2: latents, a time and a text to the noise in the latents (Rombach et al., "High-Resolution
//! Image Synthesis with Latent Diffusion Models", arXiv 2112.10752; diffusers' `UNet2DConditionModel`).
//!
//! [`Encoder`] is its first half, which a ControlNet copies: input, time embedding, down path and middle. What a ControlNet says
//! is added to the skips after the whole down path and to the middle's output, so that the first half depends on latents, time
//! and text alone.

use crate::Result;
use crate::networks::res_block::{Blocks, ResBlock};
use crate::nn::kernels::resample::Interpolation;
use crate::nn::kernels::shape::Activation;
use crate::nn::layers::{Attention, AttentionNames, Conv, GroupNorm, LayerNorm, Linear};
use crate::nn::ops::attention::Scores;
use crate::nn::ops::embedding::sinusoid;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};

/// Stages of a level of the down path; the up path has one more.
const STAGES: usize = 2;
/// Added to the variance of the groups of residual blocks and of the output.
const EPS: f32 = 1e-5;
/// The same before the transformers.
const TRANSFORMER_EPS: f32 = 1e-6;
/// The time embedding is wider than the first level by this.
const TIME: usize = 4;
/// Skips from the first half to the second.
pub const SKIPS: usize = 4 * STAGES + 4;

/// Where the names of the weights of the second half begin.
const SECOND_HALF: [&str; 3] = ["up_blocks.", "conv_norm_out.", "conv_out."];

/// Whether a weight is of the first half.
pub fn is_in_first_half(name: &str) -> bool {
    SECOND_HALF.iter().all(|start| !name.starts_with(start))
}

/// Sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Values of a latent.
    pub latent: usize,
    /// Channels of each level. All but the last have transformers.
    pub channels: [usize; 4],
    /// Heads of attention of each level.
    pub heads: [usize; 4],
    /// Width of the text's tokens.
    pub text: usize,
    /// Groups of every group normalization.
    pub groups: usize,
}

impl Config {
    /// Stable Diffusion 2-base.
    pub const SD2: Self =
        Self { latent: 4, channels: [320, 640, 1280, 1280], heads: [5, 10, 20, 20], text: 1024, groups: 32 };

    fn blocks(&self) -> Blocks {
        Blocks { groups: self.groups, eps: EPS, time: Some(self.time()) }
    }

    fn time(&self) -> usize {
        TIME * self.channels[0]
    }

    /// Whether a level has transformers.
    fn attends(&self, level: usize) -> bool {
        level + 1 < self.channels.len()
    }

    /// Channels of the skips, in the order in which the down path makes them.
    pub fn skips(&self) -> Vec<usize> {
        let level = |(level, &channels): (usize, &usize)| {
            let count = if level + 1 < self.channels.len() { STAGES + 1 } else { STAGES };
            std::iter::repeat_n(channels, count)
        };
        std::iter::once(self.channels[0]).chain(self.channels.iter().enumerate().flat_map(level)).collect()
    }
}

/// A transformer over the places of an image: to themselves, to the text, and a gated layer.
#[derive(Clone, Copy, Debug)]
struct Transformer {
    norm: GroupNorm,
    proj_in: Linear,
    norms: [LayerNorm; 3],
    attn1: Attention,
    attn2: Attention,
    ff: [Linear; 2],
    proj_out: Linear,
}

impl Transformer {
    fn new(specs: &mut Specs, name: &str, config: &Config, level: usize) -> Self {
        let (channels, heads) = (config.channels[level], config.heads[level]);
        let named = |part: &str| format!("{name}.{part}");
        let inner = |part: &str| format!("{name}.transformer_blocks.0.{part}");
        let heads = (heads, channels / heads);
        let names = AttentionNames::DIFFUSERS;
        Self {
            norm: GroupNorm::new(specs, &named("norm"), channels, config.groups, TRANSFORMER_EPS),
            proj_in: Linear::new(specs, &named("proj_in"), (channels, channels), 1.0),
            norms: [1, 2, 3].map(|i| LayerNorm::new(specs, &inner(&format!("norm{i}")), channels, EPS)),
            attn1: Attention::new(specs, &inner("attn1"), names, (channels, channels), heads),
            attn2: Attention::new(specs, &inner("attn2"), names, (channels, config.text), heads),
            ff: [
                Linear::new(specs, &inner("ff.net.0.proj"), (channels, 8 * channels), 1.0),
                Linear::new(specs, &inner("ff.net.2"), (4 * channels, channels), 1.0),
            ],
            proj_out: Linear::new(specs, &named("proj_out"), (channels, channels), 1.0),
        }
    }

    fn forward(&self, tape: &Tape, params: &Params, x: &Var, text: &Var) -> Result<Var> {
        let (layers, weights) = (*self, params.clone());
        tape.segment(&[x, text], params, move |tape, v| layers.layers(tape, &weights, &v[0], &v[1]))
    }

    fn layers(&self, tape: &Tape, params: &Params, x: &Var, text: &Var) -> Result<Var> {
        let (batch, height, width, channels) = x.tensor().dims4()?;
        let h = tape.group_norm(params, &self.norm, x, None, false)?;
        let h = tape.reshape(&h, &[batch, height * width, channels])?;
        let h = tape.linear(params, &self.proj_in, &h)?;
        let h = self.attend(tape, params, (&self.norms[0], &self.attn1), h, None)?;
        let h = self.attend(tape, params, (&self.norms[1], &self.attn2), h, Some(text))?;
        let (norm, wide, weights) = (self.norms[2], self.ff[0], params.clone());
        // Eight times as wide as all else, and a twentieth of the work.
        let gated = tape.again(&[&h], params, move |tape, h| {
            let h = tape.layer_norm(&weights, &norm, &h[0])?;
            tape.gated(Activation::Gelu, &tape.linear(&weights, &wide, &h)?)
        })?;
        let h = tape.linear_onto(params, &self.ff[1], &gated, &h)?;
        let x = tape.reshape(x, &[batch, height * width, channels])?;
        let h = tape.linear_onto(params, &self.proj_out, &h, &x)?;
        tape.reshape(&h, &[batch, height, width, channels])
    }

    fn attend(
        &self,
        tape: &Tape,
        params: &Params,
        (norm, layer): (&LayerNorm, &Attention),
        h: Var,
        text: Option<&Var>,
    ) -> Result<Var> {
        let attended = {
            let x = tape.layer_norm(params, norm, &h)?;
            let context = text.unwrap_or(&x);
            let q = tape.linear(params, &layer.q, &x)?;
            let (k, v) = (tape.linear(params, &layer.k, context)?, tape.linear(params, &layer.v, context)?);
            tape.attention_with(&q, &k, &v, layer.heads, Scores::default())?
        };
        tape.linear_onto(params, &layer.out, &attended, &h)
    }
}

/// A residual block and the transformer after it, if its level has them.
#[derive(Clone, Copy, Debug)]
struct Stage {
    block: ResBlock,
    transformer: Option<Transformer>,
}

impl Stage {
    fn new(
        specs: &mut Specs,
        config: &Config,
        (name, index, level): (&str, usize, usize),
        channels: (usize, usize),
    ) -> Self {
        let block = ResBlock::new(specs, &format!("{name}.resnets.{index}"), channels, config.blocks());
        let transformer = config
            .attends(level)
            .then(|| Transformer::new(specs, &format!("{name}.attentions.{index}"), config, level));
        Self { block, transformer }
    }

    fn forward(&self, tape: &Tape, params: &Params, x: &Var, with: &With) -> Result<Var> {
        let h = self.block.forward(tape, params, x, Some(&with.time))?;
        match &self.transformer {
            Some(transformer) => transformer.forward(tape, params, &h, &with.text),
            None => Ok(h),
        }
    }
}

/// What every stage is told.
#[derive(Clone, Debug)]
pub struct With {
    /// The time embedding after its SiLU, `[B, 4·channels]`.
    pub time: Var,
    /// `[B, tokens, text]`.
    pub text: Var,
}

/// The first half: input, time embedding, down path and middle.
#[derive(Clone, Debug)]
pub struct Encoder {
    conv_in: Conv,
    time_embedding: [Linear; 2],
    down: Vec<Down>,
    middle: (ResBlock, Transformer, ResBlock),
}

#[derive(Clone, Copy, Debug)]
struct Down {
    stages: [Stage; STAGES],
    downsample: Option<Conv>,
}

impl Encoder {
    /// Declares the weights.
    pub fn new(specs: &mut Specs, config: &Config) -> Self {
        let channels = config.channels;
        let first = channels[0];
        let conv_in = Conv::new(specs, "conv_in", (config.latent, first), 3, 1, 1.0);
        let time_embedding = [
            Linear::new(specs, "time_embedding.linear_1", (first, config.time()), 1.0),
            Linear::new(specs, "time_embedding.linear_2", (config.time(), config.time()), 1.0),
        ];
        let mut c_in = first;
        let down = (0..channels.len()).map(|level| {
            let (name, c) = (format!("down_blocks.{level}"), channels[level]);
            let stages = [0, 1].map(|index| {
                let from = std::mem::replace(&mut c_in, c);
                Stage::new(specs, config, (&name, index, level), (from, c))
            });
            let downsample = (level + 1 < channels.len())
                .then(|| Conv::new(specs, &format!("{name}.downsamplers.0.conv"), (c, c), 3, 2, 1.0));
            Down { stages, downsample }
        });
        let down = down.collect();
        let (level, c) = (channels.len() - 1, c_in);
        let block = |specs: &mut Specs, index: usize| {
            ResBlock::new(specs, &format!("mid_block.resnets.{index}"), (c, c), config.blocks())
        };
        let before = block(specs, 0);
        let transformer = Transformer::new(specs, "mid_block.attentions.0", config, level);
        let middle = (before, transformer, block(specs, 1));
        Self { conv_in, time_embedding, down, middle }
    }

    /// The time embedding after its SiLU, of a time an item.
    pub fn time(&self, tape: &Tape, params: &Params, times: &[f32]) -> Result<Var> {
        let [first, second] = &self.time_embedding;
        let waves = Var::constant(sinusoid(times, first.c_in, 0.0, params.device())?);
        let h = tape.silu(&tape.linear(params, first, &waves)?)?;
        tape.silu(&tape.linear(params, second, &h)?)
    }

    /// The skips of latents `[B, h, w, latent]`, to whose first features `added` is added, of each item or of one for all.
    pub fn skips(&self, tape: &Tape, params: &Params, x: &Var, added: Option<&Var>, with: &With) -> Result<Vec<Var>> {
        let of_each = |added: &&Var| added.tensor().dims().first() == x.tensor().dims().first();
        let mut h = tape.conv2d(params, &self.conv_in, x, added.filter(of_each))?;
        if let Some(added) = added.filter(|added| !of_each(added)) {
            h = tape.add(&h, added)?;
        }
        let mut skips = vec![h.clone()];
        for level in &self.down {
            for stage in &level.stages {
                h = stage.forward(tape, params, &h, with)?;
                skips.push(h.clone());
            }
            if let Some(conv) = &level.downsample {
                h = tape.conv2d(params, conv, &h, None)?;
                skips.push(h.clone());
            }
        }
        Ok(skips)
    }

    /// The middle of the last skip.
    pub fn middle(&self, tape: &Tape, params: &Params, x: &Var, with: &With) -> Result<Var> {
        let (before, transformer, after) = &self.middle;
        let h = before.forward(tape, params, x, Some(&with.time))?;
        let h = transformer.forward(tape, params, &h, &with.text)?;
        after.forward(tape, params, &h, Some(&with.time))
    }
}

/// The whole network.
#[derive(Clone, Debug)]
pub struct Unet {
    /// Its first half.
    pub encoder: Encoder,
    up: Vec<Up>,
    conv_norm_out: GroupNorm,
    conv_out: Conv,
}

#[derive(Clone, Debug)]
struct Up {
    stages: Vec<Stage>,
    upsample: Option<Conv>,
}

impl Unet {
    /// Declares the weights.
    pub fn new(specs: &mut Specs, config: &Config) -> Self {
        let encoder = Encoder::new(specs, config);
        let (levels, mut skips) = (config.channels.len(), config.skips());
        let mut c_in = config.channels[levels - 1];
        let mut up = Vec::new();
        for index in 0..levels {
            let (level, name) = (levels - 1 - index, format!("up_blocks.{index}"));
            let c = config.channels[level];
            let stages = (0..=STAGES).map(|stage| {
                let from = std::mem::replace(&mut c_in, c) + skips.pop().unwrap_or_default();
                Stage::new(specs, config, (&name, stage, level), (from, c))
            });
            let stages = stages.collect();
            let upsample =
                (level > 0).then(|| Conv::new(specs, &format!("{name}.upsamplers.0.conv"), (c, c), 3, 1, 1.0));
            up.push(Up { stages, upsample });
        }
        let first = config.channels[0];
        let conv_norm_out = GroupNorm::new(specs, "conv_norm_out", first, config.groups, EPS);
        let conv_out = Conv::new(specs, "conv_out", (first, config.latent), 3, 1, 1.0);
        Self { encoder, up, conv_norm_out, conv_out }
    }

    /// The second half: the prediction, `[B, h, w, latent]`, from the skips and the middle.
    pub fn decode(&self, tape: &Tape, params: &Params, skips: &[Var], middle: &Var, with: &With) -> Result<Var> {
        let (mut h, mut rest) = (middle.clone(), skips.iter().rev().peekable());
        for up in &self.up {
            for stage in &up.stages {
                if let Some(skip) = rest.next() {
                    h = tape.concat(&h, skip)?;
                }
                h = stage.forward(tape, params, &h, with)?;
            }
            if let (Some(conv), Some(next)) = (&up.upsample, rest.peek()) {
                let (_, height, width, _) = next.tensor().dims4()?;
                h = tape.conv2d(params, conv, &enlarged(tape, &h, [height, width])?, None)?;
            }
        }
        let h = tape.group_norm(params, &self.conv_norm_out, &h, None, true)?;
        tape.conv2d(params, &self.conv_out, &h, None)
    }
}

/// Each pixel repeated, to a size that is about twice as large.
fn enlarged(tape: &Tape, x: &Var, size: [usize; 2]) -> Result<Var> {
    let (_, height, width, _) = x.tensor().dims4()?;
    match size == [2 * height, 2 * width] {
        true => tape.upsample2(x),
        false => tape.interpolate(x, size, Interpolation::Nearest, false),
    }
}
