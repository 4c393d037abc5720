//! Networks that are open: metrics on one backbone with the same weights have it in memory once. It goes with the last of them.

use std::any::Any;
use std::sync::{Arc, Mutex, Weak};

use crate::Result;
use crate::nn::kernels::Compute;
use crate::weights::{Part, Source};

static OPEN: Mutex<Vec<(String, Weak<dyn Any + Send + Sync>)>> = Mutex::new(Vec::new());

/// What names a network with the weights of a source on a device: features of an image are shared under it too. `None`: it is not known
/// what the weights are, and nothing is shared.
pub fn name(part: &Part, source: &Source, on: &Compute) -> Option<String> {
    let Compute { device, kernels, precision, .. } = on;
    if on.is_watched() {
        return None;
    }
    let mark = source.trust()?.whole_mark();
    Some(format!("{} {mark} {device:?} {kernels:?} {precision:?}", part.id))
}

/// The network of this name, opened by `make` unless it is already.
pub fn network<T: Any + Send + Sync>(name: Option<&str>, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
    let Some(name) = name else { return Ok(Arc::new(make()?)) };
    let known = || {
        let open = OPEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let found = open.iter().filter(|(known, _)| known == name);
        found.filter_map(|(_, network)| network.upgrade()?.downcast().ok()).next()
    };
    if let Some(network) = known() {
        return Ok(network);
    }
    let made = Arc::new(make()?);
    let mut open = OPEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    open.retain(|(_, network)| network.strong_count() > 0);
    let weak: Weak<dyn Any + Send + Sync> = Arc::downgrade(&(made.clone() as Arc<dyn Any + Send + Sync>));
    open.push((name.to_owned(), weak));
    Ok(made)
}
