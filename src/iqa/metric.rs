//! What a metric is to the rest of the product.
//!
//! A [`Metric`] is known before a byte of its weights is read; opened on a device it is a [`Scorer`]; bound to the reference
//! image of a group it is a [`Bound`], which scores the group's candidates, several at once if that pays. Metrics about
//! pixels only need none of that: they implement [`FullReference`] or [`NoReference`], and [`Fr`] and [`Nr`] do the rest.

use std::sync::Arc;

use super::features::Features;
use super::info::{Info, MetricKey};
use crate::imaging::Image;
use crate::nn::kernels::Compute;
use crate::weights::{Part, Store};
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

/// An image quality metric.
pub trait Metric: Send + Sync {
    /// What is worth knowing about the metric.
    fn info(&self) -> &Info;
    /// The weights it is opened with; those compiled in are not among them.
    fn needs(&self) -> &[&'static Part] {
        &[]
    }
    /// What names the weights compiled in, or whatever else beside this program's code and the parts that it
    /// [`needs`](Metric::needs) a score follows from: 16 hexadecimal digits, or "none".
    fn weights_hash(&self) -> String {
        NO_WEIGHTS.into()
    }
    /// Makes it ready to score on a device. Errors: weights that are not there, or are damaged.
    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>>;

    /// As what its scores are kept; weights that are not known to be the published ones are marked.
    fn key(&self, store: &Store) -> MetricKey {
        let info = self.info();
        let weights_hash = match self.needs() {
            [] => self.weights_hash(),
            parts => store.mark(parts),
        };
        MetricKey {
            metric: info.name.to_string(),
            weights_hash,
            crop_policy: info.crop_policy.to_string(),
            version: info.version.to_string(),
        }
    }
}

/// A metric that is open. Scores depend neither on the batch, the threads nor the order they are asked for in.
pub trait Scorer: Send + Sync {
    /// Images of this width and height that it had best be given at once.
    fn batch(&self, px: [usize; 2]) -> usize {
        let _ = px;
        1
    }
    /// Binds it to the reference image, which a no-reference metric ignores. What depends on the reference alone is computed
    /// now. It is an error if a full-reference metric gets none, or one that is too small or not finite.
    fn bind(&self, reference: Option<&Arc<Image>>, features: &Features) -> Result<Box<dyn Bound + '_>>;
}

/// A metric bound to a reference image.
pub trait Bound: Send + Sync {
    /// The scores of images of one size, each on its own: one image at fault spoils no other's score. Errors: an image that
    /// is too small, is not finite or has another size than the reference.
    fn scores(&self, images: &[Arc<Image>], features: &Features) -> Vec<Result<f64>>;
    /// Where in the image the distortion lies; `None` if the metric cannot tell. Errors as [`Bound::scores`].
    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>>;
}

impl dyn Bound + '_ {
    /// The score of one image.
    pub fn score(&self, image: &Arc<Image>, features: &Features) -> Result<f64> {
        let scores = self.scores(std::slice::from_ref(image), features);
        scores.into_iter().next().unwrap_or_else(|| Err(Error::invalid("a metric gave no score")))
    }
}

impl dyn Metric + '_ {
    /// The terms that its weights are under, each once; empty where there are none.
    pub fn licences(&self) -> Vec<String> {
        let compiled_in = Some(self.info().licence.as_ref()).filter(|licence| !licence.is_empty());
        let mut licences: Vec<String> = Vec::new();
        for licence in compiled_in.into_iter().chain(self.needs().iter().map(|part| part.licence)) {
            if !licences.iter().any(|known| known == licence) {
                licences.push(licence.to_owned());
            }
        }
        licences
    }

    /// The score of one image, on the CPU and with the weights of this machine; opening and binding pays off when one
    /// reference has many candidates.
    pub fn score(&self, image: &Image, reference: Option<&Image>) -> Result<f64> {
        self.once(image, reference, |bound, image, features| bound.score(image, features))
    }

    /// The map of one image.
    pub fn map(&self, image: &Image, reference: Option<&Image>) -> Result<Option<Map>> {
        self.once(image, reference, |bound, image, features| bound.map(image, features))
    }

    fn once<T>(
        &self,
        image: &Image,
        reference: Option<&Image>,
        ask: impl FnOnce(&dyn Bound, &Arc<Image>, &Features) -> Result<T>,
    ) -> Result<T> {
        let scorer = self.open(&Store::of_machine(&[], false), &Compute::cpu())?;
        let features = Features::default();
        let reference = reference.map(|image| Arc::new(image.clone()));
        let bound = scorer.bind(reference.as_ref(), &features)?;
        ask(bound.as_ref(), &Arc::new(image.clone()), &features)
    }
}

/// The hash of a metric without weights.
pub(super) const NO_WEIGHTS: &str = "none";

/// The pixels' side of a full-reference metric. Images are checked: of one size, large enough and finite.
pub trait FullReference: Copy + Send + Sync + 'static {
    /// What is computed once from the reference image.
    type Reference: Send + Sync;
    fn info(&self) -> &Info;
    fn weights_hash(&self) -> &str {
        NO_WEIGHTS
    }
    fn prepare(&self, reference: &Image) -> Result<Self::Reference>;
    fn score(&self, reference: &Self::Reference, image: &Image) -> Result<f64>;
    fn map(&self, reference: &Self::Reference, image: &Image) -> Result<Map>;
}

