//! LPIPS and DISTS.

use dp2o_studio::iqa::by_name;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::weights::{Store, registry};

use crate::generated::Model;
use crate::generated::harness::Comparison;

#[test]
fn lpips_over_alexnet() {
    let metric = by_name("lpips").unwrap();
    let (comparison, model) = (Comparison::new(metric.as_ref()), Model::of("lpips_alex"));
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_map(&model);
    comparison.check_independence(&model, [80, 72]);
    comparison.check_composed(&model, [80, 72]);
}

#[test]
fn lpips_over_vgg16() {
    let metric = by_name("lpips-vgg").unwrap();
    let (comparison, model) = (Comparison::new(metric.as_ref()), Model::of("lpips_vgg"));
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_map(&model);
    comparison.check_independence(&model, [80, 72]);
    comparison.check_composed(&model, [80, 72]);
}

#[test]
fn lpips_plus() {
    for (name, fixture) in [("lpips+", "lpips_alex_plus"), ("lpips-vgg+", "lpips_vgg_plus")] {
        let metric = by_name(name).unwrap();
        let (comparison, model) = (Comparison::new(metric.as_ref()), Model::of(fixture));
        comparison.check(&model);
        comparison.check_sizes(&model);
        comparison.check_independence(&model, [80, 72]);
        comparison.check_composed(&model, [80, 72]);
    }
}

#[test]
fn dists() {
    let metric = by_name("dists").unwrap();
    let (comparison, model) = (Comparison { absolute: 2e-6, ..Comparison::new(metric.as_ref()) }, Model::of("dists"));
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_independence(&model, [80, 72]);
    comparison.check_composed(&model, [80, 72]);
}

#[test]
fn another_networks_weights_are_one_line_of_error() {
    let vgg = Model::of("dists").source("vgg16-397923af.pth");
    let store = Store::of_folders(&[], true).holding(&registry::ALEXNET, vgg);
    let error = by_name("lpips").unwrap().open(&store, &Compute::cpu()).err().unwrap().to_string();
    assert!(error.starts_with("vgg16-397923af.pth") && error.contains("features"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}
