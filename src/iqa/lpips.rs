//! LPIPS: the distance of two images in the features of a network that was trained to name what photographs show, with weights of
//! the channels that were fitted to human judgements.
//!
//! Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, version 0.1, over AlexNet or
//! VGG16. The weights of the channels are compiled in, the network comes from the person. LPIPS+ is pyiqa's: distances count for
//! more where the reference image's features of the third layer are strong.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::features::Features;
use super::info::{Direction, Info, Kind, text};
use super::learned::{Compare, Compared, IMAGENET, batch_of, input, shared_as};
use super::metric::{Map, Metric, Scorer};
use super::perceptual::{Distances, distances, normalized, spread};
use crate::imaging::Image;
use crate::networks::alexnet::{AlexNet, Config};
use crate::networks::vgg16::{Pooling, Vgg16};
use crate::nn::kernels::Compute;
use crate::nn::kernels::cpu::values::values;
use crate::nn::kernels::resample::Interpolation;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::{Part, Store, registry};
use crate::{Error, Result};

/// LPIPS 0.1 over one network.
pub struct Lpips {
    info: &'static Info,
    over: Over,
    /// Whether distances count by the reference image's features.
    plus: bool,
}

#[derive(Clone, Copy)]
enum Over {
    Alex,
    Vgg,
}

impl Lpips {
    /// Over AlexNet: what papers report as LPIPS.
    pub const ALEX: Self = Self { info: &ALEX_INFO, over: Over::Alex, plus: false };
    /// Over VGG16.
    pub const VGG: Self = Self { info: &VGG_INFO, over: Over::Vgg, plus: false };
    /// LPIPS+ over AlexNet.
    pub const ALEX_PLUS: Self = Self { info: &ALEX_PLUS_INFO, over: Over::Alex, plus: true };
    /// LPIPS+ over VGG16.
    pub const VGG_PLUS: Self = Self { info: &VGG_PLUS_INFO, over: Over::Vgg, plus: true };
}

const fn info(name: &'static str, title: &'static str, version: &'static str, gflop: f64) -> Info {
    Info {
        name: text(name),
        title: text(title),
        kind: Kind::FullReference,
        direction: Direction::Lower,
        // Both networks take less, but were not made for it.
        min_size_px: 64,
        version: text(version),
        licence: text("BSD-2-Clause"),
        gflop,
        map: text("sum over layers of the distance at the pixel, bilinear"),
        paper: text("Zhang et al., CVPR 2018"),
        ..Info::LEARNED
    }
}

const PLUS: &str = "LPIPS 0.1, positions weighted by the reference's third layer";
static ALEX_INFO: Info = info("lpips", "LPIPS (AlexNet)", "LPIPS 0.1", 15.0);
static VGG_INFO: Info = info("lpips-vgg", "LPIPS (VGG16)", "LPIPS 0.1", 321.0);
static ALEX_PLUS_INFO: Info = info("lpips+", "LPIPS+ (AlexNet)", PLUS, 15.0);
static VGG_PLUS_INFO: Info = info("lpips-vgg+", "LPIPS+ (VGG16)", PLUS, 321.0);

/// The layer whose features say where distances count.
const FOCUS_LAYER: usize = 2;

impl Over {
    fn needs(self) -> &'static [&'static Part; 1] {
        static ALEX: [&Part; 1] = [&registry::ALEXNET];
        static VGG: [&Part; 1] = [&registry::VGG16];
        match self {
            Over::Alex => &ALEX,
            Over::Vgg => &VGG,
        }
    }

    /// The weights of the channels: the published file, whole.
    fn channel_weights(self, store: &Store) -> Result<Vec<Vec<f32>>> {
        let (source, channels) = match self {
            Over::Alex => (store.compiled_in(&registry::LPIPS_ALEX)?, AlexNet::CHANNELS),
            Over::Vgg => (store.compiled_in(&registry::LPIPS_VGG)?, Vgg16::CHANNELS),
        };
        let layer = |(i, c)| source.floats::<f32>(&format!("lin{i}.model.1.weight"), &[1, c, 1, 1]);
        channels.into_iter().enumerate().map(layer).collect()
    }
}

impl Metric for Lpips {
    fn info(&self) -> &Info {
        self.info
    }

    fn needs(&self) -> &[&'static Part] {
        self.over.needs()
    }

    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let [part] = self.over.needs();
        let source = store.open(part)?;
        let mut specs = Specs::default();
        let network = match self.over {
            Over::Alex => Network::Alex(Box::new(AlexNet::new(&mut specs, Config::TORCHVISION))),
            Over::Vgg => Network::Vgg(Vgg16::new(&mut specs, "features.")),
        };
        source.check(specs.iter(), &["classifier.*"])?;
        Ok(Box::new(Compared(Opened {
            info: self.info,
            network,
            params: Params::from_source(&Arc::new(specs), &source, on)?,
            channel_weights: self.over.channel_weights(store)?,
            shared_as: shared_as("layers of LPIPS", &source),
            plus: self.plus,
        })))
    }
}

