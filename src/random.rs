//! Random numbers that are a pure function of a key and a position: the same on every device, in any order.
//!
//! Philox4x32-10 of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011). Normals by Box and Muller
//! with `libm`, whose results do not depend on the platform.

use std::ops::Range;

use rayon::prelude::*;

/// A family of streams, selected by `key` (a seed) and `stream` (what the numbers are for).
#[derive(Clone, Copy, Debug)]
pub struct Random {
    key: u64,
    stream: u32,
}

impl Random {
    /// The stream `stream` of the seed `key`.
    pub fn new(key: u64, stream: u32) -> Self {
        Self { key, stream }
    }

    /// Four independent words for a position of three coordinates.
    pub fn words(&self, position: [u32; 3]) -> [u32; 4] {
        let [a, b, c] = position;
        philox([a, b, c, self.stream], [self.key as u32, (self.key >> 32) as u32])
    }

    /// Four independent values in [0, 1), with 24 bits each.
    pub fn uniforms(&self, position: [u32; 3]) -> [f32; 4] {
        self.words(position).map(|w| (w >> 8) as f32 * (1.0 / (1 << 24) as f32))
    }

    /// Four independent standard normal values.
    pub fn normals(&self, position: [u32; 3]) -> [f32; 4] {
        let w = self.words(position);
        let pair = |a: u32, b: u32| {
            // (0, 1], so that the logarithm is finite.
            let radius = libm::sqrt(-2.0 * libm::log((a as f64 + 1.0) / 4_294_967_296.0));
            let (sin, cos) = libm::sincos(std::f64::consts::TAU * (b as f64 / 4_294_967_296.0));
            [(radius * cos) as f32, (radius * sin) as f32]
        };
        let ([a, b], [c, d]) = (pair(w[0], w[1]), pair(w[2], w[3]));
        [a, b, c, d]
    }

    /// Standard normal noise of an image, planar `[channels, height, width]`. A value depends on its pixel and channel
    /// only, not on the image's size.
    pub fn normal_image(&self, channels: usize, height: usize, width: usize) -> Vec<f32> {
        self.normal_rows(channels, 0..height, width)
    }

    /// Some rows of [`Random::normal_image`], of every channel.
    pub fn normal_rows(&self, channels: usize, rows: Range<usize>, width: usize) -> Vec<f32> {
        let count = rows.len();
        let mut noise = vec![0.0; channels * count * width];
        noise.par_chunks_exact_mut(width).enumerate().for_each(|(line, row)| {
            let (c, y) = (line / count, rows.start + line % count);
            for (x4, values) in row.chunks_mut(4).enumerate() {
                values.copy_from_slice(&self.normals([x4 as u32, y as u32, c as u32])[..values.len()]);
            }
        });
        noise
    }
}

fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = 0xD251_1F53u64 * counter[0] as u64;
        let b = 0xCD9E_8D57u64 * counter[2] as u64;
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known-answer vectors published with Random123 (kat_vectors, philox4x32 10).
    #[test]
    fn philox_gives_the_published_vectors() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        let pi = ([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]);
        assert_eq!(philox(pi.0, pi.1), [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let noise = Random::new(7, 0).normal_image(3, 128, 128);
        let n = noise.len() as f64;
        let mean = noise.iter().map(|&v| v as f64).sum::<f64>() / n;
        let variance = noise.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 4.0 / n.sqrt(), "{mean}");
        assert!((variance - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{variance}");
    }

    #[test]
    fn noise_of_a_pixel_does_not_depend_on_the_size_of_the_image() {
        let (small, large) = (Random::new(3, 1).normal_image(3, 8, 6), Random::new(3, 1).normal_image(3, 20, 33));
        assert_eq!(small[(8 + 5) * 6 + 3], large[(20 + 5) * 33 + 3]);
        assert_ne!(small, Random::new(4, 1).normal_image(3, 8, 6));
        let rows = Random::new(3, 1).normal_rows(3, 4..7, 33);
        assert_eq!(rows[(3 + 1) * 33 + 3], large[(20 + 5) * 33 + 3]);
    }
}
