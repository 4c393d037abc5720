//! The anti-aliased downsampling of [`super::super::antialias`] together with what comes before it: in one pass with the
//! maximum over windows; and, with a convolution, as one convolution of a wider kernel and stride 2, in a third of the
//! multiplications.

use std::ops::Range;

use rayon::prelude::*;

use super::super::antialias::{BINOMIAL, PAD, blurred_len};
use super::super::shape::{ConvShape, PoolShape};
use super::conv::{self, Forward};
use super::simd::vectorised;
use crate::imaging::border::reflect;

/// Rows worked on at once.
const STRIP_ROWS: usize = 64;
/// What [`BINOMIAL`] comes to at the end of an input of even length: its last two positions count a half each.
const EVEN_END: [f32; 3] = [0.0, 0.5, 0.5];

/// `max(0, y)`, in place.
pub fn relu(y: &mut [f32]) {
    y.par_iter_mut().with_min_len(1 << 14).for_each(|v| *v = v.max(0.0));
}

/// The maximum over 3×3 windows, then the blur.
pub fn max_blur_pool(shape: PoolShape, x: &[f32], y: &mut [f32]) {
    let PoolShape { height, width, channels, .. } = shape;
    let (out_h, out_w) = (blurred_len(height - 2), blurred_len(width - 2));
    let images = y.chunks_exact_mut(out_h * out_w * channels).zip(x.chunks_exact(height * width * channels));
    images.for_each(|(y, x)| max_blur_image([height, width, channels], x, y));
}

fn max_blur_image([height, width, c]: [usize; 3], x: &[f32], y: &mut [f32]) {
    let (pooled_w, pooled_h) = (width - 2, height - 2);
    let (row_len, out_row) = (width * c, blurred_len(pooled_w) * c);
    y.par_chunks_mut(STRIP_ROWS * out_row).enumerate().for_each(|(strip, y)| {
        // Pooled rows in use, by number: the last one of an output row is the first one of the next.
        let mut pooled: [(usize, Vec<f32>); 3] = std::array::from_fn(|_| (usize::MAX, vec![0.0; pooled_w * c]));
        let (mut highest, mut mixed) = (vec![0.0; row_len], vec![0.0; pooled_w * c]);
        for (row, out) in y.chunks_exact_mut(out_row).enumerate() {
            let at = |k: usize| reflect((2 * (strip * STRIP_ROWS + row) + k) as isize - PAD as isize, pooled_h);
            let wanted: [usize; 3] = std::array::from_fn(at);
            for number in wanted {
                if pooled.iter().any(|row| row.0 == number) {
                    continue;
                }
                if let Some(free) = pooled.iter_mut().find(|row| !wanted.contains(&row.0)) {
                    free.0 = number;
                    let rows = [0, 1, 2].map(|k| &x[(number + k) * row_len..][..row_len]);
                    vectorised(|| pool(rows, c, &mut highest, &mut free.1));
                }
            }
            let rows = wanted.map(|number| pooled.iter().find(|row| row.0 == number).map_or(&[][..], |row| &row.1));
            vectorised(|| {
                mix(rows, &mut mixed);
                for (x, out) in out.chunks_exact_mut(c).enumerate() {
                    let at = |k: usize| reflect((2 * x + k) as isize - PAD as isize, pooled_w) * c;
                    mix([0, 1, 2].map(|k| &mixed[at(k)..][..c]), out);
                }
            });
        }
    });
}

/// Maximum over three rows and three columns.
#[inline(always)]
fn pool([a, b, c]: [&[f32]; 3], channels: usize, highest: &mut [f32], out: &mut [f32]) {
    for (((highest, a), b), c) in highest.iter_mut().zip(a).zip(b).zip(c) {
        *highest = max(max(*a, *b), *c);
    }
    let shifted = highest[channels..].iter().zip(&highest[2 * channels..]);
    for ((out, a), (b, c)) in out.iter_mut().zip(&*highest).zip(shifted) {
        *out = max(max(*a, *b), *c);
    }
}

/// The maximum of values that are not NaN, in one instruction.
#[inline(always)]
fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
fn mix([a, b, c]: [&[f32]; 3], out: &mut [f32]) {
    for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
        *out = BINOMIAL[0] * (a + c) + BINOMIAL[1] * b;
    }
}

/// A convolution with stride 1, then the blur, then ReLU, as one convolution.
///
/// The blur mirrors the convolution's output at its ends: its first position then equals the second; so does the last
/// equal the one before if the length is odd. With an even length the last has weights of its own ([`EVEN_END`]).
pub struct BlurredConv {
    inner: Forward,
    /// At the right end, at the bottom, at both.
    right: Forward,
    bottom: Forward,
    corner: Forward,
}

/// A rectangle of an image, of its own, with what is convolved in it.
struct Part {
    width: usize,
    height: usize,
    y: Vec<f32>,
}

impl BlurredConv {
    /// Whether a convolution can be one with its blur: a square kernel, each position of an image that has enough of them.
    pub fn takes(shape: &ConvShape) -> bool {
        let ConvShape { height, width, kernel, stride, pad, dilation, groups, .. } = *shape;
        let fits = |len: usize| len + 2 * pad[0] >= kernel[0] + 2;
        kernel[0] == kernel[1]
            && pad[0] == pad[1]
            && [stride, dilation, groups] == [1; 3]
            && fits(height)
            && fits(width)
    }

    /// Height and width of the output.
    pub fn out_size(shape: &ConvShape) -> [usize; 2] {
        let (height, width) = shape.out_size();
        [height, width].map(blurred_len)
    }

