//! ST-LPIPS: the distance of two images in the features of a network trained on human judgements, made tolerant to
//! shifts of a pixel by anti-aliased downsampling.
//!
//! Ghildyal & Liu, "Shift-tolerant perceptual similarity metric", ECCV 2022, on AlexNet. Features of five layers are
//! normalized along channels, squared differences are weighted per channel and averaged over positions.

use std::sync::{Arc, LazyLock};

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::features::Features;
use super::info::{Direction, Info, Kind, text};
use super::metric::{Bound, Map, Metric, Scorer, Size, checked_reference, finite};
use super::perceptual::{Distances, distances, normalized, spread};
use crate::imaging::Image;
use crate::networks::alexnet::{AlexNet, Config};
use crate::nn::kernels::Compute;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::{Source, Store};
use crate::{Error, Result};

/// ST-LPIPS on AlexNet.
#[derive(Clone, Copy)]
pub struct StLpips;

static INFO: Info = Info {
    name: text("stlpips"),
    title: text("ST-LPIPS (AlexNet)"),
    kind: Kind::FullReference,
    direction: Direction::Lower,
    min_size_px: AlexNet::MIN_SIZE_PX,
    version: text("shift-tolerant alexnet vST0.0, filters of layers 2-5 in f16"),
    map: text("sum over layers of the distance at the pixel, bilinear"),
    paper: text("Ghildyal & Liu, ECCV 2022"),
    licence: text("BSD-2-Clause"),
    gflop: 78.0,
    ..Info::OF_PIXELS
};

/// Written by `assets/convert_iqa.py`.
const WEIGHTS: &[u8] = include_bytes!("../../assets/iqa/stlpips_alex.safetensors");
/// What the features are known by to other metrics on the same network.
const NETWORK: &str = "shift-tolerant alexnet vST0.0";

impl Metric for StLpips {
    fn info(&self) -> &Info {
        &INFO
    }

    fn weights_hash(&self) -> String {
        static HASH: LazyLock<String> = LazyLock::new(|| format!("{:.16}", crate::fs::hash::hash_bytes(WEIGHTS)));
        HASH.clone()
    }

    fn open(&self, _: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        Ok(Box::new(Opened::new(on)?))
    }
}

/// The network with its weights.
struct Opened {
    network: AlexNet,
    params: Params,
    /// Brings RGB in [0, 1] to what the network was trained on: a factor and a summand for each channel.
    input_scale: [(f32, f32); 3],
    /// Weight of each channel in the distance, by layer.
    channel_weights: Vec<Vec<f32>>,
    /// Images that go through the network at once.
    batch: usize,
}

/// The features of an image after each layer, `[height, width, channels]` on the CPU.
type Layers = Vec<Tensor>;

struct StLpipsBound<'o> {
    opened: &'o Opened,
    /// Normalized features of the reference, by layer.
    reference: Vec<Vec<f32>>,
    size: Size,
}

impl Opened {
    fn new(on: &Compute) -> Result<Self> {
        let source = Source::embedded("stlpips", WEIGHTS)?;
        // The file that is compiled in numbers the layers.
        let published = |name: &str| {
            let conv = name.strip_prefix("conv").and_then(|rest| rest.split_once('.'));
            let renamed = conv.and_then(|(layer, rest)| {
                Some(format!("{}.{rest}", Config::ST_LPIPS.names.get(layer.parse::<usize>().ok()?)?))
            });
            Some(renamed.unwrap_or_else(|| name.to_owned()))
        };
        let source = source.renamed(published)?;
        let mut specs = Specs::default();
        let network = AlexNet::new(&mut specs, Config::ST_LPIPS);
        let [shift, scale] = [source.floats::<f32>("shift", &[3])?, source.floats::<f32>("scale", &[3])?];
        let lin = |(layer, channels): (usize, usize)| source.floats::<f32>(&format!("lin{layer}.weight"), &[channels]);
        Ok(Self {
            network,
            params: Params::from_source(&Arc::new(specs), &source, on)?,
            // The network sees (2 v - 1 - shift) / scale.
            input_scale: std::array::from_fn(|c| (2.0 / scale[c], (-1.0 - shift[c]) / scale[c])),
            channel_weights: AlexNet::CHANNELS.into_iter().enumerate().map(lin).collect::<Result<_>>()?,
            // A CPU's cores are busy with one image, or with one each.
            batch: on.at_once(1, 8),
        })
    }

    /// The features of images of one size.
    fn features(&self, images: &[Arc<Image>]) -> Result<Vec<Layers>> {
        let Some(first) = images.first() else { return Ok(Vec::new()) };
        let (height, width) = (first.height(), first.width());
        let values: Vec<f32> = images.iter().flat_map(|image| self.input(image)).collect();
        let x = Tensor::from_vec(values, (images.len(), height, width, 3), self.params.device())?;
        let tape = Tape::inference(self.params.kernels());
        let layers = self.network.forward(&tape, &self.params, &Var::constant(x))?;
        let of_image = |i: usize| -> Result<Layers> {
            layers.iter().map(|layer| Ok(layer.tensor().get(i)?.to_device(&Device::Cpu)?)).collect()
        };
        (0..images.len()).map(of_image).collect()
    }

