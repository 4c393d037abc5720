//! Attention of wide heads: the scores of some queries with all keys exist at once, for each thread, and both products are those of
//! matrices, with packed operands. In blocks, as [`super::attention`] makes them, a wide head's keys leave L1 between one row and the next.

use rayon::prelude::*;

use super::super::shape::AttentionShape;
use super::attention::{Bias, Mask};
use super::im2col::blocks;
use super::panels::Panels;
use super::product::{By, Left, Start, TILE, place, product};
use super::rows;
use super::scratch;
use super::simd::{self, SendPtr, Simd, WithSimd};

/// Channels of a head from which on it is wide.
pub const WIDE: usize = 256;
/// Queries that one thread takes at once at most, and values of their scores, which stay in L2 (1.2 MB).
const QUERIES: usize = 10 * TILE;
const SCORES: usize = 288 << 10;

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
        // As many for each thread; results are row by row and do not depend on it.
        let pieces = queries.div_ceil((SCORES / keys).clamp(TILE, QUERIES));
        let some = queries.div_ceil(pieces.next_multiple_of(rayon::current_num_threads())).next_multiple_of(TILE);
        log_sums.par_chunks_mut(some).enumerate().for_each(|(block, log_sums)| {
            let (first, count) = (block * some, log_sums.len());
            let at = at_q + first * channels;
            scratch::with(count * keys, |scores| {
                let left = Rows { data: &q[at..], step: channels, to: keys };
                product(By::Asker, &left, count, &of_dim, &turned, Start::ZERO, SendPtr(scores.as_mut_ptr()));
                for (i, (row, log_sum)) in scores.chunks_exact_mut(keys).zip(log_sums).enumerate() {
                    *log_sum = simd::dispatch(Softmax { mask, query: first + i, row });
                }
                let left = Rows { data: &*scores, step: keys, to: channels };
                // SAFETY: the head's channels of these queries are written by nobody else.
                let out = SendPtr(unsafe { out.add(at) });
                product(By::Asker, &left, count, &of_keys, &values, Start::ZERO, out);
            });
        });
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
            rows::scale_row(s, row.as_ptr(), row.len(), 1.0 / sum, row.as_mut_ptr());
            max + sum.ln()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::attention;
    use super::*;

    /// The same by its definition, in f64: the output, and the logarithms.
    fn defined(shape: AttentionShape, q: &[f32], k: &[f32], v: &[f32], bias: &[f32]) -> [Vec<f64>; 2] {
        let AttentionShape { batch, queries, keys, heads, dim, scale, causal } = shape;
        let (mut out, mut logs) = (vec![0.0; q.len()], Vec::new());
        for (image, head) in (0..batch).flat_map(|image| (0..heads).map(move |head| (image, head))) {
            for query in 0..queries {
                let at = |token: usize, tokens: usize| ((image * tokens + token) * heads + head) * dim;
                let dot =
                    |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
                let score = |key: usize| {
                    let dot = dot(&q[at(query, queries)..][..dim], &k[at(key, keys)..][..dim]);
                    let seen = !causal || key <= query;
                    if seen { dot * f64::from(scale) + f64::from(bias[query * keys + key]) } else { f64::NEG_INFINITY }
                };
                let shares: Vec<f64> = (0..keys).map(|key| score(key).exp()).collect();
                let sum: f64 = shares.iter().sum();
                logs.push(sum.ln());
                for (key, share) in shares.iter().enumerate() {
                    let values = &v[at(key, keys)..][..dim];
                    let out = &mut out[at(query, queries)..][..dim];
                    out.iter_mut().zip(values).for_each(|(out, v)| *out += share / sum * f64::from(*v));
                }
            }
        }
        [out, logs]
    }

    #[test]
    fn wide_heads_are_what_attention_is() {
        let made = |count: usize, seed: usize| -> Vec<f32> {
            (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
        };
        for (queries, keys, dim, causal) in [(130, 70, 256, false), (65, 65, 300, true), (1, 3, 784, false)] {
            let (batch, heads, scale) = (2, 2, AttentionShape::usual_scale(dim));
            let shape = AttentionShape { batch, queries, keys, heads, dim, scale, causal };
            let [q, k, v] = [queries, keys, keys].map(|tokens| made(batch * tokens * heads * dim, tokens + dim));
            let bias = made(queries * keys, 5);
            let mut out = vec![0.0; q.len()];
            let given = attention::Bias { values: &bias, heads: 1 };
            let logs = attention::forward(shape, (&q, &k, &v), Some(given), &mut out);
            let want = defined(shape, &q, &k, &v, &bias);
            for (got, want) in [&out, &logs].into_iter().zip(want) {
                let far = got.iter().zip(&want).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
                assert!(got.len() == want.len() && far < 1e-5, "{queries} × {keys} × {dim}: {far:e}");
            }
        }
    }
}
