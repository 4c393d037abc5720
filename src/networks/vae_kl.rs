//! The autoencoder of latent diffusion: images in [−1, 1] to latents an eighth as wide and back (Rombach et al., arXiv
//! 2112.10752; Kingma & Welling, arXiv 1312.6114; diffusers' `AutoencoderKL`).

use crate::Result;
use crate::networks::res_block::{Blocks, ResBlock};
use crate::nn::layers::{Attention, AttentionNames, Conv, GroupNorm, Kernel};
use crate::nn::ops::attention::Scores;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};

/// Added to the variance of every group.
const EPS: f32 = 1e-6;
/// The log-variance is kept within these.
const LOG_VARIANCE: (f32, f32) = (-30.0, 20.0);

/// Sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Values of a latent.
    pub latent: usize,
    /// Channels of each level, from full size on; each is half as wide as the one before.
    pub channels: [usize; 4],
    /// Residual blocks of a level of the encoder; the decoder has one more.
    pub blocks: usize,
    pub groups: usize,
    /// Networks work on `(z − shift) · scale`.
    pub scale: f32,
    pub shift: f32,
    /// Whether a convolution of one pixel follows the encoder and precedes the decoder.
    pub quant: bool,
}

impl Config {
    /// Stable Diffusion's.
    pub const SD: Self = Self {
        latent: 4,
        channels: [128, 256, 512, 512],
        blocks: 2,
        groups: 32,
        scale: 0.18215,
        shift: 0.0,
        quant: true,
    };
    /// FLUX's.
    pub const FLUX: Self = Self { latent: 16, scale: 0.3611, shift: 0.1159, quant: false, ..Self::SD };
}

/// The structure.
#[derive(Clone, Debug)]
pub struct Vae {
    config: Config,
    encoder: Encoder,
    decoder: Decoder,
    quant: Option<[Conv; 2]>,
}

#[derive(Clone, Debug)]
struct Encoder {
    conv_in: Conv,
    levels: Vec<Level>,
    middle: Middle,
    norm: GroupNorm,
    conv_out: Conv,
}

#[derive(Clone, Debug)]
struct Decoder {
    conv_in: Conv,
    middle: Middle,
    levels: Vec<Level>,
    norm: GroupNorm,
    conv_out: Conv,
}

/// Blocks of one size, and the convolution that leads to the next.
#[derive(Clone, Debug)]
struct Level {
    blocks: Vec<ResBlock>,
    sampler: Option<Conv>,
}

#[derive(Clone, Debug)]
struct Middle {
    blocks: [ResBlock; 2],
    norm: GroupNorm,
    attention: Attention,
}

impl Middle {
    fn new(specs: &mut Specs, name: &str, channels: usize, blocks: Blocks) -> Self {
        let block = |specs: &mut Specs, i: usize| {
            ResBlock::new(specs, &format!("{name}.resnets.{i}"), (channels, channels), blocks)
        };
        let first = block(specs, 0);
        let attention = format!("{name}.attentions.0");
        let norm = GroupNorm::new(specs, &format!("{attention}.group_norm"), channels, blocks.groups, EPS);
        let names = AttentionNames { bias: [true, true], ..AttentionNames::DIFFUSERS };
        let attention = Attention::new(specs, &attention, names, (channels, channels), (1, channels));
        Self { blocks: [first, block(specs, 1)], norm, attention }
    }

    fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Var> {
        let x = self.blocks[0].forward(tape, params, x, None)?;
        let (batch, height, width, channels) = x.tensor().dims4()?;
        let tokens = tape.group_norm(params, &self.norm, &x, None, false)?;
        let tokens = tape.reshape(&tokens, &[batch, height * width, channels])?;
        let tokens = tape.attend(params, &self.attention, &tokens, None, Scores::default())?;
        let x = tape.add(&x, &tape.reshape(&tokens, &[batch, height, width, channels])?)?;
        self.blocks[1].forward(tape, params, &x, None)
    }
}

impl Vae {
    /// Declares the weights.
    pub fn new(specs: &mut Specs, config: Config) -> Self {
        let encoder = Encoder::new(specs, &config);
        let decoder = Decoder::new(specs, &config);
        let quant = config.quant.then(|| {
            let conv = |specs: &mut Specs, name, c| Conv::new(specs, name, (c, c), 1, 1, 1.0);
            [conv(specs, "quant_conv", 2 * config.latent), conv(specs, "post_quant_conv", config.latent)]
        });
        Self { config, encoder, decoder, quant }
    }

    /// Mean and log-variance of the latents of an image `[B, H, W, 3]` in [−1, 1], whose sides are multiples of 8:
    /// `[B, H/8, W/8, latent]` each, as the file has them and not scaled.
    pub fn encode(&self, tape: &Tape, params: &Params, image: &Var) -> Result<[Var; 2]> {
        let mut h = self.encoder.forward(tape, params, image)?;
        if let Some([quant, _]) = &self.quant {
            h = tape.conv2d(params, quant, &h, None)?;
        }
        let latent = self.config.latent;
        let [mean, log_variance] = [0, latent].map(|from| tape.narrow(&h, 3, from, latent));
        let (least, most) = LOG_VARIANCE;
        Ok([mean?, Var::constant(log_variance?.tensor().clamp(least, most)?)])
    }

