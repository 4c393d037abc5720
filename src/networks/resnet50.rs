//! The convolutions of ResNet-50 (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016) as torchvision has it, with
//! the stride on the 3×3 convolutions, and the features after the stem and each of the four stages. Batch normalizations are
//! folded into the convolutions.

use crate::networks::published::Published;
use crate::nn::layers::{Conv, Kernel};
use crate::nn::ops::sampling::Window;
use crate::nn::params::Params;
use crate::nn::tape::{Tape, Var};
use crate::{Error, Result};

/// What the parts are called.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Convolution and normalization of the stem.
    pub stem: [&'static str; 2],
    pub stages: [&'static str; 4],
}

impl Names {
    /// As in torchvision.
    pub const TORCHVISION: Self = Self { stem: ["conv1", "bn1"], stages: ["layer1", "layer2", "layer3", "layer4"] };
    /// As a sequence of layers by number.
    pub const SEQUENCE: Self = Self { stem: ["0", "1"], stages: ["4", "5", "6", "7"] };
}

/// Blocks of each stage.
const BLOCKS: [usize; 4] = [3, 4, 6, 3];
/// Added to the variances.
const EPSILON: f64 = 1e-5;

/// The structure.
#[derive(Clone, Debug)]
pub struct ResNet50 {
    stem: Conv,
    stages: [Vec<Block>; 4],
}

#[derive(Clone, Debug)]
struct Block {
    convs: [Conv; 3],
    shortcut: Option<Conv>,
}

impl ResNet50 {
    /// Channels of the features after the stem and each stage.
    pub const CHANNELS: [usize; 5] = [64, 256, 512, 1024, 2048];

    /// Declares the weights; `prefix` comes before every name.
    pub fn new(published: &mut Published, prefix: &str, names: Names) -> Self {
        let kernel = |size, stride| Kernel { stride, bias: false, ..Kernel::square(size) };
        let stem = names.stem.map(|part| format!("{prefix}{part}"));
        let stem = published.conv_norm(stem.each_ref().map(String::as_str), (3, 64), kernel(7, 2), EPSILON);
        let mut c_in = 64;
        let stages = [0, 1, 2, 3].map(|stage| {
            let (c_out, width) = (Self::CHANNELS[stage + 1], Self::CHANNELS[stage + 1] / 4);
            let block = |i: usize| {
                let name = format!("{prefix}{}.{i}", names.stages[stage]);
                let stride = if i == 0 && stage > 0 { 2 } else { 1 };
                let mut conv = |[conv, norm]: [&str; 2], channels, kernel| {
                    published.conv_norm(
                        [&format!("{name}.{conv}"), &format!("{name}.{norm}")],
                        channels,
                        kernel,
                        EPSILON,
                    )
                };
                let convs = [
                    conv(["conv1", "bn1"], (c_in, width), kernel(1, 1)),
                    conv(["conv2", "bn2"], (width, width), kernel(3, stride)),
                    conv(["conv3", "bn3"], (width, c_out), kernel(1, 1)),
                ];
                let shortcut =
                    (i == 0).then(|| conv(["downsample.0", "downsample.1"], (c_in, c_out), kernel(1, stride)));
                c_in = c_out;
                Block { convs, shortcut }
            };
            (0..BLOCKS[stage]).map(block).collect()
        });
        Self { stem, stages }
    }

    /// The features after the stem and each stage, `[batch, height, width, channels]`, of normalized images.
    pub fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<[Var; 5]> {
        let stem = tape.conv2d_relu(params, &self.stem, x)?;
        let mut x = tape.max_pool(&stem, Window { size: 3, stride: 2, pad: 1 }, false)?;
        let mut stage = |blocks: &[Block]| {
            for block in blocks {
                x = block.forward(tape, params, &x)?;
            }
            Ok::<_, Error>(x.clone())
        };
        let [a, b, c, d] = &self.stages;
        Ok([stem, stage(a)?, stage(b)?, stage(c)?, stage(d)?])
    }
}

impl Block {
    fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Var> {
        let [first, second, third] = &self.convs;
        let y = tape.conv2d_relu(params, first, x)?;
        let y = tape.conv2d_relu(params, second, &y)?;
        let shortcut = match &self.shortcut {
            Some(conv) => tape.conv2d(params, conv, x, None)?,
            None => x.clone(),
        };
        tape.conv2d_sum_relu(params, third, &y, Some(&shortcut))
    }
}
