//! A pair of images that everybody can make: integers and a counter decide every pixel, so that a metric's score on them can be
//! compared across programs and machines without a file. The same counter makes the weights that parity tests use.

use crate::imaging::Image;
use crate::imaging::quantize::from_rgb8;
use crate::{Error, Result};

/// The largest side, in pixels, that [`pair`] makes.
pub const MAX_SIDE_PX: usize = 16_384;

/// Height and width at which scores are compared by custom.
pub const SIZE_PX: [usize; 2] = [256, 288];

/// The key of a name: FNV-1a in 64 bits.
pub fn key(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Word `i` of a key's stream: SplitMix64 of a counter.
pub fn word(key: u64, i: u64) -> u64 {
    let mut z = key.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The reference image and its distorted copy (blurred, noisy, flat in some blocks), of `height` × `width` pixels.
///
/// Errors: a side is 0 or over [`MAX_SIDE_PX`].
pub fn pair([height, width]: [usize; 2]) -> Result<[Image; 2]> {
    if [height, width].iter().any(|side| !(1..=MAX_SIDE_PX).contains(side)) {
        return Err(Error::invalid(format!("sides of 1 to {MAX_SIDE_PX} pixels are needed, not {width}×{height}")));
    }
    let reference = reference(height as i64, width as i64);
    let distorted = distorted(&reference, height as i64, width as i64);
    Ok([from_rgb8(width, height, &reference)?, from_rgb8(width, height, &distorted)?])
}

/// A triangle wave between 0 and `period − 1`.
fn wave(t: i64, period: i64) -> i64 {
    let at = t.rem_euclid(2 * period);
    if at < period { at } else { 2 * period - 1 - at }
}

/// Every value of an image, row by row, from its position and its index.
fn each(height: i64, width: i64, value: impl Fn([i64; 3], u64) -> i64) -> Vec<u8> {
    let mut values = Vec::with_capacity((height * width * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            values.extend([0, 1, 2].map(|c| value([y, x, c], ((y * width + x) * 3 + c) as u64) as u8));
        }
    }
    values
}

fn reference(height: i64, width: i64) -> Vec<u8> {
    let noise = key("image:reference");
    each(height, width, |[y, x, c], i| {
        let texture = wave(x * x / 64 + 5 * y * (c + 1), 61) + wave(x + y * y / 96, 83);
        wave(3 * x + 2 * y + 37 * c, 97) + texture + (word(noise, i) >> 60) as i64
    })
}

fn distorted(reference: &[u8], height: i64, width: i64) -> Vec<u8> {
    let noise = key("image:distorted");
    let at = |y: i64, x: i64, c: i64| {
        let (y, x) = (y.clamp(0, height - 1), x.clamp(0, width - 1));
        i64::from(reference[((y * width + x) * 3 + c) as usize])
    };
    each(height, width, |[y, x, c], i| {
        let sum: i64 =
            (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx))).map(|(dy, dx)| at(y + dy, x + dx, c)).sum();
        let noisy = ((sum + 4) / 9 + (word(noise, i) >> 58) as i64 - 32).clamp(0, 255);
        if (y / 8 + x / 8) % 3 == 0 { noisy / 16 * 16 + 8 } else { noisy }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::hash::hash_bytes;
    use crate::imaging::quantize::to_rgb8;

    #[test]
    fn the_images_are_those_that_scores_are_published_for() {
        let hashes = |size| pair(size).unwrap().map(|image| hash_bytes(&to_rgb8(&image)));
        assert_eq!(
            hashes(SIZE_PX),
            [
                "08b311818d2cb60e79aa1530942bfe60c798378ed371353c5d4181a805310e77",
                "f3c560383dac2ed6286f78e93980c4be893e7a30372828046875fd5e69acf7c9"
            ]
        );
        assert_ne!(hashes([237, 251])[0], hashes([237, 251])[1]);
        assert!(pair([0, 5]).is_err() && pair([5, MAX_SIDE_PX + 1]).is_err());
    }
}
