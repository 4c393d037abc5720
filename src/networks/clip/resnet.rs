//! The image tower RN50: a ResNet (He et al., arXiv 1512.03385) with a stem of three convolutions, average pools in place of strides,
//! and attention in place of the last pool.
//!
//! Here without the positions that CLIP adds in that attention, or with them brought to the image's size: quality metrics look at
//! images of any size.

use candle_core::Tensor;

use crate::Result;
use crate::networks::published::Published;
use crate::nn::kernels::Compute;
use crate::nn::layers::{Conv, Kernel, Linear};
use crate::nn::ops::sampling::Window;
use crate::nn::params::{Init, ParamId, Params};
use crate::nn::tape::{Tape, Var};
use crate::weights::Source;

/// Channels of the last feature map, and values of a vector.
const WIDTH: usize = 2048;
pub const OUT: usize = 1024;
const HEADS: usize = 32;
const EPS: f64 = 1e-5;
/// Pixels of a cell of the last feature map, along a side.
pub const CELL_PX: usize = 32;

/// The structure.
#[derive(Clone, Debug)]
pub struct ResNet {
    stem: [Conv; 3],
    layers: Vec<Vec<Bottleneck>>,
    positions: ParamId,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
}

#[derive(Clone, Debug)]
struct Bottleneck {
    reduce: Conv,
    look: Conv,
    widen: Conv,
    /// What the input goes through where its shape is another than the output's.
    past: Option<Conv>,
    stride: usize,
}

/// The tower with its weights.
pub struct ResNetTower {
    resnet: ResNet,
    params: Params,
}

fn pool(tape: &Tape, x: &Var, stride: usize) -> Result<Var> {
    match stride {
        1 => Ok(x.clone()),
        _ => tape.average_pool(x, Window { size: stride, stride, pad: 0 }, true),
    }
}

impl Bottleneck {
    fn new(weights: &mut Published, name: &str, [c_in, planes, stride]: [usize; 3]) -> Self {
        let mut part = |conv: &str, norm: &str, channels, size| {
            let names = [format!("{name}.{conv}"), format!("{name}.{norm}")];
            let kernel = Kernel { bias: false, ..Kernel::square(size) };
            weights.conv_norm(names.each_ref().map(String::as_str), channels, kernel, EPS)
        };
        let c_out = 4 * planes;
        Self {
            reduce: part("conv1", "bn1", (c_in, planes), 1),
            look: part("conv2", "bn2", (planes, planes), 3),
            widen: part("conv3", "bn3", (planes, c_out), 1),
            past: (stride > 1 || c_in != c_out).then(|| part("downsample.0", "downsample.1", (c_in, c_out), 1)),
            stride,
        }
    }

    fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Var> {
        let y = tape.conv2d_relu(params, &self.look, &tape.conv2d_relu(params, &self.reduce, x)?)?;
        let past = match &self.past {
            Some(past) => tape.conv2d(params, past, &pool(tape, x, self.stride)?, None)?,
            None => x.clone(),
        };
        tape.relu(&tape.conv2d(params, &self.widen, &pool(tape, &y, self.stride)?, Some(&past))?)
    }
}

