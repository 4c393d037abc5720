//! 3×3 convolution with stride 1 by Winograd's minimal filtering F(4×4, 3×3): a quarter of the multiplications.
//!
//! Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308: per 4×4 output tile
//! `Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A`, which over all tiles and channels is 36 matrix products. The weight gradient is the
//! exact adjoint; the input gradient is the same convolution with the kernel turned by 180° and channels swapped.

use std::ops::Range;

use rayon::prelude::*;

use super::super::shape::ConvShape;
use super::gemm::{self, Lhs, Out, Rhs};
use super::scratch;
use super::simd::{self, SendPtr, Simd, WithSimd, for_lanes};
use super::values::Element;

/// Values in a transformed tile, and so the number of matrix products.
pub(super) const FREQS: usize = 36;
/// Output pixels along one side of a tile.
const TILE: usize = 4;
/// Most channels for which rows outside the image can be read from [`ZEROS`].
pub const MAX_CHANNELS: usize = 4096;
static ZEROS: [f32; MAX_CHANNELS] = [0.0; MAX_CHANNELS];

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

/// How the tiles lie over the images.
#[derive(Clone, Copy)]
pub(super) struct Tiling {
    shape: ConvShape,
    tiles_y: usize,
    tiles_x: usize,
}

impl Tiling {
    pub(super) fn new(shape: ConvShape) -> Self {
        let (h, w) = shape.out_size();
        Self { shape, tiles_y: h.div_ceil(TILE), tiles_x: w.div_ceil(TILE) }
    }

    pub(super) fn count(&self) -> usize {
        self.shape.batch * self.tiles_y * self.tiles_x
    }

