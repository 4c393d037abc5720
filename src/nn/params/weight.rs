//! One weight: its values, in what they are kept, and the forms that kernels make of it.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard};

use candle_core::{DType, Device, Tensor};

use crate::weights::Packed;
use crate::{Error, Result};

/// Values of the largest weight of which other forms are kept.
pub const KEPT_VALUES: usize = 4 << 20;
/// The same of a weight that is trained.
pub const KEPT_VALUES_TRAINED: usize = 1 << 20;

/// One weight. It outlives the [`Params`] it came from as long as a tape needs it.
#[derive(Debug)]
pub struct Weight {
    /// The values; none where they are packed.
    pub(super) tensor: Tensor,
    /// The matrix as it lies in its file, in fewer than 16 bits.
    pub(super) packed: Option<Packed>,
    /// The weight brought into the forms that kernels read, by [`Form`]; dropped when its values change.
    pub(super) forms: [Mutex<Option<Arc<dyn Any + Send + Sync>>>; 3],
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
}

impl Weight {
    pub(super) fn new(tensor: Tensor, trainable: bool) -> Arc<Self> {
        Arc::new(Self { tensor, packed: None, forms: Default::default(), trainable, keeps_forms: true })
    }

    /// A frozen matrix that is widened whenever it is computed with.
    pub(super) fn of_packed(packed: Packed, device: &Device) -> Result<Arc<Self>> {
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

    pub(super) fn forget_forms(&self) {
        [Form::Forward, Form::Backward, Form::Blurred].into_iter().for_each(|form| *self.slot(form) = None);
    }
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
