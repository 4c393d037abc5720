//! In which order pairs are judged blindly, and which candidate stands on which side: a function of a seed, so that two people
//! judge the same pairs and whoever reads a judgement knows what was seen.

use crate::random::Random;

/// Stream of the order and of the sides.
const STREAM: u32 = 0x0ab_b11d;

/// Where a pair stands among all (the lower, the sooner), and whether its first candidate stands on the right. `seeds` are in
/// ascending order.
pub fn place(shuffle: u64, image: i64, seeds: [u64; 2]) -> (u64, bool) {
    let [a, b] = seeds;
    // Seeds beyond 32 bits are folded: what coincides comes one after the other, on the same sides.
    let fold = |seed: u64| (seed ^ (seed >> 32)) as u32;
    let image = image as u64;
    let [high, low, side, _] = Random::new(shuffle, STREAM).words([fold(image), fold(a), fold(b)]);
    ((u64::from(high) << 32) | u64::from(low), side & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_sides_are_even_and_follow_from_the_seed() {
        let pairs = || (0..40).flat_map(|image| (0..10).map(move |seed| (image, [seed, seed + 7])));
        let places = |shuffle| pairs().map(|(image, seeds)| place(shuffle, image, seeds)).collect::<Vec<_>>();
        assert_eq!(places(1), places(1));
        assert_ne!(places(1), places(2));
        let right = places(1).iter().filter(|(_, is_right)| *is_right).count();
        assert!((160..=240).contains(&right), "{right} of 400 on the right");
        // The first tenth of the order comes from all over.
        let mut order: Vec<_> = pairs().map(|(image, seeds)| (place(1, image, seeds).0, image)).collect();
        order.sort_unstable();
        let images: std::collections::HashSet<_> = order[..40].iter().map(|(_, image)| image).collect();
        assert!(images.len() > 15, "{} images", images.len());
    }
}
