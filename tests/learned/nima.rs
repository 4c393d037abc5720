//! NIMA over both networks.

use dp2o_studio::iqa::by_name;

use crate::generated::Model;
use crate::generated::harness::Comparison;

#[test]
fn over_inception() {
    let metric = by_name("nima").unwrap();
    let comparison = Comparison { outputs: &["preprocessed"], ..Comparison::new(metric.as_ref()) };
    let model = Model::of("nima");
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_independence(&model, [40, 36]);
}

#[test]
fn over_vgg16() {
    let metric = by_name("nima-vgg16-ava").unwrap();
    let comparison = Comparison { outputs: &["preprocessed"], ..Comparison::new(metric.as_ref()) };
    let model = Model::of("nima_vgg16");
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_independence(&model, [40, 36]);
    comparison.check_own_map(&model, [40, 260]);
}
