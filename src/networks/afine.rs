//! A-FINE (Chen et al., "Toward Generalized Image Quality Assessment: Relaxing the Perfect Reference Quality Assumption", CVPR 2025,
//! arXiv 2503.11221): the tokens of CLIP's ViT-B/32, fine-tuned, read in two ways: how natural an image is by itself, and how faithful
//! it is to another.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::clip::vision::{Config, Vision};
use crate::Result;
use crate::nn::kernels::Compute;
use crate::nn::kernels::shape::Activation;
use crate::nn::layers::Linear;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::Source;

const WIDTH: usize = 768;
const LEVELS: usize = 12;
/// Values that a level's statistics are brought to.
const NARROW: usize = 128;
/// Channels of all levels, the image's own included.
const CHANNELS: usize = 3 + LEVELS * WIDTH;
/// Both terms lie between −2 and 2.
const BOUND: f64 = 2.0;
/// Between which values the fidelity's logistic curve may lie: its middle, and its width.
const FIDELITY_LIMITS: [[f64; 2]; 2] = [[0.05, 0.95], [0.01, 0.70]];
/// Keeps statistics of constant channels from dividing by zero.
const EPSILON: f64 = 1e-10;
/// CLIP's text tower, and constants that a file may have.
const UNREAD: [&str; 8] = [
    "positional_embedding",
    "text_projection",
    "logit_scale",
    "transformer.*",
    "token_embedding.weight",
    "ln_final.*",
    "*.mean",
    "*.std",
];

/// The network with its weights.
pub struct Afine {
    vision: Vision,
    levels: Linear,
    head: [Linear; 2],
    params: Params,
    /// How much each channel's mean, and its variation, counts for.
    shares: [Vec<f64>; 2],
    /// Middle and width of the logistic curves of naturalness and fidelity.
    curves: [[f64; 2]; 2],
    adapter: f64,
}

/// What is known of an image.
pub struct Look {
    /// The image itself, then the tokens after each block.
    levels: Vec<Level>,
    /// Between −2 and 2; lower is more natural.
    pub natural: f64,
}

/// Features at some positions, and their statistics.
struct Level {
    channels: usize,
    values: Vec<f32>,
    means: Vec<f64>,
    variances: Vec<f64>,
}

impl Level {
    fn new(values: Vec<f32>, channels: usize) -> Self {
        let count = (values.len() / channels) as f64;
        let mut means = vec![0.0; channels];
        let mut variances = vec![0.0; channels];
        for row in values.chunks_exact(channels) {
            means.iter_mut().zip(row).for_each(|(mean, &v)| *mean += f64::from(v));
        }
        means.iter_mut().for_each(|mean| *mean /= count);
        for row in values.chunks_exact(channels) {
            let each = variances.iter_mut().zip(&means).zip(row);
            each.for_each(|((variance, mean), &v)| *variance += (f64::from(v) - mean).powi(2));
        }
        variances.iter_mut().for_each(|variance| *variance /= count);
        Self { channels, values, means, variances }
    }

    /// Of each channel, about the means.
    fn covariances(&self, other: &Self) -> Vec<f64> {
        let mut sums = vec![0.0; self.channels];
        for (a, b) in self.values.chunks_exact(self.channels).zip(other.values.chunks_exact(self.channels)) {
            let means = self.means.iter().zip(&other.means);
            for ((sum, (mean_a, mean_b)), (&a, &b)) in sums.iter_mut().zip(means).zip(a.iter().zip(b)) {
                *sum += (f64::from(a) - mean_a) * (f64::from(b) - mean_b);
            }
        }
        let count = (self.values.len() / self.channels) as f64;
        sums.iter_mut().for_each(|sum| *sum /= count);
        sums
    }
}

impl Afine {
    /// Of the published file. Errors: it has other tensors than that.
    pub fn open(source: Source, on: &Compute) -> Result<Self> {
        let source = source.renamed(|name| Some(name.strip_prefix("finetuned_clip.").unwrap_or(name).to_owned()))?;
        let mut specs = Specs::default();
        let vision = Vision::new(&mut specs, Config::VIT_B_32);
        let levels = Linear::new(&mut specs, "natural.proj_feat", (2 * WIDTH, NARROW), 1.0);
        let head = [("0", (6 + LEVELS * NARROW, WIDTH)), ("2", (WIDTH, 1))]
            .map(|(part, channels)| Linear::new(&mut specs, &format!("natural.proj_head.{part}"), channels, 1.0));
        const SHARES: [&str; 2] = ["fidelity.alpha", "fidelity.beta"];
        const SCALARS: [&str; 5] =
            ["natural_scale.yita3", "natural_scale.yita4", "fidelity_scale.yita3", "fidelity_scale.yita4", "adapter.k"];
        let shares = SHARES.iter().map(|&name| (name, [1, 1, CHANNELS].as_slice()));
        let scalars = SCALARS.iter().map(|&name| (name, [].as_slice()));
        source.check(specs.iter().chain(shares).chain(scalars), &UNREAD)?;
        let shares = shares_of(SHARES.map(|name| source.floats::<f64>(name, &[1, 1, CHANNELS])))?;
        let scalar =
            |name: &str| -> Result<f64> { Ok(source.floats::<f64>(name, &[])?.first().copied().unwrap_or_default()) };
        let [natural, fidelity] =
            [[scalar(SCALARS[0])?, scalar(SCALARS[1])?], [scalar(SCALARS[2])?, scalar(SCALARS[3])?]];
        let fidelity = [0, 1].map(|i| fidelity[i].clamp(FIDELITY_LIMITS[i][0], FIDELITY_LIMITS[i][1]));
        let adapter = softplus(scalar(SCALARS[4])?);
        let params = Params::from_source(&Arc::new(specs), &source, on)?;
        Ok(Self { vision, levels, head, params, shares, curves: [natural, fidelity], adapter })
    }

