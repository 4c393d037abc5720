//! NIQE: how far the statistics of an image's blocks are from those of pristine photographs.
//!
//! Mittal, Soundararajan, Bovik, "Making a 'completely blind' image quality analyzer", IEEE SPL 20(3), 2013. The image
//! is cropped at the right and bottom to whole blocks; each block gives 18 features at full and 18 at half scale; the
//! score is the Mahalanobis distance between the Gaussian fitted to them and the pristine one.
//!
//! The original's blocks of 96 pixels need images of 192 for there to be several. `niqe_b32` has blocks of 32 and a
//! pristine model of its own (`niqe_b32.safetensors`, made by `dp2o-studio fit-niqe`): it ranks candidates from
//! 64 pixels on, and its scores are not comparable with those of `niqe`.

use rayon::prelude::*;

use super::assets::Embedded;
use super::blocks;
use super::ggd::Aggd;
use super::info::{Direction, Info, text};
use super::linear::{mahalanobis_squared, mean_and_covariance};
use super::metric::{Map, NoReference, Nr};
use super::mscn::{Border, coefficients};
use super::nss::{self, Rect};
use super::parallel::is_large;
use super::plane::{Plane, rounded_luma};
use super::resize::half;
use crate::imaging::Image;
use crate::weights::Source;
use crate::{Error, Result};

/// Features of a block: 18 at each of two scales.
pub(super) const FEATURES: usize = 36;

/// NIQE as published, for images from 192 pixels on.
pub static NIQE: Nr<Niqe> = Nr(Niqe { info: &INFO, block_px: 96, pristine: &PRISTINE });

/// NIQE in small blocks, for images from 64 pixels on.
pub static NIQE_B32: Nr<Niqe> = Nr(Niqe { info: &INFO_B32, block_px: 32, pristine: &PRISTINE_B32 });

static PRISTINE: Embedded<Pristine> =
    Embedded::new("niqe", include_bytes!("../../assets/iqa/niqe.safetensors"), Pristine::load);

static PRISTINE_B32: Embedded<Pristine> =
    Embedded::new("niqe_b32", include_bytes!("../../assets/iqa/niqe_b32.safetensors"), Pristine::load);

/// See [`NIQE`] and [`NIQE_B32`].
#[derive(Clone, Copy)]
pub struct Niqe {
    info: &'static Info,
    block_px: usize,
    pristine: &'static Embedded<Pristine>,
}

static INFO: Info = info(
    ("niqe", "NIQE"),
    96,
    "y 0-255 rounded, 96 px blocks, original pristine model",
    "top left, multiples of 96 px",
    "Apache-2.0",
);

static INFO_B32: Info = info(
    ("niqe_b32", "NIQE, 32 px blocks"),
    32,
    "y 0-255 rounded, 32 px blocks, pristine model fitted by examples/fit_niqe.rs",
    "top left, multiples of 32 px",
    "",
);

const fn info(
    (name, title): (&'static str, &'static str),
    block_px: usize,
    version: &'static str,
    crop_policy: &'static str,
    licence: &'static str,
) -> Info {
    Info {
        name: text(name),
        title: text(title),
        direction: Direction::Lower,
        range: (0.0, 100.0),
        min_size_px: 2 * block_px,
        version: text(version),
        crop_policy: text(crop_policy),
        map: text("distance of the block around the pixel from the pristine model, by the pristine covariance"),
        paper: text("Mittal et al., IEEE SPL 20(3), 2013"),
        licence: text(licence),
        ..Info::OF_PIXELS
    }
}

/// A Gaussian over the features of blocks of pristine photographs.
pub struct Pristine {
    /// 36 means.
    pub mean: [f64; FEATURES],
    /// 36 × 36 covariances, row by row.
    pub covariance: Vec<f64>,
}

impl Pristine {
    fn load(weights: &Source) -> Result<Self> {
        let mut mean = [0.0; FEATURES];
        mean.copy_from_slice(&weights.floats::<f64>("mean", &[FEATURES])?);
        Ok(Self { mean, covariance: weights.floats("cov", &[FEATURES, FEATURES])? })
    }
}

impl NoReference for Niqe {
    fn info(&self) -> &Info {
        self.info
    }

    fn weights_hash(&self) -> &str {
        self.pristine.hash()
    }

