//! What a device does in a way of its own, in place of operations composed of candle's.

use std::fmt::Debug;

use candle_core::{Device, Tensor};

use super::super::shape::ConvShape;
use crate::Result;
use crate::nn::adamw::{Trained, Update};

/// One of the three convolutions of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// From the NCHW input and the weight, OIHW.
    Forward,
    /// Gradient of the input, from the NCHW gradient of the output and the weight.
    Input,
    /// Gradient of the weight, from the NCHW input and the gradient of the output.
    Weight,
}

/// Kernels of a device's own.
pub trait Own: Debug + Send + Sync {
    /// A convolution of planar images; `None` where it has none of this shape.
    fn convolve(&self, pass: Pass, shape: ConvShape, a: &Tensor, b: &Tensor) -> Option<Result<Tensor>>;
    /// As [`Kernels::norm`](super::Kernels::norm), in one launch.
    fn norm(&self, tensors: &[&Tensor]) -> Result<f64>;
    /// As [`Kernels::adamw_all`](super::Kernels::adamw_all), in one launch.
    fn adamw_all(&self, update: Update, all: &mut [Trained]) -> Result<()>;
}

/// Those of a device, where it has some; in an error why it has not.
#[cfg(feature = "cuda")]
pub fn of(device: &Device) -> Result<Option<std::sync::Arc<dyn Own>>> {
    super::super::cuda::of(device)
}

/// Those of a device: without CUDA none has any.
#[cfg(not(feature = "cuda"))]
pub fn of(_: &Device) -> Result<Option<std::sync::Arc<dyn Own>>> {
    Ok(None)
}
