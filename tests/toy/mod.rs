//! The least a backbone of latents can be, and an example of adding one: a codec of four values for 8×8 pixels, a frozen
//! network that reads a prompt, and a small adapter that shows it the LR image. Nothing else in the program knows of it.

use std::f32::consts::PI;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use candle_core::{D, Tensor};
use dp2o_studio::Result;
use dp2o_studio::backbones::card::{Card, Guidance, Latent, Memory};
use dp2o_studio::backbones::condition::{Condition, Prompt, Shown};
use dp2o_studio::backbones::process::{Diffusion, Flow, Predicts, Process, Shift, Spacing, Time};
use dp2o_studio::backbones::registry::{self, Entry};
use dp2o_studio::backbones::sampler::Solver;
use dp2o_studio::backbones::{Backbone, Query};
use dp2o_studio::imaging::Image;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::layers::{Conv, GroupNorm, Linear};
use dp2o_studio::nn::params::{Params, Specs};
use dp2o_studio::nn::tape::{Tape, Var};
use dp2o_studio::random::Random;

/// Pixels that a latent is wide and high.
const FACTOR: usize = 8;
const CHANNELS: usize = 4;
/// Values of an LR-image patch.
const PATCH: usize = 3 * FACTOR * FACTOR;
const WIDTH: usize = 16;
const CONTROL: usize = 8;
const TEXT: usize = 6;
const WAVES: usize = 8;
/// Words of a prompt that it reads.
const WORDS: usize = 8;

/// What it takes, roughly.
const MEMORY: Memory = Memory {
    network: 3_500,
    around: CHANNELS * PATCH,
    passing: (&[], 0),
    passes_alone: false,
    let_go: 0,
    adapter: 2_712,
    trained: 2_712,
    picture: |px, _| 64 * px[0] * px[1],
};

const LATENT: Latent = Latent { channels: CHANNELS, factor: FACTOR, align: 16 };

const fn diffusion(name: &'static str, predicts: Predicts) -> Card {
    Card {
        name,
        latent: LATENT,
        process: Process::Diffusion(Diffusion {
            timesteps: 1000,
            beta: [0.00085, 0.012],
            predicts,
            spacing: Spacing::Leading { offset: 1 },
        }),
        solvers: &[Solver::Ddim, Solver::Ddpm],
        guidance: Guidance::ClassifierFree,
        prompt: true,
        parts: &[],
        licence: "MIT",
        keeps_latents: true,
        control_noise: 0,
        memory: MEMORY,
    }
}

/// Predicts ε, as Stable Diffusion does.
pub static NOISE: Card = diffusion("toy-noise", Predicts::Noise);
/// Predicts v.
pub static VELOCITY: Card = diffusion("toy-velocity", Predicts::Velocity);
/// A flow whose guidance is an input, as FLUX.
pub static FLOW: Card = Card {
    name: "toy-flow",
    latent: LATENT,
    process: Process::Flow(Flow {
        time: Time::Noise,
        shift: Shift::Dynamic { patch: 2, tokens: [256.0, 4096.0], mu: [0.5, 1.15] },
    }),
    solvers: &[Solver::Euler, Solver::Heun],
    guidance: Guidance::Embedded,
    prompt: true,
    parts: &[],
    licence: "MIT",
    keeps_latents: true,
    control_noise: 0,
    memory: MEMORY,
};

/// [`NOISE`] that counts what it is asked for.
pub static COUNTED: Card = diffusion("toy-counted", Predicts::Noise);

/// How often the network was asked for what need not be asked for twice.
#[derive(Default)]
pub struct Counts {
    pub encoded: AtomicUsize,
    pub conditions: AtomicUsize,
    pub trunks: AtomicUsize,
    pub predictions: AtomicUsize,
}

/// More items at once than this are more than the memory of [`COUNTED`] holds.
pub static MOST_ITEMS: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Of [`COUNTED`].
pub static COUNTS: Counts = Counts {
    encoded: AtomicUsize::new(0),
    conditions: AtomicUsize::new(0),
    trunks: AtomicUsize::new(0),
    predictions: AtomicUsize::new(0),
};

impl Counts {
    /// Of images encoded, conditions, trunks and predictions, since the last time.
    pub fn take(&self) -> [usize; 4] {
        [&self.encoded, &self.conditions, &self.trunks, &self.predictions].map(|count| count.swap(0, Relaxed))
    }
}

