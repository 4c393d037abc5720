//! From the published files to networks. Sizes are those of the tensors themselves, as most of the forms in which FLUX.1-dev is had
//! have no `config.json`; what other models' files would be taken for is said of them.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::prompts::{Encoders, Prompts};
use super::{Flux, Weights};
use crate::backbones::codec::{Codec, Cut};
use crate::backbones::files::{Opened, text_config, vae_config};
use crate::networks::clip_text;
use crate::networks::controlnet_flux::ControlNet;
use crate::networks::flux_transformer::{Config, Transformer};
use crate::networks::t5_encoder;
use crate::networks::vae_kl::{self, Vae};
use crate::nn::kernels::Compute;
use crate::nn::params::Specs;
use crate::weights::registry::{C_FLUX, C_FLUX_PARTS, FLUX_CLIP, FLUX_T5, FLUX_TOKENIZERS, FLUX_TRANSFORMER, FLUX_VAE};
use crate::weights::store::Found;
use crate::weights::{Source, Store, Trust, bfl, names};
use crate::{Error, Result};

/// What the parts are of.
const MODEL: &str = "FLUX.1-dev";

/// Opens all parts; weights are read when they are needed, the autoencoder's at once.
pub(super) fn open(on: &Compute, store: &Store) -> Result<Flux> {
    let lacking = store.lacking(C_FLUX_PARTS);
    if !lacking.is_empty() {
        return Err(Error::invalid(lacking.join("; ")));
    }
    let parts = [&FLUX_TRANSFORMER, &FLUX_VAE, &FLUX_CLIP, &FLUX_T5, &C_FLUX];
    let [transformer, vae, clip, t5, control] = parts.map(|part| Opened::of(part, store, MODEL));
    let [transformer, vae, clip, t5, control] = [transformer?, vae?, clip?, t5?, control?];
    let tokenizers = store.files(&FLUX_TOKENIZERS)?;
    let trust_of = |opened: &[&Opened], files: &Found| {
        let of_files = files.files.iter().filter_map(|file| file.trust.as_ref());
        Trust::of_all(opened.iter().filter_map(|opened| opened.source.trust()).chain(of_files))
            .map(|trust| trust.whole_mark())
            .unwrap_or_default()
    };
    let weights_hash = trust_of(&[&transformer, &vae, &clip, &t5, &control], &tokenizers);
    let encoders_hash = trust_of(&[&clip, &t5], &tokenizers);

    let transformer = Opened { source: bfl::transformer(transformer.source.clone())?, ..transformer };
    let config = transformer_config(&transformer)?;
    let mut specs = Specs::default();
    let network = Transformer::new(&mut specs, &config);
    transformer.source.check(specs.iter(), &["*"])?;
    let (control, adapter, released) = control_net(control, &config)?;
    let texts = texts(clip, t5, &tokenizers, &config, &on.around())?;
    let texts = Box::new(Prompts::new(texts, encoders_hash, store.texts_dir()));
    let codec = codec(vae, &on.around())?;
    let weights = Weights::of_source(specs, transformer.source, on);
    let (compute, adapter) = (on.clone(), Arc::new(adapter));
    Ok(Flux { compute, transformer: network, weights, codec, texts, control, adapter, released, weights_hash })
}

/// The sizes of a transformer, or why it is none of FLUX.1-dev's.
fn transformer_config(opened: &Opened) -> Result<Config> {
    if let Some(other) = other_transformer(&opened.source) {
        return Err(opened.fault(other));
    }
    let beside = opened.beside()?;
    let config = sizes(&opened.source, beside.as_ref()).map_err(|cause| opened.fault(cause))?;
    match (config.guidance, config.channels) {
        (true, 64) => Ok(config),
        (true, channels) => Err(opened.fault(format!(
            "takes tokens of {channels} values and not 64, as FLUX's networks for filling, edges or depth do"
        ))),
        (false, _) => Err(opened.fault("is not told a guidance scale, as FLUX.1-schnell is not")),
    }
}

