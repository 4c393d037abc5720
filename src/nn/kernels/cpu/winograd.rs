//! 3×3 convolution with stride 1 by Winograd's minimal filtering F(4×4, 3×3): a quarter of the multiplications.
//!
//! Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308: per 4×4 output tile
//! `Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A`, which over all tiles and channels is 36 matrix products. The weight gradient is the
//! exact adjoint; the input gradient is the same convolution with the kernel turned by 180° and channels swapped. What is done
//! with a tile is in [`winograd_tiles`](super::winograd_tiles).

use std::ops::Range;

use rayon::prelude::*;

use super::super::shape::ConvShape;
use super::gemm::{self, Lhs, Out, Rhs};
use super::scratch;
use super::simd::{self, SendPtr, Simd, WithSimd, for_lanes};
use super::values::Element;
use super::winograd_tiles::{
    FREQS, GradientTransform, InputTransform, OutputTransform, Tiling, load_rows, store_rows, weight_gradient_tile,
    weight_tile,
};

/// Work buffers of one block stay within this many values (1 MB), to live in L2.
const BLOCK_VALUES: usize = 256 << 10;
/// Transformed weights above this many values (2.5 MB) are read once for all tiles instead of once a block.
const RESIDENT_WEIGHTS: usize = 640 << 10;
/// Upper bound on the tiles handled at once where all tiles share work buffers.
const STAGED_VALUES: usize = 4 << 20;

/// Transformed weights of one convolution: 36 matrices of `rows × cols`.
pub struct Weights {
    rows: usize,
    cols: usize,
    data: Vec<f32>,
}

impl Weights {
    /// For the forward pass, from OIHW weights: 36 matrices `c_in × c_out`.
    pub fn forward<T: Element>(weight: &[T], c_out: usize, c_in: usize) -> Self {
        Self::new(c_in, c_out, |ci, taps| {
            for (co, w) in weight.chunks_exact(c_in * 9).enumerate() {
                for (tap, &w) in w[ci * 9..ci * 9 + 9].iter().enumerate() {
                    taps[tap * c_out + co] = w.wide();
                }
            }
        })
    }

    /// For the input gradient, from OIHW weights: 36 matrices `c_out × c_in`, the kernel turned by 180°.
    pub fn backward<T: Element>(weight: &[T], c_out: usize, c_in: usize) -> Self {
        Self::new(c_out, c_in, |co, taps| {
            for (ci, w) in weight[co * c_in * 9..(co + 1) * c_in * 9].chunks_exact(9).enumerate() {
                for (tap, &w) in w.iter().enumerate() {
                    taps[(8 - tap) * c_in + ci] = w.wide();
                }
            }
        })
    }

    fn new(rows: usize, cols: usize, gather: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let mut data = vec![0.0; FREQS * rows * cols];
        let out = SendPtr(data.as_mut_ptr());
        (0..rows).into_par_iter().with_min_len(8).for_each(|row| {
            scratch::with(9 * cols, |taps| {
                gather(row, taps);
                // SAFETY: each row of each of the 36 matrices is written by one thread only.
                let out = unsafe { out.add(row * cols) };
                simd::dispatch(WeightTransform { taps, cols, out, freq_stride: rows * cols });
            })
        });
        Self { rows, cols, data }
    }
}

