//! What metrics with a network have in common: how images are brought into it, and how a group of them is judged batch by batch.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::features::Features;
use super::info::Info;
use super::metric::{Bound, Map, Scorer, Size, check, checked_reference, finite};
use crate::imaging::Image;
use crate::nn::kernels::Compute;
use crate::nn::tape::{Tape, Var};
use crate::weights::Source;
use crate::{Error, Result};

/// Mean and deviation of each channel, as ImageNet's networks take them.
pub const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];
/// Mean and deviation of each channel, as CLIP takes them.
pub const CLIP: [[f32; 3]; 2] = [[0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.2613026, 0.2757771]];
/// From [0, 1] to [-1, 1].
pub const SYMMETRIC: [[f32; 3]; 2] = [[0.5; 3]; 2];

/// Images of one size as `[batch, height, width, 3]`, mean subtracted and divided by the deviation.
pub fn input(images: &[Arc<Image>], [mean, deviation]: [[f32; 3]; 2], device: &Device) -> Result<Tensor> {
    let first = images.first().ok_or_else(|| Error::invalid("there is no image"))?;
    let (width, height) = (first.width(), first.height());
    let mut values = Vec::with_capacity(images.len() * 3 * width * height);
    for image in images {
        let [r, g, b] = [0, 1, 2].map(|c| image.plane(c));
        for ((r, g), b) in r.iter().zip(g).zip(b) {
            values.extend([(0, r), (1, g), (2, b)].map(|(c, v)| (v - mean[c]) / deviation[c]));
        }
    }
    Ok(Tensor::from_vec(values, (images.len(), height, width, 3), device)?)
}

/// Images that are worth one pass together, each of `cost` pixels or tokens' worth of work, where `enough` of them fill the machine.
pub fn batch_of(cost: usize, enough: usize, on: &Compute) -> usize {
    let most = on.at_once(4, 16);
    (enough / cost.max(1)).clamp(1, most)
}

/// A network that judges images by themselves: what is a no-reference metric's own.
pub trait Judge: Send + Sync {
    fn info(&self) -> &Info;
    /// Images of this size that go through the network at once.
    fn batch(&self, px: [usize; 2]) -> usize;
    /// The scores of sound images of one size, not more than a batch.
    fn judge(&self, images: &[Arc<Image>], features: &Features) -> Result<Vec<f64>>;
    /// Where in a sound image the distortion lies.
    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>>;
}

/// A [`Judge`] with its checks.
pub struct Judged<J>(pub J);

struct Judging<'j, J>(&'j J);

impl<J: Judge> Scorer for Judged<J> {
    fn batch(&self, px: [usize; 2]) -> usize {
        self.0.batch(px)
    }

    fn bind(&self, _: Option<&Arc<Image>>, _: &Features) -> Result<Box<dyn Bound + '_>> {
        Ok(Box::new(Judging(&self.0)))
    }
}

impl<J: Judge> Bound for Judging<'_, J> {
    fn scores(&self, images: &[Arc<Image>], features: &Features) -> Vec<Result<f64>> {
        let info = self.0.info();
        let batch = |[width, height]: [usize; 2]| self.0.batch([width, height]);
        in_batches(
            info,
            images,
            batch,
            |image| check(info, "the image", image),
            features,
            |images| self.0.judge(images, features),
        )
    }

    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        check(self.0.info(), "the image", image)?;
        self.0.map(image, features)
    }
}

/// The scores of images, those that pass `sound` in batches: what is wrong with one spoils no other's score.
pub fn in_batches(
    info: &Info,
    images: &[Arc<Image>],
    batch: impl Fn([usize; 2]) -> usize,
    sound: impl Fn(&Image) -> Result<()>,
    features: &Features,
    score: impl Fn(&[Arc<Image>]) -> Result<Vec<f64>>,
) -> Vec<Result<f64>> {
    let mut scores: Vec<Result<f64>> = images.iter().map(|image| sound(image).map(|()| f64::NAN)).collect();
    let good: Vec<usize> = (0..images.len()).filter(|&i| scores[i].is_ok()).collect();
    let size = |i: usize| [images[i].width(), images[i].height()];
    for of_size in good.chunk_by(|&a, &b| size(a) == size(b)) {
        for some in of_size.chunks(batch(size(of_size[0])).max(1)) {
            let together: Vec<Arc<Image>> = some.iter().map(|&i| images[i].clone()).collect();
            let made = features.checkpoint().and_then(|()| score(&together)).and_then(|made| match made.len() {
                count if count == some.len() => Ok(made),
                count => Err(Error::invalid(format!("{} gave {count} scores of {} images", info.name, some.len()))),
            });
            match made {
                Ok(made) => some.iter().zip(made).for_each(|(&i, score)| scores[i] = finite(info, score)),
                Err(error) => some.iter().for_each(|&i| scores[i] = Err(repeated(&error))),
            }
        }
    }
    scores
}

