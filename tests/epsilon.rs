//! ε-prediction diffusion: the trait, the samplers and the loss carry it as they carry flow. One network here is the exact
//! answer for Gaussian images, so that DDIM and DDPM can be held to a known distribution; the other is small and trained.

#[path = "toy/plain_card.rs"]
mod plain_card;

use std::sync::Arc;

use candle_core::{Device, Tensor};
use dp2o_studio::Result;
use dp2o_studio::backbones::card::Card;
use dp2o_studio::backbones::condition::{Condition, Prompt, Shown};
use dp2o_studio::backbones::process::{Diffusion, Predicts, Process, Spacing};
use dp2o_studio::backbones::sampler::{Sampler, Solver};
use dp2o_studio::backbones::tiles::Tiling;
use dp2o_studio::backbones::{Backbone, Query};
use dp2o_studio::imaging::{Image, resize};
use dp2o_studio::method::recipe::{Augmentation, Training};
use dp2o_studio::method::trainer::{PairImages, Pairs, Trainer};
use dp2o_studio::nn::adamw::Settings;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::layers::{Conv, GroupNorm, Linear};
use dp2o_studio::nn::optimizer::{Optimizer, Pace};
use dp2o_studio::nn::params::{Params, Specs};
use dp2o_studio::nn::tape::{Tape, Var};
use dp2o_studio::random::Random;
use plain_card::plain_card;

/// Stable Diffusion's, from pure noise.
const PROCESS: Process = Process::Diffusion(Diffusion {
    timesteps: 1000,
    beta: [0.00085, 0.012],
    predicts: Predicts::Noise,
    spacing: Spacing::Trailing,
});

static GAUSSIAN: Card = plain_card("gaussian", 1, PROCESS);
static SMALL: Card = plain_card("small", 4, PROCESS);

/// Predicts ε exactly for clean values that are normal with mean 2·condition − 1 and deviation `SIGMA`.
struct Gaussian {
    specs: Arc<Specs>,
}

const SIGMA: f64 = 0.3;

impl Backbone for Gaussian {
    fn card(&self) -> &'static Card {
        &GAUSSIAN
    }

    fn adapter(&self) -> &Arc<Specs> {
        &self.specs
    }

    fn reference(&self) -> Result<Params> {
        Params::init(&self.specs, 0, &Compute::cpu())
    }

    fn weights_hash(&self) -> String {
        GAUSSIAN.name.into()
    }

    fn condition<'l>(&self, lr: &'l Image, _: &Prompt) -> Result<Condition<'l>> {
        Ok(Condition::new(lr, GAUSSIAN.latent).with_enlarged())
    }

    fn predict(&self, _: &Tape, _: &Params, query: &Query) -> Result<Var> {
        let (x_t, (a, b)) = (query.x_t, PROCESS.mix(query.times[0]));
        let mean = (query.shown.map(0)?.affine(2.0, -1.0)? * a)?;
        // E[ε | x_t] of a normal x₁: the share of the deviation from the mean that is noise.
        let eps = ((x_t - mean)? * (b / (a * a * SIGMA * SIGMA + b * b)))?;
        Ok(Var::constant(eps))
    }

    fn encode(&self, images: &Tensor, _: &Shown) -> Result<Tensor> {
        Ok(images.affine(2.0, -1.0)?)
    }

    fn decode(&self, latents: &Tensor, _: &Shown) -> Result<Tensor> {
        Ok(latents.affine(0.5, 0.5)?)
    }
}

fn sample(net: &dyn Backbone, params: &Params, solver: Solver, steps: usize, lr: &Image, seeds: &[u64]) -> Vec<Image> {
    let sampler = Sampler { solver, steps, tiling: Tiling::default(), guidance: 1.0 };
    let condition = net.condition(lr, &Prompt::default()).unwrap();
    sampler.sample(net, params, &condition, seeds, &mut |_, _| Ok(())).unwrap()
}

/// Mean and standard deviation.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    (mean, (values.map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
}

