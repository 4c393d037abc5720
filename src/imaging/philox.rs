//! Random words that are a pure function of a seed, a stream and a position: the same on every platform, in any order.
//!
//! Philox4x32-10 of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011).

/// A family of streams, selected by `key` (a seed) and `stream` (what the numbers are for).
#[derive(Clone, Copy, Debug)]
pub(super) struct Random {
    key: u64,
    stream: u32,
}

impl Random {
    /// The stream `stream` of the seed `key`.
    pub(super) fn new(key: u64, stream: u32) -> Self {
        Self { key, stream }
    }

    /// Four independent words for a position of three coordinates.
    pub(super) fn words(&self, position: [u32; 3]) -> [u32; 4] {
        let [a, b, c] = position;
        philox([a, b, c, self.stream], [self.key as u32, (self.key >> 32) as u32])
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
    }
}
