//! Convolution of any kernel size, stride and padding as one matrix product per block of output pixels.
//!
//! The patches under a block of output pixels are gathered into rows ("im2col"), except for a 1×1 kernel with
//! stride 1, whose patches are the pixels themselves.

use std::ops::Range;

use rayon::prelude::*;

use super::super::shape::ConvShape;
use super::gemm::{self, Lhs, Out, Rhs};
use super::scratch;
use super::simd::{self, SendPtr, Simd, WithSimd};

/// Patch values gathered at once by one thread (512 KB).
const BLOCK_VALUES: usize = 128 << 10;
/// Columns of the patches that the weight gradient copies together before it multiplies them: where they lie a whole
/// patch apart, they fall on few lines of the cache.
const PACKED_ROWS: usize = 32;

/// Weights in the order in which one of the passes reads them.
pub struct Weights(Vec<f32>);

impl Weights {
    /// For the forward pass, from OIHW: row `(ky·k + kx)·c_in + ci`, column `co`.
    pub fn forward(weight: &[f32], shape: ConvShape) -> Self {
        let (taps, c_in, c_out) = (shape.taps(), shape.c_in, shape.c_out);
        let mut matrix = vec![0.0; weight.len()];
        let out = SendPtr(matrix.as_mut_ptr());
        (0..c_in).into_par_iter().with_min_len(8).for_each(|ci| {
            for co in 0..c_out {
                for (tap, &w) in weight[(co * c_in + ci) * taps..][..taps].iter().enumerate() {
                    // SAFETY: the rows of input channel `ci` belong to this thread.
                    unsafe { *out.add((tap * c_in + ci) * c_out + co) = w };
                }
            }
        });
        Self(matrix)
    }

    /// For the input gradient: the transpose of [`Weights::forward`].
    pub fn backward(weight: &[f32], shape: ConvShape) -> Self {
        let (taps, c_in, depth) = (shape.taps(), shape.c_in, shape.patch_len());
        let mut matrix = vec![0.0; weight.len()];
        matrix.par_chunks_exact_mut(depth).zip(weight.par_chunks_exact(depth)).with_min_len(8).for_each(|(row, w)| {
            for (ci, w) in w.chunks_exact(taps).enumerate() {
                for (tap, &w) in w.iter().enumerate() {
                    row[tap * c_in + ci] = w;
                }
            }
        });
        Self(matrix)
    }
}

/// `y = conv(x, weights) + bias + residual`; NHWC.
pub fn forward(
    shape: ConvShape,
    x: &[f32],
    weights: &Weights,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    y: &mut [f32],
) {
    let (depth, c_out) = (shape.patch_len(), shape.c_out);
    let out = SendPtr(y.as_mut_ptr());
    blocks(shape).for_each(|pixels| {
        // SAFETY: blocks of output pixels are disjoint.
        let y = unsafe { std::slice::from_raw_parts_mut(out.add(pixels.start * c_out), pixels.len() * c_out) };
        match (residual, bias) {
            (Some(r), None) => y.copy_from_slice(&r[pixels.start * c_out..pixels.end * c_out]),
            (Some(r), Some(bias)) => {
                let r = &r[pixels.start * c_out..pixels.end * c_out];
                for (y, r) in y.chunks_exact_mut(c_out).zip(r.chunks_exact(c_out)) {
                    for ((y, r), b) in y.iter_mut().zip(r).zip(bias) {
                        *y = r + b;
                    }
                }
            }
            (None, Some(bias)) => y.chunks_exact_mut(c_out).for_each(|y| y.copy_from_slice(bias)),
            (None, None) => {}
        }
        let accumulate = residual.is_some() || bias.is_some();
        with_patches(shape, x, pixels.clone(), |patches| {
            simd::dispatch(Product {
                dims: (pixels.len(), c_out, depth),
                lhs: Lhs { ptr: patches.as_ptr(), row: depth, depth: 1 },
                rhs: Rhs { ptr: weights.0.as_ptr(), depth: c_out },
                out: Out { ptr: y.as_mut_ptr(), row: c_out },
                accumulate,
            });
        });
    });
}

