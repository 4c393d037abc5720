//! The block of a Swin transformer (Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", arXiv
//! 2103.14030): attention within windows, which lie half a window further in every other block. For inference only.

use candle_core::Tensor;

use super::transformer::Names;
use crate::nn::kernels::shape::Activation;
use crate::nn::layers::{LayerNorm, Linear};
use crate::nn::ops::attention::Scores;
use crate::nn::params::{Init, ParamId, Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::{Error, Result};

/// Sizes.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub width: usize,
    pub heads: usize,
    /// Side of a window in tokens.
    pub window: usize,
    /// Tokens by which the windows are moved, right and down; 0 or half a window.
    pub shift: usize,
    /// Width of the perceptron.
    pub hidden: usize,
    /// Rows and columns of the tokens: multiples of the window.
    pub grid: [usize; 2],
}

/// The structure.
#[derive(Clone, Debug)]
pub struct Block {
    norms: [LayerNorm; 2],
    qkv: Linear,
    table: ParamId,
    out: Linear,
    mlp: [Linear; 2],
    config: Config,
    /// Token by token of the windows, where it is in the grid; and back.
    order: [Vec<u32>; 2],
}

/// What is added to scores between tokens that lie side by side only because the grid was rolled.
const APART: f32 = -100.0;

impl Block {
    /// Declares the weights, with timm's names.
    pub fn new(specs: &mut Specs, name: &str, config: Config) -> Self {
        let Config { width, heads, window, hidden, .. } = config;
        let norms = Names::TIMM.norms.map(|norm| LayerNorm::new(specs, &format!("{name}.{norm}"), width, 1e-5));
        let mut linear = |part: &str, channels| Linear::new(specs, &format!("{name}.{part}"), channels, 1.0);
        let (qkv, out) = (linear("attn.qkv", (width, 3 * width)), linear(Names::TIMM.out, (width, width)));
        let [fc1, fc2] = Names::TIMM.mlp;
        let mlp = [linear(fc1, (width, hidden)), linear(fc2, (hidden, width))];
        let distances = 2 * window - 1;
        let table = specs.add(
            format!("{name}.attn.relative_position_bias_table"),
            &[distances * distances, heads],
            Init::Normal(0.02),
        );
        Self { norms, qkv, table, out, mlp, config, order: order(config) }
    }

    /// What is added to the scores, `[windows or 1, heads, tokens of a window, the same]`: by distance, and where the grid was rolled.
    /// Follows from the weights alone.
    pub fn bias(&self, params: &Params) -> Result<Tensor> {
        let Config { heads, window, shift, grid, .. } = self.config;
        let table = params.get(self.table).to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let (size, distances) = (window * window, 2 * window - 1);
        let windows = if shift == 0 { 1 } else { grid[0] * grid[1] / size };
        let mut bias = Vec::with_capacity(windows * heads * size * size);
        for w in 0..windows {
            let place = |token: usize| {
                let columns = grid[1] / window;
                [(w / columns * window + token / window, grid[0]), (w % columns * window + token % window, grid[1])]
            };
            // Rows and columns that were rolled over the border belong together.
            let region = |token: usize| {
                place(token).map(|(at, len)| usize::from(at >= len - window) + usize::from(at >= len - shift))
            };
            for head in 0..heads {
                for (a, b) in (0..size).flat_map(|a| (0..size).map(move |b| (a, b))) {
                    let apart = |a: usize, b: usize| a + window - 1 - b;
                    let row = apart(a / window, b / window) * distances + apart(a % window, b % window);
                    let torn = shift > 0 && region(a) != region(b);
                    bias.push(table[row * heads + head] + if torn { APART } else { 0.0 });
                }
            }
        }
        Ok(Tensor::from_vec(bias, (windows, heads, size, size), params.device())?)
    }

    /// Tokens `[batch, rows · columns, width]` to the same, with the [`bias`](Self::bias) of these weights.
    pub fn forward(&self, tape: &Tape, params: &Params, x: &Var, bias: &Tensor) -> Result<Var> {
        let Config { width, heads, window, grid, .. } = self.config;
        let (batch, tokens, _) = x.tensor().dims3()?;
        if tokens != grid[0] * grid[1] {
            return Err(Error::invalid(format!("a grid of {} × {} tokens got {tokens}", grid[0], grid[1])));
        }
        let y = tape.layer_norm(params, &self.norms[0], x)?;
        let y = self.reordered(tape, &y, 0)?;
        let size = window * window;
        let y = tape.reshape(&y, &[batch * tokens / size, size, width])?;
        let qkv = tape.linear(params, &self.qkv, &y)?;
        let part = |from: usize| tape.narrow(&qkv, 2, from * width, width);
        let scores = Scores { bias: Some(bias), ..Scores::default() };
        let y = tape.attention_with(&part(0)?, &part(1)?, &part(2)?, heads, scores)?;
        let y = tape.reshape(&tape.linear(params, &self.out, &y)?, &[batch, tokens, width])?;
        let x = tape.add(x, &self.reordered(tape, &y, 1)?)?;
        let y = tape.linear(params, &self.mlp[0], &tape.layer_norm(params, &self.norms[1], &x)?)?;
        tape.linear_onto(params, &self.mlp[1], &tape.activate(Activation::Gelu, &y)?, &x)
    }

    fn reordered(&self, tape: &Tape, x: &Var, which: usize) -> Result<Var> {
        Ok(Var::constant(tape.kernels().tokens(x.tensor(), &self.order[which])?))
    }
}

/// Where each token of the windows is in the grid, window by window; and where each token of the grid is in the windows.
fn order(Config { window, shift, grid: [rows, columns], .. }: Config) -> [Vec<u32>; 2] {
    let mut to = Vec::with_capacity(rows * columns);
    for (top, left) in
        (0..rows).step_by(window).flat_map(|top| (0..columns).step_by(window).map(move |left| (top, left)))
    {
        for token in 0..window * window {
            let (row, column) = (top + token / window + shift, left + token % window + shift);
            to.push((row % rows * columns + column % columns) as u32);
        }
    }
    let mut back = vec![0; to.len()];
    to.iter().zip(0..).for_each(|(&at, i)| back[at as usize] = i);
    [to, back]
}
