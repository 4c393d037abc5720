//! Reward → pairs → weights → loss against an independent Python implementation (`fixtures/make_method.py`), on a
//! table with a group without HR, a partly scored group and overridden pairs.

use std::collections::BTreeMap;

use dp2o_studio::iqa::{Direction, Info, Kind};
use dp2o_studio::method::bounds::Bounds;
use dp2o_studio::method::curation::Curation;
use dp2o_studio::method::loss::{LossSums, PairErrors};
use dp2o_studio::method::overrides::{Overrides, PairOverride, Verdict};
use dp2o_studio::method::recipe::{self, Scope};
use dp2o_studio::method::reward::{RewardPlan, Rewards};
use dp2o_studio::method::scores::ScoreTable;
use dp2o_studio::method::statistics::{Ladder, metric_statistics};
use dp2o_studio::method::summary::Summary;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    columns: Vec<Column>,
    fr: BTreeMap<String, f64>,
    nr: BTreeMap<String, f64>,
    fr_balance: f64,
    has_hr: Vec<bool>,
    scores: Vec<Vec<Vec<Option<f64>>>>,
    metric_mean: Vec<f64>,
    metric_std: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
    higher_is_better: bool,
    is_fr: bool,
}

#[derive(Deserialize)]
struct Case {
    scope: Scope,
    ratio: f64,
    alpha_intra: f64,
    alpha_inter: f64,
    overrides: Vec<Override>,
    bounds: BTreeMap<String, (f64, f64)>,
    rewards: Vec<Vec<Option<f64>>>,
    rankings: Vec<Vec<u16>>,
    pairs: Vec<Vec<(u16, u16)>>,
    sigma: Vec<f64>,
    mean_sigma: f64,
    weights: Vec<Vec<f64>>,
    effective_pairs: f64,
    ladder: LadderCase,
    loss: Loss,
}

#[derive(Deserialize)]
struct Override {
    group: usize,
    winner: u16,
    loser: u16,
    verdict: Verdict,
}

#[derive(Deserialize)]
struct LadderCase {
    m: Vec<usize>,
    best: Vec<f64>,
    mean: Vec<f64>,
    worst: Vec<f64>,
    std: f64,
    images: usize,
}

#[derive(Deserialize)]
struct Loss {
    beta: f64,
    errors: Vec<[f64; 4]>,
    loss: f64,
    grad_winner: Vec<f64>,
    grad_loser: Vec<f64>,
    accuracy: f64,
    margin: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/method/chain.json")).unwrap()
}

fn table(fixture: &Fixture) -> ScoreTable {
    let columns = fixture.columns.iter().map(|c| {
        let kind = if c.is_fr { Kind::FullReference } else { Kind::NoReference };
        Info::new(c.name.clone(), kind, if c.higher_is_better { Direction::Higher } else { Direction::Lower })
    });
    let seeds = fixture.scores[0][0].len();
    let mut table = ScoreTable::new(fixture.has_hr.clone(), seeds, columns.collect()).unwrap();
    for (group, rows) in fixture.scores.iter().enumerate() {
        for (column, row) in rows.iter().enumerate() {
            for (seed, score) in row.iter().enumerate() {
                if let Some(score) = score {
                    table.set(group, seed, column, *score).unwrap();
                }
            }
        }
    }
    table
}

/// Relative to the larger of 1 and the expected value.
fn close(actual: f64, expected: f64, tolerance: f64, what: &str) {
    let error = (actual - expected).abs() / expected.abs().max(1.0);
    assert!(error <= tolerance, "{what}: {actual} instead of {expected}");
}

fn all_close(actual: &[f64], expected: &[f64], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (a, e) in actual.iter().zip(expected) {
        close(*a, *e, 1e-12, what);
    }
}

