//! Convolution of any kernel, stride, padding and dilation as matrix products. The patches under output pixels ("im2col") exist
//! only as the packed blocks of [`product`].

use std::ops::Range;

use rayon::prelude::*;

use super::super::shape::ConvShape;
use super::panels::{Loose, Panels};
use super::product::{self, By, DEPTH, Left, ROWS_PACKED, Start, TILE, place, place_across, product};
use super::scratch::{self, LINE};
use super::simd::SendPtr;
use super::values::Element;
use super::winograd_blocks::turn;

/// Patch values that the weight gradient of small patches sums at once.
const BLOCK_VALUES: usize = 128 << 10;
/// Weights in the order in which one of the passes reads them.
pub struct Weights(Panels);

impl Weights {
    /// For the forward pass, from OIHW: row `(ky·columns + kx)·c_in + ci`, column `co`.
    pub fn forward<T: Element>(weight: &[T], shape: ConvShape) -> Self {
        let (taps, depth) = (shape.taps(), shape.patch_len());
        Self(Panels::new(depth, shape.c_out, |columns, width, panel| {
            if taps == 1 {
                return turned(weight, depth, columns, 0..depth, width, panel);
            }
            let weight = &weight[columns.start * depth..columns.end * depth];
            // Some input channels at a time, whose kernels stay in L1 while their rows are written.
            for some in blocks_of(0..shape.c_in, LINE) {
                for (tap, ci) in (0..taps).flat_map(|tap| some.clone().map(move |ci| (tap, ci))) {
                    let row = &mut panel[(tap * shape.c_in + ci) * width..][..width];
                    let values = weight[ci * taps + tap..].iter().step_by(depth);
                    row.iter_mut().zip(values).for_each(|(row, w)| *row = w.wide());
                }
            }
        }))
    }

    /// For the input gradient, from OIHW: row `(ky·columns + kx)·c_out + co`, column `ci`.
    pub fn backward<T: Element>(weight: &[T], shape: ConvShape) -> Self {
        let (taps, depth) = (shape.taps(), shape.patch_len());
        Self(Panels::new(taps * shape.c_out, shape.c_in, |columns, width, panel| {
            if taps == 1 {
                return widened(weight, depth, columns, 0..shape.c_out, width, panel);
            }
            for (co, kernel) in weight.chunks_exact(depth).enumerate() {
                let kernel = &kernel[columns.start * taps..columns.end * taps];
                for tap in 0..taps {
                    let row = &mut panel[(tap * shape.c_out + co) * width..][..width];
                    row.iter_mut().zip(kernel[tap..].iter().step_by(taps)).for_each(|(row, w)| *row = w.wide());
                }
            }
        }))
    }
}

/// Some rows of a matrix of rows of `stride` values, those `columns`, as columns of a panel of the values `depth` of each.
fn turned<T: Element>(
    matrix: &[T],
    stride: usize,
    columns: Range<usize>,
    depth: Range<usize>,
    width: usize,
    panel: &mut [f32],
) {
    let rows = &matrix[columns.start * stride..columns.end * stride];
    // Some values at a time, whose lines stay in L1 while they are written.
    for some in blocks_of(depth.clone(), LINE) {
        let to = &mut panel[(some.start - depth.start) * width..];
        turn(&rows[some.start..], [columns.len(), some.len(), stride], width, to);
    }
}

/// The rows `depth` of a matrix of rows of `stride` values, of each the values `columns`, as a panel.
fn widened<T: Element>(
    matrix: &[T],
    stride: usize,
    columns: Range<usize>,
    depth: Range<usize>,
    width: usize,
    panel: &mut [f32],
) {
    for (row, to) in depth.zip(panel.chunks_exact_mut(width)) {
        to.iter_mut().zip(&matrix[row * stride..][columns.clone()]).for_each(|(to, w)| *to = w.wide());
    }
}

