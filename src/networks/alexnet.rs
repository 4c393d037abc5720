//! The convolutions of AlexNet (Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv 1404.5997),
//! with the features after each, as perceptual distances read them.
//!
//! As torchvision has it, and in its shift-tolerant form (Ghildyal & Liu, "Shift-tolerant perceptual similarity metric", ECCV
//! 2022): the first convolution has stride 1, every downsampling is anti-aliased.

use crate::Result;
use crate::nn::kernels::antialias::{PAD, blurred_len};
use crate::nn::layers::{Conv, Kernel};
use crate::nn::ops::sampling::Window;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};

/// Channels, kernel and zero padding of a convolution.
#[derive(Clone, Copy, Debug)]
struct Layer {
    channels: usize,
    kernel: usize,
    pad: usize,
}

const LAYERS: [Layer; 5] = [
    Layer { channels: 64, kernel: 11, pad: 2 },
    Layer { channels: 192, kernel: 5, pad: 2 },
    Layer { channels: 384, kernel: 3, pad: 1 },
    Layer { channels: 256, kernel: 3, pad: 1 },
    Layer { channels: 256, kernel: 3, pad: 1 },
];

/// What the convolutions are called, and how images are made smaller.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub names: [&'static str; 5],
    pub downsampling: Downsampling,
}

/// How images are made smaller between convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Downsampling {
    /// By strides.
    Strides,
    /// By strides after a blur.
    AntiAliased,
}

impl Config {
    /// As in the files of ST-LPIPS.
    pub const ST_LPIPS: Self = Self {
        names: ["net.slice1.0", "net.slice2.5", "net.slice3.9", "net.slice4.11", "net.slice5.13"],
        downsampling: Downsampling::AntiAliased,
    };
    /// As in torchvision's file.
    pub const TORCHVISION: Self = Self {
        names: ["features.0", "features.3", "features.6", "features.8", "features.10"],
        downsampling: Downsampling::Strides,
    };
}

/// The structure.
#[derive(Clone, Debug)]
pub struct AlexNet {
    convs: [Conv; 5],
    downsampling: Downsampling,
}

impl AlexNet {
    /// Channels of the features after each convolution.
    pub const CHANNELS: [usize; 5] =
        [LAYERS[0].channels, LAYERS[1].channels, LAYERS[2].channels, LAYERS[3].channels, LAYERS[4].channels];

    /// The smallest side of an image for which every anti-aliased downsampling has something to mirror, in pixels.
    pub const MIN_SIZE_PX: usize = min_size_px();

    /// Declares the weights.
    pub fn new(specs: &mut Specs, config: Config) -> Self {
        let mut c_in = 3;
        let downsampling = config.downsampling;
        let convs = [0, 1, 2, 3, 4].map(|i| {
            let Layer { channels, kernel, pad } = LAYERS[i];
            let stride = if i == 0 && downsampling == Downsampling::Strides { 4 } else { 1 };
            let kernel = Kernel { pad: [pad; 2], stride, ..Kernel::square(kernel) };
            let conv = Conv::with(specs, config.names[i], (c_in, channels), kernel, std::f32::consts::SQRT_2);
            c_in = channels;
            conv
        });
        Self { convs, downsampling }
    }

    /// The features after each convolution and its ReLU, `[batch, height, width, channels]`, of normalized images.
    pub fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<[Var; 5]> {
        let [first, second, third, fourth, fifth] = &self.convs;
        let a = match self.downsampling {
            Downsampling::Strides => tape.conv2d_relu(params, first, x)?,
            Downsampling::AntiAliased => tape.blurred_conv2d_relu(params, first, x)?,
        };
        let pool = |x: &Var| match self.downsampling {
            Downsampling::Strides => tape.max_pool(x, Window { size: 3, stride: 2, pad: 0 }, false),
            Downsampling::AntiAliased => tape.max_blur_pool(x),
        };
        let b = tape.conv2d_relu(params, second, &pool(&a)?)?;
        let c = tape.conv2d_relu(params, third, &pool(&b)?)?;
        let d = tape.conv2d_relu(params, fourth, &c)?;
        let e = tape.conv2d_relu(params, fifth, &d)?;
        Ok([a, b, c, d, e])
    }
}

/// Smallest length of the maxima that the two pools blur, for an image side.
const fn shortest_pooled(side: usize) -> usize {
    let first = side + 2 * LAYERS[0].pad + 1 - LAYERS[0].kernel;
    let second = blurred_len(first).saturating_sub(2);
    let third = blurred_len(second).saturating_sub(2);
    if second < third { second } else { third }
}

const fn min_size_px() -> usize {
    let mut side = LAYERS[0].kernel;
    while shortest_pooled(side) < PAD + 1 {
        side += 1;
    }
    side
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::nn::kernels::Compute;
    use crate::random::Random;
    use candle_core::Tensor;

    fn features(compute: &Compute, [width, height]: [usize; 2], seed: u64) -> Vec<(Vec<usize>, Vec<f32>)> {
        let mut specs = Specs::default();
        let network = AlexNet::new(&mut specs, Config::ST_LPIPS);
        let params = Params::init(&Arc::new(specs), 1, compute).unwrap();
        let values = Random::new(seed, 0).normal_image(3, height, width);
        let x = Tensor::from_vec(values, (1, height, width, 3), &compute.device).unwrap();
        let features = network.forward(&Tape::inference(&compute.kernels), &params, &Var::constant(x)).unwrap();
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        features.iter().map(|f| (f.tensor().dims().to_vec(), values(f.tensor()))).collect()
    }

    #[test]
    fn one_pass_and_operations_one_by_one_agree_at_every_kind_of_size() {
        for size in [[21, 21], [22, 21], [21, 22], [24, 26], [35, 31]] {
            let fast = features(&Compute::cpu(), size, 2);
            let slow = features(&Compute::composed(&candle_core::Device::Cpu), size, 2);
            for (layer, ((fast_shape, fast), (slow_shape, slow))) in fast.iter().zip(&slow).enumerate() {
                assert_eq!(fast_shape, slow_shape, "{size:?} layer {layer}");
                let scale = slow.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                let worst = fast.iter().zip(slow).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(scale > 0.1 && worst < 1e-4 * scale, "{size:?} layer {layer}: {worst:e} of {scale}");
            }
        }
    }

    #[test]
    fn it_works_from_its_smallest_size_on() {
        assert_eq!(AlexNet::MIN_SIZE_PX, 21);
        let mut specs = Specs::default();
        let network = AlexNet::new(&mut specs, Config::ST_LPIPS);
        let compute = Compute::cpu();
        let params = Params::init(&Arc::new(specs), 1, &compute).unwrap();
        let small = Tensor::zeros((1, 20, 30, 3), candle_core::DType::F32, &compute.device).unwrap();
        assert!(network.forward(&Tape::inference(&compute.kernels), &params, &Var::constant(small)).is_err());
    }
}
