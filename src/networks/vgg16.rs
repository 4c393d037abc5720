//! The convolutions of VGG16 (Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR
//! 2015), with the features at the end of each of its five stages, as perceptual distances read them.

use crate::Result;
use crate::nn::layers::Conv;
use crate::nn::ops::sampling::Window;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};

/// How images are made smaller between stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The largest value of 2×2 pixels.
    Max,
    /// The root of a blurred square (Ding et al., arXiv 2004.07728).
    L2,
}

impl Pooling {
    /// An image of half the size.
    pub fn apply(self, tape: &Tape, x: &Var) -> Result<Var> {
        match self {
            Pooling::Max => tape.max_pool(x, Window { size: 2, stride: 2, pad: 0 }, false),
            Pooling::L2 => tape.l2_pool(x, &HANN, EPSILON),
        }
    }
}

/// The blur of [`Pooling::L2`] along an axis: a Hann window.
const HANN: [f32; 3] = [0.25, 0.5, 0.25];
/// Keeps its root away from zero.
const EPSILON: f32 = 1e-12;

/// Numbers of the convolutions of each stage in torchvision's sequence of layers.
const STAGES: [&[usize]; 5] = [&[0, 2], &[5, 7], &[10, 12, 14], &[17, 19, 21], &[24, 26, 28]];

/// The structure.
#[derive(Clone, Debug)]
pub struct Vgg16 {
    stages: [Vec<Conv>; 5],
}

impl Vgg16 {
    /// Channels of the features after each stage.
    pub const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];

    /// Declares the weights; `prefix` comes before a layer's number: `features.` in torchvision's file.
    pub fn new(specs: &mut Specs, prefix: &str) -> Self {
        let mut c_in = 3;
        let stages = [0, 1, 2, 3, 4].map(|stage| {
            let channels = Self::CHANNELS[stage];
            let mut conv = |number: &usize| {
                let conv =
                    Conv::new(specs, &format!("{prefix}{number}"), (c_in, channels), 3, 1, std::f32::consts::SQRT_2);
                c_in = channels;
                conv
            };
            STAGES[stage].iter().map(&mut conv).collect()
        });
        Self { stages }
    }

    /// Hands out the features after each stage, `[batch, height, width, channels]`, of normalized images: the numbers of the
    /// stages are 0 to 4. What is handed out is kept no longer than the next stage needs it.
    pub fn walk(
        &self,
        tape: &Tape,
        params: &Params,
        x: &Var,
        pooling: Pooling,
        mut each: impl FnMut(usize, &Var) -> Result<()>,
    ) -> Result<()> {
        let mut x = x.clone();
        for (stage, convs) in self.stages.iter().enumerate() {
            if stage > 0 {
                x = pooling.apply(tape, &x)?;
            }
            for conv in convs {
                x = tape.conv2d_relu(params, conv, &x)?;
            }
            each(stage, &x)?;
        }
        Ok(())
    }

    /// The features after the last stage.
    pub fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Var> {
        let mut last = x.clone();
        self.walk(tape, params, x, Pooling::Max, |_, features| {
            last = features.clone();
            Ok(())
        })?;
        Ok(last)
    }
}
