//! `mini`: the embedded backbone, a conditional flow-matching ×4 super-resolution U-Net for the CPU.
//!
//! It predicts the velocity of `x_t = (1 − t)·ε + t·x₁` (Lipman et al., "Flow Matching for Generative Modeling", arXiv
//! 2210.02747) where `x₁ = 5·(HR − bicubic(LR))`: the detail that interpolation cannot give. Pixels are unshuffled by 4, so
//! that the network works at the low resolution; three scales with residual blocks as in Ho et al. (arXiv 2006.11239), the
//! time embedding as scale and shift (Dhariwal & Nichol, arXiv 2105.05233).

use std::sync::Arc;

use candle_core::Tensor;

use super::card::{Card, Guidance, Latent, Memory};
use super::condition::{Condition, Prompt, Shown};
use super::process::{Flow, Process, Shift, Time};
use super::registry::Entry;
use super::solver::Solver;
use super::{Backbone, Pass, Query};
use crate::fs::hash;
use crate::imaging::Image;
use crate::nn::kernels::Compute;
use crate::nn::layers::{Conv, GroupNorm, Linear};
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::{Error, Result};

/// Pixels are gathered in squares of this side.
const PATCH: usize = 4;
/// Values of a pixel of the network's input and output: RGB in squares of [`PATCH`].
const PATCH_VALUES: usize = 3 * PATCH * PATCH;
/// The network models `DETAIL_GAIN · (HR − bicubic)`, which brings the detail of photographs near unit variance.
pub const DETAIL_GAIN: f32 = 5.0;
/// Channels per scale.
const CHANNELS: [usize; 3] = [64, 128, 240];
/// Width of the time embedding.
const EMBEDDING: usize = 256;
/// Sines and cosines the time is first turned into.
const FREQUENCIES: usize = 32;
const GROUPS: usize = 8;
/// Added to the variance of a group.
const EPS: f32 = 1e-5;
/// Image sides must be multiples of this many pixels: the patch, halved twice.
pub const ALIGN_PX: usize = PATCH * 4;

/// Values of its weights.
const ADAPTER_VALUES: usize = 7_612_768;

/// What is known of it.
pub static CARD: Card = Card {
    name: "mini",
    latent: Latent { channels: 3, factor: 1, align: ALIGN_PX },
    process: Process::Flow(Flow { time: Time::Clean, shift: Shift::None }),
    solvers: &[Solver::Euler, Solver::Heun],
    guidance: Guidance::None,
    prompt: false,
    parts: &[],
    licence: "MIT OR Apache-2.0",
    keeps_latents: false,
    control_noise: 0,
    memory: Memory {
        network: 0,
        around: 0,
        passing: (&[], 0),
        passes_alone: false,
        let_go: 0,
        adapter: ADAPTER_VALUES,
        trained: ADAPTER_VALUES,
        picture: footprint,
    },
};

/// How it is opened.
pub static ENTRY: Entry = Entry { card: &CARD, open: |on, _| Ok(Arc::new(Mini::on(on))) };

/// The shipped weights: f16 safetensors, made by `dp2o-studio pretrain` as the README says.
pub static WEIGHTS: &[u8] = include_bytes!("../../assets/mini.safetensors");

/// The structure of the network; all of its weights are trained.
pub struct Mini {
    compute: Compute,
    specs: Arc<Specs>,
    time: [Linear; 2],
    input: Conv,
    down: Vec<Scale>,
    up: Vec<Scale>,
    norm: GroupNorm,
    output: Conv,
}

/// The blocks of one scale on one side, and the convolution that leads there from the scale before.
struct Scale {
    enter: Option<Conv>,
    blocks: Vec<Block>,
}

#[derive(Clone, Copy)]
struct Block {
    norm1: GroupNorm,
    conv1: Conv,
    time: Linear,
    norm2: GroupNorm,
    conv2: Conv,
    /// Present where the number of channels changes.
    skip: Option<Conv>,
}

