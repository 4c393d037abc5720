//! [`winograd`](super::winograd) for weights whose transformed form is not kept, as those of a large network would be gigabytes:
//! some channels in and out at a time are transformed into L2, multiplied and forgotten. Results of the forward pass and the
//! input gradient are those of the kept form to the last bit.

use std::ops::Range;

use rayon::prelude::*;

use super::super::shape::ConvShape;
use super::gemm::{self, Lhs, Out, Rhs, Start};
use super::scratch;
use super::simd::{self, SendPtr, Simd, WithSimd, for_lanes};
use super::values::Element;
use super::winograd::parts;
use super::winograd_tiles::{
    FREQS, GradientTransform, InputTransform, OutputTransform, Tiling, load_rows, store_rows, weight_gradient_tile,
    weight_tile,
};

/// Rows and columns of the matrices of a block of weights, which stays in L2 (885 KB).
const ROWS: usize = 64;
const COLUMNS: usize = 96;
/// Rows whose weights are turned at once, in L1.
const TURNED: usize = 16;
/// Most values of transformed tiles at a time (32 MB).
const STAGED_VALUES: usize = 8 << 20;

/// OIHW weights, and which way they are read.
#[derive(Clone, Copy)]
pub struct Weights<'w, T> {
    values: &'w [T],
    /// Input channels of the published kernel.
    c_in: usize,
    /// Whether for the gradient of the input: the kernel turned by 180°, from output channels to input channels.
    back: bool,
}

impl<'w, T: Element> Weights<'w, T> {
    /// For the forward pass of a convolution, or `back` for the gradient of its input.
    pub fn new(values: &'w [T], c_in: usize, back: bool) -> Self {
        Self { values, c_in, back }
    }

    /// The taps of some rows (channels summed over) and columns, `[row][tap][lanes]`, columns that are missing as they were.
    #[inline(always)]
    fn turn(&self, rows: Range<usize>, columns: Range<usize>, lanes: usize, taps: &mut [f32]) {
        if self.back {
            for (row, taps) in rows.zip(taps.chunks_exact_mut(9 * lanes)) {
                let kernels = &self.values[(row * self.c_in + columns.start) * 9..][..columns.len() * 9];
                for (i, kernel) in kernels.as_chunks::<9>().0.iter().enumerate() {
                    for (tap, value) in kernel.iter().enumerate() {
                        taps[(8 - tap) * lanes + i] = value.wide();
                    }
                }
            }
            return;
        }
        let kernels = &self.values[(columns.start * self.c_in + rows.start) * 9..];
        turn(kernels, [columns.len(), rows.len() * 9, self.c_in * 9], lanes, taps);
    }
}

/// Rows of some values, `stride` apart, as columns `lanes` apart.
#[inline(always)]
pub(super) fn turn<T: Element>(from: &[T], [rows, values, stride]: [usize; 3], lanes: usize, to: &mut [f32]) {
    let whole =
        if cfg!(target_arch = "x86_64") && T::floats(from).is_some() { [rows / 4 * 4, values / 4 * 4] } else { [0; 2] };
    #[cfg(target_arch = "x86_64")]
    if let Some(from) = T::floats(from) {
        for row in (0..whole[0]).step_by(4) {
            let four: [&[f32]; 4] = std::array::from_fn(|i| &from[(row + i) * stride..][..values]);
            for at in (0..whole[1]).step_by(4) {
                turn_four(four.map(|row| &row[at..at + 4]), lanes, &mut to[at * lanes + row..][..3 * lanes + 4]);
            }
        }
    }
    for row in 0..rows {
        let first = if row < whole[0] { whole[1] } else { 0 };
        let from = &from[row * stride..][..values];
        from.iter().enumerate().skip(first).for_each(|(at, value)| to[at * lanes + row] = value.wide());
    }
}

/// Four values of four rows, turned in registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn turn_four(rows: [&[f32]; 4], lanes: usize, to: &mut [f32]) {
    use std::arch::x86_64::{_MM_TRANSPOSE4_PS, _mm_loadu_ps, _mm_storeu_ps};
    assert!(rows.iter().all(|row| row.len() == 4) && to.len() == 3 * lanes + 4);
    // SAFETY: every x86-64 has SSE, and the slices are as long as what is read and written.
    unsafe {
        let [mut a, mut b, mut c, mut d] = rows.map(|row| _mm_loadu_ps(row.as_ptr()));
        _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
        for (i, column) in [a, b, c, d].into_iter().enumerate() {
            _mm_storeu_ps(to.as_mut_ptr().add(i * lanes), column);
        }
    }
}