/// Makes the four part of the program.
pub fn register() {
    static ENTRIES: [Entry; 4] = [
        Entry { card: &COUNTED, open: |on, _| Ok(Arc::new(Toy::on(&COUNTED, on)?)) },
        Entry { card: &NOISE, open: |on, _| Ok(Arc::new(Toy::on(&NOISE, on)?)) },
        Entry { card: &VELOCITY, open: |on, _| Ok(Arc::new(Toy::on(&VELOCITY, on)?)) },
        Entry { card: &FLOW, open: |on, _| Ok(Arc::new(Toy::on(&FLOW, on)?)) },
    ];
    ENTRIES.iter().for_each(registry::add);
}

/// The network. `frozen` is its own; the adapter is two convolutions.
pub struct Toy {
    card: &'static Card,
    compute: Compute,
    frozen: Params,
    /// Cosines, `[CHANNELS, PATCH]` with orthonormal rows.
    codec: Tensor,
    input: Conv,
    time: Linear,
    text: Linear,
    guidance: Linear,
    norm: GroupNorm,
    middle: Conv,
    output: Conv,
    adapter: Arc<Specs>,
    control: Conv,
    merge: Conv,
}

impl Toy {
    pub fn on(card: &'static Card, compute: &Compute) -> Result<Self> {
        let (mut s, mut a) = (Specs::default(), Specs::default());
        let input = Conv::new(&mut s, "input", (CHANNELS, WIDTH), 3, 1, 1.0);
        let time = Linear::new(&mut s, "time", (WAVES, 2 * WIDTH), 0.3);
        let text = Linear::new(&mut s, "text", (TEXT, 2 * WIDTH), 0.3);
        let guidance = Linear::new(&mut s, "guidance", (1, 2 * WIDTH), 0.05);
        let norm = GroupNorm::new(&mut s, "norm", WIDTH, 4, 1e-5);
        let middle = Conv::new(&mut s, "middle", (WIDTH, WIDTH), 3, 1, 1.0);
        let output = Conv::new(&mut s, "output", (WIDTH, CHANNELS), 3, 1, 0.7);
        let control = Conv::new(&mut a, "control", (PATCH, CONTROL), 1, 1, 1.0);
        let merge = Conv::new(&mut a, "merge", (CONTROL, WIDTH), 3, 1, 0.5);
        let frozen = Params::init(&Arc::new(s), 11, compute)?;
        let (compute, adapter) = (compute.clone(), Arc::new(a));
        let codec = Tensor::from_vec(cosines(), (CHANNELS, PATCH), &compute.device)?;
        Ok(Self {
            card,
            compute,
            frozen,
            codec,
            input,
            time,
            text,
            guidance,
            norm,
            middle,
            output,
            adapter,
            control,
            merge,
        })
    }

    /// Number of values that are not trained.
    pub fn frozen_values(&self) -> usize {
        self.frozen.specs().value_count() + CHANNELS * PATCH
    }

    fn count(&self, count: &AtomicUsize, by: usize) {
        if std::ptr::eq(self.card, &COUNTED) {
            count.fetch_add(by, Relaxed);
        }
    }

    /// A prompt as numbers: the mean of its words', each a function of its letters.
    fn embedded(&self, prompt: &str) -> Result<Tensor> {
        let mut sum = [0.0f32; TEXT];
        for word in prompt.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let key = word.bytes().fold(1u64, |key, byte| key.wrapping_mul(257).wrapping_add(byte.into()));
            let values = Random::new(key, 0).normal_image(1, 1, TEXT);
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        Ok(Tensor::from_vec(sum.to_vec(), (1, TEXT), &self.compute.device)?)
    }

    /// What the frozen part makes of `x_t`, and its scales and shifts.
    fn trunk(&self, query: &Query) -> Result<Vec<Tensor>> {
        self.count(&COUNTS.trunks, 1);
        let (tape, device, count) = (Tape::inference(&self.compute.kernels), &self.compute.device, query.times.len());
        let h =
            tape.conv2d(&self.frozen, &self.input, &Var::constant(tape.kernels().unshuffle(query.x_t, 1)?), None)?;
        let per = if matches!(self.card.process, Process::Flow(_)) { 1.0 } else { 1000.0 };
        let waves = |&t: &f32| (0..WAVES).map(move |k| (PI * t / per * (k + 1) as f32 + k as f32).cos());
        let waves = Tensor::from_vec(query.times.iter().flat_map(waves).collect(), (count, WAVES), device)?;
        let linear = |layer, x: &Tensor| tape.linear(&self.frozen, layer, &Var::constant(x.contiguous()?));
        let mut said = (linear(&self.time, &waves)?.tensor() + linear(&self.text, query.shown.text(0)?)?.tensor())?;
        if let Some(scale) = query.guidance {
            let scale = Tensor::full(scale, (count, 1), device)?;
            said = (said + linear(&self.guidance, &scale)?.tensor())?;
        }
        Ok(vec![h.tensor().clone(), said])
    }
}

