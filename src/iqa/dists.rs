//! DISTS: how alike two images are in the texture and the structure of VGG16's features, blurred so that it does not matter where
//! exactly a texture's pieces lie.
//!
//! Ding et al., "Image Quality Assessment: Unifying Structure and Texture Similarity", IEEE TPAMI 2022. The weights of the channels
//! are compiled in, the network comes from the person. Images are taken at their size, as pyiqa does; the authors' script shrinks
//! them to 256 pixels first.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::features::Features;
use super::info::{Direction, Info, Kind, text};
use super::learned::{Compare, Compared, IMAGENET, batch_of, input, of_cells};
use super::metric::{Map, Metric, Scorer};
use super::parallel::vectorised;
use crate::Result;
use crate::imaging::Image;
use crate::networks::vgg16::{Pooling, Vgg16};
use crate::nn::kernels::Compute;
use crate::nn::kernels::cpu::values::values;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::{Part, Store, registry};

/// DISTS.
pub struct Dists;

static INFO: Info = Info {
    name: text("dists"),
    title: text("DISTS"),
    kind: Kind::FullReference,
    direction: Direction::Lower,
    min_size_px: 64,
    version: text("DISTS, at the image's own size"),
    licence: text("MIT"),
    gflop: 321.0,
    map: text("DISTS of each cell of 32×32 pixels, bilinear"),
    paper: text("Ding et al., IEEE TPAMI 2022"),
    ..Info::LEARNED
};

/// Channels of the image itself and of the five stages.
const CHANNELS: usize = 3 + 64 + 128 + 256 + 512 + 512;
/// Keeps both similarities from dividing by zero.
const EPSILON: f64 = 1e-6;
/// Side of a cell of the map, in pixels.
const CELL_PX: usize = 32;
/// Rows that are summed at once: the same whatever the number of threads.
const STRIP_ROWS: usize = 16;

impl Metric for Dists {
    fn info(&self) -> &Info {
        &INFO
    }

    fn needs(&self) -> &[&'static Part] {
        static NEEDS: [&Part; 1] = [&registry::VGG16];
        &NEEDS
    }

    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let source = store.open(&registry::VGG16)?;
        let mut specs = Specs::default();
        let network = Vgg16::new(&mut specs, "features.");
        source.check(specs.iter(), &["classifier.*"])?;
        let weights = store.compiled_in(&registry::DISTS)?;
        let read = |name: &str| weights.floats::<f64>(name, &[1, CHANNELS, 1, 1]);
        let [alpha, beta] = [read("alpha")?, read("beta")?];
        let sum: f64 = alpha.iter().chain(&beta).sum();
        let shares = alpha.into_iter().zip(beta).map(|(alpha, beta)| [alpha / sum, beta / sum]).collect();
        Ok(Box::new(Compared(Opened { network, params: Params::from_source(&Arc::new(specs), &source, on)?, shares })))
    }
}

/// The network with its weights.
struct Opened {
    network: Vgg16,
    params: Params,
    /// How much texture and structure of each channel count.
    shares: Vec<[f64; 2]>,
}

/// What an image is compared by, of one image after the other: the image itself and the features of each stage, `[height, width,
/// channels]` on the CPU.
type Visit<'v> = dyn FnMut(usize, usize, Tensor) -> Result<()> + 'v;

impl Opened {
    /// Hands out the number of the layer, of the image, and what they are compared by.
    fn walk(&self, images: &[Arc<Image>], visit: &mut Visit) -> Result<()> {
        let on_cpu = |features: &Tensor, i: usize| -> Result<Tensor> { Ok(features.get(i)?.to_device(&Device::Cpu)?) };
        let plain = input(images, [[0.0; 3], [1.0; 3]], &Device::Cpu)?;
        (0..images.len()).try_for_each(|i| visit(0, i, on_cpu(&plain, i)?))?;
        let x = Var::constant(input(images, IMAGENET, self.params.device())?);
        let tape = Tape::inference(self.params.kernels());
        self.network.walk(&tape, &self.params, &x, Pooling::L2, |stage, features| {
            self.params.tap(format_args!("stage{}", stage + 1), features);
            (0..images.len()).try_for_each(|i| visit(stage + 1, i, on_cpu(features.tensor(), i)?))
        })
    }

    /// DISTS of each cell, for each image.
    fn distances(&self, reference: &[Tensor], images: &[Arc<Image>], cells: [usize; 2]) -> Result<Vec<Vec<f64>>> {
        let mut all = vec![vec![1.0; cells[0] * cells[1]]; images.len()];
        let mut from = vec![0; images.len()];
        self.walk(images, &mut |layer, image, features| {
            let channels = features.dim(2)?;
            let shares = &self.shares[from[image]..][..channels];
            from[image] += channels;
            let alike = similarity(&features, &reference[layer], shares, cells)?;
            all[image].iter_mut().zip(alike).for_each(|(distance, alike)| *distance -= alike);
            Ok(())
        })?;
        Ok(all)
    }
}

