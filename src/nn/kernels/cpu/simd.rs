//! Runs a kernel with the widest vector instructions the processor has (AVX-512, AVX2, NEON, scalar).

use std::sync::OnceLock;

pub use pulp::{Simd, WithSimd};

/// Calls `op` with the best instruction set found at run time.
pub fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    static ARCH: OnceLock<pulp::Arch> = OnceLock::new();
    ARCH.get_or_init(pulp::Arch::new).dispatch(op)
}

/// Runs `f` compiled for the widest vector instructions the processor has. Only what is inlined into `f` gains.
#[inline(always)]
pub fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    static ARCH: OnceLock<pulp::Arch> = OnceLock::new();
    ARCH.get_or_init(pulp::Arch::new).dispatch(f)
}

/// Loads one vector from `ptr`, unaligned.
///
/// # Safety
/// `S::F32_LANES` values must be readable at `ptr`.
#[inline(always)]
pub unsafe fn load<S: Simd>(_: S, ptr: *const f32) -> S::f32s {
    unsafe { ptr.cast::<S::f32s>().read_unaligned() }
}

/// Stores one vector to `ptr`, unaligned.
///
/// # Safety
/// `S::F32_LANES` values must be writable at `ptr`.
#[inline(always)]
pub unsafe fn store<S: Simd>(_: S, ptr: *mut f32, v: S::f32s) {
    unsafe { ptr.cast::<S::f32s>().write_unaligned(v) }
}

/// Runs a block for `0..n` in steps of one vector, with `$at` the offset and `$mask` `None` for whole vectors, `Some`
/// for the tail. A macro, as a closure would not inherit the vector instructions of the function around it.
macro_rules! for_lanes {
    ($simd:expr, $n:expr, |$at:ident, $mask:ident| $body:block) => {{
        let (n, lanes) = ($n, S::F32_LANES);
        let mut $at = 0;
        while $at + lanes <= n {
            let $mask: Option<pulp::MemMask<S::m32s>> = None;
            $body
            $at += lanes;
        }
        if $at < n {
            let $mask = Some($simd.mask_between_m32s(0, (n - $at) as u32));
            $body
        }
    }};
}
pub(crate) use for_lanes;

/// [`load`], or with a mask the tail of a row: lanes beyond it read as zero and touch no memory.
///
/// # Safety
/// The lanes selected must be readable at `ptr`.
#[inline(always)]
pub unsafe fn load_masked<S: Simd>(simd: S, ptr: *const f32, mask: Option<pulp::MemMask<S::m32s>>) -> S::f32s {
    match mask {
        None => unsafe { load(simd, ptr) },
        Some(mask) => unsafe { simd.mask_load_ptr_f32s(mask, ptr) },
    }
}

/// [`store`], or with a mask the tail of a row.
///
/// # Safety
/// The lanes selected must be writable at `ptr`.
#[inline(always)]
pub unsafe fn store_masked<S: Simd>(simd: S, ptr: *mut f32, v: S::f32s, mask: Option<pulp::MemMask<S::m32s>>) {
    match mask {
        None => unsafe { store(simd, ptr, v) },
        Some(mask) => unsafe { simd.mask_store_ptr_f32s(mask, ptr, v) },
    }
}

/// A pointer that may cross threads. The kernels split work so that no two threads write the same value.
#[derive(Clone, Copy)]
pub struct SendPtr<T>(pub *mut T);

// SAFETY: the user of the pointer upholds the disjointness of writes, see above.
unsafe impl<T> Send for SendPtr<T> {}
unsafe impl<T> Sync for SendPtr<T> {}

impl<T> SendPtr<T> {
    /// The pointer moved by `count` values (a method, so that closures capture the whole wrapper).
    ///
    /// # Safety
    /// As [`pointer::add`].
    #[inline(always)]
    pub unsafe fn add(self, count: usize) -> *mut T {
        unsafe { self.0.add(count) }
    }
}
