//! A ControlNet for FLUX: the first blocks of a transformer that see the latents of an image beside the noisy ones, and say what to
//! add to the image's tokens (Zhang et al., arXiv 2302.05543; diffusers' `FluxControlNetModel`).

use super::flux_blocks::{Double, Single};
use super::flux_transformer::{self, Begun, Embedders, Residuals, Told};
use crate::Result;
use crate::nn::layers::Linear;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};

/// Weights that never get a gradient where there are no blocks of one stream: nothing reads the text after the last block.
pub const UNTRAINED: usize = 6;
/// Their places in that block.
const UNREAD: [&str; 3] = ["attn.to_add_out.", "ff_context.net.0.proj.", "ff_context.net.2."];

/// The structure. Its sizes are those of the transformer, its blocks its own.
#[derive(Clone, Debug)]
pub struct ControlNet {
    config: flux_transformer::Config,
    embedders: Embedders,
    control: Linear,
    double: Vec<Double>,
    single: Vec<Single>,
    said: [Vec<Linear>; 2],
}

impl flux_transformer::Config {
    /// C-FLUX's ControlNet for FLUX.1-dev.
    pub const C_FLUX: Self = Self { double: 4, single: 0, ..Self::DEV };
}

impl ControlNet {
    /// Declares the weights.
    pub fn new(specs: &mut Specs, config: &flux_transformer::Config) -> Self {
        let embedders = Embedders::new(specs, config);
        let double = (0..config.double).map(|i| Double::new(specs, &format!("transformer_blocks.{i}"), config));
        let double = double.collect();
        let single = (0..config.single).map(|i| Single::new(specs, &format!("single_transformer_blocks.{i}"), config));
        let single = single.collect();
        let width = config.width();
        let mut zeros = |name: &str, count: usize| -> Vec<Linear> {
            (0..count).map(|i| Linear::new(specs, &format!("{name}.{i}"), (width, width), 0.0)).collect()
        };
        let said = [zeros("controlnet_blocks", config.double), zeros("controlnet_single_blocks", config.single)];
        let control = Linear::new(specs, "controlnet_x_embedder", (config.channels, width), 0.0);
        Self { config: *config, embedders, control, double, single, said }
    }

    /// The sizes.
    pub fn config(&self) -> &flux_transformer::Config {
        &self.config
    }

    /// Whether nothing reads what a weight makes of the text.
    pub fn leaves_unread(&self, name: &str) -> bool {
        let last = format!("transformer_blocks.{}.", self.double.len().saturating_sub(1));
        let within = name.strip_prefix(&last).filter(|_| self.single.is_empty());
        within.is_some_and(|within| UNREAD.iter().any(|part| within.starts_with(part)))
    }

    /// What to add to the image's tokens, from noisy latents `x` and those of an image, both `[B, image, channels]`.
    pub fn forward(&self, tape: &Tape, params: &Params, x: &Var, control: &Var, told: &Told) -> Result<Residuals> {
        let seen = tape.linear(params, &self.control, control)?;
        let mut begun = self.embedders.begin(tape, params, x, Some(&seen), told, &self.config)?;
        let image = |begun: &Begun| {
            let all = begun.tokens.tensor().dim(1)?;
            tape.narrow(&begun.tokens, 1, begun.text, all - begun.text)
        };
        let mut residuals = Residuals::default();
        for (i, (block, said)) in self.double.iter().zip(&self.said[0]).enumerate() {
            let is_text_read = i + 1 < self.double.len() || !self.single.is_empty();
            begun.tokens = block.forward(tape, params, &begun, is_text_read)?;
            let seen = if is_text_read { image(&begun)? } else { begun.tokens.clone() };
            residuals.double.push(tape.linear(params, said, &seen)?);
        }
        for (block, said) in self.single.iter().zip(&self.said[1]) {
            begun.tokens = block.forward(tape, params, &begun)?;
            residuals.single.push(tape.linear(params, said, &image(&begun)?)?);
        }
        Ok(residuals)
    }
}
