//! Gaussian and Poisson noise, in colour or grey, as Real-ESRGAN adds them.

use crate::Result;
use crate::imaging::Image;
use crate::imaging::color::luma;
use crate::imaging::draw::{Purpose, noise, normal_noise};
use crate::imaging::quantize::to_u8;

/// Adds normal noise of the standard deviation `sigma` (in [0, 1]); `gray`: the same to all channels. Clamped to
/// [0, 1]. `part` separates the steps of one seed.
pub fn gaussian(image: Image, sigma: f32, gray: bool, seed: u64, part: u32) -> Result<Image> {
    let planes = if gray { 1 } else { 3 };
    let values = normal_noise(planes * image.width() * image.height(), seed, Purpose::DegradationNoise, part);
    add(image, &values, sigma)
}

/// Adds `scale` times the noise of a photon count. The count of full brightness is the number of distinct 8-bit levels
/// in the image, rounded up to a power of two: Real-ESRGAN's rule. Clamped to [0, 1].
pub fn poisson(image: Image, scale: f32, gray: bool, seed: u64, part: u32) -> Result<Image> {
    let levels: Vec<u8> = if gray {
        luma(&image).iter().map(|&v| to_u8(v)).collect()
    } else {
        image.data().iter().map(|&v| to_u8(v)).collect()
    };
    let mut present = [false; 256];
    for &level in &levels {
        present[level as usize] = true;
    }
    let peak = present.iter().filter(|p| **p).count().next_power_of_two() as f64;
    let counts: Vec<Counts> = present
        .iter()
        .enumerate()
        .map(|(level, present)| Counts::new(if *present { level as f64 / 255.0 * peak } else { 0.0 }))
        .collect();
    let values = noise(levels.len(), seed, Purpose::DegradationNoise, part, |i, word| {
        let counts = &counts[levels[i] as usize];
        ((f64::from(counts.draw(word)) - counts.mean) / peak) as f32
    });
    add(image, &values, scale)
}

/// `image + factor · noise`, for noise of three planes or of one for all.
fn add(image: Image, noise: &[f32], factor: f32) -> Result<Image> {
    let (width, height) = (image.width(), image.height());
    let mut data = image.into_data();
    for (values, noise) in data.chunks_mut(noise.len()).zip(std::iter::repeat(noise)).take(3) {
        for (value, noise) in values.iter_mut().zip(noise) {
            *value = (*value + factor * noise).clamp(0.0, 1.0);
        }
    }
    Image::new(width, height, data)
}

/// The Poisson distribution of one mean, as a table: an image has at most 256 means.
struct Counts {
    mean: f64,
    /// The smallest count in the table.
    first: u32,
    /// For each count from `first` on, the share of words at or below it: P(N ≤ n) · 2³².
    below: Vec<u32>,
}

impl Counts {
    fn new(mean: f64) -> Self {
        const WORDS: f64 = 4_294_967_296.0;
        let mut probability = libm::exp(-mean);
        let mut total = probability;
        let mut count = 0u32;
        let mut table = Self { mean, first: 0, below: Vec::new() };
        // Up to the mean and on until nothing is left that 32 bits can tell.
        while f64::from(count) < mean || (1.0 - total) * WORDS > 1.0 && probability > 1e-12 {
            if total * WORDS >= 1.0 {
                table.below.push((total * WORDS).min(WORDS - 1.0) as u32);
            } else {
                table.first = count + 1;
            }
            count += 1;
            probability *= mean / f64::from(count);
            total += probability;
        }
        table
    }

    fn draw(&self, word: u32) -> u32 {
        self.first + self.below.partition_point(|&below| below <= word) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_mean_and_variance_of_a_poisson_distribution() {
        for mean in [0.0, 0.02, 1.0, 7.5, 90.0, 256.0] {
            let counts = Counts::new(mean);
            let draws: Vec<f64> =
                (0..200_000u32).map(|i| f64::from(counts.draw(i.wrapping_mul(2_654_435_761)))).collect();
            let n = draws.len() as f64;
            let average = draws.iter().sum::<f64>() / n;
            let variance = draws.iter().map(|d| (d - average).powi(2)).sum::<f64>() / n;
            assert!((average - mean).abs() < 0.01 * mean.sqrt() + 1e-9, "{mean}: {average}");
            assert!((variance - mean).abs() < 0.02 * mean + 1e-9, "{mean}: {variance}");
        }
        // P(N = 0) = e⁻¹ and P(N ≤ 2) = 5/2 · e⁻¹ for a mean of 1.
        let counts = Counts::new(1.0);
        let share = |words: u32| f64::from(words) / 4_294_967_296.0;
        assert!((share(counts.below[0]) - (-1f64).exp()).abs() < 1e-9);
        assert!((share(counts.below[2]) - 2.5 * (-1f64).exp()).abs() < 1e-9);
    }

    fn flat(value: f32) -> Image {
        Image::new(64, 64, vec![value; 3 * 64 * 64]).unwrap()
    }

    #[test]
    fn gray_noise_is_the_same_in_all_channels_and_color_noise_is_not() {
        for gray in [true, false] {
            for noisy in [gaussian(flat(0.5), 0.05, gray, 1, 2), poisson(flat(0.5), 0.1, gray, 1, 2)] {
                let noisy = noisy.unwrap();
                assert_eq!(noisy.plane(0) == noisy.plane(1) && noisy.plane(1) == noisy.plane(2), gray);
                assert_ne!(noisy, flat(0.5));
            }
        }
    }

    #[test]
    fn noise_has_the_strength_asked_for() {
        let deviation = |image: Image, from: f32| {
            let n = image.data().len() as f32;
            (image.data().iter().map(|v| (v - from).powi(2)).sum::<f32>() / n).sqrt()
        };
        for sigma in [0.01, 0.05] {
            let found = deviation(gaussian(flat(0.5), sigma, false, 3, 0).unwrap(), 0.5);
            assert!((found / sigma - 1.0).abs() < 0.03, "{found} for {sigma}");
        }
        // 256 levels: a variance of value / 256.
        let ramp = Image::new(256, 64, (0..3 * 64 * 256).map(|i| (i % 256) as f32 / 255.0).collect()).unwrap();
        let noisy = poisson(ramp.clone(), 0.5, false, 3, 0).unwrap();
        let column = 128;
        let values: Vec<f32> = noisy.data().iter().skip(column).step_by(256).copied().collect();
        let mean = ramp.data()[column];
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32;
        let expected = 0.25 * mean / 256.0;
        assert!((variance / expected - 1.0).abs() < 0.35, "{variance} for {expected}");
    }
}
