//! What must hold for every table of scores, checked on many random ones with missing scores and groups without HR.

use dp2o_studio::iqa::{Direction, Info, Kind};
use dp2o_studio::method::bounds::{Bounds, MinMax};
use dp2o_studio::method::curation::{Curation, n_from_ratio, rank};
use dp2o_studio::method::overrides::{Overrides, PairOverride, Verdict};
use dp2o_studio::method::recipe::{self, Scope};
use dp2o_studio::method::reward::{RewardPlan, Rewards, normalized_row};
use dp2o_studio::method::scores::ScoreTable;
use dp2o_studio::method::statistics::{Ladder, best_of_chances, metric_statistics};
use dp2o_studio::method::summary::{PairChange, Summary};

/// A small repeatable generator: the tests need variety, not quality.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }
}

fn columns() -> Vec<Info> {
    use {Direction::*, Kind::*};
    vec![
        Info::new("stlpips", FullReference, Lower),
        Info::new("ms_ssim", FullReference, Higher),
        Info::new("niqe", NoReference, Lower),
        Info::new("brisque", NoReference, Lower),
    ]
}

/// A reward of all [`columns`], each with weight 1.
fn reward() -> recipe::Reward {
    let half = |is_fr| {
        let columns = columns().into_iter().filter(move |c: &Info| c.is_fr() == is_fr);
        columns.map(|c| (c.name.to_string(), 1.0)).collect()
    };
    recipe::Reward { fr: half(true), nr: half(false), held_out: Vec::new(), ..Default::default() }
}

/// Scores `[group][column][seed]`, some absent.
fn table(random: &mut Random, groups: usize, seeds: usize, absent: f64) -> ScoreTable {
    let has_hr: Vec<bool> = (0..groups).map(|_| absent == 0.0 || random.unit() > 0.3).collect();
    let mut table = ScoreTable::new(has_hr.clone(), seeds, columns()).unwrap();
    for (group, has_hr) in has_hr.into_iter().enumerate() {
        for column in 0..4 {
            for seed in 0..seeds {
                if (has_hr || column > 1) && random.unit() >= absent {
                    table.set(group, seed, column, 5.0 * random.unit()).unwrap();
                }
            }
        }
    }
    table
}

fn rewards_of(table: &ScoreTable, recipe: &recipe::Reward, bounds: &Bounds) -> Rewards {
    let mut rewards = Rewards::default();
    rewards.compute(table, &RewardPlan::new(table, recipe, bounds).unwrap());
    rewards
}

