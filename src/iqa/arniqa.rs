//! ARNIQA: how far an image lies from undistorted ones on a manifold of distortions that a network learned without being told
//! grades; a linear map fitted to one data set's grades makes a score of it.
//!
//! Agnolucci et al., "ARNIQA: Learning Distortion Manifold for Image Quality Assessment", WACV 2024, as pyiqa applies it: to the
//! whole image and to its half. The authors average five crops of 224 pixels; their numbers are others.

use std::sync::Arc;

use candle_core::Device;

use super::features::Features;
use super::info::{Info, text};
use super::learned::{IMAGENET, Judge, Judged, batch_of, input, shared_as};
use super::metric::{Map, Metric, Scorer};
use super::windows;
use crate::imaging::Image;
use crate::networks::published::{Published, unwrapped};
use crate::networks::resnet50::{Names, ResNet50};
use crate::nn::kernels::Compute;
use crate::nn::kernels::resample::Axis;
use crate::nn::params::Params;
use crate::nn::tape::{Tape, Var};
use crate::weights::{Part, Source, Store, registry};
use crate::{Error, Result};

/// ARNIQA with the map fitted to one data set.
pub struct Arniqa {
    info: &'static Info,
    parts: &'static [&'static Part; 2],
    /// What the data set's grades go from and to; the first is the worst.
    grades: [f64; 2],
}

macro_rules! data_sets {
    ($($(#[$doc:meta])* $name:ident, $part:ident, $metric:literal, $title:literal, $grades:expr;)*) => {
        impl Arniqa {
            $($(#[$doc])* pub const $name: Self = {
                static PARTS: [&Part; 2] = [&registry::ARNIQA, &registry::$part];
                static INFO: Info = info($metric, concat!("ARNIQA (", $title, ")"), concat!("ARNIQA, ", $title));
                Self { info: &INFO, parts: &PARTS, grades: $grades }
            };)*
        }
    };
}

data_sets! {
    /// KonIQ-10k: pyiqa's `arniqa`.
    KONIQ, ARNIQA_KONIQ, "arniqa", "KonIQ", [1.0, 100.0];
    /// LIVE, whose grades count what is wrong.
    LIVE, ARNIQA_LIVE, "arniqa-live", "LIVE", [100.0, 1.0];
    /// CSIQ, whose grades count what is wrong.
    CSIQ, ARNIQA_CSIQ, "arniqa-csiq", "CSIQ", [1.0, 0.0];
    /// TID2013.
    TID, ARNIQA_TID, "arniqa-tid", "TID2013", [0.0, 9.0];
    /// KADID-10k.
    KADID, ARNIQA_KADID, "arniqa-kadid", "KADID", [1.0, 5.0];
    /// LIVE in the Wild.
    CLIVE, ARNIQA_CLIVE, "arniqa-clive", "LIVE in the Wild", [1.0, 100.0];
    /// FLIVE; the authors take its grades to begin at 1.
    FLIVE, ARNIQA_FLIVE, "arniqa-flive", "FLIVE", [0.0, 100.0];
    /// SPAQ.
    SPAQ, ARNIQA_SPAQ, "arniqa-spaq", "SPAQ", [1.0, 100.0];
}

const fn info(name: &'static str, title: &'static str, version: &'static str) -> Info {
    Info {
        name: text(name),
        title: text(title),
        min_size_px: 32,
        version: text(version),
        crop_policy: text("the whole image and its half"),
        gflop: 53.0,
        map: text("1 − score of windows of 224 pixels, averaged"),
        paper: text("Agnolucci et al., WACV 2024"),
        ..Info::LEARNED
    }
}

/// Values that the network makes of an image: of the whole and of the half.
const FEATURES: usize = 2 * ResNet50::CHANNELS[4];

impl Metric for Arniqa {
    fn info(&self) -> &Info {
        self.info
    }

    fn needs(&self) -> &[&'static Part] {
        self.parts
    }

    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let [encoder, map] = self.parts;
        let source = unwrapped(store.open(encoder)?)?;
        let mut published = Published::default();
        let network = ResNet50::new(&mut published, "model.", Names::SEQUENCE);
        let shared_as = shared_as("ARNIQA", &source);
        let params = published.open(&source, &["*.num_batches_tracked", "projector.*"], on)?;
        let (slopes, offset) = linear_map(&store.open(map)?)?;
        let opened = Opened { info: self.info, network, params, shared_as, slopes, offset, grades: self.grades };
        Ok(Box::new(Judged(opened)))
    }
}

/// The one linear map of a file, whatever it is called there.
fn linear_map(source: &Source) -> Result<(Vec<f64>, f64)> {
    let of = |count: usize| source.iter().find(|(_, _, shape)| shape.iter().product::<usize>() == count);
    let (Some((slopes, ..)), Some((offset, ..)), 2) = (of(FEATURES), of(1), source.len()) else {
        let cause = format!("this is no linear map of {FEATURES} values, which is one tensor of so many and one of 1");
        return Err(Error::file(source.origin(), cause));
    };
    let offset = source.flat::<f64>(offset, 1)?;
    Ok((source.flat(slopes, FEATURES)?, offset[0]))
}

/// The network and the map with their weights.
struct Opened {
    info: &'static Info,
    network: ResNet50,
    params: Params,
    shared_as: String,
    slopes: Vec<f64>,
    offset: f64,
    grades: [f64; 2],
}

impl Opened {
    /// What the network makes of images of one size.
    fn features(&self, images: &[Arc<Image>]) -> Result<Vec<Vec<f32>>> {
        let tape = Tape::inference(self.params.kernels());
        let whole = Var::constant(input(images, IMAGENET, self.params.device())?);
        let (_, height, width, _) = whole.tensor().dims4()?;
        // Every pixel of the half lies between two, also where a side is odd.
        let half = tape.resample(&whole, [height, width].map(|side| Axis::enlarged(side, side / 2, 0.5)))?;
        let mut all = vec![Vec::with_capacity(FEATURES); images.len()];
        for x in [&whole, &half] {
            let [_, first, _, _, last] = self.network.forward(&tape, &self.params, x)?;
            let mean = tape.mean(&last)?;
            for (name, features) in [("encoder.4", &first), ("encoder.7", &last), ("encoder", &mean)] {
                self.params.tap(name, features);
            }
            let rows = mean.tensor().to_device(&Device::Cpu)?.to_vec2::<f32>()?;
            all.iter_mut().zip(rows).for_each(|(all, row)| all.extend(normalized(row)));
        }
        Ok(all)
    }
}

/// A vector of length 1.
fn normalized(values: Vec<f32>) -> impl Iterator<Item = f32> {
    let norm = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt().max(1e-12);
    values.into_iter().map(move |v| (f64::from(v) / norm) as f32)
}

impl Judge for Opened {
    fn info(&self) -> &Info {
        self.info
    }

    fn batch(&self, [width, height]: [usize; 2]) -> usize {
        batch_of(width * height, 1 << 18, self.params.compute())
    }

    fn judge(&self, images: &[Arc<Image>], features: &Features) -> Result<Vec<f64>> {
        let all = features.of(&self.shared_as, images, |missing| self.features(missing))?;
        let [worst, best] = self.grades;
        let score = |features: &Arc<Vec<f32>>| {
            let grade = features.iter().zip(&self.slopes).map(|(v, slope)| f64::from(*v) * slope).sum::<f64>();
            (grade + self.offset - worst) / (best - worst)
        };
        Ok(all.iter().map(score).collect())
    }

    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        windows::map(self, image, features, |score| 1.0 - score).map(Some)
    }
}
