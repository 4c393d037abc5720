//! Softmax, normalization of rows, attention and rotation, of candle's operations.

use candle_core::{D, Result, Tensor};

use super::super::shape::{AttentionShape, Center, RowNorm};
use super::{gradients, take};

/// Attention scores that exist at once: queries are taken in blocks, so that memory stays linear in the tokens.
pub const SCORES: usize = 64 << 20;
/// In place of scores that must not count.
const LOWEST: f64 = -1e30;

/// Softmax along the last dimension.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    let e = x.broadcast_sub(&x.detach().max_keepdim(D::Minus1)?)?.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

/// Layer or RMS normalization along the last dimension.
pub fn row_norm(norm: RowNorm, x: &Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>) -> Result<Tensor> {
    let centered = match norm.center {
        Center::Mean => x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?,
        Center::Zero => x.clone(),
    };
    let deviation = (centered.sqr()?.mean_keepdim(D::Minus1)? + norm.eps as f64)?.sqrt()?;
    let mut y = centered.broadcast_div(&deviation)?;
    if let Some(weight) = weight {
        y = y.broadcast_mul(weight)?;
    }
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

/// First query and number of queries of the blocks that keep to so many `scores`.
pub fn query_blocks(shape: AttentionShape, scores: usize) -> impl Iterator<Item = (usize, usize)> {
    let AttentionShape { batch, queries, keys, heads, .. } = shape;
    let block = (scores / (batch * heads * keys).max(1)).clamp(1, queries.max(1));
    (0..queries).step_by(block).map(move |start| (start, block.min(queries - start)))
}

/// Attention of the queries `q`, which begin with number `first`.
fn attention_block(
    shape: AttentionShape,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
    first: usize,
) -> Result<Tensor> {
    let AttentionShape { batch, keys, heads, dim, scale, causal, .. } = shape;
    let (count, size) = (q.dim(1)?, q.shape());
    let split = |t: &Tensor| t.reshape((batch, t.dim(1)?, heads, dim))?.transpose(1, 2)?.contiguous();
    let mut scores = (split(q)?.matmul(&split(k)?.transpose(2, 3)?.contiguous()?)? * scale as f64)?;
    if let Some(bias) = bias {
        let n = bias.dim(0)?;
        let bias = bias.narrow(2, first, count)?.maximum(LOWEST)?.unsqueeze(0)?;
        let images = scores.reshape((batch / n, n, heads, count, keys))?;
        scores = images.broadcast_add(&bias)?.reshape((batch, heads, count, keys))?;
    }
    if causal {
        let hidden = |i: usize| (0..keys).map(move |key| if key > first + i { LOWEST as f32 } else { 0.0 });
        let mask = Tensor::from_iter((0..count).flat_map(hidden), q.device())?;
        scores = scores.broadcast_add(&mask.reshape((count, keys))?)?;
    }
    softmax(&scores)?.matmul(&split(v)?)?.transpose(1, 2)?.reshape(size)
}

/// Attention of blocks of queries: first and number.
pub fn attention_in(
    blocks: impl Iterator<Item = (usize, usize)>,
    shape: AttentionShape,
    [q, k, v]: [&Tensor; 3],
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let block = |(start, len)| attention_block(shape, &q.narrow(1, start, len)?, k, v, bias, start);
    Tensor::cat(&blocks.map(block).collect::<Result<Vec<_>>>()?, 1)
}

/// Its gradients; the scores of a block are computed again.
pub fn attention_gradients_in(
    blocks: impl Iterator<Item = (usize, usize)>,
    shape: AttentionShape,
    [q, k, v]: [&Tensor; 3],
    bias: Option<&Tensor>,
    dy: &Tensor,
) -> Result<[Tensor; 3]> {
    let (mut dq, mut dk, mut dv) = (Vec::new(), k.zeros_like()?, v.zeros_like()?);
    for (start, len) in blocks {
        let (some, dy) = (q.narrow(1, start, len)?, dy.narrow(1, start, len)?);
        let block = |t: &[Tensor]| attention_block(shape, &t[0], &t[1], &t[2], bias, start);
        let [q, k, v] = take(gradients(&[&some, k, v], &dy, block)?)?;
        dq.push(q);
        dk = (dk + k)?;
        dv = (dv + v)?;
    }
    Ok([Tensor::cat(&dq, 1)?, dk, dv])
}

/// Pairs of channels `(a, b)` of `[batch, tokens, heads, dim]` to `(a·cos − b·sin, b·cos + a·sin)`.
pub fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let (batch, tokens, heads, dim) = x.dims4()?;
    let pairs = x.reshape((batch, tokens, heads, dim / 2, 2))?;
    let part = |i: usize| pairs.narrow(4, i, 1)?.squeeze(4)?.contiguous();
    let angle = |t: &Tensor| t.reshape((1, tokens, 1, dim / 2));
    let (a, b, cos, sin) = (part(0)?, part(1)?, angle(cos)?, angle(sin)?);
    let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
    Tensor::stack(&[first, second], 4)?.reshape(x.shape())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// However few scores exist at once: memory is then linear in the tokens.
    #[test]
    fn attention_in_blocks_is_attention() {
        let values = |tokens: usize, seed: u64| {
            let values = crate::random::Random::new(seed, 0).normal_image(2, tokens, 12);
            Tensor::from_vec(values, (2, tokens, 12), &Device::Cpu).unwrap()
        };
        let (q, k, v, dy) = (values(11, 1), values(13, 2), values(13, 3), values(11, 4));
        let bias =
            Tensor::from_vec(crate::random::Random::new(5, 0).normal_image(3, 11, 13), (1, 3, 11, 13), &Device::Cpu);
        let bias = bias.unwrap();
        let close = |a: &Tensor, b: &Tensor| {
            let far =
                (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
            assert!(far < 1e-5, "{far}");
        };
        for (bias, causal) in [(None, false), (None, true), (Some(&bias), false), (Some(&bias), true)] {
            let shape = AttentionShape { batch: 2, queries: 11, keys: 13, heads: 3, dim: 4, scale: 0.5, causal };
            let counts = |scores: usize| query_blocks(shape, scores).map(|(_, count)| count).collect::<Vec<_>>();
            // 78 scores a query.
            assert_eq!((counts(SCORES), counts(3 * 78), counts(1)), (vec![11], vec![3, 3, 3, 2], vec![1; 11]));
            let whole = attention_in(query_blocks(shape, SCORES), shape, [&q, &k, &v], bias).unwrap();
            let slopes = attention_gradients_in(query_blocks(shape, SCORES), shape, [&q, &k, &v], bias, &dy).unwrap();
            for scores in [3 * 78, 1] {
                close(&attention_in(query_blocks(shape, scores), shape, [&q, &k, &v], bias).unwrap(), &whole);
                let parts =
                    attention_gradients_in(query_blocks(shape, scores), shape, [&q, &k, &v], bias, &dy).unwrap();
                parts.iter().zip(&slopes).for_each(|(part, whole)| close(part, whole));
            }
        }
    }
}
