//! 2-D convolution: chooses between [`winograd`], [`winograd_blocks`] and [`im2col`] by shape.

use candle_core::DType;
use rayon::prelude::*;

use super::super::shape::ConvShape;
use super::values::{Element, FromWeight};
use super::{bf16, elementwise, im2col, winograd, winograd_blocks, winograd_tiles};
use crate::nn::params::{KEPT_VALUES_TRAINED, Weight};

/// Whether [`winograd`] takes a convolution.
fn is_winograd(shape: &ConvShape) -> bool {
    let channels = shape.c_in.min(shape.c_out)..=shape.c_in.max(shape.c_out);
    shape.kernel == [3, 3]
        && shape.stride == 1
        && shape.dilation == 1
        && shape.pad[0] == shape.pad[1]
        && shape.pad[0] <= 2
        && *channels.start() >= 16
        && *channels.end() <= winograd_tiles::MAX_CHANNELS
}

/// Whether there is a way that reads the weights as they are: [`winograd_blocks`], or a product.
fn reads_any(shape: &ConvShape) -> bool {
    (is_winograd(shape) || shape.is_pointwise()) && shape.groups == 1
}

/// Weights brought into the form the forward pass reads, of each group. Valid for every batch and image size.
pub struct Forward(Vec<Weights>);

/// Weights brought into the form the input gradient reads, of each group.
pub struct Backward(Vec<Weights>);

/// The weights of one group.
enum Weights {
    Winograd(winograd::Weights),
    Im2col(im2col::Weights),
    Bf16(bf16::Weights),
}

/// The weights of each group, OIHW.
fn per_group<T: Element>(weight: &[T], shape: ConvShape, make: impl Fn(&[T], ConvShape) -> Weights) -> Vec<Weights> {
    let one = shape.one_group();
    weight.chunks_exact(one.c_out * one.patch_len()).map(|weight| make(weight, one)).collect()
}

impl Forward {
    /// From OIHW weights.
    pub fn new<T: Element>(weight: &[T], shape: ConvShape) -> Self {
        Self(per_group(weight, shape, |weight, shape| match is_winograd(&shape) {
            true => Weights::Winograd(winograd::Weights::forward(weight, shape.c_out, shape.c_in)),
            false => Weights::Im2col(im2col::Weights::forward(weight, shape)),
        }))
    }
}

impl Backward {
    /// From OIHW weights.
    pub fn new<T: Element>(weight: &[T], shape: ConvShape) -> Self {
        Self(per_group(weight, shape, |weight, shape| match is_winograd(&shape) {
            true => Weights::Winograd(winograd::Weights::backward(weight, shape.c_out, shape.c_in)),
            false => Weights::Im2col(im2col::Weights::backward(weight, shape)),
        }))
    }
}

/// Makes the weights that a pass reads of what they are kept in.
pub struct Make {
    pub shape: ConvShape,
    /// Whether products with weights kept in bf16 are of bf16, where the channels make whole tiles; only where the processor
    /// has such.
    pub half: bool,
}

impl FromWeight for Make {
    type Output = Forward;
    fn make<T: Element>(self, weight: &[T]) -> Forward {
        match T::halves(weight).filter(|_| self.half && bf16::takes(&self.shape)) {
            Some(weight) => Forward(vec![Weights::Bf16(bf16::Weights::forward(weight, self.shape))]),
            None => Forward::new(weight, self.shape),
        }
    }
}

impl Make {
    /// Whether the pass, or the `back`ward one, reads a weight as it is, as nothing that is made of it would be kept.
    pub fn reads_as_is(&self, weight: &Weight, back: bool) -> bool {
        let takes = if back { bf16::takes_back(&self.shape) } else { bf16::takes(&self.shape) };
        let is_half = self.half && takes && weight.dtype() == DType::BF16;
        reads_any(&self.shape) && !weight.keeps_forms() && !is_half
    }
}

/// A pass that reads the weights as they are.
pub struct Pass<'a> {
    pub shape: ConvShape,
    /// Whether it is the gradient of the input.
    pub back: bool,
    /// The input, or the gradient of the output.
    pub x: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub residual: Option<&'a [f32]>,
}

