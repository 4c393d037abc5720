//! Texts as encoders read them, each encoded once and then kept: a few in memory, and all on disk, in the workspace or for as long
//! as the backbone is open. Encoders take gigabytes, so they are loaded for the texts that are not known, and dropped once they are.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Tensor};
use tempfile::TempDir;

use super::condition::Kept;
use super::stored;
use crate::fs::atomic;
use crate::fs::hash::hash_bytes;
use crate::nn::tensors::Width;
use crate::{Error, Result, input};

/// Texts that are remembered: one takes 8.4 MB at the most.
const REMEMBERED: usize = 64;
/// The largest file of a text.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// What encoders make of a text: states of its tokens `[1, tokens, width]`, and a summary `[1, width]`.
pub(super) type Encoded = [Tensor; 2];

/// Is told how many texts of how many are encoded, before each and after the last; its error stops.
pub type GoOn<'g> = &'g mut dyn FnMut(usize, usize) -> Result<()>;

/// What is known of texts.
pub(super) struct KeptTexts {
    /// By what the encoders' files are known: their texts are others' no more.
    encoders_hash: String,
    place: Place,
    device: Device,
    known: Mutex<HashMap<String, Encoded>>,
}

/// Where texts are kept on disk.
enum Place {
    Workspace(PathBuf),
    Passing(Mutex<Option<TempDir>>),
}

impl KeptTexts {
    /// Of encoders that are known by a hash; `dir` is where their texts stay.
    pub fn new(encoders_hash: String, dir: Option<PathBuf>, device: &Device) -> Self {
        let place = dir.map_or_else(|| Place::Passing(Mutex::default()), Place::Workspace);
        Self { encoders_hash, place, device: device.clone(), known: Mutex::default() }
    }

    /// A text; `encode` makes what is not known, of the text that it is given.
    pub fn embedded(&self, text: &str, encode: impl FnOnce(&str) -> Result<Encoded>) -> Result<Encoded> {
        let key = self.key(text);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&key) {
            return Ok(known.clone());
        }
        let encoded = match self.kept(&key)? {
            Some(kept) => kept,
            None => {
                let encoded = encode(text)?;
                self.keep(&key, &encoded)?;
                encoded
            }
        };
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, encoded.clone());
        Ok(encoded)
    }

    /// Has those encoded that are not kept: `open` loads encoders, if there are any, and what it gives encodes one after the other.
    pub fn learn<E>(&self, texts: &[&str], go_on: GoOn, open: impl FnOnce() -> Result<E>) -> Result<()>
    where
        E: FnMut(&str) -> Result<Encoded>,
    {
        let all: BTreeMap<String, &str> = texts.iter().map(|text| (self.key(text), *text)).collect();
        let new: Vec<(String, &str)> = all.into_iter().filter(|(key, _)| !self.is_kept(key)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut encode = open()?;
        for (done, (key, text)) in new.iter().enumerate() {
            go_on(done, new.len())?;
            // Kept one by one: what is done stays done.
            self.keep(key, &encode(text)?)?;
        }
        go_on(new.len(), new.len())
    }

    fn key(&self, text: &str) -> String {
        hash_bytes(format!("{}\n{text}", self.encoders_hash).as_bytes())
    }

    /// Errors: there is no room for what passes.
    fn path(&self, key: &str) -> Result<PathBuf> {
        let name = format!("{key}.safetensors");
        let passing = match &self.place {
            Place::Workspace(dir) => return Ok(dir.join(name)),
            Place::Passing(passing) => passing,
        };
        let mut passing = passing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dir) = passing.as_ref() {
            return Ok(dir.path().join(name));
        }
        let made = tempfile::Builder::new().prefix("dp2o-texts-").tempdir();
        let made = made.map_err(|cause| Error::file(std::env::temp_dir(), input::io_cause(&cause)))?;
        Ok(passing.insert(made).path().join(name))
    }

    fn is_kept(&self, key: &str) -> bool {
        self.path(key).is_ok_and(|path| path.is_file())
    }

    /// A text that was kept on disk; a file that is damaged is none.
    fn kept(&self, key: &str) -> Result<Option<Encoded>> {
        let path = self.path(key)?;
        let bytes = path.is_file().then(|| input::read(&path, MAX_FILE_BYTES).ok()).flatten();
        let kept = bytes.and_then(|bytes| stored::condition_of(&bytes, &path, &Device::Cpu).ok());
        let both = kept.and_then(|kept| <[Encoded; 1]>::try_from(kept.texts).ok());
        let Some([[states, summary]]) = both else { return Ok(None) };
        Ok(Some([states.to_device(&self.device)?, summary.to_device(&self.device)?]))
    }

    /// Keeps a text on disk. Values are those of f32: what comes back is what was encoded.
    fn keep(&self, key: &str, encoded: &Encoded) -> Result<()> {
        let path = self.path(key)?;
        let kept = Kept { maps: Vec::new(), texts: vec![encoded.clone()] };
        atomic::create_dir_durable(path.parent().unwrap_or(&path))?;
        atomic::write_atomic(&path, &stored::condition_file(&kept, Width::F32)?)
    }
}
