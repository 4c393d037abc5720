//! ARNIQA, HyperIQA and DBCNN.

use dp2o_studio::iqa::by_name;

use crate::generated::Model;
use crate::generated::harness::Comparison;

#[test]
fn arniqa() {
    let metric = by_name("arniqa").unwrap();
    let (comparison, model) = (Comparison::new(metric.as_ref()), Model::of("arniqa"));
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_independence(&model, [80, 72]);
    comparison.check_composed(&model, [80, 72]);
    comparison.check_own_map(&model, [40, 260]);
}

#[test]
fn dbcnn() {
    let metric = by_name("dbcnn").unwrap();
    let (comparison, model) = (Comparison::new(metric.as_ref()), Model::of("dbcnn"));
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_independence(&model, [80, 72]);
    comparison.check_own_map(&model, [40, 260]);
    comparison.check_composed(&model, [80, 72]);
}

#[test]
fn hyper_iqa() {
    let metric = by_name("hyperiqa").unwrap();
    let (comparison, model) = (Comparison::new(metric.as_ref()), Model::of("hyperiqa"));
    comparison.check(&model);
    comparison.check_sizes(&model);
}
