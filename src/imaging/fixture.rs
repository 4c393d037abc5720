//! Test data made by `tests/fixtures/make_imaging.py` and `make_color.py`.

use super::Image;
use std::path::{Path, PathBuf};

/// The path of a fixture file.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/imaging").join(name)
}

/// Shape and values of a recorded array.
pub(crate) fn array(name: &str) -> (Vec<usize>, Vec<f32>) {
    let text = std::fs::read_to_string(path("values.json")).unwrap();
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let entry = &all[name];
    let shape = entry["shape"].as_array().unwrap_or_else(|| panic!("no fixture {name}"));
    let values = entry["values"].as_array().unwrap();
    (
        shape.iter().map(|v| v.as_u64().unwrap() as usize).collect(),
        values.iter().map(|v| v.as_f64().unwrap() as f32).collect(),
    )
}

/// A recorded CHW array as an image.
pub(crate) fn image(name: &str) -> Image {
    let (shape, values) = array(name);
    Image::new(shape[2], shape[1], values).unwrap()
}

/// The script's `picture`.
pub(crate) fn picture(width: usize, height: usize, salt: usize) -> Image {
    let value =
        |c: usize, x: usize, y: usize| ((x * x * 31 + y * y * 17 + x * y * 7 + c * 101 + salt) % 256) as f32 / 255.0;
    let data = (0..3).flat_map(|c| (0..height).flat_map(move |y| (0..width).map(move |x| value(c, x, y))));
    Image::new(width, height, data.collect()).unwrap()
}

/// The largest difference of two images of one size, `border` pixels at each edge left out.
pub(crate) fn largest_difference(a: &Image, b: &Image, border: usize) -> f32 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let (width, height) = (a.width(), a.height());
    let inside = |i: usize| {
        let (x, y) = (i % width, i / width % height);
        x >= border && x < width - border && y >= border && y < height - border
    };
    let pairs = a.data().iter().zip(b.data()).enumerate().filter(|(i, _)| inside(*i));
    pairs.map(|(_, (a, b))| (a - b).abs()).fold(0.0, f32::max)
}
