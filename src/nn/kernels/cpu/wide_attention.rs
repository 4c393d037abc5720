//! Attention of wide heads: the scores of some queries with all keys exist at once, and both products are those of matrices, with
//! packed operands. In blocks, as [`super::attention`] makes them, a wide head's keys leave L1 between one row and the next.

use rayon::prelude::*;

use super::super::shape::AttentionShape;
use super::attention::{Bias, Mask};
use super::im2col::blocks;
use super::product::{Left, Panels, Start, place, product};
use super::rows;
use super::scratch;
use super::simd::{self, SendPtr, Simd, WithSimd};

/// Channels of a head from which on it is wide.
pub const WIDE: usize = 256;
/// Queries whose scores exist at once: with a few thousand keys they stay in L2.
const QUERIES: usize = 128;

/// As [`super::attention::forward`].
pub fn forward(
    shape: AttentionShape,
    (q, k, v): (&[f32], &[f32], &[f32]),
    bias: Option<Bias>,
    out: SendPtr<f32>,
    log_sums: &mut [f32],
) {
    let AttentionShape { batch, queries, keys, heads, dim, .. } = shape;
    let channels = shape.channels();
    let parts = (0..batch * heads).zip(log_sums.chunks_exact_mut(queries));
    for (i, log_sums) in parts {
        let (image, head) = (i / heads, i % heads);
        let (at_q, at_k) = (shape.offset(image, head, queries), shape.offset(image, head, keys));
        let turned = Panels::new(dim, keys, |some, width, panel| {
            for (column, key) in some.enumerate() {
                let values = &k[at_k + key * channels..][..dim];
                values.iter().enumerate().for_each(|(c, &value)| panel[c * width + column] = value);
            }
        });
        let values = Panels::new(keys, dim, |some, width, panel| {
            for (key, row) in panel.chunks_exact_mut(width).enumerate() {
                row[..some.len()].copy_from_slice(&v[at_k + key * channels..][some.clone()]);
            }
        });
        let (of_dim, of_keys): (Vec<_>, Vec<_>) = (blocks(0..dim).collect(), blocks(0..keys).collect());
        let mask = shape.mask(bias, image, head);
        for first in (0..queries).step_by(QUERIES) {
            let count = QUERIES.min(queries - first);
            let at = at_q + first * channels;
            scratch::with(count * keys, |scores| {
                let left = Rows { data: &q[at..], step: channels, to: keys };
                product(&left, count, &of_dim, &turned, Start::ZERO, SendPtr(scores.as_mut_ptr()));
                let sums = &mut log_sums[first..first + count];
                scores.par_chunks_exact_mut(keys).zip(sums).enumerate().for_each(|(i, (row, log_sum))| {
                    *log_sum = simd::dispatch(Softmax { mask, query: first + i, row });
                });
                let left = Rows { data: scores, step: keys, to: channels };
                // SAFETY: the head's channels of these queries are written by nobody else.
                let out = SendPtr(unsafe { out.add(at) });
                product(&left, count, &of_keys, &values, Start::ZERO, out);
            });
        }
    }
}

/// Rows of a matrix as they lie in memory.
struct Rows<'a> {
    data: &'a [f32],
    /// Values from one row to the next.
    step: usize,
    /// The same of the results.
    to: usize,
}

impl Left for Rows<'_> {
    const ACROSS: bool = false;

    fn pack(&self, rows: std::ops::Range<usize>, depth: std::ops::Range<usize>, tiles: &mut [f32]) {
        for (i, row) in rows.enumerate() {
            tiles[place(i)..][..depth.len()].copy_from_slice(&self.data[row * self.step..][depth.clone()]);
        }
    }

    fn direct(&self, row: usize, depth: usize) -> Option<(&[f32], usize)> {
        Some((&self.data[row * self.step + depth..], self.step))
    }

    fn target(&self, row: usize) -> usize {
        row * self.to
    }
}

/// Scores of a query to shares; returns the logarithm of the sum of their exponentials.
struct Softmax<'a> {
    mask: Mask<'a>,
    query: usize,
    row: &'a mut [f32],
}

impl WithSimd for Softmax<'_> {
    type Output = f32;
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) -> f32 {
        let Self { mask, query, row } = self;
        let scale = mask.apply(row, query, 0);
        let max = scale * rows::row_max(s, row);
        // SAFETY: the row is this thread's.
        unsafe {
            let sum = rows::exp_row(s, row.as_ptr(), row.len(), scale, max, row.as_mut_ptr());
            rows::scale_row(s, row.as_mut_ptr(), row.len(), 1.0 / sum);
            max + sum.ln()
        }
    }
}
