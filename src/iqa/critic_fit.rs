//! Trains the [critic](super::critic): HR against candidates made from its LR image, and against itself with more or less fine
//! detail, place by place.
//!
//! Both sides of a comparison show the same place, so that what is photographed says nothing. As HR with grain added is not HR
//! either, grain is good up to HR's and no further.

use std::fmt;
use std::sync::Arc;

use candle_core::Tensor;
use rayon::prelude::*;

use super::grain::blur;
use super::learned::{SYMMETRIC, input};
use super::plane::Plane;
use crate::imaging::Image;
use crate::imaging::quantize::{Rgb8, quantized};
use crate::networks::critic::Critic;
use crate::nn::adamw::Settings;
use crate::nn::kernels::Compute;
use crate::nn::optimizer::{Optimizer, Pace};
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::nn::tensors::About;
use crate::random::Random;
use crate::{Error, Result};

/// Side of what is compared, in pixels.
const PATCH_PX: usize = 64;
/// Comparisons a step.
const BATCH: usize = 16;
const LEARNING_RATE: f64 = 1e-3;
const WARMUP: u64 = 100;
/// A longer gradient is shortened to this.
const LONGEST: f64 = 1.0;
/// Decay of the moving average of the weights, which is what is kept.
const DECAY: f64 = 0.998;
/// Of the comparisons, how many are with candidates; the others are with HR that was changed.
const CANDIDATES: f32 = 0.6;

/// Streams of [`Random`], one per use.
mod stream {
    pub const PLACE: u32 = 1;
    pub const CHANGE: u32 = 2;
    pub const NOISE: u32 = 3;
}

/// An HR image and the candidates of its LR image.
pub struct Group {
    pub hr: Rgb8,
    /// Of HR's size.
    pub candidates: Vec<Rgb8>,
}

/// What HR may be changed to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Noise of this deviation, in levels of 8 bits; blurred once where it is coarse, one for all channels where it is grey.
    Grain { levels: f32, coarse: bool, grey: bool },
    /// What a binomial blur takes away, this much more of it; below 0 less.
    Detail(f32),
    /// That blur so many times.
    Blur(usize),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Grain { levels, .. } => write!(f, "HR + noise of {levels} levels"),
            Self::Detail(gain) if gain < 0.0 => write!(f, "HR − {} × its fine detail", -gain),
            Self::Detail(gain) => write!(f, "HR + {gain} × its fine detail"),
            Self::Blur(times) => write!(f, "HR blurred {times} times"),
        }
    }
}

impl Change {
    /// One drawn by four numbers in [0, 1).
    fn drawn([kind, strength, coarse, grey]: [f32; 4]) -> Self {
        match kind {
            _ if kind < 0.4 => Self::Grain { levels: 64f32.powf(strength), coarse: coarse < 0.5, grey: grey < 0.5 },
            _ if kind < 0.65 => Self::Detail(0.2 + 1.3 * strength),
            _ if kind < 0.9 => Self::Detail(-0.2 - 0.8 * strength),
            _ => Self::Blur(1 << (5.0 * strength) as usize),
        }
    }

    /// The changed image, of 8 bits as HR is.
    pub fn of(self, image: &Image, seed: u64) -> Result<Image> {
        let (width, height) = (image.width(), image.height());
        let plane = |data: &[f32]| Plane { width, height, data: data.to_vec() };
        let data = match self {
            Self::Grain { levels, coarse, grey } => {
                let channels = if grey { 1 } else { 3 };
                let noise = Random::new(seed, stream::NOISE).normal_image(channels, height, width);
                let noise: Vec<f32> = match coarse {
                    true => noise.chunks_exact(width * height).flat_map(|n| blur(&plane(n)).data).collect(),
                    false => noise,
                };
                // A blur of unit noise leaves the root of the sum of its squared weights, 70 / 256 in two dimensions.
                let gain = levels / 255.0 / if coarse { 70.0 / 256.0 } else { 1.0 };
                image.data().iter().zip(noise.iter().cycle()).map(|(v, n)| v + gain * n).collect()
            }
            Self::Detail(gain) => {
                let of_channel = |c: usize| {
                    let (sharp, blurred) = (image.plane(c), blur(&plane(image.plane(c))).data);
                    sharp.iter().zip(blurred).map(|(v, b)| v + gain * (v - b)).collect::<Vec<_>>()
                };
                (0..3).flat_map(of_channel).collect()
            }
            Self::Blur(times) => {
                let of_channel = |c: usize| (0..times).fold(plane(image.plane(c)), |plane, _| blur(&plane)).data;
                (0..3).flat_map(of_channel).collect()
            }
        };
        Ok(quantized(&Image::new(width, height, data)?))
    }
}

