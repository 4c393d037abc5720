//! Quality as CLIP sees it: how much nearer an image is to the first text of each pair than to the second.
//!
//! What the texts are is the metrics' own ([`clip_iqa`](super::clip_iqa), [`qualiclip`](super::qualiclip)). Their vectors follow from
//! the files alone and are computed when a metric is opened; a score is one pass of the image tower, shared by the metrics on
//! the same tower.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::features::Features;
use super::info::Info;
use super::learned::{self, Judge};
use super::metric::Map;
use super::{shared, windows};
use crate::imaging::Image;
use crate::networks::clip::resnet::{CELL_PX, OUT, ResNetTower};
use crate::networks::clip::text::{ENDS, TextTower};
use crate::networks::clip::vision::{Config, Vision};
use crate::networks::clip::{BESIDE, unit};
use crate::nn::kernels::Compute;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::{Part, Source, Store};
use crate::{Error, Result};

/// Which of OpenAI's models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    Rn50,
    VitL14,
}

impl Model {
    /// Width of the text tower, and values of a vector.
    fn text(self) -> [usize; 2] {
        match self {
            Self::Rn50 => [512, OUT],
            Self::VitL14 => [768, 768],
        }
    }
}

/// An image tower with its weights.
enum Tower {
    ResNet(Box<ResNetTower>),
    Vision(Box<Vision>, Params),
}

/// A file of CLIP that is being opened.
pub struct Opening<'o> {
    model: Model,
    source: Source,
    /// What names the image tower, where its weights are known.
    name: Option<String>,
    on: &'o Compute,
}

impl<'o> Opening<'o> {
    /// Of OpenAI's file of a model.
    pub fn new(model: Model, part: &'static Part, store: &Store, on: &'o Compute) -> Result<Self> {
        Ok(Self::of(model, part, store.open(part)?, on))
    }

    /// Of a file that has the tensors of OpenAI's.
    pub fn of(model: Model, part: &'static Part, source: Source, on: &'o Compute) -> Self {
        Self { model, name: shared::name(part, &source, on), source, on }
    }

    /// The text tower.
    pub fn text(&self) -> Result<TextTower> {
        let [width, out] = self.model.text();
        TextTower::open(&self.source, width, out, self.on)
    }

    /// With the vectors of its texts, `[2 · pairs, values]`: what judges images.
    pub fn judge(self, info: &'static Info, texts: &Tensor, positions: bool, temperature: f64) -> Result<Prompted> {
        let Self { model, source, name, on } = self;
        on.tap("text_features", texts);
        let tower = shared::network(name.as_deref(), || open(model, &source, on))?;
        let logit_scale = source.floats::<f64>("logit_scale", &[])?;
        let texts = unit(&texts.to_device(&Device::Cpu)?.to_dtype(DType::F32)?)?.to_vec2::<f32>()?;
        let scale = logit_scale.first().map_or(1.0, |scale| scale.exp()) / temperature;
        let name = name.map(|name| format!("{name} {}", if positions { "with positions" } else { "" }));
        Ok(Prompted { info, tower, name, positions, texts, scale, on: on.clone() })
    }
}

/// Errors: the file has other tensors than OpenAI's.
fn open(model: Model, source: &Source, on: &Compute) -> Result<Tower> {
    const TEXT: [&str; 7] = [
        "positional_embedding",
        "text_projection",
        "logit_scale",
        "transformer.*",
        "token_embedding.weight",
        "ln_final.*",
        "prompts_features",
    ];
    let allowed = [TEXT.as_slice(), &BESIDE].concat();
    Ok(match model {
        Model::Rn50 => Tower::ResNet(Box::new(ResNetTower::open(source, &allowed, on)?)),
        Model::VitL14 => {
            let mut specs = Specs::default();
            let vision = Vision::new(&mut specs, Config::VIT_L_14);
            source.check(specs.iter(), &allowed)?;
            Tower::Vision(Box::new(vision), Params::from_source(&Arc::new(specs), source, on)?)
        }
    })
}

