//! Softmax attention with memory linear in the number of tokens, forward and backward.
//!
//! Dao et al., "FlashAttention", arXiv 2205.14135: scores exist for one block of queries and keys at a time; the forward
//! pass keeps a running maximum and sum per query, the backward pass computes the scores again from the logarithm of
//! that sum.

use std::ops::Range;

use rayon::prelude::*;

use super::super::shape::AttentionShape;
use super::gemm::{self, Lhs, Out, Rhs};
use super::rows;
use super::scratch;
use super::simd::{self, SendPtr, Simd, WithSimd};
use super::wide_attention;

/// Queries and keys of one block of scores (48 KB).
const QUERIES: usize = 64;
const KEYS: usize = 192;
/// Queries one thread takes at once, so that transposing the keys is a small part of the work.
const QUERIES_AT_ONCE: usize = 128;
/// Pieces the work is cut into at least, whatever the number of threads: sums then do not depend on it.
const PIECES: usize = 8;

impl AttentionShape {
    pub(super) fn channels(&self) -> usize {
        self.heads * self.dim
    }

    /// Values before those of one head of one image of `tokens` tokens.
    pub(super) fn offset(&self, image: usize, head: usize, tokens: usize) -> usize {
        image * tokens * self.channels() + head * self.dim
    }

    pub(super) fn mask<'a>(&self, bias: Option<Bias<'a>>, image: usize, head: usize) -> Mask<'a> {
        let size = self.queries * self.keys;
        let of_head = |Bias { values, heads }: Bias<'a>| {
            let at = image % (values.len() / size / heads) * heads + head % heads;
            &values[at * size..][..size]
        };
        Mask { shape: *self, bias: bias.map(of_head) }
    }

    fn check(&self, q: &[f32], k: &[f32], v: &[f32]) {
        assert!(self.queries > 0 && self.keys > 0 && self.dim > 0);
        assert_eq!(q.len(), self.batch * self.queries * self.channels());
        assert!(k.len() == self.batch * self.keys * self.channels() && v.len() == k.len());
    }
}

/// What is added to the scores: `[n, heads, queries, keys]`, where image `i` takes number `i mod n`, and all heads take the one
/// there is if there is just one.
#[derive(Clone, Copy)]
pub struct Bias<'a> {
    pub values: &'a [f32],
    pub heads: usize,
}

/// Writes the output and returns the logarithm of each query's sum of exponentials, `[batch, heads, queries]`.
pub fn forward(
    shape: AttentionShape,
    (q, k, v): (&[f32], &[f32], &[f32]),
    bias: Option<Bias>,
    out: &mut [f32],
) -> Vec<f32> {
    shape.check(q, k, v);
    assert_eq!(out.len(), q.len());
    let AttentionShape { batch, queries, keys, heads, dim, .. } = shape;
    let mut log_sums = vec![0.0; batch * heads * queries];
    if dim >= wide_attention::WIDE {
        wide_attention::forward(shape, (q, k, v), bias, SendPtr(out.as_mut_ptr()), &mut log_sums);
        return log_sums;
    }
    let (out, sums) = (SendPtr(out.as_mut_ptr()), SendPtr(log_sums.as_mut_ptr()));
    // Keys, turned block by block, and values of each head lie together: in the channels each token is on a page of its own.
    scratch::with(2 * k.len(), |packed| {
        packed.par_chunks_exact_mut(2 * keys * dim).enumerate().for_each(|(i, packed)| {
            let at = shape.offset(i / heads, i % heads, keys);
            let (turned, values) = packed.split_at_mut(keys * dim);
            for block in blocks(keys, keys_each(keys)) {
                transpose(
                    &k[at..],
                    shape.channels(),
                    dim,
                    block.clone(),
                    &mut turned[block.start * dim..block.end * dim],
                );
            }
            gather(&v[at..], shape.channels(), dim, values);
        });
        let (packed, pieces) = (&*packed, queries.div_ceil(QUERIES_AT_ONCE));
        (0..batch * heads * pieces).into_par_iter().for_each(|i| {
            let (image, head, piece) = (i / pieces / heads, i / pieces % heads, i % pieces);
            let range = piece * QUERIES_AT_ONCE..((piece + 1) * QUERIES_AT_ONCE).min(queries);
            let first = shape.offset(image, head, queries) + range.start * shape.channels();
            let (turned, v) = packed[(image * heads + head) * 2 * keys * dim..][..2 * keys * dim].split_at(keys * dim);
            scratch::with(QUERIES * (KEYS + 2 + dim), |buffer| {
                let at = (image * heads + head) * queries + range.start;
                // SAFETY: each piece writes the output and the sums of its own queries of its own head.
                let (out, log_sums) = unsafe { (SendPtr(out.add(first)), SendPtr(sums.add(at))) };
                let mask = shape.mask(bias, image, head);
                simd::dispatch(Forward { mask, turned, v, q: &q[first..], range, buffer, out, log_sums });
            });
        });
    });
    log_sums
}

