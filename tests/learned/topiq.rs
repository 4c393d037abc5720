//! TOPIQ with and without a reference image.

use dp2o_studio::iqa::by_name;

use crate::generated::Model;
use crate::generated::harness::Comparison;

#[test]
fn against_a_reference_image() {
    let metric = by_name("topiq_fr").unwrap();
    let (comparison, model) = (Comparison::new(metric.as_ref()), Model::of("topiq_fr"));
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_independence(&model, [80, 72]);
    comparison.check_composed(&model, [80, 72]);
}

#[test]
fn by_itself() {
    let metric = by_name("topiq_nr").unwrap();
    let (comparison, model) = (Comparison::new(metric.as_ref()), Model::of("topiq_nr"));
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_independence(&model, [80, 72]);
    comparison.check_composed(&model, [80, 72]);
}

#[test]
fn for_beauty_over_resnet() {
    let metric = by_name("topiq_iaa_res50").unwrap();
    let (comparison, model) = (Comparison::new(metric.as_ref()), Model::of("topiq_iaa_res50"));
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_independence(&model, [40, 36]);
}

#[test]
fn for_beauty_over_swin() {
    let metric = by_name("topiq_iaa").unwrap();
    let (comparison, model) = (Comparison::new(metric.as_ref()), Model::of("topiq_iaa"));
    comparison.check(&model);
    comparison.check_sizes(&model);
}
