//! The matrix product under convolutions and fully connected layers: a left operand of many rows, made block by block by whoever
//! has it ([`Left`]), times a right operand packed into panels once ([`Panels`]).
//!
//! Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication": 8 rows by three vectors of sums stay in registers;
//! a panel's part of [`DEPTH`] rows is read from L2 by all rows of a block. Sums run over the depth in blocks of a fixed length
//! whatever the number of threads, and so do their bits not depend on it.

use std::ops::Range;

use rayon::prelude::*;

use super::scratch;
use super::simd::{self, SendPtr, Simd, WithSimd};

/// Rows of a tile, whose sums are in registers together.
pub const TILE: usize = 8;
/// Depth of a block.
pub const DEPTH: usize = 256;
/// Values from one row of a tile to the next: not a power of two, whose rows would share lines of the cache.
const STRIDE: usize = DEPTH + 16;
/// Rows that one thread packs at once at most, so that they stay in L2 (350 KB).
pub const ROWS_PACKED: usize = 320;
/// Values of a right operand that stays in L2.
const RESIDENT: usize = 256 << 10;
/// Panels up to which packing rows that lie in memory as they are costs more than it saves.
const DIRECT: usize = 16;
/// Vectors of a whole panel.
const VECTORS: usize = 3;

/// The left operand.
pub trait Left: Sync {
    /// Whether [`Left::pack`] writes the values of a tile depth by depth (`[depth][TILE]`) or row by row.
    const ACROSS: bool;

    /// Writes the depths `depth` of `rows` with [`put`]'s places: tile after tile of [`TILE`] rows.
    ///
    /// [`put`]: place
    fn pack(&self, rows: Range<usize>, depth: Range<usize>, tiles: &mut [f32]);

    /// The depths from `depth` on of the rows from `row` on where they lie in memory as they are, and the values from one row to
    /// the next: nothing needs packing then. Only of operands that are not [`Left::ACROSS`].
    fn direct(&self, row: usize, depth: usize) -> Option<(&[f32], usize)> {
        let _ = (row, depth);
        None
    }

    /// Where the results of a row begin.
    fn target(&self, row: usize) -> usize;
}

/// Where row `row` of the packed ones begins, packed row by row.
pub fn place(row: usize) -> usize {
    row * STRIDE
}

/// Where depth `depth` of the tile that `row` belongs to begins, packed across.
pub fn place_across(row: usize, depth: usize) -> usize {
    row / TILE * TILE * STRIDE + depth * TILE
}

/// The right operand, `depth × columns`, cut into panels of some columns, each of which lies together. Columns that are missing
/// to a whole vector are zeros.
pub struct Panels {
    depth: usize,
    columns: usize,
    /// First column and number of vectors of each panel.
    panels: Vec<(usize, usize)>,
    lanes: usize,
    data: Vec<f32>,
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

impl Panels {
    /// `fill(columns, width, panel)` writes the values of some columns, `[depth][width]`.
    pub fn new(depth: usize, columns: usize, fill: impl Fn(Range<usize>, usize, &mut [f32]) + Sync) -> Self {
        let lanes = simd::dispatch(Lanes);
        let mut panels = Vec::new();
        let (mut column, mut vectors) = (0, columns.div_ceil(lanes));
        while vectors > 0 {
            // Four are better split two and two.
            let take = if vectors == 4 { 2 } else { vectors.min(VECTORS) };
            panels.push((column, take));
            column += take * lanes;
            vectors -= take;
        }
        let mut data = vec![0.0; depth * column];
        let mut rest = data.as_mut_slice();
        let mut parts = Vec::new();
        for &(column, vectors) in &panels {
            let (panel, others) = rest.split_at_mut(depth * vectors * lanes);
            parts.push((column, vectors * lanes, panel));
            rest = others;
        }
        parts.into_par_iter().for_each(|(column, width, panel)| {
            fill(column..(column + width).min(columns), width, panel);
        });
        Self { depth, columns, panels, lanes, data }
    }

    /// Of a matrix whose rows are contiguous.
    pub fn of_rows(matrix: &[f32], columns: usize) -> Self {
        Self::new(matrix.len() / columns.max(1), columns, |some, width, panel| {
            for (out, row) in panel.chunks_exact_mut(width).zip(matrix.chunks_exact(columns)) {
                out[..some.len()].copy_from_slice(&row[some.clone()]);
            }
        })
    }

