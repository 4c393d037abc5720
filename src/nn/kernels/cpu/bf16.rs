//! Convolution with both operands rounded to bf16 and sums in f32, for frozen weights kept in bf16 where it was asked for and the
//! processor has [`amx`].
//!
//! The input is rounded once, into an image with its padding around it. There the values under a row of the kernel lie together,
//! and those of the next pixel a fixed step further: tiles are read as they are, and patches are never made. Each operand is
//! off by at most 2⁻⁹ of itself; sums run over the depth in one order, whatever the number of threads.

use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::super::shape::ConvShape;
use super::amx::{self, Left, SIDE, SUMS, VALUES};
use super::scratch;
use super::simd::{SendPtr, vectorised};

/// Tiles of depth whose two columns of tiles stay in L1 (32 KB).
const STEPS: usize = 16;
/// Pairs of tiles of rows whose part of the input stays in L2.
const ROWS: usize = 8;
/// Pairs of columns of tiles whose sums, with [`ROWS`], stay in L2 (768 KB).
const COLUMNS: usize = 24;
/// Rows, or columns, of a pair of tiles.
const PAIR: usize = 2 * SIDE;

/// Whether a convolution is one of whole tiles of depth, forward.
pub fn takes(shape: &ConvShape) -> bool {
    shape.groups == 1 && shape.c_in.is_multiple_of(amx::DEPTH)
}

/// Whether the gradient of its input is one.
pub fn takes_back(shape: &ConvShape) -> bool {
    let reaches = [0, 1].into_iter().all(|axis| shape.pad[axis] < shape.kernel[axis]);
    shape.groups == 1 && shape.c_out.is_multiple_of(amx::DEPTH) && shape.stride == 1 && shape.dilation == 1 && reaches
}

/// Weights as the right operand, in tiles: two side by side after the other along the depth, then those of the next columns. Columns
/// missing to a pair of tiles are zeros.
pub struct Weights {
    /// Tiles of the whole depth.
    steps: usize,
    data: Vec<bf16>,
}

impl Weights {
    /// For the forward pass, from OIHW: depth `(ky·columns + kx)·c_in + ci`, column `co`.
    pub fn forward(weight: &[bf16], shape: ConvShape) -> Self {
        let (taps, depth) = (shape.taps(), shape.patch_len());
        Self::new(depth, shape.c_out, |columns, mut tiles| {
            // The kernels of one tile's input channels stay in L1 while all its taps are written.
            for ci in (0..shape.c_in).step_by(amx::DEPTH) {
                for tap in 0..taps {
                    let tile = tiles.at((tap * shape.c_in + ci) / amx::DEPTH);
                    for (i, pairs) in tile.chunks_exact_mut(2 * SIDE).enumerate() {
                        let first = (ci + 2 * i) * taps + tap;
                        for (pair, co) in pairs.chunks_exact_mut(2).zip(columns.clone()) {
                            pair[0] = weight[co * depth + first];
                            pair[1] = weight[co * depth + first + taps];
                        }
                    }
                }
            }
        })
    }

    /// For the gradient of the input, from OIHW: depth `(ky·columns + kx)·c_out + co` of the kernel turned about, column `ci`.
    pub fn backward(weight: &[bf16], shape: ConvShape) -> Self {
        let (taps, depth) = (shape.taps(), shape.patch_len());
        Self::new(taps * shape.c_out, shape.c_in, |columns, mut tiles| {
            for (co, kernel) in weight.chunks_exact(depth).enumerate() {
                for tap in 0..taps {
                    let at = (taps - 1 - tap) * shape.c_out + co;
                    let row = &mut tiles.at(at / amx::DEPTH)[at % amx::DEPTH / 2 * 2 * SIDE..][..2 * SIDE];
                    for (pair, ci) in row.chunks_exact_mut(2).zip(columns.clone()) {
                        pair[at % 2] = kernel[ci * taps + tap];
                    }
                }
            }
        })
    }

    fn new(depth: usize, columns: usize, fill: impl Fn(Range<usize>, Tiles) + Sync) -> Self {
        let mut data = vec![bf16::ZERO; columns.next_multiple_of(PAIR) * depth];
        data.par_chunks_mut(PAIR * depth).enumerate().for_each(|(i, data)| {
            for half in 0..2 {
                let first = (i * PAIR + half * SIDE).min(columns);
                fill(first..(first + SIDE).min(columns), Tiles { data, half });
            }
        });
        Self { steps: depth / amx::DEPTH, data }
    }

    /// `steps` pairs of tiles of some columns, from a tile of depth on.
    fn at(&self, pair: usize, step: usize, steps: usize) -> &[bf16] {
        &self.data[(pair * self.steps + step) * 2 * VALUES..][..steps * 2 * VALUES]
    }
}

/// One column of a pair of columns of tiles.
struct Tiles<'a> {
    data: &'a mut [bf16],
    half: usize,
}

