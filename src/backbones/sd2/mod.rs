//! `sd2`: C-SD2 of DP²O-SR, Stable Diffusion 2-base led by a ControlNet that sees the LR image enlarged, from the published files
//! (Sun et al., arXiv 2510.18851). What is trained is the ControlNet; the U-Net, the autoencoder and the text encoder are
//! frozen and kept in the type of their files.
//!
//! * [`open`]: from files to networks, and what other models' files are refused with. [`prompts`]: texts, once each.

mod open;
mod prompts;

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::card::{Card, Guidance, Latent, Memory};
use super::codec::Codec;
use super::condition::{Condition, Prompt, Shown};
use super::process::{Diffusion, Predicts, Process, Spacing};
use super::registry::Entry;
use super::solver::Solver;
use super::texts::GoOn;
use super::{Backbone, Pass, Query};
use crate::imaging::Image;
use crate::networks::controlnet_sd::ControlNet;
use crate::networks::unet_sd::{Unet, With, is_in_first_half};
use crate::nn::kernels::Compute;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::Source;
use crate::weights::registry::{C_SD2_PARTS, SD2_TEXT};
use crate::{Error, Result};
use prompts::Prompts;

/// Values of the U-Net's first half, which nothing reads any more once it has predicted.
const FIRST_HALF: usize = 351_662_080;

/// What is known of it.
pub static CARD: Card = Card {
    name: "sd2",
    latent: Latent { channels: 4, factor: 8, align: 64 },
    process: Process::Diffusion(Diffusion {
        timesteps: 1000,
        beta: [0.00085, 0.012],
        predicts: Predicts::Noise,
        spacing: Spacing::Leading { offset: 1 },
    }),
    solvers: &[Solver::Ddpm, Solver::Ddim],
    guidance: Guidance::ClassifierFree,
    prompt: true,
    parts: C_SD2_PARTS,
    licence: "Stable Diffusion 2: CreativeML Open RAIL++-M; ControlNet: see https://github.com/cswry/DP2O-SR",
    keeps_latents: true,
    control_noise: 0,
    memory: Memory {
        network: 865_910_724,
        around: 83_653_863 + 340_387_840,
        passing: (&[&SD2_TEXT], 340_387_840),
        passes_alone: false,
        let_go: FIRST_HALF + 83_653_863,
        adapter: 364_228_240,
        trained: 364_228_240,
        picture: footprint,
    },
};

/// How it is opened.
pub static ENTRY: Entry = Entry { card: &CARD, open: |on, store| Ok(Arc::new(open::open(on, store)?)) };

/// Stable Diffusion 2 and the ControlNet's structure.
pub struct Sd2 {
    compute: Compute,
    unet: Unet,
    weights: Params,
    codec: Codec,
    prompts: Prompts,
    control: ControlNet,
    adapter: Arc<Specs>,
    /// The ControlNet's released weights, which are read when they are asked for.
    released: Arc<Source>,
    weights_hash: String,
}

impl Sd2 {
    /// What the frozen first half of the U-Net makes of a query: skips, middle, and the embedded times.
    fn first_half(&self, weights: &Params, x: &Var, times: &[f32], text: &Var) -> Result<Vec<Tensor>> {
        let tape = Tape::inference(&self.compute.kernels);
        let encoder = &self.unet.encoder;
        weights.bring(is_in_first_half)?;
        let with = With { time: encoder.time(&tape, weights, times)?, text: text.clone() };
        let mut all = encoder.skips(&tape, weights, x, None, &with)?;
        if let Some(last) = all.last() {
            let middle = encoder.middle(&tape, weights, last, &with)?;
            all.push(middle);
        }
        Ok(all.iter().chain([&with.time]).map(|var| var.tensor().clone()).collect())
    }
}

impl Backbone for Sd2 {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn adapter(&self) -> &Arc<Specs> {
        &self.adapter
    }

    fn reference(&self) -> Result<Params> {
        let released = Params::at_hand(&self.adapter, &self.released, &self.compute, DType::F32)?;
        Ok(released.without_large_forms())
    }

    fn weights_hash(&self) -> String {
        self.weights_hash.clone()
    }

    fn condition<'l>(&self, lr: &'l Image, prompt: &Prompt) -> Result<Condition<'l>> {
        let [text, negative] = [&prompt.text, &prompt.negative].map(|text| self.prompts.embedded(text));
        Ok(Condition::new(lr, CARD.latent).with_enlarged().with_text(text?, negative?))
    }

    /// The means of the latents' distributions: what is encoded is the same each time.
    fn encode(&self, images: &Tensor, _: &Shown) -> Result<Tensor> {
        self.codec.encode(images)
    }

    fn decode(&self, latents: &Tensor, _: &Shown) -> Result<Tensor> {
        self.codec.decode(latents)
    }

    fn predict(&self, tape: &Tape, adapter: &Params, query: &Query) -> Result<Var> {
        let planes = |planes: &Tensor| Ok::<_, Error>(Var::constant(tape.kernels().unshuffle(planes, 1)?));
        let (x, image) = (planes(query.x_t)?, planes(&tape.kernels().once(query.shown.map(0)?)?)?);
        let text = Var::constant(query.shown.text(0)?.clone());
        let weights = if query.is_of_step { self.weights.for_once() } else { self.weights.clone() };
        let known = query.shared(|| {
            if query.is_of_step {
                self.codec.weights.let_go(|_| true);
            }
            let known = self.first_half(&weights, &x, query.times, &text)?;
            if query.is_of_step {
                self.weights.let_go(is_in_first_half);
            }
            Ok(known)
        })?;
        adapter.bring(|_| true)?;
        let known: Vec<Var> = known.iter().cloned().map(Var::constant).collect();
        let [skips @ .., middle, time] = known.as_slice() else {
            return Err(Error::invalid("the U-Net's first half made nothing"));
        };
        let onto = Some((skips, middle));
        let (skips, middle) = self.control.forward(tape, adapter, (&x, &image), (query.times, &text), onto)?;
        let with = With { time: time.clone(), text };
        let middle = match query.is_of_step {
            false => middle,
            true => {
                let weights = weights.clone();
                tape.after_backward(&middle, move || weights.let_go(|_| true))
            }
        };
        weights.bring(|name| !is_in_first_half(name))?;
        tape.shuffle(&self.unet.decode(tape, &weights, &skips, &middle, &with)?, 1)
    }

    fn prepare(&self, prompts: &[Prompt], go_on: GoOn) -> Result<()> {
        let texts = prompts.iter().flat_map(|prompt| [prompt.text.as_str(), prompt.negative.as_str()]);
        self.prompts.learn(&texts.collect::<Vec<_>>(), go_on)
    }

    fn read(&self) -> Result<()> {
        self.weights.bring(|_| true)?;
        self.codec.weights.bring(|_| true)
    }

    fn let_go(&self) {
        self.weights.let_go(|_| true);
        self.codec.weights.let_go(|_| true);
    }

    fn unread(&self, prompt: &Prompt) -> Result<Option<String>> {
        Ok(self.prompts.unread(prompt))
    }

    fn other_than_adapter(&self, source: &Source) -> Option<&'static str> {
        open::other_control_net(source)
    }
}

/// A picture's decoding takes the most, 3300 bytes a pixel as measured at 512²; with room. Of training, what gradients read adds up
/// to this.
fn footprint([height, width]: [usize; 2], pass: Pass) -> usize {
    let per_px = match pass {
        Pass::Sample => 4_400,
        Pass::Keep => 3_600,
        Pass::Recompute => 2_000,
    };
    per_px * height * width
}
