//! `flux`: C-FLUX of DP²O-SR, FLUX.1-dev led by a ControlNet that sees the latents of the LR image enlarged, from the published files
//! (Sun et al., arXiv 2510.18851). What is trained is the ControlNet; the transformer, the autoencoder and both text encoders are
//! frozen.
//!
//! The LR image's latents are drawn anew for each seed from their distribution, which the condition holds; training draws them
//! anew for each pair. Time and guidance stay f32 all the way.
//!
//! * [`open`]: from files to networks, and what other models' files are refused with. [`prompts`]: texts, once each. [`weights`]: the
//!   transformer's.

mod open;
mod prompts;
mod weights;

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::card::{Card, Guidance, Latent, Memory};
use super::codec::Codec;
use super::condition::{Condition, Prompt, Shown};
use super::process::{Flow, Process, Shift, Time};
use super::registry::Entry;
use super::solver::Solver;
use super::texts::GoOn;
use super::{Backbone, Pass, Query};
use crate::Result;
use crate::imaging::Image;
use crate::networks::controlnet_flux::ControlNet;
use crate::networks::flux_transformer::{Told, Transformer};
use crate::nn::kernels::Compute;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::Source;
use crate::weights::registry::{C_FLUX_PARTS, FLUX_CLIP, FLUX_T5};
pub use weights::Weights;

/// Latents that a token is wide and high.
const PATCH: usize = 2;
/// Values of a latent.
const CHANNELS: usize = 16;
/// Tokens of a text.
const TEXT: usize = 512;

/// What is known of it.
pub static CARD: Card = Card {
    name: "flux",
    latent: Latent { channels: CHANNELS, factor: 8, align: 16 },
    process: Process::Flow(Flow {
        time: Time::Noise,
        shift: Shift::Dynamic { patch: PATCH, tokens: [256.0, 4096.0], mu: [0.5, 1.15] },
    }),
    solvers: &[Solver::Euler, Solver::Heun],
    guidance: Guidance::Embedded,
    prompt: true,
    parts: C_FLUX_PARTS,
    licence: "FLUX.1 [dev]: Non-Commercial License; ControlNet: see https://github.com/cswry/DP2O-SR",
    keeps_latents: true,
    control_noise: CHANNELS,
    memory: Memory {
        network: 11_901_408_320,
        around: 83_819_683 + 123_060_480 + 4_762_310_656,
        passing: (&[&FLUX_CLIP, &FLUX_T5], 123_060_480 + 4_762_310_656),
        passes_alone: true,
        let_go: 0,
        adapter: 1_442_333_696,
        trained: 1_442_333_696 - 84_953_088,
        picture: footprint,
    },
};

/// How it is opened.
pub static ENTRY: Entry = Entry { card: &CARD, open: |on, store| Ok(Arc::new(open::open(on, store)?)) };

/// Texts as the networks read them.
pub trait Texts: Send + Sync {
    /// T5's states `[1, tokens, text]` and CLIP's summary `[1, pooled]`.
    fn embedded(&self, text: &str) -> Result<[Tensor; 2]>;

    /// Encodes those that are not known, so that [`Texts::embedded`] finds them; `before` makes room for encoders.
    fn learn(&self, _: &[&str], _: GoOn, _before: &dyn Fn()) -> Result<()> {
        Ok(())
    }

    /// How much of a prompt is beyond what the encoders read, in words.
    fn unread(&self, prompt: &Prompt) -> Option<String>;
}

/// FLUX and the ControlNet's structure.
pub struct Flux {
    pub compute: Compute,
    pub transformer: Transformer,
    /// Those of the transformer.
    pub weights: Weights,
    pub codec: Codec,
    pub texts: Box<dyn Texts>,
    pub control: ControlNet,
    pub adapter: Arc<Specs>,
    /// The ControlNet's released weights, which are read when they are asked for.
    pub released: Source,
    pub weights_hash: String,
}

impl Backbone for Flux {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn adapter(&self) -> &Arc<Specs> {
        &self.adapter
    }

