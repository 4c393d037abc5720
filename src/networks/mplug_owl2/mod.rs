//! mPLUG-Owl2 (Ye et al., arXiv 2311.04257) as Q-Align (Wu et al., arXiv 2312.17090) asks it: an image among the words of a question, and how
//! likely each of five words is as the answer's next one.
//!
//! A ViT makes tokens of the image, an abstractor a few of these, and a LLaMA reads them between the words; norms, keys and values of it
//! are made by one set of weights for words and by another for the image. Nothing is generated: the question is read once.

mod layers;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use self::layers::{Abstracting, Reading, Sides};
use super::transformer::{Block, Config as BlockConfig, Names, Projections, prepend};
use crate::nn::kernels::Compute;
use crate::nn::kernels::shape::Activation;
use crate::nn::layers::{Conv, Kernel, LayerNorm, Linear, RmsNorm};
use crate::nn::ops::rope::Rope;
use crate::nn::params::{Init, ParamId, Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::Source;
use crate::{Error, Result};

/// Sizes of one of the three parts.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub width: usize,
    pub depth: usize,
    pub heads: usize,
    /// Width of the perceptrons.
    pub hidden: usize,
}

/// Sizes.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub vision: Sizes,
    pub abstractor: Sizes,
    pub language: Sizes,
    /// Side of the image, in patches of 14 pixels.
    pub grid: usize,
    /// Tokens that the abstractor makes of an image, before one that ends it.
    pub queries: usize,
    pub vocabulary: usize,
}

/// Side of a patch in pixels.
pub const PATCH: usize = 14;

impl Config {
    /// The published model, of 8.2 billion weights.
    pub const ONE_ALIGN: Self = Self {
        vision: Sizes { width: 1024, depth: 24, heads: 16, hidden: 4096 },
        abstractor: Sizes { width: 1024, depth: 6, heads: 16, hidden: 2816 },
        language: Sizes { width: 4096, depth: 32, heads: 32, hidden: 11_008 },
        grid: 32,
        queries: 64,
        vocabulary: 32_000,
    };
}

/// A question: words before and after the image, and the words that may answer it, the best first.
#[derive(Clone, Debug)]
pub struct Question {
    pub before: Vec<u32>,
    pub after: Vec<u32>,
    pub answers: [u32; 5],
}

const EPS: f32 = 1e-6;
/// Tables that files may have, and that follow from the sizes.
const UNREAD: [&str; 3] = ["*.q_pos_embed", "*.k_pos_embed", "*.inv_freq"];
const WORDS: &str = "model.embed_tokens.weight";
const FUSED: [&str; 2] = ["self_attn.query_key_value.weight", "self_attn.query_key_value.bias"];

/// The model, with its weights and a question.
pub struct Asked {
    network: Network,
    params: Params,
    config: Config,
    question: Question,
}

struct Network {
    patches: Conv,
    class: ParamId,
    positions: ParamId,
    before: LayerNorm,
    blocks: Vec<Block>,
    after: LayerNorm,
    queries: ParamId,
    abstracting: Vec<Abstracting>,
    bring: Linear,
    end: ParamId,
    words: ParamId,
    reading: Vec<Reading>,
    norm: RmsNorm,
    answers: Linear,
}

