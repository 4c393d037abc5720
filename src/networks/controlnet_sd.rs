//! A ControlNet for Stable Diffusion: a copy of the U-Net's first half that sees an image, and says what to add to the skips and
//! to the middle (Zhang et al., "Adding Conditional Control to Text-to-Image Diffusion Models", arXiv 2302.05543; diffusers'
//! `ControlNetModel`).

use crate::Result;
use crate::networks::unet_sd::{self, Encoder, With};
use crate::nn::layers::Conv;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};

/// Sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Those of the U-Net it was copied from.
    pub unet: unet_sd::Config,
    /// Channels that the image is seen with at full size, and after each halving.
    pub image: [usize; 4],
}

impl Config {
    /// For Stable Diffusion 2-base.
    pub const SD2: Self = Self { unet: unet_sd::Config::SD2, image: [16, 32, 96, 256] };
}

/// The structure.
#[derive(Clone, Debug)]
pub struct ControlNet {
    encoder: Encoder,
    /// All of the image's convolutions but the last, each followed by a SiLU.
    image: Vec<Conv>,
    image_out: Conv,
    skips: Vec<Conv>,
    middle: Conv,
}

impl ControlNet {
    /// Declares the weights.
    pub fn new(specs: &mut Specs, config: &Config) -> Self {
        let encoder = Encoder::new(specs, &config.unet);
        let image_name = |part: &str| format!("controlnet_cond_embedding.{part}");
        let widths = config.image;
        let mut image = vec![Conv::new(specs, &image_name("conv_in"), (3, widths[0]), 3, 1, 1.0)];
        for (i, pair) in widths.windows(2).enumerate() {
            for (j, (c_out, stride)) in [(pair[0], 1), (pair[1], 2)].into_iter().enumerate() {
                let name = image_name(&format!("blocks.{}", 2 * i + j));
                image.push(Conv::new(specs, &name, (pair[0], c_out), 3, stride, 1.0));
            }
        }
        let channels = config.unet.channels;
        let zero = |specs: &mut Specs, name: &str, c: usize| Conv::new(specs, name, (c, c), 1, 1, 0.0);
        let image_out = Conv::new(specs, &image_name("conv_out"), (widths[3], channels[0]), 3, 1, 0.0);
        let skips = config.unet.skips().into_iter().enumerate();
        let skips = skips.map(|(i, c)| zero(specs, &format!("controlnet_down_blocks.{i}"), c)).collect();
        let middle = zero(specs, "controlnet_mid_block", channels[3]);
        Self { encoder, image, image_out, skips, middle }
    }

    /// Skips and middle with what this network says added to them, from latents `x` `[B, h, w, latent]` and an image
    /// `[B, 8h, 8w, 3]` (or one for all) in [0, 1]; what it says alone where there is nothing to add to.
    pub fn forward(
        &self,
        tape: &Tape,
        params: &Params,
        (x, image): (&Var, &Var),
        (times, text): (&[f32], &Var),
        onto: Option<(&[Var], &Var)>,
    ) -> Result<(Vec<Var>, Var)> {
        let (net, weights) = (self.clone(), params.clone());
        let seen = tape.again(&[image], params, move |tape, image| net.seen(tape, &weights, &image[0]))?;
        let with = With { time: self.encoder.time(tape, params, times)?, text: text.clone() };
        let said = self.encoder.skips(tape, params, x, Some(&seen), &with)?;
        let middle = match said.last() {
            Some(last) => self.encoder.middle(tape, params, last, &with)?,
            None => seen,
        };
        let middle = tape.conv2d(params, &self.middle, &middle, onto.map(|(_, middle)| middle))?;
        let skips = self.skips.iter().zip(said).enumerate();
        let skips = skips
            .map(|(i, (conv, said))| tape.conv2d(params, conv, &said, onto.and_then(|(skips, _)| skips.get(i))))
            .collect::<Result<_>>()?;
        Ok((skips, middle))
    }

    /// The image as features of the latents' size.
    fn seen(&self, tape: &Tape, params: &Params, image: &Var) -> Result<Var> {
        let mut h = image.clone();
        for conv in &self.image {
            h = tape.silu(&tape.conv2d(params, conv, &h, None)?)?;
        }
        tape.conv2d(params, &self.image_out, &h, None)
    }
}
