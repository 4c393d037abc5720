//! The text tower. It is run on prompts that never change, given as numbers of tokens: nothing here cuts text into tokens.

use std::sync::Arc;

use candle_core::Tensor;

use super::block;
use crate::networks::transformer::Block;
use crate::nn::kernels::Compute;
use crate::nn::layers::{Embedding, LayerNorm};
use crate::nn::params::{Init, ParamId, Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::Source;
use crate::{Error, Result};

const CONTEXT: usize = 77;
const TOKENS: usize = 49_408;

/// The number that begins a text, and the one that ends it.
pub const ENDS: [u32; 2] = [49_406, 49_407];

/// The structure.
#[derive(Clone, Debug)]
pub struct Text {
    tokens: Embedding,
    positions: ParamId,
    blocks: Vec<Block>,
    norm: LayerNorm,
    projection: ParamId,
    width: usize,
}

/// The tower with its weights.
pub struct TextTower {
    text: Text,
    params: Params,
}

impl Text {
    /// Declares the weights: `width` 512 with RN50 and ViT-B/32, 768 with ViT-L/14; `out` values of a vector.
    pub fn new(specs: &mut Specs, width: usize, out: usize) -> Self {
        let name = |i: usize| format!("transformer.resblocks.{i}");
        let blocks = (0..12).map(|i| Block::new(specs, &name(i), block(width, true))).collect();
        Self {
            tokens: Embedding::new(specs, "token_embedding", TOKENS, width, 0.02),
            positions: specs.add("positional_embedding".into(), &[CONTEXT, width], Init::Normal(0.01)),
            blocks,
            norm: LayerNorm::new(specs, "ln_final", width, 1e-5),
            projection: specs.add("text_projection".into(), &[width, out], Init::Normal(0.04)),
            width,
        }
    }
}

impl TextTower {
    /// Of a file of CLIP; what belongs to its image tower is not looked at.
    pub fn open(source: &Source, width: usize, out: usize, on: &Compute) -> Result<Self> {
        let mut specs = Specs::default();
        let text = Text::new(&mut specs, width, out);
        Ok(Self { params: Params::from_source(&Arc::new(specs), source, on)?, text })
    }

    /// Channels of a token.
    pub fn width(&self) -> usize {
        self.text.width
    }

    /// Vectors of texts that begin and end as all do, `[texts, out]`.
    pub fn encode(&self, texts: &[Vec<u32>]) -> Result<Tensor> {
        let rows: Vec<Tensor> = texts.iter().map(|text| self.embed(text)).collect::<Result<_>>()?;
        self.encode_rows(&rows)
    }

    /// What the tower makes of tokens before anything else: `[tokens, width]`.
    pub fn embed(&self, tokens: &[u32]) -> Result<Tensor> {
        let tape = Tape::inference(self.params.kernels());
        Ok(tape.embedding(&self.params, &self.text.tokens, tokens)?.tensor().clone())
    }

    /// Vectors of texts whose tokens are given as rows, the last one being the end, `[texts, out]`. What would follow the end is not
    /// seen by it, and so not computed.
    pub fn encode_rows(&self, texts: &[Tensor]) -> Result<Tensor> {
        let (params, text) = (&self.params, &self.text);
        let tape = Tape::inference(params.kernels());
        let longest = texts.iter().map(Tensor::elem_count).max().unwrap_or_default() / text.width;
        if !(1..=CONTEXT).contains(&longest) {
            return Err(Error::invalid(format!("a text has 1 to {CONTEXT} tokens, not {longest}")));
        }
        let padded = texts.iter().map(|rows| Ok(rows.pad_with_zeros(0, 0, longest - rows.dim(0)?)?));
        let padded: Vec<Tensor> = padded.collect::<Result<_>>()?;
        let positions = Var::constant(params.get(text.positions).narrow(0, 0, longest)?.contiguous()?);
        let mut x = tape.add(&Var::constant(Tensor::stack(&padded, 0)?), &positions)?;
        for block in &text.blocks {
            x = block.forward(&tape, params, &x, None)?;
        }
        let end = |(i, rows): (usize, &Tensor)| Ok(x.tensor().get(i)?.narrow(0, rows.dim(0)? - 1, 1)?);
        let ends: Vec<Tensor> = texts.iter().enumerate().map(end).collect::<Result<_>>()?;
        let ends = tape.layer_norm(params, &text.norm, &Var::constant(Tensor::cat(&ends, 0)?.contiguous()?))?;
        Ok(ends.tensor().matmul(&params.get(text.projection).to_dtype(candle_core::DType::F32)?)?)
    }
}
