//! Results do not depend on the number of threads, to the last bit: neither pictures nor gradients.

use candle_core::{Device, Tensor};
use dp2o_studio::backbones::condition::{Prompt, Shown};
use dp2o_studio::backbones::sampler::{Sampler, Solver};
use dp2o_studio::backbones::tiles::Tiling;
use dp2o_studio::backbones::{Backbone, Query, mini::Mini};
use dp2o_studio::imaging::Image;
use dp2o_studio::nn::tape::Tape;
use dp2o_studio::random::Random;

fn with_threads<R: Send>(count: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap().install(f)
}

#[test]
fn samples_are_the_same_on_any_number_of_threads() {
    let net = Mini::new();
    let params = net.reference().unwrap();
    let noise = Random::new(4, 0).normal_image(3, 20, 16);
    let lr = Image::new(16, 20, noise.iter().map(|v| (0.5 + 0.2 * v).clamp(0.0, 1.0)).collect()).unwrap();
    let sampler = Sampler { solver: Solver::Heun, steps: 2, tiling: Tiling::default(), guidance: 1.0 };
    let condition = net.condition(&lr, &Prompt::default()).unwrap();
    let sample = |threads: usize, seeds: &[u64]| {
        let images =
            with_threads(threads, || sampler.sample(&net, &params, &condition, seeds, &mut |_, _| Ok(())).unwrap());
        images.into_iter().map(|image| image.data().to_vec()).collect::<Vec<_>>()
    };
    let one = sample(1, &[3, 4, 5]);
    for threads in [2, 3, 7] {
        assert!(sample(threads, &[3, 4, 5]) == one, "{threads} threads");
    }
    // Nor on what else is in the batch.
    assert!(sample(2, &[4]) == one[1..2]);
}

#[test]
fn gradients_are_the_same_on_any_number_of_threads() {
    let net = Mini::new();
    let params = net.reference().unwrap().trainable(true);
    let image = |stream, n| {
        Tensor::from_vec(Random::new(2, stream).normal_image(3 * n, 48, 32), (n, 3, 48, 32), &Device::Cpu).unwrap()
    };
    let (x, condition, dy) = (image(0, 3), image(1, 3), image(2, 3));
    let shown = Shown::of(vec![condition], Vec::new());
    let gradients = |threads: usize| {
        with_threads(threads, || {
            let tape = Tape::recording(params.kernels());
            let y = net.predict(&tape, &params, &Query::new(&x, &[0.2, 0.5, 0.9], &shown)).unwrap();
            let gradients = tape.backward(&y, dy.clone()).unwrap();
            let flat = |t: &Option<Tensor>| t.as_ref().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            gradients.params().iter().map(flat).collect::<Vec<_>>()
        })
    };
    let one = gradients(1);
    for threads in [2, 5] {
        for ((name, _), (got, want)) in params.iter().zip(gradients(threads).iter().zip(&one)) {
            assert!(got == want, "{name} on {threads} threads");
        }
    }
}