/// The pass, and what it writes.
impl FromWeight for (Pass<'_>, &mut [f32]) {
    type Output = ();
    fn make<T: Element>(self, weight: &[T]) {
        let (Pass { shape: of, back, x, bias, residual }, y) = self;
        let shape = if back { of.transposed() } else { of };
        assert!(x.len() == shape.in_len() && y.len() == shape.out_len());
        assert!(residual.is_none_or(|r| r.len() == y.len()) && bias.is_none_or(|b| b.len() == shape.c_out));
        if of.is_pointwise() {
            return im2col::pointwise((of, back), x, weight, bias, residual, y);
        }
        let weights = winograd_blocks::Weights::new(weight, of.c_in, back);
        winograd_blocks::forward(shape, x, weights, bias, residual, y);
    }
}

/// [`Make`] for the gradient of the input.
pub struct MakeBackward(pub Make);

impl FromWeight for MakeBackward {
    type Output = Backward;
    fn make<T: Element>(self, weight: &[T]) -> Backward {
        let Make { shape, half } = self.0;
        match T::halves(weight).filter(|_| half && bf16::takes_back(&shape)) {
            Some(weight) => Backward(vec![Weights::Bf16(bf16::Weights::backward(weight, shape))]),
            None => Backward::new(weight, shape),
        }
    }
}

/// `y = conv(x) + bias + residual`. `x` is NHWC `[batch, height, width, c_in]`; `y` and `residual` are NHWC of the
/// output size.
pub fn forward(
    shape: ConvShape,
    x: &[f32],
    weights: &Forward,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    y: &mut [f32],
) {
    assert_eq!(x.len(), shape.in_len());
    assert_eq!(y.len(), shape.out_len());
    assert!(residual.is_none_or(|r| r.len() == y.len()) && bias.is_none_or(|b| b.len() == shape.c_out));
    let one = shape.one_group();
    let group =
        |weights: &Weights, x: &[f32], bias: Option<&[f32]>, residual: Option<&[f32]>, y: &mut [f32]| match weights {
            Weights::Winograd(w) => winograd::forward(one, x, w, bias, residual, y),
            Weights::Im2col(w) => im2col::forward(one, x, w, bias, residual, y),
            Weights::Bf16(w) => bf16::forward(one, x, w, bias, residual, y),
        };
    if let [weights] = weights.0.as_slice() {
        return group(weights, x, bias, residual, y);
    }
    for (g, weights) in weights.0.iter().enumerate() {
        let bias = bias.map(|b| &b[g * one.c_out..][..one.c_out]);
        let residual = residual.map(|r| channels_of(r, shape.c_out, g * one.c_out, one.c_out));
        let mut part = vec![0.0; one.out_len()];
        let x = channels_of(x, shape.c_in, g * one.c_in, one.c_in);
        group(weights, &x, bias, residual.as_deref(), &mut part);
        elementwise::set_columns(&part, one.c_out, y, shape.c_out, g * one.c_out);
    }
}

/// `dx = dL/dx`, NHWC of the input's size.
pub fn input_gradient(shape: ConvShape, dy: &[f32], weights: &Backward, dx: &mut [f32]) {
    assert_eq!(dy.len(), shape.out_len());
    assert_eq!(dx.len(), shape.in_len());
    let one = shape.one_group();
    let group = |weights: &Weights, dy: &[f32], dx: &mut [f32]| match weights {
        Weights::Winograd(w) => winograd::forward(one.transposed(), dy, w, None, None, dx),
        Weights::Im2col(w) => im2col::input_gradient(one, dy, w, dx),
        Weights::Bf16(w) => bf16::forward(one.transposed(), dy, w, None, None, dx),
    };
    if let [weights] = weights.0.as_slice() {
        return group(weights, dy, dx);
    }
    for (g, weights) in weights.0.iter().enumerate() {
        let mut part = vec![0.0; one.in_len()];
        group(weights, &channels_of(dy, shape.c_out, g * one.c_out, one.c_out), &mut part);
        elementwise::set_columns(&part, one.c_in, dx, shape.c_in, g * one.c_in);
    }
}