impl Tiles<'_> {
    fn at(&mut self, step: usize) -> &mut [bf16] {
        &mut self.data[(2 * step + self.half) * VALUES..][..VALUES]
    }
}

/// Brings values into L2.
fn prefetch(values: &[bf16]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(amx::DEPTH) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch touches no memory.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
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
    let padded = Padded::new(shape);
    scratch::with(padded.len().div_ceil(2), |buffer| {
        // SAFETY: the buffer has room for as many values of half the size, of which all bit patterns are valid.
        let image = unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<bf16>(), padded.len()) };
        padded.fill(x, image);
        let work = Work { padded, image, weights, bias, residual, out: SendPtr(y.as_mut_ptr()) };
        work.run();
    });
}

/// Input with its padding around it, and where the patches of output pixels begin in it.
#[derive(Clone, Copy)]
struct Padded {
    shape: ConvShape,
    height: usize,
    width: usize,
}

impl Padded {
    fn new(shape: ConvShape) -> Self {
        // Rows of a matrix are one row of pixels, whatever image they are of.
        let pixels = shape.batch * shape.height * shape.width;
        let shape = match shape.is_pointwise() {
            true => ConvShape { batch: 1, height: 1, width: pixels, ..shape },
            false => shape,
        };
        Self { shape, height: shape.height + 2 * shape.pad[0], width: shape.width + 2 * shape.pad[1] }
    }

    /// Values of one image.
    fn image_len(&self) -> usize {
        self.height * self.width * self.shape.c_in
    }

    /// Values of all, and of the rows that the last tiles reach beyond them.
    fn len(&self) -> usize {
        let beyond = (PAIR * self.shape.stride + self.shape.extent()[1]) * self.shape.c_in;
        self.shape.batch * self.image_len() + beyond
    }

    /// Rounds the input.
    fn fill(&self, x: &[f32], image: &mut [bf16]) {
        let ConvShape { height, width, c_in, pad, .. } = self.shape;
        let row_len = self.width * c_in;
        let (images, beyond) = image.split_at_mut(self.shape.batch * self.image_len());
        beyond.fill(bf16::ZERO);
        // A row of a matrix is cut up, so that all threads have some.
        let matrix = self.shape.is_pointwise();
        let piece = if matrix { amx::DEPTH << 9 } else { row_len };
        images.par_chunks_mut(piece).enumerate().for_each(|(i, row)| {
            let from = match matrix {
                true => i * piece,
                false => {
                    let (image, y) = (i / self.height, (i % self.height).wrapping_sub(pad[0]));
                    if y >= height {
                        return row.fill(bf16::ZERO);
                    }
                    (image * height + y) * width * c_in
                }
            };
            let (left, rest) = row.split_at_mut(pad[1] * c_in);
            let (middle, right) = rest.split_at_mut(rest.len() - pad[1] * c_in);
            left.fill(bf16::ZERO);
            right.fill(bf16::ZERO);
            let x = &x[from..][..middle.len()];
            for (x, out) in x.chunks_exact(amx::DEPTH).zip(middle.chunks_exact_mut(amx::DEPTH)) {
                // SAFETY: both have these values.
                unsafe { amx::round(x.as_ptr(), out.as_mut_ptr()) };
            }
        });
    }

    /// Runs of output pixels whose patches begin at a fixed step from each other: their number, and how many there are in an image.
    /// With stride 1 a run goes on through the padding between the rows.
    fn runs(&self) -> (usize, usize) {
        let (rows, columns) = self.shape.out_size();
        match self.shape.stride {
            1 => ((rows - 1) * self.width + columns, 1),
            _ => (columns, rows),
        }
    }

    /// Tiles of each run, a whole number of pairs.
    fn tiles_of_run(&self) -> usize {
        self.runs().0.div_ceil(PAIR) * 2
    }

    /// Pairs of tiles of all.
    fn pairs(&self) -> usize {
        self.shape.batch * self.runs().1 * self.tiles_of_run() / 2
    }

    /// Where the patch of a tile's first pixel begins.
    fn begin(&self, tile: usize) -> usize {
        let (run, within) = (tile / self.tiles_of_run(), tile % self.tiles_of_run() * SIDE);
        let (image, row) = (run / self.runs().1, run % self.runs().1);
        image * self.image_len() + (row * self.width + within) * self.shape.stride * self.shape.c_in
    }

    /// The output pixel of a row of a tile, if it is one.
    fn pixel(&self, tile: usize, row: usize) -> Option<usize> {
        let (run, within) = (tile / self.tiles_of_run(), tile % self.tiles_of_run() * SIDE + row);
        let ((len, count), (rows, columns)) = (self.runs(), self.shape.out_size());
        let (image, y, x) = match self.shape.stride {
            1 => (run, within / self.width, within % self.width),
            _ => (run / count, run % count, within),
        };
        (within < len && x < columns).then(|| (image * rows + y) * columns + x)
    }

