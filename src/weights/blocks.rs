//! Numbers in blocks that share a scale, as ggml packs them: 32 values, or 256 with scales of their own for groups of them.
//!
//! A block is decoded from its bytes alone; whoever calls gives whole blocks.

use half::f16;

/// A format of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum Blocks {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
}

/// Values of the largest block.
pub(super) const MOST: usize = 256;

impl Blocks {
    /// Values of a block.
    pub fn values(self) -> usize {
        match self {
            Blocks::Q4_0 | Blocks::Q4_1 | Blocks::Q5_0 | Blocks::Q5_1 | Blocks::Q8_0 => 32,
            _ => MOST,
        }
    }

    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        match self {
            Blocks::Q4_0 => 18,
            Blocks::Q4_1 => 20,
            Blocks::Q5_0 => 22,
            Blocks::Q5_1 => 24,
            Blocks::Q8_0 => 34,
            Blocks::Q2_K => 84,
            Blocks::Q3_K => 110,
            Blocks::Q4_K => 144,
            Blocks::Q5_K => 176,
            Blocks::Q6_K => 210,
        }
    }

    /// Where a block has scales of 16 bits that must be finite.
    fn scales(self) -> &'static [usize] {
        match self {
            Blocks::Q4_0 | Blocks::Q5_0 | Blocks::Q8_0 => &[0],
            Blocks::Q4_1 | Blocks::Q5_1 | Blocks::Q4_K | Blocks::Q5_K => &[0, 2],
            Blocks::Q2_K => &[80, 82],
            Blocks::Q3_K => &[108],
            Blocks::Q6_K => &[208],
        }
    }

    /// Whether all values of whole blocks are finite: their scales are.
    pub fn are_finite(self, blocks: &[u8]) -> bool {
        blocks.chunks_exact(self.bytes()).all(|block| self.scales().iter().all(|&at| half_at(block, at).is_finite()))
    }

    /// The values of one block, which `block` and `to` must have the sizes of.
    pub fn decode(self, block: &[u8], to: &mut [f32]) {
        match self {
            Blocks::Q4_0 => fours(&block[2..], to, half_at(block, 0), -8.0 * half_at(block, 0)),
            Blocks::Q4_1 => fours(&block[4..], to, half_at(block, 0), half_at(block, 2)),
            Blocks::Q5_0 => fives(&block[2..], to, half_at(block, 0), -16.0 * half_at(block, 0)),
            Blocks::Q5_1 => fives(&block[4..], to, half_at(block, 0), half_at(block, 2)),
            Blocks::Q8_0 => {
                let scale = half_at(block, 0);
                to.iter_mut().zip(&block[2..]).for_each(|(to, &q)| *to = scale * f32::from(q as i8));
            }
            Blocks::Q2_K => k2(block, to),
            Blocks::Q3_K => k3(block, to),
            Blocks::Q4_K => k4_or_k5(block, &block[16..144], None, to),
            Blocks::Q5_K => k4_or_k5(block, &block[48..176], Some(&block[16..48]), to),
            Blocks::Q6_K => k6(block, to),
        }
    }
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// 32 values of 4 bits: the low halves of 16 bytes, then the high ones.
fn fours(packed: &[u8], to: &mut [f32], scale: f32, least: f32) {
    let (low, high) = to.split_at_mut(16);
    for ((low, high), &q) in low.iter_mut().zip(high).zip(packed) {
        (*low, *high) = (scale * f32::from(q & 15) + least, scale * f32::from(q >> 4) + least);
    }
}

/// The same with a fifth bit each, which come first.
fn fives(packed: &[u8], to: &mut [f32], scale: f32, least: f32) {
    let fifth = u32::from_le_bytes([packed[0], packed[1], packed[2], packed[3]]);
    let bit = |i: usize| ((fifth >> i) as u8 & 1) << 4;
    let (low, high) = to.split_at_mut(16);
    for (i, ((low, high), &q)) in low.iter_mut().zip(high).zip(&packed[4..]).enumerate() {
        *low = scale * f32::from(q & 15 | bit(i)) + least;
        *high = scale * f32::from(q >> 4 | bit(i + 16)) + least;
    }
}

