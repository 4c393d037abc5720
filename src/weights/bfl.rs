//! From the names that Black Forest Labs give FLUX to diffusers', which the networks here have.
//!
//! BFL stack queries, keys and values (and in single blocks the hidden layer of the MLP) in one matrix, and have the halves of
//! the last modulation the other way round.

use super::open::Source;
use super::stored::Stored;
use crate::Result;

/// What may precede every name in files that hold a whole pipeline.
const PREFIX: &str = "model.diffusion_model.";

/// The same of the autoencoder's.
const VAE_PREFIX: &str = "vae.";

/// Names outside of the blocks: BFL's and diffusers'.
const OUTSIDE: [(&str, &str); 9] = [
    ("img_in.", "x_embedder."),
    ("txt_in.", "context_embedder."),
    ("time_in.in_layer.", "time_text_embed.timestep_embedder.linear_1."),
    ("time_in.out_layer.", "time_text_embed.timestep_embedder.linear_2."),
    ("guidance_in.in_layer.", "time_text_embed.guidance_embedder.linear_1."),
    ("guidance_in.out_layer.", "time_text_embed.guidance_embedder.linear_2."),
    ("vector_in.in_layer.", "time_text_embed.text_embedder.linear_1."),
    ("vector_in.out_layer.", "time_text_embed.text_embedder.linear_2."),
    ("final_layer.linear.", "proj_out."),
];

/// Names in a double block.
const DOUBLE: [(&str, &str); 12] = [
    ("img_mod.lin.", "norm1.linear."),
    ("txt_mod.lin.", "norm1_context.linear."),
    ("img_attn.norm.query_norm.scale", "attn.norm_q.weight"),
    ("img_attn.norm.key_norm.scale", "attn.norm_k.weight"),
    ("txt_attn.norm.query_norm.scale", "attn.norm_added_q.weight"),
    ("txt_attn.norm.key_norm.scale", "attn.norm_added_k.weight"),
    ("img_attn.proj.", "attn.to_out.0."),
    ("txt_attn.proj.", "attn.to_add_out."),
    ("img_mlp.0.", "ff.net.0.proj."),
    ("img_mlp.2.", "ff.net.2."),
    ("txt_mlp.0.", "ff_context.net.0.proj."),
    ("txt_mlp.2.", "ff_context.net.2."),
];

/// Names in a single block.
const SINGLE: [(&str, &str); 4] = [
    ("modulation.lin.", "norm.linear."),
    ("linear2.", "proj_out."),
    ("norm.query_norm.scale", "attn.norm_q.weight"),
    ("norm.key_norm.scale", "attn.norm_k.weight"),
];

/// What is stacked in one matrix of BFL's, and of how many widths of the network each part is.
const STACKED: [(&str, &[(&str, usize)]); 3] = [
    ("img_attn.qkv.", &[("attn.to_q.", 1), ("attn.to_k.", 1), ("attn.to_v.", 1)]),
    ("txt_attn.qkv.", &[("attn.add_q_proj.", 1), ("attn.add_k_proj.", 1), ("attn.add_v_proj.", 1)]),
    ("linear1.", &[("attn.to_q.", 1), ("attn.to_k.", 1), ("attn.to_v.", 1), ("proj_mlp.", 4)]),
];

/// A transformer of FLUX in diffusers' names; the same where it has them already.
pub fn transformer(source: Source) -> Result<Source> {
    let source = source.below(PREFIX)?.scaled()?;
    let is_bfl = source.iter().any(|(name, ..)| name.starts_with("double_blocks."));
    match is_bfl {
        true => source.split(parts),
        false => Ok(source),
    }
}

/// What a tensor of BFL's is made of in diffusers' names.
fn parts(name: &str, stored: &Stored) -> Result<Vec<(String, Stored)>, String> {
    if let Some(rest) = name.strip_prefix("final_layer.adaLN_modulation.1.") {
        let swapped = stored.halves_swapped().ok_or("has no halves")?;
        return Ok(vec![(format!("norm_out.linear.{rest}"), swapped)]);
    }
    let (block, inner, names) = match (block(name, "double_blocks."), block(name, "single_blocks.")) {
        (Some((number, inner)), _) => (format!("transformer_blocks.{number}."), inner, &DOUBLE[..]),
        (_, Some((number, inner))) => (format!("single_transformer_blocks.{number}."), inner, &SINGLE[..]),
        _ => (String::new(), name, &OUTSIDE[..]),
    };
    if let Some((stack, parts)) = STACKED.iter().find(|(stack, _)| inner.starts_with(stack)) {
        let rest = &inner[stack.len()..];
        let widths: usize = parts.iter().map(|(_, widths)| widths).sum();
        let rows = stored.shape.first().copied().unwrap_or(0);
        if rows % widths != 0 {
            return Err(format!("has {rows} rows, which are not {widths} equal parts"));
        }
        let mut from = 0;
        let part = |(part, widths): &(&str, usize)| {
            let count = widths * rows / parts.iter().map(|(_, widths)| widths).sum::<usize>();
            let view = stored.rows(from, count).ok_or("is not stored row by row")?;
            from += count;
            Ok((format!("{block}{part}{rest}"), view))
        };
        return parts.iter().map(part).collect();
    }
    // What is not known stays, and strict loading names it.
    let new = names.iter().find_map(|(old, new)| inner.strip_prefix(old).map(|rest| format!("{block}{new}{rest}")));
    Ok(vec![(new.unwrap_or_else(|| name.to_owned()), stored.clone())])
}

/// Number of a block, and the name within it.
fn block<'n>(name: &'n str, prefix: &str) -> Option<(&'n str, &'n str)> {
    name.strip_prefix(prefix)?.split_once('.')
}

/// Names within a part of the autoencoder: BFL's and diffusers'.
const AUTOENCODER: [(&str, &str); 12] = [
    (".mid.block_1.", ".mid_block.resnets.0."),
    (".mid.block_2.", ".mid_block.resnets.1."),
    (".mid.attn_1.norm.", ".mid_block.attentions.0.group_norm."),
    (".mid.attn_1.q.", ".mid_block.attentions.0.to_q."),
    (".mid.attn_1.k.", ".mid_block.attentions.0.to_k."),
    (".mid.attn_1.v.", ".mid_block.attentions.0.to_v."),
    (".mid.attn_1.proj_out.", ".mid_block.attentions.0.to_out.0."),
    (".norm_out.", ".conv_norm_out."),
    (".nin_shortcut.", ".conv_shortcut."),
    (".downsample.", ".downsamplers.0."),
    (".upsample.", ".upsamplers.0."),
    (".block.", ".resnets."),
];

/// Levels of the autoencoder.
const LEVELS: usize = 4;

/// An autoencoder of FLUX in diffusers' names; the same where it has them already.
pub fn vae(source: Source) -> Result<Source> {
    let source = source.below(VAE_PREFIX)?;
    let is_bfl = source.iter().any(|(name, ..)| name.starts_with("decoder.up."));
    if !is_bfl {
        return Ok(source);
    }
    let renamed = source.renamed(|name| {
        let mut new = name.to_owned();
        for (from, to) in AUTOENCODER {
            new = new.replace(from, to);
        }
        for level in 0..LEVELS {
            // BFL count the decoder's levels from the output.
            new = new.replace(&format!("encoder.down.{level}."), &format!("encoder.down_blocks.{level}."));
            new = new.replace(&format!("decoder.up.{level}."), &format!("decoder.up_blocks.{}.", LEVELS - 1 - level));
        }
        Some(new)
    })?;
    Ok(renamed.with_matrices(|name| name.contains(".attentions.0.to_")))
}