/// `dx = dL/dx` from the NHWC gradient of the output.
pub fn input_gradient(shape: ConvShape, dy: &[f32], weights: &Weights, dx: &mut [f32]) {
    let (depth, c_out) = (shape.patch_len(), shape.c_out);
    let product = |pixels: Range<usize>, out: *mut f32| {
        simd::dispatch(Product {
            dims: (pixels.len(), depth, c_out),
            lhs: Lhs { ptr: dy[pixels.start * c_out..].as_ptr(), row: c_out, depth: 1 },
            rhs: Rhs { ptr: weights.0.as_ptr(), depth },
            out: Out { ptr: out, row: depth },
            accumulate: false,
        });
    };
    if shape.is_pointwise() {
        let out = SendPtr(dx.as_mut_ptr());
        // SAFETY (both): blocks of pixels are disjoint.
        blocks(shape).for_each(|pixels| product(pixels.clone(), unsafe { out.add(pixels.start * depth) }));
        return;
    }
    let (out_h, out_w) = shape.out_size();
    let ConvShape { height, width, c_in, kernel: [_, kernel], stride, pad: [pad_y, pad_x], dilation, .. } = shape;
    let extent = shape.extent()[0];
    // Bands of input rows whose patches stay in cache until they are summed up. A band computes all patches that reach into
    // it, those on its border a second time: no two threads write one value.
    let patch_rows = (BLOCK_VALUES / (out_w * depth).max(1)).clamp(1, out_h);
    let band = (patch_rows * stride).min((shape.batch * height).div_ceil(rayon::current_num_threads())).max(stride);
    let bands = height.div_ceil(band);
    let out = SendPtr(dx.as_mut_ptr());
    (0..shape.batch * bands).into_par_iter().for_each(|i| {
        let (image, top) = (i / bands, i % bands * band);
        let bottom = (top + band).min(height);
        let first = (top + pad_y + 1).saturating_sub(extent).div_ceil(stride).min(out_h);
        let last = ((bottom - 1 + pad_y) / stride + 1).clamp(first, out_h);
        let rows = (image * height + top) * width * c_in..(image * height + bottom) * width * c_in;
        // SAFETY: the bands are disjoint.
        let dx = unsafe { std::slice::from_raw_parts_mut(out.add(rows.start), rows.len()) };
        dx.fill(0.0);
        scratch::with((last - first) * out_w * depth, |patches| {
            let pixel = (image * out_h + first) * out_w;
            product(pixel..pixel + (last - first) * out_w, patches.as_mut_ptr());
            for (n, patch) in patches.chunks_exact(depth).enumerate() {
                let (oy, ox) = (first + n / out_w, n % out_w);
                for (ky, taps) in patch.chunks_exact(kernel * c_in).enumerate() {
                    let y = (oy * stride + ky * dilation).wrapping_sub(pad_y);
                    if !(top..bottom).contains(&y) {
                        continue;
                    }
                    let dx = &mut dx[(y - top) * width * c_in..][..width * c_in];
                    let left = ox * stride;
                    let add = |dx: &mut [f32], taps: &[f32]| dx.iter_mut().zip(taps).for_each(|(dx, p)| *dx += p);
                    if dilation == 1 {
                        // The part of the patch that lies within the row, all its columns in one run.
                        let (skip, end) =
                            (pad_x.saturating_sub(left), kernel.min((width + pad_x).saturating_sub(left)));
                        if skip < end {
                            let dx = &mut dx[(left + skip - pad_x) * c_in..(left + end - pad_x) * c_in];
                            add(dx, &taps[skip * c_in..end * c_in]);
                        }
                        continue;
                    }
                    for (kx, tap) in taps.chunks_exact(c_in).enumerate() {
                        let x = (left + kx * dilation).wrapping_sub(pad_x);
                        if x < width {
                            add(&mut dx[x * c_in..][..c_in], tap);
                        }
                    }
                }
            }
        });
    });
}

/// `dw += dL/dw` in OIHW, from the NHWC input and the NHWC gradient of the output.
pub fn weight_gradient(shape: ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (depth, c_out) = (shape.patch_len(), shape.c_out);
    let (out_h, out_w) = shape.out_size();
    let pixels = shape.batch * out_h * out_w;
    // The same on any number of threads, and so are the sums.
    let chunk = (BLOCK_VALUES / depth).max(16) * 2;
    scratch::with(depth * c_out, |sum| {
        let sum_ptr = SendPtr(sum.as_mut_ptr());
        for start in (0..pixels).step_by(chunk) {
            let end = (start + chunk).min(pixels);
            let multiply = |patches: &[f32]| {
                let rows = depth.div_ceil(rayon::current_num_threads() * 2).next_multiple_of(8);
                (0..depth.div_ceil(rows)).into_par_iter().for_each(|i| {
                    let range = i * rows..((i + 1) * rows).min(depth);
                    scratch::with(PACKED_ROWS * (end - start), |packed| {
                        for first in range.clone().step_by(PACKED_ROWS) {
                            let count = PACKED_ROWS.min(range.end - first);
                            for (patch, packed) in patches.chunks_exact(depth).zip(packed.chunks_exact_mut(count)) {
                                packed.copy_from_slice(&patch[first..first + count]);
                            }
                            simd::dispatch(Product {
                                dims: (count, c_out, end - start),
                                lhs: Lhs { ptr: packed.as_ptr(), row: 1, depth: count },
                                rhs: Rhs { ptr: dy[start * c_out..].as_ptr(), depth: c_out },
                                // SAFETY: each thread owns some rows of the sum.
                                out: Out { ptr: unsafe { sum_ptr.add(first * c_out) }, row: c_out },
                                accumulate: start > 0,
                            });
                        }
                    });
                });
            };
            if shape.is_pointwise() {
                multiply(&x[start * depth..end * depth]);
            } else {
                scratch::with((end - start) * depth, |patches| {
                    patches
                        .par_chunks_mut(depth * 16)
                        .enumerate()
                        .for_each(|(i, rows)| gather(shape, x, start + i * 16, rows));
                    multiply(patches);
                });
            }
        }
        let taps = shape.taps();
        let (c_in, sum) = (shape.c_in, &*sum);
        dw.par_chunks_exact_mut(depth).enumerate().for_each(|(co, dw)| {
            for tap in 0..taps {
                for ci in 0..c_in {
                    dw[ci * taps + tap] += sum[(tap * c_in + ci) * c_out + co];
                }
            }
        });
    });
}

