//! Weights under which metrics, or halves, decide the ranking in equal parts.
//!
//! A metric's share of the ranking is x_k (C x)_k / xᵀC x, with x the coefficients of R = Σ x_k s̄_k and C the covariances
//! of the s̄ within groups, summed over groups. Equal shares are known as *equal risk contribution* (Maillard, Roncalli,
//! Teiletche, "The Properties of Equally Weighted Risk Contribution Portfolios", 2010): the x > 0 that makes
//! ½ xᵀC x − Σ ln x_k least, found one coefficient at a time. Correlations are accounted for, so two metrics that say the
//! same get less weight than one that stands alone.

use std::collections::BTreeMap;

use serde::Serialize;

use super::attribution::covariance;
use super::recipe::Reward;
use super::reward::{RewardPlan, Term};
use super::scores::ScoreTable;
use crate::iqa::Kind;

/// Sweeps over the coefficients; each makes the error smaller, a few dozen reach rounding.
const SWEEPS: usize = 500;

/// Weights to put into a recipe.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Balanced {
    pub fr: BTreeMap<String, f64>,
    pub nr: BTreeMap<String, f64>,
    pub fr_balance: f64,
}

impl Balanced {
    /// The recipe's reward with these weights; metrics that they do not name keep theirs.
    pub fn into_reward(self, mut reward: Reward) -> Reward {
        reward.fr.extend(self.fr);
        reward.nr.extend(self.nr);
        reward.fr_balance = self.fr_balance;
        reward
    }
}

/// Covariances of s̄ within groups, of the metrics that count.
pub(super) struct Covariances {
    terms: Vec<(Term, f64)>,
    /// Metric × metric, in the order of the terms.
    of: Vec<Vec<f64>>,
}

impl Covariances {
    /// Over the groups in which every metric that counts varies or not, but is scored.
    pub fn of(table: &ScoreTable, plan: &RewardPlan) -> Self {
        let terms: Vec<(Term, f64)> = plan.terms(table.has_any_hr()).filter(|(_, x)| *x > 0.0).collect();
        let mut of = vec![vec![0.0; terms.len()]; terms.len()];
        for group in (0..table.groups()).filter(|&group| table.has_hr(group) == table.has_any_hr()) {
            let rows: Vec<Vec<f64>> = terms.iter().map(|(term, _)| plan.normalized(table, group, term)).collect();
            let whole = |seed: &usize| rows.iter().all(|row| row.get(*seed).is_some_and(|value| !value.is_nan()));
            let seeds: Vec<usize> = (0..table.seeds()).filter(whole).collect();
            let rows: Vec<Vec<f64>> = rows.iter().map(|row| seeds.iter().map(|&seed| row[seed]).collect()).collect();
            for (a, sums) in rows.iter().zip(&mut of) {
                rows.iter().zip(sums).for_each(|(b, sum)| *sum += covariance(a, b));
            }
        }
        Self { terms, of }
    }
}

/// Weights under which each metric that counts makes the same share; those that never vary keep theirs. `None` where fewer
/// than two vary.
pub(super) fn of_metrics(table: &ScoreTable, recipe: &Reward, known: &Covariances) -> Option<Balanced> {
    let varying: Vec<usize> = (0..known.terms.len()).filter(|&k| known.of[k][k] > 0.0).collect();
    if varying.len() < 2 {
        return None;
    }
    let matrix: Vec<Vec<f64>> = varying.iter().map(|&a| varying.iter().map(|&b| known.of[a][b]).collect()).collect();
    let x = equal_shares(&matrix);
    let kind = |k: usize| table.columns()[known.terms[k].0.column].kind;
    let total = |of: Kind| varying.iter().zip(&x).filter(|(k, _)| kind(**k) == of).map(|(_, x)| x).sum::<f64>();
    let [fr, nr] = [total(Kind::FullReference), total(Kind::NoReference)];
    let mut balanced = Balanced { fr: BTreeMap::new(), nr: BTreeMap::new(), fr_balance: fr / (fr + nr) };
    for (&k, x) in varying.iter().zip(&x) {
        let name = table.columns()[known.terms[k].0.column].name.to_string();
        let half = if kind(k) == Kind::FullReference { &mut balanced.fr } else { &mut balanced.nr };
        half.insert(name, *x);
    }
    for (weights, before) in [(&mut balanced.fr, &recipe.fr), (&mut balanced.nr, &recipe.nr)] {
        keep_sum(weights, before);
    }
    if fr == 0.0 || nr == 0.0 {
        balanced.fr_balance = recipe.fr_balance;
    }
    Some(balanced)
}