    /// Image index and output pixel (y, x) of the tile's first pixel.
    fn origin(&self, tile: usize) -> (usize, usize, usize) {
        let per_image = self.tiles_y * self.tiles_x;
        let within = tile % per_image;
        (tile / per_image, within / self.tiles_x * TILE, within % self.tiles_x * TILE)
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

/// Bᵀ applied to six values.
#[inline(always)]
fn b_transposed<S: Simd>(s: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
    let (two, four, five) = (s.splat_f32s(2.0), s.splat_f32s(4.0), s.splat_f32s(-5.0));
    let minus4 = s.splat_f32s(-4.0);
    let even = s.mul_add_e_f32s(minus4, d[2], d[4]);
    let odd = s.mul_add_e_f32s(minus4, d[1], d[3]);
    let even2 = s.sub_f32s(d[4], d[2]);
    let odd2 = s.mul_f32s(two, s.sub_f32s(d[3], d[1]));
    [
        s.mul_add_e_f32s(four, d[0], s.mul_add_e_f32s(five, d[2], d[4])),
        s.add_f32s(even, odd),
        s.sub_f32s(even, odd),
        s.add_f32s(even2, odd2),
        s.sub_f32s(even2, odd2),
        s.mul_add_e_f32s(four, d[1], s.mul_add_e_f32s(five, d[3], d[5])),
    ]
}

/// Aᵀ applied to six values.
#[inline(always)]
fn a_transposed<S: Simd>(s: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
    let (two, four, eight) = (s.splat_f32s(2.0), s.splat_f32s(4.0), s.splat_f32s(8.0));
    let (sum1, diff1) = (s.add_f32s(m[1], m[2]), s.sub_f32s(m[1], m[2]));
    let (sum2, diff2) = (s.add_f32s(m[3], m[4]), s.sub_f32s(m[3], m[4]));
    [
        s.add_f32s(m[0], s.add_f32s(sum1, sum2)),
        s.mul_add_e_f32s(two, diff2, diff1),
        s.mul_add_e_f32s(four, sum2, sum1),
        s.add_f32s(s.mul_add_e_f32s(eight, diff2, diff1), m[5]),
    ]
}

/// A applied to four values.
#[inline(always)]
fn a<S: Simd>(s: S, y: [S::f32s; 4]) -> [S::f32s; 6] {
    let (two, four) = (s.splat_f32s(2.0), s.splat_f32s(4.0));
    let (even, odd) = (s.add_f32s(y[0], y[2]), s.add_f32s(y[1], y[3]));
    let even2 = s.mul_add_e_f32s(four, y[2], y[0]);
    let odd2 = s.mul_f32s(two, s.mul_add_e_f32s(four, y[3], y[1]));
    [y[0], s.add_f32s(even, odd), s.sub_f32s(even, odd), s.add_f32s(even2, odd2), s.sub_f32s(even2, odd2), y[3]]
}

/// G applied to three values.
#[inline(always)]
fn g<S: Simd>(s: S, w: [S::f32s; 3]) -> [S::f32s; 6] {
    let scale = |v, by: f32| s.mul_f32s(v, s.splat_f32s(by));
    let outer = scale(s.add_f32s(w[0], w[2]), -1.0 / 6.0);
    let inner = scale(w[1], 1.0 / 6.0);
    let outer2 = s.add_f32s(scale(w[0], 1.0 / 24.0), scale(w[2], 1.0 / 6.0));
    let inner2 = scale(w[1], 1.0 / 12.0);
    [
        scale(w[0], 0.25),
        s.sub_f32s(outer, inner),
        s.add_f32s(outer, inner),
        s.add_f32s(outer2, inner2),
        s.sub_f32s(outer2, inner2),
        w[2],
    ]
}

/// Gᵀ applied to six values.
#[inline(always)]
fn g_transposed<S: Simd>(s: S, u: [S::f32s; 6]) -> [S::f32s; 3] {
    let scale = |v, by: f32| s.mul_f32s(v, s.splat_f32s(by));
    let (sum1, diff1) = (s.add_f32s(u[1], u[2]), s.sub_f32s(u[2], u[1]));
    let (sum2, diff2) = (s.add_f32s(u[3], u[4]), s.sub_f32s(u[3], u[4]));
    let outer = scale(sum1, -1.0 / 6.0);
    [
        s.add_f32s(s.add_f32s(scale(u[0], 0.25), outer), scale(sum2, 1.0 / 24.0)),
        s.add_f32s(scale(diff1, 1.0 / 6.0), scale(diff2, 1.0 / 12.0)),
        s.add_f32s(s.add_f32s(u[5], outer), scale(sum2, 1.0 / 6.0)),
    ]
}

/// Defines a function that applies a one-dimensional transform to the columns, then to the rows of a tile. (Closures
/// would not inherit the vector instructions of the function that calls them.)
macro_rules! both_sides {
    ($name:ident, $transform:ident, $from:literal, $to:literal) => {
        #[inline(always)]
        pub(super) fn $name<S: Simd>(s: S, d: [[S::f32s; $from]; $from]) -> [[S::f32s; $to]; $to] {
            let zero = s.splat_f32s(0.0);
            let mut columns = [[zero; $to]; $from];
            for j in 0..$from {
                let mut column = [zero; $from];
                for i in 0..$from {
                    column[i] = d[i][j];
                }
                columns[j] = $transform(s, column);
            }
            let mut out = [[zero; $to]; $to];
            for i in 0..$to {
                let mut row = [zero; $from];
                for j in 0..$from {
                    row[j] = columns[j][i];
                }
                out[i] = $transform(s, row);
            }
            out
        }
    };
}
both_sides!(input_tile, b_transposed, 6, 6);
both_sides!(output_tile, a_transposed, 6, 4);
both_sides!(gradient_tile, a, 4, 6);
both_sides!(weight_tile, g, 3, 6);
both_sides!(weight_gradient_tile, g_transposed, 6, 3);

type Mask<S> = Option<pulp::MemMask<<S as Simd>::m32s>>;

/// One vector from each of the `N × N` rows that lie `stride` values apart.
#[inline(always)]
pub(super) unsafe fn load_rows<S: Simd, const N: usize>(
    s: S,
    ptr: *const f32,
    stride: usize,
    mask: Mask<S>,
) -> [[S::f32s; N]; N] {
    let mut tile = [[s.splat_f32s(0.0); N]; N];
    for (f, value) in tile.as_flattened_mut().iter_mut().enumerate() {
        *value = unsafe { simd::load_masked(s, ptr.add(f * stride), mask) };
    }
    tile
}

/// One vector to each of the `N × N` rows that lie `stride` values apart.
#[inline(always)]
pub(super) unsafe fn store_rows<S: Simd, const N: usize>(
    s: S,
    ptr: *mut f32,
    stride: usize,
    tile: [[S::f32s; N]; N],
    mask: Mask<S>,
) {
    for (f, &value) in tile.as_flattened().iter().enumerate() {
        unsafe { simd::store_masked(s, ptr.add(f * stride), value, mask) };
    }
}

/// One vector from each of the `N × N` pixels, `c` values into it.
#[inline(always)]
unsafe fn load_pixels<S: Simd, const N: usize>(
    s: S,
    pixels: &[[*const f32; N]; N],
    c: usize,
    mask: Mask<S>,
) -> [[S::f32s; N]; N] {
    let mut tile = [[s.splat_f32s(0.0); N]; N];
    for (value, pixel) in tile.as_flattened_mut().iter_mut().zip(pixels.as_flattened()) {
        *value = unsafe { simd::load_masked(s, pixel.add(c), mask) };
    }
    tile
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

/// `v[f][tile][c] = (Bᵀ d B)[f]` for the input tiles.
pub(super) struct InputTransform<'a> {
    pub(super) tiling: Tiling,
    pub(super) src: &'a [f32],
    pub(super) tiles: Range<usize>,
    pub(super) v: SendPtr<f32>,
    pub(super) freq_stride: usize,
}

impl WithSimd for InputTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let ConvShape { height, width, c_in, pad: [pad, _], .. } = self.tiling.shape;
        let first = self.tiles.start;
        for tile in self.tiles {
            let (image, oy, ox) = self.tiling.origin(tile);
            let pixels: [[*const f32; 6]; 6] = std::array::from_fn(|i| {
                std::array::from_fn(|j| {
                    let (y, x) = ((oy + i).wrapping_sub(pad), (ox + j).wrapping_sub(pad));
                    match y < height && x < width {
                        true => self.src[((image * height + y) * width + x) * c_in..].as_ptr(),
                        false => ZEROS.as_ptr(),
                    }
                })
            });
            let v = unsafe { self.v.add((tile - first) * c_in) };
            for_lanes!(s, c_in, |c, mask| {
                unsafe {
                    let d = load_pixels(s, &pixels, c, mask);
                    store_rows(s, v.add(c), self.freq_stride, input_tile(s, d), mask);
                }
            });
        }
    }
}

