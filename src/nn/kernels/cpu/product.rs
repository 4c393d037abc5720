//! The matrix product under convolutions and fully connected layers: a left operand of many rows, made block by block by whoever
//! has it ([`Left`]), times a right operand packed into panels, once ([`Panels`](super::panels::Panels)) or as it is come to
//! ([`Loose`](super::panels::Loose)).
//!
//! Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication": 12 rows by two vectors of sums stay in registers;
//! a panel's part of [`DEPTH`] rows (32 KB with AVX-512) stays in L1 for all rows of a block, which come from L2. Sums run over
//! the depth in blocks of a fixed length whatever the number of threads and the shape of a tile, and so do their bits not
//! depend on them.

use std::ops::Range;

use rayon::prelude::*;

use super::panels::{Cut, Panel, Right, VECTORS};
use super::scratch;
use super::simd::{self, SendPtr, Simd, WithSimd};

/// Rows of a tile, whose sums are in registers together.
pub const TILE: usize = 12;
/// Depth of a block.
pub const DEPTH: usize = 256;
/// Values from one row of a tile to the next: not a power of two, whose rows would share lines of the cache.
const STRIDE: usize = DEPTH + 16;
/// Rows that one thread packs at once at most, so that they stay in L2 (350 KB).
pub const ROWS_PACKED: usize = 27 * TILE;
/// Values of a right operand that stays in L2.
const RESIDENT: usize = 256 << 10;
/// Panels up to which packing rows that lie in memory as they are costs more than it saves.
const DIRECT: usize = 16;
/// Rows of a result that are brought into L1 at once.
const AT_ONCE: usize = 3;

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

/// What the sums are added to.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    /// A value for each column.
    pub bias: Option<&'a [f32]>,
    /// As the output.
    pub residual: Option<&'a [f32]>,
    /// Whether it is the output as it was, and nothing else.
    pub output: bool,
}

impl Start<'_> {
    /// Nothing.
    pub const ZERO: Self = Self { bias: None, residual: None, output: false };
    /// The output as it was.
    pub const OUTPUT: Self = Self { output: true, ..Self::ZERO };
}

/// Who computes a product.
#[derive(Clone, Copy)]
pub enum By {
    /// All threads.
    All,
    /// The thread that asks for it.
    Asker,
}

/// `out = start + left · right` for `rows` rows, summed over `blocks` of the depth one after the other, of at most [`DEPTH`] each.
pub fn product<L: Left, R: Right>(
    by: By,
    left: &L,
    rows: usize,
    blocks: &[Range<usize>],
    right: &R,
    start: Start,
    out: SendPtr<f32>,
) {
    let (tiles, panels) = (rows.div_ceil(TILE), right.cut().panels.len());
    let (row_parts, column_parts) = match by {
        By::All => shares(tiles, right.cut()),
        By::Asker => (tiles.div_ceil(ROWS_PACKED / TILE), 1),
    };
    let part = |i: usize| {
        let part = share(tiles, i / column_parts, row_parts);
        let rows = part.start * TILE..(part.end * TILE).min(rows);
        piece(left, rows, blocks, right, share(panels, i % column_parts, column_parts), start, out);
    };
    match by {
        By::All => (0..row_parts * column_parts).into_par_iter().for_each(part),
        By::Asker => (0..row_parts).for_each(part),
    }
}

/// Some rows times some panels.
fn piece<L: Left, R: Right>(
    left: &L,
    rows: Range<usize>,
    blocks: &[Range<usize>],
    right: &R,
    panels: Range<usize>,
    start: Start,
    out: SendPtr<f32>,
) {
    let Cut { depth, panels: all, lanes, .. } = right.cut();
    debug_assert!(blocks.iter().all(|block| block.len() <= DEPTH && block.end <= *depth));
    let panels = &all[panels];
    let direct = |depth: usize| left.direct(rows.start, depth).filter(|(_, step)| lies_well(*step, panels.len()));
    let size = if direct(0).is_some() { 0 } else { rows.len().next_multiple_of(TILE) * STRIDE };
    // For a block of a panel that does not lie together: whole lines.
    let is_loose = panels.first().is_some_and(|&panel| right.lies(panel, 0).is_none());
    let room = if is_loose { DEPTH * VECTORS * lanes } else { 0 };
    scratch::with(room + size, |buffer| {
        let (room, tiles) = buffer.split_at_mut(room);
        for (i, depth) in blocks.iter().enumerate() {
            let (tiles, step) = match direct(depth.start) {
                Some(direct) => direct,
                None => {
                    left.pack(rows.clone(), depth.clone(), tiles);
                    (&*tiles, STRIDE)
                }
            };
            let block = Block { left, rows: rows.clone(), depth: depth.clone(), right, panels, room, tiles, step };
            // Later blocks add to what the earlier ones left.
            simd::dispatch(Multiply { block, start: if i == 0 { start } else { Start::OUTPUT }, out });
        }
    });
}

