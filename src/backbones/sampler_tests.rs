//! Pictures in tiles against the definition: every tensor whole, every tile's prediction padded to the picture and added.

use super::*;
use crate::backbones::Query;
use crate::backbones::condition::{Prompt, Shown};
use crate::backbones::field::StateMemory;
use crate::backbones::mini::Mini;
use crate::imaging::fixture::picture;
use crate::imaging::resize::enlarge_x4;
use crate::imaging::rows::Rows;
use crate::nn::tape::Tape;
use candle_core::Device;

const TILING: Tiling = Tiling { tile_px: 32, overlap_px: 12 };
const SEEDS: [u64; 2] = [4, 9];

/// 22×15 px, so that the picture is padded below and has five by three tiles.
fn lr() -> Image {
    picture(22, 15, 0)
}

fn model() -> (Mini, Params) {
    let net = Mini::new();
    let params = net.reference().unwrap();
    (net, params)
}

/// The velocity of whole tensors.
fn velocity(net: &Mini, params: &Params, x: &Tensor, time: f32, condition: &Tensor) -> Tensor {
    let (count, _, height, width) = x.dims4().unwrap();
    let ramp = |len: usize| (0..len).map(move |i| ((i.min(len - 1 - i) + 1) as f32 / 13.0).min(1.0));
    let mask: Vec<f32> = ramp(32).flat_map(|r| ramp(32).map(move |c| r * c)).collect();
    let mask = Tensor::from_vec(mask, (1, 1, 32, 32), &Device::Cpu).unwrap();
    let mut sum = x.zeros_like().unwrap();
    let mut weights = Tensor::zeros((1, 1, height, width), x.dtype(), x.device()).unwrap();
    for top in [0, 16, 32] {
        for left in [0, 16, 32, 48, 64] {
            if left + 32 > width || top + 32 > height {
                continue;
            }
            let cut = |t: &Tensor| t.narrow(2, top, 32).unwrap().narrow(3, left, 32).unwrap().contiguous().unwrap();
            let place = |t: &Tensor| {
                let t = t.pad_with_zeros(2, top, height - top - 32).unwrap();
                t.pad_with_zeros(3, left, width - left - 32).unwrap()
            };
            let times = vec![time; count];
            let (x, shown) = (cut(x), Shown::of(vec![cut(condition)], Vec::new()));
            let tape = Tape::inference(params.kernels());
            let part = net.predict(&tape, params, &Query::new(&x, &times, &shown)).unwrap();
            sum = (sum + place(&part.tensor().broadcast_mul(&mask).unwrap())).unwrap();
            weights = (weights + place(&mask)).unwrap();
        }
    }
    sum.broadcast_div(&weights).unwrap()
}

/// Two steps of Heun, by the book.
fn by_definition(net: &Mini, params: &Params) -> Vec<Image> {
    let enlarged = enlarge_x4(&lr()).unwrap();
    let (width, height, w, h) = (88, 60, 96, 64);
    let mirror = |i: usize, n: usize| if i < n { i } else { 2 * n - 1 - i };
    let mut values = Vec::new();
    for c in 0..3 {
        for y in 0..h {
            values.extend(
                (0..w).map(|x| enlarged.plane(c)[mirror(y, height) * width + mirror(x, width)].clamp(0.0, 1.0)),
            );
        }
    }
    let one = Tensor::from_vec(values, (1, 3, h, w), &Device::Cpu).unwrap();
    let condition = Tensor::cat(&[&one, &one], 0).unwrap();
    let normal =
        SEEDS.iter().flat_map(|&s| crate::random::Random::new(s, START).normal_image(3, h, w)).collect::<Vec<_>>();
    let mut x = Tensor::from_vec(normal, (2, 3, h, w), &Device::Cpu).unwrap();
    let v = velocity(net, params, &x, 0.0, &condition);
    let ahead = (&x + (&v * 0.5).unwrap()).unwrap();
    let next = velocity(net, params, &ahead, 0.5, &condition);
    x = (x + ((v + next).unwrap() * 0.25).unwrap()).unwrap();
    let v = velocity(net, params, &x, 0.5, &condition);
    x = (&x + (v * 0.5).unwrap()).unwrap();
    let shown = Shown::of(vec![condition], Vec::new());
    let sr = net.decode(&x, &shown).unwrap().narrow(2, 0, height).unwrap().narrow(3, 0, width).unwrap();
    (0..2)
        .map(|i| Image::new(width, height, sr.get(i).unwrap().flatten_all().unwrap().to_vec1().unwrap()).unwrap())
        .collect()
}

#[test]
fn tiles_in_memory_and_on_disk_are_the_definition_to_the_bit() {
    let (net, params) = model();
    let lr = lr();
    let condition = net.condition(&lr, &Prompt::default()).unwrap();
    let sampler = Sampler { solver: Solver::Heun, steps: 2, tiling: TILING, guidance: 1.0 };
    let expected = by_definition(&net, &params);
    let mut calls = Vec::new();
    let images = sampler.sample(&net, &params, &condition, &SEEDS, &mut |done, total| {
        calls.push((done, total));
        Ok(())
    });
    assert_eq!(images.unwrap(), expected);
    let total = sampler.grid(&net, 22, 15).count() * 3;
    assert_eq!(calls, (0..total).map(|done| (done, total)).collect::<Vec<_>>());

    let folder = tempfile::tempdir().unwrap();
    let memory = StateMemory { bytes: 0, scratch: folder.path() };
    let solved = sampler.solve(&net, &params, &condition, &SEEDS, memory, &mut |_, _| Ok(())).unwrap();
    assert!(!solved.is_whole());
    for (picture, expected) in solved.pictures().iter().zip(&expected) {
        assert_eq!(&picture.whole().unwrap(), expected);
        assert_eq!(picture.rows(31..60).unwrap(), expected.rows(31..60).unwrap());
    }
}

#[test]
fn a_picture_of_one_tile_is_the_same_whole_and_by_rows() {
    let (net, params) = model();
    let lr = lr();
    let condition = net.condition(&lr, &Prompt::default()).unwrap();
    let sampler = Sampler { solver: Solver::Euler, steps: 1, tiling: Tiling::default(), guidance: 1.0 };
    let images = sampler.sample(&net, &params, &condition, &SEEDS, &mut |_, _| Ok(())).unwrap();
    let memory = StateMemory { bytes: 0, scratch: Path::new("") };
    let solved = sampler.solve(&net, &params, &condition, &SEEDS, memory, &mut |_, _| Ok(())).unwrap();
    assert!(solved.is_whole());
    for (picture, image) in solved.pictures().iter().zip(&images) {
        assert_eq!(picture.rows(10..20).unwrap(), image.rows(10..20).unwrap());
    }
}

#[test]
fn damaged_weights_are_an_error() {
    let (net, mut params) = model();
    for (name, tensor) in params.iter() {
        if name == "output.weight" {
            let huge = Tensor::full(f32::MAX, tensor.shape(), &Device::Cpu).unwrap();
            tensor.slice_set(&huge, 0, 0).unwrap();
        }
    }
    params.touch();
    let lr = lr();
    let condition = net.condition(&lr, &Prompt::default()).unwrap();
    for tiling in [TILING, Tiling::default()] {
        let sampler = Sampler { solver: Solver::Euler, steps: 1, tiling, guidance: 1.0 };
        let result = sampler.sample(&net, &params, &condition, &SEEDS, &mut |_, _| Ok(()));
        assert!(matches!(result, Err(Error::Diverged(_))));
    }
}
