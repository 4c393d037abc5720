//! MS-SSIM: the product over scales of contrast and structure, and at the coarsest scale luminance too.
//!
//! Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003. Between
//! scales 2×2 means, where an odd side is padded with a zero at either end, as in pyiqa.
//!
//! The published five scales need 161 pixels. For smaller candidates `ms_ssim_s4` stops after four, whose published
//! weights are scaled to sum to one: it is a metric of its own, on another scale than `ms_ssim`.

use super::info::{Info, Kind, text};
use super::metric::{Fr, FullReference, Map};
use super::parallel::strips_mut;
use super::plane::{Plane, rounded_luma};
use super::ssim::{self, Reference, WINDOW};
use crate::Result;
use crate::imaging::Image;

/// The published exponents, finest scale first.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// Multi-scale structural similarity at the published five scales.
pub static MS_SSIM: Fr<MsSsim> = Fr(MsSsim { info: &INFO, scales: 5 });

/// Multi-scale structural similarity at four scales, for images from 81 pixels on.
pub static MS_SSIM_S4: Fr<MsSsim> = Fr(MsSsim { info: &INFO_S4, scales: 4 });

/// See [`MS_SSIM`] and [`MS_SSIM_S4`].
#[derive(Clone, Copy)]
pub struct MsSsim {
    info: &'static Info,
    scales: usize,
}

static INFO: Info = info("ms_ssim", "MS-SSIM", 5, "y 0-255 rounded, gaussian 11 sigma 1.5, 5 scales, product");

static INFO_S4: Info = info(
    "ms_ssim_s4",
    "MS-SSIM, 4 scales",
    4,
    "y 0-255 rounded, gaussian 11 sigma 1.5, first 4 scales renormalized, product",
);

const fn info(name: &'static str, title: &'static str, scales: u32, version: &'static str) -> Info {
    Info {
        name: text(name),
        title: text(title),
        kind: Kind::FullReference,
        min_size_px: min_size_px(scales),
        version: text(version),
        crop_policy: text("whole windows: centres at least 5 px from the edge at each scale"),
        map: text("1 - the product over scales of the windows around the pixel"),
        paper: text("Wang et al., Asilomar 2003"),
        ..Info::OF_PIXELS
    }
}

/// The coarsest scale must hold one window; each scale halves the size, rounding up.
const fn min_size_px(scales: u32) -> usize {
    (WINDOW - 1) * 2usize.pow(scales - 1) + 1
}

impl MsSsim {
    /// Exponents of the scales used, as published for all five and summing to one otherwise.
    fn weights(&self) -> Vec<f64> {
        let used = &WEIGHTS[..self.scales];
        let total: f64 = if self.scales < WEIGHTS.len() { used.iter().sum() } else { 1.0 };
        used.iter().map(|w| w / total).collect()
    }
}

impl FullReference for MsSsim {
    type Reference = Vec<Reference>;

    fn info(&self) -> &Info {
        self.info
    }

    fn prepare(&self, reference: &Image) -> Result<Vec<Reference>> {
        Ok(self.pyramid(reference).into_iter().map(Reference::new).collect())
    }

    fn score(&self, reference: &Vec<Reference>, image: &Image) -> Result<f64> {
        let mut product = 1.0;
        let scales = reference.iter().zip(self.pyramid(image)).zip(self.weights());
        for (scale, ((reference, luma), weight)) in scales.enumerate() {
            let similarity = ssim::compare(reference, &luma);
            let term = if scale + 1 < self.scales { similarity.contrast } else { similarity.ssim };
            product *= term.max(0.0).powf(weight);
        }
        Ok(product)
    }

    fn map(&self, reference: &Vec<Reference>, image: &Image) -> Result<Map> {
        let (width, height) = (image.width(), image.height());
        let mut data = vec![1.0f32; width * height];
        let scales = reference.iter().zip(self.pyramid(image)).zip(self.weights());
        for (scale, ((reference, luma), weight)) in scales.enumerate() {
            let (full, contrast) = ssim::compare_locally(reference, &luma);
            let mut local = if scale + 1 < self.scales { contrast } else { full };
            local.data.iter_mut().for_each(|v| *v = v.max(0.0).powf(weight as f32));
            // The window of a pixel at a coarser scale is the one centred on the cell the pixel lies in.
            let index = |at: usize, len: usize| (at >> scale).saturating_sub(WINDOW / 2).min(len - 1);
            let columns: Vec<_> = (0..width).map(|x| index(x, local.width)).collect();
            strips_mut(&mut data, width, |rows, out| {
                for (y, out) in rows.zip(out.chunks_exact_mut(width)) {
                    let row = local.row(index(y, local.height));
                    out.iter_mut().zip(&columns).for_each(|(out, &x)| *out *= row[x]);
                }
            });
        }
        data.iter_mut().for_each(|v| *v = 1.0 - *v);
        Ok(Map { width, height, data })
    }
}

impl MsSsim {
    /// Luma at each scale, finest first.
    fn pyramid(&self, image: &Image) -> Vec<Plane> {
        let mut planes = vec![rounded_luma(image)];
        while let Some(finest) = planes.last().filter(|_| planes.len() < self.scales) {
            planes.push(halved(finest));
        }
        planes
    }
}

/// Means of 2×2 pixels; a side of odd length starts and ends half outside, where the image counts as zero.
fn halved(plane: &Plane) -> Plane {
    let (w, h) = (plane.width, plane.height);
    let mut out = Plane::zeros(w.div_ceil(2), h.div_ceil(2));
    let width = out.width;
    strips_mut(&mut out.data, width, |rows, out| {
        let mut column_sums = vec![0.0; 2 * width];
        for (y, out) in rows.zip(out.chunks_exact_mut(width)) {
            // With an odd side everything moves by one pixel, so that row -1 exists and is zero.
            let row = |k: usize| (2 * y + k).checked_sub(h % 2).map(|y| plane.row(y));
            let sums = &mut column_sums[w % 2..];
            match (row(0), row(1)) {
                (Some(a), Some(b)) => sums.iter_mut().zip(a).zip(b).for_each(|((s, a), b)| *s = a + b),
                (Some(a), None) | (None, Some(a)) => sums.iter_mut().zip(a).for_each(|(s, a)| *s = *a),
                (None, None) => {}
            }
            for (out, pair) in out.iter_mut().zip(column_sums.as_chunks::<2>().0) {
                *out = (pair[0] + pair[1]) * 0.25;
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_odd_sides_as_pyiqa_does() {
        let plane = Plane { width: 3, height: 2, data: vec![4.0, 8.0, 12.0, 4.0, 8.0, 12.0] };
        let out = halved(&plane);
        assert_eq!((out.width, out.height, out.data), (2, 1, vec![2.0, 10.0]));
    }

    #[test]
    fn smallest_sizes_are_the_published_ones() {
        assert_eq!((INFO.min_size_px, INFO_S4.min_size_px), (161, 81));
    }
}
