//! MANIQA (Yang et al., "MANIQA: Multi-dimension Attention Network for No-Reference Image Quality Assessment", CVPR workshops 2022, arXiv
//! 2204.08958): tokens of a ViT, attention among channels and among neighbours in turn, and for each patch a score and a weight.

use std::sync::Arc;

use candle_core::Tensor;

use super::swin;
use super::vit::{GRID, Vit, WIDTH};
use crate::Result;
use crate::nn::kernels::Compute;
use crate::nn::kernels::shape::Activation;
use crate::nn::layers::{Conv, Kernel, Linear};
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::Source;

/// Blocks of the ViT that are read: 6 to 9.
const READ: usize = 4;
const DEPTH: usize = 10;
const TOKENS: usize = GRID * GRID;
/// Tensors of the file that nothing is made of: the rest of the ViT, and what follows from the sizes.
const UNREAD: [&str; 8] = [
    "vit.blocks.10.*",
    "vit.blocks.11.*",
    "vit.norm.*",
    "vit.head.*",
    "swintransformer1.downsample.*",
    "swintransformer2.downsample.*",
    "*.attn_mask",
    "*.relative_position_index",
];

/// The structure.
#[derive(Clone, Debug)]
pub struct Maniqa {
    vit: Vit,
    halves: [Half; 2],
    score: [Linear; 2],
    weight: [Linear; 2],
    /// What the Swin layers' outputs are multiplied with before they are added to their inputs.
    scale: f32,
}

/// Attention among channels, fewer of them, attention among neighbours.
#[derive(Clone, Debug)]
struct Half {
    name: usize,
    channels: [ChannelAttention; 2],
    narrow: Conv,
    layers: [SwinLayer; 2],
}

#[derive(Clone, Debug)]
struct ChannelAttention([Linear; 3]);

#[derive(Clone, Debug)]
struct SwinLayer {
    blocks: [swin::Block; 2],
    conv: Conv,
}

/// The network with its weights.
pub struct Opened {
    network: Maniqa,
    params: Params,
    /// Of every Swin block, in their order.
    biases: Vec<Tensor>,
}

impl ChannelAttention {
    fn new(specs: &mut Specs, name: &str) -> Self {
        Self(["c_q", "c_k", "c_v"].map(|part| Linear::new(specs, &format!("{name}.{part}"), (TOKENS, TOKENS), 1.0)))
    }

    /// `[batch, channels, tokens]` to the same. The values come out of the attention with the axes exchanged, and are read as if they were
    /// not: published weights were trained so.
    fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Var> {
        let [q, k, v] = &self.0;
        let of = |layer| tape.linear(params, layer, x);
        let y = tape.attention(&of(q)?, &of(k)?, &of(v)?, 1)?;
        tape.add(x, &tape.reshape(&tape.transpose(&y, 1, 2)?, x.tensor().dims())?)
    }
}

impl Half {
    fn new(specs: &mut Specs, name: usize, (c_in, c_out): (usize, usize)) -> Self {
        let swin = format!("swintransformer{name}");
        let block = |specs: &mut Specs, layer: usize, i: usize| {
            let config =
                swin::Config { width: c_out, heads: 4, window: 4, shift: 2 * i, hidden: WIDTH, grid: [GRID; 2] };
            swin::Block::new(specs, &format!("{swin}.layers.{layer}.blocks.{i}"), config)
        };
        let layer = |layer: usize| SwinLayer {
            blocks: [block(specs, layer, 0), block(specs, layer, 1)],
            conv: Conv::new(specs, &format!("{swin}.layers.{layer}.conv"), (c_out, c_out), 3, 1, 1.0),
        };
        let layers = [0, 1].map(layer);
        Self {
            name,
            channels: [0, 1].map(|i| ChannelAttention::new(specs, &format!("tablock{name}.{i}"))),
            narrow: Conv::with(specs, &format!("conv{name}"), (c_in, c_out), Kernel::square(1), 1.0),
            layers,
        }
    }

    fn blocks(&self) -> impl Iterator<Item = &swin::Block> {
        self.layers.iter().flat_map(|layer| &layer.blocks)
    }