/// `dw += dL/dw`, OIHW.
pub fn weight_gradient(shape: ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    assert_eq!(x.len(), shape.in_len());
    assert_eq!(dy.len(), shape.out_len());
    assert_eq!(dw.len(), shape.c_out * shape.patch_len());
    let one = shape.one_group();
    let group = |x: &[f32], dy: &[f32], dw: &mut [f32]| match (is_winograd(&one), dw.len() > KEPT_VALUES_TRAINED) {
        (true, true) => winograd_blocks::weight_gradient(one, x, dy, dw),
        (true, false) => winograd::weight_gradient(one, x, dy, dw),
        (false, _) => im2col::weight_gradient(one, x, dy, dw),
    };
    if shape.groups == 1 {
        return group(x, dy, dw);
    }
    for (g, dw) in dw.chunks_exact_mut(one.c_out * one.patch_len()).enumerate() {
        let x = channels_of(x, shape.c_in, g * one.c_in, one.c_in);
        group(&x, &channels_of(dy, shape.c_out, g * one.c_out, one.c_out), dw);
    }
}

/// `take` of the channels of every pixel, from number `from` on.
fn channels_of(x: &[f32], channels: usize, from: usize, take: usize) -> Vec<f32> {
    let mut part = vec![0.0; x.len() / channels * take];
    elementwise::columns(x, channels, from, take, &mut part);
    part
}

