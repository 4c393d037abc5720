//! How a picture looks, in 64 bits: the same picture saved as another file, resized or compressed again is told by it,
//! where a hash of the file's bytes sees another file.
//!
//! The perceptual hash of the field: the luma at 32 × 32 px, its lowest 8 × 8 coefficients of the discrete cosine
//! transform, each a bit that says whether it is above their median. A crop, a turn or a mirror image is another picture
//! to it, and two photographs of one motif may be.

use super::resize::{Filter, resize_plane};
use super::{Image, color};
use crate::Result;

/// Bits that may differ between two forms of one picture. Pictures that have nothing to do with each other differ in about
/// 32, with a standard deviation of 4.
pub const ALIKE: u32 = 8;

/// Side of the picture that is looked at, in pixels.
const SIDE: usize = 32;
/// Coefficients in each direction.
const LOW: usize = 8;
/// Below this standard deviation of the luma there is nothing to tell pictures apart by: half a level of 8 bits.
const FLAT: f64 = 0.5 / 255.0;

/// The fingerprint of a picture; 0, which no other has, for one without any contrast.
pub fn fingerprint(image: &Image) -> Result<u64> {
    let luma = color::luma(image);
    let size = (image.width(), image.height());
    let small = resize_plane(&luma, size, (SIDE, SIDE), Filter::Area)?;
    let count = (SIDE * SIDE) as f64;
    let mean = small.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let variance = small.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
    if variance.sqrt() < FLAT {
        return Ok(0);
    }
    let wave = |k: usize, x: usize| libm::cos(std::f64::consts::PI * k as f64 * (2 * x + 1) as f64 / (2 * SIDE) as f64);
    let coefficient = |u: usize, v: usize| -> f64 {
        let row = |y: usize| -> f64 { (0..SIDE).map(|x| f64::from(small[y * SIDE + x]) * wave(u, x)).sum() };
        (0..SIDE).map(|y| row(y) * wave(v, y)).sum()
    };
    let coefficients: Vec<f64> = (0..LOW * LOW).map(|i| coefficient(i % LOW, i / LOW)).collect();
    let mut sorted = coefficients.clone();
    sorted.sort_by(f64::total_cmp);
    let median = (sorted[LOW * LOW / 2 - 1] + sorted[LOW * LOW / 2]) / 2.0;
    let bit = |(i, c): (usize, &f64)| u64::from(*c > median) << i;
    Ok(coefficients.iter().enumerate().map(bit).sum())
}

/// Whether two fingerprints are of what may be one picture.
pub fn alike(a: u64, b: u64) -> bool {
    a != 0 && b != 0 && (a ^ b).count_ones() <= ALIKE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::imaging::crop::{self, Crop};
    use crate::imaging::decode::decode_bytes;
    use crate::imaging::encode::jpeg_bytes;
    use crate::imaging::resize::resize;

    fn of(image: &Image) -> u64 {
        fingerprint(image).unwrap()
    }

    #[test]
    fn other_forms_of_a_photograph_are_alike_and_other_photographs_are_not() {
        let photos: Vec<Image> = example::photos().iter().map(|p| decode_bytes(p.bytes).unwrap()).collect();
        let known: Vec<u64> = photos.iter().map(of).collect();
        for (index, photo) in photos.iter().enumerate() {
            let (width, height) = (photo.width(), photo.height());
            let quarter = resize(photo, width / 4, height / 4, Filter::Bicubic).unwrap();
            let again = decode_bytes(&jpeg_bytes(photo, 40).unwrap()).unwrap();
            let trimmed = crop::apply(photo, Crop { x: 0, y: 0, size_px: width.min(height) }).unwrap();
            for form in [quarter, again] {
                let bits = (of(&form) ^ known[index]).count_ones();
                assert!(alike(of(&form), known[index]), "photograph {index}: {bits} bits");
            }
            for (other, &fingerprint) in known.iter().enumerate().filter(|(other, _)| *other != index) {
                for form in [known[index], of(&trimmed)] {
                    let bits = (form ^ fingerprint).count_ones();
                    assert!(bits > ALIKE + 4, "photographs {index} and {other}: {bits} bits");
                }
            }
        }
    }

    #[test]
    fn flat_pictures_are_alike_to_nothing() {
        assert_eq!(of(&Image::new(5, 3, vec![0.3; 45]).unwrap()), 0);
        assert!(!alike(0, 0));
    }
}