/// A place of an image, turned or mirrored one of eight ways.
fn place(image: &Rgb8, [x0, y0]: [usize; 2], turn: usize) -> Result<Image> {
    let mut data = vec![0.0; 3 * PATCH_PX * PATCH_PX];
    for (k, value) in data.iter_mut().enumerate() {
        let (channel, y, x) = (k / (PATCH_PX * PATCH_PX), k / PATCH_PX % PATCH_PX, k % PATCH_PX);
        let (y, x) = if turn & 1 == 1 { (x, y) } else { (y, x) };
        let y = if turn & 2 == 2 { PATCH_PX - 1 - y } else { y };
        let x = if turn & 4 == 4 { PATCH_PX - 1 - x } else { x };
        *value = f32::from(image.bytes[((y0 + y) * image.width + x0 + x) * 3 + channel]) / 255.0;
    }
    Image::new(PATCH_PX, PATCH_PX, data)
}

/// The two sides of comparison `index` of a step.
fn comparison(groups: &[Group], seed: u64, step: u64, index: usize) -> Result<[Image; 2]> {
    let at = |stream: u32, n: u32| Random::new(seed, stream).uniforms([step as u32, index as u32, n]);
    let ([group, x, y, turn], [kind, candidate, ..]) = (at(stream::PLACE, 0), at(stream::PLACE, 1));
    let one_of = |u: f32, count: usize| ((u * count as f32) as usize).min(count - 1);
    let group = &groups[one_of(group, groups.len())];
    let (x, y) = (one_of(x, group.hr.width - PATCH_PX + 1), one_of(y, group.hr.height - PATCH_PX + 1));
    let turn = one_of(turn, 8);
    let hr = place(&group.hr, [x, y], turn)?;
    let other = match kind < CANDIDATES {
        true => place(&group.candidates[one_of(candidate, group.candidates.len())], [x, y], turn)?,
        false => Change::drawn(at(stream::CHANGE, 0)).of(&hr, step * BATCH as u64 + index as u64)?,
    };
    Ok([hr, other])
}

/// Trains a critic for a number of steps; `report` is told the step and the mean loss of about the last 200, and stops it by
/// `false`. Returns the weights (f16 safetensors). Errors: groups without candidates, of other sizes or smaller than 64 pixels.
pub fn fit(
    groups: &[Group],
    steps: u64,
    seed: u64,
    on: &Compute,
    mut report: impl FnMut(u64, f64) -> bool,
) -> Result<Vec<u8>> {
    let is_sound = |group: &Group| {
        let size = [group.hr.width, group.hr.height];
        let fits = |candidate: &Rgb8| [candidate.width, candidate.height] == size;
        size.into_iter().min() >= Some(PATCH_PX) && !group.candidates.is_empty() && group.candidates.iter().all(fits)
    };
    if groups.is_empty() || !groups.iter().all(is_sound) {
        return Err(Error::invalid(format!(
            "a critic learns from HR of at least {PATCH_PX} px with candidates of its size"
        )));
    }
    let mut specs = Specs::default();
    let network = Critic::new(&mut specs);
    let params = Params::init(&Arc::new(specs), seed, on)?.trainable(true);
    let settings = Settings { beta2: 0.99, weight_decay: 0.0, ..Settings::default() };
    let mut optimizer = Optimizer::new(&params, settings, true)?;
    let mut mean_loss = 0.0;
    for step in 0..steps {
        let loss = train_step(&network, &params, &mut optimizer, groups, (seed, step, steps))?;
        mean_loss += (1.0 / (step + 1) as f64).max(1.0 / 200.0) * (loss - mean_loss);
        if !report(step + 1, mean_loss) {
            break;
        }
    }
    let about: About = [("critic".to_owned(), "mini".into())].into_iter().collect();
    optimizer.average().unwrap_or(&params).to_safetensors(true, &about)
}