/// `y = conv(x, weights) + bias + residual`; `x` is NHWC, `y` and `residual` NHWC of the output size.
pub fn forward(
    shape: ConvShape,
    x: &[f32],
    weights: &Weights,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    y: &mut [f32],
) {
    debug_assert!(weights.rows == shape.c_in && weights.cols == shape.c_out);
    let tiling = Tiling::new(shape);
    let (c_in, c_out) = (shape.c_in, shape.c_out);
    let out = SendPtr(y.as_mut_ptr());
    let input = |tiles: Range<usize>, v: SendPtr<f32>, stride| {
        simd::dispatch(InputTransform { tiling, src: x, tiles, v, freq_stride: stride });
    };
    let output = |tiles: Range<usize>, m: SendPtr<f32>, stride| {
        let columns = 0..c_out;
        simd::dispatch(OutputTransform { tiling, columns, bias, residual, tiles, m, freq_stride: stride, out });
    };
    let product = |freqs: Range<usize>, count: usize, v: SendPtr<f32>, m: SendPtr<f32>| {
        simd::dispatch(Products {
            freqs,
            dims: (count, c_out, c_in),
            lhs: (v, count * c_in, c_in, 1),
            rhs: (SendPtr(weights.data.as_ptr().cast_mut()), c_in * c_out),
            out: (m, count * c_out),
            accumulate: false,
        });
    };

    if weights.data.len() <= RESIDENT_WEIGHTS {
        let block = (BLOCK_VALUES / (FREQS * (c_in + c_out)) / 8 * 8).max(8);
        let block = block.min(tiling.count().div_ceil(rayon::current_num_threads())).max(1);
        (0..tiling.count().div_ceil(block)).into_par_iter().for_each(|i| {
            let tiles = i * block..((i + 1) * block).min(tiling.count());
            let count = tiles.len();
            scratch::with(FREQS * count * (c_in + c_out), |buffer| {
                let (v, m) = buffer.split_at_mut(FREQS * count * c_in);
                let (v, m) = (SendPtr(v.as_mut_ptr()), SendPtr(m.as_mut_ptr()));
                input(tiles.clone(), v, count * c_in);
                product(0..FREQS, count, v, m);
                output(tiles, m, count * c_out);
            });
        });
    } else {
        let chunk = (STAGED_VALUES / (FREQS * (c_in + c_out))).max(8);
        for start in (0..tiling.count()).step_by(chunk) {
            let count = chunk.min(tiling.count() - start);
            scratch::with(FREQS * count * (c_in + c_out), |buffer| {
                let (v, m) = buffer.split_at_mut(FREQS * count * c_in);
                let (v, m) = (SendPtr(v.as_mut_ptr()), SendPtr(m.as_mut_ptr()));
                // SAFETY (both): the parts are disjoint rows of the work buffers.
                parts(count).for_each(|p| unsafe {
                    let at = SendPtr(v.add(p.start * c_in));
                    input(start + p.start..start + p.end, at, count * c_in);
                });
                (0..FREQS).into_par_iter().for_each(|f| product(f..f + 1, count, v, m));
                parts(count).for_each(|p| unsafe {
                    let at = SendPtr(m.add(p.start * c_out));
                    output(start + p.start..start + p.end, at, count * c_out);
                });
            });
        }
    }
}

