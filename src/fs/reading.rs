//! How much of large files was read, for whoever waits for it, and the wish to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::{Error, Result};

/// Counts what is read; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Reading {
    /// Reading ends in [`Error::Cancelled`] once `stop` is set.
    pub fn stopped_by(stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..Self::default() }
    }

    /// Counts bytes that were read. Errors: nobody wants the rest.
    pub fn add(&self, bytes: usize) -> Result<()> {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        if self.stop.load(Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Bytes that were read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}
