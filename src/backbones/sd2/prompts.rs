//! Texts as the U-Net reads them. Of the text encoder no weight is loaded before a text is not known.

use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{DType, Tensor};

use crate::Result;
use crate::backbones::condition::Prompt;
use crate::backbones::texts::{Encoded, GoOn, KeptTexts};
use crate::networks::clip_bpe::ClipBpe;
use crate::networks::clip_text::{ClipText, Config};
use crate::nn::kernels::Compute;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::Tape;
use crate::weights::Source;

/// The tokenizer and the text encoder.
pub(super) struct Prompts {
    bpe: ClipBpe,
    config: Config,
    net: ClipText,
    specs: Arc<Specs>,
    source: Source,
    compute: Compute,
    kept: KeptTexts,
}

impl Prompts {
    /// Of an encoder that is known by a hash; `dir` is where its texts stay.
    pub fn new(
        bpe: ClipBpe,
        config: Config,
        source: Source,
        compute: Compute,
        (hash, dir): (String, Option<PathBuf>),
    ) -> Result<Self> {
        let mut specs = Specs::default();
        let net = ClipText::new(&mut specs, config);
        source.check(specs.iter(), &["*"])?;
        let kept = KeptTexts::new(hash, dir, &compute.device);
        Ok(Self { bpe, config, net, specs: Arc::new(specs), source, compute, kept })
    }

    /// A text, `[1, tokens, width]`.
    pub fn embedded(&self, text: &str) -> Result<Tensor> {
        let [states, _] = self.kept.embedded(text, |text| self.open_encoder()?(text))?;
        Ok(states)
    }

    /// Encodes those that are not kept.
    pub fn learn(&self, texts: &[&str], go_on: GoOn) -> Result<()> {
        self.kept.learn(texts, go_on, || self.open_encoder())
    }

    /// Loads the encoder: what it makes of a text, until it is dropped. A summary is not read.
    fn open_encoder(&self) -> Result<impl FnMut(&str) -> Result<Encoded>> {
        let weights = Params::from_source(&self.specs, &self.source, &self.compute)?;
        let tape = Tape::inference(&self.compute.kernels);
        Ok(move |text: &str| {
            let ids = self.bpe.encode(text, self.config.positions).ids;
            let states = self.net.forward(&tape, &weights, &ids)?.tensor().clone();
            Ok([states, Tensor::zeros((1, 1), DType::F32, &self.compute.device)?])
        })
    }

    /// How much of a prompt is beyond what the encoder reads.
    pub fn unread(&self, prompt: &Prompt) -> Option<String> {
        let read = self.config.positions.saturating_sub(2);
        let beyond = |what: &str, text: &str| match self.bpe.encode(text, self.config.positions).cut {
            0 => None,
            cut => Some(format!("{what} is {} tokens long, of which the first {read} are read", read + cut)),
        };
        let parts = [beyond("the prompt", &prompt.text), beyond("the negative prompt", &prompt.negative)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}
