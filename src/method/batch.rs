//! The items of a training step: a pair's latents, what the network is shown beside them, and its random numbers.
//!
//! Everything random is a function of the training seed and the pair's position in the run.

use candle_core::{Device, Tensor};

use super::recipe::{Augmentation, PairNoise, TimeWeights, Times, Training};
use crate::Result;
use crate::backbones::Backbone;
use crate::backbones::condition::{Condition, Kept, Prompt, Shown, turned};
use crate::backbones::sampler::start_noise;
use crate::imaging::{Image, SCALE, crop, turn};
use crate::memory::lru::Lru;
use crate::random::Random;

/// Streams of [`Random`], apart from those that candidates are sampled with.
mod stream {
    pub const TIME: u32 = 0x2000_0000;
    pub const NOISE: u32 = 0x2000_0001;
    pub const CONTROL: u32 = 0x2000_0002;
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

/// What both pictures of a pair were drawn under.
#[derive(Clone, Debug)]
pub struct Under {
    /// The LR image.
    pub lr: Image,
    pub prompt: Prompt,
    /// What the backbone made of them then, where that was kept.
    pub kept: Option<Kept>,
}

/// Where pairs come from.
pub trait Pairs {
    /// Number of pairs.
    fn len(&self) -> usize;

    /// Whether there is no pair.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// HPO weight w of a pair.
    fn weight(&self, pair: usize) -> f64;

    /// Advantages (R − μ_g) / σ_g of both, for objectives that take them; those of a pair of which nothing else is known.
    fn advantages(&self, _pair: usize) -> [f64; 2] {
        [1.0, -1.0]
    }

    /// The seed that the winner was drawn with; `None` where it is not known, and then its noise is not either.
    fn winner_seed(&self, _pair: usize) -> Option<u64> {
        None
    }

    /// The pixels of a pair.
    fn load(&mut self, pair: usize) -> Result<PairImages>;

    /// By what the LR image of a pair and its prompt are known: what follows from them is made once. `None` where nothing is
    /// known of that.
    fn image(&self, _pair: usize) -> Option<u64> {
        None
    }

    /// The latents that winner and loser were decoded from, `[1, C, h, w]` each with the padding; `None` where they have to be
    /// encoded.
    fn latents(&mut self, _pair: usize) -> Result<Option<[Tensor; 2]>> {
        Ok(None)
    }

    /// What both were drawn under.
    fn under(&mut self, pair: usize) -> Result<Under> {
        self.load(pair).map(|PairImages { lr, prompt, .. }| Under { lr, prompt, kept: None })
    }
}

/// γ of Min-SNR: its paper's.
const MOST_SNR: f64 = 5.0;
/// Bytes of what networks are shown beside pictures that are kept in memory.
const SHOWN_BYTES: usize = 512 << 20;

/// Makes items of pairs. What an image's pairs have in common, all that the network is shown, is made once and kept.
pub(super) struct Items<'m> {
    backbone: &'m dyn Backbone,
    augmentation: Augmentation,
    noise: PairNoise,
    seed: u64,
    device: Device,
    /// By image, and the way it was turned before the backbone saw it; `None` where it was not trimmed either.
    shown: Lru<(u64, Option<usize>), Shown>,
}

/// A pair ready for the network, `[1, C, h, w]` each, with its random numbers.
pub(super) struct Item {
    winner: Tensor,
    loser: Tensor,
    shown: Shown,
    pub weight: f64,
    pub advantages: [f64; 2],
    /// Key of the noise.
    key: u64,
    /// The noise itself, where it is that of the winner.
    noise: Option<Tensor>,
    pub z: f32,
    pub u: f32,
}

impl<'m> Items<'m> {
    pub fn new(backbone: &'m dyn Backbone, settings: &Training, device: &Device) -> Self {
        let (augmentation, noise, seed, device) =
            (settings.augmentation, settings.noise, settings.seed, device.clone());
        Self { backbone, augmentation, noise, seed, device, shown: Lru::of(SHOWN_BYTES) }
    }

