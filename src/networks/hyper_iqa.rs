//! HyperIQA (Su et al., "Blindly Assess Image Quality in the Wild Guided by A Self-Adaptive Hyper Network", CVPR 2020): what an image
//! shows decides the weights of a small network that judges its distortions, different ones for every crop.

use candle_core::Tensor;

use super::published::Published;
use super::resnet50::{Names, ResNet50};
use crate::nn::kernels::shape::Activation;
use crate::nn::layers::{Conv, Kernel, Linear};
use crate::nn::ops::sampling::Window;
use crate::nn::params::Params;
use crate::nn::tape::{Tape, Var};
use crate::{Error, Result};

/// The side of a crop in pixels.
pub const CROP_PX: usize = 224;

/// Side of what the last stage makes of a crop.
const GRID: usize = 7;
/// Channels that the weights of the small network are made of.
const HYPER: usize = 112;
/// Values that go into the small network, and into each of its layers.
const WIDTHS: [usize; 6] = [224, 112, 56, 28, 14, 1];
/// Channels after a 1×1 convolution of each of the first three stages, and values that remain of them.
const LOCAL: [(usize, usize); 3] = [(16, 16), (32, 16), (64, 16)];

/// The structure.
#[derive(Clone, Debug)]
pub struct HyperIqa {
    backbone: ResNet50,
    /// Of the first three stages.
    local: Vec<(Conv, Linear)>,
    /// Of the last.
    global: Linear,
    hyper: [Conv; 3],
    /// What makes the weights of the first four layers of the small network; of the last.
    weights: ([Conv; 4], Linear),
    /// What makes their biases.
    biases: [Linear; 5],
}

impl HyperIqa {
    /// Declares the weights.
    pub fn new(published: &mut Published) -> Self {
        let backbone = ResNet50::new(published, "base_model.", Names::TORCHVISION);
        let specs = &mut published.specs;
        let mut local = Vec::new();
        for (stage, (channels, values)) in LOCAL.into_iter().enumerate() {
            let kernel = Kernel { bias: false, ..Kernel::square(1) };
            let from = ResNet50::CHANNELS[stage + 1];
            let conv = Conv::with(specs, &format!("lda_modules.{stage}.0"), (from, channels), kernel, 1.0);
            // Means over 7×7 of the 56, 28 and 14 positions of a side.
            let cells = (8 >> stage) * (8 >> stage);
            let linear = Linear::new(specs, &format!("lda_modules.{stage}.3"), (channels * cells, values), 1.0);
            local.push((conv, linear));
        }
        let taken: usize = LOCAL.iter().map(|(_, values)| values).sum();
        let global = Linear::new(specs, "lda_modules.3.2", (ResNet50::CHANNELS[4], WIDTHS[0] - taken), 1.0);
        let mut pointwise = |i: usize, channels| {
            let kernel = Kernel::square(1);
            Conv::with(specs, &format!("conv1.{i}"), channels, kernel, 1.0)
        };
        let hyper = [pointwise(0, (2048, 1024)), pointwise(2, (1024, 512)), pointwise(4, (512, HYPER))];
        let weights = [0, 1, 2, 3].map(|i| {
            let channels = WIDTHS[i] * WIDTHS[i + 1] / (GRID * GRID);
            Conv::new(specs, &format!("fc_w_modules.{i}"), (HYPER, channels), 3, 1, 1.0)
        });
        let last = Linear::new(specs, "fc_w_modules.4.2", (HYPER, WIDTHS[4]), 1.0);
        let biases =
            [0, 1, 2, 3, 4].map(|i| Linear::new(specs, &format!("fc_b_modules.{i}.2"), (HYPER, WIDTHS[i + 1]), 1.0));
        Self { backbone, local, global, hyper, weights: (weights, last), biases }
    }

    /// The score of each normalized crop `[batch, 224, 224, 3]`.
    pub fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Vec<f64>> {
        let [_, stages @ ..] = self.backbone.forward(tape, params, x)?;
        let [.., last] = &stages;
        params.tap("base_model.layer4", last);
        let mut x = self.distortions(tape, params, &stages)?;
        let mut hyper = last.clone();
        for conv in &self.hyper {
            hyper = tape.conv2d_relu(params, conv, &hyper)?;
        }
        let mean = tape.mean(&hyper)?;
        let (made, of_last) = &self.weights;
        for (i, bias) in self.biases.iter().enumerate() {
            let weight = match made.get(i) {
                Some(conv) => planar(tape.conv2d(params, conv, &hyper, None)?.tensor())?,
                None => tape.linear(params, of_last, &mean)?.tensor().clone(),
            };
            let (batch, [c_in, c_out]) = (weight.dim(0)?, [WIDTHS[i], WIDTHS[i + 1]]);
            let weight = weight.reshape((batch, c_out, c_in))?;
            let bias = tape.linear(params, bias, &mean)?;
            let y = weight.matmul(&x.reshape((batch, c_in, 1))?)?.reshape((batch, c_out))?;
            x = (y + bias.tensor())?;
            if i < self.biases.len() - 1 {
                x = tape.activate(Activation::Sigmoid, &Var::constant(x))?.tensor().clone();
            }
        }
        Ok(x.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
    }

    /// What the small network judges, `[batch, 224]`.
    fn distortions(&self, tape: &Tape, params: &Params, stages: &[Var; 4]) -> Result<Tensor> {
        let cells = Window { size: GRID, stride: GRID, pad: 0 };
        let mut parts = Vec::new();
        for ((conv, linear), stage) in self.local.iter().zip(stages) {
            let means = tape.average_pool(&tape.conv2d(params, conv, stage, None)?, cells, false)?;
            parts.push(tape.linear(params, linear, &Var::constant(planar(means.tensor())?))?.tensor().clone());
        }
        let [.., last] = stages;
        parts.push(tape.linear(params, &self.global, &tape.mean(last)?)?.tensor().clone());
        let values = Tensor::cat(&parts, 1)?;
        match values.dim(1)? {
            width if width == WIDTHS[0] => Ok(values),
            width => Err(Error::invalid(format!("crops of {CROP_PX} pixels are needed; these gave {width} values"))),
        }
    }
}

/// Images as rows of values, all of a channel after the other.
fn planar(x: &Tensor) -> Result<Tensor> {
    Ok(x.permute((0, 3, 1, 2))?.contiguous()?.flatten_from(1)?)
}