fn curate(rewards: &Rewards, ratio: f64, alphas: (f64, f64), overrides: &Overrides) -> Curation {
    let mut curation = Curation::default();
    let hpo = recipe::Hpo { alpha_intra: alphas.0, alpha_inter: alphas.1, ..recipe::Hpo::default() };
    curation.update(rewards, &recipe::Curation { ratio }, &hpo, overrides).unwrap();
    curation
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn weights_have_mean_one_and_alpha_zero_makes_them_all_one() {
    let mut random = Random(1);
    for _ in 0..50 {
        let (groups, seeds) = (1 + random.below(20), 2 + random.below(30));
        let table = table(&mut random, groups, seeds, 0.0);
        let rewards = rewards_of(&table, &reward(), &Bounds::fit(&table));
        // R within [0, 1]: at α = 1 nothing can be clamped.
        let curation = curate(&rewards, 0.25, (1.0, 1.0), &Overrides::default());
        let details: Vec<_> =
            (0..curation.pairs().len()).map(|pair| curation.detail(&rewards, pair).unwrap()).collect();
        for group in 0..groups {
            let own = details.iter().filter(|d| d.group == group).map(|d| d.w_intra);
            assert!((mean(own) - 1.0).abs() < 1e-12);
        }
        let inter = mean(curation.groups().iter().map(|g| g.w_inter));
        assert!((inter - 1.0).abs() < 1e-12);
        for d in &details {
            assert!((f64::from(d.pair.weight) - d.w_intra * d.w_inter).abs() < 1e-6);
        }
        // Equal numbers of pairs in every group: the mean over all pairs is 1 too.
        let summary = Summary::of(&curation, &rewards, 10);
        assert!((summary.mean_weight - 1.0).abs() < 1e-6);
        assert!(summary.effective_pairs <= summary.pairs as f64 * (1.0 + 1e-9));

        let plain = curate(&rewards, 0.25, (0.0, 0.0), &Overrides::default());
        assert!(plain.pairs().iter().all(|pair| pair.weight == 1.0));
        let summary = Summary::of(&plain, &rewards, 10);
        assert_eq!(summary.effective_pairs, summary.pairs as f64);
        let strong = curate(&rewards, 0.5, (50.0, 50.0), &Overrides::default());
        assert!(strong.pairs().iter().all(|pair| pair.weight >= 0.0));
    }
}

#[test]
fn the_order_of_groups_and_seeds_does_not_matter() {
    let mut random = Random(2);
    for _ in 0..30 {
        let (groups, seeds) = (2 + random.below(8), 4 + random.below(12));
        let original = table(&mut random, groups, seeds, 0.1);
        let seed_of: Vec<usize> = permutation(&mut random, seeds);
        let group_of: Vec<usize> = permutation(&mut random, groups);
        let has_hr = (0..groups).map(|g| original.has_hr(group_of[g])).collect();
        let mut moved = ScoreTable::new(has_hr, seeds, columns()).unwrap();
        for (group, &from) in group_of.iter().enumerate() {
            for column in 0..4 {
                for (seed, &from_seed) in seed_of.iter().enumerate() {
                    if let Some(score) = original.get(from, from_seed, column) {
                        moved.set(group, seed, column, score).unwrap();
                    }
                }
            }
        }
        let recipe = reward();
        let of = |table: &ScoreTable| {
            let rewards = rewards_of(table, &recipe, &Bounds::fit(table));
            let curation = curate(&rewards, 0.25, (1.0, 1.0), &Overrides::default());
            (rewards, curation)
        };
        let ((_, before), (_, after)) = (of(&original), of(&moved));
        for (group, &from) in group_of.iter().enumerate() {
            let pairs = |curation: &Curation, group, seed_of: &dyn Fn(u16) -> usize| {
                let mut pairs: Vec<_> =
                    curation.pairs_of(group).iter().map(|p| (seed_of(p.winner), seed_of(p.loser), p.weight)).collect();
                pairs.sort_by_key(|p| (p.0, p.1));
                pairs
            };
            let a = pairs(&before, from, &|seed| seed.into());
            let b = pairs(&after, group, &|seed| seed_of[usize::from(seed)]);
            assert_eq!(a.len(), b.len());
            for (a, b) in a.iter().zip(&b) {
                assert_eq!((a.0, a.1), (b.0, b.1));
                assert!((a.2 - b.2).abs() < 1e-5);
            }
        }
    }
}

fn permutation(random: &mut Random, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, random.below(i + 1));
    }
    order
}

#[test]
fn the_unit_of_a_metric_does_not_matter() {
    let mut random = Random(3);
    let original = table(&mut random, 6, 10, 0.1);
    let mut scaled = original.clone();
    for group in 0..6 {
        for column in 0..4 {
            for seed in 0..10 {
                if let Some(score) = original.get(group, seed, column) {
                    let (factor, shift) = (10f64.powi(column as i32 - 1), 7.0 * column as f64);
                    scaled.set(group, seed, column, factor * score - shift).unwrap();
                }
            }
        }
    }
    for scope in [Scope::Frozen, Scope::PerGroup] {
        let recipe = recipe::Reward { scope, ..reward() };
        let a = rewards_of(&original, &recipe, &Bounds::fit(&original));
        let b = rewards_of(&scaled, &recipe, &Bounds::fit(&scaled));
        for group in 0..6 {
            for seed in 0..10 {
                match (a.get(group, seed), b.get(group, seed)) {
                    (Some(a), Some(b)) => {
                        assert!((a - b).abs() < 1e-9 && (-1e-9..=1.0 + 1e-9).contains(&a))
                    }
                    (a, b) => assert_eq!(a, b),
                }
            }
        }
    }
}