/// Mean, and the first cosine along x, along y, and along both, over patches in the order of `unshuffle`.
fn cosines() -> Vec<f32> {
    let wave = |k: usize, i: usize| (PI * (2 * i + 1) as f32 * k as f32 / (2 * FACTOR) as f32).cos();
    let row = |(kx, ky): (usize, usize)| -> Vec<f32> {
        let values: Vec<f32> = (0..PATCH).map(|i| wave(kx, i % FACTOR) * wave(ky, i / FACTOR % FACTOR)).collect();
        let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
        values.into_iter().map(|v| v / norm).collect()
    };
    [(0, 0), (1, 0), (0, 1), (1, 1)].into_iter().flat_map(row).collect()
}

impl Backbone for Toy {
    fn card(&self) -> &'static Card {
        self.card
    }

    fn adapter(&self) -> &Arc<Specs> {
        &self.adapter
    }

    fn reference(&self) -> Result<Params> {
        Params::init(&self.adapter, 12, &self.compute)
    }

    fn weights_hash(&self) -> String {
        format!("{:0>64}", self.card.name.len())
    }

    fn condition<'l>(&self, lr: &'l Image, prompt: &Prompt) -> Result<Condition<'l>> {
        self.count(&COUNTS.conditions, 1);
        let (text, negative) = (self.embedded(&prompt.text)?, self.embedded(&prompt.negative)?);
        Ok(Condition::new(lr, LATENT).with_enlarged().with_text(text, negative))
    }

    fn encode(&self, images: &Tensor, shown: &Shown) -> Result<Tensor> {
        self.count(&COUNTS.encoded, images.dim(0)?);
        let detail = self.compute.kernels.unshuffle(&(images - shown.map(0)?)?.contiguous()?, FACTOR)?;
        Ok(detail.broadcast_matmul(&self.codec.t()?)?.permute((0, 3, 1, 2))?.contiguous()?)
    }

    fn decode(&self, latents: &Tensor, shown: &Shown) -> Result<Tensor> {
        let detail = latents.permute((0, 2, 3, 1))?.contiguous()?.broadcast_matmul(&self.codec)?;
        debug_assert_eq!(detail.dim(D::Minus1)?, PATCH);
        Ok((self.compute.kernels.shuffle(&detail.contiguous()?, FACTOR)? + shown.map(0)?)?)
    }

    fn unread(&self, prompt: &Prompt) -> Result<Option<String>> {
        let words = prompt.text.split(' ').count();
        Ok((words > WORDS).then(|| format!("the prompt has {words} words, of which {WORDS} are read")))
    }

    fn predict(&self, tape: &Tape, adapter: &Params, query: &Query) -> Result<Var> {
        self.count(&COUNTS.predictions, 1);
        if std::ptr::eq(self.card, &COUNTED) && query.times.len() > MOST_ITEMS.load(Relaxed) {
            return Err(
                candle_core::Error::Msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")".into()).into()
            );
        }
        let known = query.shared(|| self.trunk(query))?;
        let (h, said) = (Var::constant(known[0].clone()), Var::constant(known[1].clone()));
        let control = query.shown.map(0)?.affine(2.0, -1.0)?;
        let control = Var::constant(tape.kernels().unshuffle(&control, FACTOR)?);
        let control = tape.silu(&tape.conv2d(adapter, &self.control, &control, None)?)?;
        let h = tape.conv2d(adapter, &self.merge, &control, Some(&h))?;
        let h = tape.group_norm(&self.frozen, &self.norm, &h, Some(&said), true)?;
        let h = tape.silu(&tape.conv2d(&self.frozen, &self.middle, &h, None)?)?;
        tape.shuffle(&tape.conv2d(&self.frozen, &self.output, &h, None)?, 1)
    }
}