    /// From OIHW weights.
    pub fn new(oihw: &[f32], shape: ConvShape) -> Self {
        let kernel = shape.kernel[0];
        let conv = |rows, columns| {
            let filters = oihw.chunks_exact(kernel * kernel);
            let weights: Vec<f32> = filters.flat_map(|filter| widened(filter, kernel, rows, columns)).collect();
            Forward::new(&weights, wide(shape, shape.width, shape.height))
        };
        Self {
            inner: conv(BINOMIAL, BINOMIAL),
            right: conv(BINOMIAL, EVEN_END),
            bottom: conv(EVEN_END, BINOMIAL),
            corner: conv(EVEN_END, EVEN_END),
        }
    }

    /// `y = max(0, blur(conv(x) + bias))` of every image.
    pub fn forward(&self, shape: ConvShape, x: &[f32], bias: &[f32], y: &mut [f32]) {
        let [out_h, out_w] = Self::out_size(&shape);
        let images = y.chunks_exact_mut(out_h * out_w * shape.c_out).zip(x.chunks_exact(shape.in_len() / shape.batch));
        images.for_each(|(y, x)| self.image(ConvShape { batch: 1, ..shape }, x, bias, y));
    }

    fn image(&self, shape: ConvShape, x: &[f32], bias: &[f32], out: &mut [f32]) {
        let (c, wide_kernel, pad) = (shape.c_in, shape.kernel[0] + 2, shape.pad[0]);
        let (w, h) = (shape.width + 2 * pad, shape.height + 2 * pad);
        let mut padded = vec![0.0; w * h * c];
        for (to, from) in padded.chunks_exact_mut(w * c).skip(pad).zip(x.chunks_exact(shape.width * c)) {
            to[pad * c..][..shape.width * c].copy_from_slice(from);
        }
        let conv = |weights: &Forward, x: &[f32], (width, height): (usize, usize)| {
            let shape = wide(shape, width, height);
            let (out_h, out_w) = shape.out_size();
            let mut y = vec![0.0; out_h * out_w * shape.c_out];
            conv::forward(shape, x, weights, Some(bias), None, &mut y);
            relu(&mut y);
            Part { width: out_w, height: out_h, y }
        };
        let part = |x: usize, y: usize, (width, height): (usize, usize)| -> Vec<f32> {
            let rows = (y..y + height).flat_map(|y| &padded[(y * w + x) * c..][..width * c]);
            rows.copied().collect()
        };
        let inner = conv(&self.inner, &padded, (w, h));
        let (conv_h, conv_w) = shape.out_size();
        let [even_w, even_h] = [conv_w, conv_h].map(|len| len.is_multiple_of(2));
        let end = |weights, x, y, size| conv(weights, &part(x, y, size), size);
        let right = even_w.then(|| end(&self.right, w - wide_kernel, 0, (wide_kernel, h)));
        let bottom = even_h.then(|| end(&self.bottom, 0, h - wide_kernel, (w, wide_kernel)));
        let corner =
            (even_w && even_h).then(|| end(&self.corner, w - wide_kernel, h - wide_kernel, (wide_kernel, wide_kernel)));
        assemble(shape.c_out, blurred_len(conv_w), [&inner, &right.into(), &bottom.into(), &corner.into()], out);
    }
}

impl From<Option<Part>> for Part {
    fn from(part: Option<Part>) -> Self {
        part.unwrap_or(Part { width: 0, height: 0, y: Vec::new() })
    }
}

/// The whole from its inner part and what is beyond it, where the length is even.
fn assemble(c: usize, out_w: usize, [inner, right, bottom, corner]: [&Part; 4], out: &mut [f32]) {
    // One output row from the row of the inner part and the position beyond its right end.
    let fill = |row: &[f32], end: &[f32], out: &mut [f32]| {
        out[..c].copy_from_slice(&row[..c]);
        out[c..c + row.len()].copy_from_slice(row);
        let end = if end.is_empty() { &row[row.len() - c..] } else { end };
        out[c + row.len()..].copy_from_slice(end);
    };
    let row_of = |part: &Part, y: usize| -> Range<usize> { y * part.width * c..(y + 1) * part.width * c };
    let (row_len, last) = (out_w * c, out.len() / (out_w * c) - 1);
    out.par_chunks_exact_mut(row_len).enumerate().for_each(|(y, out)| {
        if y == last && bottom.height > 0 {
            return fill(&bottom.y[row_of(bottom, 0)], &corner.y, out);
        }
        let y = y.saturating_sub(1).min(inner.height - 1);
        fill(&inner.y[row_of(inner, y)], &right.y[row_of(right, y.min(right.height))], out);
    });
}

/// The convolution that a blurred one becomes, of an input that has its zero padding.
fn wide(shape: ConvShape, width: usize, height: usize) -> ConvShape {
    ConvShape::square([1, height, width], (shape.c_in, shape.c_out), shape.kernel[0] + 2, 2, 0)
}

/// A filter followed by three weights along each axis, as one filter.
fn widened(filter: &[f32], kernel: usize, rows: [f32; 3], columns: [f32; 3]) -> Vec<f32> {
    let wide = kernel + 2;
    let mut out = vec![0.0f64; wide * wide];
    for (i, &w) in filter.iter().enumerate() {
        for (dy, row) in rows.iter().enumerate() {
            for (dx, column) in columns.iter().enumerate() {
                out[(i / kernel + dy) * wide + i % kernel + dx] += w as f64 * (row * column) as f64;
            }
        }
    }
    out.into_iter().map(|v| v as f32).collect()
}