    /// The image of latents `[B, h, w, latent]` that are not scaled: `[B, 8h, 8w, 3]`, about in [−1, 1].
    pub fn decode(&self, tape: &Tape, params: &Params, latents: &Var) -> Result<Var> {
        let z = match &self.quant {
            Some([_, post_quant]) => tape.conv2d(params, post_quant, latents, None)?,
            None => latents.clone(),
        };
        self.decoder.forward(tape, params, z)
    }
}

impl Encoder {
    fn new(specs: &mut Specs, config: &Config) -> Self {
        let (blocks, channels) = (config.res_blocks(), config.channels);
        let conv_in = Conv::new(specs, "encoder.conv_in", (3, channels[0]), 3, 1, 1.0);
        let mut c_in = channels[0];
        let mut levels = Vec::new();
        for (i, &c) in channels.iter().enumerate() {
            let name = format!("encoder.down_blocks.{i}");
            let level = (0..config.blocks).map(|j| {
                let from = std::mem::replace(&mut c_in, c);
                ResBlock::new(specs, &format!("{name}.resnets.{j}"), (from, c), blocks)
            });
            let level = level.collect();
            // One zero to the right and below is all the padding there is.
            let halving = Kernel { stride: 2, pad: [0; 2], ..Kernel::square(3) };
            let sampler = (i + 1 < channels.len())
                .then(|| Conv::with(specs, &format!("{name}.downsamplers.0.conv"), (c, c), halving, 1.0));
            levels.push(Level { blocks: level, sampler });
        }
        let middle = Middle::new(specs, "encoder.mid_block", c_in, blocks);
        let norm = GroupNorm::new(specs, "encoder.conv_norm_out", c_in, config.groups, EPS);
        let conv_out = Conv::new(specs, "encoder.conv_out", (c_in, 2 * config.latent), 3, 1, 1.0);
        Self { conv_in, levels, middle, norm, conv_out }
    }

    fn forward(&self, tape: &Tape, params: &Params, image: &Var) -> Result<Var> {
        let mut h = tape.conv2d(params, &self.conv_in, image, None)?;
        for level in &self.levels {
            for block in &level.blocks {
                h = block.forward(tape, params, &h, None)?;
            }
            if let Some(conv) = &level.sampler {
                h = tape.conv2d(params, conv, &tape.pad(&h, [0, 1, 0, 1])?, None)?;
            }
        }
        h = self.middle.forward(tape, params, &h)?;
        h = tape.group_norm(params, &self.norm, &h, None, true)?;
        tape.conv2d(params, &self.conv_out, &h, None)
    }
}

impl Decoder {
    fn new(specs: &mut Specs, config: &Config) -> Self {
        let (blocks, channels) = (config.res_blocks(), config.channels);
        let mut c_in = channels[channels.len() - 1];
        let conv_in = Conv::new(specs, "decoder.conv_in", (config.latent, c_in), 3, 1, 1.0);
        let middle = Middle::new(specs, "decoder.mid_block", c_in, blocks);
        let mut levels = Vec::new();
        for (i, &c) in channels.iter().rev().enumerate() {
            let name = format!("decoder.up_blocks.{i}");
            let level = (0..=config.blocks).map(|j| {
                let from = std::mem::replace(&mut c_in, c);
                ResBlock::new(specs, &format!("{name}.resnets.{j}"), (from, c), blocks)
            });
            let level = level.collect();
            let sampler = (i + 1 < channels.len())
                .then(|| Conv::new(specs, &format!("{name}.upsamplers.0.conv"), (c, c), 3, 1, 1.0));
            levels.push(Level { blocks: level, sampler });
        }
        let norm = GroupNorm::new(specs, "decoder.conv_norm_out", c_in, config.groups, EPS);
        let conv_out = Conv::new(specs, "decoder.conv_out", (c_in, 3), 3, 1, 1.0);
        Self { conv_in, middle, levels, norm, conv_out }
    }

    fn forward(&self, tape: &Tape, params: &Params, latents: Var) -> Result<Var> {
        let mut h = tape.conv2d(params, &self.conv_in, &latents, None)?;
        h = self.middle.forward(tape, params, &h)?;
        for level in &self.levels {
            for block in &level.blocks {
                h = block.forward(tape, params, &h, None)?;
            }
            if let Some(conv) = &level.sampler {
                let wide = tape.upsample2(&h)?;
                // At full size the features are what memory holds most of.
                drop(h);
                h = tape.conv2d(params, conv, &wide, None)?;
            }
        }
        h = tape.group_norm(params, &self.norm, &h, None, true)?;
        tape.conv2d(params, &self.conv_out, &h, None)
    }
}

impl Config {
    fn res_blocks(&self) -> Blocks {
        Blocks { groups: self.groups, eps: EPS, time: None }
    }
}