impl Block {
    fn new(specs: &mut Specs, name: &str, c_in: usize, c_out: usize) -> Self {
        let named = |part: &str| format!("{name}.{part}");
        let gain = std::f32::consts::SQRT_2;
        Self {
            norm1: GroupNorm::new(specs, &named("norm1"), c_in, GROUPS, EPS),
            conv1: Conv::new(specs, &named("conv1"), (c_in, c_out), 3, 1, gain),
            time: Linear::new(specs, &named("time"), (EMBEDDING, 2 * c_out), 0.1),
            norm2: GroupNorm::new(specs, &named("norm2"), c_out, GROUPS, EPS),
            conv2: Conv::new(specs, &named("conv2"), (c_out, c_out), 3, 1, 0.1),
            skip: (c_in != c_out).then(|| Conv::new(specs, &named("skip"), (c_in, c_out), 1, 1, 1.0)),
        }
    }

    fn forward(&self, tape: &Tape, params: &Params, x: &Var, time: &Var) -> Result<Var> {
        let (block, weights) = (*self, params.clone());
        tape.segment(&[x, time], params, move |tape, inputs| block.layers(tape, &weights, &inputs[0], &inputs[1]))
    }

    fn layers(&self, tape: &Tape, params: &Params, x: &Var, time: &Var) -> Result<Var> {
        let h = tape.group_norm(params, &self.norm1, x, None, true)?;
        let h = tape.conv2d(params, &self.conv1, &h, None)?;
        let scale_shift = tape.linear(params, &self.time, time)?;
        let h = tape.group_norm(params, &self.norm2, &h, Some(&scale_shift), true)?;
        let skip = match &self.skip {
            Some(conv) => tape.conv2d(params, conv, x, None)?,
            None => x.clone(),
        };
        tape.conv2d(params, &self.conv2, &h, Some(&skip))
    }
}

impl Default for Mini {
    fn default() -> Self {
        Self::new()
    }
}

impl Mini {
    /// On the CPU.
    pub fn new() -> Self {
        Self::on(&Compute::cpu())
    }

    /// The one configuration there is.
    pub fn on(compute: &Compute) -> Self {
        let mut s = Specs::default();
        let gain = std::f32::consts::SQRT_2;
        let time = [
            Linear::new(&mut s, "time.0", (2 * FREQUENCIES, EMBEDDING), gain),
            Linear::new(&mut s, "time.1", (EMBEDDING, EMBEDDING), gain),
        ];
        let input = Conv::new(&mut s, "input", (2 * PATCH_VALUES, CHANNELS[0]), 3, 1, 1.0);
        let mut down = Vec::new();
        for (i, &c) in CHANNELS.iter().enumerate() {
            let above = if i == 0 { c } else { CHANNELS[i - 1] };
            let enter = (i > 0).then(|| Conv::new(&mut s, &format!("down.{i}.enter"), (above, c), 3, 2, 1.0));
            let blocks = (0..2).map(|b| Block::new(&mut s, &format!("down.{i}.{b}"), c, c)).collect();
            down.push(Scale { enter, blocks });
        }
        let mut up = Vec::new();
        for (i, &c) in CHANNELS.iter().enumerate().rev() {
            let coarsest = i + 1 == CHANNELS.len();
            let enter =
                (!coarsest).then(|| Conv::new(&mut s, &format!("up.{i}.enter"), (CHANNELS[i + 1], c), 3, 1, 1.0));
            let c_in = if coarsest { c } else { 2 * c };
            let blocks =
                (0..2).map(|b| Block::new(&mut s, &format!("up.{i}.{b}"), if b == 0 { c_in } else { c }, c)).collect();
            up.push(Scale { enter, blocks });
        }
        let norm = GroupNorm::new(&mut s, "norm", CHANNELS[0], GROUPS, EPS);
        let output = Conv::new(&mut s, "output", (CHANNELS[0], PATCH_VALUES), 3, 1, 0.0);
        Self { compute: compute.clone(), specs: Arc::new(s), time, input, down, up, norm, output }
    }
}

impl Backbone for Mini {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn adapter(&self) -> &Arc<Specs> {
        &self.specs
    }

    fn reference(&self) -> Result<Params> {
        Params::from_safetensors(&self.specs, WEIGHTS, "assets/mini.safetensors".as_ref(), &self.compute)
    }

    fn weights_hash(&self) -> String {
        hash::hash_bytes(WEIGHTS)
    }

