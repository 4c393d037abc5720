//! MUSIQ as its authors publish it (`koniq_ckpt.npz` and the like, of flax): names and layouts to those of the networks here.
//!
//! Weights lie below `opt/target/`, the rest is the optimizer's. Kernels of convolutions are height × width × in × out, matrices in × out,
//! those of attention in × heads × width, and its last one heads × width × out.

use super::open::Source;
use super::stored::Stored;
use crate::Result;

const BELOW: &str = "target/";

/// Layers by their names in flax, which count what a block makes.
const LAYERS: [(&str, &str); 8] = [
    ("LayerNorm_0", "norm1"),
    ("LayerNorm_2", "norm2"),
    ("MlpBlock_3/Dense_0", "mlp.fc1"),
    ("MlpBlock_3/Dense_1", "mlp.fc2"),
    ("SelfAttention_1/query", "attention.query"),
    ("SelfAttention_1/key", "attention.key"),
    ("SelfAttention_1/value", "attention.value"),
    ("SelfAttention_1/out", "attention.out"),
];

/// The tensors under pyiqa's names; the same where they are called so already.
pub fn musiq(source: Source) -> Result<Source> {
    if !source.iter().any(|(name, ..)| name.contains(BELOW)) {
        return Ok(source);
    }
    source.split(|name, stored| {
        let Some((_, name)) = name.split_once(BELOW) else { return Ok(Vec::new()) };
        // A head of several classes is followed by a softmax there.
        let is_several = name.starts_with("head/") && stored.shape.last().is_some_and(|classes| *classes > 1);
        let name = name_of(name, is_several).ok_or("is none of MUSIQ's")?;
        let part = laid_out(&name, stored).ok_or_else(|| format!("has the shape {:?}", stored.shape))?;
        Ok(vec![(name, part)])
    })
}

/// The name here of a name there.
fn name_of(name: &str, is_several: bool) -> Option<String> {
    let encoder = "transformer_encoder";
    match name {
        "Transformer/cls" => return Some(format!("{encoder}.cls")),
        "Transformer/posembed_input/pos_embedding" => return Some(format!("{encoder}.posembed_input.position_emb")),
        "Transformer/scaleembed_input/scale_embedding" => return Some(format!("{encoder}.scaleembed_input.scale_emb")),
        _ => {}
    }
    let (layer, part) = name.rsplit_once('/')?;
    let part = match part {
        "kernel" | "scale" => "weight",
        "bias" => "bias",
        _ => return None,
    };
    let layer = match layer.strip_prefix("Transformer/") {
        Some("encoder_norm") => format!("{encoder}.encoder_norm"),
        Some(block) => {
            let (block, layer) = block.split_once('/')?;
            let layer = layer.replace("MultiHeadDotProductAttention_1", "SelfAttention_1");
            let (_, layer) = LAYERS.iter().find(|(there, _)| *there == layer)?;
            format!("{encoder}.transformer.{block}.{layer}")
        }
        None if layer == "head" && is_several => "head.0".into(),
        None => layer.replacen("block1/unit1/", "block1.", 1),
    };
    (!layer.contains('/')).then(|| format!("{layer}.{part}"))
}

/// A tensor in the layout of the one of this name here.
fn laid_out(name: &str, stored: &Stored) -> Option<Stored> {
    let count = stored.value_count();
    // Of matrices transposed below, only what lies in order is known.
    let plain = |shape: Vec<usize>| Some(Stored { shape, ..stored.clone() }).filter(|_| stored.strides.is_none());
    let sides = stored.shape.as_slice();
    let turned = |inputs: usize, outputs: usize| {
        let view = Stored { shape: vec![outputs, inputs], strides: Some(vec![1, outputs]), ..stored.clone() };
        Some(view).filter(|_| stored.strides.is_none())
    };
    match (name.ends_with(".weight"), sides) {
        (true, &[height, width, inputs, outputs]) if height * width * inputs > 1 => {
            let strides = vec![1, outputs, width * inputs * outputs, inputs * outputs];
            Some(Stored { shape: vec![outputs, inputs, height, width], strides: Some(strides), ..stored.clone() })
                .filter(|_| stored.strides.is_none())
        }
        (true, &[heads, width, outputs]) if name.contains(".attention.out.") => turned(heads * width, outputs),
        (true, &[inputs, heads, width]) => turned(inputs, heads * width),
        (true, &[inputs, outputs]) => turned(inputs, outputs),
        (false, &[1, scales, width]) if name.ends_with(".scale_emb") => plain(vec![scales, width]),
        (false, &[..]) if !name.ends_with(".bias") => Some(stored.clone()),
        // Normalizations and biases, with sides of 1 before, or by heads.
        (_, _) => plain(vec![count]),
    }
}