/// An image tower and what images are compared with.
pub struct Prompted {
    info: &'static Info,
    tower: Arc<Tower>,
    name: Option<String>,
    positions: bool,
    /// Of length 1; a pair is two after one another.
    texts: Vec<Vec<f32>>,
    /// What cosines are multiplied with.
    scale: f64,
    on: Compute,
}

impl Prompted {
    /// The vector of each image.
    fn vectors(&self, images: &[Arc<Image>], features: &Features) -> Result<Vec<Arc<Vec<f32>>>> {
        let compute = |images: &[Arc<Image>]| {
            let x = learned::input(images, learned::CLIP, &self.on.device)?;
            let vectors = match self.tower.as_ref() {
                Tower::ResNet(tower) => tower.pooled(&tower.features(x)?, self.positions)?,
                Tower::Vision(vision, params) => {
                    vision.forward(&Tape::inference(params.kernels()), params, &Var::constant(x))?
                }
            };
            self.on.tap("image_features", &vectors);
            Ok(vectors.to_device(&Device::Cpu)?.to_vec2::<f32>()?)
        };
        match &self.name {
            Some(name) => features.of(name, images, compute),
            None => Ok(compute(images)?.into_iter().map(Arc::new).collect()),
        }
    }

    /// The mean over pairs of how likely the first text is.
    fn score(&self, vector: &[f32]) -> f64 {
        let length = vector.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let cosine =
            |text: &[f32]| text.iter().zip(vector).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() / length;
        let first = |pair: &[Vec<f32>]| match pair {
            [a, b] => 1.0 / (1.0 + (self.scale * (cosine(b) - cosine(a))).exp()),
            _ => 0.0,
        };
        self.texts.chunks_exact(2).map(first).sum::<f64>() / (self.texts.len() / 2).max(1) as f64
    }
}

impl Judge for Prompted {
    fn info(&self) -> &Info {
        self.info
    }

    fn batch(&self, [width, height]: [usize; 2]) -> usize {
        learned::batch_of(width * height, 1 << 19, &self.on)
    }

    fn judge(&self, images: &[Arc<Image>], features: &Features) -> Result<Vec<f64>> {
        Ok(self.vectors(images, features)?.iter().map(|vector| self.score(vector)).collect())
    }

    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        let Tower::ResNet(tower) = self.tower.as_ref() else {
            return windows::map(self, image, features, |score| 1.0 - score).map(Some);
        };
        let x = learned::input(std::slice::from_ref(image), learned::CLIP, &self.on.device)?;
        let dense = tower.dense(&tower.features(x)?)?.squeeze(0)?.to_device(&Device::Cpu)?.to_vec2::<f32>()?;
        let grid = [image.height() / CELL_PX, image.width() / CELL_PX];
        let worse = dense.iter().map(|vector| 1.0 - self.score(vector) as f32).collect();
        learned::of_cells(worse, grid, image).map(Some)
    }
}

/// Texts with learned words around a fixed one: half of `context` (`[words, width]` for all texts, or `[texts, words, width]`), the
/// tokens of the class, the other half.
pub fn around(tower: &TextTower, context: &Tensor, classes: &[&[u32]]) -> Result<Vec<Tensor>> {
    let text = |(i, class): (usize, &&[u32])| -> Result<Tensor> {
        let own = if context.rank() == 3 { context.get(i)? } else { context.clone() };
        let half = own.dim(0)? / 2;
        let (begin, end) = (tower.embed(&ENDS[..1])?, tower.embed(&ENDS[1..])?);
        let (first, rest) = (own.narrow(0, 0, half)?, own.narrow(0, half, own.dim(0)? - half)?);
        Ok(Tensor::cat(&[&begin, &first, &tower.embed(class)?, &rest, &end], 0)?)
    };
    classes.iter().enumerate().map(text).collect()
}

/// The learned words of a file, under the name that the file has them.
pub fn context(source: &Source, name: &str, texts: usize, width: usize, on: &Compute) -> Result<Tensor> {
    const WORDS: usize = 16;
    let shape: &[usize] = match source.shape(name) {
        Some([WORDS, _]) => &[WORDS, width],
        Some(_) => &[texts, WORDS, width],
        None => return Err(Error::file(source.origin(), format!("the weight {name:?} is missing"))),
    };
    source.tensor(name, shape, DType::F32, &on.device)
}
