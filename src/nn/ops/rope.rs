//! Rotary positions (Su et al., "RoFormer", arXiv 2104.09864) in FLUX's form: pairs of neighbouring channels are rotated, and the
//! pairs are shared out among the axes of a position (text or image, row, column).

use candle_core::{Device, Tensor};

use crate::nn::tape::{Gradients, Tape, Var};
use crate::{Error, Result};

/// Cosines and sines of all tokens, `[tokens, dim / 2]`.
#[derive(Clone, Debug)]
pub struct Rope {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    /// Of tokens at `positions`, a number for each axis, with `dims` channels for each axis: pair `i` of an axis turns by position ·
    /// `theta`^(−2i/dim). Angles are computed in f64. Errors: an axis has an odd number of channels, or another number of axes
    /// than the positions.
    pub fn new<const AXES: usize>(
        positions: &[[f64; AXES]],
        dims: [usize; AXES],
        theta: f64,
        device: &Device,
    ) -> Result<Self> {
        if dims.iter().any(|dim| dim % 2 != 0) {
            return Err(Error::invalid(format!("positions cannot rotate {dims:?} channels in pairs")));
        }
        let angle = |position: &[f64; AXES]| {
            let axes = position.iter().zip(dims).collect::<Vec<_>>();
            axes.into_iter()
                .flat_map(|(&at, dim)| (0..dim / 2).map(move |i| at * theta.powf(-2.0 * i as f64 / dim as f64)))
                .collect::<Vec<f64>>()
        };
        let angles: Vec<f64> = positions.iter().flat_map(angle).collect();
        let shape = (positions.len(), dims.iter().sum::<usize>() / 2);
        let tensor = |f: fn(f64) -> f64| {
            Tensor::from_vec(angles.iter().map(|a| f(*a) as f32).collect::<Vec<f32>>(), shape, device)
        };
        Ok(Self { cos: tensor(f64::cos)?, sin: tensor(f64::sin)? })
    }

    /// Of cosines and sines that [`Rope::tables`] gave.
    pub fn of(cos: Tensor, sin: Tensor) -> Self {
        Self { cos, sin }
    }

    /// Cosines and sines.
    pub fn tables(&self) -> [&Tensor; 2] {
        [&self.cos, &self.sin]
    }
}

impl Tape {
    /// Rotates every head of `[batch, tokens, heads · dim]`.
    pub fn rope(&self, x: &Var, heads: usize, rope: &Rope) -> Result<Var> {
        let (batch, tokens, channels) = x.tensor().dims3()?;
        let (positions, pairs) = rope.cos.dims2()?;
        if positions != tokens || heads * pairs * 2 != channels {
            let message = format!("{positions} positions of {heads} × {pairs} pairs got {tokens} tokens of {channels}");
            return Err(Error::invalid(message));
        }
        let shape = (batch, tokens, heads, 2 * pairs);
        let y = self.kernels().rotate(&x.tensor().reshape(shape)?, &rope.cos, &rope.sin)?;
        let y = y.reshape(x.tensor().shape())?;
        Ok(self.push(y, x.wants_gradient(), || {
            let (x, kernels, Rope { cos, sin }) = (x.slot(), self.kernels().clone(), rope.clone());
            move |dy: &Tensor, sink: &mut Gradients| {
                let back = kernels.rotate(&dy.reshape(shape)?, &cos, &sin.neg()?)?;
                sink.add(x, back.reshape(dy.shape())?)
            }
        }))
    }
}
