//! The network operations at the sizes of PyTorch's counterpart, `benches/pytorch.py`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dp2o_studio::nn::kernels::conv::{self, ConvShape};
use std::hint::black_box;

/// Name, batch, channels in and out, side in pixels, kernel, stride.
const CONVS: &[(&str, usize, usize, usize, usize, usize, usize)] = &[
    ("conv3x3_b4_128_32", 4, 128, 128, 32, 3, 1),
    ("conv3x3_b1_64_128", 1, 64, 64, 128, 3, 1),
    ("conv3x3_b1_320_64", 1, 320, 320, 64, 3, 1),
    ("conv1x1_b4_128_32", 4, 128, 128, 32, 1, 1),
    ("conv3x3_b16_48_32", 16, 48, 48, 32, 3, 1),
    ("conv3x3_b16_96_16", 16, 96, 96, 16, 3, 1),
    ("conv3x3_b16_192_8", 16, 192, 192, 8, 3, 1),
    ("conv3x3s2_b16_48_32", 16, 48, 96, 32, 3, 2),
];

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 % 1013) as f32 / 506.5 - 1.0) * 0.5).collect()
}

fn convolutions(c: &mut Criterion) {
    for &(name, batch, c_in, c_out, side, kernel, stride) in CONVS {
        let shape = ConvShape { batch, height: side, width: side, c_in, c_out, kernel, stride, pad: kernel / 2 };
        let (x, w, b) = (values(batch * side * side * c_in), values(c_out * shape.patch_len()), values(c_out));
        let (mut y, dy) = (vec![0.0; shape.out_len()], values(shape.out_len()));
        let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![0.0; w.len()], vec![0.0; c_out]);
        let flop = 2 * shape.out_len() * shape.patch_len();
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(flop as u64));
        let frozen = conv::Forward::new(&w, shape);
        group.bench_function("forward", |bench| {
            bench.iter(|| conv::forward(shape, &x, &frozen, Some(&b), None, black_box(&mut y)))
        });
        group.throughput(Throughput::Elements(3 * flop as u64));
        group.bench_function("forward_backward", |bench| {
            bench.iter(|| {
                conv::forward(shape, &x, &conv::Forward::new(&w, shape), Some(&b), None, &mut y);
                conv::input_gradient(shape, &dy, &conv::Backward::new(&w, shape), &mut dx);
                conv::weight_gradient(shape, &x, &dy, &mut dw);
                conv::bias_gradient(c_out, &dy, &mut db);
                black_box((&y, &dx, &dw, &db));
            })
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(1)).warm_up_time(std::time::Duration::from_millis(300));
    targets = convolutions
}
criterion_main!(benches);
