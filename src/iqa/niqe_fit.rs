//! Fits NIQE's pristine model to photographs, for block sizes that have no published one.
//!
//! As in section II of the NIQE paper: of each photograph only the sharp blocks count, those whose mean local deviation
//! exceeds a share of the sharpest block's.

use super::linear::mean_and_covariance;
use super::mscn::{Border, deviations};
use super::niqe::{FEATURES, Pristine, Statistics, block_features, cropped};
use super::plane::Plane;
use crate::imaging::Image;
use crate::{Error, Result};

/// Share of the sharpest block's sharpness that a block must exceed, as in the paper.
const SHARPNESS_SHARE: f64 = 0.75;

/// A pristine model and how many blocks it rests on.
pub struct Fit {
    pub pristine: Pristine,
    pub blocks: usize,
}

/// The Gaussian over the features of all sharp blocks of `block_px` pixels (even). It is an error if there are too few
/// for a covariance.
pub fn fit(photographs: &[Image], block_px: usize) -> Result<Fit> {
    let mut rows = vec![];
    for photograph in photographs {
        let luma = cropped(photograph, block_px);
        if luma.data.is_empty() {
            continue;
        }
        let sharpness = block_means(&deviations(&luma, Border::Replicate), block_px);
        let threshold = SHARPNESS_SHARE * sharpness.iter().copied().fold(0.0, f64::max);
        let features = block_features(&Statistics::new(luma), block_px);
        let sharp = features.into_iter().zip(sharpness).filter(|(_, sharpness)| *sharpness > threshold);
        rows.extend(sharp.map(|(row, _)| row).filter(|row| row.iter().all(|v| v.is_finite())));
    }
    if rows.len() < 10 * FEATURES {
        return Err(Error::invalid(format!("{} sharp blocks are too few for a pristine model", rows.len())));
    }
    let (mean, covariance) = mean_and_covariance(&rows);
    Ok(Fit { pristine: Pristine { mean, covariance }, blocks: rows.len() })
}

fn block_means(plane: &Plane, block_px: usize) -> Vec<f64> {
    let columns = plane.width / block_px;
    let mut means = vec![0.0; columns * (plane.height / block_px)];
    for y in 0..plane.height {
        for (column, values) in plane.row(y).chunks_exact(block_px).enumerate() {
            means[y / block_px * columns + column] += values.iter().map(|&v| v as f64).sum::<f64>();
        }
    }
    means.iter_mut().for_each(|v| *v /= (block_px * block_px) as f64);
    means
}
