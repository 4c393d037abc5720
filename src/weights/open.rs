//! Named tensors of a network, whatever holds them: one [`Source`] for safetensors, shards, PyTorch's files and bytes that are
//! compiled in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::bytes::Bytes;
use super::dtype::{Dtype, Wanted};
use super::packed::Packed;
use super::stored::Stored;
use super::trust::Trust;
use super::{gguf, npz, pth, safetensors, shards};
use crate::fs::hash::hash_bytes;
use crate::fs::reading::Reading;
use crate::{Error, Result};

/// Named tensors. Nothing of them is read before it is asked for.
#[derive(Clone, Debug)]
pub struct Source {
    origin: PathBuf,
    tensors: BTreeMap<String, Stored>,
    trust: Option<Trust>,
}

impl Source {
    /// Opens a file by what is in it: safetensors, an index of shards (`….index.json`), GGUF, numpy's `.npz`, or a file of PyTorch. Whether it is the
    /// published one is not looked at: [`super::Store::open`] does.
    pub fn open(path: &Path) -> Result<Self> {
        Self::watched(path, &Reading::default())
    }

    /// [`Source::open`], of which is counted what is read then and later.
    pub(super) fn watched(path: &Path, reading: &Reading) -> Result<Self> {
        let tensors = match path.to_string_lossy().ends_with(".index.json") {
            true => shards::tensors(path, reading)?,
            false => of_bytes(&Arc::new(Bytes::open(path, reading)?))?,
        };
        Ok(Self { origin: path.to_owned(), tensors, trust: None })
    }

    /// Weights that are compiled into the program, and so are what they are meant to be; `name` is for errors.
    pub fn embedded(name: &str, bytes: &'static [u8]) -> Result<Self> {
        let tensors = of_bytes(&Arc::new(Bytes::of_static(name, bytes)))?;
        Ok(Self { origin: name.into(), tensors, trust: Some(Trust::Verified { sha256: hash_bytes(bytes) }) })
    }

    /// Weights in memory; `origin` names them in errors.
    pub fn of_vec(origin: &Path, bytes: Vec<u8>) -> Result<Self> {
        let tensors = of_bytes(&Arc::new(Bytes::of_vec(origin, bytes)))?;
        Ok(Self { origin: origin.to_owned(), tensors, trust: None })
    }

    /// The same, known to be of this SHA-256 and not to be published.
    pub fn unverified(self, sha256: String) -> Self {
        self.with_trust(Some(Trust::Unverified { sha256 }))
    }

    /// The tensors of several files together. Errors: a name is in two of them.
    pub fn joined(sources: Vec<Self>) -> Result<Self> {
        let mut all: Option<Self> = None;
        for source in sources {
            let Some(all) = &mut all else {
                all = Some(source);
                continue;
            };
            for (name, stored) in source.tensors {
                if all.tensors.insert(name.clone(), stored).is_some() {
                    return Err(source_fault(&source.origin, format!("{name:?} is in {} too", all.origin.display())));
                }
            }
            let trusts: Vec<_> = [all.trust.take(), source.trust].into_iter().flatten().collect();
            all.trust = Trust::of_all(&trusts);
        }
        all.ok_or_else(|| Error::invalid("no file of weights is named"))
    }

    /// The file, or what to call these weights.
    pub fn origin(&self) -> &Path {
        &self.origin
    }

