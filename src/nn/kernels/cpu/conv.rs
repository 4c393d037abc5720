//! 2-D convolution: chooses between [`winograd`] and [`im2col`] by shape.

use rayon::prelude::*;

use super::super::shape::ConvShape;
use super::{im2col, winograd};

/// Whether [`winograd`] takes a convolution.
fn is_winograd(shape: &ConvShape) -> bool {
    let channels = shape.c_in.min(shape.c_out)..=shape.c_in.max(shape.c_out);
    shape.kernel == 3
        && shape.stride == 1
        && shape.pad <= 2
        && *channels.start() >= 16
        && *channels.end() <= winograd::MAX_CHANNELS
}

/// Weights brought into the form the forward pass reads. Valid for every batch and image size.
pub enum Forward {
    Winograd(winograd::Weights),
    Im2col(im2col::Weights),
}

/// Weights brought into the form the input gradient reads.
pub enum Backward {
    Winograd(winograd::Weights),
    Im2col(im2col::Weights),
}

impl Forward {
    /// From OIHW weights.
    pub fn new(weight: &[f32], shape: ConvShape) -> Self {
        match is_winograd(&shape) {
            true => Self::Winograd(winograd::Weights::forward(weight, shape.c_out, shape.c_in)),
            false => Self::Im2col(im2col::Weights::forward(weight, shape)),
        }
    }
}

impl Backward {
    /// From OIHW weights.
    pub fn new(weight: &[f32], shape: ConvShape) -> Self {
        match is_winograd(&shape) {
            true => Self::Winograd(winograd::Weights::backward(weight, shape.c_out, shape.c_in)),
            false => Self::Im2col(im2col::Weights::backward(weight, shape)),
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
    assert_eq!(x.len(), shape.batch * shape.height * shape.width * shape.c_in);
    assert_eq!(y.len(), shape.out_len());
    assert!(residual.is_none_or(|r| r.len() == y.len()) && bias.is_none_or(|b| b.len() == shape.c_out));
    match weights {
        Forward::Winograd(w) => winograd::forward(shape, x, w, bias, residual, y),
        Forward::Im2col(w) => im2col::forward(shape, x, w, bias, residual, y),
    }
}

/// `dx = dL/dx`, NHWC of the input's size.
pub fn input_gradient(shape: ConvShape, dy: &[f32], weights: &Backward, dx: &mut [f32]) {
    assert_eq!(dy.len(), shape.out_len());
    assert_eq!(dx.len(), shape.batch * shape.height * shape.width * shape.c_in);
    match weights {
        Backward::Winograd(w) => winograd::forward(shape.transposed(), dy, w, None, None, dx),
        Backward::Im2col(w) => im2col::input_gradient(shape, dy, w, dx),
    }
}

/// `dw += dL/dw`, OIHW.
pub fn weight_gradient(shape: ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    assert_eq!(x.len(), shape.batch * shape.height * shape.width * shape.c_in);
    assert_eq!(dy.len(), shape.out_len());
    assert_eq!(dw.len(), shape.c_out * shape.patch_len());
    match is_winograd(&shape) {
        true => winograd::weight_gradient(shape, x, dy, dw),
        false => im2col::weight_gradient(shape, x, dy, dw),
    }
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
                for (ky, kx) in (0..s.kernel).flat_map(|y| (0..s.kernel).map(move |x| (y, x))) {
                    let (y, x) = ((oy * s.stride + ky).wrapping_sub(s.pad), (ox * s.stride + kx).wrapping_sub(s.pad));
                    if y >= s.height || x >= s.width {
                        continue;
                    }
                    for co in 0..s.c_out {
                        for ci in 0..s.c_in {
                            visit(
                                ((b * oh + oy) * ow + ox) * s.c_out + co,
                                ((b * s.height + y) * s.width + x) * s.c_in + ci,
                                ((co * s.c_in + ci) * s.kernel + ky) * s.kernel + kx,
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
        let shape = |batch, height, width, c_in, c_out, kernel, stride, pad| ConvShape {
            batch,
            height,
            width,
            c_in,
            c_out,
            kernel,
            stride,
            pad,
        };
        for s in [
            shape(2, 8, 8, 48, 48, 3, 1, 1),
            shape(3, 4, 4, 192, 192, 3, 1, 1),
            shape(1, 13, 7, 17, 35, 3, 1, 1),
            shape(2, 5, 9, 16, 16, 3, 1, 0),
            shape(1, 6, 6, 20, 64, 3, 1, 2),
            shape(2, 9, 8, 3, 24, 3, 2, 1),
            shape(2, 8, 8, 96, 48, 1, 1, 0),
            shape(1, 23, 19, 3, 10, 11, 4, 2),
            shape(2, 7, 7, 24, 40, 5, 1, 2),
            shape(1, 1, 1, 16, 16, 3, 1, 1),
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