    /// Tokens `[batch, 784, channels]`, fewer channels afterwards.
    fn forward(&self, tape: &Tape, params: &Params, x: &Var, scale: f32, biases: &[Tensor]) -> Result<Var> {
        let batch = x.tensor().dim(0)?;
        let mut x = tape.transpose(x, 1, 2)?;
        for attention in &self.channels {
            x = attention.forward(tape, params, &x)?;
        }
        params.tap(format_args!("tablock{}.1", self.name), &x);
        let image = |x: &Var| tape.reshape(x, &[batch, GRID, GRID, x.tensor().elem_count() / (batch * TOKENS)]);
        let x = tape.conv2d(params, &self.narrow, &image(&tape.transpose(&x, 1, 2)?)?, None)?;
        params.tap(format_args!("conv{}", self.name), &x);
        let width = self.narrow.c_out;
        let tokens = |x: &Var| tape.reshape(x, &[batch, TOKENS, width]);
        let mut x = tokens(&x)?;
        for (layer, biases) in self.layers.iter().zip(biases.chunks_exact(2)) {
            let mut y = x.clone();
            for (block, bias) in layer.blocks.iter().zip(biases) {
                y = block.forward(tape, params, &y, bias)?;
            }
            let y = tape.conv2d_relu(params, &layer.conv, &image(&y)?)?;
            x = tape.add(&tape.scale(&tokens(&y)?, scale)?, &x)?;
        }
        params.tap(format_args!("swintransformer{}", self.name), &image(&x)?);
        Ok(x)
    }
}

impl Maniqa {
    /// Declares the weights.
    pub fn new(specs: &mut Specs, scale: f32) -> Self {
        let mut head = |name: &str| {
            let narrow = WIDTH / 2;
            [("0", narrow), ("3", 1)].map(|(i, c_out)| Linear::new(specs, &format!("{name}.{i}"), (narrow, c_out), 1.0))
        };
        let (score, weight) = (head("fc_score"), head("fc_weight"));
        Self {
            vit: Vit::new(specs, "vit", DEPTH),
            halves: [Half::new(specs, 1, (READ * WIDTH, WIDTH)), Half::new(specs, 2, (WIDTH, WIDTH / 2))],
            score,
            weight,
            scale,
        }
    }
}

impl Opened {
    /// Of a published file; `scale` belongs to the file and is not in it. Errors: it has other tensors than that.
    pub fn new(source: &Source, scale: f32, on: &Compute) -> Result<Self> {
        let mut specs = Specs::default();
        let network = Maniqa::new(&mut specs, scale);
        source.check(specs.iter(), &UNREAD)?;
        let params = Params::from_source(&Arc::new(specs), source, on)?;
        let biases = network.halves.iter().flat_map(Half::blocks).map(|block| block.bias(&params));
        let biases = biases.collect::<Result<_>>()?;
        Ok(Self { network, params, biases })
    }

    /// The weights.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Score and weight of each patch of images `[batch, 224, 224, 3]` in [-1, 1]: `[batch, 784]` each, on the device.
    pub fn forward(&self, x: Tensor) -> Result<[Tensor; 2]> {
        let (tape, params, net) = (Tape::inference(self.params.kernels()), &self.params, &self.network);
        let layers = net.vit.forward(&tape, params, &Var::constant(x), READ)?;
        let mut x = tape.join(&layers.iter().collect::<Vec<_>>(), 2)?;
        for (half, biases) in net.halves.iter().zip(self.biases.chunks_exact(4)) {
            x = half.forward(&tape, params, &x, net.scale, biases)?;
        }
        let head = |name: &str, [first, second]: &[Linear; 2], f: Activation| -> Result<Tensor> {
            let y = tape.relu(&tape.linear(params, first, &x)?)?;
            let y = tape.activate(f, &tape.linear(params, second, &y)?)?;
            params.tap(name, &y);
            Ok(y.tensor().squeeze(2)?)
        };
        Ok([head("fc_score", &net.score, Activation::Relu)?, head("fc_weight", &net.weight, Activation::Sigmoid)?])
    }
}
