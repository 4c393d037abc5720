//! The fixtures, and the small backbone made of them.

use std::path::PathBuf;
use std::sync::Arc;

use candle_core::Tensor;
use dp2o_studio::Result;
use dp2o_studio::backbones::codec::{Codec, Cut};
use dp2o_studio::backbones::condition::Prompt;
use dp2o_studio::backbones::flux::{Flux, Texts, Weights};
use dp2o_studio::networks::controlnet_flux::ControlNet;
use dp2o_studio::networks::flux_transformer::{Config, Transformer};
use dp2o_studio::networks::vae_kl::{self, Vae};
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::params::{Params, Specs};
use dp2o_studio::weights::Source;

#[path = "../sd2/support.rs"]
#[allow(dead_code)]
mod shared;
pub use shared::{Computed, difference, flat, nchw, nhwc, weights};

pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flux").join(name)
}

/// What diffusers computed.
pub fn computed(name: &str) -> Computed {
    Computed::at(&path(name))
}

/// A file of the published folder.
pub fn folder(name: &str) -> Source {
    Source::open(&path("FLUX.1-dev").join(name)).unwrap()
}

pub const TRANSFORMER: Config = Config {
    channels: 64,
    double: 5,
    single: 2,
    heads: 2,
    dim: 16,
    text: 24,
    pooled: 20,
    guidance: true,
    axes: [4, 6, 6],
};
pub const CONTROL: Config = Config { double: 2, single: 0, ..TRANSFORMER };
pub const VAE: vae_kl::Config = vae_kl::Config { channels: [4, 8, 8, 8], groups: 2, ..vae_kl::Config::FLUX };

/// The transformer whose weights compute `on`.
pub fn transformer(on: &Compute) -> (Transformer, Params) {
    let mut specs = Specs::default();
    let net = Transformer::new(&mut specs, &TRANSFORMER);
    let source = folder("transformer/diffusion_pytorch_model.safetensors.index.json");
    source.check(specs.iter(), &[]).unwrap();
    (net, Params::from_source(&Arc::new(specs), &source, on).unwrap())
}

pub fn control(file: &str, config: &Config) -> (ControlNet, Specs, Source) {
    let mut specs = Specs::default();
    let net = ControlNet::new(&mut specs, config);
    let source = Source::open(&path(file)).unwrap();
    source.check(specs.iter(), &[]).unwrap();
    (net, specs, source)
}

pub fn codec(on: &Compute) -> Codec {
    let mut specs = Specs::default();
    let net = Vae::new(&mut specs, VAE);
    let source = folder("vae/diffusion_pytorch_model.safetensors");
    source.check(specs.iter(), &[]).unwrap();
    let weights = Params::from_source(&Arc::new(specs), &source, on).unwrap();
    Codec { net, config: VAE, weights, cut: Cut::default() }
}

/// No texts.
struct Silent;

impl Texts for Silent {
    fn embedded(&self, _: &str) -> Result<[Tensor; 2]> {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &candle_core::Device::Cpu);
        Ok([zeros(&[1, 7, TRANSFORMER.text])?, zeros(&[1, TRANSFORMER.pooled])?])
    }

    fn unread(&self, _: &Prompt) -> Option<String> {
        None
    }
}

/// The backbone, with a text that says nothing.
pub fn backbone() -> Flux {
    backbone_on(&Compute::cpu())
}

pub fn backbone_on(on: &Compute) -> Flux {
    let (transformer, weights) = transformer(on);
    let (control, specs, released) = control("c-flux/model.safetensors", &CONTROL);
    let (codec, adapter, texts) = (codec(on), Arc::new(specs), Box::new(Silent));
    Flux {
        compute: on.clone(),
        transformer,
        weights: Weights::Held(weights),
        codec,
        texts,
        control,
        adapter,
        released,
        weights_hash: "0".repeat(64),
    }
}