#[test]
fn ddim_and_ddpm_draw_from_the_distribution_the_network_knows() {
    let net = Gaussian { specs: Arc::new(Specs::default()) };
    let params = net.reference().unwrap();
    let lr = Image::new(16, 16, vec![0.6; 3 * 256]).unwrap();
    // All timesteps: with fewer, the last step from a noisier image shrinks the deviation.
    for solver in [Solver::Ddim, Solver::Ddpm] {
        let images = sample(&net, &params, solver, 1000, &lr, &[1, 2]);
        let tolerance = 0.02;
        let (mean, std) = moments(images.iter().flat_map(|i| i.data()).map(|&v| f64::from(v)));
        // In [0, 1] the clean value 2·0.6 − 1 is 0.6 again, and the deviation halves. SD's schedule ends at ᾱ = 0.0047,
        // not at 0: starting from pure noise shifts the mean by what is missing.
        assert!((mean - 0.6).abs() < tolerance, "{solver:?}: mean {mean}");
        assert!((std / (SIGMA / 2.0) - 1.0).abs() < tolerance, "{solver:?}: deviation {std}");
    }
}

#[test]
fn a_seed_is_the_same_alone_and_in_a_batch_and_ddpm_adds_noise_of_its_own() {
    let net = Gaussian { specs: Arc::new(Specs::default()) };
    let params = net.reference().unwrap();
    let lr = Image::new(8, 8, vec![0.4; 3 * 64]).unwrap();
    for solver in [Solver::Ddim, Solver::Ddpm] {
        let batch = sample(&net, &params, solver, 10, &lr, &[5, 6]);
        let alone = sample(&net, &params, solver, 10, &lr, &[6]);
        assert_eq!(batch[1].data(), alone[0].data(), "{solver:?}");
        assert_ne!(batch[0].data(), batch[1].data());
    }
    let [ddim, ddpm] = [Solver::Ddim, Solver::Ddpm].map(|s| sample(&net, &params, s, 10, &lr, &[5]));
    let difference = ddim[0].data().iter().zip(ddpm[0].data()).map(|(a, b)| f64::from(a - b));
    assert!(moments(difference).1 > 0.01);
    let flow = Sampler { solver: Solver::Euler, steps: 4, tiling: Tiling::default(), guidance: 1.0 };
    let condition = net.condition(&lr, &Prompt::default()).unwrap();
    let refused = flow.sample(&net, &params, &condition, &[1], &mut |_, _| Ok(())).unwrap_err().to_string();
    assert!(refused.contains("ddim"), "{refused}");
}

/// The network knows a pixel by itself, so that only the weights' rounding is left of the tiles.
#[test]
fn tiles_change_nothing_for_a_network_without_neighbours() {
    let net = Gaussian { specs: Arc::new(Specs::default()) };
    let params = net.reference().unwrap();
    let noise = Random::new(8, 0).normal_image(3, 20, 26);
    let lr = Image::new(26, 20, noise.iter().map(|v| (0.5 + 0.2 * v).clamp(0.0, 1.0)).collect()).unwrap();
    for solver in [Solver::Ddim, Solver::Ddpm] {
        let whole = sample(&net, &params, solver, 5, &lr, &[1, 2]);
        let sampler = Sampler { solver, steps: 5, tiling: Tiling { tile_px: 40, overlap_px: 8 }, guidance: 1.0 };
        let condition = net.condition(&lr, &Prompt::default()).unwrap();
        let cut = sampler.sample(&net, &params, &condition, &[1, 2], &mut |_, _| Ok(())).unwrap();
        for (whole, cut) in whole.iter().zip(&cut) {
            let worst = whole.data().iter().zip(cut.data()).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()));
            assert!(worst < 1e-5, "{solver:?}: {worst}");
        }
    }
}

/// Two convolutions at a quarter of the size, with the timestep as scale and shift.
struct Small {
    specs: Arc<Specs>,
    time: Linear,
    input: Conv,
    norm: GroupNorm,
    output: Conv,
}

const WIDTH: usize = 32;

impl Small {
    fn new() -> Self {
        let mut s = Specs::default();
        let time = Linear::new(&mut s, "time", (8, 2 * WIDTH), 0.5);
        let input = Conv::new(&mut s, "input", (96, WIDTH), 3, 1, 1.0);
        let norm = GroupNorm::new(&mut s, "norm", WIDTH, 4, 1e-5);
        let output = Conv::new(&mut s, "output", (WIDTH, 48), 3, 1, 0.0);
        Self { specs: Arc::new(s), time, input, norm, output }
    }
}

