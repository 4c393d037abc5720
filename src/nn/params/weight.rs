//! One weight: its values, in what they are kept, and the forms that kernels make of it.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard};

use candle_core::{DType, Device, Tensor};

use super::at_hand::AtHand;
use crate::weights::Packed;
use crate::{Error, Result};

/// Values of the largest weight of which other forms are kept.
pub const KEPT_VALUES: usize = 4 << 20;
/// The same of a weight that is trained.
pub const KEPT_VALUES_TRAINED: usize = 1 << 20;

/// What a weight's values are kept in.
#[derive(Clone, Debug)]
enum Values {
    Held(Tensor),
    /// The matrix as it lies in its file, in fewer than 16 bits, and a tensor of nothing.
    Packed(Arc<Packed>, Tensor),
    /// A matrix that need not be in memory, and a tensor of nothing.
    AtHand(Arc<AtHand>, Tensor),
}

/// One weight. It outlives the [`Params`] it came from as long as a tape needs it.
#[derive(Debug)]
pub struct Weight {
    values: Values,
    /// The weight brought into the forms that kernels read, by [`Form`]; dropped when its values change.
    forms: [Mutex<Option<Arc<dyn Any + Send + Sync>>>; 4],
    /// Whether a gradient is wanted.
    pub(super) trainable: bool,
    /// Whether its forms are kept.
    pub(super) keeps_forms: bool,
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
    /// Every product, see [`Weight::rounded`].
    Rounded,
}

impl Weight {
    fn of(values: Values, trainable: bool, keeps_forms: bool) -> Arc<Self> {
        Arc::new(Self { values, forms: Default::default(), trainable, keeps_forms })
    }

    pub(super) fn new(tensor: Tensor, trainable: bool) -> Arc<Self> {
        Self::of(Values::Held(tensor), trainable, true)
    }

    /// A frozen matrix that is widened whenever it is computed with.
    pub(super) fn of_packed(packed: Packed, device: &Device) -> Result<Arc<Self>> {
        Ok(Self::of(Values::Packed(Arc::new(packed), nothing(device)?), false, false))
    }

    /// A frozen matrix that can be let go of and read again.
    pub(super) fn at_hand(file: AtHand) -> Result<Arc<Self>> {
        let nothing = nothing(file.device())?;
        Ok(Self::of(Values::AtHand(Arc::new(file), nothing), false, true))
    }

    /// The same values, of which a gradient is wanted or not, and forms are kept or not.
    pub(super) fn like(&self, trainable: bool, keeps_forms: bool) -> Arc<Self> {
        Self::of(self.values.clone(), trainable, keeps_forms)
    }

    /// Gives back what can be had again: the forms, and with `all` the values themselves. Of what is kept in memory, nothing.
    pub(super) fn let_go(&self, all: bool) {
        if let Values::AtHand(file, _) = &self.values {
            self.forget_forms();
            if all {
                file.let_go();
            }
        }
    }

    /// Whether [`Weight::let_go`] gives anything back.
    pub fn is_at_hand(&self) -> bool {
        matches!(self.values, Values::AtHand(..))
    }

    /// Whether the values are in memory.
    pub fn is_in_memory(&self) -> bool {
        match &self.values {
            Values::AtHand(file, _) => file.is_in_memory(),
            _ => true,
        }
    }

    pub(super) fn is_packed(&self) -> bool {
        matches!(self.values, Values::Packed(..))
    }

    /// The values, where they are kept in memory as they are; else a tensor of nothing.
    pub(super) fn held(&self) -> &Tensor {
        match &self.values {
            Values::Held(tensor) | Values::Packed(_, tensor) | Values::AtHand(_, tensor) => tensor,
        }
    }

    /// The values in the type that they are kept in; in f32 where they are packed. Errors: their file cannot be read, or is not what
    /// it was.
    pub fn tensor(&self) -> Result<Tensor> {
        match &self.values {
            Values::Held(tensor) => Ok(tensor.clone()),
            Values::Packed(packed, _) => packed.wide(),
            Values::AtHand(file, _) => file.tensor(),
        }
    }

    /// Their type, number and number of dimensions; of packed ones those of [`Weight::tensor`]'s type and of nothing.
    pub(super) fn size(&self) -> (DType, usize, usize) {
        match &self.values {
            Values::Held(tensor) => (tensor.dtype(), tensor.elem_count(), tensor.rank()),
            Values::Packed(..) => (DType::F32, 0, 0),
            Values::AtHand(file, _) => (file.dtype(), file.shape().iter().product(), file.shape().len()),
        }
    }

    /// The type of [`Weight::tensor`].
    pub fn dtype(&self) -> DType {
        self.size().0
    }

    /// Rows in f32 by their numbers. Errors: there is no such row.
    pub fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        if let Values::Packed(packed, _) = &self.values {
            return packed.rows(ids);
        }
        let all = self.tensor()?;
        let ids = Tensor::from_slice(ids, ids.len(), all.device())?;
        Ok(all.index_select(&ids, 0)?.to_dtype(DType::F32)?)
    }

    /// Bytes that the values take as they are kept, also those that are let go of.
    pub fn byte_count(&self) -> usize {
        let (dtype, count, _) = self.size();
        match &self.values {
            Values::Packed(packed, _) => packed.byte_count(),
            _ => count * dtype.size_in_bytes(),
        }
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
        let (dtype, count, _) = self.size();
        self.keeps_forms && dtype == DType::F32 && count <= most
    }

    /// The weight in a form that its kernels read, made when first asked for, and each time where [it is not
    /// kept](Self::keeps_forms).
    pub fn in_form<T: Any + Send + Sync>(&self, form: Form, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        if self.keeps_forms() { self.kept(form, make) } else { Ok(Arc::new(make()?)) }
    }

    /// The values in bf16. Of what is kept in f32 the copy is made when it is first asked for and stays until the values change: once in
    /// a step of training, however often they are multiplied with. Where forms are not to be kept at all it is made each time.
    pub fn rounded(&self) -> Result<Tensor> {
        let make = || Ok(self.tensor()?.to_dtype(DType::BF16)?);
        match self.keeps_forms && self.dtype() != DType::BF16 {
            true => Ok(Tensor::clone(&*self.kept(Form::Rounded, make)?)),
            false => make(),
        }
    }

    fn kept<T: Any + Send + Sync>(&self, form: Form, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
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

    pub(super) fn forget_forms(&self) {
        let all = [Form::Forward, Form::Backward, Form::Blurred, Form::Rounded];
        all.into_iter().for_each(|form| *self.slot(form) = None);
    }
}

fn nothing(device: &Device) -> Result<Tensor> {
    Ok(Tensor::zeros(0, DType::U8, device)?)
}

/// A frozen weight as it is kept in `dtype`: vectors stay f32.
pub(super) fn narrow(name: &str, tensor: Tensor, dtype: DType) -> Result<Tensor> {
    if dtype == DType::F32 || tensor.rank() < 2 {
        return Ok(tensor);
    }
    let fits = dtype != DType::F16 || tensor.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()? <= 65504.0;
    match fits {
        true => Ok(tensor.to_dtype(dtype)?),
        false => Err(Error::invalid(format!("the weight {name:?} is too large for {dtype:?}"))),
    }
}
