//! Texts as FLUX reads them. Of both encoders no weight is loaded before a text is not known.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokenizers::Tokenizer;

use super::Texts;
use crate::backbones::condition::Prompt;
use crate::backbones::texts::{Encoded, GoOn, KeptTexts};
use crate::networks::clip_bpe::ClipBpe;
use crate::networks::clip_text::{self, ClipText};
use crate::networks::t5_encoder::{self, T5Encoder};
use crate::nn::kernels::Compute;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::Tape;
use crate::weights::Source;
use crate::weights::store::Found;
use crate::{Error, Result, input};

/// Tokens of a text for T5: shorter ones are padded, and the padding is read as well, as FLUX was trained.
const TOKENS: usize = 512;
/// T5's tokens for the end of a text and for what follows it.
const END: &str = "</s>";
const PAD: &str = "<pad>";
/// What pads a text for CLIP-L where no file says so.
const CLIP_PAD: &str = "<|endoftext|>";
/// The largest file of a tokenizer.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Both tokenizers and encoders, of which no weight is loaded.
pub(super) struct Encoders {
    bpe: ClipBpe,
    clip: (ClipText, clip_text::Config, Arc<Specs>, Source),
    pieces: Tokenizer,
    ends: [u32; 2],
    t5: (T5Encoder, Arc<Specs>, Source),
    compute: Compute,
}

impl Encoders {
    /// Errors: a tokenizer is missing or damaged, or has more tokens than its encoder; a weight is missing.
    pub fn open(
        clip: Source,
        clip_config: clip_text::Config,
        t5: Source,
        t5_config: t5_encoder::Config,
        tokenizers: &Found,
        on: &Compute,
    ) -> Result<Self> {
        let file = |path: &str| {
            let found = tokenizers.files.iter().find(|file| file.published.path == path);
            found.map(|file| file.path.as_path()).ok_or_else(|| Error::invalid(format!("the tokenizer lacks {path}")))
        };
        let vocabulary = file("tokenizer/vocab.json")?;
        let bpe = ClipBpe::open_padded(vocabulary, file("tokenizer/merges.txt")?, CLIP_PAD)?;
        let too_many = |path: &Path, tokens: usize, known: usize| match tokens > known {
            true => Err(Error::file(path, format!("has {tokens} tokens, and the text encoder knows {known}"))),
            false => Ok(()),
        };
        too_many(vocabulary, bpe.len(), clip_config.vocabulary)?;
        let path = file("tokenizer_2/tokenizer.json")?;
        let (pieces, ends) = pieces(path)?;
        too_many(path, pieces.get_vocab_size(true), t5_config.vocabulary)?;
        let mut specs = Specs::default();
        let net = ClipText::new(&mut specs, clip_config);
        clip.check(specs.iter(), &["*"])?;
        let clip = (net, clip_config, Arc::new(specs), clip);
        let mut specs = Specs::default();
        let net = T5Encoder::new(&mut specs, t5_config);
        t5.check(specs.iter(), &["*"])?;
        Ok(Self { bpe, clip, pieces, ends, t5: (net, Arc::new(specs), t5), compute: on.clone() })
    }

    /// T5's tokens of a text, all of them, without its end.
    fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        let encoded = self.pieces.encode(text, false);
        let encoded =
            encoded.map_err(|cause| Error::invalid(format!("the text cannot be cut into tokens: {cause}")))?;
        Ok(encoded.get_ids().to_vec())
    }

    /// The same in exactly [`TOKENS`], with end and padding.
    fn padded(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.tokens(text)?;
        ids.truncate(TOKENS - 1);
        ids.push(self.ends[0]);
        ids.resize(TOKENS, self.ends[1]);
        Ok(ids)
    }

    /// Loads both encoders: what T5 and CLIP make of a text, until it is dropped.
    fn open_both(&self) -> Result<impl FnMut(&str) -> Result<Encoded>> {
        let load = |specs, source| Params::as_stored(specs, source, &self.compute);
        let (clip, config, specs, source) = &self.clip;
        let of_clip = load(specs, source)?;
        let (t5, specs, source) = &self.t5;
        let of_t5 = load(specs, source)?;
        let tape = Tape::inference(&self.compute.kernels);
        Ok(move |text: &str| {
            let ids = self.bpe.encode(text, config.positions).ids;
            let pooled = clip.pooled(&tape, &of_clip, &ids)?.tensor().clone();
            Ok([t5.forward(&tape, &of_t5, &self.padded(text)?)?.tensor().clone(), pooled])
        })
    }
}

