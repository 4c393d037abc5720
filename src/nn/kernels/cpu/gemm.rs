//! A strided matrix product for operands that already lie in cache: the inner part of every convolution.
//!
//! General matrix products go to the `gemm` crate through candle. This one skips its packing, which costs more than
//! it saves at the shapes of a Winograd convolution (tens of rows, 48 to 320 columns, operands in L2).

use super::simd::{self, Simd};

/// Left operand, element (m, k) at `ptr[m * row + k * depth]`.
#[derive(Clone, Copy)]
pub struct Lhs {
    pub ptr: *const f32,
    pub row: usize,
    pub depth: usize,
}

/// Right operand, element (k, n) at `ptr[k * depth + n]`.
#[derive(Clone, Copy)]
pub struct Rhs {
    pub ptr: *const f32,
    pub depth: usize,
}

/// Result, element (m, n) at `ptr[m * row + n]`.
#[derive(Clone, Copy)]
pub struct Out {
    pub ptr: *mut f32,
    pub row: usize,
}

/// What the sums are of besides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Zero,
    /// Added to what is there.
    Added,
    /// As one sum with what is there, which was summed before: to the last bit as if it had not been interrupted.
    Continued,
}

impl From<bool> for Start {
    /// Added, or from zero.
    fn from(accumulate: bool) -> Self {
        if accumulate { Self::Added } else { Self::Zero }
    }
}

/// `out = lhs · rhs` for `m × k` times `k × n`, with what `start` says of `out` before.
///
/// # Safety
/// All elements addressed must be readable (writable for `out`), and `out` must not overlap the operands.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub unsafe fn gemm<S: Simd>(
    simd: S,
    (m, n, k): (usize, usize, usize),
    lhs: Lhs,
    rhs: Rhs,
    out: Out,
    start: impl Into<Start>,
) {
    let start = start.into();
    let lanes = S::F32_LANES;
    let (mut col, mut vectors) = (0, n / lanes);
    while vectors > 0 {
        // Three vectors by eight rows fill the 32 registers of AVX-512; four are better split two and two.
        let take = match vectors {
            4 => 2,
            v => v.min(3),
        };
        unsafe {
            let rhs = Rhs { ptr: rhs.ptr.add(col), ..rhs };
            let out = Out { ptr: out.ptr.add(col), ..out };
            match take {
                3 => columns::<S, 3, false>(simd, (m, 0, k), lhs, rhs, out, start),
                2 => columns::<S, 2, false>(simd, (m, 0, k), lhs, rhs, out, start),
                _ => columns::<S, 1, false>(simd, (m, 0, k), lhs, rhs, out, start),
            }
        }
        col += take * lanes;
        vectors -= take;
    }
    if col < n {
        unsafe {
            let rhs = Rhs { ptr: rhs.ptr.add(col), ..rhs };
            let out = Out { ptr: out.ptr.add(col), ..out };
            columns::<S, 1, true>(simd, (m, n - col, k), lhs, rhs, out, start);
        }
    }
}

/// All rows of a panel of `NV` vectors; with `TAIL` only its first `n` columns exist.
#[inline(always)]
unsafe fn columns<S: Simd, const NV: usize, const TAIL: bool>(
    simd: S,
    (m, n, k): (usize, usize, usize),
    lhs: Lhs,
    rhs: Rhs,
    out: Out,
    start: Start,
) {
    let mut row = 0;
    macro_rules! rows {
        ($mr:literal) => {
            unsafe {
                let lhs = Lhs { ptr: lhs.ptr.add(row * lhs.row), ..lhs };
                let out = Out { ptr: out.ptr.add(row * out.row), ..out };
                tile::<S, $mr, NV, TAIL>(simd, (n, k), lhs, rhs, out, start);
                row += $mr;
            }
        };
    }
    // 32 registers hold 8 × 3 sums with AVX-512, 16 hold 4 × 3 with AVX2.
    if S::F32_LANES >= 16 {
        while m - row >= 8 {
            rows!(8);
        }
    }
    while m - row >= 4 {
        rows!(4);
    }
    match m - row {
        3 => rows!(3),
        2 => rows!(2),
        1 => rows!(1),
        _ => {}
    }
    debug_assert_eq!(row, m);
}

#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize, const TAIL: bool>(
    simd: S,
    (n, k): (usize, usize),
    lhs: Lhs,
    rhs: Rhs,
    out: Out,
    start: Start,
) {
    let mask = TAIL.then(|| simd.mask_between_m32s(0, n as u32));
    let mut sum = [[simd.splat_f32s(0.0); NV]; MR];
    unsafe {
        if start == Start::Continued {
            for (r, sum) in sum.iter_mut().enumerate() {
                for (v, sum) in sum.iter_mut().enumerate() {
                    *sum = simd::load_masked(simd, out.ptr.add(r * out.row + v * S::F32_LANES), mask);
                }
            }
        }
        for p in 0..k {
            let row = rhs.ptr.add(p * rhs.depth);
            let mut b = [simd.splat_f32s(0.0); NV];
            for (v, b) in b.iter_mut().enumerate() {
                *b = simd::load_masked(simd, row.add(v * S::F32_LANES), mask);
            }
            for (r, sum) in sum.iter_mut().enumerate() {
                let a = simd.splat_f32s(*lhs.ptr.add(r * lhs.row + p * lhs.depth));
                for (sum, b) in sum.iter_mut().zip(b) {
                    *sum = simd.mul_add_e_f32s(a, b, *sum);
                }
            }
        }
        for (r, sum) in sum.iter().enumerate() {
            for (v, &sum) in sum.iter().enumerate() {
                let at = out.ptr.add(r * out.row + v * S::F32_LANES);
                let sum = match start {
                    Start::Added => simd.add_f32s(sum, simd::load_masked(simd, at, mask)),
                    Start::Zero | Start::Continued => sum,
                };
                simd::store_masked(simd, at, sum, mask);
            }
        }
    }
}
