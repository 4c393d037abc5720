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
use super::parallel::{LANES, strips, strips_mut, vectorised};
use crate::imaging::Image;
use crate::networks::alexnet::{AlexNet, Config};
use crate::nn::kernels::Compute;
use crate::nn::kernels::cpu::values::values;
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
/// Keeps the norm of features that are all zero from dividing by zero.
const EPSILON: f32 = 1e-10;

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
            batch: if on.device.is_cpu() { 1 } else { 8 },
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
        let mean = |(_, d): (usize, Vec<f32>)| d.iter().map(|&v| v as f64).sum::<f64>() / d.len() as f64;
        let score = |layers: &Layers| finite(&INFO, self.distances(layers)?.into_iter().map(mean).sum());
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
        let mut data = vec![0.0; width * height];
        for (layer_width, distances) in self.distances(layers)? {
            let rows = taps(height, distances.len() / layer_width);
            let columns = taps(width, layer_width);
            strips_mut(&mut data, width, |strip, out| {
                for (y, out) in strip.zip(out.chunks_exact_mut(width)) {
                    let (top, bottom, t) = rows[y];
                    let (top, bottom) = (&distances[top * layer_width..], &distances[bottom * layer_width..]);
                    for (out, &(left, right, s)) in out.iter_mut().zip(&columns) {
                        let upper = top[left] * (1.0 - s) + top[right] * s;
                        let lower = bottom[left] * (1.0 - s) + bottom[right] * s;
                        *out += upper * (1.0 - t) + lower * t;
                    }
                }
            });
        }
        Ok(Some(Map { width, height, data }))
    }
}

impl StLpipsBound<'_> {
    /// Width of each layer and its distances, row by row.
    fn distances(&self, layers: &Layers) -> Result<Vec<(usize, Vec<f32>)>> {
        let compared = layers.iter().zip(&self.reference).zip(&self.opened.channel_weights);
        compared
            .map(|((layer, reference), weights)| Ok((layer.dim(1)?, distances(layer, reference, weights)?)))
            .collect()
    }
}

/// The features of each position divided by their norm.
fn normalized(layer: &Tensor) -> Result<Vec<f32>> {
    let (_, width, channels) = layer.dims3()?;
    let mut data = values(layer)?.to_vec();
    strips_mut(&mut data, width * channels, |_, rows| {
        vectorised(|| {
            for position in rows.chunks_exact_mut(channels) {
                let scale = inverse_norm(position);
                position.iter_mut().for_each(|v| *v *= scale);
            }
        });
    });
    Ok(data)
}

/// The weighted squared distance at each position. The channel count is a multiple of [`LANES`].
fn distances(layer: &Tensor, normalized: &[f32], weights: &[f32]) -> Result<Vec<f32>> {
    let (height, width, channels) = layer.dims3()?;
    let values = values(layer)?;
    let values: &[f32] = &values;
    let parts = strips(width, height, |rows| {
        let range = rows.start * width * channels..rows.end * width * channels;
        let (a, b) = (&values[range.clone()], &normalized[range]);
        vectorised(|| {
            let positions = a.chunks_exact(channels).zip(b.chunks_exact(channels));
            positions.map(|(a, b)| distance(a, b, weights)).collect::<Vec<_>>()
        })
    });
    Ok(parts.concat())
}

#[inline(always)]
fn distance(features: &[f32], normalized: &[f32], weights: &[f32]) -> f32 {
    let scale = inverse_norm(features);
    let (a, b, w) =
        (features.as_chunks::<LANES>().0, normalized.as_chunks::<LANES>().0, weights.as_chunks::<LANES>().0);
    let mut sums = [0.0f32; LANES];
    for ((a, b), w) in a.iter().zip(b).zip(w) {
        for lane in 0..LANES {
            let difference = a[lane] * scale - b[lane];
            sums[lane] += w[lane] * (difference * difference);
        }
    }
    sums.iter().sum()
}

#[inline(always)]
fn inverse_norm(features: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for chunk in features.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            sums[lane] += chunk[lane] * chunk[lane];
        }
    }
    1.0 / (sums.iter().sum::<f32>().sqrt() + EPSILON)
}

/// For each output position the two input positions to interpolate and the share of the second; corners not aligned.
fn taps(out: usize, len: usize) -> Vec<(usize, usize, f32)> {
    let scale = len as f32 / out as f32;
    let tap = |i: usize| {
        let at = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
        let first = (at as usize).min(len - 1);
        (first, (first + 1).min(len - 1), at - first as f32)
    };
    (0..out).map(tap).collect()
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
