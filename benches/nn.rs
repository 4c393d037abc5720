//! The network operations, at the sizes of candle's and PyTorch's comparison and at those of the embedded backbone (16
//! candidates of 128×128), and the machine's limits to hold them against. `benches/pytorch.py` times the same work in PyTorch.
//!
//! `cargo bench --bench nn`

use std::hint::black_box;
use std::time::Duration;

use candle_core::{Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dp2o_studio::nn::kernels::cpu::simd::{self, Simd, WithSimd};
use dp2o_studio::nn::kernels::cpu::values::FromWeight;
use dp2o_studio::nn::kernels::cpu::{attention, conv, norm};
use dp2o_studio::nn::kernels::shape::{AttentionShape, ConvShape, NormShape};
use dp2o_studio::nn::params::{KEPT_VALUES, KEPT_VALUES_TRAINED};
use rayon::prelude::*;

/// The program's.
#[global_allocator]
static ALLOCATOR: dp2o_studio::memory::Counted = dp2o_studio::memory::Counted;

/// Batch, channels in and out, side in pixels, kernel, stride; the first four are those of the comparison, those of batch 1 with
/// 320 channels and more Stable Diffusion's, those of side 1 fully connected layers (the last FLUX's).
const CONVS: &[(usize, usize, usize, usize, usize, usize)] = &[
    (4, 128, 128, 32, 3, 1),
    (1, 64, 64, 128, 3, 1),
    (1, 320, 320, 64, 3, 1),
    (4, 128, 128, 32, 1, 1),
    (16, 96, 64, 32, 3, 1),
    (16, 64, 64, 32, 3, 1),
    (16, 128, 64, 32, 3, 1),
    (16, 128, 128, 16, 3, 1),
    (16, 256, 128, 16, 3, 1),
    (16, 240, 240, 8, 3, 1),
    (16, 64, 128, 32, 3, 2),
    (16, 128, 240, 16, 3, 2),
    (16, 128, 64, 32, 1, 1),
    (1, 640, 640, 32, 3, 1),
    (1, 1280, 1280, 16, 3, 1),
    (1, 320, 320, 64, 3, 2),
    (1, 640, 640, 32, 3, 2),
    (1, 1280, 1280, 16, 3, 2),
    (1, 320, 320, 64, 1, 1),
    (1, 640, 640, 32, 1, 1),
    (1, 1280, 1280, 16, 1, 1),
    (2048, 2048, 2048, 1, 1, 1),
    (1024, 3072, 3072, 1, 1, 1),
];
/// Batch, channels, side in pixels.
const NORMS: &[(usize, usize, usize)] = &[(16, 64, 32), (16, 128, 16), (16, 240, 8)];
/// Batch, tokens, heads, channels of a head.
const ATTENTIONS: &[(usize, usize, usize, usize)] =
    &[(1, 1024, 8, 64), (2, 4096, 8, 40), (1, 4096, 5, 64), (1, 1024, 24, 128)];

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 % 1013) as f32 / 506.5 - 1.0) * 0.5).collect()
}

/// Independent multiply-adds in registers: what the cores can do at most.
struct MultiplyAdds(usize);

impl WithSimd for MultiplyAdds {
    type Output = f32;
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) -> f32 {
        let (a, b) = (s.splat_f32s(black_box(0.999)), s.splat_f32s(black_box(1e-3)));
        let mut sums = [s.splat_f32s(1.0); 24];
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = s.mul_add_e_f32s(*sum, a, b);
            }
        }
        sums.into_iter().map(|sum| s.reduce_sum_f32s(sum)).sum()
    }
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

fn peak(c: &mut Criterion) {
    dp2o_studio::memory::keep_freed();
    let mut group = c.benchmark_group("peak");
    let (rounds, threads) = (200_000, rayon::current_num_threads());
    group.throughput(Throughput::Elements((threads * rounds * 24 * 2 * simd::dispatch(Lanes)) as u64));
    group.bench_function("multiply_add", |bench| {
        bench.iter(|| (0..threads).into_par_iter().map(|_| simd::dispatch(MultiplyAdds(rounds))).sum::<f32>())
    });
    let n = 2048;
    let square = || Tensor::from_vec(values(n * n), (n, n), &Device::Cpu).expect("the size is right");
    let (a, b) = (square(), square());
    group.throughput(Throughput::Elements(2 * (n * n * n) as u64));
    group.bench_function("matmul_2048", |bench| bench.iter(|| a.matmul(&b)));
    group.finish();
}

