//! Natural scene statistics: sums over MSCN coefficients and over products of neighbours, from which BRISQUE and NIQE
//! make their features.
//!
//! Neighbours lie to the right, below and on both diagonals; a block is closed to a torus, as in the original releases.

use std::ops::Range;

use super::ggd::{Side, Sums};
use super::parallel::{LANES, vectorised};
use super::plane::Plane;

/// A block of an image, in pixels.
#[derive(Clone, Copy, Debug)]
pub struct Rect {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

impl Rect {
    /// All of an image.
    pub fn whole(plane: &Plane) -> Self {
        Self { x: 0, y: 0, width: plane.width, height: plane.height }
    }
}

/// Sums over a block: of the coefficients, then of the products with the neighbour horizontally, vertically, on the
/// main diagonal and on the other diagonal.
pub type BlockSums = [Sums; 5];

/// Sums over some rows of a block; adding those of all rows gives the block's.
pub fn sums(mscn: &Plane, block: Rect, rows: Range<usize>) -> BlockSums {
    let row = |y: usize| &mscn.row(block.y + y)[block.x..block.x + block.width];
    let last = block.width - 1;
    let count = (rows.len() * block.width) as f64;
    let mut lanes = [Lanes::default(); 5];
    vectorised(|| {
        let [own, horizontal, vertical, main, other] = &mut lanes;
        for y in rows {
            let (current, above) = (row(y), row((y + block.height - 1) % block.height));
            own.add(current);
            horizontal.add_products(&current[1..], &current[..last]);
            horizontal.add_products(&current[..1], &current[last..]);
            vertical.add_products(current, above);
            main.add_products(&current[1..], &above[..last]);
            main.add_products(&current[..1], &above[last..]);
            other.add_products(&current[..last], &above[1..]);
            other.add_products(&current[last..], &above[..1]);
        }
    });
    lanes.map(|lanes| Sums { count, ..lanes.total() })
}

/// Running sums in f32 lanes that the compiler keeps in vector registers.
#[derive(Clone, Copy, Default)]
struct Lanes {
    negative: SideLanes,
    positive: SideLanes,
}

#[derive(Clone, Copy, Default)]
struct SideLanes {
    count: [f32; LANES],
    absolute: [f32; LANES],
    squares: [f32; LANES],
}

impl Lanes {
    #[inline(always)]
    fn add(&mut self, values: &[f32]) {
        let (chunks, rest) = values.as_chunks::<LANES>();
        let mut sums = *self;
        for chunk in chunks {
            for (lane, &v) in chunk.iter().enumerate() {
                sums.add_one(lane, v);
            }
        }
        rest.iter().for_each(|&v| sums.add_one(0, v));
        *self = sums;
    }

    #[inline(always)]
    fn add_products(&mut self, a: &[f32], b: &[f32]) {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        let mut sums = *self;
        for (a, b) in a.iter().zip(b) {
            for (lane, (a, b)) in a.iter().zip(b).enumerate() {
                sums.add_one(lane, a * b);
            }
        }
        a_rest.iter().zip(b_rest).for_each(|(a, b)| sums.add_one(0, a * b));
        *self = sums;
    }

    #[inline(always)]
    fn add_one(&mut self, lane: usize, v: f32) {
        let below = if v < 0.0 { -v } else { 0.0 };
        let above = if v > 0.0 { v } else { 0.0 };
        self.negative.count[lane] += if v < 0.0 { 1.0 } else { 0.0 };
        self.negative.absolute[lane] += below;
        self.negative.squares[lane] += below * below;
        self.positive.count[lane] += if v > 0.0 { 1.0 } else { 0.0 };
        self.positive.absolute[lane] += above;
        self.positive.squares[lane] += above * above;
    }

    fn total(&self) -> Sums {
        Sums { count: 0.0, negative: self.negative.total(), positive: self.positive.total() }
    }
}

impl SideLanes {
    fn total(&self) -> Side {
        let total = |lanes: &[f32; LANES]| lanes.iter().map(|&v| v as f64).sum();
        Side { count: total(&self.count), absolute: total(&self.absolute), squares: total(&self.squares) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_definition_on_a_torus() {
        let (width, height) = (40, 21);
        let data = (0..width * height).map(|i| (i * 7919 % 101) as f32 / 50.0 - 1.0).collect();
        let plane = Plane { width, height, data };
        let block = Rect { x: 3, y: 2, width: 35, height: 18 };
        let at = |x: isize, y: isize| {
            let (x, y) = (x.rem_euclid(35) as usize, y.rem_euclid(18) as usize);
            plane.row(block.y + y)[block.x + x] as f64
        };
        let parts = [0..7, 7..18].map(|rows| sums(&plane, block, rows));
        let neighbours = [None, Some((-1, 0)), Some((0, -1)), Some((-1, -1)), Some((1, -1))];
        for (i, neighbour) in neighbours.into_iter().enumerate() {
            let mut want = Sums { count: 35.0 * 18.0, ..Sums::default() };
            for (x, y) in (0..18).flat_map(|y| (0..35).map(move |x| (x, y))) {
                let v = at(x, y) * neighbour.map_or(1.0, |(dx, dy)| at(x + dx, y + dy));
                let side = if v < 0.0 { &mut want.negative } else { &mut want.positive };
                side.count += if v == 0.0 { 0.0 } else { 1.0 };
                side.absolute += v.abs();
                side.squares += v * v;
            }
            let got = parts[0][i].plus(parts[1][i]);
            for (got, want) in [(got.negative, want.negative), (got.positive, want.positive)] {
                assert_eq!(got.count, want.count);
                assert!((got.absolute - want.absolute).abs() < 1e-3 && (got.squares - want.squares).abs() < 1e-3);
            }
            assert_eq!(got.count, want.count);
        }
    }
}
