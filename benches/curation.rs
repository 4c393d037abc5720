//! Re-curation of 1,000 groups × 64 seeds × 10 metrics, what a moving slider costs: `cargo bench --bench curation`.
//!
//! Goal: 16 ms on two cores for normalize, reward, rank, pairs and weights together.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dp2o_studio::iqa::{Direction, Info, Kind};
use dp2o_studio::method::bounds::Bounds;
use dp2o_studio::method::curation::Curation;
use dp2o_studio::method::overrides::{Overrides, PairOverride, Verdict};
use dp2o_studio::method::recipe::{Recipe, Scope};
use dp2o_studio::method::reward::{RewardPlan, Rewards};
use dp2o_studio::method::scores::ScoreTable;
use dp2o_studio::method::summary::{PairChange, Summary};

const GROUPS: usize = 1000;
const SEEDS: usize = 64;
const METRICS: usize = 10;

/// Scores that look like real ones: a level for each group, a spread for each metric.
fn table() -> ScoreTable {
    let columns = (0..METRICS).map(|i| {
        let kind = if i % 2 == 0 { Kind::FullReference } else { Kind::NoReference };
        Info::new(format!("metric{i}"), kind, if i % 3 != 0 { Direction::Higher } else { Direction::Lower })
    });
    let mut table = ScoreTable::new(vec![true; GROUPS], SEEDS, columns.collect()).unwrap();
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f64 / (1u64 << 24) as f64
    };
    for group in 0..GROUPS {
        for metric in 0..METRICS {
            let level = uniform();
            for seed in 0..SEEDS {
                let score = 10.0 * metric as f64 + level + 0.3 * (uniform() + uniform());
                table.set(group, seed, metric, score).unwrap();
            }
        }
    }
    table
}

fn recipe(n: usize, scope: Scope) -> Recipe {
    let mut recipe = Recipe::default();
    let half = |rest| (0..METRICS).filter(move |i| i % 2 == rest).map(|i| (format!("metric{i}"), 1.0));
    recipe.reward.fr = half(0).collect();
    recipe.reward.nr = half(1).collect();
    recipe.reward.scope = scope;
    recipe.curation.ratio = n as f64 / SEEDS as f64;
    recipe
}

struct Studio {
    table: ScoreTable,
    bounds: Bounds,
    overrides: Overrides,
    rewards: Rewards,
    curation: Curation,
}

impl Studio {
    fn new() -> Self {
        let table = table();
        let bounds = Bounds::fit(&table);
        let mut overrides = Overrides::default();
        for group in (0..GROUPS).step_by(50) {
            let verdict = Verdict::Flip;
            let shown = PairOverride { group, winner: 3, loser: 40, verdict };
            overrides.set(shown).unwrap();
        }
        Self { table, bounds, overrides, rewards: Rewards::default(), curation: Curation::default() }
    }

    fn recurate(&mut self, recipe: &Recipe) {
        let plan = RewardPlan::new(&self.table, &recipe.reward, &self.bounds).unwrap();
        self.rewards.compute(&self.table, &plan);
        self.curation.update(&self.rewards, &recipe.curation, &recipe.hpo, &self.overrides).unwrap();
    }
}

fn curation(c: &mut Criterion) {
    let mut group = c.benchmark_group("curation");
    group.sample_size(20).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    for n in [4, 16, 32] {
        // The slider: everything from raw scores to weighted pairs.
        for (name, scope) in [("recurate_frozen", Scope::Frozen), ("recurate_per_group", Scope::PerGroup)] {
            let (mut studio, recipe) = (Studio::new(), recipe(n, scope));
            group.bench_function(BenchmarkId::new(name, n), |b| b.iter(|| studio.recurate(black_box(&recipe))));
        }
        // The histograms under the recipe.
        let mut studio = Studio::new();
        studio.recurate(&recipe(n, Scope::Frozen));
        group.bench_function(BenchmarkId::new("summarise", n), |b| {
            b.iter(|| Summary::of(&studio.curation, &studio.rewards, 40))
        });
        // "This edit changes so many pairs": from N to N / 2.
        studio.recurate(&recipe(n / 2, Scope::Frozen));
        let before = studio.curation.clone();
        studio.recurate(&recipe(n, Scope::Frozen));
        group.bench_function(BenchmarkId::new("pairs_changed", n), |b| {
            b.iter(|| PairChange::between(&before, &studio.curation))
        });
    }
    // The first fit of the frozen bounds.
    let table = table();
    group.bench_function("fit_bounds", |b| b.iter(|| Bounds::fit(&table)));
    group.finish();
}

criterion_group!(benches, curation);
criterion_main!(benches);
