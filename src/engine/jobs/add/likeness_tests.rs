//! The bound on likeness, held to true and wrong pairs of photographs.

use super::*;
use crate::degrade::{Degradation, PRESETS, degrade};
use crate::imaging::crop::{self, cut};
use crate::imaging::decode;
use crate::imaging::draw::{Draws, Purpose};

/// Likenesses of LR crops with the HR crop they were made of, or another one.
#[derive(Default)]
struct Found {
    /// By preset.
    own: [Vec<f64>; 3],
    /// Of the same photograph, half over it.
    neighbours: Vec<f64>,
    /// The same, 16 px away.
    moved: Vec<f64>,
    /// Of another photograph.
    foreign: Vec<f64>,
}

/// Takes `count` crops of each photograph, where there is something in them as for training.
fn compare(photos: &[Image], size_px: usize, count: usize) -> Found {
    let mut found = Found::default();
    let large = |photo: &&Image| photo.width() >= 2 * size_px + 8 && photo.height() >= size_px;
    let photos: Vec<&Image> = photos.iter().filter(large).collect();
    for (index, photo) in photos.iter().enumerate() {
        let other = photos[(index + 1) % photos.len()];
        let crops = crop::crops(
            &cut(photo, 0, 0, photo.width() - size_px, photo.height()).unwrap(),
            size_px,
            count,
            index as u64,
        );
        let mut draws = Draws::new(index as u64, Purpose::Crop);
        for (number, at) in crops.unwrap().into_iter().enumerate() {
            let hr = cut(photo, at.x, at.y, size_px, size_px).unwrap();
            let look = |image: &Image| Look::of_hr(image).unwrap();
            let moved = look(&cut(photo, at.x + 16, at.y, size_px, size_px).unwrap());
            let half = look(&cut(photo, at.x + size_px / 2, at.y, size_px, size_px).unwrap());
            let x = draws.index(other.width() - size_px + 1);
            let y = draws.index(other.height() - size_px + 1);
            let foreign = look(&cut(other, x, y, size_px, size_px).unwrap());
            let own = look(&hr);
            for (preset, own_of_preset) in PRESETS.iter().zip(&mut found.own) {
                let recipe = Degradation::named(preset).unwrap();
                let (lr, _) = degrade(&hr, &recipe, (index * 1000 + number) as u64).unwrap();
                let lr = Look::of_lr(&lr);
                let with = |hr: &Look| likeness(&[(&lr, hr)]).unwrap();
                own_of_preset.push(with(&own));
                found.neighbours.push(with(&half));
                found.moved.push(with(&moved));
                found.foreign.push(with(&foreign));
            }
        }
    }
    found
}

/// The share that reaches the bound.
fn reach(values: &[f64]) -> f64 {
    values.iter().filter(|value| **value >= BOUND).count() as f64 / values.len() as f64
}

fn shipped() -> Vec<Image> {
    crate::example::photos().iter().map(|photo| decode::decode_bytes(photo.bytes).unwrap()).collect()
}

#[test]
fn degraded_photographs_pass_and_others_do_not() {
    let found = compare(&shipped(), 192, 2);
    assert!(found.foreign.len() > 50);
    for ((preset, own), least) in PRESETS.iter().zip(&found.own).zip([1.0, 1.0, 0.9]) {
        assert!(reach(own) >= least, "{preset}: {:.3}", reach(own));
    }
    assert_eq!(reach(&found.foreign), 0.0);
    assert!(reach(&found.neighbours) < 0.02, "{:.3}", reach(&found.neighbours));
}

#[test]
fn brightness_and_contrast_are_no_difference_and_place_and_size_are() {
    let photo = crop::center(&shipped()[0], 256).and_then(|c| crop::apply(&shipped()[0], c)).unwrap();
    let changed = |gain: f32, offset: f32| {
        let data = photo.data().iter().map(|v| gain * v + offset).collect();
        Look::of_hr(&Image::new(256, 256, data).unwrap()).unwrap()
    };
    let look = Look::of_hr(&photo).unwrap();
    assert!(likeness(&[(&look, &changed(0.7, 0.1))]).unwrap() > 0.999);
    assert!(likeness(&[(&look, &changed(-1.0, 1.0))]).unwrap() < -0.99);
    let place = |x: usize| Look::of_hr(&cut(&photo, x, 0, 192, 256).unwrap()).unwrap();
    assert!(likeness(&[(&place(0), &place(0))]).unwrap() > 0.999);
    assert!(likeness(&[(&place(0), &place(16))]).unwrap() < BOUND);
    let flat = Look::of_lr(&Image::new(64, 64, vec![0.4; 3 * 64 * 64]).unwrap());
    // What is flat fits anywhere, so nothing is told by it.
    assert_eq!(likeness(&[(&flat, &flat)]), Some(0.0));
    assert!(likeness(&[(&flat, &look)]).unwrap() < 0.2);
    let small = Look::of_lr(&Image::new(60, 64, vec![0.4; 3 * 60 * 64]).unwrap());
    assert_eq!(likeness(&[(&flat, &small)]), None);
    assert_eq!(likeness(&[]), None);
}

/// Prints what [`BOUND`] rests on: `PHOTOS=DIR cargo test --release --lib likeness -- --ignored --nocapture`.
#[test]
#[ignore = "reads a folder of photographs and takes minutes"]
fn the_bound_on_a_folder_of_photographs() {
    let dir = std::env::var("PHOTOS").unwrap();
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let photos: Vec<Image> = paths.iter().filter_map(|path| decode::read(path).ok()).collect();
    for size_px in [80, 128, 192, 320, 512] {
        let found = compare(&photos, size_px, if size_px < 300 { 12 } else { 4 });
        let print = |name: &str, values: &[f64]| {
            println!("{size_px} px {name:>14}: {:6.2} % of {}", 100.0 * reach(values), values.len());
        };
        PRESETS.iter().zip(&found.own).for_each(|(preset, own)| print(preset, own));
        print("half away", &found.neighbours);
        print("moved", &found.moved);
        print("foreign", &found.foreign);
    }
}
