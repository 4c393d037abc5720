//! Convolution with ReLU on channels-last features: patches are gathered into rows and multiplied with the weights.

use rayon::prelude::*;

/// Features of an image: for each position, row by row, all channels.
#[derive(Clone, Debug)]
pub struct Features {
    pub width: usize,
    pub height: usize,
    pub channels: usize,
    /// `height * width * channels` values.
    pub data: Vec<f32>,
}

impl Features {
    /// From one value a position and channel.
    pub fn zeros(width: usize, height: usize, channels: usize) -> Self {
        Self { width, height, channels, data: vec![0.0; width * height * channels] }
    }

    /// All channels of all positions of a row.
    #[inline(always)]
    pub fn row(&self, y: usize) -> &[f32] {
        let len = self.width * self.channels;
        &self.data[y * len..(y + 1) * len]
    }

    /// A rectangle of the features.
    pub fn part(&self, x: usize, y: usize, width: usize, height: usize) -> Features {
        let c = self.channels;
        let rows = (y..y + height).flat_map(|y| &self.row(y)[x * c..(x + width) * c]);
        Features { width, height, channels: c, data: rows.copied().collect() }
    }
}

use crate::nn::kernels::cpu::conv::{self, Forward};
use crate::nn::kernels::shape::ConvShape;

/// A convolution with a square kernel and zero padding.
pub struct Conv {
    shape: ConvShape,
    weights: Forward,
    bias: Vec<f32>,
}

impl Conv {
    /// From weights in the order output channel, input channel, row, column.
    pub fn new(
        (c_in, c_out): (usize, usize),
        (kernel, stride, pad): (usize, usize, usize),
        oihw: &[f32],
        bias: Vec<f32>,
    ) -> Self {
        let shape = ConvShape::square([1, kernel, kernel], (c_in, c_out), kernel, stride, pad);
        Self { shape, weights: Forward::new(oihw, shape), bias }
    }
}

/// `max(0, conv(input) + bias)`.
pub fn conv2d_relu(conv: &Conv, input: &Features) -> Features {
    let shape = ConvShape { height: input.height, width: input.width, ..conv.shape };
    let (height, width) = shape.out_size();
    let mut out = Features::zeros(width, height, shape.c_out);
    conv::forward(shape, &input.data, &conv.weights, Some(&conv.bias), None, &mut out.data);
    out.data.par_iter_mut().with_min_len(1 << 14).for_each(|v| *v = v.max(0.0));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_definition() {
        for (kernel, stride, pad) in [(3, 1, 1), (5, 1, 2), (13, 2, 0), (3, 2, 0)] {
            let (c_in, c_out, width, height) = (3, 5, 19, 17);
            let value = |i: usize| (i * 7919 % 1000) as f32 / 500.0 - 1.0;
            let weights: Vec<f32> = (0..c_out * c_in * kernel * kernel).map(value).collect();
            let bias: Vec<f32> = (0..c_out).map(|i| value(i + 3)).collect();
            let data: Vec<f32> = (0..c_in * width * height).map(|i| value(3 * i + 1)).collect();
            let input = Features { width, height, channels: c_in, data };
            let out = conv2d_relu(&Conv::new((c_in, c_out), (kernel, stride, pad), &weights, bias.clone()), &input);
            assert_eq!(out.width, (width + 2 * pad - kernel) / stride + 1);
            for (i, &got) in out.data.iter().enumerate() {
                let (co, x, y) = (i % c_out, i / c_out % out.width, i / c_out / out.width);
                let mut want = bias[co] as f64;
                for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
                    let (y, x) = ((y * stride + ky).wrapping_sub(pad), (x * stride + kx).wrapping_sub(pad));
                    if x < width && y < height {
                        for ci in 0..c_in {
                            let weight = weights[((co * c_in + ci) * kernel + ky) * kernel + kx];
                            want += (weight * input.row(y)[x * c_in + ci]) as f64;
                        }
                    }
                }
                assert!((got as f64 - want.max(0.0)).abs() < 1e-3, "{kernel} {stride} {pad} at {i}: {got} {want}");
            }
        }
    }
}
