//! Sums and products of a larger tensor with a smaller one that is repeated over it, and the rotation of pairs of channels.

use rayon::prelude::*;

use super::super::shape::Spread;

/// Values handled by one thread at once.
const BLOCK: usize = 32 << 10;
/// Rows summed in f32 before their sum goes on in f64. Fixed, so that sums do not depend on the number of threads.
const ROWS: usize = 256;

/// `y = f(a, b)` with `b` repeated over `a`.
pub fn combine(spread: Spread, a: &[f32], b: &[f32], y: &mut [f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    let Spread { repeat, inner, .. } = spread;
    if repeat == 1 {
        let parts = a.par_chunks(BLOCK).zip(b.par_chunks(BLOCK));
        y.par_chunks_mut(BLOCK).zip(parts).for_each(|(y, (a, b))| {
            y.iter_mut().zip(a).zip(b).for_each(|((y, &a), &b)| *y = f(a, b));
        });
        return;
    }
    // Whole rows of `inner`, within one of the outer parts.
    let rows = (BLOCK / inner).clamp(1, repeat);
    let parts = repeat.div_ceil(rows);
    let y = super::simd::SendPtr(y.as_mut_ptr());
    (0..spread.outer * parts).into_par_iter().for_each(|i| {
        let (outer, first) = (i / parts, i % parts * rows);
        let (start, len) = ((outer * repeat + first) * inner, rows.min(repeat - first) * inner);
        // SAFETY: the parts are disjoint.
        let y = unsafe { std::slice::from_raw_parts_mut(y.add(start), len) };
        let (a, b) = (&a[start..start + len], &b[outer * inner..][..inner]);
        if let [b] = *b {
            return y.iter_mut().zip(a).for_each(|(y, &a)| *y = f(a, b));
        }
        for (y, a) in y.chunks_exact_mut(inner).zip(a.chunks_exact(inner)) {
            y.iter_mut().zip(a).zip(b).for_each(|((y, &a), &b)| *y = f(a, b));
        }
    });
}

/// The sum over what is repeated: `[outer, repeat, inner]` to `[outer, inner]`.
pub fn sum(spread: Spread, x: &[f32], y: &mut [f32]) {
    let Spread { repeat, inner, .. } = spread;
    if repeat == 1 {
        return y.copy_from_slice(x);
    }
    for (y, x) in y.chunks_exact_mut(inner).zip(x.chunks_exact(repeat * inner)) {
        // A short row is one long one, cut into pieces.
        let rows = if inner == 1 { ROWS * 16 } else { ROWS };
        let parts: Vec<Vec<f32>> = x
            .par_chunks(rows * inner)
            .map(|rows| {
                let mut sum = vec![0.0f32; inner];
                for row in rows.chunks_exact(inner) {
                    sum.iter_mut().zip(row).for_each(|(s, v)| *s += v);
                }
                sum
            })
            .collect();
        let mut total = vec![0.0f64; inner];
        for part in parts {
            total.iter_mut().zip(part).for_each(|(t, v)| *t += v as f64);
        }
        y.iter_mut().zip(total).for_each(|(y, t)| *y = t as f32);
    }
}

/// `y = gain · x + offset`.
pub fn affine(x: &[f32], gain: f32, offset: f32, y: &mut [f32]) {
    y.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(y, x)| {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = gain * x + offset);
    });
}

/// Rotates the pairs of channels of every head: `x` is `[batch, tokens, heads, dim]`, cosines and sines `[tokens, dim / 2]`.
pub fn rotate(x: &[f32], heads: usize, cos: &[f32], sin: &[f32], dim: usize, y: &mut [f32]) {
    let (token, tokens) = (heads * dim, cos.len() / (dim / 2));
    y.par_chunks_exact_mut(token).zip(x.par_chunks_exact(token)).enumerate().for_each(|(i, (y, x))| {
        let at = i % tokens * (dim / 2);
        let (cos, sin) = (&cos[at..][..dim / 2], &sin[at..][..dim / 2]);
        for (y, x) in y.chunks_exact_mut(dim).zip(x.chunks_exact(dim)) {
            let pairs = y.as_chunks_mut::<2>().0.iter_mut().zip(x.as_chunks::<2>().0);
            for ((y, [a, b]), (cos, sin)) in pairs.zip(cos.iter().zip(sin)) {
                *y = [a * cos - b * sin, b * cos + a * sin];
            }
        }
    });
}
