//! Reward → pairs → weights → loss against an independent Python implementation (`fixtures/make_method.py`), on a
//! table with a group without HR, a partly scored group and overridden pairs.

use std::collections::BTreeMap;

use dp2o_studio::iqa::{Direction, Info, Kind};
use dp2o_studio::method::attribution::{Attribution, MetricAttribution};
use dp2o_studio::method::balance::Balanced;
use dp2o_studio::method::bounds::Bounds;
use dp2o_studio::method::curation::Curation;
use dp2o_studio::method::hpo;
use dp2o_studio::method::loss::{LossSums, PairErrors};
use dp2o_studio::method::objective::{self, Sample};
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
    typed: String,
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
    effective_share: f64,
    factor: f64,
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
    attribution: AttributionCase,
    loss: Loss,
}

#[derive(Deserialize)]
struct AttributionCase {
    shares: Vec<f64>,
    correlations: Vec<Vec<f64>>,
    with_reward: Vec<f64>,
    decides: Vec<f64>,
    conflict: f64,
    conflict_of_all: f64,
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
    table_of(fixture, |_| true)
}

/// The scores of some groups; the others have none.
fn table_of(fixture: &Fixture, has_scores: impl Fn(usize) -> bool) -> ScoreTable {
    let columns = fixture.columns.iter().map(|c| {
        let kind = if c.is_fr { Kind::FullReference } else { Kind::NoReference };
        Info::new(c.name.clone(), kind, if c.higher_is_better { Direction::Higher } else { Direction::Lower })
    });
    let seeds = fixture.scores[0][0].len();
    let mut table = ScoreTable::new(fixture.has_hr.clone(), seeds, columns.collect()).unwrap();
    for (group, rows) in fixture.scores.iter().enumerate().filter(|(group, _)| has_scores(*group)) {
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
    // The groups of which nothing is absent.
    let whole = table_of(&fixture, |group| group < 4);
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
            bounds: fixture.typed.clone(),
            ..Default::default()
        };
        let frozen = recipe::Reward { scope: Scope::Frozen, ..recipe.clone() };
        let [mut frozen_rewards, mut rewards] = [(); 2].map(|()| Rewards::default());
        frozen_rewards.compute(&table, &RewardPlan::new(&table, &frozen, &bounds).unwrap());
        let bounds = if case.scope == Scope::Robust { Bounds::fit_quantiles(&table) } else { bounds };
        let plan = RewardPlan::new(&table, &recipe, &bounds).unwrap();
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
        let (alpha_intra, alpha_inter, effective_share) = (case.alpha_intra, case.alpha_inter, case.effective_share);
        let mut hpo = recipe::Hpo { alpha_intra, alpha_inter, effective_share };
        if case.scope.weighs_as_frozen() {
            hpo = hpo.times(hpo::as_frozen(&rewards, &frozen_rewards));
        }
        let ratio = recipe::Curation { ratio: case.ratio };
        curation.update(&rewards, &ratio, &hpo, &overrides).unwrap();
        if effective_share > 0.0 {
            hpo = hpo.times(hpo::factor_for(effective_share, &curation, &rewards, &hpo));
            curation.update(&rewards, &ratio, &hpo, &overrides).unwrap();
        }
        close(hpo.alpha_intra / (alpha_intra * case.factor), 1.0, 1e-10, "strength");
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

        let (attribution, expected) = (Attribution::of(&table, &plan, &recipe, &rewards, &curation), &case.attribution);
        let of_metrics =
            |value: fn(&MetricAttribution) -> f64| attribution.metrics.iter().map(value).collect::<Vec<_>>();
        all_close(&of_metrics(|metric| metric.share), &expected.shares, "shares");
        close(attribution.halves.iter().sum(), 1.0, 1e-12, "shares of the halves");
        all_close(&of_metrics(|metric| metric.with_reward.unwrap()), &expected.with_reward, "ρ with R");
        all_close(&of_metrics(|metric| metric.decides), &expected.decides, "decides alone");
        for (row, expected) in attribution.correlations.iter().zip(&expected.correlations) {
            all_close(&row.iter().map(|rho| rho.unwrap()).collect::<Vec<_>>(), expected, "ρ");
        }
        close(attribution.conflict.unwrap(), expected.conflict, 1e-12, "conflict");
        close(attribution.conflict_of_all.unwrap(), expected.conflict_of_all, 1e-12, "conflict of all");

        // What is called balanced is.
        let rebalanced = |balanced: Option<Balanced>| {
            let recipe = balanced.unwrap().into_reward(recipe.clone());
            let plan = RewardPlan::new(&whole, &recipe, &bounds).unwrap();
            let mut rewards = Rewards::default();
            rewards.compute(&whole, &plan);
            Attribution::of(&whole, &plan, &recipe, &rewards, &Curation::default())
        };
        let plan = RewardPlan::new(&whole, &recipe, &bounds).unwrap();
        rewards.compute(&whole, &plan);
        let attribution = Attribution::of(&whole, &plan, &recipe, &rewards, &Curation::default());
        let [fr, nr] = rebalanced(attribution.balanced_halves).halves;
        close(fr, nr, 1e-12, "balanced halves");
        for metric in rebalanced(attribution.balanced_metrics).metrics {
            close(metric.share, 0.25, 1e-12, "balanced metrics");
        }
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

#[derive(Deserialize)]
struct ObjectiveCase {
    objective: recipe::Objective,
    beta: f64,
    anchor: f64,
    mixture: f64,
    advantages: [f64; 2],
    weight: f64,
    target: [Vec<f64>; 2],
    reference: [Vec<f64>; 2],
    policy: [Vec<f64>; 2],
    loss: f64,
    gradient: [Vec<f64>; 2],
}

#[test]
fn every_objective_agrees_with_pytorch() {
    let cases: Vec<ObjectiveCase> = serde_json::from_str(include_str!("fixtures/method/objectives.json")).unwrap();
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>() / a.len() as f64;
    for case in &cases {
        let ObjectiveCase { objective, beta, anchor, mixture, weight, .. } = *case;
        let settings = recipe::Training { objective, beta, anchor, mixture, ..Default::default() };
        let samples = [0, 1].map(|side| Sample {
            policy: distance(&case.policy[side], &case.target[side]),
            reference: distance(&case.reference[side], &case.target[side]),
            drift: distance(&case.policy[side], &case.reference[side]),
            advantage: case.advantages[side],
        });
        let what = format!("{objective:?} λ {anchor} κ {mixture}");
        let slopes = objective::loss(&settings, samples, weight).unwrap();
        close(slopes.loss, case.loss, 1e-12, &what);
        assert!(objective.needs_drift() || slopes.drift == [0.0, 0.0]);
        // As a step adds it up: alone it is the step, and halved among two.
        let summed = LossSums::new(1).unwrap().add_by(&settings, samples, weight).unwrap();
        let halved = LossSums::new(2).unwrap().add_by(&settings, samples, weight).unwrap();
        for side in 0..2 {
            let n = case.policy[side].len() as f64;
            close(summed.error[side], slopes.error[side], 1e-12, &what);
            close(halved.drift[side], slopes.drift[side] / 2.0, 1e-12, &what);
            let gradient: Vec<f64> = (0..case.policy[side].len())
                .map(|i| {
                    let y = case.policy[side][i];
                    let by_error = slopes.error[side] * (y - case.target[side][i]);
                    2.0 / n * (by_error + slopes.drift[side] * (y - case.reference[side][i]))
                })
                .collect();
            all_close(&gradient, &case.gradient[side], &what);
        }
        let broken = [Sample { policy: f64::NAN, ..samples[0] }, samples[1]];
        assert!(matches!(objective::loss(&settings, broken, weight), Err(dp2o_studio::Error::Diverged(_))));
    }
}

#[test]
fn a_group_is_taken_two_by_two_with_each_candidate_once() {
    let rewards = [0.1, 0.9, 0.5, 0.3, 0.7];
    let taken = objective::two_by_two(&rewards, &[1, 4, 2, 3, 0]);
    assert_eq!(taken.iter().map(|(pair, _)| (pair.winner, pair.loser)).collect::<Vec<_>>(), [(1, 0), (4, 3)]);
    let sigma = 0.08f64.sqrt();
    close(taken[0].1[0].into(), 0.4 / sigma, 1e-6, "advantage");
    close(taken[1].1[1].into(), -0.2 / sigma, 1e-6, "advantage");
    assert!(objective::two_by_two(&[0.5; 3], &[0, 1, 2]).is_empty());
}