    /// The weights.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// What is known of images `[batch, height, width, 3]` in [0, 1], and of the same ones normalized; sides are multiples of 32.
    pub fn look(&self, plain: &Tensor, normalized: Tensor) -> Result<Vec<Look>> {
        let tape = Tape::inference(self.params.kernels());
        let layers = self.vision.layers(&tape, &self.params, &Var::constant(normalized))?;
        for (i, layer) in layers.iter().enumerate() {
            self.params.tap(format_args!("feature{i}_dis"), layer);
        }
        let layers = layers.iter().map(|layer| Ok(tape.relu(layer)?.tensor().to_device(&Device::Cpu)?));
        let layers: Vec<Tensor> = layers.collect::<Result<_>>()?;
        let of_image = |i: usize| {
            let image = plain.get(i)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
            let of_layer = |layer: &Tensor| Ok(Level::new(layer.get(i)?.flatten_all()?.to_vec1()?, WIDTH));
            let levels: Result<Vec<Level>> = layers.par_iter().map(of_layer).collect();
            let levels = [vec![Level::new(image, 3)], levels?].into_iter().flatten().collect::<Vec<_>>();
            let natural = self.natural(&tape, &levels)?;
            Ok(Look { levels, natural })
        };
        (0..plain.dim(0)?).map(of_image).collect()
    }

    fn natural(&self, tape: &Tape, levels: &[Level]) -> Result<f64> {
        let statistics = |levels: &[Level]| -> Vec<f32> {
            let of = |level: &Level| level.means.iter().chain(&level.variances).map(|&v| v as f32).collect::<Vec<_>>();
            levels.iter().flat_map(of).collect()
        };
        let device = self.params.device();
        let (own, tokens) = levels.split_at(1);
        let tokens = Tensor::from_vec(statistics(tokens), (LEVELS, 2 * WIDTH), device)?;
        let narrow = tape.linear(&self.params, &self.levels, &Var::constant(tokens))?;
        let own = Var::constant(Tensor::from_vec(statistics(own), (1, 6), device)?);
        let all = tape.join(&[&own, &tape.reshape(&narrow, &[1, LEVELS * NARROW])?], 1)?;
        let y = tape.activate(Activation::Gelu, &tape.linear(&self.params, &self.head[0], &all)?)?;
        let y = tape.linear(&self.params, &self.head[1], &y)?;
        let value = y.tensor().to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(logistic(f64::from(value.first().copied().unwrap_or(f32::NAN)), self.curves[0]))
    }

    /// How far an image is from a reference of its size, between −2 and 2; lower is more faithful.
    pub fn fidelity(&self, image: &Look, reference: &Look) -> f64 {
        let (mut likeness, mut channel) = (0.0, 0);
        let levels: Vec<(&Level, &Level)> = image.levels.iter().zip(&reference.levels).collect();
        let covariances: Vec<Vec<f64>> = levels.par_iter().map(|(x, y)| x.covariances(y)).collect();
        for ((x, y), covariances) in levels.into_iter().zip(covariances) {
            for (c, covariance) in covariances.into_iter().enumerate() {
                let similar = |twice: f64, sum: f64| (2.0 * twice + EPSILON) / (sum + EPSILON);
                let means = similar(x.means[c] * y.means[c], x.means[c].powi(2) + y.means[c].powi(2));
                let structure = similar(covariance, x.variances[c] + y.variances[c]);
                likeness += self.shares[0][channel] * means + self.shares[1][channel] * structure;
                channel += 1;
            }
        }
        logistic(1.0 - likeness, self.curves[1])
    }

    /// Both terms together: how unfaithful it is counts the more, the more natural the reference.
    pub fn together(&self, image: &Look, reference: &Look) -> f64 {
        let naturalness = (self.adapter * (reference.natural - image.natural)).exp() * image.natural;
        naturalness + self.fidelity(image, reference)
    }

    /// For each patch, how far its tokens are from the reference's: 1 − cosine, the mean over blocks.
    pub fn apart(&self, image: &Look, reference: &Look) -> Vec<f32> {
        let mut sums = vec![0.0f32; image.levels.get(1).map_or(0, |level| level.values.len() / WIDTH)];
        for (x, y) in image.levels.iter().zip(&reference.levels).skip(1) {
            let rows = x.values.chunks_exact(WIDTH).zip(y.values.chunks_exact(WIDTH));
            sums.iter_mut().zip(rows).for_each(|(sum, (x, y))| *sum += (1.0 - cosine(x, y)) / LEVELS as f32);
        }
        sums
    }
}

fn cosine(x: &[f32], y: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(x, y) / (dot(x, x) * dot(y, y)).sqrt().max(1e-12)
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Positive, and 1 together.
fn shares_of([means, structure]: [Result<Vec<f64>>; 2]) -> Result<[Vec<f64>; 2]> {
    let mut shares = [means?, structure?];
    shares.iter_mut().flatten().for_each(|share| *share = softplus(*share));
    let sum: f64 = shares.iter().flatten().sum::<f64>() + EPSILON;
    shares.iter_mut().flatten().for_each(|share| *share /= sum);
    Ok(shares)
}

fn logistic(x: f64, [middle, width]: [f64; 2]) -> f64 {
    2.0 * BOUND / (1.0 + (-(x - middle) / (width.abs() + EPSILON)).exp()) - BOUND
}
