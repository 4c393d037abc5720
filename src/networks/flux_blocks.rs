//! The blocks of FLUX's transformer and of its ControlNets: tokens of text and image attend to each other, modulated by time,
//! guidance and the text's summary (Peebles & Xie, "Scalable Diffusion Models with Transformers", arXiv 2212.09748; diffusers'
//! `FluxTransformerBlock` and `FluxSingleTransformerBlock`).

use super::flux_transformer::{Begun, Config, EPS};
use crate::Result;
use crate::nn::kernels::shape::Activation;
use crate::nn::layers::{LayerNorm, Linear, RmsNorm};
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};

/// Widths of a block's hidden layer.
const HIDDEN: usize = 4;

/// A block in which text and image have weights of their own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Double {
    text: Stream,
    image: Stream,
    heads: usize,
}

/// One of its two halves.
#[derive(Clone, Copy, Debug)]
struct Stream {
    /// Shift, scale and gate of attention, then of the hidden layer.
    modulation: Linear,
    qkv: [Linear; 3],
    norms: [RmsNorm; 2],
    out: Linear,
    ff: [Linear; 2],
}

/// A block in which text and image have the same weights, and attention and hidden layer run side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Single {
    /// Shift, scale and gate.
    modulation: Linear,
    qkv: [Linear; 3],
    norms: [RmsNorm; 2],
    hidden: Linear,
    out: Linear,
    width: usize,
    heads: usize,
}

/// Columns `index · width..` of `[B, …]`: a modulation among several.
pub(super) fn part(tape: &Tape, told: &Var, index: usize, width: usize) -> Result<Var> {
    tape.narrow(told, 1, index * width, width)
}

/// `x + gate · y`.
fn gated(tape: &Tape, x: &Var, gate: &Var, y: &Var) -> Result<Var> {
    tape.add(x, &tape.mul(y, &tape.per_image(y, gate)?)?)
}

/// Queries, keys and values `[B, tokens, width]`, of which queries and keys are normalized head by head.
fn qkv(
    tape: &Tape,
    params: &Params,
    (layers, norms): (&[Linear; 3], &[RmsNorm; 2]),
    x: &Var,
    heads: usize,
) -> Result<[Var; 3]> {
    let (batch, tokens, width) = x.tensor().dims3()?;
    let [q, k, v] = layers.each_ref().map(|layer| tape.linear(params, layer, x));
    let normed = |norm: &RmsNorm, x: Var| {
        let x = tape.reshape(&x, &[batch, tokens, heads, width / heads])?;
        tape.reshape(&tape.rms_norm(params, norm, &x)?, &[batch, tokens, width])
    };
    Ok([normed(&norms[0], q?)?, normed(&norms[1], k?)?, v?])
}

