//! CLIP-IQA, CLIP-IQA+ and QualiCLIP.

use dp2o_studio::iqa::clip_iqa::{CLIP_IQA, CLIP_IQA_PLUS, CLIP_IQA_PLUS_512, CLIP_IQA_PLUS_VIT_512};
use dp2o_studio::iqa::qualiclip::{QUALICLIP, QUALICLIP_PLUS};

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
    comparison.check_own_map(&model, [70, 130]);
}

#[test]
fn learned_words() {
    let metric = &CLIP_IQA_PLUS;
    let outputs = &["image_features", "text_features"];
    let model = Model::of("clipiqa_plus");
    Comparison { outputs, without: &["visual.*"], ..Comparison::new(&metric) }.check(&model);
    // The further sizes are those of the variant with positions.
    let metric = &CLIP_IQA_PLUS_512;
    let model = model.and("CLIPIQA+_RN50_512-89f5d940.pth", "prompt_learner.ctx", &[2, 16, 512]);
    Comparison::new(&metric).check_sizes(&model);
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
    let model = Model::whole("qualiclip");
    Comparison::new(&metric).check(&model);
    // The further sizes are those with learned words.
    let metric = &QUALICLIP_PLUS;
    let model = model.and("QualiCLIP+_koniq.pth", "prompt_learner.ctx", &[14, 16, 512]);
    Comparison::new(&metric).check_sizes(&model);
}