#[test]
fn the_chain_agrees_with_python() {
    let fixture = fixture();
    let table = table(&fixture);
    for case in &fixture.cases {
        let bounds = Bounds::fit(&table);
        for (name, (min, max)) in &case.bounds {
            let fitted = bounds.get(name).unwrap();
            assert_eq!((fitted.min, fitted.max), (*min, *max), "bounds of {name}");
        }

        let recipe = recipe::Reward {
            fr: fixture.fr.clone(),
            nr: fixture.nr.clone(),
            fr_balance: fixture.fr_balance,
            scope: case.scope,
            ..Default::default()
        };
        let plan = RewardPlan::new(&table, &recipe, &bounds).unwrap();
        let mut rewards = Rewards::default();
        rewards.compute(&table, &plan);
        for (group, expected) in case.rewards.iter().enumerate() {
            for (seed, expected) in expected.iter().enumerate() {
                match (rewards.get(group, seed), expected) {
                    (Some(actual), Some(expected)) => close(actual, *expected, 1e-12, "reward"),
                    (actual, expected) => assert_eq!(actual, *expected, "{group} {seed}"),
                }
            }
        }

        let mut overrides = Overrides::default();
        for o in &case.overrides {
            overrides
                .set(PairOverride { group: o.group, winner: o.winner, loser: o.loser, verdict: o.verdict })
                .unwrap();
        }
        let mut curation = Curation::default();
        let hpo = recipe::Hpo { alpha_intra: case.alpha_intra, alpha_inter: case.alpha_inter };
        let ratio = recipe::Curation { ratio: case.ratio };
        curation.update(&rewards, &ratio, &hpo, &overrides).unwrap();
        close(curation.mean_sigma(), case.mean_sigma, 1e-12, "μ_σ");
        for group in 0..table.groups() {
            assert_eq!(curation.ranking(group), case.rankings[group]);
            close(curation.groups()[group].sigma, case.sigma[group], 1e-12, "σ_g");
            let mut pairs: Vec<_> = curation.pairs_of(group).iter().map(|p| (p.winner, p.loser, p.weight)).collect();
            let mut expected: Vec<_> = std::iter::zip(&case.pairs[group], &case.weights[group])
                .map(|((w, l), weight)| (*w, *l, *weight as f32))
                .collect();
            pairs.sort_by_key(|p| (p.0, p.1));
            expected.sort_by_key(|p| (p.0, p.1));
            let names = |pairs: &[(u16, u16, f32)]| pairs.iter().map(|p| (p.0, p.1)).collect::<Vec<_>>();
            assert_eq!(names(&pairs), names(&expected), "pairs of group {group}");
            for (a, e) in pairs.iter().zip(&expected) {
                close(a.2.into(), e.2.into(), 1e-6, "weight");
            }
        }
        let summary = Summary::of(&curation, &rewards, 20);
        let relative = summary.effective_pairs / case.effective_pairs;
        close(relative, 1.0, 1e-6, "effective sample size");

        let ladder = Ladder::of(&rewards).unwrap();
        assert_eq!((&ladder.m, ladder.images), (&case.ladder.m, case.ladder.images));
        all_close(&ladder.best, &case.ladder.best, "Best@m");
        all_close(&ladder.mean, &case.ladder.mean, "Mean@m");
        all_close(&ladder.worst, &case.ladder.worst, "Worst@m");
        close(ladder.std, case.ladder.std, 1e-12, "σ");
    }
}

#[test]
fn the_loss_agrees_with_pytorch() {
    for case in &fixture().cases {
        let weights: Vec<f64> = case.weights.iter().flatten().copied().collect();
        let expected = &case.loss;
        let mut sums = LossSums::new(weights.len()).unwrap();
        for (i, (errors, weight)) in expected.errors.iter().zip(&weights).enumerate() {
            let [policy_winner, reference_winner, policy_loser, reference_loser] = *errors;
            let errors = PairErrors { policy_winner, reference_winner, policy_loser, reference_loser };
            let (winner, loser) = sums.add(&errors, *weight, expected.beta).unwrap();
            close(winner, expected.grad_winner[i], 1e-12, "∂loss/∂e_θ(w)");
            close(loser, expected.grad_loser[i], 1e-12, "∂loss/∂e_θ(l)");
        }
        let mean = sums.mean().unwrap();
        close(mean.loss, expected.loss, 1e-12, "loss");
        close(mean.accuracy, expected.accuracy, 1e-12, "accuracy");
        close(mean.margin, expected.margin, 1e-12, "margin");
    }
}

#[test]
fn metric_statistics_agree_with_python() {
    let fixture = fixture();
    let statistics = metric_statistics(&table(&fixture), |_, _| true);
    for (column, of_metric) in statistics.iter().enumerate() {
        close(of_metric.mean.unwrap(), fixture.metric_mean[column], 1e-12, "mean");
        close(of_metric.std.unwrap(), fixture.metric_std[column], 1e-12, "std");
    }
}