    /// A panel from depth `from` on.
    fn at(&self, (column, vectors): (usize, usize), from: usize) -> *const f32 {
        self.data[column * self.depth + from * vectors * self.lanes..].as_ptr()
    }
}

/// What the sums are added to.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    /// A value for each column.
    pub bias: Option<&'a [f32]>,
    /// As the output.
    pub residual: Option<&'a [f32]>,
}

impl Start<'_> {
    /// Nothing.
    pub const ZERO: Self = Self { bias: None, residual: None };
}

/// `out = start + left · right` for `rows` rows, summed over `blocks` of the depth one after the other, of at most [`DEPTH`] each.
pub fn product<L: Left>(
    left: &L,
    rows: usize,
    blocks: &[Range<usize>],
    right: &Panels,
    start: Start,
    out: SendPtr<f32>,
) {
    debug_assert!(blocks.iter().all(|block| block.len() <= DEPTH && block.end <= right.depth));
    let (rows_each, panels_each) = shares(rows, right);
    let column_parts = right.panels.len().div_ceil(panels_each);
    (0..rows.div_ceil(rows_each) * column_parts).into_par_iter().for_each(|i| {
        let (row, column) = (i / column_parts * rows_each, i % column_parts * panels_each);
        let rows = row..(row + rows_each).min(rows);
        let panels = &right.panels[column..(column + panels_each).min(right.panels.len())];
        let direct = panels.len() <= DIRECT && left.direct(row, 0).is_some();
        let size = if direct { 0 } else { rows.len().next_multiple_of(TILE) * STRIDE };
        scratch::with(size, |tiles| {
            for (i, depth) in blocks.iter().enumerate() {
                let (tiles, step) = match left.direct(row, depth.start).filter(|_| direct) {
                    Some(direct) => direct,
                    None => {
                        left.pack(rows.clone(), depth.clone(), tiles);
                        (&*tiles, STRIDE)
                    }
                };
                let block = Block { left, rows: rows.clone(), depth: depth.clone(), right, panels, tiles, step };
                // Later blocks add to what the earlier ones left.
                let first = i == 0;
                simd::dispatch(Multiply { block, start: if first { start } else { Start::ZERO }, more: !first, out });
            }
        });
    });
}

/// Rows and panels of one piece of work, of which there are a few for each thread. Where the right operand fits into L2, or what
/// it has for a block of the depth is a small part of that, the rows are shared out first, so that none is packed twice;
/// otherwise the panels, so that each is read by one thread.
fn shares(rows: usize, right: &Panels) -> (usize, usize) {
    let wanted = match rayon::current_num_threads() {
        1 => 1,
        threads => 2 * threads,
    };
    let rows_each = match right.data.len() <= RESIDENT || right.columns * DEPTH <= RESIDENT / 2 {
        true => rows.div_ceil(wanted).next_multiple_of(TILE).clamp(4 * TILE, ROWS_PACKED),
        // Even shares: a rest of one row would read all of the right operand for itself.
        false => rows.div_ceil(rows.div_ceil(ROWS_PACKED).max(1)).next_multiple_of(TILE),
    };
    let column_parts = wanted.div_ceil(rows.div_ceil(rows_each).max(1)).min(right.panels.len()).max(1);
    (rows_each, right.panels.len().div_ceil(column_parts).max(1))
}

/// A block of rows and depths times some panels.
struct Block<'a, L> {
    left: &'a L,
    rows: Range<usize>,
    depth: Range<usize>,
    right: &'a Panels,
    panels: &'a [(usize, usize)],
    tiles: &'a [f32],
    /// Values from one row to the next.
    step: usize,
}

struct Multiply<'a, L> {
    block: Block<'a, L>,
    start: Start<'a>,
    /// Whether it is added to the output.
    more: bool,
    out: SendPtr<f32>,
}