/// Parts of the rows up to which bringing a panel together for each costs less than packing all of them once.
const FEW_PARTS: usize = 4;
/// Values of a right operand that is worth packing.
const SMALL: usize = 256 << 10;

/// A convolution of one pixel, or the gradient of its input (`back`), with weights `[c_out, c_in]` as they lie; `shape` is that of
/// the convolution.
pub fn pointwise<T: Element>(
    (shape, back): (ConvShape, bool),
    x: &[f32],
    weight: &[T],
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    y: &mut [f32],
) {
    let (depth, columns) = if back { (shape.c_out, shape.c_in) } else { (shape.c_in, shape.c_out) };
    let rows = y.len() / columns;
    let read = if back { widened::<T> } else { turned::<T> };
    let patches = Patches { shape: if back { shape.transposed() } else { shape }, x };
    let (blocks, start): (Vec<_>, _) = (blocks(0..depth).collect(), Start { bias, residual, ..Start::ZERO });
    let out = SendPtr(y.as_mut_ptr());
    match rows.div_ceil(ROWS_PACKED) > FEW_PARTS || weight.len() <= SMALL {
        true => {
            let right = Panels::new(depth, columns, |some, width, panel| {
                read(weight, shape.c_in, some, 0..depth, width, panel);
            });
            product(By::All, &patches, rows, &blocks, &right, start, out);
        }
        false => {
            let right = Loose::new(depth, columns, |some, depths, width, panel: &mut [f32]| {
                read(weight, shape.c_in, some, depths, width, panel);
            });
            product(By::All, &patches, rows, &blocks, &right, start, out);
        }
    }
}

/// `range` in blocks of [`DEPTH`].
pub(super) fn blocks(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    blocks_of(range, DEPTH)
}

/// `range` in blocks of `size`.
fn blocks_of(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(size).map(move |from| from..(from + size).min(end))
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
    let patches = Patches { shape, x };
    let depth: Vec<_> = blocks(0..shape.patch_len()).collect();
    let out = SendPtr(y.as_mut_ptr());
    product(By::All, &patches, y.len() / shape.c_out, &depth, &weights.0, Start { bias, residual, ..Start::ZERO }, out);
}

/// Patches of the output pixels, a row a pixel, numbered over the whole batch.
struct Patches<'a> {
    shape: ConvShape,
    x: &'a [f32],
}

impl Left for Patches<'_> {
    const ACROSS: bool = false;

    fn pack(&self, rows: Range<usize>, depth: Range<usize>, tiles: &mut [f32]) {
        for (i, pixel) in rows.enumerate() {
            self.gather(pixel, depth.start, &mut tiles[place(i)..][..depth.len()]);
        }
    }

    fn direct(&self, row: usize, depth: usize) -> Option<(&[f32], usize)> {
        let c_in = self.shape.c_in;
        self.shape.is_pointwise().then(|| (&self.x[row * c_in + depth..], c_in))
    }

    fn target(&self, row: usize) -> usize {
        row * self.shape.c_out
    }
}

impl Patches<'_> {
    /// The values of a patch from number `from` on.
    fn gather(&self, pixel: usize, mut from: usize, mut out: &mut [f32]) {
        let ConvShape { height, width, c_in, kernel: [_, columns], stride, pad: [pad_y, pad_x], dilation, .. } =
            self.shape;
        if self.shape.is_pointwise() {
            return out.copy_from_slice(&self.x[pixel * c_in + from..][..out.len()]);
        }
        let (out_h, out_w) = self.shape.out_size();
        let (image, oy, ox) = (pixel / (out_h * out_w), pixel / out_w % out_h, pixel % out_w);
        while !out.is_empty() {
            let (ky, within) = (from / (columns * c_in), from % (columns * c_in));
            let (y, left) = ((oy * stride + ky * dilation).wrapping_sub(pad_y), ox * stride);
            // A row of the kernel that lies within the image is one run, unless it is dilated.
            let whole = dilation == 1 && left >= pad_x && left + columns <= width + pad_x;
            let run = if whole || y >= height { columns * c_in - within } else { c_in - within % c_in };
            let (part, rest) = out.split_at_mut(run.min(out.len()));
            let x = (left + within / c_in * dilation).wrapping_sub(pad_x);
            if y < height && x < width {
                let at = ((image * height + y) * width + x) * c_in + within % c_in;
                part.copy_from_slice(&self.x[at..][..part.len()]);
            } else {
                part.fill(0.0);
            }
            from += part.len();
            out = rest;
        }
    }
}