/// What a file is that is no transformer of FLUX, if that can be told by its names.
fn other_transformer(source: &Source) -> Option<&'static str> {
    let has = |part: &str| source.iter().any(|(name, ..)| name.contains(part));
    Some(match () {
        _ if has(".absmax") || has("quant_state") => {
            "is packed by bitsandbytes (nf4), which is not read; GGUF and fp8 are"
        }
        _ if has(".qweight") || has("svdq") || has("smooth_factor") => "is packed for kernels of its own (SVDQuant)",
        _ if has("lora") => "is a LoRA",
        _ if has("controlnet_blocks") => "is a ControlNet",
        _ if has("down_blocks.") || has("input_blocks.") => "is a U-Net, as Stable Diffusion and SDXL have",
        _ if has("joint_blocks.") || has("pos_embed.proj") => "is of Stable Diffusion 3",
        _ if has("double_stream_modulation") => "is of FLUX.2",
        _ if !has("transformer_blocks.") => "has no blocks of a transformer",
        _ => return None,
    })
}

/// The sizes that tensors have, in diffusers' names. What turns a head's channels is in the `config.json`, where there is one.
fn sizes(source: &Source, beside: Option<&(PathBuf, Value)>) -> std::result::Result<Config, String> {
    let shape = |name: &str| source.shape(name).ok_or_else(|| format!("the weight {name:?} is missing"));
    let matrix = |name: &str| match shape(name)? {
        &[rows, columns] if rows > 0 && columns > 0 => Ok([rows, columns]),
        other => Err(format!("the weight {name:?} has shape {other:?}")),
    };
    let count = |prefix: &str| {
        let number = |name: &str| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
        source.iter().filter_map(|(name, ..)| number(name)).max().map_or(0, |last| last + 1).min(1 << 10)
    };
    let [width, channels] = matrix("x_embedder.weight")?;
    let dim = match shape("transformer_blocks.0.attn.norm_q.weight")? {
        &[dim] if dim > 0 && width % dim == 0 => dim,
        other => return Err(format!("heads of {other:?} channels do not divide {width}")),
    };
    let said = beside.and_then(|(_, value)| value.get("axes_dims_rope")?.as_array());
    let said: Option<Vec<usize>> =
        said.map(|axes| axes.iter().filter_map(Value::as_u64).map(|axis| axis as usize).collect());
    let axes = said.map_or(Ok(Config::DEV.axes), <[usize; 3]>::try_from);
    let axes = axes.map_err(|_| "axes_dims_rope are not three sizes".to_owned())?;
    if axes.iter().sum::<usize>() != dim || axes.iter().any(|axis| axis % 2 == 1) {
        return Err(format!("heads of {dim} channels are not turned by axes {axes:?}"));
    }
    Ok(Config {
        channels,
        double: count("transformer_blocks."),
        single: count("single_transformer_blocks."),
        heads: width / dim,
        dim,
        text: matrix("context_embedder.weight")?[1],
        pooled: matrix("time_text_embed.text_embedder.linear_1.weight")?[1],
        guidance: source.shape("time_text_embed.guidance_embedder.linear_1.weight").is_some(),
        axes,
    })
}

/// The ControlNet's structure and its released weights, which are exactly those.
fn control_net(control: Opened, transformer: &Config) -> Result<(ControlNet, Specs, Source)> {
    let source = names::plain(control.source)?;
    let refuse = |cause: String| {
        let name = control.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Error::file(
            source.origin(),
            format!("{name} {cause}, and a ControlNet for FLUX in diffusers' names is needed; get it {}", C_FLUX.get),
        )
    };
    if let Some(other) = other_control_net(&source) {
        return Err(refuse(format!("is {other}")));
    }
    let mut config = sizes(&source, None)
        .or_else(|_| {
            // Of the transformer's axes, where those are not FLUX's.
            let said = serde_json::json!({ "axes_dims_rope": transformer.axes });
            sizes(&source, Some(&(PathBuf::new(), said)))
        })
        .map_err(|cause| refuse(format!("is of other sizes ({cause})")))?;
    config.axes = transformer.axes;
    let same = Config { double: config.double, single: config.single, ..*transformer };
    if config != same {
        return Err(refuse(format!(
            "is for a network of width {}, texts of {} and guidance {}, and the transformer's are {}, {} and {}",
            config.width(),
            config.text,
            config.guidance,
            transformer.width(),
            transformer.text,
            transformer.guidance
        )));
    }
    let mut specs = Specs::default();
    let net = ControlNet::new(&mut specs, &config);
    source.check(specs.iter(), &[])?;
    Ok((net, specs, source))
}

