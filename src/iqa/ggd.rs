//! Moment-matching fits of the generalized Gaussian distribution (GGD) and its asymmetric form (AGGD).
//!
//! Sharifi & Leon-Garcia 1995; Lasmar, Stitou, Berthoumieu, "Multiscale skewed heavy tailed model for texture
//! analysis", ICIP 2009. The shape is looked up in the same table as in the original BRISQUE and NIQE releases: 0.2 to 10
//! in steps of 0.001.

use std::sync::LazyLock;

use libm::tgamma;

/// First shape of the table, step and length.
const SHAPE_MIN: f64 = 0.2;
const SHAPE_STEP: f64 = 0.001;
const SHAPES: usize = 9801;

/// Γ(2/α)² / (Γ(1/α) Γ(3/α)) for each shape α: the squared mean of |x| over the mean of x². It rises with α.
static RATIOS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    (0..SHAPES).map(shape_at).map(|a| tgamma(2.0 / a).powi(2) / (tgamma(1.0 / a) * tgamma(3.0 / a))).collect()
});

fn shape_at(index: usize) -> f64 {
    SHAPE_MIN + SHAPE_STEP * index as f64
}

/// Shape whose entry, seen through `f` (monotonic), is nearest to `value`.
fn shape_of(value: f64, f: impl Fn(f64) -> f64) -> f64 {
    let table = &*RATIOS;
    let rising = f(table[0]) < f(table[SHAPES - 1]);
    let above = table.partition_point(|&ratio| if rising { f(ratio) < value } else { f(ratio) > value });
    let distance = |i: usize| (f(table[i]) - value).abs();
    let last = above.min(SHAPES - 1);
    match above {
        0 => shape_at(0),
        _ if distance(above - 1) <= distance(last) => shape_at(above - 1),
        _ => shape_at(last),
    }
}

/// Sums over samples from which both distributions are fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Samples in all, and those below and above zero.
    pub count: f64,
    pub negative: Side,
    pub positive: Side,
}

/// Sums over the samples on one side of zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Side {
    pub count: f64,
    pub absolute: f64,
    pub squares: f64,
}

impl Side {
    fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            absolute: self.absolute + other.absolute,
            squares: self.squares + other.squares,
        }
    }
}

impl Sums {
    /// Sums over both sets of samples.
    pub fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            negative: self.negative.plus(other.negative),
            positive: self.positive.plus(other.positive),
        }
    }

    fn mean_absolute(&self) -> f64 {
        (self.negative.absolute + self.positive.absolute) / self.count
    }

    fn mean_square(&self) -> f64 {
        (self.negative.squares + self.positive.squares) / self.count
    }

    /// Shape and variance of a GGD; `None` if all samples are zero.
    pub fn ggd(&self) -> Option<(f64, f64)> {
        let variance = self.mean_square();
        let ratio = variance / self.mean_absolute().powi(2);
        ratio.is_finite().then(|| (shape_of(ratio, |r| 1.0 / r), variance))
    }

    /// Shape, left and right standard deviation of an AGGD; `None` if there are no samples on one side of zero.
    pub fn aggd(&self) -> Option<Aggd> {
        let left = (self.negative.squares / self.negative.count).sqrt();
        let right = (self.positive.squares / self.positive.count).sqrt();
        let gamma = left / right;
        let ratio = self.mean_absolute().powi(2) / self.mean_square();
        let ratio = ratio * (gamma.powi(3) + 1.0) * (gamma + 1.0) / (gamma.powi(2) + 1.0).powi(2);
        ratio.is_finite().then(|| Aggd { shape: shape_of(ratio, |r| r), left, right })
    }
}

/// An asymmetric generalized Gaussian distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aggd {
    pub shape: f64,
    /// Standard deviations below and above zero.
    pub left: f64,
    pub right: f64,
}

impl Aggd {
    /// What stands for samples that are all zero: no spread, and the flattest shape.
    pub const FLAT: Self = Self { shape: 10.0, left: 0.0, right: 0.0 };

    /// Left and right scale β, where σ² = β² Γ(3/α) / Γ(1/α).
    pub fn scales(&self) -> (f64, f64) {
        let factor = (tgamma(1.0 / self.shape) / tgamma(3.0 / self.shape)).sqrt();
        (self.left * factor, self.right * factor)
    }

    /// Mean: (β_right - β_left) Γ(2/α) / Γ(1/α).
    pub fn mean(&self) -> f64 {
        let (left, right) = self.scales();
        (right - left) * tgamma(2.0 / self.shape) / tgamma(1.0 / self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(samples: impl Iterator<Item = f64>) -> Sums {
        let mut sums = Sums::default();
        for v in samples {
            let side = Side { count: 1.0, absolute: v.abs(), squares: v * v };
            sums.count += 1.0;
            match v {
                v if v < 0.0 => sums.negative = sums.negative.plus(side),
                v if v > 0.0 => sums.positive = sums.positive.plus(side),
                _ => {}
            }
        }
        sums
    }

    /// Quantiles of the Laplace distribution (GGD of shape 1) with unit scale, both sides scaled.
    fn laplace(left: f64, right: f64) -> Sums {
        let n = 200_000;
        let quantile = |i: usize| -(1.0 - (i as f64 + 0.5) / n as f64).ln();
        // An AGGD has mass in proportion to its scales on either side.
        let (n_left, n_right) =
            ((n as f64 * left / (left + right)) as usize, (n as f64 * right / (left + right)) as usize);
        let side = |m: usize, scale: f64| (0..m).map(move |i| scale * quantile(i * n / m));
        sums(side(n_left, -left).chain(side(n_right, right)))
    }

    #[test]
    fn finds_the_laplace_distribution() {
        let (shape, variance) = laplace(1.0, 1.0).ggd().unwrap();
        assert!((shape - 1.0).abs() < 0.01 && (variance - 2.0).abs() < 0.02, "{shape} {variance}");
        let fit = laplace(0.5, 2.0).aggd().unwrap();
        let (left, right) = fit.scales();
        assert!((fit.shape - 1.0).abs() < 0.02, "{fit:?}");
        assert!((left - 0.5).abs() < 0.02 && (right - 2.0).abs() < 0.05, "{left} {right}");
        assert!((fit.mean() - 1.5).abs() < 0.05);
    }

    #[test]
    fn takes_the_nearest_shape_and_stays_in_the_table() {
        let exact = RATIOS[1234];
        assert_eq!(shape_of(exact, |r| r), shape_at(1234));
        assert_eq!(shape_of(1.0 / exact, |r| 1.0 / r), shape_at(1234));
        assert_eq!(shape_of(0.0, |r| r), shape_at(0));
        assert_eq!(shape_of(1.0, |r| r), shape_at(SHAPES - 1));
        assert_eq!(shape_of(0.0, |r| 1.0 / r), shape_at(SHAPES - 1));
    }

    #[test]
    fn one_sided_and_empty_samples_have_no_fit() {
        assert_eq!(sums([0.0; 9].into_iter()).ggd(), None);
        assert_eq!(sums([0.0; 9].into_iter()).aggd(), None);
        assert_eq!(sums([1.0, 2.0].into_iter()).aggd(), None);
    }
}