    fn unread_weights(&self) -> Vec<String> {
        let names = self.adapter.iter().map(|(name, _)| name);
        names.filter(|name| self.control.leaves_unread(name)).map(str::to_owned).collect()
    }

    fn reference(&self) -> Result<Params> {
        Params::to_be_trained(&self.adapter, &self.released, &self.compute)
    }

    fn weights_hash(&self) -> String {
        self.weights_hash.clone()
    }

    fn condition<'l>(&self, lr: &'l Image, prompt: &Prompt) -> Result<Condition<'l>> {
        let enlarged = Condition::new(lr, CARD.latent).with_enlarged().whole(1, &self.compute.device)?;
        let latents = self.codec.distribution(enlarged.map(0)?)?;
        let condition = Condition::new(lr, CARD.latent).with_map(latents, 1);
        // Nothing is led away from a negative prompt.
        let none = Tensor::zeros((1, 1), DType::F32, &self.compute.device)?;
        let texts = self.texts.embedded(&prompt.text)?;
        Ok(texts.into_iter().fold(condition, |condition, text| condition.with_text(text, none.clone())))
    }

    /// The means of the latents' distributions: what is encoded is the same each time.
    fn encode(&self, images: &Tensor, _: &Shown) -> Result<Tensor> {
        self.codec.encode(images)
    }

    fn decode(&self, latents: &Tensor, _: &Shown) -> Result<Tensor> {
        self.codec.decode(latents)
    }

    fn predict(&self, tape: &Tape, adapter: &Params, query: &Query) -> Result<Var> {
        let (batch, channels, height, width) = query.x_t.dims4()?;
        let size = [height / PATCH, width / PATCH];
        let tokens = |planes: &Tensor| -> Result<Var> {
            let tokens = tape.kernels().unshuffle(planes, PATCH)?;
            Ok(Var::constant(tokens.reshape((batch, size[0] * size[1], channels * PATCH * PATCH))?))
        };
        let (x, control) = (tokens(query.x_t)?, tokens(&query.shown.drawn(0)?)?);
        let [text, pooled] = [0, 1].map(|i| query.shown.text(i).map(|text| Var::constant(text.clone())));
        let (text, pooled) = (text?, pooled?);
        let told = Told { times: query.times, guidance: query.guidance, text: &text, pooled: &pooled, size };
        let weights = self.weights.get()?;
        let begun = query.shared(|| self.transformer.begin(&weights, &x, &told))?;
        let residuals = self.control.forward(tape, adapter, &x, &control, &told)?;
        let texts = text.tensor().dim(1)?;
        let velocity = self.transformer.finish(tape, &weights, begun, texts, &residuals)?;
        let [rows, columns] = size;
        tape.shuffle(&tape.reshape(&velocity, &[batch, rows, columns, channels * PATCH * PATCH])?, PATCH)
    }

    fn prepare(&self, prompts: &[Prompt], go_on: GoOn) -> Result<()> {
        let texts: Vec<&str> = prompts.iter().map(|prompt| prompt.text.as_str()).collect();
        // Encoders as large as the transformer never lie beside it.
        self.texts.learn(&texts, go_on, &|| self.weights.forget())
    }

    fn read(&self) -> Result<()> {
        self.weights.get().map(drop)
    }

    fn unread(&self, prompt: &Prompt) -> Result<Option<String>> {
        Ok(self.texts.unread(prompt))
    }

    fn other_than_adapter(&self, source: &Source) -> Option<&'static str> {
        open::other_control_net(source)
    }
}

/// Of sampling, a picture's decoding takes the most, as with [`sd2`](super::sd2). Of training, what gradients read, for each token
/// of text and image: with everything kept about 12 values a channel and frozen block of two streams, 11 of one and 23 of the
/// ControlNet's; else one a block, and the most that a block takes.
fn footprint([height, width]: [usize; 2], pass: Pass) -> usize {
    let tokens = TEXT + height * width / (PATCH * CARD.latent.factor).pow(2);
    let of_tokens = match pass {
        Pass::Sample => 250_000,
        Pass::Keep => 9_200_000,
        Pass::Recompute => 1_250_000,
    };
    (of_tokens * tokens).max(4_400 * height * width)
}
