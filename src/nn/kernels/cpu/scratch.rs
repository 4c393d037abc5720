//! Work buffers that are kept per thread and reused, so that a step allocates nothing it had before.

use std::cell::RefCell;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Buffers larger than this many values go back to the allocator instead of being kept.
const KEEP_AT_MOST: usize = 16 << 20;

/// Runs `body` with a buffer of `len` values whose content is unspecified (finite or not).
pub fn with<R>(len: usize, body: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = FREE.with_borrow_mut(|free| {
        let fits = free.iter().position(|b| b.len() >= len);
        fits.map(|i| free.swap_remove(i)).or_else(|| free.pop()).unwrap_or_default()
    });
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    let result = body(&mut buffer[..len]);
    if buffer.len() <= KEEP_AT_MOST {
        FREE.with_borrow_mut(|free| free.push(buffer));
    }
    result
}