    fn condition<'l>(&self, lr: &'l Image, _: &Prompt) -> Result<Condition<'l>> {
        Ok(Condition::new(lr, CARD.latent).with_enlarged())
    }

    fn encode(&self, images: &Tensor, shown: &Shown) -> Result<Tensor> {
        Ok(((images - shown.map(0)?)? * DETAIL_GAIN as f64)?)
    }

    fn decode(&self, latents: &Tensor, shown: &Shown) -> Result<Tensor> {
        Ok((shown.map(0)? + (latents / DETAIL_GAIN as f64)?)?)
    }

    fn predict(&self, tape: &Tape, params: &Params, query: &Query) -> Result<Var> {
        let (x_t, times, condition) = (query.x_t, query.times, query.shown.map(0)?);
        let (batch, _, height, width) = x_t.dims4()?;
        if height % ALIGN_PX != 0 || width % ALIGN_PX != 0 || x_t.dims() != condition.dims() || times.len() != batch {
            return Err(Error::invalid(format!(
                "the network takes images of equal size in multiples of {ALIGN_PX} px, not {:?} with {:?}",
                x_t.dims(),
                condition.dims()
            )));
        }
        let embedding = Tensor::from_vec(frequencies(times), (batch, 2 * FREQUENCIES), x_t.device())?;
        let time = tape.linear(params, &self.time[0], &Var::constant(embedding))?;
        let time = tape.silu(&tape.linear(params, &self.time[1], &tape.silu(&time)?)?)?;

        // The condition is centred like the noise it is concatenated with.
        let condition = condition.affine(2.0, -1.0)?;
        let x = Var::constant(tape.kernels().unshuffle(x_t, PATCH)?);
        let input = tape.concat(&x, &Var::constant(tape.kernels().unshuffle(&condition, PATCH)?))?;
        let mut h = tape.conv2d(params, &self.input, &input, None)?;
        let mut skips = Vec::new();
        for (i, scale) in self.down.iter().enumerate() {
            if let Some(conv) = &scale.enter {
                h = tape.conv2d(params, conv, &h, None)?;
            }
            for block in &scale.blocks {
                h = block.forward(tape, params, &h, &time)?;
            }
            if i + 1 < CHANNELS.len() {
                skips.push(h.clone());
            }
        }
        for scale in &self.up {
            if let Some(conv) = &scale.enter {
                h = tape.conv2d(params, conv, &tape.upsample2(&h)?, None)?;
                if let Some(skip) = skips.pop() {
                    h = tape.concat(&h, &skip)?;
                }
            }
            for block in &scale.blocks {
                h = block.forward(tape, params, &h, &time)?;
            }
        }
        let h = tape.group_norm(params, &self.norm, &h, None, true)?;
        tape.shuffle(&tape.conv2d(params, &self.output, &h, None)?, PATCH)
    }
}

/// As measured (`info --bench`).
fn footprint([height, width]: [usize; 2], pass: Pass) -> usize {
    let per_px = match pass {
        Pass::Sample => 160,
        Pass::Keep => 940,
        Pass::Recompute => 640,
    };
    per_px * height * width
}