enum Network {
    Alex(Box<AlexNet>),
    Vgg(Vgg16),
}

/// The network with its weights.
struct Opened {
    info: &'static Info,
    network: Network,
    params: Params,
    /// Weight of each channel in the distance, by layer.
    channel_weights: Vec<Vec<f32>>,
    shared_as: String,
    plus: bool,
}

/// The features of an image after each layer, `[height, width, channels]` on the CPU.
type Layers = Vec<Tensor>;

struct Reference {
    /// Normalized features, by layer.
    layers: Vec<Vec<f32>>,
    /// How much a position counts, by layer.
    focus: Option<Vec<Vec<f32>>>,
}

impl Opened {
    /// The features of images of one size.
    fn features(&self, images: &[Arc<Image>]) -> Result<Vec<Layers>> {
        let x = Var::constant(input(images, IMAGENET, self.params.device())?);
        let tape = Tape::inference(self.params.kernels());
        let mut all: Vec<Layers> = vec![Vec::new(); images.len()];
        let mut keep = |layer: usize, features: &Var| -> Result<()> {
            self.params.tap(format_args!("net.slice{}", layer + 1), features);
            for (i, layers) in all.iter_mut().enumerate() {
                layers.push(features.tensor().get(i)?.to_device(&Device::Cpu)?);
            }
            Ok(())
        };
        match &self.network {
            Network::Alex(network) => {
                let layers = network.forward(&tape, &self.params, &x)?;
                layers.iter().enumerate().try_for_each(|(i, layer)| keep(i, layer))?;
            }
            Network::Vgg(network) => network.walk(&tape, &self.params, &x, Pooling::Max, keep)?,
        }
        Ok(all)
    }

    fn shared(&self, images: &[Arc<Image>], features: &Features) -> Result<Vec<Arc<Layers>>> {
        features.of(&self.shared_as, images, |missing| self.features(missing))
    }

    fn distances(&self, reference: &Reference, layers: &Layers) -> Result<Vec<Distances>> {
        let compared = layers.iter().zip(&reference.layers).zip(&self.channel_weights);
        let distances =
            |((layer, reference), weights): ((&Tensor, &Vec<f32>), &Vec<f32>)| distances(layer, reference, weights);
        let mut all: Vec<Distances> = compared.map(distances).collect::<Result<_>>()?;
        for (layer, focus) in all.iter_mut().zip(reference.focus.iter().flatten()) {
            layer.values.iter_mut().zip(focus).for_each(|(distance, share)| *distance *= share);
        }
        Ok(all)
    }
}

impl Compare for Opened {
    type Reference = Reference;

    fn info(&self) -> &Info {
        self.info
    }

    fn batch(&self, [width, height]: [usize; 2]) -> usize {
        batch_of(width * height, 256 * 256, self.params.compute())
    }

    fn reference(&self, image: &Arc<Image>, features: &Features) -> Result<Reference> {
        let all = self.shared(std::slice::from_ref(image), features)?;
        let layers = all.first().ok_or_else(|| Error::invalid("there are no features"))?;
        let focus = self.plus.then(|| focus(layers)).transpose()?;
        Ok(Reference { layers: layers.iter().map(normalized).collect::<Result<_>>()?, focus })
    }

    fn compare(&self, reference: &Reference, images: &[Arc<Image>], features: &Features) -> Result<Vec<f64>> {
        let all = self.shared(images, features)?;
        let score = |layers: &Arc<Layers>| Ok(self.distances(reference, layers)?.iter().map(Distances::mean).sum());
        all.iter().map(score).collect()
    }

    fn map(&self, reference: &Reference, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        let all = self.shared(std::slice::from_ref(image), features)?;
        let layers = all.first().ok_or_else(|| Error::invalid("there are no features"))?;
        Ok(Some(spread([image.width(), image.height()], self.distances(reference, layers)?)))
    }
}

/// How much each position of each layer counts, 1 on average: the sum of the focus layer's features there, bilinear.
fn focus(layers: &Layers) -> Result<Vec<Vec<f32>>> {
    let layer = layers.get(FOCUS_LAYER).ok_or_else(|| Error::invalid("there are too few layers"))?;
    let (height, width, channels) = layer.dims3()?;
    let sums: Vec<f32> = values(layer)?.chunks_exact(channels).map(|position| position.iter().sum()).collect();
    let sums = Var::constant(Tensor::from_vec(sums, (1, height, width, 1), &Device::Cpu)?);
    let tape = Tape::inference(&Compute::cpu().kernels);
    let of_layer = |layer: &Tensor| {
        let (height, width, _) = layer.dims3()?;
        let focus = tape.interpolate(&sums, [height, width], Interpolation::Bilinear, false)?;
        let mut focus: Vec<f32> = focus.tensor().flatten_all()?.to_vec1()?;
        let mean = focus.iter().map(|&v| v as f64).sum::<f64>() / focus.len() as f64;
        focus.iter_mut().for_each(|v| *v = (*v as f64 / mean) as f32);
        Ok(focus)
    };
    layers.iter().map(of_layer).collect()
}
