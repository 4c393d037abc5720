//! The right operand of a [`product`](super::product): cut into panels of some columns, packed or not.

use std::ops::Range;

use rayon::prelude::*;

use super::scratch;
use super::simd::{self, Simd, WithSimd};

/// Vectors of a whole panel.
pub const VECTORS: usize = 2;

/// The right operand, `depth × columns`, cut into panels of some columns. What is in columns that are missing to a whole vector
/// does not matter.
pub trait Right: Sync {
    /// How it is cut.
    fn cut(&self) -> &Cut;

    /// A panel from depth `from` on, `[depth][width]`, where it lies together as it is.
    fn lies(&self, panel: Panel, from: usize) -> Option<*const f32>;

    /// Writes the depths `depth` of a panel that does not.
    fn bring(&self, panel: Panel, depth: Range<usize>, to: &mut [f32]);
}

/// First column and number of vectors of a panel.
pub type Panel = (usize, usize);

/// How a right operand is cut into panels.
pub struct Cut {
    pub depth: usize,
    pub columns: usize,
    pub panels: Vec<Panel>,
    /// Values of a vector.
    pub lanes: usize,
}

/// A right operand whose panels lie together, one after the other.
pub struct Panels {
    cut: Cut,
    data: Vec<f32>,
    /// Where in the data the panels begin: at a line of the cache.
    from: usize,
}

/// A right operand that lies in memory in another way: a block of a panel is brought together by the thread that comes to it, and
/// forgotten. What is multiplied with few rows, once, is not worth more.
pub struct Loose<F> {
    cut: Cut,
    fill: F,
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

impl Cut {
    fn new(depth: usize, columns: usize) -> Self {
        let lanes = simd::dispatch(Lanes);
        let mut panels = Vec::new();
        let (mut column, mut vectors) = (0, columns.div_ceil(lanes));
        while vectors > 0 {
            let take = vectors.min(VECTORS);
            panels.push((column, take));
            column += take * lanes;
            vectors -= take;
        }
        Self { depth, columns, panels, lanes }
    }

    /// Values of all panels.
    pub fn value_count(&self) -> usize {
        self.depth * self.columns.next_multiple_of(self.lanes)
    }

    /// Columns of a panel, and values from one of its rows to the next.
    fn columns(&self, (column, vectors): Panel) -> (Range<usize>, usize) {
        let width = vectors * self.lanes;
        (column..(column + width).min(self.columns), width)
    }
}

impl Panels {
    /// `fill(columns, width, panel)` writes the values of some columns, `[depth][width]`.
    pub fn new(depth: usize, columns: usize, fill: impl Fn(Range<usize>, usize, &mut [f32]) + Sync) -> Self {
        let cut = Cut::new(depth, columns);
        let mut data = vec![0.0; cut.value_count() + scratch::LINE];
        let from = scratch::to_line(&data);
        let mut rest = &mut data[from..from + cut.value_count()];
        let mut parts = Vec::new();
        for &panel in &cut.panels {
            let (columns, width) = cut.columns(panel);
            let (panel, others) = rest.split_at_mut(depth * width);
            parts.push((columns, width, panel));
            rest = others;
        }
        parts.into_par_iter().for_each(|(columns, width, panel)| fill(columns, width, panel));
        Self { cut, data, from }
    }

    /// Of a matrix whose rows are contiguous.
    pub fn of_rows(matrix: &[f32], columns: usize) -> Self {
        Self::new(matrix.len() / columns.max(1), columns, |some, width, panel| {
            for (out, row) in panel.chunks_exact_mut(width).zip(matrix.chunks_exact(columns)) {
                out[..some.len()].copy_from_slice(&row[some.clone()]);
            }
        })
    }
}

impl Right for Panels {
    fn cut(&self) -> &Cut {
        &self.cut
    }

    fn lies(&self, (column, vectors): Panel, from: usize) -> Option<*const f32> {
        let Cut { depth, lanes, .. } = self.cut;
        Some(self.data[self.from + column * depth + from * vectors * lanes..].as_ptr())
    }

    fn bring(&self, _: Panel, _: Range<usize>, _: &mut [f32]) {}
}

impl<F: Fn(Range<usize>, Range<usize>, usize, &mut [f32]) + Sync> Loose<F> {
    /// `fill(columns, depths, width, panel)` writes some values of some columns, `[depths][width]`.
    pub fn new(depth: usize, columns: usize, fill: F) -> Self {
        Self { cut: Cut::new(depth, columns), fill }
    }
}

impl<F: Fn(Range<usize>, Range<usize>, usize, &mut [f32]) + Sync> Right for Loose<F> {
    fn cut(&self) -> &Cut {
        &self.cut
    }

    fn lies(&self, _: Panel, _: usize) -> Option<*const f32> {
        None
    }

    fn bring(&self, panel: Panel, depth: Range<usize>, to: &mut [f32]) {
        let (columns, width) = self.cut.columns(panel);
        (self.fill)(columns, depth, width, to);
    }
}