/// `db += dL/db`: the sum of the NHWC gradient over all pixels.
pub fn bias_gradient(channels: usize, dy: &[f32], db: &mut [f32]) {
    const ROWS: usize = 512;
    let sum = dy
        .par_chunks(ROWS * channels)
        .map(|rows| {
            let mut sum = vec![0.0f32; channels];
            for row in rows.chunks_exact(channels) {
                sum.iter_mut().zip(row).for_each(|(s, v)| *s += v);
            }
            sum
        })
        .collect::<Vec<_>>();
    for part in sum {
        db.iter_mut().zip(part).for_each(|(db, v)| *db += v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic values in [-1, 1).
    fn values(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2654435761).wrapping_add(12345);
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    /// Calls `visit(output index, input index, weight index)` for every product of the convolution.
    fn each_product(s: ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
        let (oh, ow) = s.out_size();
        for b in 0..s.batch {
            for (oy, ox) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
                for (ky, kx) in (0..s.kernel[0]).flat_map(|y| (0..s.kernel[1]).map(move |x| (y, x))) {
                    let y = (oy * s.stride + ky * s.dilation).wrapping_sub(s.pad[0]);
                    let x = (ox * s.stride + kx * s.dilation).wrapping_sub(s.pad[1]);
                    if y >= s.height || x >= s.width {
                        continue;
                    }
                    let (inputs, outputs) = (s.c_in / s.groups, s.c_out / s.groups);
                    for co in 0..s.c_out {
                        for ci in 0..inputs {
                            visit(
                                ((b * oh + oy) * ow + ox) * s.c_out + co,
                                ((b * s.height + y) * s.width + x) * s.c_in + co / outputs * inputs + ci,
                                ((co * inputs + ci) * s.kernel[0] + ky) * s.kernel[1] + kx,
                            );
                        }
                    }
                }
            }
        }
    }

    fn assert_close(what: &str, shape: ConvShape, got: &[f32], want: &[f64]) {
        let scale = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let worst = got.iter().zip(want).fold(0.0f64, |m, (&g, &w)| m.max((g as f64 - w).abs()));
        assert!(worst <= 2e-5 * scale, "{what} of {shape:?}: error {worst:e} on a scale of {scale:e}");
    }

    #[test]
    fn agrees_with_the_definition_forward_and_backward() {
        let shape = |batch, height, width, c_in, c_out, kernel, stride, pad| {
            ConvShape::square([batch, height, width], (c_in, c_out), kernel, stride, pad)
        };
        for s in [
            shape(2, 8, 8, 48, 48, 3, 1, 1),
            shape(3, 4, 4, 192, 192, 3, 1, 1),
            shape(1, 13, 7, 17, 35, 3, 1, 1),
            shape(2, 5, 9, 16, 16, 3, 1, 0),
            shape(1, 6, 6, 20, 64, 3, 1, 2),
            shape(2, 9, 8, 3, 24, 3, 2, 1),
            shape(2, 8, 8, 96, 48, 1, 1, 0),
            shape(1, 5, 9, 560, 500, 1, 1, 0),
            shape(1, 23, 19, 3, 10, 11, 4, 2),
            shape(2, 7, 7, 24, 40, 5, 1, 2),
            shape(1, 1, 1, 16, 16, 3, 1, 1),
            shape(1, 6, 5, 200, 117, 3, 1, 1),
            ConvShape { dilation: 2, ..shape(2, 11, 9, 16, 20, 3, 1, 2) },
            ConvShape { dilation: 3, ..shape(1, 17, 15, 6, 10, 3, 2, 3) },
            ConvShape { kernel: [1, 7], pad: [0, 3], ..shape(2, 6, 10, 20, 16, 1, 1, 0) },
            ConvShape { kernel: [5, 2], pad: [2, 0], ..shape(1, 9, 8, 7, 12, 1, 2, 0) },
            ConvShape { groups: 3, ..shape(2, 7, 8, 48, 51, 3, 1, 1) },
            ConvShape { groups: 12, ..shape(1, 8, 6, 12, 24, 3, 2, 1) },
        ] {
            let x = values(s.batch * s.height * s.width * s.c_in, 1);
            let w = values(s.c_out * s.patch_len(), 2);
            let bias = values(s.c_out, 3);
            let residual = values(s.out_len(), 4);
            let dy = values(s.out_len(), 5);

            let mut want: Vec<f64> = residual.iter().map(|&r| r as f64).collect();
            want.chunks_exact_mut(s.c_out).for_each(|y| y.iter_mut().zip(&bias).for_each(|(y, &b)| *y += b as f64));
            let (mut dx_want, mut dw_want) = (vec![0.0; x.len()], vec![0.5; w.len()]);
            each_product(s, |o, i, k| {
                want[o] += x[i] as f64 * w[k] as f64;
                dx_want[i] += dy[o] as f64 * w[k] as f64;
                dw_want[k] += dy[o] as f64 * x[i] as f64;
            });

            let mut y = vec![f32::NAN; s.out_len()];
            forward(s, &x, &Forward::new(&w, s), Some(&bias), Some(&residual), &mut y);
            assert_close("output", s, &y, &want);
            let mut dx = vec![f32::NAN; x.len()];
            input_gradient(s, &dy, &Backward::new(&w, s), &mut dx);
            assert_close("input gradient", s, &dx, &dx_want);
            if reads_any(&s) {
                // As weights are read that are not kept transformed.
                let (bias, residual, kept, kept_dx) = (Some(&bias[..]), Some(&residual[..]), y.clone(), dx.clone());
                (Pass { shape: s, back: false, x: &x, bias, residual }, y.as_mut_slice()).make(&w);
                assert_eq!(y, kept, "output of {s:?} as it is");
                (Pass { shape: s, back: true, x: &dy, bias: None, residual: None }, dx.as_mut_slice()).make(&w);
                assert_eq!(dx, kept_dx, "input gradient of {s:?} as it is");
            }
            if is_winograd(&s) && s.groups == 1 {
                let mut dw = vec![0.5; w.len()];
                winograd_blocks::weight_gradient(s, &x, &dy, &mut dw);
                assert_close("weight gradient in blocks", s, &dw, &dw_want);
            }
            let mut dw = vec![0.5; w.len()];
            weight_gradient(s, &x, &dy, &mut dw);
            assert_close("weight gradient", s, &dw, &dw_want);
            let mut db = vec![0.0; s.c_out];
            bias_gradient(s.c_out, &dy, &mut db);
            let db_want: Vec<f64> =
                (0..s.c_out).map(|c| dy.iter().skip(c).step_by(s.c_out).map(|&v| v as f64).sum()).collect();
            assert_close("bias gradient", s, &db, &db_want);
        }
    }
}
