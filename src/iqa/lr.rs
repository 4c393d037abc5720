//! Faithfulness to the LR image, without any HR image: the candidate, reduced the way the LR image was made, against the LR
//! image. What a candidate invents beyond the LR image's resolution costs nothing here; what contradicts the LR image does.
//! For real LR images it is the only reward that a hallucination cannot raise.
//!
//! The way is the degradation on record, replayed with its own noise and compression. Where there is none, as for LR images
//! that were given, bicubic ×¼ stands for it. Then no candidate is perfect, but all of a group are measured alike.

use std::sync::Arc;

use super::features::Features;
use super::info::{Direction, Info, Kind, Status, text};
use super::metric::{Bound, Map, Metric, Scorer, check, finite};
use super::{psnr, ssim, stlpips};
use crate::degrade::{Applied, replay};
use crate::imaging::quantize::quantized;
use crate::imaging::resize::{self, Filter};
use crate::imaging::{Image, SCALE};
use crate::networks::alexnet::AlexNet;
use crate::nn::kernels::Compute;
use crate::weights::Store;
use crate::{Error, Result};

/// What a candidate is to be faithful to.
#[derive(Clone, Debug)]
pub struct LowRes {
    /// The LR image.
    pub image: Arc<Image>,
    /// How it was made from the HR image, where that is known.
    pub made_by: Option<Applied>,
}

impl LowRes {
    /// The LR image that a candidate would have given.
    fn of(&self, candidate: &Image) -> Result<Image> {
        match &self.made_by {
            Some(applied) => replay(candidate, applied),
            None => Ok(quantized(&resize::shrink_x4(candidate)?)),
        }
    }
}

/// A full-reference metric between a reduced candidate and the LR image.
pub struct AgainstLr {
    info: Info,
    inner: &'static (dyn Metric + 'static),
}

/// Facts of one; `inner_px` is what its inner metric needs of the LR image.
const fn info(name: &'static str, title: &'static str, direction: Direction, high: f64, inner_px: usize) -> Info {
    Info {
        name: text(name),
        title: text(title),
        kind: Kind::NoReference,
        direction,
        range: (0.0, high),
        min_size_px: SCALE * inner_px,
        version: text("recorded degradation replayed, else bicubic x1/4"),
        licence: text(match direction {
            // ST-LPIPS is the one with weights.
            Direction::Lower => "BSD-2-Clause",
            Direction::Higher | Direction::Neither => "",
        }),
        map: text("the metric's own, of the reduced candidate"),
        against_lr: true,
        status: Status::Own,
        paper: text("DP²O Studio"),
        ..Info::OF_PIXELS
    }
}

/// PSNR against the LR image.
pub static PSNR: AgainstLr =
    AgainstLr { info: info("lr_psnr", "PSNR to LR", Direction::Higher, 80.0, 1), inner: &psnr::PSNR };

/// SSIM against the LR image.
pub static SSIM: AgainstLr =
    AgainstLr { info: info("lr_ssim", "SSIM to LR", Direction::Higher, 1.0, ssim::WINDOW), inner: &ssim::SSIM };

/// ST-LPIPS against the LR image.
pub static STLPIPS: AgainstLr = AgainstLr {
    info: info("lr_stlpips", "ST-LPIPS to LR", Direction::Lower, 1.0, AlexNet::MIN_SIZE_PX),
    inner: &stlpips::StLpips,
};

impl Metric for &'static AgainstLr {
    fn info(&self) -> &Info {
        &self.info
    }

    fn weights_hash(&self) -> String {
        self.inner.weights_hash()
    }

    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        Ok(Box::new(Opened { metric: self, inner: self.inner.open(store, on)? }))
    }
}

struct Opened {
    metric: &'static AgainstLr,
    inner: Box<dyn Scorer>,
}

struct BoundToLr<'o> {
    info: &'static Info,
    inner: Box<dyn Bound + 'o>,
    low_res: Arc<LowRes>,
}

impl Scorer for Opened {
    fn batch(&self, px: [usize; 2]) -> usize {
        self.inner.batch(px.map(|side| (side / SCALE).max(1)))
    }

