//! Generative super-resolution models and their samplers.
//!
//! * [`Backbone`]: what a model must offer. [`card`]: what is known of one without loading it. [`registry`]: those there are.
//! * [`process`]: flow matching and diffusion: noise in, clean latent out. [`condition`]: what a picture is drawn under.
//! * [`sampler`]: Euler, Heun, DDIM, DDPM ([`solver`]) over any backbone. [`guidance`]: led towards its prompt. [`solve`], [`tiles`], [`field`]: pictures of any size in memory
//!   that follows the tile.
//! * [`products`]: how exactly. [`stored`]: latents and conditions as files. [`codec`]: pictures of any size through an autoencoder.
//! * [`texts`]: prompts as encoders read them, once each. [`tagger`]: prompts by the tag model.
//! * [`mini`]: the embedded one; [`pretrain`] trains it from photographs. [`sd2`], [`flux`]: C-SD2 and C-FLUX, from published files.

pub mod card;
pub mod codec;
pub mod condition;
pub mod field;
mod files;
pub mod flux;
pub mod guidance;
pub mod mini;
pub mod pretrain;
pub mod process;
pub mod products;
pub mod registry;
pub mod sampler;
pub mod sd2;
pub mod solve;
pub mod solver;
pub mod stored;
pub mod tagger;
pub mod texts;
pub mod tiles;

use std::cell::OnceCell;
use std::sync::Arc;

use candle_core::Tensor;

use crate::Result;
use crate::imaging::Image;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::Source;
use card::Card;
use condition::{Condition, Prompt, Shown};
use texts::GoOn;

/// A generative ×4 super-resolution model: the structure of a network that denoises latents under a condition, and all of its
/// weights that are frozen. What is trained, its adapter, is handed to it.
///
/// Images are planar `[B, 3, H, W]` in [0, 1]; latents `[B, C, h, w]` as the card's [`Latent`](card::Latent) says. Which of
/// them are noisy and which clean is up to the caller.
pub trait Backbone: Send + Sync {
    /// What it is.
    fn card(&self) -> &'static Card;

    /// Names and shapes of what is trained.
    fn adapter(&self) -> &Arc<Specs>;

    /// Names of what of it nothing reads, so that it never gets a gradient: it stays as it was released.
    fn unread_weights(&self) -> Vec<String> {
        Vec::new()
    }

    /// The released values of the adapter: π_ref.
    fn reference(&self) -> Result<Params>;

    /// By what the released weights are known in ledgers, all parts together: 64 hexadecimal digits, marked where they are not
    /// known to be the published ones ([`Trust::whole_mark`](crate::weights::Trust::whole_mark)).
    fn weights_hash(&self) -> String;

    /// All that depends on the LR image and its prompt; made once an image.
    fn condition<'l>(&self, lr: &'l Image, prompt: &Prompt) -> Result<Condition<'l>>;

    /// What is done once for all prompts to come, as loading a text encoder is.
    fn prepare(&self, _: &[Prompt], _: GoOn) -> Result<()> {
        Ok(())
    }

    /// Reads what is not in memory yet of the network that predicts, which predictions do themselves.
    fn read(&self) -> Result<()> {
        Ok(())
    }

    /// Gives back the memory of frozen weights that can be read again, where it has such.
    fn let_go(&self) {}

    /// The latents of images whose sides are multiples of the card's `align`.
    fn encode(&self, images: &Tensor, shown: &Shown) -> Result<Tensor>;

    /// The images of latents. Values may leave [0, 1]. Large ones are cut inside.
    fn decode(&self, latents: &Tensor, shown: &Shown) -> Result<Tensor>;

    /// What the network predicts, `[B, C, h, w]`.
    fn predict(&self, tape: &Tape, adapter: &Params, query: &Query) -> Result<Var>;

    /// Bytes that an image of this height and width in pixels takes at its peak, beside the weights.
    fn footprint(&self, px: [usize; 2], pass: Pass) -> usize {
        (self.card().memory.picture)(px, pass)
    }

    /// What a file is that is of another network than the adapter, in words, if its names tell.
    fn other_than_adapter(&self, _: &Source) -> Option<&'static str> {
        None
    }

    /// What of a prompt is not read, in words; `None` where all of it is.
    fn unread(&self, _: &Prompt) -> Result<Option<String>> {
        Ok(None)
    }
}

/// What the network is asked: its prediction at `x_t` for one time an item.
pub struct Query<'q> {
    /// `[B, C, h, w]`.
    pub x_t: &'q Tensor,
    /// As the card's process counts time.
    pub times: &'q [f32],
    pub shown: &'q Shown,
    /// The scale of embedded guidance.
    pub guidance: Option<f32>,
    /// Whether it is a part of a step of training: what is frozen is asked once, and need not stay in memory.
    pub is_of_step: bool,
    shared: OnceCell<Vec<Tensor>>,
}

impl<'q> Query<'q> {
    /// A query without guidance.
    pub fn new(x_t: &'q Tensor, times: &'q [f32], shown: &'q Shown) -> Self {
        Self { x_t, times, shown, guidance: None, is_of_step: false, shared: OnceCell::new() }
    }

    /// The query with a scale for embedded guidance.
    pub fn guided(self, guidance: Option<f32>) -> Self {
        Self { guidance, ..self }
    }

    /// The query as a part of a step of training.
    pub fn of_step(self) -> Self {
        Self { is_of_step: true, ..self }
    }

    /// What the frozen part of a network makes of the query alone, made when first asked for: reference and policy pay for it
    /// once.
    pub fn shared(&self, make: impl FnOnce() -> Result<Vec<Tensor>>) -> Result<&[Tensor]> {
        match self.shared.get() {
            Some(known) => Ok(known),
            None => {
                let made = make()?;
                Ok(self.shared.get_or_init(|| made))
            }
        }
    }
}

/// What is done with a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Prediction without a gradient.
    Sample,
    /// Training, with activations kept.
    Keep,
    /// Training, with activations recomputed.
    Recompute,
}
