//! The items of a training step: a pair's latents, what the network is shown beside them, and its random numbers.
//!
//! Everything random is a function of the training seed and the pair's position in the run.

use candle_core::{Device, Tensor};

use super::recipe::{Augmentation, Training};
use crate::Result;
use crate::backbones::Backbone;
use crate::backbones::condition::{Prompt, Shown};
use crate::imaging::{Image, SCALE, crop, turn};
use crate::random::Random;

/// Streams of [`Random`], apart from those that candidates are sampled with.
mod stream {
    pub const TIME: u32 = 0x2000_0000;
    pub const NOISE: u32 = 0x2000_0001;
}

/// The pixels of a pair.
#[derive(Clone, Debug)]
pub struct PairImages {
    /// The LR image.
    pub lr: Image,
    /// The better candidate; its sides are four times the LR image's.
    pub winner: Image,
    /// The worse candidate.
    pub loser: Image,
    /// What both were drawn under.
    pub prompt: Prompt,
}

/// A pair ready for the network, `[1, C, h, w]` each, with its random numbers.
pub(super) struct Item {
    winner: Tensor,
    loser: Tensor,
    shown: Shown,
    pub weight: f64,
    /// Key of the noise.
    key: u64,
    pub z: f32,
    pub u: f32,
}

impl Item {
    /// What a pair at a position of the run gives.
    pub fn new(
        backbone: &dyn Backbone,
        settings: &Training,
        pair: PairImages,
        weight: f64,
        position: u64,
        device: &Device,
    ) -> Result<Self> {
        let key = settings.seed.wrapping_add((position + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let ([z, ..], [u, way, ..]) = {
            let random = Random::new(key, stream::TIME);
            (random.normals([0, 0, 0]), random.uniforms([1, 0, 0]))
        };
        let way = match settings.augmentation {
            Augmentation::None => 0,
            Augmentation::Turns => ((way * turn::WAYS as f32) as usize).min(turn::WAYS - 1),
        };
        let latent = backbone.card().latent;
        let PairImages { lr, winner, loser, prompt } = pair;
        let [winner, loser] =
            [winner, loser].map(|image| -> Result<Image> { Ok(turn::turned(&crop::trim(&image, latent.align)?, way)) });
        let (winner, loser) = (winner?, loser?);
        // Pixels are turned as they are shown; of an encoder nothing is known but that it may be shown a turned image.
        let (lr, after) = if latent.factor == 1 {
            (lr, way)
        } else {
            (turn::turned(&crop::trim(&lr, latent.align / SCALE)?, way), 0)
        };
        let [height, width] = [winner.height(), winner.width()].map(|side| side / latent.factor);
        let [height, width] = if after & 4 != 0 { [width, height] } else { [height, width] };
        let condition = backbone.condition(&lr, &prompt)?;
        let shown = condition.window(&(0..height), &(0..width), 1, device)?.turned(after)?;
        let encode = |image: &Image| {
            let image = Tensor::from_slice(image.data(), (1, 3, image.height(), image.width()), device)?;
            backbone.encode(&image, &shown)
        };
        Ok(Self { winner: encode(&winner)?, loser: encode(&loser)?, shown, weight, key, z, u })
    }

    /// Shape of its latents: items of one shape go through the network together.
    pub fn shape(&self) -> &[usize] {
        self.winner.dims()
    }
}

/// Items of one shape as the network is given them: winners first, then losers, under the same conditions, noise and times.
pub(super) struct Batch {
    pub x_t: Tensor,
    pub times: Vec<f32>,
    pub shown: Shown,
    /// What the network should predict.
    pub target: Tensor,
}

impl Batch {
    pub fn new(backbone: &dyn Backbone, items: &[Item]) -> Result<Self> {
        let all = items.iter().map(|item| &item.winner).chain(items.iter().map(|item| &item.loser));
        let clean = Tensor::cat(&all.collect::<Vec<_>>(), 0)?;
        let (_, channels, height, width) = clean.dims4()?;
        let noise = items.iter().flat_map(|i| Random::new(i.key, stream::NOISE).normal_image(channels, height, width));
        let noise = Tensor::from_vec(noise.collect(), (items.len(), channels, height, width), clean.device())?;
        let noise = Tensor::cat(&[&noise, &noise], 0)?;
        let process = &backbone.card().process;
        let times: Vec<f32> = items.iter().map(|i| process.training_time(i.z, i.u)).collect();
        let times = [times.clone(), times].concat();
        let shown: Vec<&Shown> = items.iter().chain(items).map(|item| &item.shown).collect();
        Ok(Self {
            x_t: process.corrupt(&clean, &noise, &times)?,
            target: process.target(&clean, &noise, &times)?,
            shown: Shown::stacked(&shown)?,
            times,
        })
    }
}
