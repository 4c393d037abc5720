//! From published files to networks, as far as it is the same for all backbones: a part's tensors, the sizes in the `config.json`
//! beside them, and in what the weights are kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use serde_json::Value;

use crate::networks::{clip_text, vae_kl};
use crate::nn::kernels::shape::Activation;
use crate::nn::kernels::{Compute, Precision};
use crate::nn::params::{Params, Specs};
use crate::weights::dtype::Dtype;
use crate::weights::{Part, Source, Store};
use crate::{Error, Result, input};

const CONFIG: &str = "config.json";

/// A part's tensors, and the file that names its folder.
pub(super) struct Opened {
    pub part: &'static Part,
    pub source: Source,
    pub file: PathBuf,
    /// What the part is of, for errors.
    pub model: &'static str,
}

impl Opened {
    /// Opens a part of `model`.
    pub fn of(part: &'static Part, store: &Store, model: &'static str) -> Result<Self> {
        let source = store.open(part)?;
        let found = store.files(part)?;
        let file = found.files.first().map(|file| file.path.clone()).unwrap_or_default();
        Ok(Self { part, source, file, model })
    }

    /// An error about the file, with where to get the right one.
    pub fn fault(&self, cause: impl std::fmt::Display) -> Error {
        Error::file(&self.file, format!("{cause}; get {} {}", self.model, self.part.get))
    }

    /// The `config.json` beside the file; nothing where there is none.
    pub fn beside(&self) -> Result<Option<(PathBuf, Value)>> {
        let path = self.file.with_file_name(CONFIG);
        Ok(json(&path)?.map(|value| (path, value)))
    }

    /// The sizes in the `config.json` beside the file; the published ones where there is none.
    pub fn config<T>(&self, read: impl Fn(&Value) -> std::result::Result<T, String>, published: T) -> Result<T> {
        match self.beside()? {
            None => Ok(published),
            Some((path, value)) => read(&value).map_err(|cause| {
                Error::file(&path, format!("{cause}; {} is needed: get it {}", self.model, self.part.get))
            }),
        }
    }

    /// Where and in what its frozen weights are kept: in the 16 bits that are asked for, or that the file has.
    pub fn kept(&self, on: &Compute) -> Compute {
        let is = |kind| {
            let mut matrices = self.source.iter().filter(|(.., shape)| shape.len() >= 2).peekable();
            matrices.peek().is_some() && matrices.all(|(_, dtype, _)| dtype == kind)
        };
        let frozen = match on.precision.frozen {
            DType::F32 if is(Dtype::F16) => DType::F16,
            DType::F32 if is(Dtype::Bf16) => DType::BF16,
            asked => asked,
        };
        on.clone().in_precision(Precision { frozen, ..on.precision })
    }

    /// The weights; tensors of other names are not looked at.
    pub fn weights(&self, specs: Specs, on: &Compute) -> Result<Params> {
        self.source.check(specs.iter(), &["*"])?;
        Params::from_source(&Arc::new(specs), &self.source, &self.kept(on))
    }

    /// The same, which can be let go of and are then read again.
    pub fn at_hand(&self, specs: Specs, on: &Compute) -> Result<Params> {
        self.source.check(specs.iter(), &["*"])?;
        let (kept, source) = (self.kept(on), Arc::new(self.source.clone()));
        Params::at_hand(&Arc::new(specs), &source, &kept, kept.precision.frozen)
    }
}

/// A file's JSON; nothing where there is no file.
pub(super) fn json(path: &Path) -> Result<Option<Value>> {
    if !path.is_file() {
        return Ok(None);
    }
    let value = serde_json::from_str(&input::read_text(path)?);
    value.map(Some).map_err(|cause| Error::file(path, format!("is not JSON: {cause}")))
}

pub(super) fn number(value: &Value, key: &str) -> std::result::Result<usize, String> {
    let number = value.get(key).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
    number.filter(|number| (1..=1 << 20).contains(number)).ok_or_else(|| format!("{key} is no size"))
}

/// Four sizes.
pub(super) fn four(value: &Value, key: &str) -> std::result::Result<[usize; 4], String> {
    let list = value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let sizes: Vec<usize> = list.iter().filter_map(|v| v.as_u64()).map(|v| v as usize).collect();
    let sizes = <[usize; 4]>::try_from(sizes).ok().filter(|sizes| sizes.iter().all(|v| (1..=1 << 16).contains(v)));
    sizes.ok_or_else(|| format!("{key} are not four sizes, as those of this model are"))
}

/// An autoencoder's sizes; what is not said is as `published`.
pub(super) fn vae_config(value: &Value, published: vae_kl::Config) -> std::result::Result<vae_kl::Config, String> {
    let or = |key: &str, otherwise: usize| value.get(key).map_or(Ok(otherwise), |_| number(value, key));
    let float = |key: &str, otherwise: f32| value.get(key).and_then(Value::as_f64).map_or(otherwise, |v| v as f32);
    let (latent, groups) = (or("latent_channels", 4)?, or("norm_num_groups", 32)?);
    if latent != published.latent {
        return Err(format!("has latents of {latent} channels, not {}", published.latent));
    }
    let channels = four(value, "block_out_channels")?;
    if channels.iter().any(|c| c % groups != 0) {
        return Err("groups do not divide the channels".into());
    }
    let (scale, shift) = (float("scaling_factor", published.scale), float("shift_factor", published.shift));
    if !(scale.is_finite() && scale > 0.0) {
        return Err("scaling_factor is no scale".into());
    }
    let quant = value.get("use_quant_conv").and_then(Value::as_bool).unwrap_or(published.quant);
    Ok(vae_kl::Config { latent, channels, blocks: or("layers_per_block", 2)?, groups, scale, shift, quant })
}

/// The sizes of a text encoder of CLIP's.
pub(super) fn text_config(value: &Value) -> std::result::Result<clip_text::Config, String> {
    let activation = match value.get("hidden_act").and_then(Value::as_str) {
        None | Some("gelu") => Activation::Gelu,
        Some("quick_gelu") => Activation::GeluQuick,
        Some(other) => return Err(format!("{other:?} is an activation that is not known here")),
    };
    let config = clip_text::Config {
        vocabulary: number(value, "vocab_size")?,
        positions: number(value, "max_position_embeddings")?,
        width: number(value, "hidden_size")?,
        inner: number(value, "intermediate_size")?,
        layers: number(value, "num_hidden_layers")?,
        heads: number(value, "num_attention_heads")?,
        activation,
        eps: value.get("layer_norm_eps").and_then(Value::as_f64).map_or(1e-5, |eps| eps as f32),
    };
    match config.width.is_multiple_of(config.heads) && config.positions > 2 && config.layers <= 256 {
        true => Ok(config),
        false => Err("its sizes do not fit each other".into()),
    }
}
