//! DBCNN: what an image shows and which kinds of distortion it has, seen together.
//!
//! Zhang et al., "Blind Image Quality Assessment Using A Deep Bilinear Convolutional Neural Network", IEEE TCSVT 2020, with pyiqa's
//! weights.

use std::sync::Arc;

use candle_core::Device;

use super::features::Features;
use super::info::{Info, text};
use super::learned::{IMAGENET, Judge, Judged, batch_of, input};
use super::metric::{Map, Metric, Scorer};
use super::windows;
use crate::Result;
use crate::imaging::Image;
use crate::networks::dbcnn::Dbcnn as Network;
use crate::networks::published::{Published, unwrapped};
use crate::nn::kernels::Compute;
use crate::nn::params::Params;
use crate::nn::tape::{Tape, Var};
use crate::weights::{Part, Store, registry};

/// DBCNN trained on KonIQ.
pub struct Dbcnn;

static INFO: Info = Info {
    name: text("dbcnn"),
    title: text("DBCNN (KonIQ)"),
    min_size_px: 32,
    version: text("DBCNN, KonIQ"),
    gflop: 172.0,
    map: text("1 − score of windows of 224 pixels, averaged"),
    paper: text("Zhang et al., IEEE TCSVT 2020"),
    ..Info::LEARNED
};

impl Metric for Dbcnn {
    fn info(&self) -> &Info {
        &INFO
    }

    fn needs(&self) -> &[&'static Part] {
        static PARTS: [&Part; 1] = [&registry::DBCNN];
        &PARTS
    }

    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let source = unwrapped(store.open(&registry::DBCNN)?)?;
        let mut published = Published::default();
        let network = Network::new(&mut published);
        let params = published.open(&source, &["*.num_batches_tracked"], on)?;
        Ok(Box::new(Judged(Opened { network, params })))
    }
}

/// The network with its weights.
struct Opened {
    network: Network,
    params: Params,
}

impl Judge for Opened {
    fn info(&self) -> &Info {
        &INFO
    }

    fn batch(&self, [width, height]: [usize; 2]) -> usize {
        batch_of(width * height, 256 * 256, self.params.compute())
    }

    fn judge(&self, images: &[Arc<Image>], _: &Features) -> Result<Vec<f64>> {
        let x = Var::constant(input(images, IMAGENET, self.params.device())?);
        let scores = self.network.forward(&Tape::inference(self.params.kernels()), &self.params, &x)?;
        let scores = scores.tensor().to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(scores.into_iter().map(f64::from).collect())
    }

    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        windows::map(self, image, features, |score| 1.0 - score).map(Some)
    }
}
