//! A metric of the middle of an image: some pixels are cut from each side before it looks.
//!
//! Papers on super-resolution often leave out a border, where networks see what they padded with themselves: 4 pixels at a
//! scale of 4. pyiqa has it as `crop_border` of PSNR and SSIM; here any metric can have it. It is part of the crop policy, so
//! that scores with and without it never pass for each other.

use std::sync::Arc;

use super::features::Features;
use super::info::Info;
use super::metric::{Bound, Map, Metric, Scorer, Size, check, checked_reference};
use crate::imaging::{Image, crop};
use crate::nn::kernels::Compute;
use crate::weights::{Part, Store};
use crate::{Error, Result};

/// Another metric, of images without their border.
pub struct Bordered {
    inner: Arc<dyn Metric>,
    border_px: usize,
    info: Info,
}

/// The metric without so many pixels of each side; itself where that is 0, or it looks at the LR image.
pub fn without(border_px: usize, metric: Arc<dyn Metric>) -> Arc<dyn Metric> {
    // The LR image has no such border.
    if border_px == 0 || metric.info().against_lr {
        return metric;
    }
    let mut info = metric.info().clone();
    info.min_size_px += 2 * border_px;
    info.crop_policy = match info.crop_policy.as_ref() {
        "none" => format!("without {border_px} px at each side").into(),
        policy => format!("without {border_px} px at each side; {policy}").into(),
    };
    Arc::new(Bordered { inner: metric, border_px, info })
}

impl Metric for Bordered {
    fn info(&self) -> &Info {
        &self.info
    }
    fn needs(&self) -> &[&'static Part] {
        self.inner.needs()
    }
    fn weights_hash(&self) -> String {
        self.inner.weights_hash()
    }
    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let inner = self.inner.open(store, on)?;
        Ok(Box::new(BorderedScorer { inner, border_px: self.border_px, info: self.info.clone() }))
    }
}

struct BorderedScorer {
    inner: Box<dyn Scorer>,
    border_px: usize,
    info: Info,
}

struct BorderedBound<'s> {
    scorer: &'s BorderedScorer,
    inner: Box<dyn Bound + 's>,
    size: Option<Size>,
}

impl Scorer for BorderedScorer {
    fn batch(&self, px: [usize; 2]) -> usize {
        self.inner.batch(px.map(|side| side.saturating_sub(2 * self.border_px).max(1)))
    }

    fn bind(&self, reference: Option<&Arc<Image>>, features: &Features) -> Result<Box<dyn Bound + '_>> {
        let (middle, size) = match self.info.is_fr() {
            true => {
                let (reference, size) = checked_reference(&self.info, reference)?;
                (Some(self.middle(reference, features)?), Some(size))
            }
            false => (None, None),
        };
        let inner = self.inner.bind(middle.as_ref(), features)?;
        Ok(Box::new(BorderedBound { scorer: self, inner, size }))
    }
}

impl BorderedScorer {
    /// The image without its border: the same one for every metric, so that features are shared.
    fn middle(&self, image: &Arc<Image>, features: &Features) -> Result<Arc<Image>> {
        let made = features.of(&format!("without {} px", self.border_px), std::slice::from_ref(image), |images| {
            images.iter().map(|image| middle(image, self.border_px)).collect()
        })?;
        made.into_iter().next().ok_or_else(|| Error::invalid("an image was lost"))
    }
}

impl BorderedBound<'_> {
    fn checked(&self, image: &Arc<Image>, features: &Features) -> Result<Arc<Image>> {
        match self.size {
            Some(size) => size.check(&self.scorer.info, image)?,
            None => check(&self.scorer.info, "the image", image)?,
        }
        self.scorer.middle(image, features)
    }
}

impl Bound for BorderedBound<'_> {
    fn scores(&self, images: &[Arc<Image>], features: &Features) -> Vec<Result<f64>> {
        let middles: Vec<Result<Arc<Image>>> = images.iter().map(|image| self.checked(image, features)).collect();
        let sound: Vec<Arc<Image>> = middles.iter().filter_map(|middle| middle.as_ref().ok().cloned()).collect();
        let mut scores = self.inner.scores(&sound, features).into_iter();
        let lost = || Err(Error::invalid("a metric gave too few scores"));
        middles.into_iter().map(|middle| middle.and_then(|_| scores.next().unwrap_or_else(lost))).collect()
    }

    /// As the metric's own; what was cut off has no distortion.
    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        let middle = self.checked(image, features)?;
        let Some(inner) = self.inner.map(&middle, features)? else { return Ok(None) };
        let (border, width, height) = (self.scorer.border_px, image.width(), image.height());
        let mut data = vec![0.0; width * height];
        let rows = data.chunks_exact_mut(width).skip(border).zip(inner.data.chunks_exact(inner.width.max(1)));
        rows.for_each(|(out, row)| out.iter_mut().skip(border).zip(row).for_each(|(out, v)| *out = *v));
        Ok(Some(Map { width, height, data }))
    }
}

fn middle(image: &Image, border_px: usize) -> Result<Image> {
    let [width, height] = [image.width(), image.height()].map(|side| side.saturating_sub(2 * border_px));
    crop::cut(image, border_px, border_px, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iqa::by_name;

    fn picture(seed: u64) -> Image {
        let noise = crate::random::Random::new(seed, 0).normal_image(3, 60, 52);
        Image::new(52, 60, noise.iter().map(|v| (0.5 + 0.2 * v).clamp(0.0, 1.0)).collect()).unwrap()
    }

    #[test]
    fn what_lies_in_the_border_counts_for_nothing_and_scores_are_kept_apart() {
        let (reference, image) = (picture(1), picture(2));
        let (width, mut data) = (image.width(), image.data().to_vec());
        data[..4 * width].fill(1.0);
        let spoiled = Image::new(width, image.height(), data).unwrap();
        for name in ["psnr", "ssim", "stlpips", "brisque"] {
            let plain = by_name(name).unwrap();
            let bordered = without(4, plain.clone());
            let score = |metric: &dyn Metric, image: &Image| metric.score(image, Some(&reference)).unwrap();
            assert_eq!(score(bordered.as_ref(), &spoiled), score(bordered.as_ref(), &image), "{name}");
            let cut = plain.score(&middle(&image, 4).unwrap(), Some(&middle(&reference, 4).unwrap())).unwrap();
            assert_eq!(score(bordered.as_ref(), &image), cut, "{name}");
            let keys = [&plain, &bordered].map(|metric| metric.key(&Store::default()));
            assert_ne!(keys[0], keys[1]);
            let map = bordered.map(&image, Some(&reference)).unwrap().unwrap();
            assert_eq!((map.width, map.height), (52, 60));
            assert!(map.data[..4 * width].iter().all(|v| *v == 0.0));
            assert!(map.data[30 * width + 20] != 0.0, "{name}");
        }
        let small = Image::new(18, 18, vec![0.5; 3 * 18 * 18]).unwrap();
        let error = without(4, by_name("ssim").unwrap()).score(&small, Some(&small)).unwrap_err().to_string();
        assert!(error.contains("needs at least 19×19 pixels"), "{error}");
    }
}