/// Writes the gradients of `q`, `k` and `v`, from the output and the sums of [`forward`].
#[allow(clippy::too_many_arguments)]
pub fn backward(
    shape: AttentionShape,
    (q, k, v): (&[f32], &[f32], &[f32]),
    bias: Option<Bias>,
    (out, log_sums): (&[f32], &[f32]),
    dy: &[f32],
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    shape.check(q, k, v);
    assert!(out.len() == q.len() && dy.len() == q.len() && dq.len() == q.len());
    assert!(dk.len() == k.len() && dv.len() == v.len());
    let AttentionShape { batch, queries, keys, heads, dim, .. } = shape;
    // With few heads the keys are shared out too. Each share then has a gradient of `q` of its own.
    let shares = PIECES.div_ceil(batch * heads).min(keys.div_ceil(KEYS));
    let share = keys.div_ceil(shares).next_multiple_of(KEYS);
    let shares = keys.div_ceil(share);
    let mut parts = vec![0.0; shares * q.len()];
    let (dk, dv, dq_parts) = (SendPtr(dk.as_mut_ptr()), SendPtr(dv.as_mut_ptr()), SendPtr(parts.as_mut_ptr()));
    // What is multiplied lies together for each head, see the forward pass.
    let packed = |x: &[f32], tokens: usize| {
        let mut heads_of = vec![0.0; x.len()];
        heads_of.par_chunks_exact_mut(tokens * dim).enumerate().for_each(|(i, values)| {
            gather(&x[shape.offset(i / heads, i % heads, tokens)..], shape.channels(), dim, values);
        });
        heads_of
    };
    let (q, dy, k, v) = (packed(q, queries), packed(dy, queries), packed(k, keys), packed(v, keys));
    (0..batch * heads * shares).into_par_iter().for_each(|i| {
        let (image, head, part) = (i / shares / heads, i / shares % heads, i % shares);
        let range = part * share..((part + 1) * share).min(keys);
        let (at_q, at_k) = (shape.offset(image, head, queries), shape.offset(image, head, keys));
        let first = at_k + range.start * shape.channels();
        scratch::with(4 * dim * KEYS + 2 * QUERIES * KEYS + queries, |buffer| {
            let head_at = image * heads + head;
            let at_part = (part * batch * heads + head_at) * queries * dim;
            // SAFETY: each piece writes the gradients of its own keys, and its own gradient of `q`.
            let (dk, dv, dq) =
                unsafe { (SendPtr(dk.add(first)), SendPtr(dv.add(first)), SendPtr(dq_parts.add(at_part))) };
            let log_sums = &log_sums[head_at * queries..][..queries];
            let mask = shape.mask(bias, image, head);
            let of_queries = head_at * queries * dim..(head_at + 1) * queries * dim;
            let of_keys = (head_at * keys + range.start) * dim..(head_at * keys + range.end) * dim;
            let (k, v) = (&k[of_keys.clone()], &v[of_keys]);
            let (q, dy, out) = (&q[of_queries.clone()], &dy[of_queries], &out[at_q..]);
            simd::dispatch(Backward { mask, range, k, v, q, out, dy, log_sums, buffer, dq, dk, dv });
        });
    });
    // The parts have each head's queries together.
    dq.par_chunks_exact_mut(shape.channels()).enumerate().for_each(|(token, dq)| {
        let (image, query) = (token / queries, token % queries);
        for (head, dq) in dq.chunks_exact_mut(dim).enumerate() {
            let of = |part: usize| {
                let head_at = (part * batch + image) * heads + head;
                &parts[(head_at * queries + query) * dim..][..dim]
            };
            dq.copy_from_slice(of(0));
            for part in 1..shares {
                dq.iter_mut().zip(of(part)).for_each(|(d, p)| *d += p);
            }
        }
    });
}

/// What is done to the scores of one head before the softmax, beyond their scale.
#[derive(Clone, Copy)]
pub(super) struct Mask<'a> {
    shape: AttentionShape,
    bias: Option<&'a [f32]>,
}

/// In place of scores that must not count. Finite, so that a block without any score that counts makes no NaN.
const LOWEST: f32 = -1e30;

