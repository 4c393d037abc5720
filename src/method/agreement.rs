//! Whether people agree, with the reward and with each other, and how sure that is.

use crate::words::words;

words! {
    /// A person's word on two candidates that are shown side by side without their names.
    pub enum Choice {
        /// The left one is better.
        Left = "left",
        /// The right one is better.
        Right = "right",
        /// Neither is seen to be better.
        Unsure = "unsure",
        /// Neither is any good.
        BothBad = "both_bad",
    }
}

/// The two-sided normal quantile of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Ends of the 95 % interval of a share by E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical
/// Inference" (JASA 1927): of `of` cases `hits` were so; halves come from ties. `None` without a case.
pub fn wilson(hits: f64, of: usize) -> Option<[f64; 2]> {
    if of == 0 {
        return None;
    }
    let n = of as f64;
    let (share, z2) = (hits / n, Z * Z);
    let center = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let reach = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    Some([(center - reach).max(0.0), (center + reach).min(1.0)])
}

/// κ of J. Cohen, "A Coefficient of Agreement for Nominal Scales" (1960), over the cases that two raters both put into one of
/// `C` categories: 1 where they always agree, 0 where as often as by chance. `None` without a case, or where chance alone
/// makes them agree always.
pub fn cohen_kappa<const C: usize>(cases: impl IntoIterator<Item = [usize; 2]>) -> Option<f64> {
    let mut table = [[0.0; C]; C];
    let mut total = 0.0;
    for [a, b] in cases {
        *table.get_mut(a)?.get_mut(b)? += 1.0;
        total += 1.0;
    }
    let agreed: f64 = (0..C).map(|c| table[c][c]).sum::<f64>() / total;
    let of_first = |c: usize| table[c].iter().sum::<f64>() / total;
    let of_second = |c: usize| table.iter().map(|row| row[c]).sum::<f64>() / total;
    let chance: f64 = (0..C).map(|c| of_first(c) * of_second(c)).sum();
    (total > 0.0 && chance < 1.0).then(|| (agreed - chance) / (1.0 - chance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_literature() {
        // scipy 1.17, binomtest(hits, of).proportion_ci(method="wilson").
        for (hits, of, [low, high]) in [
            (7.0, 10, [0.396_778_147_461, 0.892_208_732_594]),
            (0.0, 5, [0.0, 0.434_482_464_783]),
            (81.0, 263, [0.255_288_519_878, 0.366_209_576_983]),
        ] {
            let [a, b] = wilson(hits, of).unwrap();
            assert!((a - low).abs() < 1e-10 && (b - high).abs() < 1e-10, "{hits} of {of}: {a} {b}");
        }
        assert_eq!(wilson(0.0, 0), None);
    }

    #[test]
    fn kappa_counts_what_chance_does_not_explain() {
        // Two of two categories: 20 both yes, 5 and 10 apart, 15 both no (the textbook example): κ = 0.4.
        let cases = [([0, 0], 20), ([0, 1], 5), ([1, 0], 10), ([1, 1], 15)];
        let all = || cases.into_iter().flat_map(|(case, count)| std::iter::repeat_n(case, count));
        assert!((cohen_kappa::<2>(all()).unwrap() - 0.4).abs() < 1e-12);
        assert_eq!(cohen_kappa::<4>([[0, 0], [3, 3]]), Some(1.0));
        // Always the same word says nothing; nor does no case, nor a category that is none.
        assert_eq!(cohen_kappa::<2>([[0, 0], [0, 0]]), None);
        assert_eq!(cohen_kappa::<2>([]), None);
        assert_eq!(cohen_kappa::<2>([[0, 2]]), None);
    }
}