/// Blocks of output pixels, numbered over the whole batch.
fn blocks(shape: ConvShape) -> impl ParallelIterator<Item = Range<usize>> {
    let (out_h, out_w) = shape.out_size();
    let pixels = shape.batch * out_h * out_w;
    let widest = shape.patch_len().max(shape.c_out);
    let block = (BLOCK_VALUES / widest).clamp(8, pixels.div_ceil(rayon::current_num_threads()).max(8));
    (0..pixels.div_ceil(block)).into_par_iter().map(move |i| i * block..((i + 1) * block).min(pixels))
}

/// Calls `body` with the patches of some output pixels, a row a pixel.
fn with_patches(shape: ConvShape, x: &[f32], pixels: Range<usize>, body: impl FnOnce(&[f32])) {
    let depth = shape.patch_len();
    if shape.is_pointwise() {
        return body(&x[pixels.start * depth..pixels.end * depth]);
    }
    scratch::with(pixels.len() * depth, |patches| {
        gather(shape, x, pixels.start, patches);
        body(patches);
    });
}

/// Fills `patches` with the patches of the output pixels from `first` on.
fn gather(shape: ConvShape, x: &[f32], first: usize, patches: &mut [f32]) {
    let ConvShape { height, width, c_in, kernel: [_, kernel], stride, pad: [pad_y, pad_x], dilation, .. } = shape;
    let (out_h, out_w) = shape.out_size();
    for (i, patch) in patches.chunks_exact_mut(shape.patch_len()).enumerate() {
        let pixel = first + i;
        let (image, oy, ox) = (pixel / (out_h * out_w), pixel / out_w % out_h, pixel % out_w);
        for (ky, row) in patch.chunks_exact_mut(kernel * c_in).enumerate() {
            let y = (oy * stride + ky * dilation).wrapping_sub(pad_y);
            if y >= height {
                row.fill(0.0);
                continue;
            }
            let src = &x[(image * height + y) * width * c_in..][..width * c_in];
            let left = ox * stride;
            if dilation == 1 && left >= pad_x && left + kernel <= width + pad_x {
                row.copy_from_slice(&src[(left - pad_x) * c_in..][..kernel * c_in]);
                continue;
            }
            for (kx, out) in row.chunks_exact_mut(c_in).enumerate() {
                let x = (left + kx * dilation).wrapping_sub(pad_x);
                match x < width {
                    true => out.copy_from_slice(&src[x * c_in..][..c_in]),
                    false => out.fill(0.0),
                }
            }
        }
    }
}

/// One matrix product on this thread.
pub struct Product {
    /// Rows and columns of the result, and the length of the sums.
    pub dims: (usize, usize, usize),
    pub lhs: Lhs,
    pub rhs: Rhs,
    pub out: Out,
    pub accumulate: bool,
}

/// Sums are cut to this length, so that the part of the right operand in use stays in L1/L2.
const DEPTH_BLOCK: usize = 256;

impl WithSimd for Product {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (m, n, k) = self.dims;
        for p in (0..k).step_by(DEPTH_BLOCK) {
            let len = DEPTH_BLOCK.min(k - p);
            // SAFETY: the callers pass operands of these sizes, and distinct outputs to distinct threads.
            unsafe {
                let lhs = Lhs { ptr: self.lhs.ptr.add(p * self.lhs.depth), ..self.lhs };
                let rhs = Rhs { ptr: self.rhs.ptr.add(p * self.rhs.depth), ..self.rhs };
                gemm::gemm(s, (m, n, len), lhs, rhs, self.out, self.accumulate || p > 0);
            }
        }
    }
}