impl Mask<'_> {
    /// Whether a block of keys is of no query.
    fn hides(&self, queries: &Range<usize>, first_key: usize) -> bool {
        self.shape.causal && first_key >= queries.end
    }

    /// Scales and masks the scores of a query with the keys from `first_key` on; returns what is left to scale with.
    #[inline(always)]
    pub(super) fn apply(&self, scores: &mut [f32], query: usize, first_key: usize) -> f32 {
        let AttentionShape { scale, causal, keys, .. } = self.shape;
        if self.bias.is_none() && !causal {
            return scale;
        }
        match self.bias {
            Some(bias) => {
                let bias = &bias[query * keys + first_key..][..scores.len()];
                scores.iter_mut().zip(bias).for_each(|(s, b)| *s = (*s * scale + b).max(LOWEST));
            }
            None => scores.iter_mut().for_each(|s| *s *= scale),
        }
        if causal {
            scores.iter_mut().skip((query + 1).saturating_sub(first_key)).for_each(|s| *s = LOWEST);
        }
        1.0
    }
}

/// Keys of a block in the forward pass, about as many in each: a last one of a few would fill no vectors.
fn keys_each(keys: usize) -> usize {
    keys.div_ceil(keys.div_ceil(KEYS)).next_multiple_of(16).min(KEYS)
}

/// Blocks of `size` that cover `0..count`.
fn blocks(count: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(size).map(move |start| start..(start + size).min(count))
}

/// The channels of one head of all tokens: `[tokens, dim]`.
fn gather(x: &[f32], channels: usize, dim: usize, out: &mut [f32]) {
    for (out, x) in out.chunks_exact_mut(dim).zip(x.chunks(channels)) {
        out.copy_from_slice(&x[..dim]);
    }
}

/// The channels of some tokens as rows: `[dim, tokens.len()]`.
#[inline(always)]
fn transpose(x: &[f32], channels: usize, dim: usize, tokens: Range<usize>, out: &mut [f32]) {
    let count = tokens.len();
    for (t, token) in tokens.enumerate() {
        for (c, &value) in x[token * channels..][..dim].iter().enumerate() {
            out[c * count + t] = value;
        }
    }
}

struct Forward<'a> {
    mask: Mask<'a>,
    /// Block after block of keys, each `[dim, keys of the block]`.
    turned: &'a [f32],
    /// `[keys, dim]`.
    v: &'a [f32],
    /// From the first query of the piece on.
    q: &'a [f32],
    /// Queries of the piece.
    range: Range<usize>,
    buffer: &'a mut [f32],
    out: SendPtr<f32>,
    log_sums: SendPtr<f32>,
}

impl WithSimd for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { mask, v, .. } = self;
        let AttentionShape { keys, dim, .. } = mask.shape;
        let (channels, first_query) = (mask.shape.channels(), self.range.start);
        let (scores, rest) = self.buffer.split_at_mut(QUERIES * KEYS);
        // The output lies together until it is done: in the channels, rows may share lines of the cache.
        let (out, rest) = rest.split_at_mut(QUERIES * dim);
        let (highest, sums) = rest.split_at_mut(QUERIES);
        for some in blocks(self.range.len(), QUERIES) {
            let absolute = first_query + some.start..first_query + some.end;
            highest.fill(f32::NEG_INFINITY);
            sums.fill(0.0);
            for block in blocks(keys, keys_each(keys)).filter(|block| !mask.hides(&absolute, block.start)) {
                let width = block.len();
                // SAFETY: the operands have these sizes, and the scores and the output are this thread's.
                unsafe {
                    let lhs = Lhs { ptr: self.q[some.start * channels..].as_ptr(), row: channels, depth: 1 };
                    let rhs = Rhs { ptr: self.turned[block.start * dim..].as_ptr(), depth: width };
                    let to = Out { ptr: scores.as_mut_ptr(), row: width };
                    gemm::gemm(s, (some.len(), width, dim), lhs, rhs, to, false);
                    for (i, query) in some.clone().enumerate() {
                        let row = &mut scores[i * width..][..width];
                        let scale = mask.apply(row, first_query + query, block.start);
                        let max = highest[i].max(scale * rows::row_max(s, row));
                        let sum = rows::exp_row(s, row.as_ptr(), width, scale, max, row.as_mut_ptr());
                        let before = if highest[i] == max { 1.0 } else { (highest[i] - max).exp() };
                        sums[i] = sums[i] * before + sum;
                        highest[i] = max;
                        if block.start > 0 && before != 1.0 {
                            let out = &mut out[i * dim..][..dim];
                            rows::scale_row(s, out.as_ptr(), dim, before, out.as_mut_ptr());
                        }
                    }
                    let lhs = Lhs { ptr: scores.as_ptr(), row: width, depth: 1 };
                    let rhs = Rhs { ptr: v[block.start * dim..].as_ptr(), depth: dim };
                    let to = Out { ptr: out.as_mut_ptr(), row: dim };
                    gemm::gemm(s, (some.len(), dim, width), lhs, rhs, to, block.start > 0);
                }
            }
            for (i, query) in some.enumerate() {
                // SAFETY: the queries of this piece are this thread's.
                unsafe {
                    rows::scale_row(s, out[i * dim..].as_ptr(), dim, 1.0 / sums[i], self.out.add(query * channels));
                    *self.log_sums.add(query) = highest[i] + sums[i].ln();
                }
            }
        }
    }
}

