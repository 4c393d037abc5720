//! LIQE.

use dp2o_studio::iqa::liqe::{LIQE, LIQE_MIX};

use crate::generated::Model;
use crate::generated::harness::Comparison;

#[test]
fn koniq() {
    let (metric, model) = (&LIQE, Model::of("liqe"));
    let comparison = Comparison { outputs: &["text_features"], ..Comparison::new(&metric) };
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_independence(&model, [240, 260]);
}

#[test]
#[ignore = "the same network and 495 texts: cargo test --release --test learned liqe -- --ignored"]
fn mix() {
    let metric = &LIQE_MIX;
    Comparison { outputs: &["text_features"], ..Comparison::new(&metric) }.check(&Model::of("liqe_mix"));
}