/// The pixels' side of a no-reference metric. Images are checked: large enough and finite.
pub trait NoReference: Copy + Send + Sync + 'static {
    fn info(&self) -> &Info;
    fn weights_hash(&self) -> &str {
        NO_WEIGHTS
    }
    fn score(&self, image: &Image) -> Result<f64>;
    fn map(&self, image: &Image) -> Result<Map>;
}

/// A full-reference metric about pixels, with its checks.
#[derive(Clone, Copy)]
pub struct Fr<M>(pub M);

/// A no-reference metric about pixels, with its checks.
#[derive(Clone, Copy)]
pub struct Nr<M>(pub M);

struct FrBound<'a, M: FullReference> {
    metric: &'a M,
    reference: M::Reference,
    size: Size,
}

impl<M: FullReference> Metric for Fr<M> {
    fn info(&self) -> &Info {
        self.0.info()
    }
    fn weights_hash(&self) -> String {
        self.0.weights_hash().into()
    }
    fn open(&self, _: &Store, _: &Compute) -> Result<Box<dyn Scorer>> {
        Ok(Box::new(*self))
    }
}

impl<M: FullReference> Scorer for Fr<M> {
    fn bind(&self, reference: Option<&Arc<Image>>, _: &Features) -> Result<Box<dyn Bound + '_>> {
        let (reference, size) = checked_reference(self.0.info(), reference)?;
        Ok(Box::new(FrBound { metric: &self.0, reference: self.0.prepare(reference)?, size }))
    }
}

impl<M: FullReference> Bound for FrBound<'_, M> {
    fn scores(&self, images: &[Arc<Image>], _: &Features) -> Vec<Result<f64>> {
        let info = self.metric.info();
        let score = |image: &Arc<Image>| {
            self.size.check(info, image)?;
            finite(info, self.metric.score(&self.reference, image)?)
        };
        each(images, score)
    }
    fn map(&self, image: &Arc<Image>, _: &Features) -> Result<Option<Map>> {
        self.size.check(self.metric.info(), image)?;
        self.metric.map(&self.reference, image).map(Some)
    }
}

impl<M: NoReference> Metric for Nr<M> {
    fn info(&self) -> &Info {
        self.0.info()
    }
    fn weights_hash(&self) -> String {
        self.0.weights_hash().into()
    }
    fn open(&self, _: &Store, _: &Compute) -> Result<Box<dyn Scorer>> {
        Ok(Box::new(*self))
    }
}

impl<M: NoReference> Scorer for Nr<M> {
    fn bind(&self, _: Option<&Arc<Image>>, _: &Features) -> Result<Box<dyn Bound + '_>> {
        Ok(Box::new(*self))
    }
}

impl<M: NoReference> Bound for Nr<M> {
    fn scores(&self, images: &[Arc<Image>], _: &Features) -> Vec<Result<f64>> {
        let info = self.0.info();
        let score = |image: &Arc<Image>| {
            check(info, "the image", image)?;
            finite(info, self.0.score(image)?)
        };
        each(images, score)
    }
    fn map(&self, image: &Arc<Image>, _: &Features) -> Result<Option<Map>> {
        check(self.0.info(), "the image", image)?;
        self.0.map(image).map(Some)
    }
}

/// Calls `score` for every image, on all threads if there are several.
pub fn each(images: &[Arc<Image>], score: impl Fn(&Arc<Image>) -> Result<f64> + Sync + Send) -> Vec<Result<f64>> {
    use rayon::prelude::*;
    match images {
        [image] => vec![score(image)],
        _ => images.par_iter().map(score).collect(),
    }
}

/// Width and height of a reference image, which candidates must have.
#[derive(Clone, Copy, Debug)]
pub struct Size([usize; 2]);

/// The reference image that a full-reference metric cannot do without, and its size. Errors: there is none, it is too small,
/// or not finite.
pub fn checked_reference<'r>(info: &Info, reference: Option<&'r Arc<Image>>) -> Result<(&'r Arc<Image>, Size)> {
    let reference = reference.ok_or_else(|| Error::invalid(format!("{} needs a reference (HR) image", info.name)))?;
    check(info, "the reference", reference)?;
    Ok((reference, Size([reference.width(), reference.height()])))
}

impl Size {
    /// Refuses an image of another size, or one that [`check`] refuses.
    pub fn check(self, info: &Info, image: &Image) -> Result<()> {
        let (Size([width, height]), [w, h]) = (self, [image.width(), image.height()]);
        if [width, height] != [w, h] {
            let name = &info.name;
            return Err(Error::invalid(format!(
                "{name}: the image has {w}×{h} pixels, the reference {width}×{height}"
            )));
        }
        check(info, "the image", image)
    }
}

/// Refuses an image that is too small or not finite; `what` it is.
pub fn check(info: &Info, what: &str, image: &Image) -> Result<()> {
    let (name, min, w, h) = (&info.name, info.min_size_px, image.width(), image.height());
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

/// Refuses a score that is no finite number.
pub fn finite(info: &Info, score: f64) -> Result<f64> {
    match score.is_finite() {
        true => Ok(score),
        false => Err(Error::invalid(format!("{} has no finite score for this image", info.name))),
    }
}
