//! What computes: one [`Kernels`] value, chosen when a model is opened, does every operation of a network forward and
//! backward; nothing else asks which device it runs on.
//!
//! * [`cpu`]: kernels of our own on f32 slices, channels-last: the fast way on a CPU.
//! * [`composed`]: the same operations composed of candle's, on any device: what runs on CUDA, and what the tests hold the
//!   first against. `cuda`: what is done there in a way of its own.
//! * [`shape`]: what an operation is told of its sizes. [`resample`]: how the outputs along an axis are made of its inputs,
//!   [`antialias`]: one such way.

pub mod antialias;
pub mod composed;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod resample;
pub mod shape;

use std::fmt::{Debug, Display};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::adamw::{Moments, Trained, Update};
use super::params::Weight;
use crate::Result;
use resample::Axis;
use shape::{Activation, AttentionShape, ConvShape, NormShape, PoolShape, RowNorm, Spread};

/// What an operation's forward pass leaves for its backward pass; what it is belongs to the implementation.
pub type Saved = Vec<Tensor>;

/// Gradients of a group normalization.
pub struct NormGradients {
    pub x: Tensor,
    /// Of the weight and the bias, where they were wanted.
    pub affine: Option<[Tensor; 2]>,
    /// Of scale and shift, where the operation had them.
    pub scale_shift: Option<Tensor>,
}

/// The operations of networks. Activations are f32, contiguous, on the device of the weights: images channels-last,
/// `[batch, height, width, channels]`, tokens `[batch, tokens, channels]`. Results do not depend on the number of threads,
/// sums over many values beyond their rounding excepted.
pub trait Kernels: Debug + Send + Sync {
    /// Convolution with an OIHW weight (or, for 1×1, `[O, I]`), plus bias and `residual` of the output's shape.
    fn conv2d(
        &self,
        shape: ConvShape,
        weight: &Weight,
        bias: Option<&Tensor>,
        x: &Tensor,
        residual: Option<&Tensor>,
    ) -> Result<Tensor>;
    /// Gradient of the convolution's input.
    fn conv2d_input_gradient(&self, shape: ConvShape, weight: &Weight, dy: &Tensor) -> Result<Tensor>;
    /// Gradient of the convolution's weight, in the weight's shape.
    fn conv2d_weight_gradient(&self, shape: ConvShape, weight: &Weight, x: &Tensor, dy: &Tensor) -> Result<Tensor>;
    /// Gradient of a bias per channel (the last dimension).
    fn bias_gradient(&self, dy: &Tensor) -> Result<Tensor>;

    /// Group normalization, scale and shift per image (`[batch, 2·channels]`, `y = ŷ·(1 + scale) + shift`), SiLU.
    fn group_norm(
        &self,
        shape: NormShape,
        affine: Option<[&Tensor; 2]>,
        x: &Tensor,
        scale_shift: Option<&Tensor>,
    ) -> Result<(Tensor, Saved)>;
    /// Gradients of [`Kernels::group_norm`]; `trains`: those of weight and bias are wanted.
    #[allow(clippy::too_many_arguments)]
    fn group_norm_gradients(
        &self,
        shape: NormShape,
        affine: Option<[&Tensor; 2]>,
        x: &Tensor,
        scale_shift: Option<&Tensor>,
        saved: &Saved,
        dy: &Tensor,
        trains: bool,
    ) -> Result<NormGradients>;

    /// Layer or RMS normalization along the last dimension, with a weight and a bias for its values or without.
    fn row_norm(&self, norm: RowNorm, weight: Option<&Tensor>, bias: Option<&Tensor>, x: &Tensor) -> Result<Tensor>;
    /// Gradients of input, weight and bias of [`Kernels::row_norm`].
    fn row_norm_gradients(
        &self,
        norm: RowNorm,
        weight: Option<&Tensor>,
        x: &Tensor,
        dy: &Tensor,
    ) -> Result<[Tensor; 3]>;

    /// Softmax along the last dimension.
    fn softmax(&self, x: &Tensor) -> Result<Tensor>;
    /// Gradient of [`Kernels::softmax`] from its result `y`.
    fn softmax_gradient(&self, y: &Tensor, dy: &Tensor) -> Result<Tensor>;

    /// `softmax(scale·q·kᵀ + bias)·v` of heads that lie side by side in the channels. `bias` is `[n, heads or 1, queries,
    /// keys]`: image `i` takes number `i mod n`.
    fn attention(&self, shape: AttentionShape, qkv: [&Tensor; 3], bias: Option<&Tensor>) -> Result<(Tensor, Saved)>;
    /// Gradients of `q`, `k` and `v` of [`Kernels::attention`], whose result was `y`.
    fn attention_gradients(
        &self,
        shape: AttentionShape,
        qkv: [&Tensor; 3],
        bias: Option<&Tensor>,
        y: &Tensor,
        saved: &Saved,
        dy: &Tensor,
    ) -> Result<[Tensor; 3]>;

