//! CLIP-IQA, CLIP-IQA+ and QualiCLIP.

use dp2o_studio::iqa::clip_iqa::{CLIP_IQA, CLIP_IQA_PLUS, CLIP_IQA_PLUS_VIT_512};
use dp2o_studio::iqa::qualiclip::QUALICLIP;

use crate::generated::Model;
use crate::generated::harness::Comparison;

#[test]
fn given_words() {
    let metric = &CLIP_IQA;
    let model = Model::of("clipiqa");
    let outputs = &["image_features", "text_features"];
    let comparison = Comparison { outputs, ..Comparison::new(&metric) };
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_independence(&model, [70, 130]);
}

#[test]
fn learned_words() {
    let metric = &CLIP_IQA_PLUS;
    let outputs = &["image_features", "text_features"];
    let model = Model::of("clipiqa_plus");
    Comparison { outputs, without: &["visual.*"], ..Comparison::new(&metric) }.check(&model);
}

#[test]
#[ignore = "a tower of 300 million weights: cargo test --release --test learned largest_tower -- --ignored"]
fn largest_tower() {
    let metric = &CLIP_IQA_PLUS_VIT_512;
    let outputs = &["image_features", "text_features"];
    Comparison { outputs, ..Comparison::new(&metric) }.check(&Model::of("clipiqa_plus_vitL14_512"));
}

#[test]
fn qualiclip() {
    let metric = &QUALICLIP;
    let model = Model::of("qualiclip").beside("QualiCLIP.pth", "prompts_features", &[14, 1024]);
    Comparison::new(&metric).check(&model);
}
