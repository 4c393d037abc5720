//! Named weights of a network, apart from its structure: policy and reference share one structure.
//!
//! * `specs`: their names and shapes. `weight`: one of them. `reading`: where they come from. `at_hand`: those that need not be in
//!   memory.

mod at_hand;
mod reading;
mod specs;
mod weight;

use std::fmt::Display;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use super::kernels::{Compute, Kernels};
use super::tape::Var;
use super::tensors::{self, About, Named};
use crate::{Error, Result};
pub use specs::{Init, ParamId, Specs};
use weight::narrow;
pub use weight::{Form, KEPT_VALUES, KEPT_VALUES_TRAINED, Weight};

/// The weights of one network: f32 tensors on one device, in the order of their [`Specs`]. A clone shares them;
/// [`Params::duplicate`] does not.
#[derive(Clone)]
pub struct Params {
    specs: Arc<Specs>,
    compute: Compute,
    weights: Vec<Arc<Weight>>,
}

impl Params {
    fn from_tensors(specs: Arc<Specs>, compute: &Compute, tensors: Vec<Tensor>) -> Self {
        let weights = tensors.into_iter().map(|tensor| Weight::new(tensor, false)).collect();
        Self { specs, compute: compute.clone(), weights }
    }

    /// As the bytes of a safetensors file, f32 or (`half`) f16; `about` goes into the header.
    pub fn to_safetensors(&self, half: bool, about: &About) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let all = self.tensors()?;
        let named = all.iter().map(|(name, tensor)| Named::of(*name, tensor)).collect();
        tensors::write(&mut bytes, about, named, half).map_err(Error::invalid)?;
        Ok(bytes)
    }

    /// Zeros of the same shapes, of which there are no more than the largest weight has: all share them.
    pub fn zeros(&self) -> Result<Self> {
        let count = |shape: &[usize]| shape.iter().product::<usize>();
        let largest = self.specs.iter().map(|(_, shape)| count(shape)).max().unwrap_or(0);
        let all = Tensor::zeros(largest, DType::F32, self.device())?;
        let of = |(_, shape): (&str, &[usize])| Ok(all.narrow(0, 0, count(shape))?.reshape(shape)?);
        let tensors = self.specs.iter().map(of).collect::<Result<_>>()?;
        Ok(Self::from_tensors(self.specs.clone(), &self.compute, tensors).lean())
    }

    /// A deep copy: later updates of one do not touch the other.
    pub fn duplicate(&self) -> Result<Self> {
        let copy = |weight: &Arc<Weight>| Ok(Weight::new(weight.tensor()?.copy()?, weight.trainable));
        let weights = self.weights.iter().map(copy).collect::<Result<_>>()?;
        Ok(Self { weights, ..self.clone() })
    }

    /// The same weights with gradients wanted (`true`) or frozen.
    pub fn trainable(self, trainable: bool) -> Self {
        self.trainable_where(|_| trainable)
    }

    /// The same weights with gradients wanted for those whose name says so.
    pub fn trainable_where(self, wanted: impl Fn(&str) -> bool) -> Self {
        let weights = self.named().map(|(name, weight)| weight.like(wanted(name), !weight.is_packed())).collect();
        Self { weights, ..self }
    }

    /// The same weights, of which no other forms are kept: for a network that is seldom at work.
    pub fn lean(self) -> Self {
        self.lean_where(|_| true)
    }

    /// The same weights, without other forms of the large kernels: for a network of gigabytes. Transformed, kernels are four times
    /// as large, and transforming them is a small part of a convolution.
    pub fn without_large_forms(self) -> Self {
        self.lean_where(|weight| matches!(weight.size(), (_, count, 4) if count > KEPT_VALUES_TRAINED))
    }

    /// The same weights for a single pass: no other forms are kept of what can be let go of.
    pub fn for_once(&self) -> Self {
        self.clone().lean_where(Weight::is_at_hand)
    }

    fn lean_where(mut self, is_lean: impl Fn(&Weight) -> bool) -> Self {
        for weight in self.weights.iter_mut().filter(|weight| is_lean(weight)) {
            *weight = weight.like(weight.trainable, false);
        }
        self
    }

    /// Gives back what is at hand and can be had again: all forms, and the values of those whose name says so. Who computes with
    /// them meanwhile keeps them as long.
    pub fn let_go(&self, which: impl Fn(&str) -> bool) {
        self.named().for_each(|(name, weight)| weight.let_go(which(name)));
    }

    /// Reads what was let go of and has such a name, on all threads.
    pub fn bring(&self, which: impl Fn(&str) -> bool) -> Result<()> {
        let all: Vec<_> = self.named().filter(|(name, weight)| weight.is_at_hand() && which(name)).collect();
        all.into_par_iter().try_for_each(|(_, weight)| weight.tensor().map(drop))
    }

    /// A copy on another device; gradients are wanted of the same.
    pub fn copied_to(&self, on: &Compute) -> Result<Self> {
        let copy = |weight: &Arc<Weight>| Ok(Weight::new(weight.tensor()?.to_device(&on.device)?, weight.trainable));
        let weights = self.weights.iter().map(copy).collect::<Result<_>>()?;
        Ok(Self { specs: self.specs.clone(), compute: on.clone(), weights })
    }

    /// These weights with the values that `of` has on another device for those that are trained.
    pub fn with_trained_of(&self, of: &Params) -> Result<Self> {
        let one = |(mine, other): (&Arc<Weight>, &Arc<Weight>)| match other.trainable {
            true => Ok(Weight::new(other.tensor()?.to_device(self.device())?, true)),
            false => Ok(mine.clone()),
        };
        let weights = self.weights.iter().zip(&of.weights).map(one).collect::<Result<_>>()?;
        Ok(Self { weights, ..self.clone() })
    }

    /// Weights to be trained: a copy of those whose name says so, gradients wanted, beside the others themselves.
    pub fn to_train(&self, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let of = |(name, weight): (&str, &Arc<Weight>)| match wanted(name) {
            // What is large enough to be let go of is so here too: each form of it would be good for one pass.
            true => Ok(Weight::new(weight.tensor()?.copy()?, true).like(true, !weight.is_at_hand())),
            false => Ok(weight.clone()),
        };
        let weights = self.named().map(of).collect::<Result<_>>()?;
        Ok(Self { weights, ..self.clone() })
    }

    /// The weights that a gradient is wanted for, alone: the same ones and not copies, with their places among all.
    pub fn trained(&self) -> (Vec<ParamId>, Self) {
        let all = self.specs.0.iter().zip(&self.weights).enumerate();
        let (mut ids, mut specs, mut weights) = (Vec::new(), Specs::default(), Vec::new());
        for (index, (spec, weight)) in all.filter(|(_, (_, weight))| weight.trainable) {
            ids.push(ParamId(index));
            specs.0.push(spec.clone());
            weights.push(weight.clone());
        }
        (ids, Self { specs: Arc::new(specs), compute: self.compute.clone(), weights })
    }

    /// These weights with some replaced by `others`, which have their places in `ids`; nothing is copied.
    pub fn with(&self, ids: &[ParamId], others: &Params) -> Self {
        let mut weights = self.weights.clone();
        for (id, other) in ids.iter().zip(&others.weights) {
            weights[id.0] = other.clone();
        }
        Self { weights, ..self.clone() }
    }

    /// Values on the device of these weights.
    pub(super) fn tensor(&self, values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::from_vec(values, shape, self.device())?)
    }

    /// These weights with some replaced by tensors, which have their places in `ids`.
    pub(super) fn with_tensors(&self, ids: &[ParamId], tensors: Vec<Tensor>) -> Self {
        let mut weights = self.weights.clone();
        for (id, tensor) in ids.iter().zip(tensors) {
            weights[id.0] = Weight::new(tensor, false);
        }
        Self { weights, ..self.clone() }
    }

    /// Whether a weight is the very one that `other` has, and not a copy.
    pub fn shares(&self, id: ParamId, other: &Params) -> bool {
        other.weights.get(id.0).is_some_and(|weight| Arc::ptr_eq(weight, &self.weights[id.0]))
    }

    /// The frozen matrices and kernels kept in 16 bits (`BF16` or `F16`) and widened layer by layer where they are computed
    /// with; vectors, and what is trained, stay f32. Results are those of the rounded weights in f32. Errors: a weight does not fit
    /// the type.
    pub fn narrowed(&self, dtype: DType) -> Result<Self> {
        let narrow = |(name, weight): (&str, &Arc<Weight>)| match weight.trainable {
            true => Ok(weight.clone()),
            false if weight.is_packed() || weight.is_at_hand() => Ok(weight.clone()),
            false => Ok(Weight::new(narrow(name, weight.tensor()?, dtype)?, false)),
        };
        let weights = self.named().map(narrow).collect::<Result<_>>()?;
        Ok(Self { weights, ..self.clone() })
    }

    /// Bytes that the weights take as they are kept.
    pub fn byte_count(&self) -> usize {
        self.weights.iter().map(|weight| weight.byte_count()).sum()
    }

    /// Whether a gradient is wanted for any weight.
    pub fn is_any_trainable(&self) -> bool {
        self.weights.iter().any(|weight| weight.trainable)
    }

    /// Names and shapes.
    pub fn specs(&self) -> &Arc<Specs> {
        &self.specs
    }

    /// The device of all weights.
    pub fn device(&self) -> &Device {
        &self.compute.device
    }

    /// What computes on them.
    pub fn kernels(&self) -> &Arc<dyn Kernels> {
        &self.compute.kernels
    }

    /// Their device and what computes on it.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// [`Compute::is_watched`].
    pub fn is_watched(&self) -> bool {
        self.compute.is_watched()
    }

    /// [`Compute::tap`] of a feature.
    pub fn tap(&self, name: impl Display, feature: &Var) {
        self.compute.tap(name, feature.tensor());
    }

    /// One weight.
    pub fn weight(&self, id: ParamId) -> &Arc<Weight> {
        &self.weights[id.0]
    }

    /// The values of one weight that is kept in memory as it is: vectors, and all of networks that are neither packed nor at hand.
    pub fn get(&self, id: ParamId) -> &Tensor {
        self.weights[id.0].held()
    }

    /// All weights with their names, of a network whose weights are kept in memory as they are; of any: [`Params::tensors`].
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.named().map(|(name, weight)| (name, weight.held()))
    }

    /// All weights with their names, whatever they are kept in. Errors: a file cannot be read again.
    pub fn tensors(&self) -> Result<Vec<(&str, Tensor)>> {
        self.named().map(|(name, weight)| Ok((name, weight.tensor()?))).collect()
    }

    fn named(&self) -> impl Iterator<Item = (&str, &Arc<Weight>)> {
        self.specs.0.iter().map(|s| s.name.as_str()).zip(&self.weights)
    }

    /// Number of weight tensors.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there is no weight at all.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Must be called after the values of the weights were changed in place.
    pub fn touch(&mut self) {
        self.weights.iter().for_each(|weight| weight.forget_forms());
    }

    /// [`Params::touch`] of one weight.
    pub(super) fn touch_one(&mut self, id: ParamId) {
        self.weights[id.0].forget_forms();
    }

    /// Moves all weights a little towards `other`: `self = decay · self + (1 − decay) · other`.
    pub fn average_with(&mut self, other: &Params, decay: f64) -> Result<()> {
        for (mine, theirs) in self.weights.iter().zip(&other.weights) {
            self.compute.kernels.lerp(mine.held(), theirs.held(), 1.0 - decay as f32)?;
        }
        self.touch();
        Ok(())
    }

    /// All values of all weights, one after the other.
    pub fn to_flat(&self) -> Result<Vec<f32>> {
        let mut flat = Vec::with_capacity(self.specs.value_count());
        for (_, t) in self.tensors()? {
            flat.extend(t.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(flat)
    }

    /// Sets all values from what [`Params::to_flat`] gave.
    pub fn set_flat(&mut self, flat: &[f32]) -> Result<()> {
        if flat.len() != self.specs.value_count() {
            return Err(Error::invalid("the number of values does not fit the network"));
        }
        let mut rest = flat;
        let cut = |(_, tensor): (&str, &Tensor)| {
            let (head, tail) = rest.split_at(tensor.elem_count());
            rest = tail;
            head.to_vec()
        };
        let values = self.iter().map(cut).collect();
        self.set_values(values)
    }

    /// Sets the values of all weights, in their order.
    pub(super) fn set_values(&mut self, values: Vec<Vec<f32>>) -> Result<()> {
        for ((_, tensor), values) in self.iter().zip(values) {
            tensor.slice_set(&Tensor::from_vec(values, tensor.shape(), self.device())?, 0, 0)?;
        }
        self.touch();
        Ok(())
    }
}
