//! Holds a metric with generated weights against what another implementation recorded: features, scores, maps, further sizes;
//! and that a score depends on neither the batch nor the threads.

use std::sync::Arc;

use dp2o_studio::fs::hash::hash_bytes;
use dp2o_studio::imaging::Image;
use dp2o_studio::imaging::quantize::to_rgb8;
use dp2o_studio::iqa::generated::pair;
use dp2o_studio::iqa::{Features, Metric, Scorer};
use dp2o_studio::nn::kernels::Compute;
use serde_json::Value;

use super::taps::{Feature, Taps, closest, difference};
use super::{Model, folder};

/// How a metric is compared.
pub struct Comparison<'c> {
    pub metric: &'c dyn Metric,
    /// What the recorded score is called.
    pub score: &'c str,
    /// Recorded outputs that the metric taps under the same names.
    pub outputs: &'c [&'c str],
    /// Recorded taps that it does not have: names, or their beginnings with a `*`.
    pub without: &'c [&'c str],
    /// Scores relative to the recorded ones, features in their standard deviations.
    pub tolerance: [f64; 2],
    /// Of scores that are differences of near numbers.
    pub absolute: f64,
    /// Runs of the fixture: `even` (256×288) and `odd` (237×251).
    pub runs: &'c [&'c str],
}

impl<'c> Comparison<'c> {
    /// With the tolerances that every metric has to meet.
    pub fn new(metric: &'c dyn Metric) -> Self {
        Self {
            metric,
            score: "score",
            outputs: &[],
            without: &[],
            tolerance: [1e-4, 1e-4],
            absolute: 0.0,
            runs: &["even", "odd"],
        }
    }

    fn scorer(&self, model: &Model, compute: &Compute) -> Box<dyn Scorer> {
        self.metric.open(&model.store(), compute).unwrap_or_else(|error| panic!("{}: {error}", model.name))
    }

    /// Fails where anything is further from what was recorded than it may be; prints the worst differences.
    pub fn check(&self, model: &Model) {
        model.check_digests();
        let taps = Taps::default();
        let scorer = self.scorer(model, &taps.watching(Compute::cpu()));
        let at_open = taps.take();
        let (mut worst, mut failures) = ([0.0f64; 2], Vec::new());
        for label in self.runs {
            let run = &model.fixture["runs"][label];
            let [reference, distorted] = images(run);
            let score = score_of(scorer.as_ref(), &reference, &distorted);
            let mut seen = taps.take();
            at_open.iter().for_each(|(name, features)| seen.entry(name.clone()).or_default().extend(features.clone()));
            let far = self.distance(score, &run["outputs"][self.score]);
            worst[0] = worst[0].max(far);
            if far > self.tolerance[0] {
                failures.push(format!("{label}: the score is {score} instead of {}", run["outputs"][self.score]));
            }
            let outputs = self.outputs.iter().map(|name| (name.to_string(), &run["outputs"][name]));
            let recorded = run["taps"].as_object().into_iter().flatten().filter(|(name, _)| !self.lacks(name));
            let recorded =
                recorded.flat_map(|(name, all)| all.as_array().unwrap().iter().map(move |one| (name.clone(), one)));
            for (name, want) in outputs.chain(recorded) {
                let far = closest(seen.get(&name).map_or(&[], Vec::as_slice), want);
                worst[1] = worst[1].max(far);
                if far > self.tolerance[1] || far.is_nan() {
                    failures.push(format!("{label}: {name} {} is {far:e} deviations off", want["shape"]));
                }
            }
            let score = score_of(scorer.as_ref(), &reference, &reference);
            taps.take();
            let far = self.distance(score, &run["reference_scored"][self.score]);
            worst[0] = worst[0].max(far);
            if far > self.tolerance[0] {
                let want = &run["reference_scored"][self.score];
                failures.push(format!("{label}: the reference's score is {score} instead of {want}"));
            }
        }
        drop(scorer);
        println!(
            "parity: {} ({}): scores {:.1e}, features {:.1e}",
            model.name,
            self.metric.info().name,
            worst[0],
            worst[1]
        );
        assert!(failures.is_empty(), "{}:\n{}", model.name, failures.join("\n"));
    }

