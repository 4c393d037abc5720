//! Square crops on a grid, as pyiqa takes them for networks of one size: of n crops, ⌈√n⌉ × ⌈√n⌉ places in steps of a ⌊√n⌋-th of what is
//! left, the first n of them. Where √n is no whole number this leaves out the lowest row, and otherwise never reaches the far
//! borders.

use candle_core::{Device, Tensor};

use crate::Result;
use crate::imaging::Image;
use crate::imaging::crop::cut;
use crate::nn::kernels::Compute;
use crate::nn::kernels::resample::Axis;
use crate::nn::tape::{Tape, Var};

/// The image that crops of `side` pixels are taken of: an image with a side no longer than that is enlarged, until the shorter one is a
/// pixel longer.
pub fn enlarged(image: &Image, side: usize) -> Result<Image> {
    let (width, height) = (image.width(), image.height());
    let shorter = width.min(height);
    if shorter > side {
        return cut(image, 0, 0, width, height);
    }
    let factor = (side + 1) as f64 / shorter as f64;
    let axis = |len: usize| Axis::enlarged(len, (len as f64 * factor) as usize, factor);
    let planes = Tensor::from_slice(image.data(), (3, height, width, 1), &Device::Cpu)?;
    let larger =
        Tape::inference(&Compute::cpu().kernels).resample(&Var::constant(planes), [axis(height), axis(width)])?;
    let (_, height, width, _) = larger.tensor().dims4()?;
    Image::new(width, height, larger.tensor().flatten_all()?.to_vec1()?)
}

/// Left and top of `count` crops of `side` pixels in an image that is no smaller than one.
pub fn places([width, height]: [usize; 2], side: usize, count: usize) -> Vec<[usize; 2]> {
    let root = (count as f64).sqrt();
    let [across, down] = [width, height].map(|len| len.saturating_sub(side) / (root as usize).max(1));
    let places = root.ceil() as usize;
    (0..places).flat_map(|i| (0..places).map(move |j| [j * across, i * down])).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_other_implementation() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/iqa/learned/micro.json");
        let all: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let cases = all["uniform_crop_positions"].as_object().unwrap();
        for (case, want) in cases {
            let (size, count) = case.split_once(" n=").unwrap();
            let (height, width) = size.split_once('x').unwrap();
            let (height, width) = (height.parse().unwrap(), width.parse().unwrap());
            let image = enlarged(&Image::new(width, height, vec![0.5; 3 * width * height]).unwrap(), 224).unwrap();
            let size = [image.height(), image.width()];
            assert_eq!(serde_json::json!(size), want["enlarged_to"], "{case}");
            let places: Vec<[usize; 2]> = places([size[1], size[0]], 224, count.parse().unwrap());
            let places: Vec<[usize; 2]> = places.into_iter().map(|[x, y]| [y, x]).collect();
            assert_eq!(serde_json::json!(places), want["top_left"], "{case}");
        }
        assert!(cases.len() > 5);
    }
}
