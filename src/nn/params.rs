//! Named weights of a network, apart from its structure: policy and reference share one structure.

use std::any::Any;
use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use super::kernels::{Compute, Kernels};
use super::tape::Var;
use super::tensors::{self, About, MAX_HEADER_BYTES, Named, Tensors};
use crate::random::Random;
use crate::weights::dtype::Dtype;
use crate::weights::{Packed, Source};
use crate::{Error, Result, input};

/// Names a weight within [`Params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamId(pub(super) usize);

/// How a weight starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    Zeros,
    Ones,
    /// Normal with this standard deviation.
    Normal(f32),
}

/// Name, shape and initial distribution of every weight of a network, in order.
#[derive(Clone, Debug, Default)]
pub struct Specs(Vec<Spec>);

#[derive(Clone, Debug)]
struct Spec {
    name: String,
    shape: Vec<usize>,
    init: Init,
    /// Its stream of random numbers.
    stream: u32,
}

impl Specs {
    /// Declares a weight.
    pub fn add(&mut self, name: String, shape: &[usize], init: Init) -> ParamId {
        let stream = self.0.len() as u32;
        self.add_on_stream(name, shape, init, stream)
    }

    /// [`Specs::add`] of a weight that starts the same whatever others there are.
    pub(super) fn add_on_stream(&mut self, name: String, shape: &[usize], init: Init, stream: u32) -> ParamId {
        self.0.push(Spec { name, shape: shape.to_vec(), init, stream });
        ParamId(self.0.len() - 1)
    }

    /// Name and shape of every weight, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize])> + Clone {
        self.0.iter().map(|spec| (spec.name.as_str(), spec.shape.as_slice()))
    }

    /// Number of values of all weights together.
    pub fn value_count(&self) -> usize {
        self.0.iter().map(|s| s.shape.iter().product::<usize>()).sum()
    }
}

/// Values of the largest weight of which other forms are kept.
pub const KEPT_VALUES: usize = 4 << 20;
/// The same of a weight that is trained.
pub const KEPT_VALUES_TRAINED: usize = 1 << 20;

/// One weight. It outlives the [`Params`] it came from as long as a tape needs it.
#[derive(Debug)]
pub struct Weight {
    /// The values; none where they are packed.
    tensor: Tensor,
    /// The matrix as it lies in its file, in fewer than 16 bits.
    packed: Option<Packed>,
    /// The weight brought into the forms that kernels read, by [`Form`]; dropped when its values change.
    forms: [Mutex<Option<Arc<dyn Any + Send + Sync>>>; 3],
    /// Whether a gradient is wanted.
    trainable: bool,
    /// Whether its forms are kept.
    keeps_forms: bool,
}

/// What a form of a weight is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The forward pass.
    Forward,
    /// The gradient of the input.
    Backward,
    /// The forward pass together with a blur.
    Blurred,
}

impl Weight {
    fn new(tensor: Tensor, trainable: bool) -> Arc<Self> {
        Arc::new(Self { tensor, packed: None, forms: Default::default(), trainable, keeps_forms: true })
    }

    /// A frozen matrix that is widened whenever it is computed with.
    fn of_packed(packed: Packed, device: &Device) -> Result<Arc<Self>> {
        let tensor = Tensor::zeros(0, DType::U8, device)?;
        let packed = Some(packed);
        Ok(Arc::new(Self { tensor, packed, forms: Default::default(), trainable: false, keeps_forms: false }))
    }

    /// The values in the type that they are kept in; in f32 where they are packed.
    pub fn tensor(&self) -> Result<Tensor> {
        match &self.packed {
            None => Ok(self.tensor.clone()),
            Some(packed) => packed.wide(),
        }
    }

    /// The type of [`Weight::tensor`].
    pub fn dtype(&self) -> DType {
        if self.packed.is_some() { DType::F32 } else { self.tensor.dtype() }
    }