/// What a file is that is none of FLUX's ControlNets, if that can be told by its names.
pub(super) fn other_control_net(source: &Source) -> Option<&'static str> {
    let has = |part: &str| source.iter().any(|(name, ..)| name.contains(part));
    Some(match () {
        _ if has("lora") => "a LoRA",
        _ if has("controlnet_cond_embedding") || has("control_model.") || has("controlnet_down_blocks") => {
            "a ControlNet for Stable Diffusion"
        }
        _ if has("controlnet_mode_embedder") => "a ControlNet of several modes (Union)",
        _ if has("input_hint_block") => "a ControlNet with a hint block of its own (X-Labs)",
        _ if has("double_blocks.") => "in the publisher's names",
        _ if has("proj_out.") && !has("controlnet_blocks") => "a transformer",
        _ if !has("controlnet_x_embedder") => "no ControlNet",
        _ => return None,
    })
}

fn codec(vae: Opened, on: &Compute) -> Result<Codec> {
    let vae = Opened { source: names::vae(vae.source.clone())?, ..vae };
    let config = vae.config(|value| vae_config(value, vae_kl::Config::FLUX), vae_kl::Config::FLUX)?;
    let latent = vae.source.shape("decoder.conv_in.weight").and_then(|shape| shape.get(1).copied());
    if latent.is_some_and(|latent| latent != config.latent) {
        let cause = format!("has latents of {} channels, not {}", latent.unwrap_or_default(), config.latent);
        return Err(vae.fault(cause));
    }
    let mut specs = Specs::default();
    let net = Vae::new(&mut specs, config);
    Ok(Codec { net, config, weights: vae.weights(specs, on)?.lean(), cut: Cut::default() })
}

/// Both encoders and tokenizers, whose sizes fit each other and the transformer's.
fn texts(clip: Opened, t5: Opened, tokenizers: &Found, transformer: &Config, on: &Compute) -> Result<Encoders> {
    let clip = Opened { source: names::clip_text(clip.source.clone())?, ..clip };
    let clip_config = clip.config(text_config, clip_text::Config::L)?;
    if clip_config.width != transformer.pooled {
        let cause = format!("texts of width {} are not what FLUX reads, {}", clip_config.width, transformer.pooled);
        return Err(clip.fault(cause));
    }
    let t5 = Opened { source: names::t5(t5.source.clone())?, ..t5 };
    let t5_config = t5_sizes(&t5.source).map_err(|cause| t5.fault(format!("is no encoder of T5's: {cause}")))?;
    if t5_config.width != transformer.text {
        let cause = format!("texts of width {} are not what FLUX reads, {}", t5_config.width, transformer.text);
        return Err(t5.fault(cause));
    }
    Encoders::open(clip.source, clip_config, t5.source, t5_config, tokenizers, on)
}

/// The sizes that tensors have, in transformers' names.
fn t5_sizes(source: &Source) -> std::result::Result<t5_encoder::Config, String> {
    let matrix = |name: &str| match source.shape(name) {
        Some(&[rows, columns]) if rows > 0 && columns > 0 => Ok([rows, columns]),
        Some(other) => Err(format!("the weight {name:?} has shape {other:?}")),
        None => Err(format!("the weight {name:?} is missing")),
    };
    let of_first = |part: &str| matrix(&format!("encoder.block.0.layer.{part}.weight"));
    let [vocabulary, width] = matrix("shared.weight")?;
    let [buckets, heads] = of_first("0.SelfAttention.relative_attention_bias")?;
    let [all, _] = of_first("0.SelfAttention.q")?;
    let [inner, _] = of_first("1.DenseReluDense.wi_0")?;
    let number = |name: &str| name.strip_prefix("encoder.block.")?.split('.').next()?.parse::<usize>().ok();
    let layers = source.iter().filter_map(|(name, ..)| number(name)).max().map_or(0, |last| last + 1).min(1 << 10);
    if all % heads != 0 || buckets < 4 {
        return Err(format!("{heads} heads do not divide {all} channels"));
    }
    let dim = all / heads;
    Ok(t5_encoder::Config { vocabulary, width, inner, layers, heads, dim, buckets, ..t5_encoder::Config::XXL })
}
