//! BRISQUE: a regression from natural scene statistics to the opinions of people.
//!
//! Mittal, Moorthy, Bovik, "No-reference image quality assessment in the spatial domain", IEEE TIP 21(12), 2012, with
//! the support vector regression of the original release. 18 features at full and 18 at half scale.

use super::assets::Embedded;
use super::blocks;
use super::ggd::{Aggd, Sums};
use super::info::{Direction, Info, text};
use super::metric::{Map, NoReference, Nr};
use super::mscn::{Border, coefficients};
use super::nss::{self, BlockSums, Rect};
use super::parallel::{strips, vectorised};
use super::plane::{Plane, rounded_luma};
use super::resize::half;
use crate::Result;
use crate::imaging::Image;
use crate::weights::Source;
use libm::tgamma;

const FEATURES: usize = 36;
/// Support vectors of the original release.
const VECTORS: usize = 774;
/// Block and step of the local map. The regression was trained on whole images; smaller blocks get noisy.
const MAP_BLOCK_PX: usize = 64;
const MAP_STEP_PX: usize = 16;

/// BRISQUE as published.
pub static BRISQUE: Nr<Brisque> = Nr(Brisque);

static REGRESSION: Embedded<Regression> =
    Embedded::new("brisque", include_bytes!("../../assets/iqa/brisque.safetensors"), Regression::load);

/// See [`BRISQUE`].
#[derive(Clone, Copy)]
pub struct Brisque;

static INFO: Info = Info {
    name: text("brisque"),
    title: text("BRISQUE"),
    direction: Direction::Lower,
    range: (0.0, 150.0),
    min_size_px: 32,
    version: text("y 0-255 rounded, zero padding, original release's regression"),
    map: text("BRISQUE of the 64 px blocks around the pixel"),
    paper: text("Mittal et al., IEEE TIP 21(12), 2012"),
    licence: text("University of Texas (any use, with notice)"),
    ..Info::OF_PIXELS
};

impl NoReference for Brisque {
    fn info(&self) -> &Info {
        &INFO
    }

    fn weights_hash(&self) -> &str {
        REGRESSION.hash()
    }

    fn score(&self, image: &Image) -> Result<f64> {
        let regression = REGRESSION.get()?;
        let [full, half] = scales(image);
        Ok(regression.score(features(whole_sums(&full), whole_sums(&half))))
    }

    fn map(&self, image: &Image) -> Result<Map> {
        let regression = REGRESSION.get()?;
        let [full, half] = scales(image);
        Ok(blocks::map((image.width(), image.height()), (MAP_BLOCK_PX, MAP_STEP_PX), |block| {
            let Rect { x, y, width, height } = block;
            let smaller = Rect { x: x / 2, y: y / 2, width: width / 2, height: height / 2 };
            let sums = |plane, rect: Rect| nss::sums(plane, rect, 0..rect.height);
            Some(regression.score(features(sums(&full, block), sums(&half, smaller))))
        }))
    }
}

/// Coefficients at full and half scale.
fn scales(image: &Image) -> [Plane; 2] {
    let luma = rounded_luma(image);
    [coefficients(&luma, Border::Zero), coefficients(&half(&luma), Border::Zero)]
}

fn whole_sums(plane: &Plane) -> BlockSums {
    let parts = strips(plane.width, plane.height, |rows| nss::sums(plane, Rect::whole(plane), rows));
    let add = |a: BlockSums, b: BlockSums| std::array::from_fn(|i| a[i].plus(b[i]));
    parts.into_iter().fold([Sums::default(); 5], add)
}

/// 18 features of each scale: shape and variance of the coefficients, then for each direction shape, mean, left and right
/// variance of the products.
fn features(full: BlockSums, half: BlockSums) -> [f64; FEATURES] {
    let mut features = [0.0; FEATURES];
    for (sums, features) in [full, half].iter().zip(features.chunks_exact_mut(FEATURES / 2)) {
        let [own, neighbours @ ..] = sums;
        (features[0], features[1]) = own.ggd().unwrap_or((Aggd::FLAT.shape, 0.0));
        for (sums, features) in neighbours.iter().zip(features[2..].chunks_exact_mut(4)) {
            let Aggd { shape, left, right } = sums.aggd().unwrap_or(Aggd::FLAT);
            let ratio = tgamma(2.0 / shape) / (tgamma(1.0 / shape) * tgamma(3.0 / shape)).sqrt();
            features.copy_from_slice(&[shape, (right - left) * ratio, left * left, right * right]);
        }
    }
    features
}

/// ε-support vector regression with a radial basis function kernel.
struct Regression {
    /// Lowest and highest value of each feature in training, which become -1 and 1.
    feature_min: Vec<f32>,
    feature_max: Vec<f32>,
    /// Feature by feature, one value for every support vector.
    vectors: Vec<f32>,
    coefficients: Vec<f32>,
    rho: f64,
    gamma: f32,
}

impl Regression {
    fn load(weights: &Source) -> Result<Self> {
        let by_vector = weights.floats::<f32>("sv", &[VECTORS, FEATURES])?;
        let transposed = (0..VECTORS * FEATURES).map(|i| by_vector[i % VECTORS * FEATURES + i / VECTORS]);
        Ok(Self {
            vectors: transposed.collect(),
            feature_min: weights.floats("feature_min", &[FEATURES])?,
            feature_max: weights.floats("feature_max", &[FEATURES])?,
            coefficients: weights.floats("coef", &[VECTORS])?,
            rho: weights.floats::<f32>("rho", &[1])?[0] as f64,
            gamma: weights.floats::<f32>("gamma", &[1])?[0],
        })
    }

    fn score(&self, features: [f64; FEATURES]) -> f64 {
        let mut distances = [0.0f32; VECTORS];
        vectorised(|| {
            let bounds = self.feature_min.iter().zip(&self.feature_max);
            for ((value, (&min, &max)), row) in features.iter().zip(bounds).zip(self.vectors.chunks_exact(VECTORS)) {
                let scaled = (-1.0 + 2.0 * (value - min as f64) / (max as f64 - min as f64)) as f32;
                for (distance, vector) in distances.iter_mut().zip(row) {
                    *distance += (scaled - vector) * (scaled - vector);
                }
            }
        });
        let kernel = distances.iter().map(|d| (-(self.gamma * d) as f64).exp());
        kernel.zip(&self.coefficients).map(|(k, &c)| k * c as f64).sum::<f64>() - self.rho
    }
}
