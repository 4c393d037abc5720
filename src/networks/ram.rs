//! RAM (Zhang et al., "Recognize Anything: A Strong Image Tagging Model", arXiv 2306.03514) as far as it gives tags: a Swin transformer
//! looks at the image, and what every tag means asks its tokens whether it is to be seen. DAPE (Wu et al., "SeeSR: Towards
//! Semantics-Aware Real-World Image Super-Resolution", CVPR 2024) is the same model for degraded images: low-rank changes to some of
//! its weights.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::swin_stages::{self, Biases, SwinStages};
use crate::nn::kernels::Compute;
use crate::nn::kernels::shape::Activation;
use crate::nn::layers::{LayerNorm, Linear};
use crate::nn::params::{Init, ParamId, Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::Source;
use crate::{Error, Result};

/// Sizes.
#[derive(Clone, Debug)]
pub struct Config {
    pub swin: swin_stages::Config,
    /// Tags that are known.
    pub tags: usize,
    /// Width of what a tag means, and of the image's tokens as the head reads them.
    pub encoded: usize,
    /// Width of the head.
    pub hidden: usize,
    pub heads: usize,
    /// Width of the head's perceptron.
    pub inner: usize,
    pub layers: usize,
}

impl Config {
    /// The sizes that tensors have: of the published model Swin-L for 384 pixels, 4585 tags of 512 channels, a head of 768.
    pub fn of(source: &Source) -> Result<Self> {
        let matrix = |name: &str| match source.shape(name) {
            Some(&[rows, columns]) if rows > 0 && columns > 0 => Ok([rows, columns]),
            Some(other) => Err(format!("the weight {name:?} has shape {other:?}")),
            None => Err(format!("the weight {name:?} is missing")),
        };
        let number = |name: &str| name.strip_prefix(HEAD)?.split('.').next()?.parse::<usize>().ok();
        let sizes = || -> Result<Self, String> {
            let [tags, encoded] = matrix("label_embed")?;
            let [hidden, _] = matrix("wordvec_proj.weight")?;
            let [inner, _] = matrix(&format!("{HEAD}0.intermediate.dense.weight"))?;
            let layers = source.iter().filter_map(|(name, ..)| number(name)).max().map_or(0, |last| last + 1);
            let swin = swin_stages::Config::of(source, ENCODER)?;
            if hidden % HEADS != 0 || layers > 64 {
                return Err(format!("{layers} layers of a head of {hidden} channels"));
            }
            Ok(Self { swin, tags, encoded, hidden, heads: HEADS, inner, layers })
        };
        sizes().map_err(|cause| Error::file(source.origin(), format!("is not the tag model: {cause}")))
    }
}

/// What is below these names in the published file: its encoder, and its head.
const ENCODER: &str = "visual_encoder.";
const HEAD: &str = "tagging_head.encoder.layer.";
/// Heads of the attention there: no tensor says.
const HEADS: usize = 4;
/// DAPE's changes: their rank, and what their product is multiplied with.
const RANK: usize = 8;
const SCALE: f32 = 1.0 / RANK as f32;

/// A layer of the head: tags ask the image, never each other.
#[derive(Clone, Debug)]
struct Layer {
    qkv: [Linear; 3],
    out: Linear,
    norms: [LayerNorm; 2],
    mlp: [Linear; 2],
}

impl Layer {
    fn new(specs: &mut Specs, name: &str, config: &Config) -> Self {
        let &Config { encoded, hidden, inner, .. } = config;
        let norms = ["crossattention.output", "output"]
            .map(|part| LayerNorm::new(specs, &format!("{name}.{part}.LayerNorm"), hidden, 1e-12));
        let mut linear = |part: &str, channels| Linear::new(specs, &format!("{name}.{part}"), channels, 1.0);
        Self {
            qkv: [("query", hidden), ("key", encoded), ("value", encoded)]
                .map(|(part, c_in)| linear(&format!("crossattention.self.{part}"), (c_in, hidden))),
            out: linear("crossattention.output.dense", (hidden, hidden)),
            mlp: [linear("intermediate.dense", (hidden, inner)), linear("output.dense", (inner, hidden))],
            norms,
        }
    }

    fn forward(&self, tape: &Tape, params: &Params, tags: &Var, image: &Var, heads: usize) -> Result<Var> {
        let [q, k, v] = &self.qkv;
        let (q, k) = (tape.linear(params, q, tags)?, tape.linear(params, k, image)?);
        let y = tape.attention(&q, &k, &tape.linear(params, v, image)?, heads)?;
        let x = tape.layer_norm(params, &self.norms[0], &tape.linear_onto(params, &self.out, &y, tags)?)?;
        let y = tape.activate(Activation::Gelu, &tape.linear(params, &self.mlp[0], &x)?)?;
        tape.layer_norm(params, &self.norms[1], &tape.linear_onto(params, &self.mlp[1], &y, &x)?)
    }
}

/// The network with its weights.
pub struct Ram {
    swin: SwinStages,
    norm: LayerNorm,
    project: Linear,
    layers: Vec<Layer>,
    last: Linear,
    params: Params,
    biases: Biases,
    /// What every tag asks, `[1, tags, hidden]`.
    tags: Var,
    config: Config,
}

struct Structure {
    swin: SwinStages,
    norm: LayerNorm,
    project: Linear,
    meanings: ParamId,
    ask: Linear,
    layers: Vec<Layer>,
    last: Linear,
}

impl Structure {
    fn new(specs: &mut Specs, config: &Config) -> Self {
        let &Config { ref swin, tags, encoded, hidden, layers, .. } = config;
        let width = swin.last_width();
        let name = |i: usize| format!("{HEAD}{i}");
        Self {
            swin: SwinStages::new(specs, ENCODER, swin),
            norm: LayerNorm::new(specs, &format!("{ENCODER}norm"), width, 1e-5),
            project: Linear::new(specs, "image_proj", (width, encoded), 1.0),
            meanings: specs.add("label_embed".into(), &[tags, encoded], Init::Normal(1.0)),
            ask: Linear::new(specs, "wordvec_proj", (encoded, hidden), 1.0),
            layers: (0..layers).map(|i| Layer::new(specs, &name(i), config)).collect(),
            last: Linear::new(specs, "fc", (hidden, 1), 1.0),
        }
    }
}

/// The tensors of a published file of RAM under the names here.
pub fn published(source: Source) -> Result<Source> {
    source.below("model.")?.renamed(|name| Some(name.replace("vision_multi", "tagging_head")))
}

/// The names and shapes that the network reads.
pub fn specs(config: &Config) -> Arc<Specs> {
    let mut specs = Specs::default();
    Structure::new(&mut specs, config);
    Arc::new(specs)
}

impl Ram {
    /// Of RAM's tensors as [`published`] has them, and of DAPE's where those are to be merged into them. RAM's file holds a model that
    /// writes sentences too; that is not looked at. Errors: tensors are missing or of other shapes, or DAPE changes others.
    pub fn open(source: &Source, dape: Option<&Source>, config: Config, on: &Compute) -> Result<Self> {
        let mut specs = Specs::default();
        let Structure { swin, norm, project, meanings, ask, layers, last } = Structure::new(&mut specs, &config);
        source.check(specs.iter(), &["*"])?;
        if let Some(dape) = dape {
            check_changes(dape, &specs)?;
        }
        let params = Params::from_values(&Arc::new(specs), on, |name, shape| merged(source, dape, name, shape))?;
        let biases = swin.biases(&params)?;
        let tape = Tape::inference(params.kernels());
        let meanings = params.get(meanings).to_dtype(DType::F32)?.unsqueeze(0)?;
        let tags = tape.relu(&tape.linear(&params, &ask, &Var::constant(meanings))?)?;
        let tags = Var::constant(tags.tensor().clone());
        Ok(Self { swin, norm, project, layers, last, params, biases, tags, config })
    }

    /// The weights.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The side of the image that it looks at, in pixels.
    pub fn side_px(&self) -> usize {
        self.config.swin.image_px
    }

    /// How much speaks for each tag, before the sigmoid: `[tags]`, of a normalized image `[1, side, side, 3]`.
    pub fn logits(&self, x: &Var) -> Result<Tensor> {
        let (tape, params) = (Tape::inference(self.params.kernels()), &self.params);
        let stages = self.swin.forward(&tape, params, &self.biases, x)?;
        let last = stages.last().ok_or_else(|| Error::invalid("a network without stages"))?;
        let (_, rows, columns, width) = last.tensor().dims4()?;
        let tokens = tape.layer_norm(params, &self.norm, &tape.reshape(last, &[1, rows * columns, width])?)?;
        let mean = Var::constant(tokens.tensor().mean_keepdim(1)?);
        let image = tape.linear(params, &self.project, &tape.join(&[&mean, &tokens], 1)?)?;
        params.tap("image", &image);
        let mut x = self.tags.clone();
        for layer in &self.layers {
            x = layer.forward(&tape, params, &x, &image, self.config.heads)?;
        }
        Ok(tape.linear(params, &self.last, &x)?.tensor().flatten_all()?)
    }
}

/// A weight, with what DAPE adds to it.
pub fn merged(source: &Source, dape: Option<&Source>, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let mut values: Vec<f32> = source.floats(name, shape)?;
    let (Some(dape), Some(layer), [rows, width]) = (dape, name.strip_suffix(".weight"), shape) else {
        return Ok(values);
    };
    let factors = [format!("{layer}.lora_A"), format!("{layer}.lora_B")];
    if dape.shape(&factors[0]).is_none() {
        return Ok(values);
    }
    // Of queries, keys and values in one matrix the first and the last change, each by factors of its own.
    let places = if layer.ends_with(".qkv") { vec![0, 2 * rows / 3] } else { vec![0] };
    let height = if layer.ends_with(".qkv") { rows / 3 } else { *rows };
    let a: Vec<f32> = dape.floats(&factors[0], &[places.len() * RANK, *width])?;
    let b: Vec<f32> = dape.floats(&factors[1], &[places.len() * height, RANK])?;
    for ((place, a), b) in places.iter().zip(a.chunks_exact(RANK * width)).zip(b.chunks_exact(height * RANK)) {
        let changed = values[place * width..][..height * width].chunks_exact_mut(*width);
        for (row, b) in changed.zip(b.chunks_exact(RANK)) {
            for (b, a) in b.iter().zip(a.chunks_exact(*width)) {
                row.iter_mut().zip(a).for_each(|(value, a)| *value += SCALE * b * a);
            }
        }
    }
    Ok(values)
}

/// Errors: factors of a weight that the network does not have, or one factor without the other.
fn check_changes(dape: &Source, specs: &Specs) -> Result<()> {
    let mut count = 0;
    for (name, ..) in dape.iter() {
        let layer = name.strip_suffix(".lora_A").or_else(|| name.strip_suffix(".lora_B"));
        let is_whole = |layer: &str| {
            ["A", "B"].iter().all(|part| dape.shape(&format!("{layer}.lora_{part}")).is_some())
                && specs.iter().any(|(name, _)| name.strip_suffix(".weight") == Some(layer))
        };
        if !layer.is_some_and(is_whole) {
            return Err(Error::file(dape.origin(), format!("{name:?} changes no weight of the tag model")));
        }
        count += 1;
    }
    match count {
        0 => Err(Error::file(dape.origin(), "there are no changes to the tag model in it")),
        _ => Ok(()),
    }
}