/// `m[f][tile][c] = (A dy Aᵀ)[f]` for the tiles of the output gradient.
pub(super) struct GradientTransform<'a> {
    pub(super) tiling: Tiling,
    pub(super) dy: &'a [f32],
    pub(super) tiles: Range<usize>,
    pub(super) m: SendPtr<f32>,
    pub(super) freq_stride: usize,
}

impl WithSimd for GradientTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (height, width) = self.tiling.shape.out_size();
        let channels = self.tiling.shape.c_out;
        let first = self.tiles.start;
        for tile in self.tiles {
            let (image, oy, ox) = self.tiling.origin(tile);
            let pixels: [[*const f32; 4]; 4] = std::array::from_fn(|i| {
                std::array::from_fn(|j| match oy + i < height && ox + j < width {
                    true => self.dy[((image * height + oy + i) * width + ox + j) * channels..].as_ptr(),
                    false => ZEROS.as_ptr(),
                })
            });
            let m = unsafe { self.m.add((tile - first) * channels) };
            for_lanes!(s, channels, |c, mask| {
                unsafe {
                    let d = load_pixels(s, &pixels, c, mask);
                    store_rows(s, m.add(c), self.freq_stride, gradient_tile(s, d), mask);
                }
            });
        }
    }
}

/// `y = Aᵀ m A + bias + residual` for the tiles, written to the NHWC output.
pub(super) struct OutputTransform<'a> {
    pub(super) tiling: Tiling,
    /// Output channels that `m` has.
    pub(super) columns: Range<usize>,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) residual: Option<&'a [f32]>,
    pub(super) tiles: Range<usize>,
    pub(super) m: SendPtr<f32>,
    pub(super) freq_stride: usize,
    pub(super) out: SendPtr<f32>,
}

impl WithSimd for OutputTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (height, width) = self.tiling.shape.out_size();
        let channels = self.tiling.shape.c_out;
        let bias = &self.bias.unwrap_or(&ZEROS[..channels])[self.columns.clone()];
        let (first, columns) = (self.tiles.start, self.columns.len());
        for tile in self.tiles {
            let (image, oy, ox) = self.tiling.origin(tile);
            let m = unsafe { self.m.add((tile - first) * columns) };
            for_lanes!(s, columns, |c, mask| {
                unsafe {
                    let d = load_rows(s, m.add(c), self.freq_stride, mask);
                    let y = output_tile(s, d);
                    let bias = simd::load_masked(s, bias.as_ptr().add(c), mask);
                    for (i, row) in y.iter().enumerate().take(height - oy) {
                        for (j, &value) in row.iter().enumerate().take(width - ox) {
                            let pixel = (image * height + oy + i) * width + ox + j;
                            let at = pixel * channels + self.columns.start + c;
                            let mut value = s.add_f32s(value, bias);
                            if let Some(residual) = self.residual {
                                value = s.add_f32s(value, simd::load_masked(s, residual.as_ptr().add(at), mask));
                            }
                            simd::store_masked(s, self.out.add(at), value, mask);
                        }
                    }
                }
            });
        }
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