impl Compare for Opened {
    /// By layer.
    type Reference = Vec<Tensor>;

    fn info(&self) -> &Info {
        &INFO
    }

    fn batch(&self, [width, height]: [usize; 2]) -> usize {
        batch_of(width * height, 256 * 256, self.params.compute())
    }

    fn reference(&self, image: &Arc<Image>, _: &Features) -> Result<Vec<Tensor>> {
        let mut layers = Vec::new();
        self.walk(std::slice::from_ref(image), &mut |_, _, features| {
            layers.push(features);
            Ok(())
        })?;
        Ok(layers)
    }

    fn compare(&self, reference: &Vec<Tensor>, images: &[Arc<Image>], _: &Features) -> Result<Vec<f64>> {
        Ok(self.distances(reference, images, [1, 1])?.into_iter().map(|cells| cells.iter().sum()).collect())
    }

    fn map(&self, reference: &Vec<Tensor>, image: &Arc<Image>, _: &Features) -> Result<Option<Map>> {
        let cells = [image.height(), image.width()].map(|side| side.div_ceil(CELL_PX));
        let distances = self.distances(reference, std::slice::from_ref(image), cells)?;
        let values = distances.concat().into_iter().map(|distance| distance as f32).collect();
        of_cells(values, cells, image).map(Some)
    }
}

/// Of each channel: Σ x, Σ y, Σ x², Σ y², Σ xy.
type Sums = Vec<[f64; 5]>;

/// What two images' features of one layer add to the similarity of each of `cells` rows and columns.
fn similarity(x: &Tensor, y: &Tensor, shares: &[[f64; 2]], [rows, columns]: [usize; 2]) -> Result<Vec<f64>> {
    let (height, width, channels) = x.dims3()?;
    let (x, y) = (values(x)?, values(y)?);
    let (x, y): (&[f32], &[f32]) = (&x, &y);
    // The part of an axis that is cell `i` of `count`; never empty.
    let part = |i: usize, count: usize, side: usize| i * side / count..((i + 1) * side).div_ceil(count);
    let strips = |cell: usize| {
        let lines = part(cell / columns, rows, height);
        let end = lines.end;
        lines.step_by(STRIP_ROWS).map(move |from| (cell, from..(from + STRIP_ROWS).min(end)))
    };
    let strips: Vec<_> = (0..rows * columns).flat_map(strips).collect();
    let sums = |(cell, lines): &(usize, std::ops::Range<usize>)| {
        let pixels = part(cell % columns, columns, width);
        let mut sums = vec![[0.0; 5]; channels];
        for line in lines.clone() {
            let run = (line * width + pixels.start) * channels..(line * width + pixels.end) * channels;
            add(&mut sums, &x[run.clone()], &y[run]);
        }
        (*cell, lines.len() * pixels.len(), sums)
    };
    let parts: Vec<(usize, usize, Sums)> = strips.par_iter().map(sums).collect();
    let of_cell = |parts: &[(usize, usize, Sums)]| {
        let count = parts.iter().map(|(_, count, _)| count).sum::<usize>() as f64;
        let of_channel = |(c, [alpha, beta]): (usize, &[f64; 2])| {
            let mean = |i: usize| parts.iter().map(|(_, _, sums)| sums[c][i]).sum::<f64>() / count;
            let [mx, my] = [mean(0), mean(1)];
            let [vx, vy, cov] = [mean(2) - mx * mx, mean(3) - my * my, mean(4) - mx * my];
            let texture = (2.0 * mx * my + EPSILON) / (mx * mx + my * my + EPSILON);
            let structure = (2.0 * cov + EPSILON) / (vx + vy + EPSILON);
            alpha * texture + beta * structure
        };
        shares.iter().enumerate().map(of_channel).sum()
    };
    Ok(parts.chunk_by(|a, b| a.0 == b.0).map(of_cell).collect())
}

/// Adds pixels to the sums of their channels.
fn add(sums: &mut Sums, x: &[f32], y: &[f32]) {
    let channels = sums.len();
    vectorised(|| {
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact(channels)) {
            for ((sums, &x), &y) in sums.iter_mut().zip(x).zip(y) {
                let (x, y) = (x as f64, y as f64);
                let terms = [x, y, x * x, y * y, x * y];
                sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            }
        }
    });
}