    fn bind(&self, _: Option<&Arc<Image>>, features: &Features) -> Result<Box<dyn Bound + '_>> {
        let info = &self.metric.info;
        let low_res = features.low_res().cloned().ok_or_else(|| {
            Error::invalid(format!(
                "{} needs the LR image that a candidate was made from; a workspace has it",
                info.name
            ))
        })?;
        let inner = self.inner.bind(Some(&low_res.image), features)?;
        Ok(Box::new(BoundToLr { info, inner, low_res }))
    }
}

impl BoundToLr<'_> {
    /// The reduced candidate: the same one for every metric of this file.
    fn reduced(&self, image: &Arc<Image>, features: &Features) -> Result<Arc<Image>> {
        check(self.info, "the image", image)?;
        let made = features.of("reduced as the LR image", std::slice::from_ref(image), |images| {
            images.iter().map(|image| self.low_res.of(image)).collect()
        })?;
        made.into_iter().next().ok_or_else(|| Error::invalid("an image was lost"))
    }
}

impl Bound for BoundToLr<'_> {
    fn scores(&self, images: &[Arc<Image>], features: &Features) -> Vec<Result<f64>> {
        let score = |image: &Arc<Image>| {
            let reduced = self.reduced(image, features)?;
            finite(self.info, self.inner.score(&reduced, features)?)
        };
        images.iter().map(score).collect()
    }

    /// The inner metric's map, as large as the candidate.
    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        let reduced = self.reduced(image, features)?;
        let Some(Map { width, height, data }) = self.inner.map(&reduced, features)? else { return Ok(None) };
        let size = (image.width(), image.height());
        let data = resize::resize_plane(&data, (width, height), size, Filter::Bilinear)?;
        Ok(Some(Map { width: size.0, height: size.1, data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::degrade::{Degradation, degrade};
    use crate::iqa::generated;

    fn score(metric: &'static AgainstLr, low_res: LowRes, candidate: &Arc<Image>) -> f64 {
        let scorer = (&metric).open(&Store::of_folders(&[], false), &Compute::cpu()).unwrap();
        let features = Features::default().of_lr(low_res);
        let bound = scorer.bind(None, &features).unwrap();
        let score = bound.score(candidate, &features.within()).unwrap();
        let map = bound.map(candidate, &features).unwrap().unwrap();
        assert_eq!((map.width, map.height), (candidate.width(), candidate.height()));
        score
    }

    #[test]
    fn the_hr_image_gives_its_lr_image_again_and_another_one_does_not() {
        let [hr, other] = generated::pair([160, 160]).unwrap().map(Arc::new);
        for (name, seed) in [("bicubic_x4", 0), ("light_x4", 3), ("realesrgan_x4", 5)] {
            let (image, applied) = degrade(&hr, &Degradation::named(name).unwrap(), seed).unwrap();
            let lr = |made_by| LowRes { image: Arc::new(image.clone()), made_by };
            for (metric, best) in [(&PSNR, 80.0), (&SSIM, 1.0), (&STLPIPS, 0.0)] {
                let align = |score: f64| metric.info.direction.align(score);
                let perfect = score(metric, lr(Some(applied.clone())), &hr);
                assert!((perfect - best).abs() < 1e-6, "{name}: {} {perfect}", metric.info.name);
                assert!(align(score(metric, lr(Some(applied.clone())), &other)) < align(perfect));
                // Without the record bicubic stands for it, which is exact where it was that.
                let estimated = score(metric, lr(None), &hr);
                assert!((name == "bicubic_x4") == ((estimated - best).abs() < 1e-6), "{name}: {estimated}");
            }
        }
    }

    #[test]
    fn without_an_lr_image_it_says_what_is_missing() {
        let scorer = (&&PSNR).open(&Store::of_folders(&[], false), &Compute::cpu()).unwrap();
        let error = scorer.bind(None, &Features::default()).err().unwrap().to_string();
        assert!(error.contains("lr_psnr needs the LR image"), "{error}");
    }
}
