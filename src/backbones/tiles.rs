//! Predicts for images beyond a memory budget in overlapping tiles.
//!
//! At every sampling step the tiles' predictions are blended with smooth weights before the step is taken (as in
//! MultiDiffusion, Bar-Tal et al., arXiv 2302.08113), so that neighbouring tiles never drift apart and no seam can form.

use candle_core::Tensor;

use super::Backbone;
use crate::Result;
use crate::nn::params::Params;
use crate::nn::tape::Tape;

/// How an image is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Side of a tile in pixels; images no larger are not cut.
    pub tile_px: usize,
    /// Pixels that neighbouring tiles share at least.
    pub overlap_px: usize,
}

impl Default for Tiling {
    fn default() -> Self {
        Self { tile_px: 512, overlap_px: 64 }
    }
}

/// Start of every tile along a side of `len` pixels; the last one ends with the side.
fn starts(len: usize, tile: usize, overlap: usize, align: usize) -> Vec<usize> {
    if len <= tile {
        return vec![0];
    }
    let stride = (tile.saturating_sub(overlap) / align * align).max(align);
    let mut starts: Vec<usize> = (0..len - tile).step_by(stride).collect();
    starts.push(len - tile);
    starts
}

/// Weight of each pixel along a tile's side: rising from the edges over the overlap, never zero.
fn ramp(len: usize, overlap: usize) -> Vec<f32> {
    let overlap = overlap.clamp(1, len.div_ceil(2));
    (0..len).map(|i| ((i.min(len - 1 - i) + 1) as f32 / (overlap + 1) as f32).min(1.0)).collect()
}

/// [`Backbone::predict`] without a gradient, tile by tile where the image is larger than a tile.
pub fn predict(
    backbone: &dyn Backbone,
    params: &Params,
    tiling: Tiling,
    x_t: &Tensor,
    times: &[f32],
    condition: &Tensor,
) -> Result<Tensor> {
    let (_, _, height, width) = x_t.dims4()?;
    let align = backbone.align_px();
    let tile = (tiling.tile_px / align * align).max(align);
    let whole = |x: &Tensor, c: &Tensor| -> Result<Tensor> {
        Ok(backbone.predict(&Tape::inference(), params, x, times, c)?.tensor().clone())
    };
    if height <= tile && width <= tile {
        return whole(x_t, condition);
    }
    let mut sum = x_t.zeros_like()?;
    let mut weights = Tensor::zeros((1, 1, height, width), x_t.dtype(), x_t.device())?;
    for &y in &starts(height, tile, tiling.overlap_px, align) {
        for &x in &starts(width, tile, tiling.overlap_px, align) {
            let (h, w) = (tile.min(height), tile.min(width));
            let cut = |t: &Tensor| t.narrow(2, y, h)?.narrow(3, x, w)?.contiguous();
            let (rows, columns) = (ramp(h, tiling.overlap_px), ramp(w, tiling.overlap_px));
            let mask: Vec<f32> = rows.iter().flat_map(|r| columns.iter().map(move |c| r * c)).collect();
            let mask = Tensor::from_vec(mask, (1, 1, h, w), x_t.device())?;
            let part = whole(&cut(x_t)?, &cut(condition)?)?.broadcast_mul(&mask)?;
            let place = |t: &Tensor| {
                let t = t.pad_with_zeros(2, y, height - y - h)?;
                t.pad_with_zeros(3, x, width - x - w)
            };
            sum = (sum + place(&part)?)?;
            weights = (weights + place(&mask)?)?;
        }
    }
    Ok(sum.broadcast_div(&weights)?)
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
    }
}