/// Whether rows that lie so many values apart are better read as they are than packed.
fn lies_well(step: usize, panels: usize) -> bool {
    panels <= DIRECT && !step.is_multiple_of(1024)
}

/// Parts that the rows, and the panels, are cut into: a few pieces of work for each thread, and as many for all. Where the right
/// operand fits into L2, or what it has for a block of the depth is a small part of that, the rows are shared out first, so
/// that none is packed twice; otherwise the panels, so that each is read by one thread.
fn shares(tiles: usize, right: &Cut) -> (usize, usize) {
    let threads = rayon::current_num_threads();
    let wanted = if threads == 1 { 1 } else { 2 * threads };
    let fewest = tiles.div_ceil(ROWS_PACKED / TILE).max(1);
    let rows = match right.value_count() + scratch::LINE <= RESIDENT || right.columns * DEPTH <= RESIDENT / 2 {
        true => wanted.min(tiles.div_ceil(4)).max(fewest.next_multiple_of(threads.min(fewest))),
        false => fewest,
    };
    let even = |columns: &usize| (rows * columns).is_multiple_of(threads);
    let most = right.panels.len().max(1);
    (rows, (wanted.div_ceil(rows)..=most).find(even).unwrap_or(most.min(wanted)))
}

/// Share number `i` of `shares` that differ by one at most.
fn share(count: usize, i: usize, shares: usize) -> Range<usize> {
    count * i / shares..count * (i + 1) / shares
}

/// A block of rows and depths times some panels.
struct Block<'a, L, R> {
    left: &'a L,
    rows: Range<usize>,
    depth: Range<usize>,
    right: &'a R,
    panels: &'a [Panel],
    /// Where a panel is brought together.
    room: &'a mut [f32],
    tiles: &'a [f32],
    /// Values from one row to the next.
    step: usize,
}

struct Multiply<'a, L, R> {
    block: Block<'a, L, R>,
    start: Start<'a>,
    out: SendPtr<f32>,
}

