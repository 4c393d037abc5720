//! Cuts pictures beyond a tile's size into overlapping tiles.
//!
//! At every evaluation of the network the tiles' predictions are blended with smooth weights before the step is taken (as in
//! MultiDiffusion, Bar-Tal et al., arXiv 2302.08113), so that neighbouring tiles never drift apart and no seam can form.
//!
//! Tiles go from left to right and from the top down. Once a row of tiles is done, the picture's rows above the next one are
//! final, so that no more than a tile's height of the blend is in memory. Solving each part of a picture to its end before
//! the next would need no state of the whole, but its parts would differ where they meet; this way the picture of a seed is
//! the same, to the bit, however much memory there is.

use std::ops::Range;

use candle_core::{Device, Tensor};

use super::card::Latent;
use crate::Result;

/// How an image is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Side of a tile in pixels of the output; images no larger are not cut.
    pub tile_px: usize,
    /// Pixels that neighbouring tiles share at least.
    pub overlap_px: usize,
}

impl Default for Tiling {
    fn default() -> Self {
        Self { tile_px: 512, overlap_px: 64 }
    }
}

impl Tiling {
    /// The tiles of a picture of this height and width in latents, which are multiples of `align`.
    pub fn grid(&self, [height, width]: [usize; 2], latent: &Latent) -> Grid {
        let align = latent.align / latent.factor;
        let side = (self.tile_px / latent.align * align).max(align);
        let overlap = self.overlap_px / latent.factor;
        Grid {
            size: [height, width],
            tile: [side.min(height), side.min(width)],
            tops: starts(height, side, overlap, align),
            lefts: starts(width, side, overlap, align),
            overlap,
            latent: *latent,
        }
    }
}

/// The tiles of a picture, in latents.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Height and width of the picture.
    pub size: [usize; 2],
    /// Height and width of every tile.
    pub tile: [usize; 2],
    /// What the latents are.
    pub latent: Latent,
    /// The first row of each row of tiles.
    tops: Vec<usize>,
    /// The first column of each column of tiles.
    lefts: Vec<usize>,
    overlap: usize,
}

impl Grid {
    /// Whether one tile holds the picture.
    pub fn is_whole(&self) -> bool {
        self.tile == self.size
    }

    /// Number of tiles.
    pub fn count(&self) -> usize {
        self.tops.len() * self.lefts.len()
    }

    /// Height and width of the picture in pixels, with its padding.
    pub fn size_px(&self) -> [usize; 2] {
        self.size.map(|side| side * self.latent.factor)
    }

    /// Height and width of a tile in pixels.
    pub fn tile_px(&self) -> [usize; 2] {
        self.tile.map(|side| side * self.latent.factor)
    }

    /// Bytes of the blend of one picture's tiles.
    pub fn blend_bytes(&self) -> usize {
        4 * (self.latent.channels + 1) * self.tile[0] * self.size[1]
    }

    /// The picture's rows that each row of tiles makes final, with the row of tiles.
    pub(super) fn rows_of_tiles(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + use<> {
        let ends: Vec<usize> = self.tops.iter().skip(1).copied().chain([self.size[0]]).collect();
        let height = self.tile[0];
        self.tops.clone().into_iter().zip(ends).map(move |(top, end)| (top..top + height, top..end))
    }

    /// The columns of each tile in a row of tiles.
    pub(super) fn columns(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let width = self.tile[1];
        self.lefts.clone().into_iter().map(move |left| left..left + width)
    }
}

/// Start of every tile along a side of `len` latents; the last one ends with the side.
fn starts(len: usize, tile: usize, overlap: usize, align: usize) -> Vec<usize> {
    if len <= tile {
        return vec![0];
    }
    let stride = (tile.saturating_sub(overlap) / align * align).max(align);
    let mut starts: Vec<usize> = (0..len - tile).step_by(stride).collect();
    starts.push(len - tile);
    starts
}

/// Weight of each place along a tile's side: rising from the edges over the overlap, never zero.
fn ramp(len: usize, overlap: usize) -> Vec<f32> {
    let overlap = overlap.clamp(1, len.div_ceil(2));
    (0..len).map(|i| ((i.min(len - 1 - i) + 1) as f32 / (overlap + 1) as f32).min(1.0)).collect()
}

/// The same for latents: a normal curve around the middle whose deviation is a tenth of the side, as StableSR blends its tiles
/// (Wang et al., arXiv 2305.07015).
fn bell(len: usize) -> Vec<f32> {
    let (middle, deviation) = ((len as f32 - 1.0) / 2.0, len as f32 / 10.0);
    (0..len).map(|i| (-((i as f32 - middle) / deviation).powi(2) / 2.0).exp()).collect()
}

/// The weighted sum of the tiles' predictions, as far down as a row of tiles reaches.
pub(super) struct Blend {
    channels: usize,
    planes: usize,
    /// Height of a tile, width of the picture.
    size: [usize; 2],
    ramps: [Vec<f32>; 2],
    /// The picture's row that the sums begin with.
    top: usize,
    sums: Vec<f32>,
    weights: Vec<f32>,
}

impl Blend {
    /// For a number of pictures.
    pub fn new(grid: &Grid, count: usize) -> Self {
        let channels = grid.latent.channels;
        let planes = channels * count;
        let size = [grid.tile[0], grid.size[1]];
        let area = size[0] * size[1];
        let of_pixels = grid.latent.factor == 1;
        let ramps = grid.tile.map(|side| if of_pixels { ramp(side, grid.overlap) } else { bell(side) });
        Self { channels, planes, size, ramps, top: 0, sums: vec![0.0; planes * area], weights: vec![0.0; area] }
    }