/// Tiles at a time: the same whatever the number of threads, and about as many each time.
fn staged(count: usize, values_each: usize) -> usize {
    let most = (STAGED_VALUES / values_each).max(8);
    count.div_ceil(count.div_ceil(most).max(1)).max(1)
}

/// Columns that one thread works at, so that all threads have as many. Sums are along the rows and do not depend on it.
fn columns_each(columns: usize) -> usize {
    let threads = rayon::current_num_threads();
    let blocks = columns.div_ceil(COLUMNS).next_multiple_of(threads);
    columns.div_ceil(blocks).next_multiple_of(16).min(COLUMNS)
}

/// `range` in blocks of `size`.
fn blocks(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(size).map(move |from| from..(from + size).min(end))
}

/// `y = conv(x, weights) + bias + residual` of `shape`'s channels; NHWC. Of weights for the gradient of the input, `shape` is that
/// convolution's.
pub fn forward<T: Element>(
    shape: ConvShape,
    x: &[f32],
    weights: Weights<T>,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    y: &mut [f32],
) {
    let (tiling, c_in, c_out) = (Tiling::new(shape), shape.c_in, shape.c_out);
    let (out, each) = (SendPtr(y.as_mut_ptr()), columns_each(c_out));
    let chunk = staged(tiling.count(), FREQS * c_in);
    for tiles in blocks(0..tiling.count(), chunk) {
        let count = tiles.len();
        scratch::with(FREQS * count * c_in, |v| {
            let v = SendPtr(v.as_mut_ptr());
            parts(count).for_each(|part| {
                // SAFETY: the parts are disjoint rows of the work buffer.
                let v = SendPtr(unsafe { v.add(part.start * c_in) });
                let tiles = tiles.start + part.start..tiles.start + part.end;
                simd::dispatch(InputTransform { tiling, src: x, tiles, v, freq_stride: count * c_in });
            });
            (0..c_out.div_ceil(each)).into_par_iter().for_each(|i| {
                let columns = i * each..((i + 1) * each).min(c_out);
                let width = columns.len();
                scratch::with(FREQS * (ROWS + count) * width, |buffer| {
                    let (u, m) = buffer.split_at_mut(FREQS * ROWS * width);
                    for rows in blocks(0..c_in, ROWS) {
                        let (first, columns) = (rows.start, columns.clone());
                        simd::dispatch(Transform { weights, rows: rows.clone(), columns, u });
                        let product = Products {
                            dims: (count, width, rows.len()),
                            // SAFETY: the block's rows are within those of the tiles.
                            lhs: (SendPtr(unsafe { v.add(first) }), count * c_in, c_in, 1),
                            rhs: (SendPtr(u.as_mut_ptr()), ROWS * width, width),
                            out: (SendPtr(m.as_mut_ptr()), count * width),
                            start: if first == 0 { Start::Zero } else { Start::Continued },
                        };
                        simd::dispatch(product);
                    }
                    let m = SendPtr(m.as_mut_ptr());
                    let (tiles, freq_stride) = (tiles.clone(), count * width);
                    simd::dispatch(OutputTransform { tiling, columns, bias, residual, tiles, m, freq_stride, out });
                });
            });
        });
    }
}

/// `dw += dL/dw` in OIHW, from the NHWC input and the NHWC gradient of the output.
pub fn weight_gradient(shape: ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (tiling, c_in, c_out) = (Tiling::new(shape), shape.c_in, shape.c_out);
    let (dw, each) = (SendPtr(dw.as_mut_ptr()), columns_each(c_out));
    let chunk = staged(tiling.count(), FREQS * (c_in + c_out));
    for tiles in blocks(0..tiling.count(), chunk) {
        let count = tiles.len();
        scratch::with(FREQS * count * (c_in + c_out), |buffer| {
            let (v, m) = buffer.split_at_mut(FREQS * count * c_in);
            let (v, m) = (SendPtr(v.as_mut_ptr()), SendPtr(m.as_mut_ptr()));
            parts(count).for_each(|part| {
                let tiles = tiles.start + part.start..tiles.start + part.end;
                // SAFETY: the parts are disjoint rows of the work buffers.
                let (v, m) = unsafe { (SendPtr(v.add(part.start * c_in)), SendPtr(m.add(part.start * c_out))) };
                let (v_stride, m_stride) = (count * c_in, count * c_out);
                simd::dispatch(InputTransform { tiling, src: x, tiles: tiles.clone(), v, freq_stride: v_stride });
                simd::dispatch(GradientTransform { tiling, dy, tiles, m, freq_stride: m_stride });
            });
            (0..c_out.div_ceil(each)).into_par_iter().for_each(|i| {
                let columns = i * each..((i + 1) * each).min(c_out);
                let width = columns.len();
                scratch::with(FREQS * ROWS * width, |du| {
                    for rows in blocks(0..c_in, ROWS) {
                        let product = Products {
                            dims: (rows.len(), width, count),
                            // SAFETY (both): the block's rows and columns are within those of the tiles.
                            lhs: (SendPtr(unsafe { v.add(rows.start) }), count * c_in, 1, c_in),
                            rhs: (SendPtr(unsafe { m.add(columns.start) }), count * c_out, c_out),
                            out: (SendPtr(du.as_mut_ptr()), ROWS * width),
                            start: Start::Zero,
                        };
                        simd::dispatch(product);
                        simd::dispatch(Adjoint { du, rows, columns: columns.clone(), c_in, dw });
                    }
                });
            });
        });
    }
}