    /// `f(x)`.
    fn activate(&self, f: Activation, x: &Tensor) -> Result<Tensor>;
    fn activate_gradient(&self, f: Activation, x: &Tensor, dy: &Tensor) -> Result<Tensor>;
    /// `a · f(b)` of the two halves `a ‖ b` of the last dimension.
    fn gated(&self, f: Activation, x: &Tensor) -> Result<Tensor>;
    fn gated_gradient(&self, f: Activation, x: &Tensor, dy: &Tensor) -> Result<Tensor>;

    /// Rotates the pairs of channels of every head, `[batch, tokens, heads, dim]`, by angles whose cosines and sines are
    /// `[tokens, dim / 2]`. The gradient is the rotation back.
    fn rotate(&self, x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor>;

    /// Resamples rows and columns of images.
    fn resample(&self, x: &Tensor, axes: &[Axis; 2]) -> Result<Tensor>;
    /// The largest value of each window.
    fn max_pool(&self, shape: PoolShape, x: &Tensor) -> Result<Tensor>;
    /// Each window's gradient, at its first largest value.
    fn max_pool_gradient(&self, shape: PoolShape, x: &Tensor, dy: &Tensor) -> Result<Tensor>;

    /// `max(0, conv(x) + bias + residual)`.
    fn conv2d_relu(
        &self,
        shape: ConvShape,
        weight: &Weight,
        bias: &Tensor,
        x: &Tensor,
        residual: Option<&Tensor>,
    ) -> Result<Tensor> {
        self.activate(Activation::Relu, &self.conv2d(shape, weight, Some(bias), x, residual)?)
    }
    /// `max(0, blur(conv(x) + bias))`: a convolution of stride 1 and the anti-aliased downsampling by 2 of [`antialias`].
    fn blurred_conv2d_relu(&self, shape: ConvShape, weight: &Weight, bias: &Tensor, x: &Tensor) -> Result<Tensor> {
        let y = self.conv2d(shape, weight, Some(bias), x, None)?;
        let (height, width) = shape.out_size();
        self.activate(Activation::Relu, &self.resample(&y, &[height, width].map(antialias::blur))?)
    }
    /// The largest value of each 3×3 window, then the anti-aliased downsampling by 2 of [`antialias`].
    fn max_blur_pool(&self, x: &Tensor) -> Result<Tensor> {
        let (shape, axes) = antialias::pool(x)?;
        self.resample(&self.max_pool(shape, x)?, &axes)
    }

    /// Nearest upsampling by 2 of both sides.
    fn upsample2(&self, x: &Tensor) -> Result<Tensor>;
    fn upsample2_gradient(&self, dy: &Tensor) -> Result<Tensor>;

    /// The channels of `a`, then those of `b`.
    fn concat(&self, a: &Tensor, b: &Tensor) -> Result<Tensor>;
    /// `take` channels of `x` from number `from` on.
    fn channels(&self, x: &Tensor, from: usize, take: usize) -> Result<Tensor>;

    /// The tokens of `[batch, tokens, channels]` with these numbers, one after the other.
    fn tokens(&self, x: &Tensor, numbers: &[u32]) -> Result<Tensor> {
        let numbers = Tensor::from_slice(numbers, numbers.len(), x.device())?;
        Ok(x.index_select(&numbers, 1)?)
    }
    /// The last two dimensions exchanged.
    fn transpose(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.t()?.contiguous()?)
    }

    /// Planar `[B, C, s·H, s·W]` to NHWC `[B, H, W, C·s²]` (`pixel_unshuffle`).
    fn unshuffle(&self, x: &Tensor, s: usize) -> Result<Tensor>;
    /// The inverse of [`Kernels::unshuffle`].
    fn shuffle(&self, x: &Tensor, s: usize) -> Result<Tensor>;

    /// The sum of two tensors of one shape.
    fn add(&self, a: &Tensor, b: &Tensor) -> Result<Tensor>;
    /// The sum of a tensor and a smaller one.
    fn add_spread(&self, spread: Spread, a: &Tensor, b: &Tensor) -> Result<Tensor>;
    /// The product of a tensor and a smaller one.
    fn multiply(&self, spread: Spread, a: &Tensor, b: &Tensor) -> Result<Tensor>;
    /// `[outer, inner]`: the sum over what a smaller tensor is repeated for.
    fn sum_spread(&self, spread: Spread, x: &Tensor) -> Result<Tensor>;
    /// `gain · x + offset`.
    fn affine(&self, x: &Tensor, gain: f32, offset: f32) -> Result<Tensor>;
    /// The square root of every value.
    fn sqrt(&self, x: &Tensor) -> Result<Tensor>;
    /// One image where all are the same, as those of an image's seeds and of a pair are, where it pays to find that out: what a
    /// network does with each would be done again.
    fn once(&self, images: &Tensor) -> Result<Tensor> {
        Ok(images.clone())
    }
    /// Whether work is only queued: then whoever reads a value waits until all of it is done.
    fn only_queues(&self) -> bool {
        false
    }
    /// The same in another precision, where that changes what computes.
    fn in_precision(self: Arc<Self>, precision: Precision) -> Arc<dyn Kernels>;