    fn lacks(&self, name: &str) -> bool {
        self.without.iter().any(|known| match known.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == *known,
        })
    }

    /// How far a score is from the recorded one: relative to it, or to what makes [`Comparison::absolute`] the tolerance.
    fn distance(&self, got: f64, want: &Value) -> f64 {
        let want = want.as_f64().unwrap();
        let relative_to = want.abs().max(self.absolute / self.tolerance[0]);
        match (got - want).abs() {
            0.0 => 0.0,
            far => far / relative_to,
        }
    }

    /// Holds the map of the even run's distorted image against the recorded one.
    pub fn check_map(&self, model: &Model) {
        let run = &model.fixture["runs"]["even"];
        let [reference, distorted] = images(run);
        let (scorer, group) = (self.scorer(model, &Compute::cpu()), Features::default());
        let bound = scorer.bind(Some(&reference), &group).unwrap();
        let map = bound.map(&distorted, &group.within()).unwrap().unwrap();
        let got = Feature { shape: vec![map.height, map.width], values: map.data };
        let far = difference(&got, &run["outputs"]["map"]);
        println!("map: {}: {far:.1e}", model.name);
        assert!(far < self.tolerance[1], "{}: the map is {far:e} deviations off", model.name);
    }

    /// Holds it against the sizes of our own in `sizes.json`: the smallest allowed, a strip of 1:7 and another.
    pub fn check_sizes(&self, model: &Model) {
        let all: Value = serde_json::from_str(&std::fs::read_to_string(folder().join("sizes.json")).unwrap()).unwrap();
        let cases = all[model.name].as_array().unwrap_or_else(|| panic!("no sizes of {}", model.name));
        assert!(cases.len() >= 3, "{}", model.name);
        let scorer = self.scorer(model, &Compute::cpu());
        let mut worst = 0.0f64;
        for case in cases {
            let [reference, distorted] = images(case);
            let score = score_of(scorer.as_ref(), &reference, &distorted);
            let far = self.distance(score, &case["score"]);
            worst = worst.max(far);
            let (name, size, want) = (model.name, &case["size"], &case["score"]);
            assert!(far <= self.tolerance[0], "{name} at {size}: {score} instead of {want}");
        }
        println!("sizes: {}: scores {worst:.1e}", model.name);
    }

    /// Fails unless the map of a distorted image is one of its pixels, is finite, and tells them apart; that of an image compared with
    /// itself has to be zero. For maps that nobody else has. `px`: height, width.
    pub fn check_own_map(&self, model: &Model, px: [usize; 2]) {
        let scorer = self.scorer(model, &Compute::cpu());
        let [reference, distorted] = pair(px).unwrap().map(Arc::new);
        let bound = scorer.bind(Some(&reference), &Features::default()).unwrap();
        let map = |image| bound.map(image, &Features::default()).unwrap().unwrap();
        let of = map(&distorted);
        assert_eq!([of.height, of.width, of.data.len()], [px[0], px[1], px[0] * px[1]], "{}", model.name);
        let [least, most] = [f32::min, f32::max].map(|f| of.data.iter().copied().reduce(f).unwrap());
        assert!(least.is_finite() && most.is_finite() && most > least, "{}: {least} to {most}", model.name);
        if self.metric.info().is_fr() {
            let itself = map(&reference);
            let most = itself.data.iter().fold(0.0f32, |most, v| most.max(v.abs()));
            assert!(least >= 0.0 && most < 1e-5, "{}: {least}, itself {most}", model.name);
        }
    }

    /// Fails where a score depends on what is scored beside it, on the order, or on the number of threads. `px`: height, width.
    pub fn check_independence(&self, model: &Model, px: [usize; 2]) {
        let scorer = self.scorer(model, &Compute::cpu());
        let [reference, distorted] = pair(px).unwrap().map(Arc::new);
        let dim = Image::new(px[1], px[0], distorted.data().iter().map(|v| 0.8 * v).collect()).unwrap();
        let images = [distorted.clone(), reference.clone(), Arc::new(dim)];
        let single = images.each_ref().map(|image| score_of(scorer.as_ref(), &reference, image));
        assert!(single[0] != single[1] && single[0] != single[2], "{}: {single:?}", model.name);
        let bits = single.map(f64::to_bits);
        let all = |images: &[Arc<Image>]| -> Vec<u64> {
            let group = Features::default();
            let bound = scorer.bind(Some(&reference), &group).unwrap();
            bound.scores(images, &group.within()).into_iter().map(|score| score.unwrap().to_bits()).collect()
        };
        assert_eq!(all(&images), bits, "{}: together", model.name);
        let [a, b, c] = images.clone();
        assert_eq!(all(&[c, a, b]), [bits[2], bits[0], bits[1]], "{}: in another order", model.name);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(pool.install(|| all(&images)), bits, "{}: on one thread", model.name);
        let group = Features::default();
        let bound = scorer.bind(Some(&reference), &group).unwrap();
        let maps = [&images[0], &images[1]].map(|image| bound.map(image, &group.within()).unwrap());
        let says = !self.metric.info().map.is_empty();
        for map in maps {
            assert_eq!(map.is_some(), says, "{}: its facts say otherwise", model.name);
            let Some(map) = map else { continue };
            assert_eq!([map.height, map.width, map.data.len()], [px[0], px[1], px[0] * px[1]], "{}", model.name);
            assert!(map.data.iter().all(|value| value.is_finite()), "{}", model.name);
        }
    }

    /// Fails where the operations that a GPU would run give another score. `px`: height, width.
    pub fn check_composed(&self, model: &Model, px: [usize; 2]) {
        let [reference, distorted] = pair(px).unwrap().map(Arc::new);
        let computes = [Compute::cpu(), Compute::composed(&candle_core::Device::Cpu)];
        let [own, composed] = computes.map(|on| score_of(self.scorer(model, &on).as_ref(), &reference, &distorted));
        let far = (own - composed).abs() / own.abs();
        println!("composed: {}: {far:.1e}", model.name);
        assert!(far < 1e-4, "{}: {own} and {composed}", model.name);
    }
}

/// Reference and distorted image of a recorded run.
pub fn images(run: &Value) -> [Arc<Image>; 2] {
    let size = [0, 1].map(|axis| run["size"][axis].as_u64().unwrap() as usize);
    let images = pair(size).unwrap();
    for (image, name) in images.iter().zip(["sha256_reference_rgb8", "sha256_distorted_rgb8"]) {
        if let Some(want) = run[name].as_str() {
            assert_eq!(hash_bytes(&to_rgb8(image)), want);
        }
    }
    images.map(Arc::new)
}

fn score_of(scorer: &dyn Scorer, reference: &Arc<Image>, image: &Arc<Image>) -> f64 {
    let group = Features::default();
    let bound = scorer.bind(Some(reference), &group).unwrap();
    bound.score(image, &group.within()).unwrap()
}
