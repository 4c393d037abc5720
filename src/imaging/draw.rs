//! Seeded draws: what a recipe of random choices needs, the same for a seed on every platform and in every version.
//!
//! [`Draws`] hands out numbers in order, for choices; [`noise`] fills a whole buffer in parallel, each value a function
//! of its position. Both run on a counter-based generator and `libm`, never on the system's mathematical library.

use crate::random::Random;
use rayon::prelude::*;

/// What the numbers are for; uses with the same seed stay independent of one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Where to crop.
    Crop = 0x4352_4f50,
    /// The parameters of a degradation.
    Degradation = 0x4445_4752,
    /// The noise a degradation adds.
    DegradationNoise = 0x4e4f_4953,
}

/// A sequence of numbers, fixed by a seed and a purpose.
#[derive(Clone, Debug)]
pub struct Draws {
    random: Random,
    taken: u64,
    words: [u32; 4],
}

impl Draws {
    /// The sequence of `seed` for `purpose`.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Self { random: Random::new(seed, purpose as u32), taken: 0, words: [0; 4] }
    }

    /// 32 random bits.
    pub fn word(&mut self) -> u32 {
        let lane = (self.taken % 4) as usize;
        if lane == 0 {
            let block = self.taken / 4;
            self.words = self.random.words([block as u32, (block >> 32) as u32, 0]);
        }
        self.taken += 1;
        self.words[lane]
    }

    /// A value in [0, 1), with 24 bits.
    pub fn unit(&mut self) -> f32 {
        unit(self.word())
    }

    /// A value in [low, high]; `low` where both are equal.
    pub fn between(&mut self, [low, high]: [f32; 2]) -> f32 {
        (low + (high - low) * self.unit()).clamp(low.min(high), high.max(low))
    }

    /// Whether an event of this probability happens: never at 0, always at 1.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// An index below `count`, each equally likely (to 2⁻³² · `count`); 0 where `count` is 0.
    pub fn index(&mut self, count: usize) -> usize {
        ((self.word() as u128 * count as u128) >> 32) as usize
    }

    /// An index with probability proportional to its weight; the last one with a positive weight on a rounding tail.
    pub fn weighted(&mut self, weights: impl IntoIterator<Item = f32> + Clone) -> usize {
        let total: f32 = weights.clone().into_iter().sum();
        let mut left = self.unit() * total;
        let mut last = 0;
        for (i, weight) in weights.into_iter().enumerate() {
            if weight > 0.0 {
                if left < weight {
                    return i;
                }
                last = i;
            }
            left -= weight;
        }
        last
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.index(i + 1));
        }
    }
}

/// A buffer of `len` values made of random words: `value(position, word)`, in parallel. `part` separates several
/// buffers of one seed and purpose.
pub fn noise(len: usize, seed: u64, purpose: Purpose, part: u32, value: impl Fn(usize, u32) -> f32 + Sync) -> Vec<f32> {
    fill(len, seed, purpose, part, |at, words, out| {
        for (i, (out, &word)) in out.iter_mut().zip(words).enumerate() {
            *out = value(at + i, word);
        }
    })
}

/// A buffer of `len` standard normal values, by the transform of Box and Muller.
pub fn normal_noise(len: usize, seed: u64, purpose: Purpose, part: u32) -> Vec<f32> {
    fill(len, seed, purpose, part, |_, words, out| {
        let ([a, b], [c, d]) = (normal_pair(words[0], words[1]), normal_pair(words[2], words[3]));
        out.copy_from_slice(&[a, b, c, d][..out.len()]);
    })
}

/// Fills a buffer four values at a time from the words of their position.
fn fill(
    len: usize,
    seed: u64,
    purpose: Purpose,
    part: u32,
    four: impl Fn(usize, &[u32; 4], &mut [f32]) + Sync,
) -> Vec<f32> {
    const CHUNK: usize = 4096;
    let random = Random::new(seed, purpose as u32);
    let mut values = vec![0.0; len];
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
        for (i, out) in values.chunks_mut(4).enumerate() {
            let block = (chunk * CHUNK / 4 + i) as u64;
            // The third coordinate is 0 in `Draws`, so that buffers never repeat its numbers.
            let words = random.words([block as u32, (block >> 32) as u32, part.wrapping_add(1)]);
            four(4 * block as usize, &words, out);
        }
    });
    values
}

fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

/// Two standard normal values from two words. Single precision: this is most of the cost of a noisy degradation.
fn normal_pair(a: u32, b: u32) -> [f32; 2] {
    // Half a step above 0, so that the logarithm is finite; |value| stays under 6.7.
    let radius = (-2.0 * libm::logf((a as f32 + 0.5) * (1.0 / 4_294_967_296.0))).max(0.0).sqrt();
    let (sin, cos) = libm::sincosf(std::f32::consts::TAU * unit(b));
    [radius * cos, radius * sin]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_the_moments_and_tails_of_a_normal() {
        let values = normal_noise(400_000, 7, Purpose::DegradationNoise, 0);
        let moment = |k: i32| values.iter().map(|&v| (v as f64).powi(k)).sum::<f64>() / values.len() as f64;
        assert!(moment(1).abs() < 0.01, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.01, "{}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.1, "{}", moment(4));
        let beyond = values.iter().filter(|v| v.abs() > 1.959_964).count() as f64 / values.len() as f64;
        assert!((beyond - 0.05).abs() < 0.002, "{beyond}");
    }

    #[test]
    fn draws_are_fixed_by_seed_and_purpose_and_stay_in_range() {
        let take = |seed, purpose| {
            let mut draws = Draws::new(seed, purpose);
            (0..50).map(|_| draws.word()).collect::<Vec<_>>()
        };
        assert_eq!(take(3, Purpose::Crop), take(3, Purpose::Crop));
        assert_ne!(take(3, Purpose::Crop), take(4, Purpose::Crop));
        assert_ne!(take(3, Purpose::Crop), take(3, Purpose::Degradation));

        let mut draws = Draws::new(1, Purpose::Crop);
        let mut counts = [0usize; 4];
        for _ in 0..40_000 {
            assert!((2.0..=3.0).contains(&draws.between([2.0, 3.0])));
            assert!(!draws.chance(0.0) && draws.chance(1.0));
            assert!(draws.index(5) < 5);
            counts[draws.weighted([0.2, 0.0, 0.7, 0.1])] += 1;
        }
        assert_eq!(counts[1], 0);
        for (count, share) in counts.iter().zip([0.2, 0.0, 0.7, 0.1]) {
            assert!((*count as f64 / 40_000.0 - share).abs() < 0.01, "{counts:?}");
        }
    }

    #[test]
    fn buffers_depend_on_the_part_and_not_on_the_threads() {
        let buffer = |part| noise(10_001, 5, Purpose::DegradationNoise, part, |_, w| unit(w));
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| buffer(0));
        assert_eq!(one, buffer(0));
        assert_ne!(one, buffer(1));
    }
}
