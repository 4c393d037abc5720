//! Generative super-resolution models and their samplers.
//!
//! * [`process`]: flow matching and ε-prediction diffusion: noise in, clean image out.
//! * [`Backbone`]: what a model must offer. [`mini`]: the embedded one. [`card`]: what is known of one without loading it.
//! * [`sampler`]: Euler, Heun, DDIM, DDPM over any backbone. [`solve`], [`tiles`], [`field`]: pictures of any size in memory
//!   that follows the tile.
//! * [`pretrain`]: trains `mini` from photographs.

pub mod card;
mod condition;
pub mod field;
pub mod mini;
pub mod pretrain;
pub mod process;
pub mod sampler;
pub mod solve;
pub mod tiles;

use std::sync::Arc;

use candle_core::Tensor;

use crate::Result;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use process::Process;

/// A generative ×4 super-resolution model: the structure of a network that denoises under the condition of an LR image.
///
/// Images are planar `[B, 3, H, W]` in [0, 1]; "clean" and "noisy" images are in the model's own space, which [`encode`] and
/// [`decode`] lead to and from.
///
/// [`encode`]: Backbone::encode
/// [`decode`]: Backbone::decode
pub trait Backbone: Send + Sync {
    /// The name in recipes and files.
    fn name(&self) -> &'static str;

    /// Names and shapes of the weights.
    fn specs(&self) -> &Arc<Specs>;

    /// The noising process the network was trained for.
    fn process(&self) -> &Process;

    /// Height and width must be multiples of this many pixels.
    fn align_px(&self) -> usize;

    /// Memory that [`Backbone::predict`] takes at its peak without a gradient, in bytes per pixel.
    fn bytes_per_px(&self) -> usize;

    /// The prediction at `x_t` (velocity or noise) for one time per image; `condition` is the LR image enlarged to the
    /// output's size, `[B, 3, H, W]` in [0, 1].
    fn predict(&self, tape: &Tape, params: &Params, x_t: &Tensor, times: &[f32], condition: &Tensor) -> Result<Var>;

    /// The clean image of the model for an HR image.
    fn encode(&self, hr: &Tensor, condition: &Tensor) -> Result<Tensor>;

    /// The SR image of a clean image of the model, each row of it from the same row. Values may leave [0, 1].
    fn decode(&self, clean: &Tensor, condition: &Tensor) -> Result<Tensor>;
}