/// `dx = dL/dx` from the NHWC gradient of the output. Input pixels that lie alike between the steps of the stride are reached by
/// the same taps of the kernel, and are one product: no value is written twice.
pub fn input_gradient(shape: ConvShape, dy: &[f32], weights: &Weights, dx: &mut [f32]) {
    if shape.is_pointwise() {
        let depth: Vec<_> = blocks(0..shape.c_out).collect();
        let (patches, rows) = (Patches { shape: shape.transposed(), x: dy }, dx.len() / shape.c_in);
        return product(By::All, &patches, rows, &depth, &weights.0, Start::ZERO, SendPtr(dx.as_mut_ptr()));
    }
    let ConvShape { batch, height, width, c_out, kernel: [ky, kx], stride, pad, dilation, .. } = shape;
    // Offsets of the taps from the last to the first, as pixels of the output are in order then.
    let taps = |count: usize, phase: usize, pad: usize| -> Vec<usize> {
        (0..count)
            .rev()
            .filter(|tap| (phase + pad + count * dilation * stride - tap * dilation).is_multiple_of(stride))
            .collect()
    };
    let out = SendPtr(dx.as_mut_ptr());
    for (py, px) in (0..stride.min(height)).flat_map(|py| (0..stride.min(width)).map(move |px| (py, px))) {
        let (rows, columns) = (taps(ky, py, pad[0]), taps(kx, px, pad[1]));
        let taps: Vec<usize> =
            rows.iter().flat_map(|row| columns.iter().map(move |column| row * kx + column)).collect();
        let size = ((height - py).div_ceil(stride), (width - px).div_ceil(stride));
        let sources = Sources { shape, dy, phase: (py, px), size };
        let count = batch * size.0 * size.1;
        if taps.is_empty() {
            // SAFETY: the pixels are distinct.
            (0..count).into_par_iter().for_each(|row| unsafe {
                std::slice::from_raw_parts_mut(out.add(sources.target(row)), shape.c_in).fill(0.0)
            });
            continue;
        }
        let depth: Vec<_> = taps.iter().flat_map(|tap| blocks(tap * c_out..(tap + 1) * c_out)).collect();
        product(By::All, &sources, count, &depth, &weights.0, Start::ZERO, out);
    }
}

/// Of input pixels of one phase, a row a pixel, the output pixels that their taps lead to.
struct Sources<'a> {
    shape: ConvShape,
    dy: &'a [f32],
    /// First row and column of the phase.
    phase: (usize, usize),
    /// Rows and columns of the phase.
    size: (usize, usize),
}

impl Sources<'_> {
    /// Image, row and column of the input.
    fn pixel(&self, row: usize) -> (usize, usize, usize) {
        let (rows, columns) = self.size;
        let stride = self.shape.stride;
        let (y, x) = (row / columns % rows, row % columns);
        (row / (rows * columns), self.phase.0 + y * stride, self.phase.1 + x * stride)
    }
}

