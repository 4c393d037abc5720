//! Group, layer and RMS normalization.

use candle_core::Tensor;

use super::arithmetic::width_of;
use crate::nn::kernels::shape::{Center, NormShape, RowNorm};
use crate::nn::layers::{GroupNorm, LayerNorm, RmsNorm};
use crate::nn::params::{ParamId, Params};
use crate::nn::tape::{Gradients, Tape, Var};
use crate::{Error, Result};

impl Tape {
    /// Group normalization of an image, scale and shift per image (`[batch, 2·channels]`, `y = ŷ·(1 + scale) + shift`), SiLU:
    /// one pass over the activations.
    pub fn group_norm(
        &self,
        params: &Params,
        layer: &GroupNorm,
        x: &Var,
        scale_shift: Option<&Var>,
        silu: bool,
    ) -> Result<Var> {
        let GroupNorm { affine: ids, groups, eps, .. } = *layer;
        let (batch, height, width, channels) = x.tensor().dims4()?;
        if channels != layer.channels || groups == 0 || channels % groups != 0 {
            let message = format!("a normalization of {} channels in {groups} groups got {channels}", layer.channels);
            return Err(Error::invalid(message));
        }
        let shape = NormShape { batch, pixels: height * width, channels, groups, eps, silu };
        let affine = ids.map(|ids| ids.map(|id| params.get(id)));
        let (y, saved) = self.kernels().group_norm(shape, affine, x.tensor(), scale_shift.map(Var::tensor))?;
        let trains = |id: &ParamId| self.trains(params, *id);
        let any = ids.iter().flatten().any(trains);
        let trained: Vec<(ParamId, bool)> = ids.iter().flatten().map(|id| (*id, trains(id))).collect();
        let wanted = any || x.wants_gradient() || scale_shift.is_some_and(Var::wants_gradient);
        Ok(self.push(y, wanted, || {
            let (x, scale_shift, kernels) = (x.clone(), scale_shift.cloned(), self.kernels().clone());
            let affine = affine.map(|affine| affine.map(Tensor::clone));
            move |dy: &Tensor, sink: &mut Gradients| {
                let affine = affine.as_ref().map(|affine| affine.each_ref());
                let scales = scale_shift.as_ref().map(Var::tensor);
                let gradients = kernels.group_norm_gradients(shape, affine, x.tensor(), scales, &saved, dy, any)?;
                for ((id, trains), gradient) in trained.into_iter().zip(gradients.affine.into_iter().flatten()) {
                    sink.add_wanted(id, gradient, trains)?;
                }
                if let (Some(scale_shift), Some(gradient)) = (&scale_shift, gradients.scale_shift) {
                    sink.add(scale_shift, gradient)?;
                }
                sink.add(&x, gradients.x)
            }
        }))
    }

    /// Layer normalization along the last dimension.
    pub fn layer_norm(&self, params: &Params, layer: &LayerNorm, x: &Var) -> Result<Var> {
        let norm = RowNorm { width: layer.channels, center: Center::Mean, eps: layer.eps };
        self.row_norm(params, norm, layer.affine.map(|[w, _]| w), layer.affine.map(|[_, b]| b), x)
    }

    /// RMS normalization along the last dimension.
    pub fn rms_norm(&self, params: &Params, layer: &RmsNorm, x: &Var) -> Result<Var> {
        let norm = RowNorm { width: layer.channels, center: Center::Zero, eps: layer.eps };
        self.row_norm(params, norm, layer.weight, None, x)
    }

    fn row_norm(
        &self,
        params: &Params,
        norm: RowNorm,
        weight: Option<ParamId>,
        bias: Option<ParamId>,
        x: &Var,
    ) -> Result<Var> {
        let width = width_of(x)?;
        if width != norm.width {
            return Err(Error::invalid(format!("a normalization of {} channels got {width}", norm.width)));
        }
        let values = |id: Option<ParamId>| id.map(|id| params.get(id));
        let y = self.kernels().row_norm(norm, values(weight), values(bias), x.tensor())?;
        let trained = [weight, bias].map(|id| id.filter(|id| self.trains(params, *id)));
        Ok(self.push(y, x.wants_gradient() || trained.iter().any(Option::is_some), || {
            let (x, weight, kernels) = (x.clone(), values(weight).cloned(), self.kernels().clone());
            move |dy: &Tensor, sink: &mut Gradients| {
                let [dx, dw, db] = kernels.row_norm_gradients(norm, weight.as_ref(), x.tensor(), dy)?;
                for (id, gradient) in trained.into_iter().zip([dw, db]) {
                    if let Some(id) = id {
                        sink.add_param(id, gradient)?;
                    }
                }
                sink.add(&x, dx)
            }
        }))
    }
}
