//! MUSIQ. Its fixtures also have the tokens that fill up the second size, and are masked; here there are none, so that features
//! are compared token by token.

use dp2o_studio::iqa::musiq::{MUSIQ, MUSIQ_AVA};
use dp2o_studio::iqa::{Features, Metric};
use dp2o_studio::nn::kernels::Compute;

use crate::generated::Model;
use crate::generated::harness::{Comparison, images};
use crate::generated::taps::Taps;

#[test]
fn koniq() {
    let model = Model::of("musiq_koniq");
    let metric = &MUSIQ;
    let comparison = Comparison { without: &["*"], ..Comparison::new(&metric) };
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_independence(&model, [96, 200]);
    comparison.check_own_map(&model, [40, 260]);
    check_samples(&model, &metric);
}

#[test]
fn ava() {
    let model = Model::of("musiq_ava");
    let metric = &MUSIQ_AVA;
    Comparison { without: &["*"], ..Comparison::new(&metric) }.check(&model);
}

/// Tokens of 256×288 pixels: 49, 132 and 72; the other implementation fills the second size up to 144.
const TOKENS: usize = 253;
const FILLED: std::ops::Range<usize> = 181..193;

/// Compares the recorded samples of each feature with those of the same token.
fn check_samples(model: &Model, metric: &dyn Metric) {
    let taps = Taps::default();
    let scorer = metric.open(&model.store(), &taps.watching(Compute::cpu())).unwrap();
    let run = &model.fixture["runs"]["even"];
    let bound = scorer.bind(None, &Features::default()).unwrap();
    bound.score(&images(run)[1], &Features::default()).unwrap();
    let seen = taps.take();
    let (mut worst, mut compared) = (0.0f64, 0);
    for (name, recorded) in run["taps"].as_object().unwrap() {
        let (Some(got), want) = (seen.get(name).and_then(|all| all.first()), &recorded[0]) else { continue };
        // Tokens lie along the first dimension in the ResNet, along the second in the transformer, behind the class token.
        let sides: Vec<usize> =
            want["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let (tokens, class) = if sides[0] == 1 { (sides[1], sides[1] - TOKENS - FILLED.len()) } else { (sides[0], 0) };
        let size = sides.iter().product::<usize>() / tokens;
        for (at, value) in want["samples"].as_object().unwrap() {
            let at: usize = at.parse().unwrap();
            let token = at / size;
            let ours = match token.checked_sub(class) {
                Some(patch) if FILLED.contains(&patch) => continue,
                Some(patch) if patch >= FILLED.end => token - FILLED.len(),
                _ => token,
            };
            let Some(got) = got.values.get(ours * size + at % size) else { continue };
            let far = (f64::from(*got) - value.as_f64().unwrap()).abs() / want["std"].as_f64().unwrap();
            assert!(far < 1e-4, "{name} {at}: {got} instead of {value}, {far:e} deviations off");
            (worst, compared) = (worst.max(far), compared + 1);
        }
    }
    assert!(compared > 40, "{compared} values");
    println!("parity: {}: {compared} values of features {worst:.1e}", model.name);
}
