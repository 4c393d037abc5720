//! Features that a network hands out by name, held against what another implementation recorded of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use candle_core::Tensor;
use dp2o_studio::nn::kernels::Compute;
use serde_json::Value;

/// Features by name, in the order they came. Images are `[batch, channels, height, width]`, as others record them.
#[derive(Clone, Default)]
pub struct Taps(Arc<Mutex<BTreeMap<String, Vec<Feature>>>>);

/// A feature.
#[derive(Clone)]
pub struct Feature {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Taps {
    /// The compute with these looking.
    pub fn watching(&self, compute: Compute) -> Compute {
        let taps = self.clone();
        compute
            .watched(move |name, feature| taps.0.lock().unwrap().entry(name.to_owned()).or_default().push(of(feature)))
    }

    /// Everything so far, forgotten here.
    pub fn take(&self) -> BTreeMap<String, Vec<Feature>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn of(feature: &Tensor) -> Feature {
    let feature = match feature.rank() {
        4 => feature.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap(),
        _ => feature.contiguous().unwrap(),
    };
    let values = feature.flatten_all().unwrap().to_vec1().unwrap();
    Feature { shape: feature.dims().to_vec(), values }
}

/// Every run of features that are together as large as the recorded one: a batch may have been cut into parts.
fn candidates(all: &[Feature], values: usize) -> Vec<Feature> {
    let mut found = Vec::new();
    for first in 0..all.len() {
        let mut sum = Feature { shape: all[first].shape.clone(), values: Vec::new() };
        for next in &all[first..] {
            sum.values.extend(&next.values);
            if sum.values.len() >= values {
                break;
            }
        }
        if sum.values.len() == values {
            found.push(sum);
        }
    }
    found
}

/// The largest difference of a feature from recorded statistics, in recorded standard deviations.
pub fn difference(got: &Feature, want: &Value) -> f64 {
    let number = |name: &str| want[name].as_f64().unwrap();
    let values: Vec<f64> = got.values.iter().map(|v| f64::from(*v)).collect();
    let mean_of = |f: &dyn Fn(f64) -> f64| values.iter().map(|v| f(*v)).sum::<f64>() / values.len() as f64;
    let mean = mean_of(&|v| v);
    let mut differences = vec![
        mean - number("mean"),
        mean_of(&|v| (v - mean).powi(2)).sqrt() - number("std"),
        values.iter().copied().fold(f64::MAX, f64::min) - number("min"),
        values.iter().copied().fold(f64::MIN, f64::max) - number("max"),
        mean_of(&f64::abs) - number("abs_mean"),
    ];
    let samples = want["samples"].as_object().unwrap();
    differences.extend(samples.iter().map(|(at, want)| values[at.parse::<usize>().unwrap()] - want.as_f64().unwrap()));
    differences.iter().fold(0.0f64, |worst, d| worst.max(d.abs())) / number("std").max(1e-12)
}

/// The smallest [`difference`] of what was seen under a name from one recorded feature.
pub fn closest(all: &[Feature], want: &Value) -> f64 {
    let count = want["shape"].as_array().unwrap().iter().map(|side| side.as_u64().unwrap() as usize).product();
    candidates(all, count).iter().map(|got| difference(got, want)).fold(f64::INFINITY, f64::min)
}
