//! The program's allocator, which counts what is in use: a tensor's memory is its buffer, so this is also how much a
//! training step takes on the CPU. Where there is no more, it says so and what was being done ([`doing`]);
//! [`available_bytes`] says how much there is to take before that. [`lru`]: what is kept in it because it is dear to make.

mod available;
mod failure;
pub mod lru;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use mimalloc::MiMalloc;

pub use available::available_bytes;
pub use failure::doing;

/// Smaller allocations are not counted, so that counting costs nothing.
const COUNTED_FROM_BYTES: usize = 16 << 10;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// mimalloc's option for the milliseconds until freed memory goes back to the system; its binding does not name it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Longer than a step of training or sampling, half a minute with the largest networks: the next step finds its buffers mapped.
const KEEP_FREED_MS: std::ffi::c_long = 60_000;

/// mimalloc's option for the KiB of address space that it takes at once.
const ARENA_RESERVE: libmimalloc_sys::mi_option_t = 23;

static PREPARED: AtomicBool = AtomicBool::new(false);

/// Before the first allocation: where address space is limited (`ulimit -v`), none is taken ahead of need, a GiB as a rule,
/// which would look taken to [`available_bytes`].
#[cold]
fn prepare() {
    PREPARED.store(true, Relaxed);
    #[cfg(unix)]
    {
        let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: fills the struct, and sets a number.
        unsafe {
            if libc::getrlimit(libc::RLIMIT_AS, &mut limit) == 0 && limit.rlim_cur != libc::RLIM_INFINITY {
                libmimalloc_sys::mi_option_set(ARENA_RESERVE, 0);
            }
        }
    }
}

/// Keeps freed memory for the next step instead of giving it back at once: a page from the system has to be cleared, which
/// took a fifth of a training step. To be called once, at the start of a program whose allocator is [`Counted`].
pub fn keep_freed() {
    // SAFETY: sets a number.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, KEEP_FREED_MS) }
}

/// mimalloc, with large allocations counted.
pub struct Counted;

fn added(bytes: usize) {
    if bytes >= COUNTED_FROM_BYTES {
        PEAK.fetch_max(IN_USE.fetch_add(bytes, Relaxed) + bytes, Relaxed);
    }
}

fn removed(bytes: usize) {
    if bytes >= COUNTED_FROM_BYTES {
        IN_USE.fetch_sub(bytes, Relaxed);
    }
}

/// What mimalloc gave for `bytes`, if it gave anything.
fn given(pointer: *mut u8, bytes: usize) -> *mut u8 {
    if pointer.is_null() {
        failure::out_of_memory(bytes);
    }
    pointer
}

// SAFETY: every call is mimalloc's, unchanged.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !PREPARED.load(Relaxed) {
            prepare();
        }
        added(layout.size());
        given(unsafe { MiMalloc.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        added(layout.size());
        given(unsafe { MiMalloc.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        removed(layout.size());
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        added(size);
        removed(layout.size());
        given(unsafe { MiMalloc.realloc(pointer, layout, size) }, size)
    }
}

/// Runs `body`; also returns by how many bytes memory in use rose above where it was, at most. Other threads count too.
/// `None` in a program whose allocator is another.
pub fn peak_of<R>(body: impl FnOnce() -> R) -> (R, Option<usize>) {
    let before = IN_USE.load(Relaxed);
    PEAK.store(before, Relaxed);
    // An allocation of a known size tells whether they are counted.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(COUNTED_FROM_BYTES)));
    let counted = PEAK.load(Relaxed) >= before + COUNTED_FROM_BYTES;
    let result = body();
    (result, counted.then(|| PEAK.load(Relaxed).saturating_sub(before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_those_meant() {
        // SAFETY: reads numbers.
        let default = unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(default, 1000, "mimalloc's default delay; another option has this number now");
        let reserve = unsafe { libmimalloc_sys::mi_option_get(ARENA_RESERVE) };
        assert_eq!(reserve, 1 << 20, "a GiB in KiB; another option has this number now");
    }
}