struct Backward<'a> {
    mask: Mask<'a>,
    /// Keys of the piece.
    range: Range<usize>,
    /// Keys and values of the piece, `[keys, dim]`.
    k: &'a [f32],
    v: &'a [f32],
    /// `[queries, dim]`.
    q: &'a [f32],
    /// In the channels.
    out: &'a [f32],
    /// `[queries, dim]`.
    dy: &'a [f32],
    log_sums: &'a [f32],
    buffer: &'a mut [f32],
    dq: SendPtr<f32>,
    dk: SendPtr<f32>,
    dv: SendPtr<f32>,
}

impl WithSimd for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { mask, k, v, .. } = self;
        let AttentionShape { queries, dim, scale, causal, .. } = mask.shape;
        let (channels, first_key) = (mask.shape.channels(), self.range.start);
        let (k_transposed, rest) = self.buffer.split_at_mut(dim * KEYS);
        let (v_transposed, rest) = rest.split_at_mut(dim * KEYS);
        let (dk, rest) = rest.split_at_mut(dim * KEYS);
        let (dv, rest) = rest.split_at_mut(dim * KEYS);
        let (scores, rest) = rest.split_at_mut(QUERIES * KEYS);
        let (slopes, means) = rest.split_at_mut(QUERIES * KEYS);
        // Σ dy·y, which is also the mean of each query's gradient of its scores.
        for (query, mean) in means.iter_mut().enumerate() {
            *mean = rows::dot_row(s, &self.out[query * channels..][..dim], &self.dy[query * dim..][..dim]);
        }
        for block in blocks(self.range.len(), KEYS) {
            let width = block.len();
            transpose(k, dim, dim, block.clone(), k_transposed);
            transpose(v, dim, dim, block.clone(), v_transposed);
            let mut begun = false;
            for some in blocks(queries, QUERIES).filter(|some| !mask.hides(some, first_key + block.start)) {
                let at = some.start * dim;
                let lhs = |x: &[f32]| Lhs { ptr: x[at..].as_ptr(), row: dim, depth: 1 };
                let rhs = |x: &[f32], depth| Rhs { ptr: x.as_ptr(), depth };
                let across = |x: &[f32]| Lhs { ptr: x.as_ptr(), row: 1, depth: width };
                // SAFETY: the operands have these sizes, and the results are this thread's.
                unsafe {
                    let to = Out { ptr: scores.as_mut_ptr(), row: width };
                    gemm::gemm(s, (some.len(), width, dim), lhs(self.q), rhs(k_transposed, width), to, false);
                    let to = Out { ptr: slopes.as_mut_ptr(), row: width };
                    gemm::gemm(s, (some.len(), width, dim), lhs(self.dy), rhs(v_transposed, width), to, false);
                    for (i, query) in some.clone().enumerate() {
                        let (p, ds) = (&mut scores[i * width..][..width], &mut slopes[i * width..][..width]);
                        let rest = mask.apply(p, query, first_key + block.start);
                        rows::exp_row(s, p.as_ptr(), width, rest, self.log_sums[query], p.as_mut_ptr());
                        let mean = means[query];
                        ds.iter_mut().zip(&*p).for_each(|(ds, p)| *ds = p * (*ds - mean) * scale);
                    }
                    let to = |ptr: *mut f32| Out { ptr, row: dim };
                    let dims = (width, dim, some.len());
                    gemm::gemm(s, dims, across(scores), rhs(&self.dy[at..], dim), to(dv.as_mut_ptr()), begun);
                    gemm::gemm(s, dims, across(slopes), rhs(&self.q[at..], dim), to(dk.as_mut_ptr()), begun);
                    begun = true;
                    let lhs = Lhs { ptr: slopes.as_ptr(), row: width, depth: 1 };
                    let rhs = rhs(&k[block.start * dim..], dim);
                    // Where blocks are left out, the first one adds to the zeros that the parts begin with.
                    let (to, more) = (to(self.dq.add(at)), block.start > 0 || causal);
                    gemm::gemm(s, (some.len(), dim, width), lhs, rhs, to, more);
                }
            }
            // Keys that no query sees keep the zeros that all gradients begin with.
            for (i, key) in block.filter(|_| begun).enumerate() {
                // SAFETY: the keys of this piece are this thread's.
                unsafe {
                    rows::scale_row(s, dk[i * dim..].as_ptr(), dim, 1.0, self.dk.add(key * channels));
                    rows::scale_row(s, dv[i * dim..].as_ptr(), dim, 1.0, self.dv.add(key * channels));
                }
            }
        }
    }
}