/// The balance under which each half makes the same share, the weights within the halves being as they are:
/// b = σ_NR / (σ_FR + σ_NR). `None` where a half does not count or does not vary.
pub(super) fn of_halves(table: &ScoreTable, recipe: &Reward, known: &Covariances) -> Option<Balanced> {
    let sigma = |kind: Kind| {
        let members = || {
            let all = known.terms.iter().enumerate();
            all.filter(|(_, (term, _))| table.columns()[term.column].kind == kind)
        };
        let variance: f64 = members()
            .flat_map(|(a, (term, _))| members().map(move |(b, (other, _))| term.share * other.share * known.of[a][b]))
            .sum();
        variance.max(0.0).sqrt()
    };
    let [fr, nr] = [sigma(Kind::FullReference), sigma(Kind::NoReference)];
    (fr > 0.0 && nr > 0.0).then(|| Balanced {
        fr: recipe.fr.clone(),
        nr: recipe.nr.clone(),
        fr_balance: nr / (fr + nr),
    })
}

/// Scales weights so that they sum to what the same metrics had before, so that their neighbours' shares stay.
fn keep_sum(weights: &mut BTreeMap<String, f64>, before: &BTreeMap<String, f64>) {
    let had: f64 = weights.keys().filter_map(|name| before.get(name)).sum();
    let has: f64 = weights.values().sum();
    if has > 0.0 && had > 0.0 {
        weights.values_mut().for_each(|weight| *weight *= had / has);
    }
}

/// Coefficients x > 0 of which each makes the same share of xᵀC x, up to a common factor.
fn equal_shares(matrix: &[Vec<f64>]) -> Vec<f64> {
    let mut x: Vec<f64> = matrix.iter().enumerate().map(|(k, row)| 1.0 / row[k].sqrt()).collect();
    for _ in 0..SWEEPS {
        for k in 0..x.len() {
            let of_others: f64 = matrix[k].iter().zip(&x).map(|(c, x)| c * x).sum::<f64>() - matrix[k][k] * x[k];
            // The positive root of C_kk x² + (Σ_{j≠k} C_kj x_j) x = 1.
            let root = (of_others * of_others + 4.0 * matrix[k][k]).sqrt();
            // The same root written so that a large negative sum cancels nothing.
            x[k] = if of_others > 0.0 { 2.0 / (of_others + root) } else { (root - of_others) / (2.0 * matrix[k][k]) };
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_makes_the_same_share_though_they_are_correlated() {
        let matrix = vec![vec![4.0, 1.2, -0.5], vec![1.2, 1.0, 0.1], vec![-0.5, 0.1, 0.25]];
        let x = equal_shares(&matrix);
        let share = |k: usize| x[k] * matrix[k].iter().zip(&x).map(|(c, x)| c * x).sum::<f64>();
        assert!((1..3).all(|k| (share(k) - share(0)).abs() < 1e-12 * share(0).abs()));
        assert!(x.iter().all(|&x| x > 0.0));
        // Without correlations: one over the standard deviation.
        let x = equal_shares(&[vec![4.0, 0.0], vec![0.0, 0.25]]);
        assert!((x[1] / x[0] - 4.0).abs() < 1e-12);
    }
}