    /// What a pair at a position of the run gives.
    pub fn of(&mut self, pairs: &mut dyn Pairs, pair: usize, position: u64) -> Result<Item> {
        let key = self.seed.wrapping_add((position + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let ([z, ..], [u, way, ..]) = {
            let random = Random::new(key, stream::TIME);
            (random.normals([0, 0, 0]), random.uniforms([1, 0, 0]))
        };
        let way = match self.augmentation {
            Augmentation::None => 0,
            Augmentation::Turns => ((way * turn::WAYS as f32) as usize).min(turn::WAYS - 1),
        };
        // Of an encoder nothing is known but that it may be shown a turned picture: its latents are not turned.
        let latents = if self.augmentation == Augmentation::None { pairs.latents(pair)? } else { None };
        let (winner, loser, shown) = match latents {
            Some([winner, loser]) => {
                (winner.to_device(&self.device)?, loser.to_device(&self.device)?, self.shown_whole(pairs, pair)?)
            }
            None => self.encoded(pairs, pair, way)?,
        };
        let noise = match (self.noise, pairs.winner_seed(pair)) {
            (PairNoise::Winner, Some(seed)) => {
                let (_, channels, height, width) = winner.dims4()?;
                let [height, width] = if way & 4 != 0 { [width, height] } else { [height, width] };
                Some(turned(&start_noise(seed, [channels, height, width])?, way)?)
            }
            _ => None,
        };
        let (weight, advantages) = (pairs.weight(pair), pairs.advantages(pair));
        Ok(Item { winner, loser, shown, weight, advantages, key, noise, z, u })
    }

    /// All that the network was shown as the pictures of a pair were drawn.
    fn shown_whole(&mut self, pairs: &mut dyn Pairs, pair: usize) -> Result<Shown> {
        let (backbone, device) = (self.backbone, &self.device);
        let key = pairs.image(pair).map(|image| (image, None));
        let make = || {
            let Under { lr, prompt, kept } = pairs.under(pair)?;
            let condition = match kept {
                Some(kept) => Condition::of_kept(&lr, backbone.card().latent, kept.on(device)?)?,
                None => backbone.condition(&lr, &prompt)?,
            };
            condition.whole(1, device)
        };
        kept(&mut self.shown, key, make)
    }

    /// Winner and loser by their pixels, turned in a way, and what the network is shown beside them.
    fn encoded(&mut self, pairs: &mut dyn Pairs, pair: usize, way: usize) -> Result<(Tensor, Tensor, Shown)> {
        let (backbone, device, latent) = (self.backbone, &self.device, self.backbone.card().latent);
        let image = pairs.image(pair);
        let PairImages { lr, winner, loser, prompt } = pairs.load(pair)?;
        let [winner, loser] =
            [winner, loser].map(|image| -> Result<Image> { Ok(turn::turned(&crop::trim(&image, latent.align)?, way)) });
        let (winner, loser) = (winner?, loser?);
        // Pixels are turned as they are shown; an encoder is shown a turned image.
        let (before, after) = if latent.factor == 1 { (0, way) } else { (way, 0) };
        let [height, width] = [winner.height(), winner.width()].map(|side| side / latent.factor);
        let [height, width] = if after & 4 != 0 { [width, height] } else { [height, width] };
        let make = || {
            let lr =
                if latent.factor == 1 { lr } else { turn::turned(&crop::trim(&lr, latent.align / SCALE)?, before) };
            backbone.condition(&lr, &prompt)?.window(&(0..height), &(0..width), 1, device)
        };
        let shown = kept(&mut self.shown, image.map(|image| (image, Some(before))), make)?.turned(after)?;
        let encode = |image: &Image| {
            let image = Tensor::from_slice(image.data(), (1, 3, image.height(), image.width()), device)?;
            backbone.encode(&image, &shown)
        };
        Ok((encode(&winner)?, encode(&loser)?, shown))
    }
}

/// What is shown under a key; made where it is not kept, or has none.
fn kept(
    all: &mut Lru<(u64, Option<usize>), Shown>,
    key: Option<(u64, Option<usize>)>,
    make: impl FnOnce() -> Result<Shown>,
) -> Result<Shown> {
    let Some(key) = key else { return make() };
    all.get_or(&key, || {
        let shown = make()?;
        let bytes = shown.byte_count();
        Ok((shown, bytes))
    })
}

impl Item {
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
    /// How much each item counts for its time.
    pub time_weights: Vec<f64>,
}

impl Batch {
    /// The same on a device.
    pub fn on(self, device: &Device) -> Result<Self> {
        if self.x_t.device().same_device(device) {
            return Ok(self);
        }
        let [x_t, target] = [&self.x_t, &self.target].map(|tensor| tensor.to_device(device));
        Ok(Self { x_t: x_t?, target: target?, shown: self.shown.on(device)?, ..self })
    }

    pub fn new(backbone: &dyn Backbone, items: &[Item], settings: &Training) -> Result<Self> {
        let all = items.iter().map(|item| &item.winner).chain(items.iter().map(|item| &item.loser));
        let clean = Tensor::cat(&all.collect::<Vec<_>>(), 0)?;
        let (_, channels, height, width) = clean.dims4()?;
        // The same for winner and loser.
        let drawn = |of: u32, channels: usize| -> Result<Tensor> {
            let mut noise = Vec::with_capacity(items.len() * channels * height * width);
            for item in items {
                match &item.noise {
                    Some(known) if of == stream::NOISE => noise.extend(known.flatten_all()?.to_vec1::<f32>()?),
                    _ => noise.extend(Random::new(item.key, of).normal_image(channels, height, width)),
                }
            }
            let noise = Tensor::from_vec(noise, (items.len(), channels, height, width), clean.device())?;
            Ok(Tensor::cat(&[&noise, &noise], 0)?)
        };
        let noise = drawn(stream::NOISE, channels)?;
        let process = &backbone.card().process;
        let time = |item: &Item| match settings.times {
            Times::Backbone => process.training_time(item.z, item.u),
            Times::Uniform => process.time_of_noise(item.u),
            Times::Noisy => process.time_of_noise(item.u.sqrt()),
            Times::Clean => process.time_of_noise(1.0 - item.u.sqrt()),
        };
        let times: Vec<f32> = items.iter().map(time).collect();
        let weight = |&time: &f32| match settings.time_weights {
            TimeWeights::Equal => 1.0,
            TimeWeights::MinSnr => process.min_snr_weight(time, MOST_SNR),
        };
        let time_weights = times.iter().map(weight).collect();
        let times = [times.clone(), times].concat();
        let shown: Vec<&Shown> = items.iter().chain(items).map(|item| &item.shown).collect();
        let mut shown = Shown::stacked(&shown)?;
        let control = backbone.card().control_noise;
        if control > 0 {
            shown = shown.drawn_with(drawn(stream::CONTROL, control)?);
        }
        Ok(Self {
            x_t: process.corrupt(&clean, &noise, &times)?,
            target: process.target(&clean, &noise, &times)?,
            shown,
            times,
            time_weights,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backbones::Query;
    use crate::backbones::card::Card;
    use crate::backbones::mini::{self, Mini};
    use crate::method::recipe::Times;
    use crate::nn::params::{Params, Specs};
    use crate::nn::tape::{Tape, Var};

    /// Mini as if its latents were another's: what it is shown of the LR image is drawn, anew for each pair.
    struct Drawn(Mini);

    static DRAWN: Card = Card { name: "drawn", control_noise: 3, ..mini::CARD };

    impl Backbone for Drawn {
        fn card(&self) -> &'static Card {
            &DRAWN
        }
        fn adapter(&self) -> &Arc<Specs> {
            self.0.adapter()
        }
        fn reference(&self) -> Result<Params> {
            self.0.reference()
        }
        fn weights_hash(&self) -> String {
            self.0.weights_hash()
        }
        /// Means of 0.25, deviations of 2.
        fn condition<'l>(&self, lr: &'l Image, _: &Prompt) -> Result<Condition<'l>> {
            let side = |value: f32| Tensor::full(value, (1, 3, 16, 16), &Device::Cpu);
            Ok(Condition::new(lr, DRAWN.latent).with_map(Tensor::cat(&[&side(0.25)?, &side(2.0)?], 1)?, 1))
        }
        fn encode(&self, images: &Tensor, _: &Shown) -> Result<Tensor> {
            Ok(images.clone())
        }
        fn decode(&self, latents: &Tensor, _: &Shown) -> Result<Tensor> {
            Ok(latents.clone())
        }
        fn predict(&self, tape: &Tape, adapter: &Params, query: &Query) -> Result<Var> {
            self.0.predict(tape, adapter, query)
        }
    }

    /// Winner and loser of a pair see the same of the LR image, drawn from its distribution; other pairs, and the same pair at
    /// another step, see other draws; and a step made again sees what it saw.
    #[test]
    fn what_is_shown_of_the_lr_image_is_drawn_for_each_pair_and_is_the_same_for_both_sides() {
        let net = Drawn(Mini::new());
        let settings = Training { times: Times::Uniform, ..Training::default() };
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let drawn = |first: u64| {
            let mut items = Items::new(&net, &settings, &Device::Cpu);
            let items: Vec<Item> = (first..first + 2).map(|at| items.of(&mut One, 0, at).unwrap()).collect();
            let batch = Batch::new(&net, &items, &settings).unwrap();
            let shown = batch.shown.drawn(0).unwrap();
            assert_eq!(shown.dims(), [4, 3, 16, 16]);
            (values(&shown).chunks(3 * 256).map(<[f32]>::to_vec).collect::<Vec<_>>(), values(&batch.target))
        };
        let (shown, targets) = drawn(4);
        // Winners first, then losers.
        assert!(shown[0] == shown[2] && shown[1] == shown[3], "sides of a pair see other draws");
        assert!(shown[0] != shown[1], "two pairs see the same draw");
        assert!(drawn(4).0 == shown && drawn(6).0.iter().all(|other| !shown.contains(other)));
        let all = [shown[0].as_slice(), shown[1].as_slice()].concat();
        let mean = all.iter().sum::<f32>() / all.len() as f32;
        let deviation = (all.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / all.len() as f32).sqrt();
        assert!((mean - 0.25).abs() < 0.2 && (deviation - 2.0).abs() < 0.2, "{mean}, {deviation}");
        // It is not the noise that the pictures are corrupted with, which is the target of flat ones but for a constant.
        let standard: Vec<f32> = shown[0].iter().map(|v| (v - 0.25) / 2.0).collect();
        let product = standard.iter().zip(&targets).map(|(a, b)| a * b).sum::<f32>() / standard.len() as f32;
        assert!(product.abs() < 0.15, "{product}");
    }

    /// One pair of flat pictures, the winner from seed 5.
    struct One;

    impl Pairs for One {
        fn len(&self) -> usize {
            1
        }
        fn weight(&self, _: usize) -> f64 {
            1.0
        }
        fn winner_seed(&self, _: usize) -> Option<u64> {
            Some(5)
        }
        fn load(&mut self, _: usize) -> Result<PairImages> {
            let flat = |side: usize| Image::new(side, side, vec![0.5; 3 * side * side]);
            Ok(PairImages { lr: flat(4)?, winner: flat(16)?, loser: flat(16)?, prompt: Prompt::default() })
        }
    }

    #[test]
    fn a_noise_tracked_pair_is_corrupted_with_the_noise_its_winner_began_with() {
        let net = Mini::new();
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let start = start_noise(5, [3, 16, 16]).unwrap();
        for (augmentation, noise) in [
            (Augmentation::None, PairNoise::Winner),
            (Augmentation::Turns, PairNoise::Winner),
            (Augmentation::None, PairNoise::Drawn),
        ] {
            let settings = Training { augmentation, noise, times: Times::Uniform, ..Training::default() };
            let mut items = Items::new(&net, &settings, &Device::Cpu);
            for position in 0..4 {
                let item = items.of(&mut One, 0, position).unwrap();
                let batch = Batch::new(&net, std::slice::from_ref(&item), &settings).unwrap();
                // Flat pictures have no detail, so that x_t = (1 − t) · ε and the velocity is −ε.
                let found: Vec<f32> = values(&batch.target).iter().map(|v| -v).collect();
                let (winner, loser) = found.split_at(found.len() / 2);
                assert_eq!(winner, loser);
                let ways = (0..turn::WAYS).map(|way| values(&turned(&start, way).unwrap()));
                let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
                let place = ways.into_iter().position(|of_way| same(&of_way, winner));
                assert_eq!(place.is_some(), noise == PairNoise::Winner, "{augmentation:?}, position {position}");
                assert!(augmentation == Augmentation::Turns || place.is_none_or(|way| way == 0));
            }
        }
    }
}