    /// The same, shared with other metrics.
    fn shared(&self, images: &[Arc<Image>], features: &Features) -> Result<Vec<Arc<Layers>>> {
        features.of(NETWORK, images, |missing| self.features(missing))
    }

    /// The scaled image, channels last.
    fn input(&self, image: &Image) -> Vec<f32> {
        let mut input = vec![0.0; image.data().len()];
        for (channel, (factor, summand)) in self.input_scale.into_iter().enumerate() {
            let out = input[channel..].iter_mut().step_by(3);
            out.zip(image.plane(channel)).for_each(|(out, v)| *out = v * factor + summand);
        }
        input
    }
}

impl Scorer for Opened {
    fn batch(&self, _: [usize; 2]) -> usize {
        self.batch
    }

    fn bind(&self, reference: Option<&Arc<Image>>, features: &Features) -> Result<Box<dyn Bound + '_>> {
        let (image, size) = checked_reference(&INFO, reference)?;
        let layers = self.shared(std::slice::from_ref(image), features)?;
        let reference = layers.iter().flat_map(|layers| layers.iter()).map(normalized).collect::<Result<_>>()?;
        Ok(Box::new(StLpipsBound { opened: self, reference, size }))
    }
}

impl Bound for StLpipsBound<'_> {
    fn scores(&self, images: &[Arc<Image>], features: &Features) -> Vec<Result<f64>> {
        let score = |layers: &Layers| finite(&INFO, self.distances(layers)?.iter().map(Distances::mean).sum());
        let scores = |images: &[Arc<Image>]| -> Vec<Result<f64>> {
            // One that is not of the right size is in no batch.
            let faults: Vec<_> = images.iter().map(|image| self.size.check(&INFO, image).err()).collect();
            let sound = images.iter().zip(&faults).filter(|(_, fault)| fault.is_none());
            let layers = self.opened.shared(&sound.map(|(image, _)| image.clone()).collect::<Vec<_>>(), features);
            let mut layers = layers.map(Vec::into_iter);
            let of_image = |fault: Option<Error>| match (fault, &mut layers) {
                (Some(fault), _) => Err(fault),
                (None, Ok(layers)) => {
                    let layers = layers.next().ok_or_else(|| Error::invalid("there are no features"))?;
                    score(&layers)
                }
                (None, Err(error)) => Err(Error::invalid(error)),
            };
            faults.into_iter().map(of_image).collect()
        };
        match images.len() <= self.opened.batch {
            true => scores(images),
            false => images.par_chunks(self.opened.batch).flat_map_iter(scores).collect(),
        }
    }

    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        let (width, height) = (image.width(), image.height());
        self.size.check(&INFO, image)?;
        let layers = self.opened.shared(std::slice::from_ref(image), features)?;
        let layers = layers.first().ok_or_else(|| Error::invalid("there are no features"))?;
        Ok(Some(spread([width, height], self.distances(layers)?)))
    }
}

impl StLpipsBound<'_> {
    fn distances(&self, layers: &Layers) -> Result<Vec<Distances>> {
        let compared = layers.iter().zip(&self.reference).zip(&self.opened.channel_weights);
        compared.map(|((layer, reference), weights)| distances(layer, reference, weights)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(seed: u64) -> Arc<Image> {
        let noise = crate::random::Random::new(seed, 0).normal_image(3, 30, 41);
        Arc::new(Image::new(41, 30, noise.iter().map(|v| (0.5 + 0.2 * v).clamp(0.0, 1.0)).collect()).unwrap())
    }

    #[test]
    fn scores_are_the_same_in_every_batch_and_close_to_it_on_other_computes() {
        let (reference, images) = (image(0), [1, 2, 3, 4, 5].map(image));
        let scores = |on: &Compute, batch: usize| -> Vec<f64> {
            let opened = Opened { batch, ..Opened::new(on).unwrap() };
            let group = Features::default();
            let bound = opened.bind(Some(&reference), &group).unwrap();
            bound.scores(&images, &group.within()).into_iter().map(Result::unwrap).collect()
        };
        let one = scores(&Compute::cpu(), 1);
        assert!(one.iter().all(|score| *score > 0.01));
        for batch in [2, 3, 5, 8] {
            assert_eq!(scores(&Compute::cpu(), batch), one, "{batch} at once");
        }
        for (a, b) in scores(&Compute::composed(&Device::Cpu), 3).iter().zip(&one) {
            assert!((a - b).abs() < 1e-5 * b, "{a} {b}");
        }
    }
}