impl<L: Left, R: Right> WithSimd for Multiply<'_, L, R> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Block { left, rows, depth, right, panels, room, tiles, step } = self.block;
        let Cut { columns, lanes, .. } = *right.cut();
        let mut targets = [0; TILE];
        let tile_count = rows.len().div_ceil(TILE);
        for (n, &panel) in panels.iter().enumerate() {
            let (column, vectors) = panel;
            let b = right.lies(panel, depth.start).unwrap_or_else(|| {
                right.bring(panel, depth.clone(), &mut room[..depth.len() * vectors * lanes]);
                room.as_ptr()
            });
            // The next panel comes into L2 while this one is multiplied, a share with every tile.
            let next = panels.get(n + 1).and_then(|&next| Some((right.lies(next, depth.start)?, next.1)));
            let (next, next_len) = next.map_or((b, 0), |(next, vectors)| (next, depth.len() * vectors * lanes));
            for (t, row) in rows.clone().step_by(TILE).enumerate() {
                let count = TILE.min(rows.end - row);
                for (i, target) in targets.iter_mut().enumerate().take(count) {
                    *target = left.target(row + i) + column;
                }
                let tile = Tile {
                    depth: depth.len(),
                    a: tiles[t * TILE * step..].as_ptr(),
                    step,
                    b,
                    column,
                    columns: columns - column,
                    next,
                    ahead: next_len * t / tile_count..next_len * (t + 1) / tile_count,
                    start: self.start,
                    out: self.out,
                };
                // SAFETY: the tile and the panel hold these values, and the rows of the output are this thread's.
                unsafe {
                    match vectors {
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
fn prefetch(at: *const f32, values: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..values.div_ceil(scratch::LINE) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch touches no memory.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(line * scratch::LINE).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (at, values);
}

/// Brings a value's line into L1 that is about to be written.
#[inline(always)]
fn prefetch_to_write(at: *const f32) {
    // SAFETY: a prefetch touches no memory.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_ET0 }>(at.cast())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

struct Tile<'a> {
    depth: usize,
    a: *const f32,
    step: usize,
    b: *const f32,
    column: usize,
    /// Columns from the first on.
    columns: usize,
    /// The next panel, and what of it comes into L2 meanwhile.
    next: *const f32,
    ahead: Range<usize>,
    start: Start<'a>,
    out: SendPtr<f32>,
}

impl Tile<'_> {
    #[inline(always)]
    unsafe fn rows<S: Simd, const NV: usize, L: Left>(&self, s: S, targets: &[usize]) {
        // 32 registers hold 12 × 2 sums with AVX-512, 16 hold 6 × 2 with AVX2.
        let wide = S::F32_LANES >= 16;
        let mut from = 0;
        macro_rules! while_there_are {
            ($mr:literal) => {
                while targets.len() - from >= $mr {
                    unsafe { self.multiply::<S, $mr, NV, L>(s, from, targets) };
                    from += $mr;
                }
            };
        }
        if wide {
            while_there_are!(12);
            while_there_are!(8);
        } else {
            while_there_are!(6);
        }
        while_there_are!(4);
        while_there_are!(2);
        while_there_are!(1);
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
        let Some(targets) = targets[from..].first_chunk::<MR>() else { return };
        let mut sum = [[s.splat_f32s(0.0); NV]; MR];
        unsafe {
            // Some rows after the other, where the sums go comes into L1 meanwhile, and what is next into L2.
            let (parts, ahead) = (MR.div_ceil(AT_ONCE), self.ahead.len());
            for part in 0..parts {
                for &target in targets.iter().skip(part * AT_ONCE).take(AT_ONCE) {
                    for v in 0..NV {
                        prefetch_to_write(self.out.add(target + v * lanes));
                    }
                    prefetch_to_write(self.out.add(target + NV * lanes - 1));
                }
                if from == 0 {
                    let share = ahead * part / parts..ahead * (part + 1) / parts;
                    prefetch(self.next.wrapping_add(self.ahead.start + share.start), share.len());
                }
                for p in self.depth * part / parts..self.depth * (part + 1) / parts {
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
            }
            if self.columns < NV * lanes {
                // A copy: what a loop that is not unrolled indexes does not stay in registers.
                let sum = sum;
                return self.write_masked(s, sum, targets);
            }
            macro_rules! write {
                (|$sum:ident, $to:ident, $column:ident| $value:expr) => {
                    for (sum, &target) in sum.iter().zip(targets) {
                        for (v, &$sum) in sum.iter().enumerate() {
                            let ($to, $column) = (target + v * lanes, self.column + v * lanes);
                            simd::store(s, self.out.add($to), $value);
                        }
                    }
                };
            }
            macro_rules! load {
                ($from:expr, $at:expr) => {
                    simd::load(s, $from.as_ptr().add($at))
                };
            }
            match (self.start.output, self.start.residual, self.start.bias) {
                (true, ..) => write!(|sum, to, _column| s.add_f32s(sum, simd::load(s, self.out.add(to)))),
                (false, None, None) => write!(|sum, _to, _column| sum),
                (false, None, Some(bias)) => write!(|sum, _to, column| s.add_f32s(sum, load!(bias, column))),
                (false, Some(residual), None) => write!(|sum, to, _column| s.add_f32s(sum, load!(residual, to))),
                (false, Some(residual), Some(bias)) => {
                    write!(|sum, to, column| s.add_f32s(sum, s.add_f32s(load!(residual, to), load!(bias, column))))
                }
            }
        }
    }

    /// The sums of a panel of which some columns do not exist.
    #[inline(always)]
    unsafe fn write_masked<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        sum: [[S::f32s; NV]; MR],
        targets: &[usize; MR],
    ) {
        let lanes = S::F32_LANES;
        for (sum, &target) in sum.iter().zip(targets) {
            for (v, &sum) in sum.iter().enumerate() {
                let (at, there) = (v * lanes, (self.columns - v * lanes).min(lanes) as u32);
                let mask = Some(s.mask_between_m32s(0, there));
                unsafe {
                    let out = self.out.add(target + at);
                    let load = |from: *const f32| simd::load_masked(s, from, mask);
                    let bias = self.start.bias.map(|bias| load(bias.as_ptr().add(self.column + at)));
                    let start = match (self.start.output, self.start.residual, bias) {
                        (true, ..) => Some(load(out)),
                        (false, None, bias) => bias,
                        (false, Some(residual), bias) => {
                            let start = load(residual.as_ptr().add(target + at));
                            Some(bias.map_or(start, |bias| s.add_f32s(start, bias)))
                        }
                    };
                    let sum = start.map_or(sum, |start| s.add_f32s(sum, start));
                    simd::store_masked(s, out, sum, mask);
                }
            }
        }
    }
}
