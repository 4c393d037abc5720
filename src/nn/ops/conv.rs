//! Convolution and fully connected layers.

use candle_core::Tensor;

use crate::nn::kernels::shape::ConvShape;
use crate::nn::layers::{Conv, Linear};
use crate::nn::params::{ParamId, Params};
use crate::nn::tape::{Gradients, Tape, Var};
use crate::{Error, Result};

impl Tape {
    /// Convolution of an image, plus `residual` of the output's shape.
    pub fn conv2d(&self, params: &Params, layer: &Conv, x: &Var, residual: Option<&Var>) -> Result<Var> {
        let Conv { c_out, kernel, stride, pad, dilation, groups, .. } = *layer;
        let (batch, height, width, c_in) = x.tensor().dims4()?;
        if c_in != layer.c_in {
            return Err(Error::invalid(format!("a convolution of {} channels got {c_in}", layer.c_in)));
        }
        let shape = ConvShape { batch, height, width, c_in, c_out, kernel, stride, pad, dilation, groups };
        shape.check()?;
        self.convolve(params, shape, layer.weight, layer.bias, x, residual)
    }

    /// A fully connected layer on the last dimension.
    pub fn linear(&self, params: &Params, layer: &Linear, x: &Var) -> Result<Var> {
        self.multiplied(params, layer, x, None)
    }

    /// A fully connected layer on the last dimension, plus `residual` of the output's shape.
    pub fn linear_onto(&self, params: &Params, layer: &Linear, x: &Var, residual: &Var) -> Result<Var> {
        self.multiplied(params, layer, x, Some(residual))
    }

    fn multiplied(&self, params: &Params, layer: &Linear, x: &Var, residual: Option<&Var>) -> Result<Var> {
        let Linear { c_in, c_out, .. } = *layer;
        let mut dims = x.tensor().dims().to_vec();
        match dims.pop() {
            Some(width) if width == c_in => dims.push(c_out),
            width => return Err(Error::invalid(format!("a layer of {c_in} inputs got {width:?}"))),
        }
        let rows = x.tensor().elem_count() / c_in.max(1);
        let x = self.reshape(x, &[rows, 1, 1, c_in])?;
        let residual = residual.map(|residual| self.reshape(residual, &[rows, 1, 1, c_out])).transpose()?;
        let shape = ConvShape::linear(rows, c_in, c_out);
        self.reshape(&self.convolve(params, shape, layer.weight, layer.bias, &x, residual.as_ref())?, &dims)
    }

    fn convolve(
        &self,
        params: &Params,
        shape: ConvShape,
        weight_id: ParamId,
        bias: Option<ParamId>,
        x: &Var,
        residual: Option<&Var>,
    ) -> Result<Var> {
        let weight = params.weight(weight_id);
        let values = bias.map(|bias| params.get(bias));
        let y = self.kernels().conv2d(shape, weight, values, x.tensor(), residual.map(Var::tensor))?;
        let trains_weight = self.trains(params, weight_id);
        let trained_bias = bias.filter(|bias| self.trains(params, *bias));
        let wanted =
            trains_weight || trained_bias.is_some() || x.wants_gradient() || residual.is_some_and(Var::wants_gradient);
        Ok(self.push(y, wanted, || {
            let (slot, residual, weight, kernels) =
                (x.slot(), residual.map(Var::slot), weight.clone(), self.kernels().clone());
            // Only the weight's gradient reads the input.
            let x = trains_weight.then(|| x.tensor().clone());
            move |dy: &Tensor, sink: &mut Gradients| {
                if let Some(residual) = residual {
                    sink.add(residual, dy.clone())?;
                }
                if let Some(x) = x {
                    sink.add_param(weight_id, kernels.conv2d_weight_gradient(shape, &weight, &x, dy)?)?;
                }
                if let Some(bias) = trained_bias {
                    sink.add_param(bias, kernels.bias_gradient(dy)?)?;
                }
                if slot.wants_gradient() {
                    sink.add(slot, kernels.conv2d_input_gradient(shape, &weight, dy)?)?;
                }
                Ok(())
            }
        }))
    }
}
