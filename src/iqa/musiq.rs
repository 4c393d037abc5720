//! MUSIQ: quality as a transformer sees it that takes patches of the whole image at three sizes.
//!
//! Ke et al., "MUSIQ: Multi-Scale Image Quality Transformer", ICCV 2021, with the weights trained on four sets of opinions.

use std::sync::Arc;

use candle_core::Device;

use super::features::Features;
use super::info::{Info, text};
use super::learned::{self, Judge, Judged};
use super::metric::{Map, Metric, Scorer};
use super::windows;
use crate::Result;
use crate::imaging::Image;
use crate::networks::musiq::{self, Patches};
use crate::networks::published::unwrapped;
use crate::nn::kernels::Compute;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::Tape;
use crate::weights::{Part, Store, flax, registry};

/// MUSIQ with one set of weights.
#[derive(Debug)]
pub struct Musiq {
    info: Info,
    parts: [&'static Part; 1],
    /// 1, or 10 for a distribution over 1 to 10.
    classes: usize,
}

const fn info(name: &'static str, title: &'static str, range: (f64, f64)) -> Info {
    Info {
        name: text(name),
        title: text(title),
        range,
        min_size_px: 32,
        version: text("as pyiqa 0.1.16: plain bicubic, longer sides 224 and 384 and the image"),
        gflop: 35.0,
        map: text("best score − score of windows of 224 pixels, averaged"),
        paper: text("Ke et al., ICCV 2021"),
        ..Info::LEARNED
    }
}

/// Trained on KonIQ-10k: what papers report as MUSIQ.
pub static MUSIQ: Musiq =
    Musiq { info: info("musiq", "MUSIQ (KonIQ)", (0.0, 100.0)), parts: [&registry::MUSIQ], classes: 1 };
/// Trained on SPAQ.
pub static MUSIQ_SPAQ: Musiq =
    Musiq { info: info("musiq-spaq", "MUSIQ (SPAQ)", (0.0, 100.0)), parts: [&registry::MUSIQ_SPAQ], classes: 1 };
/// Trained on PaQ-2-PiQ.
pub static MUSIQ_PAQ2PIQ: Musiq = Musiq {
    info: info("musiq-paq2piq", "MUSIQ (PaQ-2-PiQ)", (0.0, 100.0)),
    parts: [&registry::MUSIQ_PAQ2PIQ],
    classes: 1,
};
/// Trained on AVA: aesthetics.
pub static MUSIQ_AVA: Musiq =
    Musiq { info: info("musiq-ava", "MUSIQ (AVA)", (1.0, 10.0)), parts: [&registry::MUSIQ_AVA], classes: 10 };

impl Metric for &'static Musiq {
    fn info(&self) -> &Info {
        &self.info
    }

    fn needs(&self) -> &[&'static Part] {
        &self.parts
    }

    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let source = flax::musiq(unwrapped(store.open(self.parts[0])?)?)?;
        let mut specs = Specs::default();
        let network = musiq::Musiq::new(&mut specs, self.classes);
        let params = musiq::Musiq::params(&Arc::new(specs), &source, on)?;
        Ok(Box::new(Judged(Opened { metric: self, network, params })))
    }
}

/// The network with its weights.
struct Opened {
    metric: &'static Musiq,
    network: musiq::Musiq,
    params: Params,
}

impl Judge for Opened {
    fn info(&self) -> &Info {
        &self.metric.info
    }

    fn batch(&self, [width, height]: [usize; 2]) -> usize {
        learned::batch_of(Patches::count([height, width]), 2048, self.params.compute())
    }

    fn judge(&self, images: &[Arc<Image>], _: &Features) -> Result<Vec<f64>> {
        let patches = Patches::of(learned::input(images, learned::SYMMETRIC, &Device::Cpu)?)?;
        let tape = Tape::inference(self.params.kernels());
        let said = self.network.forward(&tape, &self.params, &patches)?;
        let said = said.tensor().to_device(&Device::Cpu)?.to_vec2::<f32>()?;
        let score = |said: &Vec<f32>| match said.as_slice() {
            [score] => f64::from(*score),
            grades => learned::expected_grade(grades),
        };
        Ok(said.iter().map(score).collect())
    }

    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        let best = self.metric.info.range.1;
        windows::map(self, image, features, |score| best - score).map(Some)
    }
}