    /// Adds the prediction of the tile that begins at a column.
    pub fn add(&mut self, left: usize, prediction: &Tensor) -> Result<()> {
        let values = prediction.flatten_all()?.to_vec1::<f32>()?;
        let [rows, columns] = &self.ramps;
        let line = |plane: usize, y: usize| (plane * rows.len() + y) * self.size[1] + left;
        for (y, &row) in rows.iter().enumerate() {
            for plane in 0..self.planes {
                let sums = &mut self.sums[line(plane, y)..][..columns.len()];
                let values = &values[(plane * rows.len() + y) * columns.len()..][..columns.len()];
                for ((sum, value), column) in sums.iter_mut().zip(values).zip(columns) {
                    *sum += value * (row * column);
                }
            }
            let weights = &mut self.weights[line(0, y)..][..columns.len()];
            weights.iter_mut().zip(columns).for_each(|(weight, column)| *weight += row * column);
        }
        Ok(())
    }

    /// The blended rows of a range of the picture, `[count, channels, rows, width]`.
    pub fn rows(&self, rows: Range<usize>) -> Result<Tensor> {
        let [height, width] = self.size;
        let (first, count) = ((rows.start - self.top) * width, rows.len() * width);
        let weights = &self.weights[first..first + count];
        let mut values = Vec::with_capacity(self.planes * count);
        for plane in self.sums.chunks_exact(height * width) {
            values.extend(plane[first..first + count].iter().zip(weights).map(|(sum, weight)| sum / weight));
        }
        Ok(Tensor::from_vec(values, (self.planes / self.channels, self.channels, rows.len(), width), &Device::Cpu)?)
    }

    /// Goes down to the next row of tiles: rows above are forgotten.
    pub fn go_to(&mut self, top: usize) {
        let [height, width] = self.size;
        let gone = ((top - self.top) * width).min(height * width);
        for plane in self.sums.chunks_exact_mut(height * width).chain([self.weights.as_mut_slice()]) {
            plane.copy_within(gone.., 0);
            plane[height * width - gone..].fill(0.0);
        }
        self.top = top;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_pixel_and_overlap() {
        for (len, tile, overlap) in [(64, 64, 16), (80, 64, 16), (300, 64, 16), (1000, 128, 48)] {
            let starts = starts(len, tile, overlap, 16);
            assert_eq!(starts[0], 0);
            assert_eq!(starts.last().unwrap() + tile.min(len), len.max(tile.min(len)));
            assert!(starts.windows(2).all(|w| w[1] <= w[0] + tile - overlap), "{starts:?}");
        }
        assert!(ramp(64, 16).iter().all(|&w| w > 0.0 && w <= 1.0));
        let bell = bell(96);
        assert!(bell.iter().all(|&w| w > 0.0 && w <= 1.0) && bell[0] == bell[95]);
        // The density of the scripts, up to a factor: exp(−(i − m)² / (2 · 0.01 · n²)).
        let at = |i: f64| (-(i - 47.5).powi(2) / (2.0 * 0.01 * 96.0 * 96.0)).exp();
        assert!((f64::from(bell[10] / bell[40]) - at(10.0) / at(40.0)).abs() < 1e-6);
    }

    #[test]
    fn tiles_are_the_same_pixels_in_latents() {
        let [pixels, latents] = [1, 8].map(|factor| Latent { channels: 4, factor, align: 16 });
        let tiling = Tiling { tile_px: 64, overlap_px: 16 };
        let (pixels, latents) = (tiling.grid([160, 96], &pixels), tiling.grid([20, 12], &latents));
        assert_eq!((pixels.count(), pixels.tile), (latents.count(), latents.tile_px()));
        assert_eq!(pixels.tops, latents.tops.iter().map(|top| 8 * top).collect::<Vec<_>>());
        assert_eq!(pixels.size, latents.size_px());
    }

    #[test]
    fn every_row_becomes_final_once_and_a_constant_stays_itself() {
        for (factor, tile_px) in [(1, 32), (8, 256)] {
            finished(factor, tile_px);
        }
    }

    fn finished(factor: usize, tile_px: usize) {
        let latent = Latent { channels: 3, factor, align: 16 * factor };
        let grid = Tiling { tile_px, overlap_px: 8 * factor }.grid([80, 96], &latent);
        assert_eq!(grid.count(), 4 * 5);
        let mut blend = Blend::new(&grid, 1);
        let mut next = 0;
        for (tiles, done) in grid.rows_of_tiles() {
            assert_eq!(done.start, next);
            next = done.end;
            blend.go_to(tiles.start);
            for columns in grid.columns() {
                let one = Tensor::full(0.7f32, (1, 3, tiles.len(), columns.len()), &Device::Cpu).unwrap();
                blend.add(columns.start, &one).unwrap();
            }
            let rows = blend.rows(done.clone()).unwrap();
            assert_eq!(rows.dims(), [1, 3, done.len(), 96]);
            assert!(rows.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|v| (v - 0.7).abs() < 1e-6));
        }
        assert_eq!(next, 80);
    }
}
