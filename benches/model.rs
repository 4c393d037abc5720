//! The embedded backbone at work: a sampling pass (16 seeds, 128×128, the default steps) and a DPO step (8 pairs, 128×128).
//! `benches/pytorch.py` times the same work in PyTorch.
//!
//! `cargo bench --bench model`

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use dp2o_studio::backbones::condition::Prompt;
use dp2o_studio::backbones::sampler::{Sampler, Solver};
use dp2o_studio::backbones::tiles::Tiling;
use dp2o_studio::backbones::{Backbone, mini::Mini};
use dp2o_studio::imaging::{Image, resize};
use dp2o_studio::method::recipe::{Recipe, Training};
use dp2o_studio::method::trainer::{PairImages, Pairs, Trainer};
use dp2o_studio::random::Random;

/// As in the program.
#[global_allocator]
static ALLOCATOR: dp2o_studio::memory::Counted = dp2o_studio::memory::Counted;

const SIZE_PX: usize = 128;
const SEEDS: u64 = 16;
const PAIRS: usize = 8;

fn image(seed: u64) -> Image {
    let noise = Random::new(seed, 3).normal_image(3, SIZE_PX, SIZE_PX);
    let values = noise.iter().map(|v| (0.5 + 0.1 * v).clamp(0.0, 1.0)).collect();
    Image::new(SIZE_PX, SIZE_PX, values).expect("the size is right")
}

fn sampling(c: &mut Criterion) {
    dp2o_studio::memory::keep_freed();
    let net = Mini::new();
    let params = net.reference().expect("the weights are shipped");
    let lr = resize::shrink_x4(&image(1)).expect("the size is right");
    let seeds: Vec<u64> = (0..SEEDS).collect();
    let recipe = Recipe::default();
    assert_eq!(recipe.sampling.solver, Solver::Heun, "benches/pytorch.py solves by Heun");
    let sampler =
        Sampler { solver: Solver::Heun, steps: recipe.sampling.steps, tiling: Tiling::default(), guidance: 1.0 };
    c.bench_function("model/sampling", |bench| {
        let condition = net.condition(&lr, &Prompt::default()).expect("an image");
        bench.iter(|| sampler.sample(&net, &params, &condition, &seeds, &mut |_, _| Ok(())).expect("sampling works"))
    });
}

/// Pairs in memory.
struct InMemory(Vec<PairImages>);

impl Pairs for InMemory {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn weight(&self, _: usize) -> f64 {
        1.0
    }

    fn load(&mut self, pair: usize) -> dp2o_studio::Result<PairImages> {
        Ok(self.0[pair].clone())
    }
}

fn dpo_step(c: &mut Criterion) {
    let net = Mini::new();
    let reference = net.reference().expect("the weights are shipped");
    let pair = |i: usize| {
        let (winner, loser) = (image(2 * i as u64), image(2 * i as u64 + 1));
        PairImages {
            lr: resize::shrink_x4(&winner).expect("the size is right"),
            winner,
            loser,
            prompt: Prompt::default(),
        }
    };
    let mut pairs = InMemory((0..PAIRS).map(pair).collect());
    // Nothing is learned, so that every step has gradients of the same size: subnormal ones take some cores far longer.
    let settings = Training { batch_pairs: PAIRS, accumulation: 1, learning_rate: 0.0, ..Training::default() };
    let mut trainer = Trainer::new(&net, &reference, &reference, settings, PAIRS).expect("the settings hold");
    c.bench_function("model/dpo_step", |bench| {
        bench.iter(|| trainer.step(&mut pairs, &mut |_| Ok(())).expect("the step works"))
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .nresamples(2000)
        .measurement_time(Duration::from_secs(5))
        .warm_up_time(Duration::from_secs(1));
    targets = sampling, dpo_step
}
criterion_main!(benches);
