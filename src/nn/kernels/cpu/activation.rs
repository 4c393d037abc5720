//! Functions of single values and their gradients, and gated ones: `a · f(b)` of two halves of a row (Shazeer, "GLU Variants
//! Improve Transformer", arXiv 2002.05202).

use rayon::prelude::*;

use super::super::shape::Activation;
use super::math;
use super::simd::{self, Simd, WithSimd, for_lanes};

/// Values handled by one thread at once.
const BLOCK: usize = 32 << 10;

/// `y = f(x)`.
pub fn activate(f: Activation, x: &[f32], y: &mut [f32]) {
    y.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(y, x)| {
        simd::dispatch(Apply { f, x, dy: None, out: y });
    });
}

/// `dx = dy · f'(x)`.
pub fn gradient(f: Activation, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    dx.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).zip(dy.par_chunks(BLOCK)).for_each(|((dx, x), dy)| {
        simd::dispatch(Apply { f, x, dy: Some(dy), out: dx });
    });
}

/// `y = a · f(b)` for rows `a ‖ b` of `2 · width` values.
pub fn gated(f: Activation, width: usize, x: &[f32], y: &mut [f32]) {
    let rows = (BLOCK / width).max(1);
    y.par_chunks_mut(rows * width).zip(x.par_chunks(rows * 2 * width)).for_each(|(y, x)| {
        simd::dispatch(Gated { f, width, x, y });
    });
}

/// `dx` of [`gated`].
pub fn gated_gradient(f: Activation, width: usize, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let rows = (BLOCK / width).max(1);
    let parts = x.par_chunks(rows * 2 * width).zip(dy.par_chunks(rows * width));
    dx.par_chunks_mut(rows * 2 * width).zip(parts).for_each(|(dx, (x, dy))| {
        simd::dispatch(GatedGradient { f, width, x, dy, dx });
    });
}

/// `f(x)` and `f'(x)`. The branch is the same for all values, so that the compiler can take it out of a loop.
#[inline(always)]
fn value_and_slope<S: Simd>(s: S, f: Activation, x: S::f32s) -> (S::f32s, S::f32s) {
    let (zero, one) = (s.splat_f32s(0.0), s.splat_f32s(1.0));
    match f {
        Activation::Relu => {
            let positive = s.greater_than_f32s(x, zero);
            (s.max_f32s(x, zero), s.select_f32s(positive, one, zero))
        }
        Activation::Silu => {
            let sig = math::sigmoid(s, x);
            let slope = s.mul_add_e_f32s(x, s.sub_f32s(one, sig), one);
            (s.mul_f32s(x, sig), s.mul_f32s(sig, slope))
        }
        Activation::Gelu => {
            let half = s.splat_f32s(0.5);
            let phi = s.mul_add_e_f32s(
                half,
                math::erf(s, s.mul_f32s(x, s.splat_f32s(std::f32::consts::FRAC_1_SQRT_2))),
                half,
            );
            let bell = math::exp(s, s.mul_f32s(s.mul_f32s(x, x), s.splat_f32s(-0.5)));
            // 1/√(2π)
            let density = s.mul_f32s(bell, s.splat_f32s(0.398_942_3));
            (s.mul_f32s(x, phi), s.mul_add_e_f32s(x, density, phi))
        }
        Activation::GeluTanh => {
            // ½(1 + tanh u) is σ(2u).
            const TWICE: f32 = 2.0 * 0.797_884_6; // 2·√(2/π)
            const CUBIC: f32 = 0.044715;
            let square = s.mul_f32s(x, x);
            let inner = s.mul_add_e_f32s(s.splat_f32s(CUBIC), square, one);
            let sig = math::sigmoid(s, s.mul_f32s(s.mul_f32s(s.splat_f32s(TWICE), x), inner));
            let slope = s.mul_add_e_f32s(s.splat_f32s(3.0 * CUBIC), square, one);
            let slope = s.mul_f32s(s.mul_f32s(s.splat_f32s(TWICE), slope), s.mul_f32s(sig, s.sub_f32s(one, sig)));
            (s.mul_f32s(x, sig), s.mul_add_e_f32s(x, slope, sig))
        }
        Activation::GeluQuick => {
            let steep = s.splat_f32s(1.702);
            let sig = math::sigmoid(s, s.mul_f32s(steep, x));
            let slope = s.mul_f32s(s.mul_f32s(steep, sig), s.sub_f32s(one, sig));
            (s.mul_f32s(x, sig), s.mul_add_e_f32s(x, slope, sig))
        }
        Activation::Sigmoid => {
            let sig = math::sigmoid(s, x);
            (sig, s.mul_f32s(sig, s.sub_f32s(one, sig)))
        }
    }
}

struct Apply<'a> {
    f: Activation,
    x: &'a [f32],
    dy: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        for_lanes!(s, self.x.len(), |i, mask| {
            unsafe {
                let x = simd::load_masked(s, self.x.as_ptr().add(i), mask);
                let (value, slope) = value_and_slope(s, self.f, x);
                let out = match self.dy {
                    None => value,
                    Some(dy) => s.mul_f32s(simd::load_masked(s, dy.as_ptr().add(i), mask), slope),
                };
                simd::store_masked(s, self.out.as_mut_ptr().add(i), out, mask);
            }
        });
    }
}

struct Gated<'a> {
    f: Activation,
    width: usize,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for Gated<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        for (x, y) in self.x.chunks_exact(2 * self.width).zip(self.y.chunks_exact_mut(self.width)) {
            for_lanes!(s, self.width, |i, mask| {
                unsafe {
                    let a = simd::load_masked(s, x.as_ptr().add(i), mask);
                    let b = simd::load_masked(s, x.as_ptr().add(self.width + i), mask);
                    let (value, _) = value_and_slope(s, self.f, b);
                    simd::store_masked(s, y.as_mut_ptr().add(i), s.mul_f32s(a, value), mask);
                }
            });
        }
    }
}

struct GatedGradient<'a> {
    f: Activation,
    width: usize,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl WithSimd for GatedGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let rows = self.x.chunks_exact(2 * self.width).zip(self.dy.chunks_exact(self.width));
        for ((x, dy), dx) in rows.zip(self.dx.chunks_exact_mut(2 * self.width)) {
            for_lanes!(s, self.width, |i, mask| {
                unsafe {
                    let a = simd::load_masked(s, x.as_ptr().add(i), mask);
                    let b = simd::load_masked(s, x.as_ptr().add(self.width + i), mask);
                    let d = simd::load_masked(s, dy.as_ptr().add(i), mask);
                    let (value, slope) = value_and_slope(s, self.f, b);
                    simd::store_masked(s, dx.as_mut_ptr().add(i), s.mul_f32s(d, value), mask);
                    let db = s.mul_f32s(d, s.mul_f32s(a, slope));
                    simd::store_masked(s, dx.as_mut_ptr().add(self.width + i), db, mask);
                }
            });
        }
    }
}
