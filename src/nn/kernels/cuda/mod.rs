//! Kernels of our own on CUDA: the optimizer's two passes over all weights ([`optimizer`]), compiled as the device is opened, and
//! with the feature `cudnn` convolutions by cuDNN ([`conv`]). The rest is composed of candle's operations. [`libraries`]: what is
//! needed of NVIDIA's.
//!
//! Before they are used they are held against what is composed, on the device itself: where they differ, or cannot be compiled,
//! what is composed is used.

#[cfg(feature = "cudnn")]
mod conv;
pub mod libraries;
mod optimizer;

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::Kernels;
use super::composed::Composed;
use super::composed::own::{Own, Pass};
use super::shape::ConvShape;
use crate::nn::adamw::{Moments, Trained, Update};
use crate::{Error, Result};

/// Largest difference from what is composed, relative to the largest value.
const TOLERANCE: f32 = 1e-4;

/// What a CUDA device has of its own. Errors: it disagrees with what is composed.
pub fn of(device: &Device) -> Result<Option<Arc<dyn Own>>> {
    let Device::Cuda(cuda) = device else { return Ok(None) };
    let own = Cuda {
        optimizer: optimizer::Optimizer::compiled(cuda)?,
        #[cfg(feature = "cudnn")]
        convolutions: conv::Convolutions::default(),
    };
    check_optimizer(&own, device)?;
    check_convolutions(&own, device)?;
    Ok(Some(Arc::new(own)))
}

#[derive(Debug)]
struct Cuda {
    optimizer: optimizer::Optimizer,
    #[cfg(feature = "cudnn")]
    convolutions: conv::Convolutions,
}

impl Own for Cuda {
    #[cfg(feature = "cudnn")]
    fn convolve(&self, pass: Pass, shape: ConvShape, a: &Tensor, b: &Tensor) -> Option<Result<Tensor>> {
        Some(self.convolutions.convolve(pass, shape, a, b))
    }

    #[cfg(not(feature = "cudnn"))]
    fn convolve(&self, _: Pass, _: ConvShape, _: &Tensor, _: &Tensor) -> Option<Result<Tensor>> {
        None
    }

    fn norm(&self, tensors: &[&Tensor]) -> Result<f64> {
        self.optimizer.norm(tensors)
    }

    fn adamw_all(&self, update: Update, all: &mut [Trained]) -> Result<()> {
        self.optimizer.adamw(update, all)
    }
}

/// Values that differ from one another.
fn values(shape: &[usize], seed: u32, device: &Device) -> Result<Tensor> {
    let value = |i: u32| ((i.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32) - 1.0;
    let count = shape.iter().product::<usize>() as u32;
    Ok(Tensor::from_iter((0..count).map(value), device)?.reshape(shape)?)
}

fn agree(what: &str, got: &Tensor, want: &Tensor) -> Result<()> {
    let largest = |t: &Tensor| t.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>();
    let (far, scale) = (largest(&(got - want)?)?, largest(want)?);
    match far <= TOLERANCE * scale {
        true => Ok(()),
        false => Err(Error::invalid(format!("{what} is off by {far:e} of {scale:e} on this device"))),
    }
}

/// Two steps over weights of several sizes, one of more than a block.
fn check_optimizer(own: &Cuda, device: &Device) -> Result<()> {
    let shapes: [&[usize]; 3] = [&[70_001], &[3, 5], &[1]];
    let all = |seed: u32| -> Result<Vec<Tensor>> {
        shapes.iter().zip(seed..).map(|(shape, seed)| values(shape, seed, device)).collect()
    };
    let gradients = all(10)?;
    let composed = Composed::default();
    let (mine, theirs) = (all(1)?, all(1)?);
    let moments = |weights: &[Tensor]| weights.iter().map(|w| composed.moments(w)).collect::<Result<Vec<_>>>();
    let (mut my_moments, mut their_moments) = (moments(&mine)?, moments(&theirs)?);
    let update =
        Update { beta1: 0.9, beta2: 0.999, scale: 0.5, decay: 0.999, rate: 1e-2, correction2: 0.04, eps: 1e-8 };
    for _ in 0..2 {
        step(&mine, &gradients, &mut my_moments, |all| own.adamw_all(update, all))?;
        step(&theirs, &gradients, &mut their_moments, |all| composed.adamw_all(update, all))?;
    }
    mine.iter().zip(&theirs).try_for_each(|(mine, theirs)| agree("a step of the optimizer", mine, theirs))?;
    let all: Vec<&Tensor> = gradients.iter().collect();
    let (mine, theirs) = (own.norm(&all)?, composed.norm(&all)?);
    match (mine - theirs).abs() <= f64::from(TOLERANCE) * theirs {
        true => Ok(()),
        false => Err(Error::invalid(format!("the norm of gradients is {mine}, not {theirs}, on this device"))),
    }
}

fn step(
    weights: &[Tensor],
    gradients: &[Tensor],
    moments: &mut [Moments],
    step: impl FnOnce(&mut [Trained]) -> Result<()>,
) -> Result<()> {
    let all = weights.iter().zip(gradients).zip(moments);
    step(&mut all.map(|((weight, gradient), moments)| Trained { weight, gradient, moments }).collect::<Vec<_>>())
}

/// Every pass of convolutions of every kind that a network has.
fn check_convolutions(own: &Cuda, device: &Device) -> Result<()> {
    let square = |kernel, stride, pad| ConvShape::square([2, 9, 7], (8, 12), kernel, stride, pad);
    let grouped = ConvShape { groups: 2, ..square(3, 1, 1) };
    let uneven = ConvShape { kernel: [1, 5], pad: [0, 2], ..square(1, 1, 0) };
    for shape in [square(3, 1, 1), square(3, 2, 1), ConvShape { dilation: 2, ..square(3, 1, 2) }, grouped, uneven] {
        let (height, width) = shape.out_size();
        let weight = values(&[shape.c_out, shape.c_in / shape.groups, shape.kernel[0], shape.kernel[1]], 1, device)?;
        let x = values(&[shape.batch, shape.height, shape.width, shape.c_in], 2, device)?;
        let dy = values(&[shape.batch, height, width, shape.c_out], 3, device)?;
        let planar = |t: &Tensor| Ok::<_, Error>(t.permute((0, 3, 1, 2))?.contiguous()?);
        let (planar_x, planar_dy) = (planar(&x)?, planar(&dy)?);
        let passes = [
            (Pass::Forward, &planar_x, &weight, planar(&super::composed::conv::forward(shape, &weight, &x)?)?),
            (Pass::Input, &planar_dy, &weight, planar(&super::composed::conv::input_gradient(shape, &weight, &dy)?)?),
            (Pass::Weight, &planar_x, &planar_dy, super::composed::conv::weight_gradient(shape, &x, &dy)?),
        ];
        for (pass, a, b, want) in passes {
            if let Some(got) = own.convolve(pass, shape, a, b) {
                agree(&format!("the convolution {pass:?} of {shape:?}"), &got?, &want)?;
            }
        }
    }
    Ok(())
}
