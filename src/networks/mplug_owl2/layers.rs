//! The layers of the abstractor and of the language model.

use super::{EPS, Sizes};
use crate::Result;
use crate::nn::layers::{LayerNorm, Linear, RmsNorm};
use crate::nn::ops::attention::Scores;
use crate::nn::ops::rope::Rope;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};

/// Of the norms in the abstractor's attention.
const EPS_ABSTRACTOR: f32 = 1e-5;
const WAYS: [usize; 2] = [0, 1];

/// A layer of the abstractor.
pub struct Abstracting {
    queries: LayerNorm,
    image: LayerNorm,
    qkv: [Linear; 3],
    out: Linear,
    norm: LayerNorm,
    mlp: [Linear; 3],
    inner: LayerNorm,
}

/// A layer of the language model.
pub struct Reading {
    norms: [[RmsNorm; 2]; 2],
    q: Linear,
    k: [Linear; 2],
    v: [Linear; 2],
    out: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Abstracting {
    pub fn new(specs: &mut Specs, name: &str, Sizes { width, hidden, .. }: Sizes, image: usize) -> Self {
        let norm =
            |specs: &mut Specs, part: &str, width, eps| LayerNorm::new(specs, &format!("{name}.{part}"), width, eps);
        let mut linear = |part: &str, channels| Linear::new(specs, &format!("{name}.{part}"), channels, 1.0);
        let qkv = ["query", "key", "value"].map(|part| linear(&format!("attention.{part}"), (width, width)));
        let out = linear("output.out_proj", (width, width));
        let mlp = [("w1", (width, hidden)), ("w2", (hidden, width)), ("w3", (width, hidden))]
            .map(|(part, channels)| linear(&format!("output.mlp.{part}"), channels));
        Self {
            qkv,
            out,
            mlp,
            queries: norm(specs, "norm1", width, EPS_ABSTRACTOR),
            image: norm(specs, "normk", image, EPS_ABSTRACTOR),
            norm: norm(specs, "output.norm2", width, EPS_ABSTRACTOR),
            inner: norm(specs, "output.mlp.ffn_ln", hidden, EPS),
        }
    }

    /// `[batch, queries, width]` to the same, looking at the image's tokens; `places` are the positions of queries and of both.
    pub fn forward(
        &self,
        tape: &Tape,
        params: &Params,
        queries: &Var,
        image: &Var,
        places: &[Var; 2],
        heads: usize,
    ) -> Result<Var> {
        let queries = tape.layer_norm(params, &self.queries, queries)?;
        let all = tape.join(&[&queries, &tape.layer_norm(params, &self.image, image)?], 1)?;
        let [q, k, v] = &self.qkv;
        let q = tape.linear(params, q, &tape.add(&queries, &places[0])?)?;
        let k = tape.linear(params, k, &tape.add(&all, &places[1])?)?;
        let y = tape.attention(&q, &k, &tape.linear(params, v, &all)?, heads)?;
        let x = tape.add(&queries, &tape.linear(params, &self.out, &y)?)?;
        let y = tape.layer_norm(params, &self.norm, &x)?;
        let [gate, down, up] = &self.mlp;
        let y = tape.mul(&tape.silu(&tape.linear(params, gate, &y)?)?, &tape.linear(params, up, &y)?)?;
        tape.add(&x, &tape.linear(params, down, &tape.layer_norm(params, &self.inner, &y)?)?)
    }
}

impl Reading {
    pub fn new(specs: &mut Specs, name: &str, Sizes { width, hidden, .. }: Sizes) -> Self {
        let norms = ["input_layernorm", "post_attention_layernorm"]
            .map(|norm| WAYS.map(|way| RmsNorm::new(specs, &format!("{name}.{norm}.multiway.{way}"), width, EPS)));
        let mut linear = |part: &str, channels| Linear::with(specs, &format!("{name}.{part}"), channels, false, 1.0);
        Self {
            norms,
            q: linear("self_attn.q_proj", (width, width)),
            k: WAYS.map(|way| linear(&format!("self_attn.k_proj.multiway.{way}"), (width, width))),
            v: WAYS.map(|way| linear(&format!("self_attn.v_proj.multiway.{way}"), (width, width))),
            out: linear("self_attn.o_proj", (width, width)),
            gate: linear("mlp.gate_proj", (width, hidden)),
            up: linear("mlp.up_proj", (width, hidden)),
            down: linear("mlp.down_proj", (hidden, width)),
        }
    }

    pub fn forward(
        &self,
        tape: &Tape,
        params: &Params,
        x: &Var,
        sides: Sides,
        heads: usize,
        rope: &Rope,
    ) -> Result<Var> {
        let normed =
            |norms: &[RmsNorm; 2], x: &Var| sides.each(tape, x, |way, part| tape.rms_norm(params, &norms[way], part));
        let linear =
            |layers: &[Linear; 2], x: &Var| sides.each(tape, x, |way, part| tape.linear(params, &layers[way], part));
        let y = normed(&self.norms[0], x)?;
        let q = tape.rope(&tape.linear(params, &self.q, &y)?, heads, rope)?;
        let k = tape.rope(&linear(&self.k, &y)?, heads, rope)?;
        let scores = Scores { causal: true, ..Scores::default() };
        let y = tape.attention_with(&q, &k, &linear(&self.v, &y)?, heads, scores)?;
        let x = tape.add(x, &tape.linear(params, &self.out, &y)?)?;
        let y = normed(&self.norms[1], &x)?;
        let gate = tape.silu(&tape.linear(params, &self.gate, &y)?)?;
        let y = tape.mul(&gate, &tape.linear(params, &self.up, &y)?)?;
        tape.add(&x, &tape.linear(params, &self.down, &y)?)
    }
}

/// Tokens of words before the image, of the image, and of words after it.
#[derive(Clone, Copy)]
pub struct Sides(pub [usize; 3]);

impl Sides {
    /// Words go one way, the image the other.
    fn each(self, tape: &Tape, x: &Var, f: impl Fn(usize, &Var) -> Result<Var>) -> Result<Var> {
        let Self([before, image, after]) = self;
        let first = tape.narrow(x, 1, 0, before)?;
        let words = tape.join(&[&first, &tape.narrow(x, 1, before + image, after)?], 1)?;
        let words = f(0, &words)?;
        let image = f(1, &tape.narrow(x, 1, before, image)?)?;
        tape.join(&[&tape.narrow(&words, 1, 0, before)?, &image, &tape.narrow(&words, 1, before, after)?], 1)
    }
}