/// `u[f][row][column] = (G g Gᵀ)[f]` of a block of weights.
struct Transform<'a, T> {
    weights: Weights<'a, T>,
    rows: Range<usize>,
    columns: Range<usize>,
    u: &'a mut [f32],
}

impl<T: Element> WithSimd for Transform<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (width, lanes) = (self.columns.len(), S::F32_LANES);
        let u = self.u.as_mut_ptr();
        let mut taps = [0.0f32; TURNED * 9 * 16];
        for rows in blocks(0..self.rows.len(), TURNED) {
            let taken = self.rows.start + rows.start..self.rows.start + rows.end;
            for_lanes!(s, width, |c, mask| {
                let columns = self.columns.start + c..(self.columns.start + c + lanes).min(self.columns.end);
                self.weights.turn(taken.clone(), columns, lanes, &mut taps);
                for (i, row) in rows.clone().enumerate() {
                    // SAFETY: the block has these rows and columns.
                    unsafe {
                        let w = load_rows(s, taps.as_ptr().add(i * 9 * lanes), lanes, None);
                        store_rows(s, u.add(row * width + c), ROWS * width, weight_tile(s, w), mask);
                    }
                }
            });
        }
    }
}

/// Adds `(Gᵀ du G)` of a block to the gradient of the weights.
struct Adjoint<'a> {
    du: &'a [f32],
    rows: Range<usize>,
    columns: Range<usize>,
    c_in: usize,
    dw: SendPtr<f32>,
}

impl WithSimd for Adjoint<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (width, lanes, du) = (self.columns.len(), S::F32_LANES, self.du.as_ptr());
        let mut taps = [0.0f32; TURNED * 9 * 16];
        for rows in blocks(0..self.rows.len(), TURNED) {
            for_lanes!(s, width, |c, mask| {
                for (i, row) in rows.clone().enumerate() {
                    // SAFETY: the block has these rows and columns.
                    unsafe {
                        let u = load_rows(s, du.add(row * width + c), ROWS * width, mask);
                        store_rows(s, taps.as_mut_ptr().add(i * 9 * lanes), lanes, weight_gradient_tile(s, u), None);
                    }
                }
                for column in c..(c + lanes).min(width) {
                    let at = ((self.columns.start + column) * self.c_in + self.rows.start + rows.start) * 9;
                    // SAFETY: these output channels of the gradient are this thread's.
                    let dw = unsafe { std::slice::from_raw_parts_mut(self.dw.add(at), rows.len() * 9) };
                    let taps = taps[column - c..].iter().step_by(lanes);
                    dw.iter_mut().zip(taps).for_each(|(dw, tap)| *dw += tap);
                }
            });
        }
    }
}

/// `out[f] = lhs[f] · rhs[f]`, one after the other.
struct Products {
    /// Rows and columns of the result, and the length of the sums.
    dims: (usize, usize, usize),
    /// Pointer, values per matrix, row stride, depth stride.
    lhs: (SendPtr<f32>, usize, usize, usize),
    /// Pointer, values per matrix, row stride.
    rhs: (SendPtr<f32>, usize, usize),
    /// Pointer, values per matrix; rows are contiguous.
    out: (SendPtr<f32>, usize),
    start: Start,
}

impl WithSimd for Products {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        for f in 0..FREQS {
            // SAFETY: the callers pass 36 such matrices, and outputs of this thread.
            unsafe {
                let lhs = Lhs { ptr: self.lhs.0.add(f * self.lhs.1), row: self.lhs.2, depth: self.lhs.3 };
                let rhs = Rhs { ptr: self.rhs.0.add(f * self.rhs.1), depth: self.rhs.2 };
                let out = Out { ptr: self.out.0.add(f * self.out.1), row: self.dims.1 };
                gemm::gemm(s, self.dims, lhs, rhs, out, self.start);
            }
        }
    }
}