impl Network {
    fn new(specs: &mut Specs, config: Config) -> Self {
        let Config { vision, abstractor, language, grid, queries, .. } = config;
        let of_vision = |rest: &str| format!("model.vision_model.{rest}");
        let block = BlockConfig {
            names: Names {
                norms: ["input_layernorm", "post_attention_layernorm"],
                projections: Projections::Fused { weight: FUSED[0], bias: FUSED[1] },
                out: "self_attn.dense",
                mlp: ["mlp.fc1", "mlp.fc2"],
            },
            width: vision.width,
            heads: vision.heads,
            hidden: vision.hidden,
            activation: Activation::GeluQuick,
            eps: EPS,
            causal: false,
        };
        let kernel = Kernel { stride: PATCH, pad: [0; 2], bias: false, ..Kernel::square(PATCH) };
        let width = vision.width;
        let norm = |specs: &mut Specs, name: &str| LayerNorm::new(specs, &of_vision(name), width, EPS);
        let table = |specs: &mut Specs, name: String, shape: &[usize]| specs.add(name, shape, Init::Normal(0.02));
        let of_abstractor = |rest: &str| format!("model.visual_abstractor.{rest}");
        Self {
            patches: Conv::with(specs, &of_vision("embeddings.patch_embed"), (3, width), kernel, 1.0),
            class: table(specs, of_vision("embeddings.cls_token"), &[1, 1, width]),
            positions: table(specs, of_vision("embeddings.position_embedding"), &[1, 1 + grid * grid, width]),
            before: norm(specs, "embeddings.pre_layernorm"),
            blocks: (0..vision.depth)
                .map(|i| Block::new(specs, &of_vision(&format!("encoder.layers.{i}")), block))
                .collect(),
            after: norm(specs, "post_layernorm"),
            queries: table(specs, of_abstractor("query_embeds"), &[1, queries, abstractor.width]),
            abstracting: (0..abstractor.depth)
                .map(|i| {
                    let name = of_abstractor(&format!("encoder.layers.{i}.crossattention"));
                    Abstracting::new(specs, &name, abstractor, width)
                })
                .collect(),
            bring: Linear::new(specs, &of_abstractor("visual_fc"), (abstractor.width, language.width), 1.0),
            end: table(specs, of_abstractor("vit_eos"), &[1, 1, language.width]),
            words: table(specs, WORDS.into(), &[config.vocabulary, language.width]),
            reading: (0..language.depth).map(|i| Reading::new(specs, &format!("model.layers.{i}"), language)).collect(),
            norm: RmsNorm::new(specs, "model.norm", language.width, EPS),
            answers: Linear::with(specs, "lm_head", (language.width, config.vocabulary), false, 1.0),
        }
    }
}

impl Asked {
    /// Of the published files. Weights are kept in the precision of `on`, tensor by tensor.
    ///
    /// Errors: they have other tensors than that; the question has words that there are not.
    pub fn open(source: &Source, config: Config, question: Question, on: &Compute) -> Result<Self> {
        let mut specs = Specs::default();
        let network = Network::new(&mut specs, config);
        source.check(specs.iter(), &UNREAD)?;
        let words = question.before.iter().chain(&question.after).chain(&question.answers);
        if let Some(word) = words.clone().find(|word| **word as usize >= config.vocabulary) {
            return Err(Error::invalid(format!("a vocabulary of {} words has no word {word}", config.vocabulary)));
        }
        let params = Params::from_values(&Arc::new(specs), on, |name, shape| {
            let values = source.floats::<f32>(name, shape)?;
            let is = |part: &str| name.contains(part);
            Ok(match () {
                _ if FUSED.iter().any(|fused| name.ends_with(fused)) => per_part(values, config.vision.heads),
                _ if is("self_attn.q_proj") || is("self_attn.k_proj") => {
                    paired(values, shape[1], config.language.width / config.language.heads)
                }
                _ => values,
            })
        })?;
        Ok(Self { network, params, config, question })
    }

    /// The weights.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// How likely each answer is as the next word, as logits `[batch, 5]`, of normalized square images.
    pub fn forward(&self, x: Tensor) -> Result<Vec<Vec<f32>>> {
        let (tape, params, net) = (Tape::inference(self.params.kernels()), &self.params, &self.network);
        let image = self.image(&tape, &Var::constant(x))?;
        let (batch, image_tokens, width) = image.tensor().dims3()?;
        let words = |ids: &[u32]| -> Result<Var> {
            let table = params.get(net.words);
            let rows = table.index_select(&Tensor::from_slice(ids, ids.len(), table.device())?, 0)?;
            let rows = rows.to_dtype(DType::F32)?.reshape((1, ids.len(), width))?;
            Ok(Var::constant(rows.expand((batch, ids.len(), width))?.contiguous()?))
        };
        let (before, after) = (&self.question.before, &self.question.after);
        let mut x = tape.join(&[&words(before)?, &image, &words(after)?], 1)?;
        let sides = Sides([before.len(), image_tokens, after.len()]);
        let count = x.tensor().dim(1)?;
        let places: Vec<[f64; 1]> = (0..count).map(|i| [i as f64]).collect();
        let heads = self.config.language.heads;
        let rope = Rope::new(&places, [width / heads], 10_000.0, params.device())?;
        for layer in &net.reading {
            x = layer.forward(&tape, params, &x, sides, heads, &rope)?;
        }
        let last = tape.rms_norm(params, &net.norm, &tape.narrow(&x, 1, count - 1, 1)?)?;
        let answers = self.question.answers;
        let ids = Tensor::from_slice(&answers, answers.len(), params.device())?;
        let rows = params.get(net.answers.weight).index_select(&ids, 0)?.to_dtype(DType::F32)?;
        let logits = last.tensor().reshape((batch, width))?.matmul(&rows.t()?)?;
        Ok(logits.to_device(&Device::Cpu)?.to_vec2()?)
    }

