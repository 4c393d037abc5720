//! SSIM: structural similarity of luma in 11×11 Gaussian windows (σ 1.5), whole windows only, no downsampling.
//!
//! Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE
//! TIP 13(4), 2004. As in pyiqa the contrast-structure term is clipped at 0. [`Reference`] and [`compare`] serve one
//! scale of [MS-SSIM](super::ms_ssim) too.
//!
//! Moments are taken of luma minus 128, which leaves variances as they are and keeps them exact enough in f32.

use super::gaussian::{local_means, weights};
use super::info::{Info, Kind, text};
use super::metric::{Fr, FullReference, Map};
use super::parallel::{strips, strips_mut, sum, vectorised};
use super::plane::{Luma, Plane};
use crate::Result;
use crate::imaging::Image;

/// Window size and Gaussian.
pub const WINDOW: usize = 11;
const SIGMA_PX: f64 = 1.5;
/// Stabilising constants for values up to 255.
const C1: f32 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f32 = (0.03 * 255.0) * (0.03 * 255.0);
/// Subtracted from luma before moments are taken.
const CENTRE: f32 = 128.0;

/// Structural similarity.
pub static SSIM: Fr<Ssim> = Fr(Ssim { info: &INFO, luma: Luma::YIQ });

/// The same of YCbCr's luma, as papers on super-resolution report it: pyiqa's `ssim` with `color_space='ycbcr'`.
pub static SSIM_Y: Fr<Ssim> = Fr(Ssim { info: &INFO_Y, luma: Luma::YCBCR });

/// See [`SSIM`] and [`SSIM_Y`].
#[derive(Clone, Copy)]
pub struct Ssim {
    info: &'static Info,
    luma: Luma,
}

static INFO: Info = info("ssim", "SSIM", "y 0-255 rounded, gaussian 11 sigma 1.5, no downsampling");
static INFO_Y: Info = info("ssimy", "SSIM, Y of YCbCr", "y of ycbcr rounded, gaussian 11 sigma 1.5, no downsampling");

const fn info(name: &'static str, title: &'static str, version: &'static str) -> Info {
    Info {
        name: text(name),
        title: text(title),
        kind: Kind::FullReference,
        min_size_px: WINDOW,
        version: text(version),
        crop_policy: text("whole windows: centres at least 5 px from the edge"),
        map: text("1 - SSIM of the window around the pixel"),
        paper: text("Wang et al., IEEE TIP 13(4), 2004"),
        ..Info::OF_PIXELS
    }
}

impl FullReference for Ssim {
    type Reference = Reference;

    fn info(&self) -> &Info {
        self.info
    }

    fn prepare(&self, reference: &Image) -> Result<Reference> {
        Ok(Reference::new(self.luma.rounded(reference)))
    }

    fn score(&self, reference: &Reference, image: &Image) -> Result<f64> {
        Ok(compare(reference, &self.luma.rounded(image)).ssim)
    }

    fn map(&self, reference: &Reference, image: &Image) -> Result<Map> {
        let (ssim, _) = compare_locally(reference, &self.luma.rounded(image));
        let (width, height, border) = (image.width(), image.height(), WINDOW / 2);
        let nearest = |at: usize, len: usize| at.saturating_sub(border).min(len - 1);
        let mut data = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = ssim.row(nearest(y, ssim.height));
            data.extend((0..width).map(|x| 1.0 - row[nearest(x, ssim.width)]));
        }
        Ok(Map { width, height, data })
    }
}

/// What SSIM needs of the reference image: its luma and the local means of it.
pub struct Reference {
    pub luma: Plane,
    /// Local means of luma - 128, of the size of the whole windows.
    mean: Plane,
}

impl Reference {
    /// From luma of at least 11×11 pixels.
    pub fn new(luma: Plane) -> Self {
        let mut mean = Plane::zeros(luma.width + 1 - WINDOW, luma.height + 1 - WINDOW);
        let (width, gaussian) = (mean.width, weights(SIGMA_PX));
        strips_mut(&mut mean.data, width, |rows, out| {
            let first = rows.start;
            vectorised(|| {
                local_means::<WINDOW, 1>(
                    &gaussian,
                    width,
                    rows,
                    |y, [x]| x.iter_mut().zip(luma.row(y)).for_each(|(x, l)| *x = l - CENTRE),
                    |y, [mean]| out[(y - first) * width..][..width].copy_from_slice(mean),
                );
            });
        });
        Self { luma, mean }
    }
}

/// Means over all windows.
pub struct Similarity {
    /// Luminance × contrast × structure.
    pub ssim: f64,
    /// Contrast × structure.
    pub contrast: f64,
}

/// The similarity of luma with the reference, which has the same size.
pub fn compare(reference: &Reference, luma: &Plane) -> Similarity {
    let Plane { width, height, .. } = reference.mean;
    let parts = strips(width, height, |rows| {
        let (mut ssim, mut contrast) = (0.0, 0.0);
        each_row(reference, luma, rows, |_, row| {
            ssim += sum(row.ssim);
            contrast += sum(row.contrast);
        });
        (ssim, contrast)
    });
    let (ssim, contrast) = parts.iter().fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
    let count = (width * height) as f64;
    Similarity { ssim: ssim / count, contrast: contrast / count }
}

/// The same for each window: SSIM, and contrast × structure alone.
pub fn compare_locally(reference: &Reference, luma: &Plane) -> (Plane, Plane) {
    let Plane { width, height, .. } = reference.mean;
    let parts = strips(width, height, |rows| {
        let (mut ssim, mut contrast) = (vec![], vec![]);
        each_row(reference, luma, rows, |_, row| {
            ssim.extend_from_slice(row.ssim);
            contrast.extend_from_slice(row.contrast);
        });
        (ssim, contrast)
    });
    let (ssim, contrast): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    (Plane { width, height, data: ssim.concat() }, Plane { width, height, data: contrast.concat() })
}

/// One row of windows.
struct Row<'a> {
    ssim: &'a [f32],
    contrast: &'a [f32],
}

fn each_row(reference: &Reference, luma: &Plane, rows: std::ops::Range<usize>, mut sink: impl FnMut(usize, Row)) {
    let gaussian = weights(SIGMA_PX);
    let width = reference.mean.width;
    let (mut ssim, mut contrast) = (vec![0.0; width], vec![0.0; width]);
    vectorised(|| {
        local_means::<WINDOW, 3>(
            &gaussian,
            width,
            rows,
            // Only the sum of the two variances is needed, so x² + y² is one image.
            |y, [x, squares, product]| {
                let inputs = luma.row(y).iter().zip(reference.luma.row(y));
                for (((x, squares), product), (a, b)) in x.iter_mut().zip(squares).zip(product).zip(inputs) {
                    let (a, b) = (a - CENTRE, b - CENTRE);
                    (*x, *squares, *product) = (a, a * a + b * b, a * b);
                }
            },
            |y, [x, squares, product]| {
                let means = x.iter().zip(reference.mean.row(y));
                let moments = squares.iter().zip(product);
                let out = ssim.iter_mut().zip(&mut contrast);
                for (((ssim, contrast), (a, b)), (squares, product)) in out.zip(means).zip(moments) {
                    let variances = squares - (a * a + b * b);
                    let covariance = product - a * b;
                    let (a, b) = (a + CENTRE, b + CENTRE);
                    let cs = ((2.0 * covariance + C2) / (variances + C2)).max(0.0);
                    *contrast = cs;
                    *ssim = (2.0 * a * b + C1) / (a * a + b * b + C1) * cs;
                }
                sink(y, Row { ssim: &ssim, contrast: &contrast });
            },
        );
    });
}
