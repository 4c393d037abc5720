//! MUSIQ (Ke et al., "MUSIQ: Multi-Scale Image Quality Transformer", ICCV 2021, arXiv 2108.05997): patches of an image at three sizes,
//! each made a token by a small ResNet, and one transformer over all of them. Any shape of image is taken as it is.
//!
//! Sizes are brought about by plain bicubic interpolation, as pyiqa does; Google's own code has an anti-aliased Gaussian there,
//! and scores some percent apart. The tokens that both add to fill up a size, and mask, are left out: with a weight of e⁻¹⁰⁰⁰
//! they count for nothing.

use candle_core::{Device, Tensor};

use super::transformer::{Block, Config as BlockConfig, Names, Projections, prepend};
use crate::Result;
use crate::nn::kernels::Compute;
use crate::nn::kernels::cpu::values::values;
use crate::nn::kernels::resample::Interpolation;
use crate::nn::kernels::shape::Activation;
use crate::nn::layers::{Conv, GroupNorm, Kernel, LayerNorm, Linear};
use crate::nn::ops::sampling::Window;
use crate::nn::params::{Init, ParamId, Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::Source;

const WIDTH: usize = 384;
const DEPTH: usize = 14;
/// Side of a patch, and with what the first convolution adds to it: two pixels before, three after.
const PATCH: usize = 32;
const FRAME: [usize; 2] = [2, 3];
const FRAMED: usize = PATCH + FRAME[0] + FRAME[1];
/// The longer side of the reduced or enlarged images, which come before the image itself.
const LONGER_SIDES: [usize; 2] = [224, 384];
/// Cells of the grid of positions, along one side.
const GRID: usize = 10;
/// Patches that go through the ResNet at once: 34 MB for the largest layer.
const PATCHES_AT_ONCE: usize = 512;

const NAMES: Names = Names {
    norms: ["norm1", "norm2"],
    projections: Projections::Separate(["attention.query", "attention.key", "attention.value"]),
    out: "attention.out",
    mlp: ["mlp.fc1", "mlp.fc2"],
};

/// The structure.
#[derive(Clone, Debug)]
pub struct Musiq {
    root: Normalized,
    /// To 64 channels, over 3×3 pixels, to 256 channels; past them.
    bottleneck: [Normalized; 4],
    embedding: Linear,
    class: ParamId,
    positions: ParamId,
    scales: ParamId,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

/// A convolution whose weights have mean 0 and deviation 1 in each output channel, followed by a normalization.
#[derive(Clone, Debug)]
struct Normalized {
    conv: Conv,
    norm: GroupNorm,
}

impl Normalized {
    fn new(specs: &mut Specs, names: [&str; 2], channels: (usize, usize), kernel: Kernel, eps: f32) -> Self {
        let conv = Conv::with(specs, names[0], channels, Kernel { bias: false, ..kernel }, 1.0);
        Self { conv, norm: GroupNorm::new(specs, names[1], channels.1, 32, eps) }
    }

    fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Var> {
        tape.group_norm(params, &self.norm, &tape.conv2d(params, &self.conv, x, None)?, None, false)
    }
}

impl Musiq {
    /// Declares the weights; `classes`: 1, or 10 for a distribution over 1 to 10.
    pub fn new(specs: &mut Specs, classes: usize) -> Self {
        let root = Kernel { stride: 2, pad: [0; 2], ..Kernel::square(7) };
        let part = |specs: &mut Specs, which: &str, channels, size| {
            let names = [format!("block1.conv{which}"), format!("block1.gn{which}")];
            Normalized::new(specs, names.each_ref().map(String::as_str), channels, Kernel::square(size), 1e-4)
        };
        let encoder = |rest: &str| format!("transformer_encoder.{rest}");
        let block = BlockConfig {
            names: NAMES,
            width: WIDTH,
            heads: 6,
            hidden: 3 * WIDTH,
            activation: Activation::Gelu,
            eps: 1e-6,
            causal: false,
        };
        Self {
            root: Normalized::new(specs, ["conv_root", "gn_root"], (3, 64), root, 1e-6),
            bottleneck: [
                part(specs, "1", (64, 64), 1),
                part(specs, "2", (64, 64), 3),
                part(specs, "3", (64, 256), 1),
                part(specs, "_proj", (64, 256), 1),
            ],
            embedding: Linear::new(specs, "embedding", (8 * 8 * 256, WIDTH), 1.0),
            class: specs.add(encoder("cls"), &[1, 1, WIDTH], Init::Zeros),
            positions: specs.add(encoder("posembed_input.position_emb"), &[1, GRID * GRID, WIDTH], Init::Normal(0.02)),
            scales: specs.add(encoder("scaleembed_input.scale_emb"), &[3, WIDTH], Init::Normal(0.02)),
            blocks: (0..DEPTH)
                .map(|i| Block::new(specs, &encoder(&format!("transformer.encoderblock_{i}")), block))
                .collect(),
            norm: LayerNorm::new(specs, &encoder("encoder_norm"), WIDTH, 1e-6),
            head: Linear::new(specs, if classes == 1 { "head" } else { "head.0" }, (WIDTH, classes), 1.0),
        }
    }

    /// The weights as they are computed with: those of the convolutions are standardized once.
    pub fn params(specs: &std::sync::Arc<Specs>, source: &Source, on: &Compute) -> Result<Params> {
        source.check(specs.iter(), &[])?;
        Params::from_values(specs, on, |name, shape| {
            let mut weight = source.floats(name, shape)?;
            if shape.len() == 4 {
                weight.chunks_exact_mut(shape[1..].iter().product()).for_each(standardize);
            }
            Ok(weight)
        })
    }

    /// Tokens of patches, `[patches, 384]`.
    pub fn embed(&self, tape: &Tape, params: &Params, patches: &Var) -> Result<Var> {
        let relu = |x: Var| tape.relu(&x);
        let x = self.root.forward(tape, params, patches)?;
        params.tap("gn_root", &x);
        let x = tape.max_pool(&relu(x)?, Window { size: 3, stride: 2, pad: 0 }, true)?;
        params.tap("root_pool", &x);
        let [reduce, look, widen, past] = &self.bottleneck;
        let y = relu(reduce.forward(tape, params, &x)?)?;
        let y = relu(look.forward(tape, params, &y)?)?;
        let y = relu(tape.add(&widen.forward(tape, params, &y)?, &past.forward(tape, params, &x)?)?)?;
        params.tap("block1", &y);
        let count = y.tensor().dim(0)?;
        tape.linear(params, &self.embedding, &tape.reshape(&y, &[count, self.embedding.c_in])?)
    }

    /// What the head says of images of one size, `[batch, classes]`.
    pub fn forward(&self, tape: &Tape, params: &Params, patches: &Patches) -> Result<Var> {
        let parts = patches.framed(params.device()).map(|part| self.embed(tape, params, &Var::constant(part?)));
        let parts: Vec<Var> = parts.collect::<Result<_>>()?;
        let tokens = tape.join(&parts.iter().collect::<Vec<_>>(), 0)?;
        let tokens = tape.reshape(&tokens, &[patches.batch, patches.places.len(), WIDTH])?;
        let rows = |table: ParamId, of: fn(&Place) -> u32| -> Result<Var> {
            let ids: Vec<u32> = patches.places.iter().map(of).collect();
            let ids = Tensor::from_vec(ids, patches.places.len(), params.device())?;
            Ok(Var::constant(params.get(table).reshape(((), WIDTH))?.index_select(&ids, 0)?))
        };
        let tokens = tape.add(&tokens, &rows(self.positions, |place| place.cell)?)?;
        let tokens = tape.add(&tokens, &rows(self.scales, |place| place.scale)?)?;
        params.tap("transformer_encoder.scaleembed_input", &tokens);
        let mut x = prepend(tape, &Var::constant(params.get(self.class).clone()), &tokens)?;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(tape, params, &x, (i + 1 == self.blocks.len()).then_some(1))?;
            params.tap(format_args!("transformer_encoder.transformer.encoderblock_{i}"), &x);
        }
        let class = tape.reshape(&x, &[patches.batch, WIDTH])?;
        tape.linear(params, &self.head, &tape.layer_norm(params, &self.norm, &class)?)
    }
}

/// Mean 0 and (unbiased) deviation 1.
fn standardize(weights: &mut [f32]) {
    let count = weights.len() as f64;
    let mean = weights.iter().map(|&w| f64::from(w)).sum::<f64>() / count;
    let squares = weights.iter().map(|&w| (f64::from(w) - mean).powi(2)).sum::<f64>();
    let deviation = (squares / (count - 1.0).max(1.0)).sqrt() + 1e-5;
    weights.iter_mut().for_each(|w| *w = ((f64::from(*w) - mean) / deviation) as f32);
}

/// The patches of images of one size.
pub struct Patches {
    batch: usize,
    /// The images at every size, `[batch, height, width, 3]` on the CPU.
    scaled: Vec<Tensor>,
    /// Where the patches of each image lie.
    places: Vec<Place>,
}

/// A patch.
struct Place {
    scale: u32,
    /// Its cell in the grid of positions.
    cell: u32,
    /// Its first row and column, of an image with zeros around.
    from: [isize; 2],
}

impl Patches {
    /// Of images `[batch, height, width, 3]` in [-1, 1] on the CPU.
    pub fn of(images: Tensor) -> Result<Self> {
        let (batch, height, width, _) = images.dims4()?;
        let tape = Tape::inference(&Compute::cpu().kernels);
        let original = Var::constant(images);
        let mut scaled = Vec::new();
        for longer in LONGER_SIDES {
            let ratio = longer as f64 / height.max(width) as f64;
            let size = [height, width].map(|n| ((n as f64 * ratio).round_ties_even() as usize).max(1));
            scaled.push(tape.interpolate(&original, size, Interpolation::Bicubic(-0.75), false)?.tensor().clone());
        }
        scaled.push(original.tensor().clone());
        let mut places = Vec::new();
        for (scale, image) in scaled.iter().enumerate() {
            let (_, height, width, _) = image.dims4()?;
            let [rows, columns] = [height, width].map(starts);
            for &(row, top) in &rows {
                let of_row = columns.iter().map(|&(column, left)| Place {
                    scale: scale as u32,
                    cell: row * GRID as u32 + column,
                    from: [top, left],
                });
                places.extend(of_row);
            }
        }
        Ok(Self { batch, scaled, places })
    }

    /// Tokens of an image.
    pub fn count(size: [usize; 2]) -> usize {
        let longer = size[0].max(size[1]).max(1);
        let at = |longer_side: usize| {
            size.map(|n| (n * longer_side).div_ceil(longer).max(1).div_ceil(PATCH)).iter().product::<usize>()
        };
        LONGER_SIDES.into_iter().chain([longer]).map(at).sum()
    }

    /// All patches, image by image, some at once: `[patches, 37, 37, 3]`, in a frame of zeros as wide as the first convolution needs.
    fn framed<'p>(&'p self, device: &'p Device) -> impl Iterator<Item = Result<Tensor>> + 'p {
        let all: Vec<(usize, &Place)> =
            (0..self.batch).flat_map(|image| self.places.iter().map(move |place| (image, place))).collect();
        let parts: Vec<Vec<(usize, &Place)>> = all.chunks(PATCHES_AT_ONCE).map(<[_]>::to_vec).collect();
        parts.into_iter().map(move |some| {
            let size = FRAMED * FRAMED * 3;
            let mut framed = vec![0.0; some.len() * size];
            for (frame, (image, place)) in framed.chunks_exact_mut(size).zip(&some) {
                self.copy(*image, place, frame)?;
            }
            Ok(Tensor::from_vec(framed, (some.len(), FRAMED, FRAMED, 3), device)?)
        })
    }

    fn copy(&self, image: usize, place: &Place, frame: &mut [f32]) -> Result<()> {
        let scaled = &self.scaled[place.scale as usize];
        let (_, height, width, _) = scaled.dims4()?;
        let data = values(scaled)?;
        let image = &data[image * height * width * 3..][..height * width * 3];
        let within = |from: isize, len: usize| {
            let first = (-from).max(0) as usize;
            let end = (len as isize - from).clamp(0, PATCH as isize) as usize;
            first..end.max(first)
        };
        let (rows, columns) = (within(place.from[0], height), within(place.from[1], width));
        for row in rows {
            let y = (place.from[0] + row as isize) as usize;
            let x = (place.from[1] + columns.start as isize) as usize;
            let to = ((row + FRAME[0]) * FRAMED + columns.start + FRAME[0]) * 3;
            frame[to..][..columns.len() * 3].copy_from_slice(&image[(y * width + x) * 3..][..columns.len() * 3]);
        }
        Ok(())
    }
}

/// For each patch along an axis its cell in the grid of positions, and where it begins: the zeros that are missing to whole patches lie
/// at both ends.
fn starts(len: usize) -> Vec<(u32, isize)> {
    let count = len.div_ceil(PATCH);
    let before = (count * PATCH - len) / 2;
    // In f32, as published: for some counts an exact quotient would be in the next cell.
    let step = GRID as f32 / count as f32;
    let cell = |i: usize| ((i as f32 * step) as u32).min(GRID as u32 - 1);
    (0..count).map(|i| (cell(i), (i * PATCH) as isize - before as isize)).collect()
}
