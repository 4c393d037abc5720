//! TOPIQ: what an image shows decides which of its distortions matter. The network judges an image by itself (TOPIQ-NR), against
//! a reference image (TOPIQ-FR), or for its beauty (TOPIQ-IAA).
//!
//! Chen et al., "TOPIQ: A Top-down Approach from Semantics to Distortions for Image Quality Assessment", IEEE TIP 2024.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::features::Features;
use super::info::{Info, Kind, text};
use super::learned::{
    Compare, Compared, IMAGENET, Judge, Judged, batch_of, expected_grade, input, mean_of_cells, with_short_side,
};
use super::metric::{Map, Metric, Scorer};
use crate::Result;
use crate::imaging::Image;
use crate::networks::cfanet::{CfaNet, Config, Output, UNREAD};
use crate::networks::published::{Published, unwrapped};
use crate::networks::resnet50::{Names, ResNet50};
use crate::networks::swin_stages::{self, Biases, SwinStages};
use crate::nn::kernels::Compute;
use crate::nn::kernels::resample::Interpolation;
use crate::nn::params::Params;
use crate::nn::tape::{Tape, Var};
use crate::weights::{Part, Store, registry};

/// TOPIQ with one set of weights.
pub struct Topiq {
    info: &'static Info,
    parts: &'static [&'static Part; 1],
    config: Config,
    look: Look,
}

/// Through which backbone an image is looked at, and at which size.
#[derive(Clone, Copy, PartialEq)]
enum Look {
    /// ResNet-50, at the image's own.
    ResNet,
    /// ResNet-50, the shorter side brought to 384 pixels.
    ResNetAt384,
    /// Swin-B, both sides brought to 384 pixels.
    Swin,
}

/// ResNet-50's scales, in tokens of 256 values.
const OVER_RESNET: Config = Config { channels: &ResNet50::CHANNELS, width: 256, heads: 4, outputs: 1, compares: false };

