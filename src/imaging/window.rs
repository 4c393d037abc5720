//! A bicubic resize of which any part can be had without the rest: what is enlarged beyond memory is never whole.

use std::ops::Range;

use rayon::prelude::*;

use super::resize::{Filter, dot};
use super::resize_weights::Weights;
use super::rows::Rows;
use super::{Image, SCALE};
use crate::Result;

/// An image as it is after [`super::resize::resize`] with [`Filter::Bicubic`], to the bit where it is enlarged.
pub struct Resized<'i> {
    image: &'i Image,
    width: usize,
    height: usize,
    along_x: Weights,
    along_y: Weights,
}

impl<'i> Resized<'i> {
    /// `image` at `width` × `height` pixels, both at least 1.
    pub fn new(image: &'i Image, width: usize, height: usize) -> Self {
        let along_x = Weights::new(image.width(), width, Filter::Bicubic, true);
        let along_y = Weights::new(image.height(), height, Filter::Bicubic, true);
        Self { image, width, height, along_x, along_y }
    }

    /// [`super::resize::enlarge_x4`] of an LR image.
    pub fn x4(lr: &'i Image) -> Self {
        Self::new(lr, lr.width() * SCALE, lr.height() * SCALE)
    }

    /// The values where the given rows and columns meet: three planes, each row by row. Not clamped.
    pub fn at(&self, rows: &[usize], columns: &[usize]) -> Vec<f32> {
        let run = |row: usize| {
            let (first, weights) = self.along_y.of(row);
            first..first + weights.len()
        };
        let top = rows.iter().map(|&row| run(row).start).min().unwrap_or(0);
        let bottom = rows.iter().map(|&row| run(row).end).max().unwrap_or(0);
        let (count, width, from) = (columns.len(), self.image.width(), bottom - top);
        if count == 0 || from == 0 {
            return Vec::new();
        }
        let mut lines = vec![0.0; 3 * from * count];
        lines.par_chunks_exact_mut(count).enumerate().for_each(|(line, out)| {
            let row = &self.image.plane(line / from)[(top + line % from) * width..][..width];
            for (out, &x) in out.iter_mut().zip(columns) {
                let (first, weights) = self.along_x.of(x);
                *out = dot(&row[first..first + weights.len()], weights);
            }
        });
        let mut values = vec![0.0; 3 * rows.len() * count];
        values.par_chunks_exact_mut(count).enumerate().for_each(|(line, out)| {
            let (first, weights) = self.along_y.of(rows[line % rows.len()]);
            let plane = &lines[line / rows.len() * from * count..][..from * count];
            for (row, &weight) in plane.chunks_exact(count).skip(first - top).zip(weights) {
                for (out, &value) in out.iter_mut().zip(row) {
                    *out += weight * value;
                }
            }
        });
        values
    }
}

impl Rows for Resized<'_> {
    fn width(&self) -> usize {
        self.width
    }

    fn height(&self) -> usize {
        self.height
    }

    fn rows(&self, rows: Range<usize>) -> Result<Image> {
        let rows: Vec<usize> = rows.collect();
        let columns: Vec<usize> = (0..self.width).collect();
        Image::new(self.width, rows.len(), self.at(&rows, &columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::fixture::picture;
    use crate::imaging::resize::enlarge_x4;

    #[test]
    fn a_part_is_the_part_of_the_whole_to_the_bit() {
        let lr = picture(23, 37, 0);
        let whole = enlarge_x4(&lr).unwrap();
        let resized = Resized::x4(&lr);
        assert_eq!(resized.whole().unwrap(), whole);
        for rows in [0..1, 60..71, 140..148] {
            assert_eq!(resized.rows(rows.clone()).unwrap(), whole.rows(rows).unwrap());
        }
        let (rows, columns) = ([147, 3, 3], [91, 0, 40]);
        let part = resized.at(&rows, &columns);
        for (i, &value) in part.iter().enumerate() {
            let (c, row, column) = (i / 9, rows[i / 3 % 3], columns[i % 3]);
            assert_eq!(value, whole.plane(c)[row * 92 + column]);
        }
        assert!(resized.at(&[], &[1]).is_empty());
    }
}