    /// Rows in f32 by their numbers. Errors: there is no such row.
    pub fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        match &self.packed {
            None => {
                let ids = Tensor::from_slice(ids, ids.len(), self.tensor.device())?;
                Ok(self.tensor.index_select(&ids, 0)?.to_dtype(DType::F32)?)
            }
            Some(packed) => packed.rows(ids),
        }
    }

    /// Bytes that the values take as they are kept.
    pub fn byte_count(&self) -> usize {
        let dense = self.tensor.elem_count() * self.tensor.dtype().size_in_bytes();
        self.packed.as_ref().map_or(dense, Packed::byte_count)
    }

    /// Whether a gradient is wanted.
    pub fn is_trainable(&self) -> bool {
        self.trainable
    }

    /// The values in f32, whatever they are kept in.
    pub fn wide(&self) -> Result<Tensor> {
        Ok(self.tensor()?.to_dtype(DType::F32)?)
    }

    /// Whether forms of it are kept. Not those of 16-bit weights, which would take more than twice what the weight does; nor of
    /// large ones, of which the forms of a network of gigabytes would be gigabytes more; least of all where they are trained,
    /// as then each form is good for one pass.
    pub fn keeps_forms(&self) -> bool {
        let most = if self.trainable { KEPT_VALUES_TRAINED } else { KEPT_VALUES };
        self.keeps_forms && self.tensor.dtype() == DType::F32 && self.tensor.elem_count() <= most
    }

    /// The weight in a form that its kernels read, made when first asked for, and each time where [it is not
    /// kept](Self::keeps_forms).
    pub fn in_form<T: Any + Send + Sync>(&self, form: Form, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        if !self.keeps_forms() {
            return Ok(Arc::new(make()?));
        }
        let mut slot = self.slot(form);
        if let Some(Ok(known)) = slot.clone().map(Arc::downcast) {
            return Ok(known);
        }
        let made = Arc::new(make()?);
        *slot = Some(made.clone());
        Ok(made)
    }

    fn slot(&self, form: Form) -> MutexGuard<'_, Option<Arc<dyn Any + Send + Sync>>> {
        self.forms[form as usize].lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn forget_forms(&self) {
        [Form::Forward, Form::Backward, Form::Blurred].into_iter().for_each(|form| *self.slot(form) = None);
    }
}

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

    /// Fresh weights, a function of the seed alone.
    pub fn init(specs: &Arc<Specs>, seed: u64, compute: &Compute) -> Result<Self> {
        let tensor = |spec: &Spec| {
            let len = spec.shape.iter().product();
            let values = match spec.init {
                Init::Zeros => vec![0.0; len],
                Init::Ones => vec![1.0; len],
                Init::Normal(std) => {
                    let mut values = Random::new(seed, spec.stream).normal_image(1, 1, len);
                    values.iter_mut().for_each(|v| *v *= std);
                    values
                }
            };
            Ok(Tensor::from_vec(values, spec.shape.as_slice(), &compute.device)?)
        };
        let tensors = specs.0.iter().map(tensor).collect::<Result<_>>()?;
        Ok(Self::from_tensors(specs.clone(), compute, tensors))
    }

    /// Reads f32 or f16 safetensors; `origin` names them in errors.
    pub fn from_safetensors(specs: &Arc<Specs>, bytes: &[u8], origin: &Path, compute: &Compute) -> Result<Self> {
        let file = Tensors::of(bytes, origin)?;
        file.refuse_unknown(|name| specs.0.iter().any(|spec| spec.name == name))?;
        Self::read(specs, compute, |name, shape| file.values(name, shape))
    }

    /// Weights of the values that `values` has for each name and shape.
    pub(super) fn read(
        specs: &Arc<Specs>,
        compute: &Compute,
        values: impl Fn(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let tensor = |spec: &Spec| {
            Ok(Tensor::from_vec(values(&spec.name, &spec.shape)?, spec.shape.as_slice(), &compute.device)?)
        };
        let tensors = specs.0.iter().map(tensor).collect::<Result<_>>()?;
        Ok(Self::from_tensors(specs.clone(), compute, tensors))
    }

    /// From named tensors, which may be of any floating-point type, for a network that is never trained: in the precision of such.
    /// Errors: one is missing or has another shape; what else there is is not looked at.
    pub fn from_source(specs: &Arc<Specs>, source: &Source, compute: &Compute) -> Result<Self> {
        Self::in_type(specs, source, compute, compute.precision.frozen)
    }

    /// As [`Params::from_source`], for weights that are trained: f32.
    pub fn to_be_trained(specs: &Arc<Specs>, source: &Source, compute: &Compute) -> Result<Self> {
        Self::in_type(specs, source, compute, DType::F32)
    }

    /// As [`Params::from_source`], each matrix in the type of its file, packed ones as they lie there; where another precision than
    /// f32 is asked for, all that have 16 bits or more are in that.
    pub fn as_stored(specs: &Arc<Specs>, source: &Source, compute: &Compute) -> Result<Self> {
        let (asked, device) = (compute.precision.frozen, &compute.device);
        let weight = |spec: &Spec| {
            let Spec { name, shape, .. } = spec;
            if shape.len() >= 2
                && let Some(packed) = source.packed(name, shape, device)?
            {
                return Weight::of_packed(packed, device);
            }
            let own = match source.dtype(name) {
                Some(Dtype::F16) => DType::F16,
                Some(Dtype::Bf16) => DType::BF16,
                _ => DType::F32,
            };
            let dtype = match asked {
                _ if shape.len() < 2 => DType::F32,
                DType::F32 => own,
                asked => asked,
            };
            Ok(Weight::new(source.tensor(name, shape, dtype, device)?, false))
        };
        let weights = specs.0.par_iter().map(weight).collect::<Result<_>>()?;
        Ok(Self { specs: specs.clone(), compute: compute.clone(), weights })
    }

    /// Each at once in the type that it is kept in, matrices in `dtype`, on all threads: such networks have gigabytes.
    fn in_type(specs: &Arc<Specs>, source: &Source, compute: &Compute, dtype: DType) -> Result<Self> {
        let tensor = |spec: &Spec| {
            let dtype = if spec.shape.len() < 2 { DType::F32 } else { dtype };
            source.tensor(&spec.name, &spec.shape, dtype, &compute.device)
        };
        let tensors = specs.0.par_iter().map(tensor).collect::<Result<_>>()?;
        Ok(Self::from_tensors(specs.clone(), compute, tensors))
    }

    /// As [`Params::from_source`], of the values that `values` makes of a name and a shape: where what is computed with is not what
    /// is published, but follows from it.
    pub fn from_values(
        specs: &Arc<Specs>,
        compute: &Compute,
        values: impl Fn(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        // One by one, so that no more than one of them exists in 32 bits.
        let tensor = |spec: &Spec| {
            let values = values(&spec.name, &spec.shape)?;
            let tensor = Tensor::from_vec(values, spec.shape.as_slice(), &compute.device)?;
            narrow(&spec.name, tensor, compute.precision.frozen)
        };
        let tensors = specs.0.iter().map(tensor).collect::<Result<_>>()?;
        Ok(Self::from_tensors(specs.clone(), compute, tensors))
    }

    /// Reads a safetensors file, of a size that these weights can have.
    pub fn load(specs: &Arc<Specs>, path: &Path, compute: &Compute) -> Result<Self> {
        Self::from_safetensors(specs, &Self::read_file(specs, path)?, path, compute)
    }

    /// The bytes of a weights file. Errors: it is no file, or larger than the weights of these specs can be.
    pub fn read_file(specs: &Specs, path: &Path) -> Result<Vec<u8>> {
        input::read(path, MAX_HEADER_BYTES + 4 * specs.value_count() as u64)
    }

    /// As the bytes of a safetensors file, f32 or (`half`) f16; `about` goes into the header.
    pub fn to_safetensors(&self, half: bool, about: &About) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let named = self.iter().map(|(name, tensor)| Named::of(name, tensor)).collect();
        tensors::write(&mut bytes, about, named, half).map_err(Error::invalid)?;
        Ok(bytes)
    }

    /// Zeros of the same shapes, of which there are no more than the largest weight has: all share them.
    pub fn zeros(&self) -> Result<Self> {
        let largest = self.iter().map(|(_, tensor)| tensor.elem_count()).max().unwrap_or(0);
        let all = Tensor::zeros(largest, DType::F32, self.device())?;
        let of = |(_, tensor): (&str, &Tensor)| Ok(all.narrow(0, 0, tensor.elem_count())?.reshape(tensor.shape())?);
        let tensors = self.iter().map(of).collect::<Result<_>>()?;
        Ok(Self::from_tensors(self.specs.clone(), &self.compute, tensors).lean())
    }

    /// A deep copy: later updates of one do not touch the other.
    pub fn duplicate(&self) -> Result<Self> {
        let copy = |weight: &Arc<Weight>| Ok(Weight::new(weight.tensor.copy()?, weight.trainable));
        let weights = self.weights.iter().map(copy).collect::<Result<_>>()?;
        Ok(Self { weights, ..self.clone() })
    }

    /// The same weights with gradients wanted (`true`) or frozen.
    pub fn trainable(self, trainable: bool) -> Self {
        self.trainable_where(|_| trainable)
    }

    /// The same weights with gradients wanted for those whose name says so.
    pub fn trainable_where(self, wanted: impl Fn(&str) -> bool) -> Self {
        let weights = self.iter().map(|(name, tensor)| Weight::new(tensor.clone(), wanted(name))).collect();
        Self { weights, ..self }
    }

    /// The same weights, of which no other forms are kept: for a network that is seldom at work.
    pub fn lean(self) -> Self {
        self.lean_where(|_| true)
    }

    /// The same weights, without other forms of the large kernels: for a network of gigabytes. Transformed, kernels are four times
    /// as large, and transforming them is a small part of a convolution.
    pub fn without_large_forms(self) -> Self {
        self.lean_where(|weight| weight.rank() == 4 && weight.elem_count() > KEPT_VALUES_TRAINED)
    }

    fn lean_where(mut self, is_lean: impl Fn(&Tensor) -> bool) -> Self {
        for weight in self.weights.iter_mut().filter(|weight| is_lean(&weight.tensor)) {
            let (tensor, trainable) = (weight.tensor.clone(), weight.trainable);
            // What is packed keeps no forms as it is.
            if weight.packed.is_none() {
                *weight =
                    Arc::new(Weight { tensor, packed: None, forms: Default::default(), trainable, keeps_forms: false });
            }
        }
        self
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
            true => Ok(Weight::new(weight.tensor.copy()?, true)),
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
            false if weight.packed.is_some() => Ok(weight.clone()),
            false => Ok(Weight::new(narrow(name, weight.tensor.clone(), dtype)?, false)),
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

    /// The values of one weight that is not packed.
    pub fn get(&self, id: ParamId) -> &Tensor {
        &self.weights[id.0].tensor
    }

    /// All weights with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.specs.0.iter().map(|s| s.name.as_str()).zip(self.weights.iter().map(|weight| &weight.tensor))
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
            self.compute.kernels.lerp(&mine.tensor, &theirs.tensor, 1.0 - decay as f32)?;
        }
        self.touch();
        Ok(())
    }

    /// All values of all weights, one after the other.
    pub fn to_flat(&self) -> Result<Vec<f32>> {
        let mut flat = Vec::with_capacity(self.specs.value_count());
        for (_, t) in self.iter() {
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

/// A frozen weight as it is kept in `dtype`: vectors stay f32.
fn narrow(name: &str, tensor: Tensor, dtype: DType) -> Result<Tensor> {
    if dtype == DType::F32 || tensor.rank() < 2 {
        return Ok(tensor);
    }
    let fits = dtype != DType::F16 || tensor.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()? <= 65504.0;
    match fits {
        true => Ok(tensor.to_dtype(dtype)?),
        false => Err(Error::invalid(format!("the weight {name:?} is too large for {dtype:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    #[test]
    fn a_file_that_is_not_these_weights_is_one_line_of_error() {
        let mut specs = Specs::default();
        specs.add("a".into(), &[2, 2], Init::Ones);
        let specs = Arc::new(specs);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let error = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Params::load(&specs, &path, &Compute::cpu()).err().map(|e| e.to_string())
        };
        let file = |named: &[(&str, &[usize], Dtype, &[u8])]| {
            let views = named
                .iter()
                .map(|(name, shape, dtype, data)| (*name, TensorView::new(*dtype, shape.to_vec(), data).unwrap()));
            safetensors::serialize(views, None).unwrap()
        };
        let values = |v: [f32; 4]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let good = values([1.0, 2.0, 3.0, 4.0]);
        assert_eq!(error(&file(&[("a", &[2, 2], Dtype::F32, &good)])), None);
        let half_infinity = [0, 0x7C].repeat(4);
        for (bytes, cause) in [
            (file(&[("a", &[4], Dtype::F32, &good)]), "shape [4], not [2, 2]"),
            (file(&[("b\n", &[2, 2], Dtype::F32, &good)]), "\"b\\n\" is not one of"),
            (file(&[("a", &[2, 2], Dtype::F32, &good), ("b", &[2, 2], Dtype::F32, &good)]), "\"b\" is not one of"),
            (file(&[]), "\"a\" is missing"),
            (file(&[("a", &[2, 2], Dtype::F32, &values([1.0, f32::NAN, 0.0, 0.0]))]), "contains NaN"),
            (file(&[("a", &[2, 2], Dtype::F16, &half_infinity)]), "contains inf"),
            (file(&[("a", &[2, 2], Dtype::I32, &good)]), "type I32"),
            (vec![0; MAX_HEADER_BYTES as usize + 17], "over the limit"),
            (b"PK".to_vec(), "not a readable safetensors file"),
            (Vec::new(), "not a readable safetensors file"),
        ] {
            let error = error(&bytes).unwrap_or_else(|| panic!("{cause}: accepted"));
            assert!(error.starts_with(&path.display().to_string()) && error.contains(cause), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        let folder = Params::load(&specs, dir.path(), &Compute::cpu()).err().unwrap().to_string();
        assert!(folder.contains("is a directory"), "{folder}");
    }
}