impl Backbone for Small {
    fn card(&self) -> &'static Card {
        &SMALL
    }

    fn adapter(&self) -> &Arc<Specs> {
        &self.specs
    }

    fn reference(&self) -> Result<Params> {
        Params::init(&self.specs, 1, &Compute::cpu())
    }

    fn weights_hash(&self) -> String {
        SMALL.name.into()
    }

    fn condition<'l>(&self, lr: &'l Image, _: &Prompt) -> Result<Condition<'l>> {
        Ok(Condition::new(lr, SMALL.latent).with_enlarged())
    }

    fn predict(&self, tape: &Tape, params: &Params, query: &Query) -> Result<Var> {
        let (x_t, times, condition) = (query.x_t, query.times, query.shown.map(0)?);
        let waves = |&t: &f32| (0..4).flat_map(move |k| [(t * 0.003 * (1 << k) as f32).sin(), (t * 0.003).cos()]);
        let embedding: Vec<f32> = times.iter().flat_map(waves).collect();
        let embedding = Var::constant(Tensor::from_vec(embedding, (times.len(), 8), x_t.device())?);
        let scale_shift = tape.linear(params, &self.time, &embedding)?;
        let x = Var::constant(tape.kernels().unshuffle(x_t, 4)?);
        let condition = Var::constant(tape.kernels().unshuffle(&condition.affine(2.0, -1.0)?, 4)?);
        let h = tape.conv2d(params, &self.input, &tape.concat(&x, &condition)?, None)?;
        let h = tape.group_norm(params, &self.norm, &h, Some(&scale_shift), true)?;
        // Where there is little but noise, ε is nearly x_t: the network only has to say what is missing.
        let noise: Vec<f32> = times.iter().map(|&t| PROCESS.mix(t).1 as f32).collect();
        let noise = Tensor::from_vec(noise, (times.len(), 1, 1, 1), x_t.device())?;
        let base = tape.kernels().unshuffle(&x_t.broadcast_mul(&noise)?, 4)?;
        let y = tape.conv2d(params, &self.output, &h, Some(&Var::constant(base)))?;
        tape.shuffle(&y, 4)
    }

    fn encode(&self, images: &Tensor, shown: &Shown) -> Result<Tensor> {
        Ok(((images - shown.map(0)?)? * 5.0)?)
    }

    fn decode(&self, latents: &Tensor, shown: &Shown) -> Result<Tensor> {
        Ok((shown.map(0)? + (latents / 5.0)?)?)
    }
}

/// Stripes and a little noise: `sharp` of its own, and its LR image.
fn picture(seed: u64) -> (Image, Image) {
    let side = 32;
    let noise = Random::new(seed, 3).normal_image(3, side, side);
    let stripe = |i: usize| if (i % side + seed as usize).is_multiple_of(4) { 0.7 } else { 0.4 };
    let data = noise.iter().enumerate().map(|(i, n)| (stripe(i) + 0.02 * n).clamp(0.0, 1.0)).collect();
    let hr = Image::new(side, side, data).unwrap();
    let lr = resize::shrink_x4(&hr).unwrap();
    (hr, lr)
}

fn tensor(image: &Image) -> Tensor {
    Tensor::from_slice(image.data(), (1, 3, image.height(), image.width()), &Device::Cpu).unwrap()
}