    /// Values that lie together, as many as a part of the depth: where in a patch they begin, and how many tiles of depth they are.
    fn parts(&self) -> Vec<(usize, usize)> {
        let ConvShape { c_in, kernel: [rows, columns], dilation, .. } = self.shape;
        let (runs, run) = match dilation {
            1 => (1, columns * c_in),
            _ => (columns, c_in),
        };
        let steps = run / amx::DEPTH;
        let each = steps.div_ceil(steps.div_ceil(STEPS));
        let mut parts = Vec::new();
        for (y, x) in (0..rows).flat_map(|y| (0..runs).map(move |x| (y, x))) {
            for from in (0..steps).step_by(each) {
                let at = (y * self.width + x) * dilation * c_in + from * amx::DEPTH;
                parts.push((at, each.min(steps - from)));
            }
        }
        parts
    }
}

/// One convolution.
struct Work<'a> {
    padded: Padded,
    image: &'a [bf16],
    weights: &'a Weights,
    bias: Option<&'a [f32]>,
    residual: Option<&'a [f32]>,
    out: SendPtr<f32>,
}

impl Work<'_> {
    fn run(&self) {
        let (rows, columns) = (self.padded.pairs(), self.padded.shape.c_out.div_ceil(PAIR));
        let wanted = match rayon::current_num_threads() {
            1 => 1,
            threads => 2 * threads,
        };
        let column_parts = columns.div_ceil(COLUMNS).max(wanted.div_ceil(rows).min(columns));
        let rows_each = (rows * column_parts).div_ceil(wanted).min(ROWS);
        let columns_each = columns.div_ceil(column_parts);
        let column_parts = columns.div_ceil(columns_each);
        let parts = self.padded.parts();
        (0..rows.div_ceil(rows_each) * column_parts).into_par_iter().for_each(|i| {
            let (row, column) = (i / column_parts * rows_each, i % column_parts * columns_each);
            let (rows, columns) = (row..(row + rows_each).min(rows), column..(column + columns_each).min(columns));
            scratch::with(rows.len() * columns.len() * SUMS, |sums| {
                self.multiply(rows.clone(), columns.clone(), &parts, sums);
                vectorised(|| self.finish(rows, columns, sums));
            });
        });
    }

    /// Sums of pairs of tiles of rows, for each pair of columns of tiles.
    fn multiply(&self, rows: Range<usize>, columns: Range<usize>, parts: &[(usize, usize)], sums: &mut [f32]) {
        let row = self.padded.shape.stride * self.padded.shape.c_in;
        amx::with_tiles(|| {
            let mut step = 0;
            for (i, &(at, steps)) in parts.iter().enumerate() {
                for (r, pair) in rows.clone().enumerate() {
                    let tiles = [0, 1].map(|half| self.image[self.padded.begin(2 * pair + half) + at..].as_ptr());
                    for (c, column) in columns.clone().enumerate() {
                        let b = self.weights.at(column, step, steps);
                        // The first rows bring the weights of the next columns into L2, where the others find them.
                        if r == 0 && column + 1 < columns.end {
                            prefetch(self.weights.at(column + 1, step, steps));
                        }
                        let sums = &mut sums[(c * rows.len() + r) * SUMS..][..SUMS];
                        // SAFETY: the image goes on for as many rows as tiles have, and the sums are this thread's.
                        unsafe { amx::multiply(Left { tiles, row }, b.as_ptr(), steps, sums.as_mut_ptr(), i > 0) };
                    }
                }
                step += steps;
            }
        });
    }

    /// Adds the sums to what they start from.
    #[inline(always)]
    fn finish(&self, rows: Range<usize>, columns: Range<usize>, sums: &[f32]) {
        let c_out = self.padded.shape.c_out;
        for (r, i) in (0..rows.len()).flat_map(|r| (0..PAIR).map(move |i| (r, i))) {
            let Some(pixel) = self.padded.pixel(2 * (rows.start + r) + i / SIDE, i % SIDE) else { continue };
            for (c, half) in (0..columns.len()).flat_map(|c| [(c, 0), (c, 1)]) {
                let column = (columns.start + c) * PAIR + half * SIDE;
                if column >= c_out {
                    continue;
                }
                let (width, target) = (SIDE.min(c_out - column), pixel * c_out + column);
                let tile = (c * rows.len() + r) * 4 + i / SIDE * 2 + half;
                let sums = &sums[tile * SIDE * SIDE + i % SIDE * SIDE..][..width];
                // SAFETY: the pixels and columns of the output are this thread's.
                let out = unsafe { std::slice::from_raw_parts_mut(self.out.add(target), width) };
                out.copy_from_slice(sums);
                if let Some(bias) = self.bias {
                    out.iter_mut().zip(&bias[column..]).for_each(|(out, b)| *out += b);
                }
                if let Some(residual) = self.residual {
                    out.iter_mut().zip(&residual[target..]).for_each(|(out, r)| *out += r);
                }
            }
        }
    }
}
