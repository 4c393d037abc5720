//! NIMA: which grades people would give an image, from the features of a network that was trained to name what photographs show.
//!
//! Talebi & Milanfar, "NIMA: Neural Image Assessment", IEEE TIP 2018, with pyiqa's weights. The shorter side is resized to what the
//! network looks at, and the sides of a longer image are not seen.

use std::sync::Arc;

use candle_core::Device;

use super::features::Features;
use super::info::{Info, text};
use super::learned::{IMAGENET, Judge, Judged, SYMMETRIC, batch_of, expected_grade, input, with_short_side};
use super::metric::{Map, Metric, Scorer};
use super::windows;
use crate::Result;
use crate::imaging::Image;
use crate::networks::inception_resnet_v2::InceptionResnetV2;
use crate::networks::published::{Published, unwrapped};
use crate::networks::vgg16::{Pooling, Vgg16};
use crate::nn::kernels::Compute;
use crate::nn::kernels::resample::Interpolation;
use crate::nn::layers::Linear;
use crate::nn::params::Params;
use crate::nn::tape::{Tape, Var};
use crate::weights::{Part, Store, registry};

/// NIMA with one set of weights.
pub struct Nima {
    info: &'static Info,
    parts: &'static [&'static Part; 1],
    over: Over,
    /// Numbers that the network gives: grades, or the score.
    outputs: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Over {
    Inception,
    Vgg,
}

impl Nima {
    /// Trained on AVA: what papers report as NIMA.
    pub const AVA: Self = {
        static PARTS: [&Part; 1] = [&registry::NIMA];
        static INFO: Info = info("nima", "NIMA (AVA)", "Inception-ResNet-v2, AVA", (1.0, 10.0), Over::Inception);
        Self { info: &INFO, parts: &PARTS, over: Over::Inception, outputs: 10 }
    };
    /// Trained on KonIQ.
    pub const KONIQ: Self = {
        static PARTS: [&Part; 1] = [&registry::NIMA_KONIQ];
        static INFO: Info =
            info("nima-koniq", "NIMA (KonIQ)", "Inception-ResNet-v2, KonIQ", (0.0, 1.0), Over::Inception);
        Self { info: &INFO, parts: &PARTS, over: Over::Inception, outputs: 1 }
    };
    /// Trained on SPAQ.
    pub const SPAQ: Self = {
        static PARTS: [&Part; 1] = [&registry::NIMA_SPAQ];
        static INFO: Info = info("nima-spaq", "NIMA (SPAQ)", "Inception-ResNet-v2, SPAQ", (0.0, 1.0), Over::Inception);
        Self { info: &INFO, parts: &PARTS, over: Over::Inception, outputs: 1 }
    };
    /// Trained on AVA, over VGG16.
    pub const VGG: Self = {
        static PARTS: [&Part; 1] = [&registry::NIMA_VGG16];
        static INFO: Info = info("nima-vgg16-ava", "NIMA (AVA, VGG16)", "VGG16, AVA", (1.0, 10.0), Over::Vgg);
        Self { info: &INFO, parts: &PARTS, over: Over::Vgg, outputs: 10 }
    };
}

const fn info(name: &'static str, title: &'static str, version: &'static str, range: (f64, f64), over: Over) -> Info {
    let (crop_policy, gflop) = match over {
        Over::Inception => ("the centre, the shorter side resized (antialiased) to 299 pixels", 26.0),
        Over::Vgg => ("the centre, the shorter side resized (antialiased) to 224 pixels", 31.0),
    };
    Info {
        name: text(name),
        title: text(title),
        range,
        min_size_px: 32,
        version: text(version),
        crop_policy: text(crop_policy),
        gflop,
        map: text("what the score of windows of 224 pixels lacks to the best grade, averaged"),
        paper: text("Talebi & Milanfar, IEEE TIP 2018"),
        ..Info::LEARNED
    }
}

impl Metric for Nima {
    fn info(&self) -> &Info {
        self.info
    }

    fn needs(&self) -> &[&'static Part] {
        self.parts
    }

    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let [part] = self.parts;
        let source = unwrapped(store.open(part)?)?;
        let mut published = Published::default();
        let (network, width) = match self.over {
            Over::Inception => {
                let network = InceptionResnetV2::new(&mut published, "base_model.");
                (Network::Inception(network), InceptionResnetV2::CHANNELS)
            }
            Over::Vgg => (Network::Vgg(Vgg16::new(&mut published.specs, "base_model.features_")), Vgg16::CHANNELS[4]),
        };
        let last = Linear::new(&mut published.specs, "classifier.2", (width, self.outputs), 1.0);
        let params = published.open(&source, &["*.num_batches_tracked"], on)?;
        Ok(Box::new(Judged(Opened { info: self.info, network, last, params })))
    }
}

enum Network {
    Inception(InceptionResnetV2),
    Vgg(Vgg16),
}

/// The network with its weights.
struct Opened {
    info: &'static Info,
    network: Network,
    last: Linear,
    params: Params,
}

impl Opened {
    /// What the network looks at, in pixels.
    fn side_px(&self) -> usize {
        match self.network {
            Network::Inception(_) => 299,
            Network::Vgg(_) => 224,
        }
    }

    /// The centres of images, `[batch, side, side, 3]`.
    fn centres(&self, tape: &Tape, images: &[Arc<Image>]) -> Result<Var> {
        let scale = match self.network {
            Network::Inception(_) => SYMMETRIC,
            Network::Vgg(_) => IMAGENET,
        };
        let x = Var::constant(input(images, scale, self.params.device())?);
        let (_, height, width, _) = x.tensor().dims4()?;
        let side = self.side_px();
        let [height, width] = with_short_side([height, width], side);
        let x = tape.interpolate(&x, [height, width], Interpolation::Bilinear, true)?;
        // Half to even, as Python rounds.
        let from = |length: usize| ((length - side) as f64 / 2.0).round_ties_even() as usize;
        let x = tape.narrow(&x, 1, from(height), side)?;
        tape.narrow(&x, 2, from(width), side)
    }
}

impl Judge for Opened {
    fn info(&self) -> &Info {
        self.info
    }

    fn batch(&self, _: [usize; 2]) -> usize {
        batch_of(self.side_px() * self.side_px(), 2 * 299 * 299, self.params.compute())
    }

    fn judge(&self, images: &[Arc<Image>], _: &Features) -> Result<Vec<f64>> {
        let tape = Tape::inference(self.params.kernels());
        let x = self.centres(&tape, images)?;
        self.params.tap("preprocessed", &x);
        let x = match &self.network {
            Network::Inception(network) => network.forward(&tape, &self.params, &x)?,
            Network::Vgg(network) => Pooling::Max.apply(&tape, &network.forward(&tape, &self.params, &x)?)?,
        };
        let x = tape.mean(&x)?;
        self.params.tap("global_pool", &x);
        let logits = tape.linear(&self.params, &self.last, &x)?;
        self.params.tap("classifier.2", &logits);
        let rows = logits.tensor().to_device(&Device::Cpu)?.to_vec2::<f32>()?;
        Ok(rows.iter().map(|row| if let [score] = row[..] { score.into() } else { expected_grade(row) }).collect())
    }

    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        let best = self.info.range.1;
        windows::map(self, image, features, |score| best - score).map(Some)
    }
}
