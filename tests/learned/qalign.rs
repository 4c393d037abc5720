//! Q-Align's model at a size that takes no time: two layers of each part, a question of words that mean nothing.

use dp2o_studio::iqa::generated::pair;
use dp2o_studio::iqa::{learned, qalign};
use dp2o_studio::networks::mplug_owl2::{Asked, Config, Question, Sizes};
use dp2o_studio::nn::kernels::{Compute, Precision};
use std::sync::Arc;

use crate::generated::Model;
use crate::generated::taps::{Taps, closest};

const TINY: Config = Config {
    vision: Sizes { width: 64, depth: 2, heads: 4, hidden: 128 },
    abstractor: Sizes { width: 64, depth: 2, heads: 4, hidden: 96 },
    language: Sizes { width: 64, depth: 2, heads: 4, hidden: 160 },
    grid: 4,
    queries: 8,
    vocabulary: 128,
};

fn question() -> Question {
    Question { before: vec![1, 20, 21, 22], after: vec![23, 24, 25], answers: [10, 11, 12, 13, 14] }
}

#[test]
fn tiny() {
    let model = Model::of("qalign_tiny");
    model.check_digests();
    let taps = Taps::default();
    let source = model.source("tiny-one-align");
    let asked = Asked::open(&source, TINY, question(), &taps.watching(Compute::cpu())).unwrap();
    let [reference, distorted] = pair([56, 56]).unwrap().map(Arc::new);
    let mut worst = [0.0f64; 2];
    for (name, image) in [("reference", &reference), ("distorted", &distorted)] {
        let run = &model.fixture["runs"][name];
        let ask = |asked: &Asked| {
            let x = learned::input(std::slice::from_ref(image), learned::CLIP, &candle_core::Device::Cpu).unwrap();
            asked.forward(x).unwrap().remove(0)
        };
        let logits = ask(&asked);
        let seen = taps.take();
        for part in ["vision", "abstractor"] {
            worst[1] = worst[1].max(closest(&seen[part], &run[part]));
        }
        let std = run["logits"]["std"].as_f64().unwrap();
        for (got, want) in logits.iter().zip(run["levels"].as_array().unwrap()) {
            worst[1] = worst[1].max((f64::from(*got) - want.as_f64().unwrap()).abs() / std);
        }
        let want = run["score"].as_f64().unwrap();
        worst[0] = worst[0].max((qalign::score(&logits) - want).abs() / want);
        // Weights of 16 bits, as the published ones are kept.
        let half = Compute::cpu().in_precision(Precision { frozen: candle_core::DType::F16, ..Precision::default() });
        let half = ask(&Asked::open(&source, TINY, question(), &half).unwrap());
        assert!((qalign::score(&half) - want).abs() < 0.02 * want, "{} {want}", qalign::score(&half));
    }
    println!("parity: qalign_tiny: scores {:.1e}, features {:.1e}", worst[0], worst[1]);
    assert!(worst[0] < 1e-4 && worst[1] < 1e-4, "{worst:?}");
    let strange = Question { after: vec![128], ..question() };
    assert!(Asked::open(&source, TINY, strange, &Compute::cpu()).is_err());
}
