//! From the published files to networks. Sizes come from the `config.json` beside each file, those of Stable Diffusion 2-base where
//! there is none; what other models' files would be taken for is said of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::Value;

use super::Sd2;
use super::prompts::Prompts;
use crate::backbones::codec::{Codec, Cut};
use crate::backbones::files::{Opened, four, json, number, text_config, vae_config};
use crate::networks::clip_bpe::ClipBpe;
use crate::networks::clip_text;
use crate::networks::controlnet_sd::{self, ControlNet};
use crate::networks::unet_sd::{self, Unet};
use crate::networks::vae_kl::{self, Vae};
use crate::nn::kernels::Compute;
use crate::nn::params::Specs;
use crate::weights::registry::{C_SD2, C_SD2_PARTS, SD2_TEXT, SD2_TOKENIZER, SD2_UNET, SD2_VAE};
use crate::weights::store::Found;
use crate::weights::{Part, Source, Store, Trust, names};
use crate::{Error, Result};

/// The folder of what noises and solves, beside that of the U-Net.
const SCHEDULER: &str = "scheduler/scheduler_config.json";
/// What the parts are of.
const MODEL: &str = "Stable Diffusion 2-base";
/// Beginnings of names in files of the first publisher, which have no diffusers names.
const COMPVIS: [&str; 3] = ["model.diffusion_model.", "first_stage_model.", "cond_stage_model."];

/// What holds tensors.
const PARTS: [&Part; 4] = [&SD2_UNET, &SD2_VAE, &SD2_TEXT, &C_SD2];

/// Opens all parts; the text encoder's and the ControlNet's weights are read when they are needed.
pub(super) fn open(on: &Compute, store: &Store) -> Result<Sd2> {
    let lacking = store.lacking(C_SD2_PARTS);
    if !lacking.is_empty() {
        return Err(Error::invalid(lacking.join("; ")));
    }
    // Files of unknown hash are read for it: gigabytes, all at once.
    let opened: Vec<_> = PARTS.into_par_iter().map(|part| Opened::of(part, store, MODEL)).collect::<Result<_>>()?;
    let [unet, vae, text, control] =
        <[Opened; 4]>::try_from(opened).map_err(|_| Error::invalid("a part of C-SD2 is missing"))?;
    let tokenizer = store.files(&SD2_TOKENIZER)?;
    [&unet, &vae, &text, &control].into_iter().try_for_each(refuse_compvis)?;
    let hash_of = |opened: &[&Opened]| {
        let trusts = opened.iter().filter_map(|opened| opened.source.trust());
        let all = Trust::of_all(trusts.chain(tokenizer.files.iter().filter_map(|file| file.trust.as_ref())));
        all.map(|trust| trust.whole_mark()).unwrap_or_default()
    };
    let (weights_hash, encoder_hash) = (hash_of(&[&unet, &vae, &text, &control]), hash_of(&[&text]));

    refuse_velocity(&unet)?;
    let config = unet.config(unet_config, unet_sd::Config::SD2)?;
    let mut specs = Specs::default();
    let network = Unet::new(&mut specs, &config);
    let weights = unet.at_hand(specs, on)?.without_large_forms();
    let codec = codec(vae, &on.around())?;
    let of_texts = (encoder_hash, store.texts_dir());
    let prompts = prompts(text, tokenizer, &config, &on.around(), of_texts)?;
    let (control, adapter, released) = control_net(control, config)?;
    let (compute, adapter, released) = (on.clone(), Arc::new(adapter), Arc::new(released));
    Ok(Sd2 { compute, unet: network, weights, codec, prompts, control, adapter, released, weights_hash })
}

fn codec(vae: Opened, on: &Compute) -> Result<Codec> {
    let config = vae.config(|value| vae_config(value, vae_kl::Config::SD), vae_kl::Config::SD)?;
    let mut specs = Specs::default();
    let net = Vae::new(&mut specs, config);
    let vae = Opened { source: names::vae(vae.source)?, ..vae };
    Ok(Codec { net, config, weights: vae.at_hand(specs, on)?.lean(), cut: Cut::default() })
}

fn prompts(
    text: Opened,
    tokenizer: Found,
    unet: &unet_sd::Config,
    on: &Compute,
    of_texts: (String, Option<PathBuf>),
) -> Result<Prompts> {
    let config = text.config(text_config, clip_text::Config::SD2)?;
    if config.width != unet.text {
        let cause = format!("texts of width {} are not what this U-Net reads, {}", config.width, unet.text);
        return Err(text.fault(cause));
    }
    let file = |name: &str| {
        let found = tokenizer.files.iter().find(|file| file.published.name() == name);
        found.map(|file| file.path.as_path()).ok_or_else(|| Error::invalid(format!("the tokenizer lacks {name}")))
    };
    let vocabulary = file("vocab.json")?;
    let bpe = ClipBpe::open(vocabulary, file("merges.txt")?)?;
    if bpe.len() > config.vocabulary {
        let cause = format!("has {} tokens, and the text encoder knows {}", bpe.len(), config.vocabulary);
        return Err(Error::file(vocabulary, cause));
    }
    let text = Opened { source: names::clip_text(text.source)?, ..text };
    let kept = text.kept(on);
    Prompts::new(bpe, config, text.source, kept, of_texts)
}

