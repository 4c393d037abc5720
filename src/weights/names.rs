//! From the names that publishers give to weights to those of the networks here, which are diffusers' and torchvision's.

use super::{bfl, open::Source};
use crate::Result;

/// Prefixes that training frameworks put before every name of a network.
const FRAMEWORK: [&str; 2] = ["module.", "controlnet."];

/// Without the prefixes of training frameworks, where every tensor has them.
pub fn plain(source: Source) -> Result<Source> {
    FRAMEWORK.iter().try_fold(source, |source, prefix| without(source, prefix))
}

/// Without a prefix, where every tensor has it.
pub fn without(source: Source, prefix: &str) -> Result<Source> {
    let has_it = source.iter().all(|(name, ..)| name.starts_with(prefix));
    match has_it {
        true => source.below(prefix),
        false => Ok(source),
    }
}

/// A CLIP text encoder in the names of transformers before version 5, which begin with `text_model.`; later versions leave it
/// out.
pub fn clip_text(source: Source) -> Result<Source> {
    let source = source.below("text_encoders.clip_l.transformer.")?.scaled()?;
    const PREFIX: &str = "text_model.";
    let has_it = source.iter().any(|(name, ..)| name.starts_with(PREFIX));
    match has_it {
        true => Ok(source),
        false => source.renamed(|name| Some(format!("{PREFIX}{name}"))),
    }
}

/// A KL autoencoder in diffusers' names, from those or BFL's: its attention is called otherwise in older files, where its matrices may also be
/// convolutions of one pixel.
pub fn vae(source: Source) -> Result<Source> {
    let source = bfl::vae(source)?;
    const OLD: [(&str, &str); 4] = [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")];
    let source = source.renamed(|name| {
        let old = |(old, new): &(&str, &str)| {
            let (before, after) = name.split_once(&format!(".attentions.0.{old}."))?;
            Some(format!("{before}.attentions.0.{new}.{after}"))
        };
        Some(OLD.iter().find_map(old).unwrap_or_else(|| name.to_owned()))
    })?;
    Ok(source.with_matrices(|name| name.contains(".attentions.0.to_")))
}

/// Of a dictionary of networks, the one under `name` (as `params` or `finetuned_clip`).
pub fn under(source: Source, name: &str) -> Result<Source> {
    source.below(&format!("{name}."))
}

/// Names in a layer of T5's encoder: llama.cpp's and transformers'.
const T5: [(&str, &str); 10] = [
    ("attn_q.", "layer.0.SelfAttention.q."),
    ("attn_k.", "layer.0.SelfAttention.k."),
    ("attn_v.", "layer.0.SelfAttention.v."),
    ("attn_o.", "layer.0.SelfAttention.o."),
    ("attn_rel_b.", "layer.0.SelfAttention.relative_attention_bias."),
    ("attn_norm.", "layer.0.layer_norm."),
    ("ffn_gate.", "layer.1.DenseReluDense.wi_0."),
    ("ffn_up.", "layer.1.DenseReluDense.wi_1."),
    ("ffn_down.", "layer.1.DenseReluDense.wo."),
    ("ffn_norm.", "layer.1.layer_norm."),
];

/// T5's encoder in transformers' names, from those, llama.cpp's, or a file of a whole pipeline.
pub fn t5(source: Source) -> Result<Source> {
    let source = source.below("text_encoders.t5xxl.transformer.")?.scaled()?;
    let has_table = source.shape("shared.weight").is_some();
    source.renamed(|name| {
        let layer = || {
            let (number, inner) = name.strip_prefix("enc.blk.")?.split_once('.')?;
            let (old, new) = T5.iter().find(|(old, _)| inner.starts_with(old))?;
            Some(format!("encoder.block.{number}.{new}{}", &inner[old.len()..]))
        };
        Some(match name {
            "token_embd.weight" => "shared.weight".to_owned(),
            // The same table twice.
            "encoder.embed_tokens.weight" if has_table => return None,
            "encoder.embed_tokens.weight" => "shared.weight".to_owned(),
            "enc.output_norm.weight" => "encoder.final_layer_norm.weight".to_owned(),
            _ => layer().unwrap_or_else(|| name.to_owned()),
        })
    })
}
