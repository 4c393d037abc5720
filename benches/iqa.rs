//! Every metric on one pair of images of 512×512: the score of a candidate (`score`), which includes the reference, and
//! of one more candidate for a reference already prepared (`prepared`). `benches/iqa_pyiqa.py` times pyiqa on the
//! same images.
//!
//! `cargo bench --bench iqa`

use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use dp2o_studio::imaging::Image;
use dp2o_studio::iqa;

const SIZE_PX: usize = 512;

/// A fixture, mirrored until it has the size.
fn image(name: &str) -> Image {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/iqa").join(name);
    let rgb = image::open(&path).expect("the fixtures are committed").to_rgb8();
    let mirrored = |at: usize, len: u32| {
        let at = at as u32 % (2 * len);
        at.min(2 * len - 1 - at)
    };
    let data = (0..3).flat_map(|c| (0..SIZE_PX * SIZE_PX).map(move |i| (c, i % SIZE_PX, i / SIZE_PX)));
    let value = |(c, x, y): (usize, usize, usize)| {
        rgb.get_pixel(mirrored(x, rgb.width()), mirrored(y, rgb.height()))[c] as f32 / 255.0
    };
    Image::new(SIZE_PX, SIZE_PX, data.map(value).collect()).expect("the size is right")
}

fn metrics(criterion: &mut Criterion) {
    let (reference, candidate) = (image("life.png"), image("life_distorted.png"));
    let mut group = criterion.benchmark_group("iqa");
    group.sample_size(10);
    for metric in iqa::all() {
        let name = metric.info().name;
        group.bench_function(format!("{name}/score"), |b| b.iter(|| metric.score(&candidate, Some(&reference))));
        if metric.info().kind == iqa::Kind::FullReference {
            let scorer = metric.prepare(Some(&reference)).expect("the reference is fine");
            group.bench_function(format!("{name}/prepared"), |b| b.iter(|| scorer.score(&candidate)));
        }
    }
    group.finish();
}

criterion_group!(benches, metrics);
criterion_main!(benches);
