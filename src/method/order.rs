//! The order in which pairs are trained on: each epoch another permutation, a function of seed and position alone.

use crate::random::Random;

/// Stream of [`Random`].
const ORDER: u32 = 0x2000_0002;

/// Endless shuffled epochs over `0..len`.
#[derive(Clone, Debug)]
pub struct Order {
    seed: u64,
    len: usize,
    epoch: Option<u64>,
    permutation: Vec<u32>,
}

impl Order {
    /// The order of `len` pairs (at least one) under a seed.
    pub fn new(seed: u64, len: usize) -> Self {
        Self { seed, len: len.max(1), epoch: None, permutation: Vec::new() }
    }

    /// The pair at a position of the run.
    pub fn at(&mut self, position: u64) -> usize {
        let epoch = position / self.len as u64;
        if self.epoch != Some(epoch) {
            self.shuffle(epoch);
        }
        self.permutation[(position % self.len as u64) as usize] as usize
    }

    /// Fisher and Yates.
    fn shuffle(&mut self, epoch: u64) {
        self.permutation = (0..self.len as u32).collect();
        let random = Random::new(self.seed, ORDER);
        for i in (1..self.len).rev() {
            let [a, b, ..] = random.words([i as u32, epoch as u32, (epoch >> 32) as u32]);
            let word = u128::from((u64::from(a) << 32) | u64::from(b));
            self.permutation.swap(i, ((word * (i as u128 + 1)) >> 64) as usize);
        }
        self.epoch = Some(epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_every_pair_once_in_another_order() {
        let mut order = Order::new(3, 50);
        let epochs: Vec<Vec<usize>> = (0..3).map(|e| (0..50).map(|i| order.at(e * 50 + i)).collect()).collect();
        for epoch in &epochs {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        }
        assert_ne!(epochs[0], epochs[1]);
        assert_eq!(order.at(7), epochs[0][7], "a position means the same whatever was asked before");
        assert_ne!(Order::new(4, 50).at(0) * 50 + Order::new(4, 50).at(1), epochs[0][0] * 50 + epochs[0][1]);
    }
}