macro_rules! weights {
    ($($(#[$doc:meta])* $name:ident, $part:ident, $info:expr, $config:expr, $look:ident;)*) => {
        impl Topiq {
            $($(#[$doc])* pub const $name: Self = {
                static PARTS: [&Part; 1] = [&registry::$part];
                static INFO: Info = $info;
                Self { info: &INFO, parts: &PARTS, config: $config, look: Look::$look }
            };)*
        }
    };
}

weights! {
    /// Trained on KonIQ: what papers report as TOPIQ-NR.
    NR, TOPIQ_NR, nr("topiq_nr", "TOPIQ-NR (KonIQ)", "CFANet over ResNet-50, KonIQ"), OVER_RESNET, ResNet;
    /// Trained on SPAQ.
    NR_SPAQ, TOPIQ_NR_SPAQ, nr("topiq_nr-spaq", "TOPIQ-NR (SPAQ)", "CFANet over ResNet-50, SPAQ"), OVER_RESNET, ResNet;
    /// Trained on FLIVE.
    NR_FLIVE, TOPIQ_NR_FLIVE, nr("topiq_nr-flive", "TOPIQ-NR (FLIVE)", "CFANet over ResNet-50, FLIVE"), OVER_RESNET, ResNet;
    /// Trained on KADID: what papers report as TOPIQ-FR.
    FR, TOPIQ_FR, fr("topiq_fr", "TOPIQ-FR (KADID)", "CFANet over ResNet-50, KADID"),
        Config { compares: true, ..OVER_RESNET }, ResNet;
    /// Trained on PIPAL.
    FR_PIPAL, TOPIQ_FR_PIPAL, fr("topiq_fr-pipal", "TOPIQ-FR (PIPAL)", "CFANet over ResNet-50, PIPAL"),
        Config { compares: true, ..OVER_RESNET }, ResNet;
    /// Trained on AVA, over ResNet-50.
    IAA_RES50, TOPIQ_IAA_RES50, iaa("topiq_iaa_res50", "TOPIQ-IAA (AVA, ResNet-50)", "CFANet over ResNet-50, AVA",
        "the whole image, its shorter side resized to 384 pixels", 49.0),
        Config { width: 512, heads: 8, outputs: 10, ..OVER_RESNET }, ResNetAt384;
    /// Trained on AVA, over Swin-B: what papers report as TOPIQ-IAA.
    IAA, TOPIQ_IAA, iaa("topiq_iaa", "TOPIQ-IAA (AVA)", "CFANet over Swin-B, AVA",
        "the whole image, resized to 384×384 pixels", 105.0),
        Config { channels: &SwinStages::CHANNELS, width: 512, heads: 8, outputs: 10, compares: false }, Swin;
}

/// The side that the aesthetic ones look at, in pixels.
const SIDE_PX: usize = swin_stages::IMAGE_PX;

const GATES: &str =
    "mean of the gates of all scales, bilinear: where the network looks for distortion, not how bad it is";

const fn nr(name: &'static str, title: &'static str, version: &'static str) -> Info {
    Info {
        name: text(name),
        title: text(title),
        // One cell of the coarsest scale.
        min_size_px: 32,
        version: text(version),
        gflop: 74.0,
        map: text(GATES),
        paper: text("Chen et al., IEEE TIP 2024"),
        ..Info::LEARNED
    }
}

const fn fr(name: &'static str, title: &'static str, version: &'static str) -> Info {
    Info {
        name: text(name),
        title: text(title),
        kind: Kind::FullReference,
        min_size_px: 64,
        version: text(version),
        gflop: 100.0,
        map: text("mean of the gates of all scales, bilinear: where differing features count"),
        paper: text("Chen et al., IEEE TIP 2024"),
        ..Info::LEARNED
    }
}

const fn iaa(
    name: &'static str,
    title: &'static str,
    version: &'static str,
    crop_policy: &'static str,
    gflop: f64,
) -> Info {
    Info {
        name: text(name),
        title: text(title),
        range: (1.0, 10.0),
        min_size_px: 32,
        version: text(version),
        crop_policy: text(crop_policy),
        gflop,
        map: text(GATES),
        paper: text("Chen et al., IEEE TIP 2024"),
        ..Info::LEARNED
    }
}

impl Metric for Topiq {
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
        let prefix = "semantic_model.";
        let backbone = match self.look {
            Look::Swin => {
                Backbone::Swin(SwinStages::new(&mut published.specs, prefix, &swin_stages::Config::BASE), Vec::new())
            }
            _ => Backbone::ResNet(ResNet50::new(&mut published, prefix, Names::TORCHVISION)),
        };
        let network = CfaNet::new(&mut published, self.config);
        let params = published.open(&source, &[&UNREAD[..], &OF_BACKBONES].concat(), on)?;
        let backbone = match backbone {
            Backbone::Swin(swin, _) => {
                let biases = swin.biases(&params)?;
                Backbone::Swin(swin, biases)
            }
            resnet => resnet,
        };
        let opened = Opened { info: self.info, look: self.look, backbone, network, params };
        Ok(match self.config.compares {
            true => Box::new(Compared(opened)),
            false => Box::new(Judged(opened)),
        })
    }
}

/// Tensors of the backbones that follow from others, or that nothing reads.
const OF_BACKBONES: [&str; 6] = [
    "*.num_batches_tracked",
    "semantic_model.fc.*",
    "*.attn_mask",
    "*.relative_position_index",
    "semantic_model.norm.*",
    "semantic_model.head.*",
];

enum Backbone {
    ResNet(ResNet50),
    Swin(SwinStages, Biases),
}

/// The network with its weights.
struct Opened {
    info: &'static Info,
    look: Look,
    backbone: Backbone,
    network: CfaNet,
    params: Params,
}

impl Opened {
    fn tape(&self) -> Tape {
        Tape::inference(self.params.kernels())
    }

    /// The backbone's features of images of one size.
    fn features(&self, images: &[Arc<Image>]) -> Result<Vec<Var>> {
        let tape = self.tape();
        let x = Var::constant(input(images, IMAGENET, self.params.device())?);
        let (_, height, width, _) = x.tensor().dims4()?;
        let resized = |size: [usize; 2]| tape.interpolate(&x, size, Interpolation::Bilinear, true);
        let x = match self.look {
            Look::ResNet => x,
            Look::ResNetAt384 => resized(with_short_side([height, width], SIDE_PX))?,
            Look::Swin => resized([SIDE_PX; 2])?,
        };
        match &self.backbone {
            Backbone::Swin(swin, biases) => swin.forward(&tape, &self.params, biases, &x),
            Backbone::ResNet(resnet) => {
                let features = resnet.forward(&tape, &self.params, &x)?;
                for (features, name) in features.iter().zip(["act1", "layer1", "layer2", "layer3", "layer4"]) {
                    self.params.tap(format_args!("semantic_model.{name}"), features);
                }
                Ok(features.into())
            }
        }
    }

    fn judged(&self, images: &[Arc<Image>], reference: &[Var]) -> Result<Output> {
        self.network.forward(&self.tape(), &self.params, &self.features(images)?, reference)
    }

    fn scores(&self, images: &[Arc<Image>], reference: &[Var]) -> Result<Vec<f64>> {
        let scores = self.judged(images, reference)?.scores;
        let rows = scores.tensor().to_device(&Device::Cpu)?.to_vec2::<f32>()?;
        Ok(rows.iter().map(|row| if let [score] = row[..] { score.into() } else { expected_grade(row) }).collect())
    }

    fn gates(&self, image: &Arc<Image>, reference: &[Var]) -> Result<Map> {
        let gates = self.judged(std::slice::from_ref(image), reference)?.gates;
        let gates: Vec<Tensor> = gates.iter().map(|gate| gate.tensor().clone()).collect();
        mean_of_cells(&gates, image)
    }

    fn batch_of(&self, [width, height]: [usize; 2]) -> usize {
        let px = if self.look == Look::ResNet { width * height } else { SIDE_PX * SIDE_PX };
        batch_of(px, 1 << 18, self.params.compute())
    }
}

impl Judge for Opened {
    fn info(&self) -> &Info {
        self.info
    }

    fn batch(&self, px: [usize; 2]) -> usize {
        self.batch_of(px)
    }

    fn judge(&self, images: &[Arc<Image>], _: &Features) -> Result<Vec<f64>> {
        self.scores(images, &[])
    }

    fn map(&self, image: &Arc<Image>, _: &Features) -> Result<Option<Map>> {
        self.gates(image, &[]).map(Some)
    }
}

impl Compare for Opened {
    /// Its features.
    type Reference = Vec<Tensor>;

    fn info(&self) -> &Info {
        self.info
    }

    fn batch(&self, px: [usize; 2]) -> usize {
        self.batch_of(px)
    }

    fn reference(&self, image: &Arc<Image>, _: &Features) -> Result<Vec<Tensor>> {
        Ok(self.features(std::slice::from_ref(image))?.iter().map(|features| features.tensor().clone()).collect())
    }

    fn compare(&self, reference: &Vec<Tensor>, images: &[Arc<Image>], _: &Features) -> Result<Vec<f64>> {
        self.scores(images, &constants(reference))
    }

    fn map(&self, reference: &Vec<Tensor>, image: &Arc<Image>, _: &Features) -> Result<Option<Map>> {
        self.gates(image, &constants(reference)).map(Some)
    }
}

fn constants(features: &[Tensor]) -> Vec<Var> {
    features.iter().cloned().map(Var::constant).collect()
}
