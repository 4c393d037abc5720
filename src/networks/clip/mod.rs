//! CLIP (Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", arXiv 2103.00020) with OpenAI's names of
//! the weights: images and texts as vectors whose cosine says how well they go together.
//!
//! * [`resnet`]: the image tower RN50. [`vision`]: the image towers ViT-B/32 and ViT-L/14. [`text`]: the text tower.

pub mod resnet;
pub mod text;
pub mod vision;

use candle_core::{D, Tensor};

use super::transformer::{Config, Names};
use crate::Result;
use crate::nn::kernels::shape::Activation;

/// What OpenAI's files hold beside the weights.
pub const BESIDE: [&str; 3] = ["input_resolution", "context_length", "vocab_size"];

/// A block of CLIP's transformers.
fn block(width: usize, causal: bool) -> Config {
    Config {
        names: Names::CLIP,
        width,
        heads: width / 64,
        hidden: 4 * width,
        activation: Activation::GeluQuick,
        eps: 1e-5,
        causal,
    }
}

/// Rows of length 1.
pub fn unit(rows: &Tensor) -> Result<Tensor> {
    let lengths = rows.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
    Ok(rows.broadcast_div(&lengths)?)
}