    /// Whether these are the published weights; `None` where nobody has looked.
    pub fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }

    pub(super) fn with_trust(mut self, trust: Option<Trust>) -> Self {
        self.trust = trust;
        self
    }

    /// The files that tensors are read from.
    pub(super) fn files(&self) -> Vec<Arc<Bytes>> {
        let mut files: Vec<Arc<Bytes>> = Vec::new();
        for stored in self.tensors.values() {
            if !files.iter().any(|known| Arc::ptr_eq(known, &stored.bytes)) {
                files.push(stored.bytes.clone());
            }
        }
        files
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Name, format and shape of every tensor, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Dtype, &[usize])> {
        self.tensors.iter().map(|(name, stored)| (name.as_str(), stored.dtype, stored.shape.as_slice()))
    }

    /// The shape of a tensor; `None` where there is none of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|stored| stored.shape.as_slice())
    }

    /// The values of a floating-point tensor of this shape, brought to f32, f64, f16 or bf16.
    ///
    /// Errors name file and tensor: it is missing, has another shape, is of whole numbers, or holds values that are not finite.
    pub fn floats<T: Wanted>(&self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        let stored = self.of_shape(name, shape)?;
        if !stored.dtype.is_float() {
            return Err(self.fault(format!(
                "the weight {name:?} has type {:?}; a floating-point type is needed: take the file as it is published",
                stored.dtype
            )));
        }
        let (values, bad) = stored.checked::<T>()?;
        stored.bytes.check_unchanged()?;
        match bad {
            None => Ok(values),
            Some(bad) => Err(self.fault(format!("the weight {name:?} contains {bad}"))),
        }
    }

    /// As [`Source::floats`] for a tensor of any shape with `count` values.
    pub fn flat<T: Wanted>(&self, name: &str, count: usize) -> Result<Vec<T>> {
        let shape = self.shape(name).unwrap_or_default().to_vec();
        match self.floats(name, &shape)? {
            values if values.len() == count => Ok(values),
            values => Err(self.fault(format!("the weight {name:?} has {} values instead of {count}", values.len()))),
        }
    }

    /// The values of a tensor of whole numbers of this shape. Errors as [`Source::floats`].
    pub fn integers(&self, name: &str, shape: &[usize]) -> Result<Vec<i64>> {
        let stored = self.of_shape(name, shape)?;
        match stored.dtype.is_float() {
            false => read(stored),
            true => {
                Err(self.fault(format!("the tensor {name:?} has type {:?}; whole numbers are needed", stored.dtype)))
            }
        }
    }

    /// A floating-point tensor of this shape as `dtype` (F32, F64, F16 or BF16) on a device. Errors as [`Source::floats`].
    pub fn tensor(&self, name: &str, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        Ok(match dtype {
            DType::F64 => Tensor::from_vec(self.floats::<f64>(name, shape)?, shape, device)?,
            DType::F16 => Tensor::from_vec(self.floats::<half::f16>(name, shape)?, shape, device)?,
            DType::BF16 => Tensor::from_vec(self.floats::<half::bf16>(name, shape)?, shape, device)?,
            DType::F32 => Tensor::from_vec(self.floats::<f32>(name, shape)?, shape, device)?,
            other => return Err(Error::invalid(format!("weights cannot be read as {other:?}"))),
        })
    }

    /// A matrix of this shape as it lies in the file, on a device; `None` where its numbers are of 16 bits or more. Errors as
    /// [`Source::floats`].
    pub fn packed(&self, name: &str, shape: &[usize], device: &Device) -> Result<Option<Packed>> {
        let stored = self.of_shape(name, shape)?;
        let packed = stored.packed(device)?;
        stored.bytes.check_unchanged()?;
        Ok(packed)
    }

    /// The format of a tensor; `None` where there is none of that name.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).map(|stored| stored.dtype)
    }

    /// Numbers of 8 bits with the scales that lie beside them: `NAME.scale_weight` (or `NAME.weight_scale`) for `NAME.weight`, one
    /// for the whole matrix. What is known of inputs is left out: they are not rounded here.
    ///
    /// Errors: a matrix has several scales, or one that is not finite.
    pub(super) fn scaled(mut self) -> Result<Self> {
        const SCALES: [&str; 2] = [".scale_weight", ".weight_scale"];
        const UNREAD: [&str; 4] = [".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8"];
        let scale_of = |name: &str| SCALES.iter().find_map(|end| name.strip_suffix(end)).map(str::to_owned);
        let scales: Vec<(String, String)> =
            self.tensors.keys().filter_map(|name| Some((name.clone(), scale_of(name)?))).collect();
        for (name, matrix) in scales {
            let Some(scale) = self.tensors.remove(&name) else { continue };
            let Some(stored) = self.tensors.get_mut(&format!("{matrix}.weight")) else { continue };
            if !matches!(stored.dtype, Dtype::F8E4m3 | Dtype::F8E5m2) {
                continue;
            }
            match read::<f32>(&scale)?.as_slice() {
                [one] if one.is_finite() => stored.factor = *one,
                several => {
                    let cause = format!("{name:?} are {} scales; one for the matrix is known here", several.len());
                    return Err(source_fault(&self.origin, cause));
                }
            }
        }
        self.tensors.retain(|name, _| !UNREAD.iter().any(|end| name.ends_with(end)));
        Ok(self)
    }

    /// Every tensor under the name that `rename` gives it; tensors it gives none are left out. Errors: two get one name.
    pub fn renamed(self, rename: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        for (name, stored) in self.tensors {
            let Some(new) = rename(&name) else { continue };
            if tensors.insert(new.clone(), stored).is_some() {
                return Err(source_fault(&self.origin, format!("{name:?} and another tensor are both {new:?}")));
            }
        }
        Ok(Self { tensors, ..self })
    }

    /// The tensors below a prefix such as `params.`, without it; the same where none has it.
    pub fn below(self, prefix: &str) -> Result<Self> {
        match self.tensors.keys().any(|name| name.starts_with(prefix)) {
            true => self.renamed(|name| name.strip_prefix(prefix).map(str::to_owned)),
            false => Ok(self),
        }
    }

    /// The tensors that `split` makes of each, by their names. Errors: two get one name.
    pub(super) fn split(self, split: impl Fn(&str, &Stored) -> Result<Vec<(String, Stored)>, String>) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        for (name, stored) in &self.tensors {
            for (new, part) in
                split(name, stored).map_err(|cause| self.fault(format!("the weight {name:?} {cause}")))?
            {
                if tensors.insert(new.clone(), part).is_some() {
                    return Err(self.fault(format!("{name:?} and another tensor are both {new:?}")));
                }
            }
        }
        Ok(Self { tensors, ..self })
    }

    /// Convolutions of one pixel, of the tensors that `is_matrix` names, as the matrices they are.
    pub(super) fn with_matrices(mut self, is_matrix: impl Fn(&str) -> bool) -> Self {
        for (_, stored) in self.tensors.iter_mut().filter(|(name, _)| is_matrix(name)) {
            if let [_, _, 1, 1] = stored.shape[..] {
                stored.shape.truncate(2);
                if let Some(strides) = &mut stored.strides {
                    strides.truncate(2);
                }
            }
        }
        self
    }

    /// Whether these are exactly the tensors of a network: `wanted` names and shapes, besides those that `allowed` (names, or
    /// their beginnings or ends with a `*`) lets pass unread.
    ///
    /// Errors name the file and the first tensors that are missing, of another shape, or not known.
    pub fn check<'n>(&self, wanted: impl IntoIterator<Item = (&'n str, &'n [usize])>, allowed: &[&str]) -> Result<()> {
        let wanted: BTreeMap<&str, &[usize]> = wanted.into_iter().collect();
        let missing: Vec<&str> = wanted.keys().copied().filter(|name| !self.tensors.contains_key(*name)).collect();
        if !missing.is_empty() {
            return Err(self.fault(listed(&missing, "missing")));
        }
        for (name, shape) in &wanted {
            self.of_shape(name, shape)?;
        }
        let passes = |name: &str| allowed.iter().any(|pattern| matches(pattern, name));
        let unknown: Vec<&str> = self
            .tensors
            .keys()
            .map(String::as_str)
            .filter(|name| !wanted.contains_key(name) && !passes(name))
            .collect();
        match unknown.is_empty() {
            true => Ok(()),
            false => Err(self.fault(listed(&unknown, "not of this network"))),
        }
    }

    /// Errors: a file is not what it was when it was opened.
    pub fn check_unchanged(&self) -> Result<()> {
        self.files().iter().try_for_each(|bytes| bytes.check_unchanged())
    }

    fn of_shape(&self, name: &str, shape: &[usize]) -> Result<&Stored> {
        let stored = self.tensors.get(name).ok_or_else(|| self.fault(format!("the weight {name:?} is missing")))?;
        match stored.shape == shape {
            true => Ok(stored),
            false => Err(self.fault(format!("the weight {name:?} has shape {:?}, not {shape:?}", stored.shape))),
        }
    }

    fn fault(&self, cause: String) -> Error {
        source_fault(&self.origin, cause)
    }
}

