//! Models that are read from weights compiled into the program when they are first used, and the hash that is stored with every
//! score made with them.

use std::sync::OnceLock;

use crate::fs::hash::hash_bytes;
use crate::weights::Source;
use crate::{Error, Result};

/// A model that is read from compiled-in weights when first used.
pub struct Embedded<T> {
    name: &'static str,
    bytes: &'static [u8],
    load: fn(&Source) -> Result<T>,
    model: OnceLock<Result<T>>,
    hash: OnceLock<String>,
}

impl<T> Embedded<T> {
    /// `bytes` is a safetensors file; `name` is for error messages.
    pub const fn new(name: &'static str, bytes: &'static [u8], load: fn(&Source) -> Result<T>) -> Self {
        Self { name, bytes, load, model: OnceLock::new(), hash: OnceLock::new() }
    }

    /// The model.
    pub fn get(&self) -> Result<&T> {
        let load = || (self.load)(&Source::embedded(self.name, self.bytes)?);
        self.model.get_or_init(load).as_ref().map_err(Error::invalid)
    }

    /// The first 16 hexadecimal digits of the weights' SHA-256.
    pub fn hash(&self) -> &str {
        self.hash.get_or_init(|| format!("{:.16}", hash_bytes(self.bytes)))
    }
}