/// T5's tokenizer, with its tokens of a text's end and of padding.
fn pieces(path: &Path) -> Result<(Tokenizer, [u32; 2])> {
    let fault = |cause: String| Error::file(path, format!("is no tokenizer of T5's: {cause}"));
    let text = input::read(path, MAX_FILE_BYTES)?;
    let mut pieces = Tokenizer::from_bytes(&text).map_err(|cause| fault(cause.to_string()))?;
    // Cut and padded here, so that it is known what was cut.
    pieces.with_truncation(None).map_err(|cause| fault(cause.to_string()))?;
    pieces.with_padding(None);
    let token = |token: &str| pieces.token_to_id(token).ok_or_else(|| fault(format!("it has no {token}")));
    let ends = [token(END)?, token(PAD)?];
    Ok((pieces, ends))
}

/// Texts, and what encodes them.
pub(super) struct Prompts {
    encoders: Encoders,
    kept: KeptTexts,
}

impl Prompts {
    pub fn new(encoders: Encoders, encoders_hash: String, dir: Option<PathBuf>) -> Self {
        let kept = KeptTexts::new(encoders_hash, dir, &encoders.compute.device);
        Self { encoders, kept }
    }
}

impl Texts for Prompts {
    fn embedded(&self, text: &str) -> Result<Encoded> {
        self.kept.embedded(text, |text| self.encoders.open_both()?(text))
    }

    fn learn(&self, texts: &[&str], go_on: GoOn, before: &dyn Fn()) -> Result<()> {
        self.kept.learn(texts, go_on, || {
            before();
            self.encoders.open_both()
        })
    }

    fn unread(&self, prompt: &Prompt) -> Option<String> {
        let (tokens, positions) = (self.encoders.tokens(&prompt.text).ok()?.len(), self.encoders.clip.1.positions);
        let cut = self.encoders.bpe.encode(&prompt.text, positions).cut;
        let mut parts = Vec::new();
        if tokens > TOKENS - 1 {
            parts.push(format!("the prompt is {tokens} tokens long for T5, which reads the first {}", TOKENS - 1));
        }
        if cut > 0 {
            let read = positions.saturating_sub(2);
            parts.push(format!("the prompt is {} tokens long for CLIP, which reads the first {read}", read + cut));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_into_the_tokens_that_transformers_gives_it() {
        let at = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flux").join(name);
        let (pieces, [end, pad]) = pieces(&at("FLUX.1-dev/tokenizer_2/tokenizer.json")).unwrap();
        assert_eq!([end, pad], [1, 0]);
        let computed = Source::open(&at("computed.safetensors")).unwrap();
        let texts: Vec<String> = serde_json::from_slice(&std::fs::read(at("texts.json")).unwrap()).unwrap();
        for (i, text) in texts.iter().enumerate() {
            let wanted = computed.integers(&format!("text.{i}.t5"), &[1, 40]).unwrap();
            let mut ids = pieces.encode(text.as_str(), false).unwrap().get_ids().to_vec();
            ids.truncate(39);
            ids.push(end);
            ids.resize(40, pad);
            assert_eq!(ids.into_iter().map(i64::from).collect::<Vec<_>>(), wanted, "{text:?}");
        }
    }
}
