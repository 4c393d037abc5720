//! ST-LPIPS: the distance of two images in the features of a network trained on human judgements, made tolerant to
//! shifts of a pixel by anti-aliased downsampling.
//!
//! Ghildyal & Liu, "Shift-tolerant perceptual similarity metric", ECCV 2022, on AlexNet. Features of five layers are
//! normalized along channels, squared differences are weighted per channel and averaged over positions.

mod conv;
mod layers;
mod network;

use super::assets::Embedded;
use super::info::{Direction, Info, Kind, text};
use super::metric::{Fr, FullReference, Map};
use super::parallel::{LANES, strips, strips_mut, vectorised};
use crate::Result;
use crate::imaging::Image;
use conv::Features;
use network::Network;

/// ST-LPIPS on AlexNet.
pub static STLPIPS: Fr<Stlpips> = Fr(Stlpips);

static NETWORK: Embedded<Network> =
    Embedded::new("stlpips", include_bytes!("../../../assets/iqa/stlpips_alex.safetensors"), Network::load);

/// See [`STLPIPS`].
#[derive(Clone, Copy)]
pub struct Stlpips;

static INFO: Info = Info {
    name: text("stlpips"),
    title: text("ST-LPIPS (AlexNet)"),
    kind: Kind::FullReference,
    direction: Direction::Lower,
    range: (0.0, 1.0),
    min_size_px: network::MIN_SIZE_PX,
    version: text("shift-tolerant alexnet vST0.0, filters of layers 2-5 in f16"),
    crop_policy: text("none"),
    map: text("sum over layers of the distance at the pixel, bilinear"),
    paper: text("Ghildyal & Liu, ECCV 2022"),
};

/// Keeps the norm of features that are all zero from dividing by zero.
const EPSILON: f32 = 1e-10;

impl FullReference for Stlpips {
    /// Normalized features of the five layers.
    type Reference = Vec<Features>;

    fn info(&self) -> &Info {
        &INFO
    }

    fn weights_hash(&self) -> &str {
        NETWORK.hash()
    }

    fn prepare(&self, reference: &Image) -> Result<Vec<Features>> {
        let mut layers = NETWORK.get()?.features(reference);
        layers.iter_mut().for_each(normalize);
        Ok(layers)
    }

    fn score(&self, reference: &Vec<Features>, image: &Image) -> Result<f64> {
        let layers = self.distances(reference, image)?;
        Ok(layers.iter().map(|(_, d)| d.iter().map(|&v| v as f64).sum::<f64>() / d.len() as f64).sum())
    }

    fn map(&self, reference: &Vec<Features>, image: &Image) -> Result<Map> {
        let (width, height) = (image.width(), image.height());
        let mut data = vec![0.0; width * height];
        for (layer_width, distances) in self.distances(reference, image)? {
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
        Ok(Map { width, height, data })
    }
}

impl Stlpips {
    /// Width of each layer and its distances, row by row.
    fn distances(&self, reference: &[Features], image: &Image) -> Result<Vec<(usize, Vec<f32>)>> {
        let network = NETWORK.get()?;
        let layers = network.features(image);
        let compared = layers.iter().zip(reference).zip(&network.channel_weights);
        Ok(compared.map(|((layer, reference), weights)| (layer.width, distances(layer, reference, weights))).collect())
    }
}

/// Divides the features of each position by their norm.
fn normalize(features: &mut Features) {
    let channels = features.channels;
    strips_mut(&mut features.data, features.width * channels, |_, rows| {
        vectorised(|| {
            for position in rows.chunks_exact_mut(channels) {
                let scale = inverse_norm(position);
                position.iter_mut().for_each(|v| *v *= scale);
            }
        });
    });
}

/// The weighted squared distance at each position. The channel count is a multiple of [`LANES`].
fn distances(features: &Features, normalized: &Features, weights: &[f32]) -> Vec<f32> {
    let (width, channels) = (features.width, features.channels);
    let parts = strips(width, features.height, |rows| {
        let range = rows.start * width * channels..rows.end * width * channels;
        let (a, b) = (&features.data[range.clone()], &normalized.data[range]);
        vectorised(|| {
            let positions = a.chunks_exact(channels).zip(b.chunks_exact(channels));
            positions.map(|(a, b)| distance(a, b, weights)).collect::<Vec<_>>()
        })
    });
    parts.concat()
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
