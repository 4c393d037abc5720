//! The weights compiled into the program, and the hash that is stored with every score made with them.

use std::sync::OnceLock;

use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A model that is read from compiled-in weights when first used.
pub struct Embedded<T> {
    name: &'static str,
    bytes: &'static [u8],
    load: fn(&Weights) -> Result<T>,
    model: OnceLock<Result<T>>,
    hash: OnceLock<String>,
}

impl<T> Embedded<T> {
    /// `bytes` is a safetensors file; `name` is for error messages.
    pub const fn new(name: &'static str, bytes: &'static [u8], load: fn(&Weights) -> Result<T>) -> Self {
        Self { name, bytes, load, model: OnceLock::new(), hash: OnceLock::new() }
    }

    /// The model.
    pub fn get(&self) -> Result<&T> {
        let load = || (self.load)(&Weights::new(self.name, self.bytes)?);
        self.model.get_or_init(load).as_ref().map_err(Error::invalid)
    }

    /// The first 16 hexadecimal digits of the weights' SHA-256.
    pub fn hash(&self) -> &str {
        self.hash.get_or_init(|| Sha256::digest(self.bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Named tensors from a safetensors file that is compiled in.
pub struct Weights<'a> {
    name: &'static str,
    tensors: SafeTensors<'a>,
}

impl<'a> Weights<'a> {
    fn new(name: &'static str, bytes: &'a [u8]) -> Result<Self> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|cause| broken(name, cause))?;
        Ok(Self { name, tensors })
    }

    /// A tensor of `len` values, f16 or f32, as f32.
    pub fn f32s(&self, tensor: &str, len: usize) -> Result<Vec<f32>> {
        let (dtype, bytes) = self.raw(tensor)?;
        let values: Vec<f32> = match dtype {
            Dtype::F16 => bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
            Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            other => return Err(broken(self.name, format!("{tensor} is {other:?}"))),
        };
        self.of_length(tensor, values, len)
    }

    /// A tensor of `len` f64 values.
    pub fn f64s(&self, tensor: &str, len: usize) -> Result<Vec<f64>> {
        match self.raw(tensor)? {
            (Dtype::F64, bytes) => {
                self.of_length(tensor, bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(), len)
            }
            (other, _) => Err(broken(self.name, format!("{tensor} is {other:?}"))),
        }
    }

    fn raw(&self, tensor: &str) -> Result<(Dtype, &'a [u8])> {
        let view = self.tensors.tensor(tensor).map_err(|cause| broken(self.name, cause))?;
        Ok((view.dtype(), view.data()))
    }

    fn of_length<T>(&self, tensor: &str, values: Vec<T>, len: usize) -> Result<Vec<T>> {
        match values.len() == len {
            true => Ok(values),
            false => Err(broken(self.name, format!("{tensor} has {} values instead of {len}", values.len()))),
        }
    }
}

fn broken(name: &str, cause: impl std::fmt::Display) -> Error {
    Error::invalid(format!("the embedded weights of {name} are damaged: {cause}"))
}
