//! PSNR: peak signal-to-noise ratio over the three RGB channels, or of luma alone, in decibel.
//!
//! `10 · log10(1 / (MSE + 1e-8))`: the small constant is pyiqa's and caps the score of identical images at 80 dB, so
//! that it stays finite for averages and min-max normalization.

use rayon::prelude::*;

use super::info::{Info, Kind, text};
use super::metric::{Fr, FullReference, Map};
use super::parallel::{LANES, is_large, strips_mut, vectorised};
use super::plane::{Luma, Plane};
use crate::Result;
use crate::imaging::Image;

/// Keeps the score of identical images finite: 80 dB.
const EPSILON: f64 = 1e-8;
/// Values summed at once.
const CHUNK: usize = 1 << 14;

/// Peak signal-to-noise ratio.
pub static PSNR: Fr<Psnr> = Fr(Psnr);

/// The same of YCbCr's luma, as papers on super-resolution report it: pyiqa's `psnr` with `test_y_channel=True` and
/// `color_space='ycbcr'`.
pub static PSNR_Y: Fr<PsnrY> = Fr(PsnrY);

/// See [`PSNR`].
#[derive(Clone, Copy)]
pub struct Psnr;

/// See [`PSNR_Y`].
#[derive(Clone, Copy)]
pub struct PsnrY;

static INFO: Info = Info {
    name: text("psnr"),
    title: text("PSNR"),
    kind: Kind::FullReference,
    range: (0.0, 80.0),
    min_size_px: 1,
    version: text("rgb, eps 1e-8"),
    map: text("root mean square error over RGB, in [0, 1]"),
    paper: text("ITU-T J.340"),
    ..Info::OF_PIXELS
};

static INFO_Y: Info = Info {
    name: text("psnry"),
    title: text("PSNR, Y of YCbCr"),
    kind: Kind::FullReference,
    range: (0.0, 80.0),
    version: text("y of ycbcr, eps 1e-8"),
    map: text("absolute error of luma, in [0, 1]"),
    paper: text("ITU-T J.340"),
    ..Info::OF_PIXELS
};

impl FullReference for Psnr {
    type Reference = Image;

    fn info(&self) -> &Info {
        &INFO
    }

    fn prepare(&self, reference: &Image) -> Result<Image> {
        Ok(reference.clone())
    }

    fn score(&self, reference: &Image, image: &Image) -> Result<f64> {
        Ok(ratio(reference.data(), image.data(), is_large(image.width(), image.height())))
    }

    fn map(&self, reference: &Image, image: &Image) -> Result<Map> {
        let (width, height) = (image.width(), image.height());
        let mut data = vec![0.0; width * height];
        strips_mut(&mut data, width, |rows, out| {
            let range = rows.start * width..rows.end * width;
            for channel in 0..3 {
                let (a, b) = (&reference.plane(channel)[range.clone()], &image.plane(channel)[range.clone()]);
                out.iter_mut().zip(a).zip(b).for_each(|((out, a), b)| *out += (a - b) * (a - b));
            }
            out.iter_mut().for_each(|v| *v = (*v / 3.0).sqrt());
        });
        Ok(Map { width, height, data })
    }
}

impl FullReference for PsnrY {
    type Reference = Plane;

    fn info(&self) -> &Info {
        &INFO_Y
    }

    fn prepare(&self, reference: &Image) -> Result<Plane> {
        Ok(Luma::YCBCR.unit(reference))
    }

    fn score(&self, reference: &Plane, image: &Image) -> Result<f64> {
        let luma = Luma::YCBCR.unit(image);
        Ok(ratio(&reference.data, &luma.data, is_large(image.width(), image.height())))
    }

    fn map(&self, reference: &Plane, image: &Image) -> Result<Map> {
        let Plane { width, height, mut data } = Luma::YCBCR.unit(image);
        data.iter_mut().zip(&reference.data).for_each(|(a, b)| *a = (*a - b).abs());
        Ok(Map { width, height, data })
    }
}

/// The ratio of two images of equally many values, in dB.
fn ratio(a: &[f32], b: &[f32], is_large: bool) -> f64 {
    let errors: Vec<f64> = match is_large {
        true => a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK)).map(squared_error).collect(),
        false => a.chunks(CHUNK).zip(b.chunks(CHUNK)).map(squared_error).collect(),
    };
    let mse = errors.iter().sum::<f64>() / a.len() as f64;
    10.0 * (1.0 / (mse + EPSILON)).log10()
}

fn squared_error((a, b): (&[f32], &[f32])) -> f64 {
    vectorised(|| {
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        let mut lanes = [0.0f32; LANES];
        for (a, b) in a.iter().zip(b) {
            for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += (a - b) * (a - b);
            }
        }
        let rest = a_rest.iter().zip(b_rest).map(|(a, b)| ((a - b) * (a - b)) as f64);
        lanes.iter().map(|&v| v as f64).sum::<f64>() + rest.sum::<f64>()
    })
}