impl<L: Left> WithSimd for Multiply<'_, L> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Block { left, rows, depth, right, panels, tiles, step } = self.block;
        let mut targets = [0; TILE];
        let tile_count = rows.len().div_ceil(TILE);
        for (n, &(column, vectors)) in panels.iter().enumerate() {
            let b = right.at((column, vectors), depth.start);
            // The next panel comes into L2 while this one is multiplied.
            let next = panels.get(n + 1).map(|&next| (right.at(next, depth.start), depth.len() * next.1 * right.lanes));
            for (t, row) in rows.clone().step_by(TILE).enumerate() {
                let count = TILE.min(rows.end - row);
                if let Some((next, len)) = next {
                    prefetch(next, len * t / tile_count..len * (t + 1) / tile_count);
                }
                for (i, target) in targets.iter_mut().enumerate().take(count) {
                    *target = left.target(row + i) + column;
                }
                let tile = Tile {
                    depth: depth.len(),
                    a: tiles[t * TILE * step..].as_ptr(),
                    step,
                    b,
                    column,
                    columns: right.columns - column,
                    start: self.start,
                    more: self.more,
                    out: self.out,
                };
                // SAFETY: the tile and the panel hold these values, and the rows of the output are this thread's.
                unsafe {
                    match vectors {
                        3 => tile.rows::<S, 3, L>(s, &targets[..count]),
                        2 => tile.rows::<S, 2, L>(s, &targets[..count]),
                        _ => tile.rows::<S, 1, L>(s, &targets[..count]),
                    }
                }
            }
        }
    }
}

/// Brings values into L2.
#[inline(always)]
fn prefetch(at: *const f32, values: Range<usize>) {
    #[cfg(target_arch = "x86_64")]
    for i in values.step_by(16) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch touches no memory.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(i).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (at, values);
}

struct Tile<'a> {
    depth: usize,
    a: *const f32,
    step: usize,
    b: *const f32,
    column: usize,
    /// Columns from the first on.
    columns: usize,
    start: Start<'a>,
    more: bool,
    out: SendPtr<f32>,
}

impl Tile<'_> {
    #[inline(always)]
    unsafe fn rows<S: Simd, const NV: usize, L: Left>(&self, s: S, targets: &[usize]) {
        unsafe {
            // 32 registers hold 8 × 3 sums with AVX-512, 16 hold 4 × 3 with AVX2.
            if S::F32_LANES >= 16 && targets.len() == TILE {
                return self.multiply::<S, 8, NV, L>(s, 0, targets);
            }
            let mut from = 0;
            while targets.len() - from >= 4 {
                self.multiply::<S, 4, NV, L>(s, from, targets);
                from += 4;
            }
            if targets.len() - from >= 2 {
                self.multiply::<S, 2, NV, L>(s, from, targets);
                from += 2;
            }
            if targets.len() > from {
                self.multiply::<S, 1, NV, L>(s, from, targets);
            }
        }
    }

    /// `MR` rows of the tile from number `from` on.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const MR: usize, const NV: usize, L: Left>(
        &self,
        s: S,
        from: usize,
        targets: &[usize],
    ) {
        let lanes = S::F32_LANES;
        let mut sum = [[s.splat_f32s(0.0); NV]; MR];
        unsafe {
            for p in 0..self.depth {
                let mut b = [s.splat_f32s(0.0); NV];
                for (v, b) in b.iter_mut().enumerate() {
                    *b = simd::load(s, self.b.add((p * NV + v) * lanes));
                }
                for (r, sum) in sum.iter_mut().enumerate() {
                    let at = if L::ACROSS { p * TILE + from + r } else { (from + r) * self.step + p };
                    let a = s.splat_f32s(*self.a.add(at));
                    for (sum, b) in sum.iter_mut().zip(b) {
                        *sum = s.mul_add_e_f32s(a, b, *sum);
                    }
                }
            }
            let whole = self.columns >= NV * lanes;
            for (sum, &target) in sum.iter().zip(&targets[from..]) {
                for (v, &sum) in sum.iter().enumerate() {
                    let mask = match whole || (v + 1) * lanes <= self.columns {
                        true => None,
                        false => Some(s.mask_between_m32s(0, (self.columns - v * lanes) as u32)),
                    };
                    let at = v * lanes;
                    let out = self.out.add(target + at);
                    let load = |from: *const f32| simd::load_masked(s, from, mask);
                    let sum = if self.more {
                        s.add_f32s(sum, load(out))
                    } else {
                        match (self.start.residual, self.start.bias) {
                            (None, None) => sum,
                            (None, Some(bias)) => s.add_f32s(sum, load(bias.as_ptr().add(self.column + at))),
                            (Some(residual), None) => s.add_f32s(sum, load(residual.as_ptr().add(target + at))),
                            (Some(residual), Some(bias)) => {
                                let start = load(residual.as_ptr().add(target + at));
                                let start = s.add_f32s(start, load(bias.as_ptr().add(self.column + at)));
                                s.add_f32s(sum, start)
                            }
                        }
                    };
                    simd::store_masked(s, out, sum, mask);
                }
            }
        }
    }
}
