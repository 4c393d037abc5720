//! A matrix whose file is at hand: it can be let go of between the passes that read it, and is read again when it is asked for.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Tensor};

use crate::Result;
use crate::weights::Source;

/// A matrix, in memory or not.
pub(super) struct AtHand {
    source: Arc<Source>,
    name: String,
    shape: Vec<usize>,
    dtype: DType,
    device: Device,
    held: Mutex<Option<Tensor>>,
}

impl AtHand {
    /// Not in memory yet.
    pub fn new(source: &Arc<Source>, (name, shape): (&str, &[usize]), dtype: DType, device: &Device) -> Self {
        let (source, name, shape, device) = (source.clone(), name.to_owned(), shape.to_vec(), device.clone());
        Self { source, name, shape, dtype, device, held: Mutex::default() }
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn dtype(&self) -> DType {
        self.dtype
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The values, read where they are not in memory. Errors: as [`Source::tensor`].
    pub fn tensor(&self) -> Result<Tensor> {
        let mut held = self.locked();
        match held.as_ref() {
            Some(tensor) => Ok(tensor.clone()),
            None => {
                let read = self.source.tensor(&self.name, &self.shape, self.dtype, &self.device)?;
                Ok(held.insert(read).clone())
            }
        }
    }

    /// Gives their memory back, once nobody computes with them.
    pub fn let_go(&self) {
        *self.locked() = None;
    }

    pub fn is_in_memory(&self) -> bool {
        self.locked().is_some()
    }

    fn locked(&self) -> MutexGuard<'_, Option<Tensor>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AtHand {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} of {}", self.name, self.source.origin().display())
    }
}