#[test]
fn best_mean_worst_are_ordered_and_monotone() {
    let mut random = Random(4);
    for seeds in [1, 2, 3, 16, 17, 64] {
        let values = (0..5 * seeds).map(|_| random.unit()).collect();
        let ladder = Ladder::of(&Rewards::from_values(seeds, values).unwrap()).unwrap();
        assert_eq!(ladder.m.last(), Some(&seeds));
        let rounding = 1e-12;
        for i in 0..ladder.m.len() {
            assert!(ladder.best[i] >= ladder.mean[i] - rounding);
            assert!(ladder.mean[i] >= ladder.worst[i] - rounding);
            if i > 0 {
                assert!(ladder.best[i] >= ladder.best[i - 1] - rounding);
                assert!(ladder.worst[i] <= ladder.worst[i - 1] + rounding);
            }
        }
        assert!((ladder.best[0] - ladder.mean[0]).abs() < rounding);
        for m in 1..=seeds {
            assert!((best_of_chances(seeds, m).iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }
}

#[test]
fn the_ladder_leaves_out_incomplete_images() {
    let values = vec![0.1, 0.5, 0.2, f64::NAN, 0.3, 0.7];
    let ladder = Ladder::of(&Rewards::from_values(2, values).unwrap()).unwrap();
    assert_eq!((ladder.images, ladder.skipped), (2, 1));
    assert!((ladder.best[1] - 0.6).abs() < 1e-12 && (ladder.worst[1] - 0.2).abs() < 1e-12);
    let none = Rewards::from_values(2, vec![0.1, f64::NAN]).unwrap();
    assert!(Ladder::of(&none).unwrap_err().to_string().contains("no image"));
    assert!(Rewards::from_values(2, vec![0.1, f64::INFINITY]).is_err());
    assert!(Rewards::from_values(2, vec![0.1]).is_err());
}

#[test]
fn n_is_at_least_one_and_at_most_half() {
    for (ratio, scored, n) in [
        (0.25, 16, 4),
        (0.25, 10, 3),
        (1.0 / 16.0, 64, 4),
        (0.001, 16, 1),
        (0.5, 7, 3),
        (2.0, 16, 8),
        (-1.0, 16, 1),
        (f64::NAN, 16, 1),
        (0.25, 2, 1),
        (0.5, 1, 0),
        (0.5, 0, 0),
    ] {
        assert_eq!(n_from_ratio(ratio, scored), n, "{ratio} of {scored}");
    }
}

#[test]
fn equal_rewards_are_ranked_by_seed_and_absent_ones_left_out() {
    let mut order = [0; 6];
    let scored = rank(&[0.5, f64::NAN, 0.5, 0.9, -0.0, 0.0], &mut order);
    assert_eq!((scored, order), (5, [3, 0, 2, 4, 5, 1]));
}

#[test]
fn without_any_hr_the_reward_is_the_nr_half_and_fr_metrics_need_no_bounds() {
    let columns = table(&mut Random(1), 1, 2, 0.0).columns().to_vec();
    let mut table = ScoreTable::new(vec![false], 2, columns).unwrap();
    for (seed, score) in [(0, 1.0), (1, 3.0)] {
        (2..4).for_each(|column| table.set(0, seed, column, score).unwrap());
    }
    let bounds = Bounds::fit(&table);
    assert_eq!(bounds.0.len(), 2);
    let rewards = rewards_of(&table, &reward(), &bounds);
    assert!(rewards.get(0, 0).is_some() && rewards.get(0, 1).is_some());
    assert_ne!(rewards.get(0, 0), rewards.get(0, 1));
}

#[test]
fn incomplete_groups_work_and_nan_never_comes_out() {
    let mut random = Random(5);
    for _ in 0..60 {
        let (groups, seeds) = (1 + random.below(10), 1 + random.below(12));
        let absent = random.unit();
        let table = table(&mut random, groups, seeds, absent);
        let bounds = Bounds::fit(&table);
        if bounds.0.len() < 4 {
            let refused = RewardPlan::new(&table, &reward(), &bounds);
            if !table.has_any_hr() && (2..4).all(|c| bounds.get(&table.columns()[c].name).is_some()) {
                assert!(refused.is_ok());
                continue;
            }
            assert!(refused.unwrap_err().to_string().contains("no frozen bounds"));
            continue;
        }
        let rewards = rewards_of(&table, &reward(), &bounds);
        for group in 0..groups {
            for seed in 0..seeds {
                let counted = if table.has_hr(group) { 0..4 } else { 2..4 };
                let complete = counted.into_iter().all(|c| table.get(group, seed, c).is_some());
                assert_eq!(rewards.get(group, seed).is_some(), complete);
            }
        }
        let curation = curate(&rewards, 0.25, (1.0, 1.0), &Overrides::default());
        assert!(curation.pairs().iter().all(|p| p.weight.is_finite()));
        assert!(curation.groups().iter().all(|g| g.sigma.is_finite() && g.w_inter.is_finite()));
        for pair in 0..curation.pairs().len() {
            let detail = curation.detail(&rewards, pair).unwrap();
            let range = curation.groups()[detail.group].first_pair..;
            assert!(range.contains(&pair) && detail.gap >= 0.0);
        }
        assert_eq!(curation.detail(&rewards, curation.pairs().len()), None);
        let summary = Summary::of(&curation, &rewards, 8);
        for histogram in [&summary.gap, &summary.w_intra, &summary.weight] {
            assert_eq!(histogram.counts.iter().sum::<u64>(), summary.pairs as u64);
        }
        assert_eq!(summary.w_inter.counts.iter().sum::<u64>(), summary.groups_with_pairs as u64);
        let statistics = metric_statistics(&table, |_, _| true);
        assert!(statistics.iter().all(|s| s.mean.is_none_or(f64::is_finite)));
    }
}

#[test]
fn without_hr_the_reward_is_the_nr_half() {
    let mut table = ScoreTable::new(vec![false], 2, columns()).unwrap();
    for column in 2..4 {
        table.set(0, 0, column, 1.0).unwrap();
        table.set(0, 1, column, 3.0).unwrap();
    }
    let mut recipe = recipe::Reward { scope: Scope::PerGroup, ..reward() };
    let rewards = rewards_of(&table, &recipe, &Bounds::default());
    assert_eq!((rewards.get(0, 0), rewards.get(0, 1)), (Some(1.0), Some(0.0)));
    assert!(rewards.fr(0).iter().all(|r| r.is_nan()));
    recipe.fr_balance = 1.0;
    let rewards = rewards_of(&table, &recipe, &Bounds::default());
    assert_eq!(rewards.get(0, 0), None);
    assert!(curate(&rewards, 0.5, (1.0, 1.0), &Overrides::default()).pairs().is_empty());
}

#[test]
fn bounds_without_extent_say_one_half_and_others_are_not_clamped() {
    for bounds in [MinMax { min: 3.0, max: 3.0 }, MinMax { min: -1e308, max: 1e308 }] {
        assert_eq!(bounds.normalize(3.0, Direction::Higher), 0.5);
        assert_eq!(bounds.normalize(8.0, Direction::Lower), 0.5);
    }
    let bounds = MinMax { min: 2.0, max: 4.0 };
    assert_eq!((bounds.normalize(4.0, Direction::Higher), bounds.normalize(4.0, Direction::Lower)), (1.0, 0.0));
    assert_eq!((bounds.normalize(5.0, Direction::Higher), bounds.normalize(1.0, Direction::Lower)), (1.5, 1.5));
    assert_eq!(MinMax::of(&[f64::NAN]), None);
}

#[test]
fn broken_scores_are_refused_by_name() {
    let mut table = ScoreTable::new(vec![true, false], 2, columns()).unwrap();
    for broken in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = table.set(0, 1, 2, broken).unwrap_err().to_string();
        assert!(error.contains("`niqe`") && error.contains("finite"), "{error}");
    }
    assert_eq!(table.get(0, 1, 2), None);
    assert!(table.set(1, 0, 0, 0.5).unwrap_err().to_string().contains("no HR"));
    assert!(table.set(2, 0, 0, 0.5).is_err() && table.set(0, 2, 0, 0.5).is_err());
    let twice = [columns(), columns()].concat();
    assert!(ScoreTable::new(vec![true], 2, twice).is_err());
    let row = normalized_row(&table, 0, 0, None);
    assert!(row.len() == 2 && row.iter().all(|s| s.is_nan()));
    let wrong = recipe::Hpo { alpha_intra: f64::NAN, ..recipe::Hpo::default() };
    let rewards = Rewards::from_values(2, vec![0.1, 0.2]).unwrap();
    let refused = Curation::default().update(&rewards, &recipe::Curation::default(), &wrong, &Overrides::default());
    assert!(refused.is_err());
}

#[test]
fn overrides_exclude_flip_pin_and_are_taken_back() {
    // Seed order is reward order: winners 0, 1 and losers 6, 7.
    let rewards = Rewards::from_values(8, (0..8).map(|i| 0.8 - 0.1 * i as f64).collect()).unwrap();
    let mut overrides = Overrides::default();
    let shown = |winner, loser, verdict| PairOverride { group: 0, winner, loser, verdict };
    let pairs = |overrides: &Overrides| {
        let curation = curate(&rewards, 0.25, (1.0, 1.0), overrides);
        curation.pairs().iter().map(|p| (p.winner, p.loser)).collect::<Vec<_>>()
    };
    let plain = [(0, 6), (0, 7), (1, 6), (1, 7)];
    assert_eq!(pairs(&overrides), plain);
    overrides.set(shown(0, 6, Verdict::Exclude)).unwrap();
    overrides.set(shown(1, 7, Verdict::Flip)).unwrap();
    overrides.set(shown(3, 4, Verdict::Pin)).unwrap();
    overrides.set(shown(2, 5, Verdict::Flip)).unwrap();
    assert_eq!(pairs(&overrides), [(0, 7), (1, 6), (7, 1), (3, 4)]);
    // The person agrees with the reward on the pin only, of three judged pairs.
    let agreement = overrides.agreement(&rewards);
    assert_eq!((agreement.agreeing, agreement.judged), (1.0, 3));
    // Shown the other way round it is the same pair; the last word counts.
    let replaced = overrides.set(shown(7, 1, Verdict::Exclude)).unwrap();
    assert_eq!(replaced.map(|o| o.verdict), Some(Verdict::Flip));
    assert_eq!(pairs(&overrides), [(0, 7), (1, 6), (3, 4)]);
    for (a, b) in [(6, 0), (1, 7), (4, 3), (2, 5)] {
        assert!(overrides.remove(0, a, b).is_some());
    }
    assert_eq!(pairs(&overrides), plain);
    assert!(overrides.set(shown(1, 1, Verdict::Pin)).is_err());
    // On a candidate that does not exist (yet) an override waits.
    overrides.set(shown(0, 60, Verdict::Pin)).unwrap();
    assert_eq!(pairs(&overrides), plain);
}

#[test]
fn changed_pairs_are_counted() {
    let mut random = Random(6);
    let rewards = Rewards::from_values(16, (0..160).map(|_| random.unit()).collect()).unwrap();
    let of = |ratio| curate(&rewards, ratio, (1.0, 1.0), &Overrides::default());
    let change = |a: &Curation, b: &Curation| {
        let change = PairChange::between(a, b);
        (change.added, change.removed)
    };
    assert_eq!(change(&of(0.25), &of(0.25)), (0, 0));
    assert_eq!(change(&of(0.125), &of(0.25)), (10 * 12, 0));
    assert_eq!(change(&of(0.25), &of(0.125)), (0, 10 * 12));
    assert_eq!(change(&Curation::default(), &of(0.25)), (160, 0));
}

#[test]
fn the_result_does_not_depend_on_threads_or_on_used_buffers() {
    let mut random = Random(8);
    let (small, large) = (table(&mut random, 3, 5, 0.0), table(&mut random, 200, 16, 0.05));
    let recipe = reward();
    let run = |threads, warm: bool| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (mut rewards, mut curation) = (Rewards::default(), Curation::default());
            let tables = if warm { vec![&large, &small, &large] } else { vec![&large] };
            for table in tables {
                rewards.compute(table, &RewardPlan::new(table, &recipe, &Bounds::fit(table)).unwrap());
                let (n, hpo) = (recipe::Curation::default(), recipe::Hpo::default());
                curation.update(&rewards, &n, &hpo, &Overrides::default()).unwrap();
            }
            let summary = Summary::of(&curation, &rewards, 30);
            (curation.pairs().to_vec(), summary)
        })
    };
    let one = run(1, false);
    assert!(!one.0.is_empty());
    assert!(one == run(3, false) && one == run(2, true));
}