/// `dw += dL/dw` in OIHW, from the NHWC input and the NHWC gradient of the output.
pub fn weight_gradient(shape: ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let tiling = Tiling::new(shape);
    let (c_in, c_out) = (shape.c_in, shape.c_out);
    let chunk = (STAGED_VALUES / (FREQS * (c_in + c_out))).max(8);
    scratch::with(FREQS * c_in * c_out, |du| {
        let du_ptr = SendPtr(du.as_mut_ptr());
        for start in (0..tiling.count()).step_by(chunk) {
            let count = chunk.min(tiling.count() - start);
            scratch::with(FREQS * count * (c_in + c_out), |buffer| {
                let (v, m) = buffer.split_at_mut(FREQS * count * c_in);
                let (v, m) = (SendPtr(v.as_mut_ptr()), SendPtr(m.as_mut_ptr()));
                parts(count).for_each(|p| {
                    let tiles = start + p.start..start + p.end;
                    // SAFETY: the parts are disjoint rows of the work buffers.
                    let (v, m) = unsafe { (SendPtr(v.add(p.start * c_in)), SendPtr(m.add(p.start * c_out))) };
                    let (v_stride, m_stride) = (count * c_in, count * c_out);
                    simd::dispatch(InputTransform { tiling, src: x, tiles: tiles.clone(), v, freq_stride: v_stride });
                    simd::dispatch(GradientTransform { tiling, dy, tiles, m, freq_stride: m_stride });
                });
                (0..FREQS).into_par_iter().for_each(|f| {
                    simd::dispatch(Products {
                        freqs: f..f + 1,
                        dims: (c_in, c_out, count),
                        lhs: (v, count * c_in, 1, c_in),
                        rhs: (m, count * c_out),
                        out: (du_ptr, c_in * c_out),
                        accumulate: start > 0,
                    });
                });
            });
        }
        let dw = SendPtr(dw.as_mut_ptr());
        let du = &*du;
        (0..c_in).into_par_iter().with_min_len(8).for_each(|ci| {
            scratch::with(9 * c_out, |taps| {
                simd::dispatch(WeightAdjoint { du, row: ci * c_out, cols: c_out, freq_stride: c_in * c_out, taps });
                for co in 0..c_out {
                    for tap in 0..9 {
                        // SAFETY: input channel `ci` of every kernel belongs to this thread.
                        unsafe { *dw.add((co * c_in + ci) * 9 + tap) += taps[tap * c_out + co] };
                    }
                }
            })
        });
    });
}

/// `0..count` in a few parts a thread.
pub(super) fn parts(count: usize) -> impl IndexedParallelIterator<Item = Range<usize>> {
    let size = count.div_ceil(rayon::current_num_threads() * 4).max(4);
    (0..count.div_ceil(size)).into_par_iter().map(move |i| i * size..((i + 1) * size).min(count))
}

struct WeightTransform<'a> {
    taps: &'a [f32],
    cols: usize,
    out: *mut f32,
    freq_stride: usize,
}

impl WithSimd for WeightTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        for_lanes!(s, self.cols, |c, mask| {
            unsafe {
                let w = load_rows(s, self.taps.as_ptr().add(c), self.cols, mask);
                store_rows(s, self.out.add(c), self.freq_stride, weight_tile(s, w), mask);
            }
        });
    }
}

struct WeightAdjoint<'a> {
    du: &'a [f32],
    row: usize,
    cols: usize,
    freq_stride: usize,
    taps: &'a mut [f32],
}

impl WithSimd for WeightAdjoint<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let du = self.du[self.row..].as_ptr();
        let taps = self.taps.as_mut_ptr();
        for_lanes!(s, self.cols, |c, mask| {
            unsafe {
                let u = load_rows(s, du.add(c), self.freq_stride, mask);
                store_rows(s, taps.add(c), self.cols, weight_gradient_tile(s, u), mask);
            }
        });
    }
}

/// `out[f] = lhs[f] · rhs[f]` for some of the 36 matrices.
struct Products {
    freqs: Range<usize>,
    /// Rows and columns of the result, and the length of the sums.
    dims: (usize, usize, usize),
    /// Pointer, values per matrix, row stride, depth stride.
    lhs: (SendPtr<f32>, usize, usize, usize),
    /// Pointer, values per matrix; rows are contiguous.
    rhs: (SendPtr<f32>, usize),
    /// Pointer, values per matrix; rows are contiguous.
    out: (SendPtr<f32>, usize),
    accumulate: bool,
}

impl WithSimd for Products {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (_, n, _) = self.dims;
        for f in self.freqs {
            // SAFETY: the callers pass buffers of 36 such matrices, and distinct outputs to distinct threads.
            unsafe {
                let lhs = Lhs { ptr: self.lhs.0.add(f * self.lhs.1), row: self.lhs.2, depth: self.lhs.3 };
                let rhs = Rhs { ptr: self.rhs.0.add(f * self.rhs.1), depth: n };
                let out = Out { ptr: self.out.0.add(f * self.out.1), row: n };
                gemm::gemm(s, self.dims, lhs, rhs, out, self.accumulate);
            }
        }
    }
}