/// Trains ε-prediction on the pictures; returns the weights, the first and the last loss.
fn pretrained(net: &Small, steps: u64) -> (Params, f64, f64) {
    let params = net.reference().unwrap().trainable(true);
    let mut optimizer = Optimizer::new(&params, Settings::default(), false).unwrap();
    let pace = Pace { learning_rate: 3e-3, longest: f64::INFINITY, decay: 0.0 };
    let mut losses = Vec::new();
    for step in 0..steps {
        let (mut clean, mut conditions, mut noise, mut times) = (vec![], vec![], vec![], vec![]);
        for i in 0..8 {
            let (hr, lr) = picture(step * 8 + i);
            let condition = tensor(&resize::enlarge_x4(&lr).unwrap()).clamp(0.0, 1.0).unwrap();
            let shown = Shown::of(vec![condition], Vec::new());
            clean.push(net.encode(&tensor(&hr), &shown).unwrap());
            conditions.push(shown);
            noise.extend(Random::new(step * 8 + i, 77).normal_image(3, 32, 32));
            let [u, ..] = Random::new(step * 8 + i, 78).uniforms([0, 0, 0]);
            times.push(PROCESS.training_time(0.0, u));
        }
        let clean = Tensor::cat(&clean, 0).unwrap();
        let shown = Shown::stacked(&conditions.iter().collect::<Vec<_>>()).unwrap();
        let noise = Tensor::from_vec(noise, clean.shape(), &Device::Cpu).unwrap();
        let x_t = PROCESS.corrupt(&clean, &noise, &times).unwrap();
        let target = PROCESS.target(&clean, &noise, &times).unwrap();
        let tape = Tape::recording(params.kernels());
        let y = net.predict(&tape, &params, &Query::new(&x_t, &times, &shown)).unwrap();
        let error = (y.tensor() - &target).unwrap();
        losses.push(f64::from(error.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap()));
        let slope = (&error * (2.0 / error.elem_count() as f64)).unwrap();
        let gradients = tape.backward(&y, slope).unwrap();
        optimizer.step(&gradients, pace).unwrap();
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let ends = (mean(&losses[..5]), mean(&losses[losses.len() - 20..]));
    (params.trainable(false), ends.0, ends.1)
}

struct Synthetic(Vec<PairImages>);

impl Pairs for Synthetic {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn weight(&self, _: usize) -> f64 {
        1.0
    }

    fn load(&mut self, pair: usize) -> Result<PairImages> {
        Ok(self.0[pair].clone())
    }
}

#[test]
fn a_small_noise_predicting_network_trains_samples_and_is_fine_tuned() {
    let net = Small::new();
    let (params, first, last) = pretrained(&net, 300);
    assert!(last < 0.75 * first, "loss {first} → {last}");

    // Its samples are nearer to the truth than the noise it started from would be, and seeds differ.
    let (hr, lr) = picture(1000);
    let images = sample(&net, &params, Solver::Ddim, 20, &lr, &[1, 2]);
    let error = |image: &Image| moments(image.data().iter().zip(hr.data()).map(|(a, b)| f64::from(a - b))).1;
    let noise = Random::new(1, 0).normal_image(3, 32, 32);
    let enlarged = resize::enlarge_x4(&lr).unwrap();
    let start = enlarged.data().iter().zip(&noise).map(|(c, e)| c + e / 5.0).collect();
    let start = error(&Image::new(32, 32, start).unwrap());
    let errors: Vec<f64> = images.iter().map(error).collect();
    assert!(errors.iter().all(|e| *e < 0.75 * start), "{errors:?}, {start}");
    assert_ne!(images[0].data(), images[1].data());

    // Diffusion-DPO on it: the same trainer, the same loss. Winners are the truth, losers its blur.
    let pair = |seed: u64| {
        let (winner, lr) = picture(seed);
        PairImages { loser: resize::enlarge_x4(&lr).unwrap(), lr, winner, prompt: Prompt::default() }
    };
    let mut pairs = Synthetic((0..6).map(pair).collect());
    // The network has seen no picture turned.
    let settings = Training {
        beta: 100.0,
        learning_rate: 1e-3,
        warmup_steps: 0,
        batch_pairs: 4,
        augmentation: Augmentation::None,
        ..Training::default()
    };
    let mut trainer = Trainer::new(&net, &params, &params, settings, pairs.len()).unwrap();
    let logs: Vec<_> = (0..30).map(|_| trainer.step(&mut pairs, &mut |_| Ok(())).unwrap()).collect();
    assert_eq!((logs[0].loss.margin, logs[0].loss.accuracy), (0.0, 0.5));
    let tail = &logs[20..];
    let accuracy = tail.iter().map(|log| log.loss.accuracy).sum::<f64>() / tail.len() as f64;
    assert!(accuracy > 0.7, "implicit accuracy {accuracy}");
    assert!(tail.iter().map(|log| log.loss.margin).sum::<f64>() > 0.0);
}