impl Left for Sources<'_> {
    const ACROSS: bool = false;

    fn pack(&self, rows: Range<usize>, depth: Range<usize>, tiles: &mut [f32]) {
        let ConvShape { c_out, kernel: [_, columns], stride, pad, dilation, .. } = self.shape;
        let (out_h, out_w) = self.shape.out_size();
        let (tap, from) = (depth.start / c_out, depth.start % c_out);
        for (i, row) in rows.enumerate() {
            let out = &mut tiles[place(i)..][..depth.len()];
            let (image, y, x) = self.pixel(row);
            // Before the first output pixel these wrap around, and are beyond the last one.
            let oy = (y + pad[0]).wrapping_sub(tap / columns * dilation);
            let ox = (x + pad[1]).wrapping_sub(tap % columns * dilation);
            match (oy as isize) >= 0 && (ox as isize) >= 0 && oy / stride < out_h && ox / stride < out_w {
                true => {
                    let at = ((image * out_h + oy / stride) * out_w + ox / stride) * c_out + from;
                    out.copy_from_slice(&self.dy[at..][..depth.len()]);
                }
                false => out.fill(0.0),
            }
        }
    }

    fn target(&self, row: usize) -> usize {
        let (image, y, x) = self.pixel(row);
        ((image * self.shape.height + y) * self.shape.width + x) * self.shape.c_in
    }
}

/// `dw += dL/dw` in OIHW, from the NHWC input and the NHWC gradient of the output.
pub fn weight_gradient(shape: ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (depth, c_out) = (shape.patch_len(), shape.c_out);
    let pixels = dy.len() / c_out;
    // Sums of small patches still break where they did when patches were gathered in memory.
    let chunk = if depth < 1280 { (BLOCK_VALUES / depth).max(16) * 2 } else { pixels };
    let sums: Vec<_> = blocks_of(0..pixels, chunk).flat_map(blocks).collect();
    if shape.is_pointwise() {
        // With the output channels as rows the sums lie as the weights do.
        let columns = Columns(Patches { shape: shape.transposed(), x: dy });
        let right = Panels::of_rows(x, shape.c_in);
        return product(By::All, &columns, c_out, &sums, &right, Start::OUTPUT, SendPtr(dw.as_mut_ptr()));
    }
    let right = Panels::of_rows(dy, c_out);
    scratch::with(depth * c_out, |sum| {
        let columns = Columns(Patches { shape, x });
        product(By::All, &columns, depth, &sums, &right, Start::ZERO, SendPtr(sum.as_mut_ptr()));
        let (taps, c_in, sum) = (shape.taps(), shape.c_in, &*sum);
        // Some output channels at a time: what is read is whole lines of the cache.
        dw.par_chunks_mut(LINE * depth).enumerate().for_each(|(i, dw)| {
            for (ci, tap) in (0..c_in).flat_map(|ci| (0..taps).map(move |tap| (ci, tap))) {
                let sums = &sum[(tap * c_in + ci) * c_out + i * LINE..];
                for (dw, sum) in dw[ci * taps + tap..].iter_mut().step_by(depth).zip(sums) {
                    *dw += sum;
                }
            }
        });
    });
}

/// The patches turned: a row a value of the patch, its depth the output pixels.
struct Columns<'a>(Patches<'a>);

impl Left for Columns<'_> {
    const ACROSS: bool = true;

    fn pack(&self, rows: Range<usize>, pixels: Range<usize>, tiles: &mut [f32]) {
        let ConvShape { c_in, .. } = self.0.shape;
        let (mut buffer, len) = ([0.0; product::ROWS_PACKED], rows.len());
        for (p, pixel) in pixels.enumerate() {
            let patch = match self.0.shape.is_pointwise() {
                true => &self.0.x[pixel * c_in + rows.start..][..len],
                false => {
                    self.0.gather(pixel, rows.start, &mut buffer[..len]);
                    &buffer[..len]
                }
            };
            let (whole, rest) = patch.as_chunks::<TILE>();
            for (t, values) in whole.iter().enumerate() {
                tiles[place_across(t * TILE, p)..][..TILE].copy_from_slice(values);
            }
            if !rest.is_empty() {
                tiles[place_across(len, p)..][..rest.len()].copy_from_slice(rest);
            }
        }
    }

    fn target(&self, row: usize) -> usize {
        row * self.0.shape.c_out
    }
}
