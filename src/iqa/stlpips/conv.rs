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

/// A convolution with a square kernel and zero padding.
pub struct Conv {
    pub c_in: usize,
    pub c_out: usize,
    pub kernel: usize,
    pub stride: usize,
    pub pad: usize,
    /// Row `(ky * kernel + kx) * c_in + ci`, column `co`.
    weights: Vec<f32>,
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
        let taps = kernel * kernel;
        let mut weights = vec![0.0; oihw.len()];
        for (i, &w) in oihw.iter().enumerate() {
            let (co, ci, tap) = (i / (taps * c_in), i / taps % c_in, i % taps);
            weights[(tap * c_in + ci) * c_out + co] = w;
        }
        Self { c_in, c_out, kernel, stride, pad, weights, bias }
    }

    /// Values under one position of the kernel.
    fn patch_len(&self) -> usize {
        self.kernel * self.kernel * self.c_in
    }
}

/// Values gathered at once by one thread (1 MB).
const BLOCK_VALUES: usize = 1 << 18;

/// `max(0, conv(input) + bias)`.
pub fn conv2d_relu(conv: &Conv, input: &Features) -> Features {
    let size = |len: usize| (len + 2 * conv.pad - conv.kernel) / conv.stride + 1;
    let mut out = Features::zeros(size(input.width), size(input.height), conv.c_out);
    let (width, depth, c_out) = (out.width, conv.patch_len(), conv.c_out);
    let block = (BLOCK_VALUES / depth).max(8);
    out.data.par_chunks_mut(block * c_out).enumerate().for_each_init(Vec::new, |patches, (i, out)| {
        patches.resize(block * depth, 0.0);
        let count = out.len() / c_out;
        for (i, patch) in (i * block..i * block + count).zip(patches.chunks_exact_mut(depth)) {
            gather(conv, input, (i % width, i / width), patch);
        }
        for position in out.chunks_exact_mut(c_out) {
            position.copy_from_slice(&conv.bias);
        }
        multiply(&patches[..count * depth], &conv.weights, out, (count, c_out, depth));
        out.iter_mut().for_each(|v| *v = v.max(0.0));
    });
    out
}

/// The values under the kernel at one output position.
fn gather(conv: &Conv, input: &Features, (x, y): (usize, usize), patch: &mut [f32]) {
    let c = conv.c_in;
    for (ky, row) in patch.chunks_exact_mut(conv.kernel * c).enumerate() {
        let y = (y * conv.stride + ky).wrapping_sub(conv.pad);
        if y >= input.height {
            row.fill(0.0);
            continue;
        }
        let (from, left) = (input.row(y), x * conv.stride);
        if left >= conv.pad && left + conv.kernel <= input.width + conv.pad {
            row.copy_from_slice(&from[(left - conv.pad) * c..][..conv.kernel * c]);
            continue;
        }
        for (kx, values) in row.chunks_exact_mut(c).enumerate() {
            match (left + kx).wrapping_sub(conv.pad) {
                x if x < input.width => values.copy_from_slice(&from[x * c..][..c]),
                _ => values.fill(0.0),
            }
        }
    }
}

/// `out += lhs · rhs`, all row by row: `m × k` times `k × n`.
fn multiply(lhs: &[f32], rhs: &[f32], out: &mut [f32], (m, n, k): (usize, usize, usize)) {
    assert!(lhs.len() == m * k && rhs.len() == k * n && out.len() == m * n);
    let (row_k, row_n) = (k as isize, n as isize);
    // SAFETY: the three slices hold exactly the matrices described by these sizes and strides, see the assertion.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            row_n,
            true,
            lhs.as_ptr(),
            1,
            row_k,
            rhs.as_ptr(),
            1,
            row_n,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
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