/// The error of a batch for each of its images.
fn repeated(error: &Error) -> Error {
    match error {
        Error::Cancelled => Error::Cancelled,
        other => Error::invalid(other),
    }
}

/// A map of an image from one value for each cell of a grid, bilinear between the centres of the cells.
pub fn of_cells(values: Vec<f32>, [rows, columns]: [usize; 2], image: &Image) -> Result<Map> {
    let (width, height) = (image.width(), image.height());
    let cells = Var::constant(Tensor::from_vec(values, (1, rows, columns, 1), &Device::Cpu)?);
    let tape = Tape::inference(&Compute::cpu().kernels);
    let how = crate::nn::kernels::resample::Interpolation::Bilinear;
    let map = tape.interpolate(&cells, [height, width], how, false)?;
    Ok(Map { width, height, data: map.tensor().flatten_all()?.to_vec1()? })
}

/// A network that compares images with a reference image: what is a full-reference metric's own.
pub trait Compare: Send + Sync {
    /// What depends on the reference image alone.
    type Reference: Send + Sync;
    fn info(&self) -> &Info;
    /// Images of this size that go through the network at once.
    fn batch(&self, px: [usize; 2]) -> usize;
    /// The reference image's half of the work.
    fn reference(&self, image: &Arc<Image>, features: &Features) -> Result<Self::Reference>;
    /// The scores of sound images of the reference's size, not more than a batch.
    fn compare(&self, reference: &Self::Reference, images: &[Arc<Image>], features: &Features) -> Result<Vec<f64>>;
    /// Where in a sound image of the reference's size the distortion lies.
    fn map(&self, reference: &Self::Reference, image: &Arc<Image>, features: &Features) -> Result<Option<Map>>;
}

/// A [`Compare`] with its checks.
pub struct Compared<C>(pub C);

struct Comparing<'c, C: Compare> {
    network: &'c C,
    reference: C::Reference,
    size: Size,
}

impl<C: Compare> Scorer for Compared<C> {
    fn batch(&self, px: [usize; 2]) -> usize {
        self.0.batch(px)
    }

    fn bind(&self, reference: Option<&Arc<Image>>, features: &Features) -> Result<Box<dyn Bound + '_>> {
        let (image, size) = checked_reference(self.0.info(), reference)?;
        Ok(Box::new(Comparing { network: &self.0, reference: self.0.reference(image, features)?, size }))
    }
}

impl<C: Compare> Bound for Comparing<'_, C> {
    fn scores(&self, images: &[Arc<Image>], features: &Features) -> Vec<Result<f64>> {
        let (network, info) = (self.network, self.network.info());
        let sound = |image: &Image| self.size.check(info, image);
        let batch = |px: [usize; 2]| network.batch(px);
        in_batches(info, images, batch, sound, features, |images| network.compare(&self.reference, images, features))
    }

    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        self.size.check(self.network.info(), image)?;
        self.network.map(&self.reference, image, features)
    }
}

/// What a network's features are known by to other metrics: what it is, with which weights.
pub fn shared_as(network: &str, source: &Source) -> String {
    format!("{network} {}", source.trust().map_or("", |trust| trust.sha256()))
}

/// The mean of what lies over an image in grids of several sizes, `[1, rows, columns, 1]` each, bilinear.
pub fn mean_of_cells(grids: &[Tensor], image: &Image) -> Result<Map> {
    let (width, height) = (image.width(), image.height());
    let mut sum = vec![0.0; width * height];
    for grid in grids {
        let (_, rows, columns, _) = grid.dims4()?;
        let map = of_cells(grid.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?, [rows, columns], image)?;
        sum.iter_mut().zip(map.data).for_each(|(sum, value)| *sum += value / grids.len() as f32);
    }
    Ok(Map { width, height, data: sum })
}

/// The grade to expect, counted from 1, where a network gives the logarithm of each grade's share.
pub fn expected_grade(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shares: Vec<f64> = logits.iter().map(|logit| f64::from(logit - largest).exp()).collect();
    let weighted = shares.iter().enumerate().map(|(i, share)| (i + 1) as f64 * share).sum::<f64>();
    weighted / shares.iter().sum::<f64>()
}

/// Height and width once the shorter one is `side`.
pub fn with_short_side([height, width]: [usize; 2], side: usize) -> [usize; 2] {
    match height <= width {
        true => [side, side * width / height],
        false => [side * height / width, side],
    }
}
