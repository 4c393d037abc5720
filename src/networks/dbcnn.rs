//! DBCNN (Zhang et al., "Blind Image Quality Assessment Using A Deep Bilinear Convolutional Neural Network", IEEE TCSVT 2020): a
//! network that knows what photographs show, one that knows kinds of distortion, and the products of what both see.

use super::published::Published;
use super::vgg16::Vgg16;
use crate::Result;
use crate::nn::kernels::resample::Axis;
use crate::nn::layers::{Conv, Kernel, Linear};
use crate::nn::params::Params;
use crate::nn::tape::{Tape, Var};

/// Number in the published sequence, channels and stride of each convolution of the network for distortions. Its normalization has
/// the number after it.
const DISTORTION: [(usize, usize, usize); 9] = [
    (0, 48, 1),
    (3, 48, 2),
    (6, 64, 1),
    (9, 64, 2),
    (12, 64, 1),
    (15, 64, 2),
    (18, 128, 1),
    (21, 128, 1),
    (24, 128, 2),
];
/// Added to the variances.
const EPSILON: f64 = 1e-5;
/// Keeps the root of a product away from zero.
const ROOT_EPSILON: f32 = 1e-8;

/// The structure.
#[derive(Clone, Debug)]
pub struct Dbcnn {
    content: Vgg16,
    distortion: Vec<Conv>,
    last: Linear,
}

impl Dbcnn {
    /// Declares the weights.
    pub fn new(published: &mut Published) -> Self {
        let content = Vgg16::new(&mut published.specs, "features1.");
        let mut c_in = 3;
        let mut conv = |&(number, channels, stride): &(usize, usize, usize)| {
            let names = [format!("features2.{number}"), format!("features2.{}", number + 1)];
            let kernel = Kernel { stride, ..Kernel::square(3) };
            let conv = published.conv_norm(names.each_ref().map(String::as_str), (c_in, channels), kernel, EPSILON);
            c_in = channels;
            conv
        };
        let distortion = DISTORTION.iter().map(&mut conv).collect();
        let products = Vgg16::CHANNELS[4] * 128;
        Self { content, distortion, last: Linear::new(&mut published.specs, "fc", (products, 1), 1.0) }
    }

    /// The scores `[batch, 1]` of normalized images.
    pub fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Var> {
        let content = self.content.forward(tape, params, x)?;
        params.tap("features1", &content);
        let mut distortion = x.clone();
        for conv in &self.distortion {
            distortion = tape.conv2d_relu(params, conv, &distortion)?;
        }
        params.tap("features2", &distortion);
        let (batch, height, width, channels) = content.tensor().dims4()?;
        let (_, from_height, from_width, kinds) = distortion.tensor().dims4()?;
        if [from_height, from_width] != [height, width] {
            let axes = [Axis::between_corners(from_height, height), Axis::between_corners(from_width, width)];
            distortion = tape.resample(&distortion, axes)?;
        }
        let pixels = height * width;
        let content = tape.reshape(&content, &[batch, pixels, channels])?;
        let distortion = tape.reshape(&distortion, &[batch, pixels, kinds])?;
        let products = content.tensor().transpose(1, 2)?.contiguous()?.matmul(distortion.tensor())?;
        let products = Var::constant(products.reshape((batch, channels * kinds))?);
        let roots = tape.sqrt(&tape.scale(&products, 1.0 / pixels as f32)?, ROOT_EPSILON)?;
        let norms = roots.tensor().sqr()?.sum_keepdim(1)?.sqrt()?.clamp(1e-12f32, f32::MAX)?;
        tape.linear(params, &self.last, &Var::constant(roots.tensor().broadcast_div(&norms)?))
    }
}
