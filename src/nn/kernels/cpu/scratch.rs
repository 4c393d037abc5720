//! Work buffers that are kept per thread and reused, so that a step allocates nothing it had before.

use std::cell::RefCell;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Buffers larger than this many values go back to the allocator instead of being kept.
const KEEP_AT_MOST: usize = 16 << 20;

/// Values of a line of the cache.
pub const LINE: usize = 16;

/// Values before the first one that begins a line.
pub fn to_line(values: &[f32]) -> usize {
    // Never more than a line, whatever is promised of alignment here.
    values.as_ptr().align_offset(4 * LINE).min(LINE)
}

/// Runs `body` with a buffer of `len` values whose content is unspecified (finite or not), and that begins a line of the cache: vectors
/// of as many values do not lie in two.
pub fn with<R>(len: usize, body: impl FnOnce(&mut [f32]) -> R) -> R {
    let most = len + LINE;
    let mut buffer = FREE.with_borrow_mut(|free| {
        let fits = free.iter().position(|b| b.len() >= most);
        fits.map(|i| free.swap_remove(i)).or_else(|| free.pop()).unwrap_or_default()
    });
    if buffer.len() < most {
        buffer.resize(most, 0.0);
    }
    let from = to_line(&buffer);
    let result = body(&mut buffer[from..from + len]);
    if buffer.len() <= KEEP_AT_MOST + LINE {
        FREE.with_borrow_mut(|free| free.push(buffer));
    }
    result
}