/// Sines and cosines of the times, `[B, 2·FREQUENCIES]`, as in "Attention Is All You Need" with times scaled by 1000.
fn frequencies(times: &[f32]) -> Vec<f32> {
    let mut values = Vec::with_capacity(times.len() * 2 * FREQUENCIES);
    for &t in times {
        let angle = |i: usize| 1000.0 * t * (-(10_000f32.ln()) * i as f32 / FREQUENCIES as f32).exp();
        values.extend((0..FREQUENCIES).map(|i| angle(i).sin()));
        values.extend((0..FREQUENCIES).map(|i| angle(i).cos()));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use candle_core::Device;

    fn noise(stream: u32, shape: (usize, usize, usize, usize)) -> Tensor {
        let (b, c, h, w) = shape;
        Tensor::from_vec(Random::new(1, stream).normal_image(b * c, h, w), shape, &Device::Cpu).unwrap()
    }

    /// Directional derivatives of the whole network by finite differences, for every weight at once.
    #[test]
    fn gradients_agree_with_finite_differences() {
        let net = Mini::new();
        let mut params = Params::init(net.adapter(), 5, &Compute::cpu()).unwrap().trainable(true);
        // The output layer starts as zero, which would hide the gradients of all others.
        for (name, tensor) in params.iter() {
            if name == "output.weight" {
                tensor.slice_set(&(noise(9, (48, 64, 3, 3)) * 0.04).unwrap(), 0, 0).unwrap();
            }
        }
        params.touch();
        let shape = (2, 3, 32, 48);
        let (x, cond, dy) = (noise(0, shape), noise(1, shape), noise(2, shape));
        let times = [0.3, 0.8];
        let shown = Shown::of(vec![cond], Vec::new());
        let query = Query::new(&x, &times, &shown);
        let loss = |params: &Params| {
            let y = net.predict(&Tape::inference(params.kernels()), params, &query).unwrap();
            let product = (y.tensor() * &dy).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            product.iter().map(|&v| v as f64).sum::<f64>()
        };
        let tape = Tape::recording(params.kernels());
        let y = net.predict(&tape, &params, &query).unwrap();
        let gradients = tape.backward(&y, dy.clone()).unwrap();
        let mut checked = 0;
        for (i, (name, weight)) in params.iter().enumerate() {
            let gradient = gradients.params()[i].as_ref().unwrap_or_else(|| panic!("no gradient for {name}"));
            let g: Vec<f32> = gradient.flatten_all().unwrap().to_vec1().unwrap();
            let norm = g.iter().map(|&v| (v as f64).powi(2)).sum::<f64>().sqrt();
            // A step along the gradient changes the loss by the gradient's norm.
            let h = 2e-3 * (weight.elem_count() as f64).sqrt().min(4.0);
            let direction = (gradient / norm).unwrap();
            let shifted = |by: f64| {
                let copy = params.duplicate().unwrap();
                let tensor = copy.iter().nth(i).unwrap().1;
                tensor.slice_set(&(weight + (&direction * by).unwrap()).unwrap(), 0, 0).unwrap();
                loss(&copy)
            };
            let slope = (shifted(h) - shifted(-h)) / (2.0 * h);
            // Both losses are sums of f32 values: their rounding, about 2e-4, is what a small step cannot resolve.
            let bound = 0.02 * norm + 2e-4 / h;
            assert!((slope - norm).abs() <= bound, "{name}: slope {slope}, gradient {norm}, bound {bound}");
            checked += 1;
        }
        assert_eq!(checked, params.len());
    }

    #[test]
    fn a_checkpointed_block_gives_the_same_gradients() {
        let mut specs = Specs::default();
        let block = Block::new(&mut specs, "block", 32, 48);
        let params = Params::init(&Arc::new(specs), 3, &Compute::cpu()).unwrap().trainable(true);
        let (x, time, dy) = (
            noise(0, (2, 6, 5, 32)),
            noise(1, (1, 1, 2, EMBEDDING)).reshape((2, EMBEDDING)).unwrap(),
            noise(2, (2, 6, 5, 48)),
        );
        let run = |recomputing: bool| {
            let tape = Tape::recording(params.kernels()).recomputing(recomputing);
            let (x, time) = (tape.leaf(x.clone()), tape.leaf(time.clone()));
            let y = block.forward(&tape, &params, &x, &time).unwrap();
            let mut g = tape.backward(&y, dy.clone()).unwrap();
            let inputs = [g.take(&x).unwrap(), g.take(&time).unwrap()];
            let all = inputs.iter().chain(g.params().iter().flatten());
            all.flat_map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(run(false), run(true));
    }

    #[test]
    fn frozen_weights_cost_no_graph() {
        let net = Mini::new();
        assert_eq!(net.adapter().value_count(), CARD.memory.adapter);
        let params = Params::init(net.adapter(), 5, &Compute::cpu()).unwrap();
        let tape = Tape::recording(params.kernels());
        let (x, cond) = (noise(0, (1, 3, 16, 16)), noise(1, (1, 3, 16, 16)));
        let shown = Shown::of(vec![cond], Vec::new());
        let y = net.predict(&tape, &params, &Query::new(&x, &[0.5], &shown)).unwrap();
        assert!(!y.wants_gradient());
    }
}