/// Of weights as they are: the forward pass, or `back`.
fn pass(shape: ConvShape, back: bool, x: &[f32], w: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    (conv::Pass { shape, back, x, bias, residual: None }, y).make(w);
}

fn convolutions(c: &mut Criterion) {
    for &(batch, c_in, c_out, side, kernel, stride) in CONVS {
        let shape = ConvShape::square([batch, side, side], (c_in, c_out), kernel, stride, kernel / 2);
        let (x, w, b) = (values(batch * side * side * c_in), values(c_out * shape.patch_len()), values(c_out));
        let (mut y, dy) = (vec![0.0; shape.out_len()], values(shape.out_len()));
        let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![0.0; w.len()], vec![0.0; c_out]);
        let flop = 2 * shape.out_len() * shape.patch_len();
        let mut group = c.benchmark_group(format!("conv_{batch}_{c_in}_{c_out}_{side}_{kernel}_{stride}"));
        group.throughput(Throughput::Elements(flop as u64));
        // As layers do: what is too large for a second form is read as it is.
        let as_is = |kept: usize| stride == 1 && w.len() > kept;
        let frozen = (!as_is(KEPT_VALUES)).then(|| conv::Forward::new(&w, shape));
        group.bench_function("forward", |bench| {
            bench.iter(|| match &frozen {
                Some(frozen) => conv::forward(shape, &x, frozen, Some(&b), None, black_box(&mut y)),
                None => pass(shape, false, &x, &w, Some(&b), black_box(&mut y)),
            })
        });
        group.throughput(Throughput::Elements(3 * flop as u64));
        group.bench_function("forward_backward", |bench| {
            bench.iter(|| {
                if as_is(KEPT_VALUES_TRAINED) {
                    pass(shape, false, &x, &w, Some(&b), &mut y);
                    pass(shape, true, &dy, &w, None, &mut dx);
                } else {
                    conv::forward(shape, &x, &conv::Forward::new(&w, shape), Some(&b), None, &mut y);
                    conv::input_gradient(shape, &dy, &conv::Backward::new(&w, shape), &mut dx);
                }
                conv::weight_gradient(shape, &x, &dy, &mut dw);
                conv::bias_gradient(c_out, &dy, &mut db);
                black_box((&y, &dx, &dw, &db));
            })
        });
        group.finish();
    }
}

fn normalizations(c: &mut Criterion) {
    let mut group = c.benchmark_group("group_norm_silu");
    for &(batch, channels, side) in NORMS {
        let shape = NormShape { batch, pixels: side * side, channels, groups: 8, eps: 1e-5, silu: true };
        let (x, dy) = (values(batch * side * side * channels), values(batch * side * side * channels));
        let (gain, shift) = (values(batch * channels), values(batch * channels));
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        group.throughput(Throughput::Elements(x.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{batch}_{channels}_{side}")), |bench| {
            bench.iter(|| {
                let stats = norm::forward(shape, &x, &gain, &shift, &mut y);
                black_box(norm::backward(shape, &x, &stats, &gain, &shift, &dy, &mut dx))
            })
        });
    }
    group.finish();
}

fn attentions(c: &mut Criterion) {
    let mut group = c.benchmark_group("attention");
    for &(batch, tokens, heads, dim) in ATTENTIONS {
        let scale = AttentionShape::usual_scale(dim);
        let shape = AttentionShape { batch, queries: tokens, keys: tokens, heads, dim, scale, causal: false };
        let n = batch * tokens * heads * dim;
        let (q, k, v, dy) = (values(n), values(n), values(n), values(n));
        let (mut y, mut dq, mut dk, mut dv) = (vec![0.0; n], vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        let flop = 4 * n * tokens;
        let name = format!("{batch}_{tokens}_{heads}_{dim}");
        group.throughput(Throughput::Elements(flop as u64));
        group.bench_function(format!("{name}/forward"), |bench| {
            bench.iter(|| black_box(attention::forward(shape, (&q, &k, &v), None, &mut y)))
        });
        group.throughput(Throughput::Elements(7 * flop as u64 / 2));
        group.bench_function(format!("{name}/forward_backward"), |bench| {
            bench.iter(|| {
                let sums = attention::forward(shape, (&q, &k, &v), None, &mut y);
                attention::backward(shape, (&q, &k, &v), None, (&y, &sums), &dy, &mut dq, &mut dk, &mut dv);
            })
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(15)
        .nresamples(2000)
        .measurement_time(Duration::from_millis(700))
        .warm_up_time(Duration::from_millis(200));
    targets = peak, convolutions, normalizations, attentions
}
criterion_main!(benches);