    fn score(&self, image: &Image) -> Result<f64> {
        let pristine = self.pristine.get()?;
        let block = self.block_px;
        let features = block_features(&Statistics::new(cropped(image, block)), block);
        let complete: Vec<_> = features.iter().copied().filter(|row| row.iter().all(|v| v.is_finite())).collect();
        let (_, covariance) = mean_and_covariance(&complete);
        let covariance: Vec<_> = covariance.iter().zip(&pristine.covariance).map(|(a, b)| (a + b) / 2.0).collect();
        let flat = flat_features();
        let difference: Vec<_> = (0..FEATURES)
            .map(|i| {
                // A block lacks a feature where it is constant. As in the original the mean is over the others.
                let defined = features.iter().map(|row| row[i]).filter(|v| v.is_finite());
                let (count, sum) = defined.fold((0.0, 0.0), |(n, sum), v| (n + 1.0, sum + v));
                let mean = if count > 0.0 { sum / count } else { flat[i] };
                mean - pristine.mean[i]
            })
            .collect();
        let squared = mahalanobis_squared(&covariance, &difference);
        squared.map(f64::sqrt).ok_or_else(|| Error::invalid(format!("{}: singular covariance", self.info.name)))
    }

    fn map(&self, image: &Image) -> Result<Map> {
        let pristine = self.pristine.get()?;
        let statistics = Statistics::new(rounded_luma(image));
        // Even positions, so that a block starts at a whole pixel of the half scale too.
        let step = self.block_px / 8 * 2;
        Ok(blocks::map((image.width(), image.height()), (self.block_px, step), |rect| {
            let features = statistics.features(rect);
            let difference: Vec<_> = features.iter().zip(&pristine.mean).map(|(a, b)| a - b).collect();
            let distance = mahalanobis_squared(&pristine.covariance, &difference)?.sqrt();
            distance.is_finite().then_some(distance)
        }))
    }
}

/// Luma, cut at the right and bottom to whole blocks.
pub(super) fn cropped(image: &Image, block_px: usize) -> Plane {
    let whole = |len: usize| len / block_px * block_px;
    rounded_luma(image).crop(whole(image.width()), whole(image.height()))
}

/// The features of every block, side by side.
pub(super) fn block_features(statistics: &Statistics, block_px: usize) -> Vec<[f64; FEATURES]> {
    let (columns, rows) = (statistics.full.width / block_px, statistics.full.height / block_px);
    let features = |i: usize| {
        let (x, y) = (i % columns * block_px, i / columns * block_px);
        statistics.features(Rect { x, y, width: block_px, height: block_px })
    };
    match is_large(statistics.full.width, statistics.full.height) {
        true => (0..columns * rows).into_par_iter().map(features).collect(),
        false => (0..columns * rows).map(features).collect(),
    }
}

/// Coefficients of an image at its two scales.
pub(super) struct Statistics {
    full: Plane,
    half: Plane,
}

impl Statistics {
    pub(super) fn new(luma: Plane) -> Self {
        Self { full: coefficients(&luma, Border::Replicate), half: coefficients(&half(&luma), Border::Replicate) }
    }

    /// The features of a block given in pixels of the full scale; NaN where the block is constant.
    fn features(&self, block: Rect) -> [f64; FEATURES] {
        let Rect { x, y, width, height } = block;
        let smaller = Rect { x: x / 2, y: y / 2, width: width / 2, height: height / 2 };
        let mut features = [0.0; FEATURES];
        for (features, (plane, rect)) in
            features.chunks_exact_mut(FEATURES / 2).zip([(&self.full, block), (&self.half, smaller)])
        {
            let fits = nss::sums(plane, rect, 0..rect.height).map(|sums| sums.aggd().unwrap_or(UNDEFINED));
            scale_features(fits, features);
        }
        features
    }
}

const UNDEFINED: Aggd = Aggd { shape: f64::NAN, left: f64::NAN, right: f64::NAN };

/// What stands for the features that no block has, of an image that is constant everywhere.
fn flat_features() -> [f64; FEATURES] {
    let mut features = [0.0; FEATURES];
    features.chunks_exact_mut(FEATURES / 2).for_each(|features| scale_features([Aggd::FLAT; 5], features));
    features
}

/// 18 features of one scale: shape and mean scale of the coefficients, then for each direction shape, mean, left and
/// right scale.
fn scale_features(fits: [Aggd; 5], features: &mut [f64]) {
    let [own, neighbours @ ..] = fits;
    let (left, right) = own.scales();
    (features[0], features[1]) = (own.shape, (left + right) / 2.0);
    for (fit, features) in neighbours.iter().zip(features[2..].chunks_exact_mut(4)) {
        let (left, right) = fit.scales();
        features.copy_from_slice(&[fit.shape, fit.mean(), left, right]);
    }
}