impl ResNet {
    /// Declares the weights.
    pub fn new(weights: &mut Published) -> Self {
        let stem = [(3, 32, 2), (32, 32, 1), (32, 64, 1)];
        let mut i = 0;
        let stem = stem.map(|(c_in, c_out, stride)| {
            i += 1;
            let names = [format!("visual.conv{i}"), format!("visual.bn{i}")];
            let kernel = Kernel { stride, bias: false, ..Kernel::square(3) };
            weights.conv_norm(names.each_ref().map(String::as_str), (c_in, c_out), kernel, EPS)
        });
        let mut c_in = 64;
        let layers =
            [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)].iter().zip(1..).map(|(&(planes, count, stride), l)| {
                let block = |i: usize| {
                    let name = format!("visual.layer{l}.{i}");
                    let block = Bottleneck::new(weights, &name, [c_in, planes, if i == 0 { stride } else { 1 }]);
                    c_in = 4 * planes;
                    block
                };
                (0..count).map(block).collect()
            });
        let layers = layers.collect();
        let specs = &mut weights.specs;
        let mut linear =
            |part: &str, c_out| Linear::new(specs, &format!("visual.attnpool.{part}"), (WIDTH, c_out), 1.0);
        let (q, k, v, out) =
            (linear("q_proj", WIDTH), linear("k_proj", WIDTH), linear("v_proj", WIDTH), linear("c_proj", OUT));
        let positions = specs.add("visual.attnpool.positional_embedding".into(), &[50, WIDTH], Init::Normal(0.02));
        Self { stem, layers, positions, q, k, v, out }
    }
}

impl ResNetTower {
    /// Of a file of CLIP. Errors: it has other tensors than that.
    pub fn open(source: &Source, allowed: &[&str], on: &Compute) -> Result<Self> {
        let mut weights = Published::default();
        let resnet = ResNet::new(&mut weights);
        Ok(Self { params: weights.open(source, &[allowed, &["*.num_batches_tracked"]].concat(), on)?, resnet })
    }

    /// The weights.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The last feature map, `[batch, height, width, 2048]`, of normalized images.
    pub fn features(&self, x: Tensor) -> Result<Var> {
        let (tape, params) = (Tape::inference(self.params.kernels()), &self.params);
        let mut x = Var::constant(x);
        for conv in &self.resnet.stem {
            x = tape.conv2d_relu(params, conv, &x)?;
        }
        x = pool(&tape, &x, 2)?;
        params.tap("visual.avgpool", &x);
        for (layer, i) in self.resnet.layers.iter().zip(1..) {
            for block in layer {
                x = block.forward(&tape, params, &x)?;
            }
            params.tap(format_args!("visual.layer{i}"), &x);
        }
        Ok(x)
    }

    /// A vector for each image of a feature map, `[batch, 1024]`, with or without positions.
    pub fn pooled(&self, features: &Var, positions: bool) -> Result<Tensor> {
        let (tape, params, net) = (Tape::inference(self.params.kernels()), &self.params, &self.resnet);
        let (batch, height, width, channels) = features.tensor().dims4()?;
        let tokens = tape.reshape(features, &[batch, height * width, channels])?;
        let mean = tape.reshape(&tape.mean(&tokens)?, &[batch, 1, channels])?;
        let mut tokens = tape.join(&[&mean, &tokens], 1)?;
        if positions {
            let rows = super::vision::resized(params.get(net.positions), 1 + height * width)?;
            tokens = tape.add(&tokens, &Var::constant(rows))?;
        }
        let q = tape.linear(params, &net.q, &tape.narrow(&tokens, 1, 0, 1)?)?;
        let (k, v) = (tape.linear(params, &net.k, &tokens)?, tape.linear(params, &net.v, &tokens)?);
        let y = tape.linear(params, &net.out, &tape.attention(&q, &k, &v, HEADS)?)?;
        Ok(y.tensor().reshape((batch, OUT))?)
    }

    /// A vector for each cell of a feature map as if attention looked at it alone, `[batch, cells, 1024]` (Zhou et al., "Extract Free
    /// Dense Labels from CLIP", arXiv 2112.01071).
    pub fn dense(&self, features: &Var) -> Result<Tensor> {
        let (tape, params, net) = (Tape::inference(self.params.kernels()), &self.params, &self.resnet);
        let (batch, height, width, channels) = features.tensor().dims4()?;
        let tokens = tape.reshape(features, &[batch, height * width, channels])?;
        let y = tape.linear(params, &net.out, &tape.linear(params, &net.v, &tokens)?)?;
        Ok(y.tensor().clone())
    }
}
