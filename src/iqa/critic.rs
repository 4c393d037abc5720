//! The critic: how likely a picture is a photograph rather than a candidate, by a small network trained here on candidates of
//! the embedded backbone against HR.
//!
//! What statistics of natural scenes ([`niqe`](super::niqe), [`brisque`](super::brisque), [`piqe`](super::piqe)) like, they like
//! more of: a photograph with grain added may be better to them than the photograph. The critic saw such photographs, and
//! smoothed and sharpened ones, beside candidates, and was told that neither is one ([`critic_fit`](super::critic_fit)). It is
//! a metric of this house, of one backbone at ×4: its scores compare with nothing that is published.

use std::sync::{Arc, LazyLock};

use candle_core::Device;

use super::features::Features;
use super::info::{Info, Status, text};
use super::learned::{Judge, Judged, SYMMETRIC, batch_of, input, of_cells};
use super::metric::{Map, Metric, Scorer};
use crate::Result;
use crate::imaging::Image;
use crate::networks::critic::Critic as Network;
use crate::nn::kernels::Compute;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::Store;

/// The critic of the embedded backbone's candidates.
#[derive(Clone, Copy)]
pub struct Critic;

static INFO: Info = Info {
    name: text("critic"),
    title: text("Critic of mini"),
    range: (-10.0, 0.0),
    min_size_px: 16,
    version: text("log probability, mean over cells of 4 px"),
    map: text("minus the log probability, bilinear between cells of 4 px"),
    licence: text("MIT OR Apache-2.0"),
    gflop: 14.0,
    status: Status::Own,
    paper: text("DP²O Studio"),
    ..Info::LEARNED
};

/// Written by `dp2o-studio fit-critic`.
const WEIGHTS: &[u8] = include_bytes!("../../assets/iqa/critic.safetensors");

impl Metric for Critic {
    fn info(&self) -> &Info {
        &INFO
    }

    fn weights_hash(&self) -> String {
        static HASH: LazyLock<String> = LazyLock::new(|| format!("{:.16}", crate::fs::hash::hash_bytes(WEIGHTS)));
        HASH.clone()
    }

    fn open(&self, _: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let mut specs = Specs::default();
        let network = Network::new(&mut specs);
        let params = Params::from_safetensors(&Arc::new(specs), WEIGHTS, "assets/iqa/critic.safetensors".as_ref(), on)?;
        Ok(Box::new(Judged(Opened { network, params })))
    }
}

/// The network with its weights.
struct Opened {
    network: Network,
    params: Params,
}

impl Opened {
    /// The logarithm of the probability that a photograph is there, by image and cell, and how many rows and columns of cells
    /// there are.
    fn cells(&self, images: &[Arc<Image>]) -> Result<(Vec<Vec<f32>>, [usize; 2])> {
        let x = Var::constant(input(images, SYMMETRIC, self.params.device())?);
        let odds = self.network.forward(&Tape::inference(self.params.kernels()), &self.params, &x)?;
        let (_, rows, columns, _) = odds.tensor().dims4()?;
        let mut cells = odds.tensor().to_device(&Device::Cpu)?.flatten_from(1)?.to_vec2::<f32>()?;
        // log σ(z), without overflow.
        cells.iter_mut().flatten().for_each(|z| *z = z.min(0.0) - (-z.abs()).exp().ln_1p());
        Ok((cells, [rows, columns]))
    }
}

impl Judge for Opened {
    fn info(&self) -> &Info {
        &INFO
    }

    fn batch(&self, [width, height]: [usize; 2]) -> usize {
        batch_of(width * height, 512 * 512, self.params.compute())
    }

    fn judge(&self, images: &[Arc<Image>], _: &Features) -> Result<Vec<f64>> {
        let (cells, _) = self.cells(images)?;
        Ok(cells.iter().map(|cells| cells.iter().map(|&v| f64::from(v)).sum::<f64>() / cells.len() as f64).collect())
    }

    fn map(&self, image: &Arc<Image>, _: &Features) -> Result<Option<Map>> {
        let (cells, grid) = self.cells(std::slice::from_ref(image))?;
        of_cells(cells.iter().flatten().map(|v| -v).collect(), grid, image).map(Some)
    }
}