/// The tensors of a file by what it begins with.
pub(super) fn of_bytes(bytes: &Arc<Bytes>) -> Result<BTreeMap<String, Stored>> {
    match () {
        _ if gguf::is_gguf(bytes)? => gguf::tensors(bytes),
        _ if npz::is_npz(bytes)? => npz::tensors(bytes),
        _ if pth::is_pth(bytes)? => pth::tensors(bytes),
        _ => safetensors::tensors(bytes),
    }
}

/// The values of a tensor, of the file as it was when it was opened.
fn read<T: Wanted>(stored: &Stored) -> Result<Vec<T>> {
    let values = stored.values()?;
    stored.bytes.check_unchanged()?;
    Ok(values)
}

fn source_fault(origin: &Path, cause: String) -> Error {
    Error::file(origin, cause)
}

/// The first of some weights and what they are, for an error.
fn listed(names: &[&str], what: &str) -> String {
    let shown: Vec<String> = names.iter().take(3).map(|name| format!("{name:?}")).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    match names.len() {
        1 => format!("the weight {} is {what}", shown.concat()),
        count => format!("{count} weights are {what}: {}{more}", shown.join(", ")),
    }
}

/// Whether a name is one that a pattern means.
fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(begin), _) => name.starts_with(begin),
        (_, Some(end)) => name.ends_with(end),
        _ => name == pattern,
    }
}