    /// The image's tokens as the language model reads them.
    fn image(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let (params, net) = (&self.params, &self.network);
        let Config { vision, abstractor, grid, queries, .. } = self.config;
        let batch = x.tensor().dim(0)?;
        let table = |id: ParamId| Ok::<_, Error>(Var::constant(params.get(id).to_dtype(DType::F32)?));
        let y = tape.conv2d(params, &net.patches, x, None)?;
        let y = tape.reshape(&y, &[batch, grid * grid, vision.width])?;
        let y = tape.add(&prepend(tape, &table(net.class)?, &y)?, &table(net.positions)?)?;
        let mut x = tape.layer_norm(params, &net.before, &y)?;
        for block in &net.blocks {
            x = block.forward(tape, params, &x, None)?;
        }
        let image = tape.layer_norm(params, &net.after, &x)?;
        params.tap("vision", &image);
        let rows = |rows: Vec<f32>| -> Result<Var> {
            let count = rows.len() / abstractor.width;
            Ok(Var::constant(Tensor::from_vec(rows, (1, count, abstractor.width), params.device())?))
        };
        let of_queries: Vec<f32> = (0..queries).flat_map(|i| waves(i, abstractor.width)).collect();
        let of_image = (0..grid * grid).flat_map(|i| {
            let half = abstractor.width / 2;
            [waves(i % grid, half), waves(i / grid, half)].concat()
        });
        let of_all: Vec<f32> = of_queries.iter().copied().chain(vec![0.0; abstractor.width]).chain(of_image).collect();
        let places = [rows(of_queries)?, rows(of_all)?];
        let first = params.get(net.queries).to_dtype(DType::F32)?;
        let mut q = Var::constant(first.expand((batch, queries, abstractor.width))?.contiguous()?);
        for layer in &net.abstracting {
            q = layer.forward(tape, params, &q, &image, &places, abstractor.heads)?;
        }
        let tokens = tape.linear(params, &net.bring, &q)?;
        let width = tokens.tensor().dim(2)?;
        let end = params.get(net.end).to_dtype(DType::F32)?.expand((batch, 1, width))?.contiguous()?;
        let tokens = tape.join(&[&tokens, &Var::constant(end)], 1)?;
        params.tap("abstractor", &tokens);
        Ok(tokens)
    }
}

/// Sines, then cosines, of a position.
fn waves(position: usize, width: usize) -> Vec<f32> {
    let half = width / 2;
    let angle = |i: usize| position as f64 / 10_000f64.powf(i as f64 / half as f64);
    (0..half).map(|i| angle(i).sin() as f32).chain((0..half).map(|i| angle(i).cos() as f32)).collect()
}

/// Rows that lie head by head, in each the parts q, k and v, part by part instead.
fn per_part(values: Vec<f32>, heads: usize) -> Vec<f32> {
    let size = values.len() / heads / 3;
    let at = |part: usize, head: usize| &values[(head * 3 + part) * size..][..size];
    (0..3).flat_map(|part| (0..heads).flat_map(move |head| at(part, head).iter().copied())).collect()
}

/// Rows of heads of `dim` channels, whose halves are turned together, so that neighbours are: as [`Rope`] turns them.
fn paired(values: Vec<f32>, c_in: usize, dim: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for head in values.chunks_exact(dim * c_in) {
        for i in 0..dim / 2 {
            out.extend_from_slice(&head[i * c_in..][..c_in]);
            out.extend_from_slice(&head[(i + dim / 2) * c_in..][..c_in]);
        }
    }
    out
}