/// 16 groups of 16 values of 2 bits, each with a scale and a least value of 4 bits.
fn k2(block: &[u8], to: &mut [f32]) {
    let (scales, packed) = (&block[..16], &block[16..80]);
    let (scale, least) = (half_at(block, 80), half_at(block, 82));
    for (group, to) in to.chunks_exact_mut(16).enumerate() {
        let (scale, least) = (scale * f32::from(scales[group] & 15), least * f32::from(scales[group] >> 4));
        let (from, shift) = place(group);
        for (to, q) in to.iter_mut().zip(&packed[from..]) {
            *to = scale * f32::from(q >> shift & 3) - least;
        }
    }
}

/// 16 groups of 16 values of 3 bits, the third of which lies apart, each with a scale of 6 bits.
fn k3(block: &[u8], to: &mut [f32]) {
    let (third, packed, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half_at(block, 108);
    for (group, to) in to.chunks_exact_mut(16).enumerate() {
        let low = if group < 8 { scales[group] & 15 } else { scales[group - 8] >> 4 };
        let high = scales[8 + group % 4] >> (2 * (group / 4)) & 3;
        let scale = scale * (f32::from(low | high << 4) - 32.0);
        let (from, shift) = place(group);
        let bits = &third[group % 2 * 16..];
        for ((to, q), bits) in to.iter_mut().zip(&packed[from..]).zip(bits) {
            let is_set = bits >> (group / 2) & 1 == 1;
            *to = scale * (f32::from(q >> shift & 3) - if is_set { 0.0 } else { 4.0 });
        }
    }
}

/// Where a group of 16 values of 2 bits begins in the bytes, and its place in each of them.
fn place(group: usize) -> (usize, usize) {
    (group / 8 * 32 + group % 2 * 16, group % 8 / 2 * 2)
}

/// 8 groups of 32 values of 4 bits, or 5 with `fifth`, each with a scale and a least value of 6 bits.
fn k4_or_k5(block: &[u8], packed: &[u8], fifth: Option<&[u8]>, to: &mut [f32]) {
    let (scale, least, scales) = (half_at(block, 0), half_at(block, 2), &block[4..16]);
    for (group, to) in to.chunks_exact_mut(32).enumerate() {
        let [of, under] = if group < 4 {
            [scales[group] & 63, scales[group + 4] & 63]
        } else {
            let (both, low, high) = (scales[group + 4], scales[group - 4], scales[group]);
            [both & 15 | low >> 6 << 4, both >> 4 | high >> 6 << 4]
        };
        let (scale, least) = (scale * f32::from(of), least * f32::from(under));
        for (i, (to, q)) in to.iter_mut().zip(&packed[group / 2 * 32..]).enumerate() {
            let four = q >> (group % 2 * 4) & 15;
            let five = fifth.map_or(four, |fifth| four | (fifth[i] >> group & 1) << 4);
            *to = scale * f32::from(five) - least;
        }
    }
}

/// 16 groups of 16 values of 6 bits, the highest two of which lie apart, each with a scale of 8 bits.
fn k6(block: &[u8], to: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half_at(block, 208);
    for (group, to) in to.chunks_exact_mut(16).enumerate() {
        let scale = scale * f32::from(scales[group] as i8);
        let (part, quarter, from) = (group / 8, group % 8 / 2, group % 2 * 16);
        let lows = &low[part * 64 + quarter % 2 * 32 + from..];
        let highs = &high[part * 32 + from..];
        for ((to, low), high) in to.iter_mut().zip(lows).zip(highs) {
            let six = low >> (quarter / 2 * 4) & 15 | (high >> (2 * quarter) & 3) << 4;
            *to = scale * (f32::from(six) - 32.0);
        }
    }
}
