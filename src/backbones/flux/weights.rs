//! The transformer's weights, the largest of all: read when they are first needed, and let go of while text encoders take their
//! place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Result;
use crate::nn::kernels::Compute;
use crate::nn::params::{Params, Specs};
use crate::weights::Source;

/// Weights that need not be in memory.
pub enum Weights {
    Held(Params),
    Read { specs: Arc<Specs>, source: Source, on: Compute, read: Mutex<Option<Params>> },
}

impl Weights {
    /// Those of a source that has them, in the types that they have there: nothing is read yet.
    pub fn of_source(specs: Specs, source: Source, on: &Compute) -> Self {
        Self::Read { specs: Arc::new(specs), source, on: on.clone(), read: Mutex::default() }
    }

    /// The weights. Errors: they cannot be read.
    pub fn get(&self) -> Result<Params> {
        let (specs, source, on, read) = match self {
            Self::Held(params) => return Ok(params.clone()),
            Self::Read { specs, source, on, read } => (specs, source, on, read),
        };
        let mut read = locked(read);
        match read.as_ref() {
            Some(read) => Ok(read.clone()),
            None => Ok(read.insert(Params::as_stored(specs, source, on)?).clone()),
        }
    }

    /// Lets go of them until they are needed again.
    pub fn forget(&self) {
        if let Self::Read { read, .. } = self {
            *locked(read) = None;
        }
    }
}

fn locked(read: &Mutex<Option<Params>>) -> MutexGuard<'_, Option<Params>> {
    read.lock().unwrap_or_else(PoisonError::into_inner)
}
