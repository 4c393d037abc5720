//! Every metric without published weights (`benches/learned.rs` has the others) on photographs of 512×512 and 192×192: the score of a candidate (`score`), which includes opening the metric
//! and the reference, and for a reference already bound that of one more candidate (`bound`) and of 16 (`bound16`), as the
//! engine scores them. `benches/iqa_pyiqa.py` times pyiqa on the same images.
//!
//! `cargo bench --bench iqa`

use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use dp2o_studio::imaging::Image;
use dp2o_studio::iqa::{self, Features};
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::weights::Store;
use rayon::prelude::*;

/// A fixture, mirrored until it has the size.
fn image(name: &str, size_px: usize) -> Image {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/iqa").join(name);
    let rgb = image::open(&path).expect("the fixtures are committed").to_rgb8();
    let mirrored = |at: usize, len: u32| {
        let at = at as u32 % (2 * len);
        at.min(2 * len - 1 - at)
    };
    let data = (0..3).flat_map(|c| (0..size_px * size_px).map(move |i| (c, i % size_px, i / size_px)));
    let value = |(c, x, y): (usize, usize, usize)| {
        rgb.get_pixel(mirrored(x, rgb.width()), mirrored(y, rgb.height()))[c] as f32 / 255.0
    };
    Image::new(size_px, size_px, data.map(value).collect()).expect("the size is right")
}

fn metrics(criterion: &mut Criterion) {
    for size_px in [512, 192] {
        let (reference, candidate) = (image("life.png", size_px), image("life_distorted.png", size_px));
        let mut group = criterion.benchmark_group(format!("iqa{size_px}"));
        group.sample_size(10);
        for metric in iqa::all().into_iter().filter(|metric| metric.needs().is_empty()) {
            let name = &metric.info().name;
            group.bench_function(format!("{name}/score"), |b| b.iter(|| metric.score(&candidate, Some(&reference))));
            let scorer =
                metric.open(&Store::of_folders(&[], false), &Compute::cpu()).expect("its weights are compiled in");
            let (reference, features) = (Arc::new(reference.clone()), Features::default());
            let bound = scorer.bind(Some(&reference), &features).expect("the reference is fine");
            let images: Vec<_> = (0..16).map(|_| Arc::new(candidate.clone())).collect();
            group.bench_function(format!("{name}/bound"), |b| b.iter(|| bound.score(&images[0], &features.within())));
            let score = |image| bound.score(image, &features.within()).ok();
            let all = || images.par_iter().map(score).collect::<Vec<_>>();
            group.bench_function(format!("{name}/bound16"), |b| b.iter(all));
        }
        group.finish();
    }
}

criterion_group!(benches, metrics);
criterion_main!(benches);
