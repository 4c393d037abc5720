//! The shift-tolerant AlexNet of ST-LPIPS: five convolutions, the features after each.

use super::conv::{Conv, Features, conv2d_relu};
use super::layers::{BlurredConv, blurred_len, pool_and_blur};
use crate::Result;
use crate::imaging::Image;
use crate::iqa::assets::Weights;

/// Channels and kernel sizes of the five layers.
const CHANNELS: [usize; 5] = [64, 192, 384, 256, 256];
const KERNELS: [usize; 5] = [11, 5, 3, 3, 3];
/// Zero padding of the first layer.
const FIRST_PAD: usize = 2;

/// The smallest image for which every blur has three positions to mirror.
pub const MIN_SIZE_PX: usize = 21;

/// The network and the weights of its features' channels.
pub struct Network {
    /// Brings RGB in [0, 1] to what the network was trained on: a factor and a summand for each channel.
    input_scale: [(f32, f32); 3],
    first: BlurredConv,
    rest: [Conv; 4],
    /// Weight of each channel in the distance, by layer.
    pub channel_weights: Vec<Vec<f32>>,
}

impl Network {
    /// From the tensors that `assets/convert_iqa.py` writes.
    pub fn load(weights: &Weights) -> Result<Self> {
        let (shift, scale) = (weights.f32s("shift", 3)?, weights.f32s("scale", 3)?);
        let filters = |layer: usize| {
            let c_in = if layer == 0 { 3 } else { CHANNELS[layer - 1] };
            let len = CHANNELS[layer] * c_in * KERNELS[layer] * KERNELS[layer];
            let weight = weights.f32s(&format!("conv{layer}.weight"), len)?;
            Ok::<_, crate::Error>((weight, weights.f32s(&format!("conv{layer}.bias"), CHANNELS[layer])?))
        };
        let same_size = |layer: usize| {
            let (weight, bias) = filters(layer)?;
            let (channels, kernel) = ((CHANNELS[layer - 1], CHANNELS[layer]), KERNELS[layer]);
            Ok::<_, crate::Error>(Conv::new(channels, (kernel, 1, kernel / 2), &weight, bias))
        };
        let (weight, bias) = filters(0)?;
        let channel_weights = (0..5).map(|layer| weights.f32s(&format!("lin{layer}.weight"), CHANNELS[layer]));
        Ok(Self {
            // The network sees (2 v - 1 - shift) / scale.
            input_scale: std::array::from_fn(|c| (2.0 / scale[c], (-1.0 - shift[c]) / scale[c])),
            first: BlurredConv::new((3, CHANNELS[0]), KERNELS[0], &weight, &bias),
            rest: [same_size(1)?, same_size(2)?, same_size(3)?, same_size(4)?],
            channel_weights: channel_weights.collect::<Result<_>>()?,
        })
    }

    /// The features after each of the five layers.
    pub fn features(&self, image: &Image) -> Vec<Features> {
        let [second, third, fourth, fifth] = &self.rest;
        let a = self.first.forward(&self.input(image));
        let b = conv2d_relu(second, &pool_and_blur(&a));
        let c = conv2d_relu(third, &pool_and_blur(&b));
        let d = conv2d_relu(fourth, &c);
        let e = conv2d_relu(fifth, &d);
        vec![a, b, c, d, e]
    }

    /// The scaled image, channels last, with the zero padding of the first layer.
    fn input(&self, image: &Image) -> Features {
        let (width, height) = (image.width(), image.height());
        let mut input = Features::zeros(width + 2 * FIRST_PAD, height + 2 * FIRST_PAD, 3);
        let row_len = input.width * 3;
        let rows = input.data.chunks_exact_mut(row_len).skip(FIRST_PAD).take(height);
        for (y, row) in rows.enumerate() {
            for (channel, (factor, summand)) in self.input_scale.into_iter().enumerate() {
                let values = &image.plane(channel)[y * width..(y + 1) * width];
                let out = row[3 * FIRST_PAD + channel..].iter_mut().step_by(3);
                out.zip(values).for_each(|(out, v)| *out = v * factor + summand);
            }
        }
        input
    }
}

/// Smallest length of the convolution outputs that the two later blurs see, for an image side.
const fn shortest_pooled(side: usize) -> usize {
    let first = side + 2 * FIRST_PAD + 1 - KERNELS[0];
    let second = blurred_len(first) - 2;
    let third = blurred_len(second) - 2;
    if second < third { second } else { third }
}

const _: () = assert!(shortest_pooled(MIN_SIZE_PX) >= 3 && shortest_pooled(MIN_SIZE_PX - 1) < 3);
