//! Elementary functions on vectors.

use super::simd::Simd;

/// eˣ to about one unit in the last place; arguments beyond ±87 saturate.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    /// 1.5·2²³: adding it leaves the rounded integer in the low bits of the mantissa.
    const MAGIC: f32 = 12_582_912.0;
    let x = s.min_f32s(s.max_f32s(x, s.splat_f32s(-87.0)), s.splat_f32s(87.0));
    let shifted = s.mul_add_f32s(x, s.splat_f32s(std::f32::consts::LOG2_E), s.splat_f32s(MAGIC));
    let n = s.sub_f32s(shifted, s.splat_f32s(MAGIC));
    // ln 2 in two parts, so that x − n·ln 2 stays exact.
    let r = s.mul_add_f32s(n, s.splat_f32s(-0.693_359_4), x);
    let r = s.mul_add_f32s(n, s.splat_f32s(2.121_944_4e-4), r);
    let mut p = s.splat_f32s(1.0 / 720.0);
    for c in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = s.mul_add_f32s(p, r, s.splat_f32s(c));
    }
    let bits = s.add_u32s(s.transmute_u32s_f32s(shifted), s.splat_u32s(127u32.wrapping_sub(MAGIC.to_bits())));
    let scale = s.transmute_f32s_u32s(s.wrapping_dyn_shl_u32s(bits, s.splat_u32s(23)));
    s.mul_f32s(p, scale)
}

/// eˣ for `x` of a softmax, which is not above 0 by more than rounding: to three units in the last place, at three quarters of the
/// price of [`exp`]. Arguments below −87 saturate.
#[inline(always)]
pub fn exp_of_share<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    /// As in [`exp`].
    const MAGIC: f32 = 12_582_912.0;
    /// 2ʳ − 1 on [−½, ½] over r, least relative error.
    #[expect(clippy::approx_constant, reason = "ln 2 is where the fit goes as its degree grows")]
    const POWERS: [f32; 4] = [9.671_513e-3, 5.550_733_6e-2, 0.240_222_42, 0.693_147];
    let log2 = s.splat_f32s(std::f32::consts::LOG2_E);
    let x = s.max_f32s(x, s.splat_f32s(-87.0));
    let shifted = s.mul_add_f32s(x, log2, s.splat_f32s(MAGIC));
    let r = s.mul_add_f32s(x, log2, s.sub_f32s(s.splat_f32s(MAGIC), shifted));
    let mut p = s.splat_f32s(1.326_472_7e-3);
    for c in POWERS.into_iter().chain([1.0]) {
        p = s.mul_add_f32s(p, r, s.splat_f32s(c));
    }
    // The rounded integer is in the low bits, and is added to the exponent.
    let exponent = s.wrapping_dyn_shl_u32s(s.transmute_u32s_f32s(shifted), s.splat_u32s(23));
    s.transmute_f32s_u32s(s.add_u32s(s.transmute_u32s_f32s(p), exponent))
}

/// The logistic function 1 / (1 + e⁻ˣ).
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    let one = s.splat_f32s(1.0);
    s.div_f32s(one, s.add_f32s(one, exp(s, s.neg_f32s(x))))
}

/// The error function to a few units in the last place: a rational approximation on [−4, 4], beyond which it is ±1.
#[inline(always)]
pub fn erf<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    const ABOVE: [f32; 6] =
        [2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906_3e-4, -2.954_6e-3, -1.609_603_3e-2];
    const BELOW: [f32; 4] = [-2.133_740_5e-4, -1.682_827e-3, -7.373_329_2e-3, -1.426_474e-2];
    let x = s.min_f32s(s.max_f32s(x, s.splat_f32s(-4.0)), s.splat_f32s(4.0));
    let square = s.mul_f32s(x, x);
    let mut above = s.splat_f32s(-2.726_142_3e-10);
    for c in ABOVE {
        above = s.mul_add_f32s(above, square, s.splat_f32s(c));
    }
    let mut below = s.splat_f32s(-1.456_607_2e-5);
    for c in BELOW {
        below = s.mul_add_f32s(below, square, s.splat_f32s(c));
    }
    s.div_f32s(s.mul_f32s(x, above), below)
}

#[cfg(test)]
mod tests {
    use super::super::simd::{self, WithSimd};
    use super::*;

    struct Erf<'a>(&'a mut [f32]);

    impl WithSimd for Erf<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, s: S) {
            let (head, tail) = S::as_mut_simd_f32s(self.0);
            assert!(tail.is_empty());
            head.iter_mut().for_each(|v| *v = erf(s, *v));
        }
    }

    #[test]
    fn the_error_function_agrees_with_the_standard_library() {
        let x: Vec<f32> = (0..4096).map(|i| (i as f32 - 2048.0) / 400.0).collect();
        let mut y = x.clone();
        simd::dispatch(Erf(&mut y));
        for (x, y) in x.iter().zip(&y) {
            let want = libm::erf(*x as f64);
            assert!((*y as f64 - want).abs() <= 4e-7, "erf({x}) = {y}, not {want}");
        }
    }

    /// Of shares of a softmax, or of any numbers.
    struct Exp<'a>(&'a mut [f32], bool);

    impl WithSimd for Exp<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, s: S) {
            let (head, tail) = S::as_mut_simd_f32s(self.0);
            assert!(tail.is_empty());
            head.iter_mut().for_each(|v| *v = if self.1 { exp_of_share(s, *v) } else { exp(s, *v) });
        }
    }

    #[test]
    fn exp_agrees_with_the_standard_library() {
        let x: Vec<f32> = (0..4096).map(|i| (i as f32 - 2048.0) / 2048.0 * 86.0).collect();
        let mut y = x.clone();
        simd::dispatch(Exp(&mut y, false));
        for (x, y) in x.iter().zip(&y) {
            let want = (*x as f64).exp();
            assert!((*y as f64 - want).abs() <= 3e-7 * want, "exp({x}) = {y}, not {want}");
        }
    }

    #[test]
    fn shares_agree_with_the_standard_library() {
        let x: Vec<f32> = (0..4096).map(|i| i as f32 / -47.5).chain([1e-6; 16]).collect();
        let mut y = x.clone();
        simd::dispatch(Exp(&mut y, true));
        assert_eq!(y[0], 1.0);
        for (x, y) in x.iter().zip(&y) {
            let want = (*x as f64).exp();
            // The product with log₂e is rounded to what is left of 24 bits.
            let most = 4e-7 + 3e-8 * x.abs() as f64;
            assert!((*y as f64 - want).abs() <= most * want, "exp({x}) = {y}, not {want}");
        }
    }
}
