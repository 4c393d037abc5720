//! Convolution and pooling with the anti-aliased downsampling of [`crate::nn::kernels::antialias`]. Where no gradient is wanted
//! they are one pass each; where one is, they are made of operations that have gradients.

use candle_core::Tensor;

use crate::nn::kernels::antialias::{blur, pool};
use crate::nn::kernels::shape::{Activation, ConvShape};
use crate::nn::layers::Conv;
use crate::nn::ops::sampling::Window;
use crate::nn::params::Params;
use crate::nn::tape::{Tape, Var};
use crate::{Error, Result};

impl Tape {
    /// `max(0, conv(x) + bias)`.
    pub fn conv2d_relu(&self, params: &Params, layer: &Conv, x: &Var) -> Result<Var> {
        self.conv2d_sum_relu(params, layer, x, None)
    }

    /// `max(0, conv(x) + bias + residual)`.
    pub fn conv2d_sum_relu(&self, params: &Params, layer: &Conv, x: &Var, residual: Option<&Var>) -> Result<Var> {
        match self.frozen(params, layer, x)? {
            Some((shape, bias)) if !residual.is_some_and(Var::wants_gradient) => {
                let (weight, residual) = (params.weight(layer.weight), residual.map(Var::tensor));
                Ok(Var::constant(self.kernels().conv2d_relu(shape, weight, bias, x.tensor(), residual)?))
            }
            _ => self.activate(Activation::Relu, &self.conv2d(params, layer, x, residual)?),
        }
    }

    /// `max(0, blur(conv(x) + bias))`.
    pub fn blurred_conv2d_relu(&self, params: &Params, layer: &Conv, x: &Var) -> Result<Var> {
        match self.frozen(params, layer, x)? {
            Some((shape, bias)) => {
                let weight = params.weight(layer.weight);
                Ok(Var::constant(self.kernels().blurred_conv2d_relu(shape, weight, bias, x.tensor())?))
            }
            None => {
                let y = self.conv2d(params, layer, x, None)?;
                let (_, height, width, _) = y.tensor().dims4()?;
                self.activate(Activation::Relu, &self.resample(&y, [height, width].map(blur))?)
            }
        }
    }

    /// The largest value of each 3×3 window, then the blur.
    pub fn max_blur_pool(&self, x: &Var) -> Result<Var> {
        let (_, axes) = pool(x.tensor())?;
        if !x.wants_gradient() {
            return Ok(Var::constant(self.kernels().max_blur_pool(x.tensor())?));
        }
        self.resample(&self.max_pool(x, Window { size: 3, stride: 1, pad: 0 }, false)?, axes)
    }

    /// Shape and bias of a convolution of which no gradient is wanted.
    fn frozen<'p>(&self, params: &'p Params, layer: &Conv, x: &Var) -> Result<Option<(ConvShape, &'p Tensor)>> {
        let Conv { c_in, c_out, kernel, stride, pad, dilation, groups, .. } = *layer;
        let (batch, height, width, channels) = x.tensor().dims4()?;
        if channels != c_in {
            return Err(Error::invalid(format!("a convolution of {c_in} channels got {channels}")));
        }
        let shape = ConvShape { batch, height, width, c_in, c_out, kernel, stride, pad, dilation, groups };
        shape.check()?;
        let Some(bias) = layer.bias else { return Ok(None) };
        let is_trained = self.trains(params, layer.weight) || self.trains(params, bias);
        Ok((!is_trained && !x.wants_gradient()).then(|| (shape, params.get(bias))))
    }
}