/// What the weights of a stream are called.
struct Names {
    modulation: &'static str,
    qkv: [&'static str; 3],
    norms: [&'static str; 2],
    out: &'static str,
    ff: [&'static str; 2],
}

impl Names {
    const IMAGE: Self = Self {
        modulation: "norm1.linear",
        qkv: ["attn.to_q", "attn.to_k", "attn.to_v"],
        norms: ["attn.norm_q", "attn.norm_k"],
        out: "attn.to_out.0",
        ff: ["ff.net.0.proj", "ff.net.2"],
    };
    const TEXT: Self = Self {
        modulation: "norm1_context.linear",
        qkv: ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"],
        norms: ["attn.norm_added_q", "attn.norm_added_k"],
        out: "attn.to_add_out",
        ff: ["ff_context.net.0.proj", "ff_context.net.2"],
    };
}

impl Stream {
    fn new(specs: &mut Specs, name: &str, names: Names, config: &Config) -> Self {
        let width = config.width();
        let mut linear = |part: &str, from: usize, to: usize| {
            Linear::new(specs, &format!("{name}.{part}"), (from * width, to * width), 1.0)
        };
        let modulation = linear(names.modulation, 1, 6);
        let qkv = names.qkv.map(|part| linear(part, 1, 1));
        let out = linear(names.out, 1, 1);
        let ff = [linear(names.ff[0], 1, HIDDEN), linear(names.ff[1], HIDDEN, 1)];
        let norms = names.norms.map(|norm| RmsNorm::new(specs, &format!("{name}.{norm}"), config.dim, EPS));
        Self { modulation, qkv, norms, out, ff }
    }

    /// Modulations of this stream, six times `width`.
    fn told(&self, tape: &Tape, params: &Params, told: &Var) -> Result<Var> {
        tape.linear(params, &self.modulation, told)
    }

    fn qkv(&self, tape: &Tape, params: &Params, x: &Var, told: &Var, heads: usize) -> Result<[Var; 3]> {
        qkv(tape, params, (&self.qkv, &self.norms), &modulated(tape, params, x, told, 0)?, heads)
    }

    /// The stream after attention, and after its hidden layer.
    fn onward(&self, tape: &Tape, params: &Params, x: &Var, attended: &Var, told: &Var) -> Result<Var> {
        let width = x.tensor().dim(2)?;
        let attended = tape.linear(params, &self.out, attended)?;
        let x = gated(tape, x, &part(tape, told, 2, width)?, &attended)?;
        let hidden = tape.linear(params, &self.ff[0], &modulated(tape, params, &x, told, 3)?)?;
        let hidden = tape.linear(params, &self.ff[1], &tape.activate(Activation::GeluTanh, &hidden)?)?;
        gated(tape, &x, &part(tape, told, 5, width)?, &hidden)
    }
}

/// `x` normalized, scaled and shifted by the modulations from number `first` on: shift, then scale.
fn modulated(tape: &Tape, params: &Params, x: &Var, told: &Var, first: usize) -> Result<Var> {
    let width = x.tensor().dim(2)?;
    let [shift, scale] = [part(tape, told, first, width)?, part(tape, told, first + 1, width)?];
    tape.modulate(&tape.layer_norm(params, &LayerNorm::plain(width, EPS), x)?, &scale, &shift)
}

impl Double {
    pub fn new(specs: &mut Specs, name: &str, config: &Config) -> Self {
        let image = Stream::new(specs, name, Names::IMAGE, config);
        let text = Stream::new(specs, name, Names::TEXT, config);
        Self { text, image, heads: config.heads }
    }

    /// Tokens after the block: of text and image, or, where nothing reads the text any more, of the image alone.
    pub fn forward(&self, tape: &Tape, params: &Params, begun: &Begun, is_text_read: bool) -> Result<Var> {
        let (block, weights, rope, text) = (*self, params.clone(), begun.rope.clone(), begun.text);
        tape.segment(&[&begun.tokens, &begun.told], params, move |tape, inputs| {
            let begun = Begun { tokens: inputs[0].clone(), told: inputs[1].clone(), rope: rope.clone(), text };
            block.layers(tape, &weights, &begun, is_text_read)
        })
    }

    fn layers(&self, tape: &Tape, params: &Params, begun: &Begun, is_text_read: bool) -> Result<Var> {
        let Begun { tokens, told, rope, text } = begun;
        let (text, count) = (*text, tokens.tensor().dim(1)? - text);
        let streams = [(&self.text, 0, text), (&self.image, text, count)];
        let cut = |x: &Var, from: usize, take: usize| tape.narrow(x, 1, from, take);
        let mut parts = Vec::new();
        for (stream, from, take) in streams {
            let (x, told) = (cut(tokens, from, take)?, stream.told(tape, params, told)?);
            let qkv = stream.qkv(tape, params, &x, &told, self.heads)?;
            parts.push((stream, x, told, qkv));
        }
        let both = |i: usize| tape.join(&parts.iter().map(|(.., qkv)| &qkv[i]).collect::<Vec<_>>(), 1);
        let [q, k] = [0, 1].map(|i| tape.rope(&both(i)?, self.heads, rope));
        let attended = tape.attention(&q?, &k?, &both(2)?, self.heads)?;
        let places = [(0, text), (text, count)];
        let mut done = Vec::new();
        for ((stream, x, told, _), (from, take)) in parts.iter().zip(places).skip(usize::from(!is_text_read)) {
            done.push(stream.onward(tape, params, x, &cut(&attended, from, take)?, told)?);
        }
        tape.join(&done.iter().collect::<Vec<_>>(), 1)
    }
}

impl Single {
    pub fn new(specs: &mut Specs, name: &str, config: &Config) -> Self {
        let width = config.width();
        let mut linear = |part: &str, from: usize, to: usize| {
            Linear::new(specs, &format!("{name}.{part}"), (from * width, to * width), 1.0)
        };
        let modulation = linear("norm.linear", 1, 3);
        let qkv = ["to_q", "to_k", "to_v"].map(|part| linear(&format!("attn.{part}"), 1, 1));
        let (hidden, out) = (linear("proj_mlp", 1, HIDDEN), linear("proj_out", 1 + HIDDEN, 1));
        let norms =
            ["norm_q", "norm_k"].map(|norm| RmsNorm::new(specs, &format!("{name}.attn.{norm}"), config.dim, EPS));
        Self { modulation, qkv, norms, hidden, out, width, heads: config.heads }
    }

    /// Tokens after the block.
    pub fn forward(&self, tape: &Tape, params: &Params, begun: &Begun) -> Result<Var> {
        let (block, weights, rope) = (*self, params.clone(), begun.rope.clone());
        tape.segment(&[&begun.tokens, &begun.told], params, move |tape, inputs| {
            let (tokens, told) = (&inputs[0], tape.linear(&weights, &block.modulation, &inputs[1])?);
            let x = modulated(tape, &weights, tokens, &told, 0)?;
            let [q, k, v] = qkv(tape, &weights, (&block.qkv, &block.norms), &x, block.heads)?;
            let [q, k] = [q, k].map(|x| tape.rope(&x, block.heads, &rope));
            let attended = tape.attention(&q?, &k?, &v, block.heads)?;
            let hidden = tape.activate(Activation::GeluTanh, &tape.linear(&weights, &block.hidden, &x)?)?;
            let y = tape.linear(&weights, &block.out, &tape.concat(&attended, &hidden)?)?;
            gated(tape, tokens, &part(tape, &told, 2, block.width)?, &y)
        })
    }
}