    /// Sum of the squares of all values.
    fn sum_of_squares(&self, x: &Tensor) -> Result<f64>;
    /// Euclidean norm of tensors, as if they were one; a device is waited for once.
    fn norm(&self, tensors: &[&Tensor]) -> Result<f64> {
        let squares = tensors.iter().map(|tensor| self.sum_of_squares(tensor));
        Ok(squares.sum::<Result<f64>>()?.sqrt())
    }

    /// The optimizer's moments for a weight, zero.
    fn moments(&self, weight: &Tensor) -> Result<Moments>;
    /// One AdamW step of a weight, in place.
    fn adamw(&self, update: Update, weight: &Tensor, gradient: &Tensor, moments: &mut Moments) -> Result<()>;
    /// The same step of many weights.
    fn adamw_all(&self, update: Update, all: &mut [Trained]) -> Result<()> {
        all.iter_mut().try_for_each(|one| self.adamw(update, one.weight, one.gradient, one.moments))
    }
    /// `a += fraction · (b − a)`, in place.
    fn lerp(&self, a: &Tensor, b: &Tensor, fraction: f32) -> Result<()>;
}

/// In what values are kept and computed. What is trained, its moments, gradients, norms and sums are f32 everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precision {
    /// Matrices and kernels that are never trained: f32, or kept in bf16 or f16 and widened as they are computed with.
    pub frozen: DType,
    /// What products with frozen weights kept in bf16 are of: f32, or bf16 (both operands rounded, each off by at most 2⁻⁹ of
    /// itself, sums in f32) where [`cpu::multiplies_bf16`]; elsewhere they stay f32. By [`composed`] kernels products with all
    /// weights are: those that are trained, and what they are compared with, stay f32, and copies in bf16 are multiplied with,
    /// made once a step.
    pub products: DType,
}

impl Default for Precision {
    fn default() -> Self {
        Self { frozen: DType::F32, products: DType::F32 }
    }
}

/// A CUDA device, by its number. Errors: there is none, what it needs is not installed, or the program was built without CUDA.
pub fn cuda_device(number: usize) -> Result<Device> {
    #[cfg(feature = "cuda")]
    return cuda::libraries::open(number);
    #[cfg(not(feature = "cuda"))]
    Ok(Device::new_cuda(number)?)
}

/// Where tensors live, what computes on them, and how exactly.
#[derive(Clone, Debug)]
pub struct Compute {
    pub device: Device,
    pub kernels: Arc<dyn Kernels>,
    pub precision: Precision,
    /// Why it is not the fastest there could be.
    pub doubt: Option<String>,
    /// Who looks at features by their names; in the product nobody does.
    watch: Watch,
}

/// Looks at features inside a network, by name.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<Watcher>>);

type Watcher = dyn Fn(&str, &Tensor) + Send + Sync;

impl Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Watch" } else { "nobody" })
    }
}

impl Compute {
    /// The fastest there is on a device.
    pub fn on(device: &Device) -> Self {
        match device {
            Device::Cpu => Self::of(Device::Cpu, Arc::new(cpu::Cpu::new(Precision::default()))),
            _ => Self::composed(device),
        }
    }

    fn of(device: Device, kernels: Arc<dyn Kernels>) -> Self {
        Self { device, kernels, precision: Precision::default(), doubt: None, watch: Watch::default() }
    }

    /// The CPU with kernels of our own.
    pub fn cpu() -> Self {
        Self::on(&Device::Cpu)
    }

    /// Operations composed of candle's, on any device, but for what it has of its own.
    pub fn composed(device: &Device) -> Self {
        let (own, doubt) = match composed::own::of(device) {
            Ok(own) => (own, None),
            Err(error) => (None, Some(format!("without kernels of its own: {error}"))),
        };
        Self { doubt, ..Self::of(device.clone(), Arc::new(composed::Composed::new(own))) }
    }

    /// The same in another precision.
    pub fn in_precision(self, precision: Precision) -> Self {
        Self { kernels: self.kernels.clone().in_precision(precision), precision, ..self }
    }

    /// How many items go through a network at once: `few` where all threads work at each, `many` on a device that has thousands.
    pub fn at_once(&self, few: usize, many: usize) -> usize {
        if self.device.is_cpu() { few } else { many }
    }

    /// The same for the networks around the one that predicts, where products of bf16 were asked for: pictures and texts are small
    /// work, and what they are off by nothing makes good.
    pub fn around(&self) -> Self {
        let exact = self.precision.products == DType::F32;
        if exact { self.clone() } else { self.clone().in_precision(Precision::default()) }
    }

    /// The same, showing `look` every feature that a network [taps](Self::tap).
    pub fn watched(self, look: impl Fn(&str, &Tensor) + Send + Sync + 'static) -> Self {
        Self { watch: Watch(Some(Arc::new(look))), ..self }
    }

    /// Whether anybody looks.
    pub fn is_watched(&self) -> bool {
        self.watch.0.is_some()
    }

    /// A feature under its published name, for those who compare implementations. Costs nothing where nobody looks.
    pub fn tap(&self, name: impl Display, feature: &Tensor) {
        if let Watch(Some(look)) = &self.watch {
            look(&name.to_string(), feature);
        }
    }
}