/// The ControlNet's structure and its released weights, which are exactly those.
fn control_net(control: Opened, unet: unet_sd::Config) -> Result<(ControlNet, Specs, Source)> {
    let source = names::plain(control.source)?;
    let (file, refuse) = (control.file, |cause: String| Error::file(source.origin(), cause));
    if let Some(other) = other_control_net(&source) {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        return Err(refuse(format!(
            "{name} is {other}, and the ControlNet of C-SD2 or DP²O-SD2 is needed; get it {}",
            C_SD2.get
        )));
    }
    let width = |part: &str| {
        let name = format!("controlnet_cond_embedding.{part}.weight");
        source.shape(&name).and_then(|shape| shape.first().copied())
    };
    let image = ["conv_in", "blocks.1", "blocks.3", "blocks.5"].map(|part| width(part).unwrap_or(1));
    let mut specs = Specs::default();
    let net = ControlNet::new(&mut specs, &controlnet_sd::Config { unet, image });
    source.check(specs.iter(), &[])?;
    Ok((net, specs, source))
}

/// What a file is that is none of these ControlNets, if that can be told by its names.
pub(super) fn other_control_net(source: &Source) -> Option<&'static str> {
    let has = |part: &str| source.iter().any(|(name, ..)| name.contains(part));
    let text = source.shape("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight");
    Some(match () {
        _ if has("control_model.") || has("input_blocks.") => "in the names of the first ControlNets, not of diffusers",
        _ if has("lora") => "a LoRA",
        _ if has("controlnet_x_embedder") || has("add_q_proj") => "a ControlNet for FLUX",
        _ if has("add_embedding") || has("transformer_blocks.9.") => "a ControlNet for SDXL",
        _ if has("up_blocks.") => "a U-Net",
        _ if matches!(text, Some([_, 768])) => "a ControlNet for Stable Diffusion 1",
        _ => return None,
    })
}

/// Errors: the files are of the first publisher's names.
fn refuse_compvis(opened: &Opened) -> Result<()> {
    let is_compvis = opened.source.iter().any(|(name, ..)| COMPVIS.iter().any(|prefix| name.starts_with(prefix)));
    match is_compvis {
        false => Ok(()),
        true => {
            let get = opened.part.get;
            let cause = format!("has the first publisher's names, not diffusers'; get the diffusers folder {get}");
            Err(Error::file(&opened.file, cause))
        }
    }
}

/// Errors: the folder's scheduler says that the network predicts something other than noise.
fn refuse_velocity(unet: &Opened) -> Result<()> {
    let Some(folder) = unet.file.parent().and_then(Path::parent) else { return Ok(()) };
    let path = folder.join(SCHEDULER);
    let said = json(&path)?.and_then(|value| value.get("prediction_type")?.as_str().map(str::to_owned));
    match said.as_deref() {
        None | Some("epsilon") => Ok(()),
        Some(other) => Err(Error::file(
            &path,
            format!(
                "the network predicts {other:?}, as Stable Diffusion 2.1 does; 2-base is needed: get it {}",
                unet.part.get
            ),
        )),
    }
}

fn unet_config(value: &Value) -> std::result::Result<unet_sd::Config, String> {
    let is_set = |key: &str| value.get(key).is_some_and(|v| !(v.is_null() || v == false));
    let text = number(value, "cross_attention_dim").unwrap_or(0);
    if is_set("addition_embed_type") || text == 2048 {
        return Err("is of SDXL".into());
    }
    if text == 768 || !is_set("use_linear_projection") {
        return Err("is of Stable Diffusion 1".into());
    }
    let latent = number(value, "in_channels")?;
    if latent != super::CARD.latent.channels {
        return Err(format!("takes {latent} channels, as networks for inpainting or depth do, and not 4"));
    }
    let blocks = |key: &str| value.get(key).cloned().unwrap_or_default();
    let (cross, plain) = ("CrossAttnDownBlock2D", "DownBlock2D");
    if blocks("down_block_types") != serde_json::json!([cross, cross, cross, plain]) || is_set("class_embed_type") {
        return Err("is of a network that is built otherwise".into());
    }
    if value.get("layers_per_block").is_some_and(|v| v != 2) {
        return Err("is of a network with other than 2 layers a block".into());
    }
    // Named for their width, and the number of heads all the same.
    let (channels, heads) = (four(value, "block_out_channels")?, four(value, "attention_head_dim")?);
    let groups = value.get("norm_num_groups").map_or(Ok(32), |_| number(value, "norm_num_groups"))?;
    let divides = channels.iter().zip(&heads).all(|(c, h)| c % h == 0 && c % groups == 0) && channels[0] % 2 == 0;
    match divides {
        true => Ok(unet_sd::Config { latent, channels, heads, text, groups }),
        false => Err("heads or groups do not divide the channels".into()),
    }
}
