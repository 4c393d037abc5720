//! Texts as FLUX reads them, each encoded once and then kept: in memory, and on disk in the workspace. T5's encoder takes ten
//! gigabytes, so it is loaded for the texts that are not known, and dropped once they are.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};
use tokenizers::Tokenizer;

use super::Texts;
use crate::backbones::condition::{Kept, Prompt};
use crate::backbones::stored;
use crate::fs::atomic;
use crate::fs::hash::hash_bytes;
use crate::networks::clip_bpe::ClipBpe;
use crate::networks::clip_text::{self, ClipText};
use crate::networks::t5_encoder::{self, T5Encoder};
use crate::nn::kernels::Compute;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::Tape;
use crate::nn::tensors::Width;
use crate::weights::Source;
use crate::weights::store::Found;
use crate::{Error, Result, input};

/// Tokens of a text for T5: shorter ones are padded, and the padding is read as well, as FLUX was trained.
const TOKENS: usize = 512;
/// Texts that are remembered: one takes 8.4 MB.
const REMEMBERED: usize = 64;
/// T5's tokens for the end of a text and for what follows it.
const END: &str = "</s>";
const PAD: &str = "<pad>";
/// What pads a text for CLIP-L where no file says so.
const CLIP_PAD: &str = "<|endoftext|>";
/// The largest file of a text.
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

    /// What T5 and CLIP make of texts. One encoder after the other is loaded, and dropped.
    fn encoded(&self, texts: &[&str]) -> Result<Vec<[Tensor; 2]>> {
        let tape = Tape::inference(&self.compute.kernels);
        let pooled: Vec<Tensor> = {
            let (net, config, specs, source) = &self.clip;
            let weights = Params::as_stored(specs, source, &self.compute)?;
            let pooled = |text: &&str| {
                let ids = self.bpe.encode(text, config.positions).ids;
                Ok(net.pooled(&tape, &weights, &ids)?.tensor().clone())
            };
            texts.iter().map(pooled).collect::<Result<_>>()?
        };
        let (net, specs, source) = &self.t5;
        let weights = Params::as_stored(specs, source, &self.compute)?;
        let both = |(text, pooled): (&&str, Tensor)| {
            Ok([net.forward(&tape, &weights, &self.padded(text)?)?.tensor().clone(), pooled])
        };
        texts.iter().zip(pooled).map(both).collect()
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

/// What is known of texts.
pub(super) struct Prompts {
    encoders: Encoders,
    /// By what the encoders' files are known: their texts are others' no more.
    encoders_hash: String,
    /// Where texts are kept on disk.
    dir: Option<PathBuf>,
    known: Mutex<HashMap<String, [Tensor; 2]>>,
}

impl Prompts {
    pub fn new(encoders: Encoders, encoders_hash: String, dir: Option<PathBuf>) -> Self {
        Self { encoders, encoders_hash, dir, known: Mutex::default() }
    }

    fn key(&self, text: &str) -> String {
        hash_bytes(format!("{}\n{text}", self.encoders_hash).as_bytes())
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join(format!("{key}.safetensors")))
    }

    /// A text that was kept on disk; a file that is damaged is none.
    fn kept(&self, key: &str) -> Option<[Tensor; 2]> {
        let path = self.path(key)?;
        let bytes = path.is_file().then(|| input::read(&path, MAX_FILE_BYTES).ok()).flatten()?;
        let kept = stored::condition_of(&bytes, &path, &Device::Cpu).ok()?;
        let [both] = <[[Tensor; 2]; 1]>::try_from(kept.texts).ok()?;
        let [states, pooled] = both.map(|tensor| tensor.to_device(&self.encoders.compute.device));
        Some([states.ok()?, pooled.ok()?])
    }

    /// Keeps a text on disk. Values are those of f32: what comes back is what was encoded.
    fn keep(&self, key: &str, both: &[Tensor; 2]) -> Result<()> {
        let Some(path) = self.path(key) else { return Ok(()) };
        let kept = Kept { maps: Vec::new(), texts: vec![both.clone()] };
        atomic::create_dir_durable(path.parent().unwrap_or(&path))?;
        let bytes = stored::condition_file(&kept, Width::F32)?;
        atomic::write_atomic(&path, &bytes)
    }
}

impl Texts for Prompts {
    fn embedded(&self, text: &str) -> Result<[Tensor; 2]> {
        let key = self.key(text);
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        self.learn(&[text])?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key).cloned().ok_or_else(|| Error::invalid("a text was encoded and is not known"))
    }

    fn learn(&self, texts: &[&str]) -> Result<()> {
        let mut new: BTreeMap<String, &str> = texts.iter().map(|text| (self.key(text), *text)).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + new.len() > REMEMBERED {
            known.clear();
        }
        new.retain(|key, _| !known.contains_key(key));
        // Many are read again from disk when it is their turn.
        let is_few = new.len() <= REMEMBERED;
        new.retain(|key, _| match self.kept(key) {
            Some(both) if is_few => {
                known.insert(key.clone(), both);
                false
            }
            kept => kept.is_none(),
        });
        if new.is_empty() {
            return Ok(());
        }
        let all: Vec<&str> = new.values().copied().collect();
        for (key, both) in new.keys().zip(self.encoders.encoded(&all)?) {
            self.keep(key, &both)?;
            if is_few || self.dir.is_none() {
                known.insert(key.clone(), both);
            }
        }
        Ok(())
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
