//! What a metric is to the rest of the product, and the checks that every image passes before a metric sees it.
//!
//! A metric implements [`FullReference`] or [`NoReference`], which are about pixels only. [`Fr`] and [`Nr`] turn those
//! into a [`Metric`]: they refuse images that are too small, do not match the reference or are not finite, so that
//! no metric has to, and no score is ever NaN.

use std::sync::LazyLock;

use super::info::{Info, MetricKey};
use crate::imaging::Image;
use crate::{Error, Result};

/// A value for every pixel of an image; larger is more distorted, [`Info::map`] says in which unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `height * width` values, row by row.
    pub data: Vec<f32>,
}

/// A metric bound to its reference image. What depends on the reference alone is computed once, when it is made.
pub trait Scorer: Send + Sync {
    /// The score of an image. It is an error if the image is too small, is not finite or has another size than the
    /// reference.
    fn score(&self, image: &Image) -> Result<f64>;
    /// Where in the image the distortion lies; `None` if the metric cannot tell. Errors as [`Scorer::score`].
    fn map(&self, image: &Image) -> Result<Option<Map>>;
}

/// An image quality metric.
pub trait Metric: Send + Sync {
    /// What is worth knowing about the metric.
    fn info(&self) -> &Info;
    /// The first 16 hexadecimal digits of the SHA-256 of the embedded weights, or "none".
    fn weights_hash(&self) -> &str;
    /// As what its scores are kept.
    fn key(&self) -> MetricKey {
        let info = self.info();
        MetricKey {
            metric: info.name.to_string(),
            weights_hash: self.weights_hash().into(),
            crop_policy: info.crop_policy.to_string(),
            version: info.version.to_string(),
        }
    }
    /// Binds the metric to the reference image, which a no-reference metric ignores. It is an error if a full-reference
    /// metric gets none, or one that is too small or not finite.
    fn prepare(&self, reference: Option<&Image>) -> Result<Box<dyn Scorer + '_>>;

    /// The score of one image; [`Metric::prepare`] pays off when one reference has many candidates.
    fn score(&self, image: &Image, reference: Option<&Image>) -> Result<f64> {
        self.prepare(reference)?.score(image)
    }
    /// The map of one image.
    fn map(&self, image: &Image, reference: Option<&Image>) -> Result<Option<Map>> {
        self.prepare(reference)?.map(image)
    }
}

/// The hash of a metric without weights.
pub(super) static NO_WEIGHTS: LazyLock<String> = LazyLock::new(|| "none".into());

/// The pixels' side of a full-reference metric. Images are checked: of one size, large enough and finite.
pub(super) trait FullReference: Send + Sync + 'static {
    /// What is computed once from the reference image.
    type Reference: Send + Sync;
    fn info(&self) -> &Info;
    fn weights_hash(&self) -> &str {
        &NO_WEIGHTS
    }
    fn prepare(&self, reference: &Image) -> Result<Self::Reference>;
    fn score(&self, reference: &Self::Reference, image: &Image) -> Result<f64>;
    fn map(&self, reference: &Self::Reference, image: &Image) -> Result<Map>;
}

/// The pixels' side of a no-reference metric. Images are checked: large enough and finite.
pub(super) trait NoReference: Send + Sync + 'static {
    fn info(&self) -> &Info;
    fn weights_hash(&self) -> &str {
        &NO_WEIGHTS
    }
    fn score(&self, image: &Image) -> Result<f64>;
    fn map(&self, image: &Image) -> Result<Map>;
}

/// A full-reference metric with its checks.
pub struct Fr<M>(pub(super) M);

/// A no-reference metric with its checks.
pub struct Nr<M>(pub(super) M);

struct FrScorer<'a, M: FullReference> {
    metric: &'a M,
    reference: M::Reference,
    size_px: (usize, usize),
}

struct NrScorer<'a, M>(&'a M);

#[allow(private_bounds)]
impl<M: FullReference> Metric for Fr<M> {
    fn info(&self) -> &Info {
        self.0.info()
    }
    fn weights_hash(&self) -> &str {
        self.0.weights_hash()
    }
    fn prepare(&self, reference: Option<&Image>) -> Result<Box<dyn Scorer + '_>> {
        let info = self.0.info();
        let reference =
            reference.ok_or_else(|| Error::invalid(format!("{} needs a reference (HR) image", info.name)))?;
        check(info, "the reference", reference)?;
        let size_px = (reference.width(), reference.height());
        Ok(Box::new(FrScorer { metric: &self.0, reference: self.0.prepare(reference)?, size_px }))
    }
}

impl<M: FullReference> FrScorer<'_, M> {
    fn check(&self, image: &Image) -> Result<()> {
        let info = self.metric.info();
        let ((ref_w, ref_h), (w, h)) = (self.size_px, (image.width(), image.height()));
        if (ref_w, ref_h) != (w, h) {
            let name = info.name;
            return Err(Error::invalid(format!("{name}: the image has {w}×{h} pixels, the reference {ref_w}×{ref_h}")));
        }
        check(info, "the image", image)
    }
}

impl<M: FullReference> Scorer for FrScorer<'_, M> {
    fn score(&self, image: &Image) -> Result<f64> {
        self.check(image)?;
        finite(self.metric.info(), self.metric.score(&self.reference, image)?)
    }
    fn map(&self, image: &Image) -> Result<Option<Map>> {
        self.check(image)?;
        self.metric.map(&self.reference, image).map(Some)
    }
}

#[allow(private_bounds)]
impl<M: NoReference> Metric for Nr<M> {
    fn info(&self) -> &Info {
        self.0.info()
    }
    fn weights_hash(&self) -> &str {
        self.0.weights_hash()
    }
    fn prepare(&self, _: Option<&Image>) -> Result<Box<dyn Scorer + '_>> {
        Ok(Box::new(NrScorer(&self.0)))
    }
}

impl<M: NoReference> Scorer for NrScorer<'_, M> {
    fn score(&self, image: &Image) -> Result<f64> {
        check(self.0.info(), "the image", image)?;
        finite(self.0.info(), self.0.score(image)?)
    }
    fn map(&self, image: &Image) -> Result<Option<Map>> {
        check(self.0.info(), "the image", image)?;
        self.0.map(image).map(Some)
    }
}

/// Refuses an image that is too small or not finite.
fn check(info: &Info, what: &str, image: &Image) -> Result<()> {
    let (name, min, w, h) = (info.name, info.min_size_px, image.width(), image.height());
    if !info.is_defined_on(w, h) {
        return Err(Error::invalid(format!("{name} needs at least {min}×{min} pixels, {what} has {w}×{h}")));
    }
    // No early exit within a chunk, so that the test is vectorised.
    let is_finite = |values: &[f32]| values.iter().fold(true, |all, v| all & v.is_finite());
    match image.data().chunks(4096).all(is_finite) {
        true => Ok(()),
        false => Err(Error::invalid(format!("{name}: {what} holds values that are not finite"))),
    }
}

fn finite(info: &Info, score: f64) -> Result<f64> {
    match score.is_finite() {
        true => Ok(score),
        false => Err(Error::invalid(format!("{} has no finite score for this image", info.name))),
    }
}