fn train_step(
    network: &Critic,
    params: &Params,
    optimizer: &mut Optimizer,
    groups: &[Group],
    (seed, step, steps): (u64, u64, u64),
) -> Result<f64> {
    let pairs: Vec<[Image; 2]> =
        (0..BATCH).into_par_iter().map(|index| comparison(groups, seed, step, index)).collect::<Result<_>>()?;
    // HR first.
    let images: Vec<Arc<Image>> =
        (0..2).flat_map(|side| pairs.iter().map(move |pair| Arc::new(pair[side].clone()))).collect();
    let tape = Tape::recording(params.kernels());
    let odds = network.forward(&tape, params, &Var::constant(input(&images, SYMMETRIC, params.device())?))?;
    let values: Vec<f32> = odds.tensor().flatten_all()?.to_vec1()?;
    let count = values.len();
    // −log σ(z) of HR, −log σ(−z) of the other side.
    let sign = |i: usize| if i < count / 2 { 1.0 } else { -1.0 };
    let loss: f64 = values.iter().enumerate().map(|(i, z)| f64::from(-sign(i) * z).exp().ln_1p()).sum();
    let slope = |(i, z): (usize, &f32)| -sign(i) / (1.0 + (sign(i) * z).exp()) / count as f32;
    let slopes: Vec<f32> = values.iter().enumerate().map(slope).collect();
    let gradients = tape.backward(&odds, Tensor::from_vec(slopes, odds.tensor().dims(), params.device())?)?;
    let done = step as f64 / steps as f64;
    let warmup = ((step + 1) as f64 / WARMUP as f64).min(1.0);
    let pace = Pace {
        learning_rate: LEARNING_RATE * warmup * (1.0 - done),
        longest: LONGEST,
        decay: DECAY.min((1 + step) as f64 / (10 + step) as f64),
    };
    optimizer.step(&gradients, pace)?;
    Ok(loss / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::quantize::to_rgb8;

    fn rgb8(image: &Image) -> Rgb8 {
        Rgb8 { width: image.width(), height: image.height(), bytes: to_rgb8(image) }
    }

    /// Edges and fine grain, as of a photograph.
    fn picture(seed: u64) -> Image {
        let noise = Random::new(seed, 9).normal_image(3, 96, 96);
        let at = |(i, n): (usize, &f32)| 0.5 + 0.3 * ((i % 96 / 7 + i / 96 % 96 / 5) % 2) as f32 - 0.15 + 0.02 * n;
        quantized(&Image::new(96, 96, noise.iter().enumerate().map(at).collect()).unwrap())
    }

    #[test]
    fn it_learns_to_tell_pictures_from_candidates_and_from_too_much_and_too_little_grain() {
        let group = |seed: u64| {
            let hr = picture(seed);
            let candidates = vec![rgb8(&Change::Blur(2).of(&hr, seed).unwrap())];
            Group { hr: rgb8(&hr), candidates }
        };
        let groups: Vec<Group> = (0..4).map(group).collect();
        let mut losses = Vec::new();
        let compute = Compute::cpu();
        let weights = fit(&groups, 60, 0, &compute, |_, loss| {
            losses.push(loss);
            true
        });
        assert!(losses[0] > 0.6 && *losses.last().unwrap() < 0.9 * losses[0], "{losses:?}");

        let mut specs = Specs::default();
        let network = Critic::new(&mut specs);
        let params = Params::from_safetensors(&Arc::new(specs), &weights.unwrap(), "w".as_ref(), &compute).unwrap();
        let odds = |image: &Image| {
            let x = input(&[Arc::new(image.clone())], SYMMETRIC, params.device()).unwrap();
            let odds = network.forward(&Tape::inference(params.kernels()), &params, &Var::constant(x)).unwrap();
            odds.tensor().mean_all().unwrap().to_scalar::<f32>().unwrap()
        };
        let unseen = picture(77);
        for change in [Change::Blur(2), Change::Grain { levels: 20.0, coarse: false, grey: false }] {
            let (real, other) = (odds(&unseen), odds(&change.of(&unseen, 1).unwrap()));
            assert!(real > other, "{change}: {real}, {other}");
        }
    }

    #[test]
    fn changes_are_as_strong_as_they_say() {
        let grey = Image::new(64, 64, vec![0.5; 3 * 64 * 64]).unwrap();
        for (coarse, one) in [(false, false), (true, false), (true, true)] {
            let noisy = Change::Grain { levels: 8.0, coarse, grey: one }.of(&grey, 3).unwrap();
            let deviation =
                noisy.data().iter().map(|v| (255.0 * (v - 0.5)).powi(2)).sum::<f32>() / noisy.data().len() as f32;
            assert!((deviation.sqrt() - 8.0).abs() < 0.6, "{}", deviation.sqrt());
            assert_eq!(noisy.plane(0) == noisy.plane(1), one);
        }
        let of = |change: Change, image: &Image| change.of(image, 0).unwrap();
        assert_eq!(of(Change::Detail(0.5), &grey), of(Change::Blur(3), &grey));
        assert_eq!(of(Change::Detail(-1.0), &picture(1)), of(Change::Blur(1), &picture(1)));
    }

    #[test]
    fn what_nothing_can_be_learned_from_is_refused() {
        let image = rgb8(&picture(0));
        let small = Rgb8 { width: 32, height: 32, bytes: vec![0; 3 * 32 * 32] };
        let groups = [
            vec![],
            vec![Group { hr: image.clone(), candidates: vec![] }],
            vec![Group { hr: image.clone(), candidates: vec![small.clone()] }],
            vec![Group { hr: small.clone(), candidates: vec![small] }],
        ];
        for groups in groups {
            assert!(fit(&groups, 1, 0, &Compute::cpu(), |_, _| true).is_err());
        }
    }
}