#[test]
fn groups_without_pairs_do_not_pull_the_mean_spread() {
    let nan = f64::NAN;
    let rewards = Rewards::from_values(2, vec![0.2, 0.4, nan, nan, 0.1, 0.9, 0.5, nan]).unwrap();
    let curation = curate(&rewards, 0.5, (1.0, 1.0), &Overrides::default());
    // σ 0.1 and 0.4; the other two groups have no pairs.
    assert!((curation.mean_sigma() - 0.25).abs() < 1e-12);
    let weights: Vec<f32> = curation.pairs().iter().map(|pair| pair.weight).collect();
    assert_eq!(weights, [0.85, 1.15]);
}

#[test]
fn a_metric_that_scores_all_alike_counts_one_half_for_all() {
    let mut table = ScoreTable::new(vec![false], 2, columns()).unwrap();
    for seed in 0..2 {
        table.set(0, seed, 2, 7.0).unwrap();
        table.set(0, seed, 3, 1.0 + seed as f64).unwrap();
    }
    for scope in [Scope::Frozen, Scope::PerGroup] {
        let mut recipe = recipe::Reward { scope, ..reward() };
        recipe.fr.clear();
        recipe.nr = [("niqe".to_owned(), 1.0), ("brisque".to_owned(), 3.0)].into();
        let rewards = rewards_of(&table, &recipe, &Bounds::fit(&table));
        // A quarter of 0.5 from the constant metric, three quarters of 1 and of 0 from the other.
        assert_eq!(rewards.group(0), [0.875, 0.125]);
    }
}
