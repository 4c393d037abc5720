//! The tiles of Intel's Advanced Matrix Extensions: 16 × 16 sums in f32 of products in bf16, 16 times what AVX-512 does in a
//! cycle.
//!
//! Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter "Intel AMX". The language has no intrinsics for
//! them yet; the assembler has.

use half::bf16;

/// Rows of a tile of the left operand, and columns of one of the right.
pub const SIDE: usize = 16;
/// Depth of a tile.
pub const DEPTH: usize = 32;
/// Values of a tile of either operand.
pub const VALUES: usize = SIDE * DEPTH;
/// Sums of the two tiles by two that are computed together.
pub const SUMS: usize = 4 * SIDE * SIDE;

/// Whether this processor has the tiles and the system lets this process use them.
pub fn is_there() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        static THERE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        *THERE.get_or_init(tiles::permitted)
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

/// Two tiles of rows of a left operand.
#[derive(Clone, Copy)]
pub struct Left {
    /// Where they begin; the depth of a row lies together.
    pub tiles: [*const bf16; 2],
    /// Values from one row to the next.
    pub row: usize,
}

/// Two tiles of rows by two of columns, summed over `steps` tiles of depth: `c = a·b`, or with `more` `c += a·b`. Tiles of `b` are
/// `[depth / 2][column][2]`, the two of each step together. The four tiles of `c` are `[row][column]`, in the order of rows, then columns.
///
/// # Safety
/// Within [`with_tiles`]; `steps` tiles must be readable of `a`, twice as many at `b`, and [`SUMS`] values at `c`.
#[inline(always)]
pub unsafe fn multiply(a: Left, b: *const bf16, steps: usize, c: *mut f32, more: bool) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    unsafe {
        tiles::multiply(a, b, steps, c, more)
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    let _ = (a, b, steps, c, more);
}

/// Runs `body` on this thread with the tiles set up for [`multiply`]. Only where [`is_there`].
pub fn with_tiles<R>(body: impl FnOnce() -> R) -> R {
    debug_assert!(is_there());
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    let _tiles = tiles::SetUp::new();
    body()
}

/// Rounds [`DEPTH`] values to the nearest, ties to even.
///
/// # Safety
/// Only where [`is_there`]; the values must be readable and writable.
#[inline(always)]
pub unsafe fn round(from: *const f32, to: *mut bf16) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    unsafe {
        tiles::round(from, to)
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    let _ = (from, to);
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles {
    use std::arch::asm;
    use std::arch::x86_64::{
        __cpuid_count, __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_loadu_ps, _mm512_storeu_si512,
    };

    use half::bf16;

    use super::{DEPTH, Left, SIDE, SUMS};

    /// Asks the processor, then the system: it grants the tiles' registers to a process that asks.
    pub fn permitted() -> bool {
        const REQUEST_PERMISSION: libc::c_long = 0x1023;
        const TILE_DATA: libc::c_long = 18;
        if !is_x86_feature_detected!("avx512f") || !is_x86_feature_detected!("avx512bf16") {
            return false;
        }
        // Leaf 7: bit 22 is bf16 tiles, 24 the tiles.
        let features = __cpuid_count(7, 0).edx;
        // SAFETY: the call changes nothing but which registers this process may use.
        features & 1 << 22 != 0
            && features & 1 << 24 != 0
            && unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) } == 0
    }

    #[repr(C, align(64))]
    struct Configuration([u8; 64]);

    /// Palette 1, all eight tiles of [`SIDE`] rows of 64 bytes.
    const CONFIGURATION: Configuration = {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        let mut tile = 0;
        while tile < 8 {
            bytes[16 + 2 * tile] = 64;
            bytes[48 + tile] = SIDE as u8;
            tile += 1;
        }
        Configuration(bytes)
    };

    /// While it lives, this thread's tiles are set up.
    pub struct SetUp;

    impl SetUp {
        pub fn new() -> Self {
            // SAFETY: the process may use the tiles, see `permitted`.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &CONFIGURATION, options(nostack, readonly)) };
            Self
        }
    }

    impl Drop for SetUp {
        fn drop(&mut self) {
            // SAFETY: the tiles hold nothing any more. Released, they make switching threads no slower.
            unsafe { asm!("tilerelease", options(nostack, nomem)) };
        }
    }

    #[inline(always)]
    pub unsafe fn multiply(Left { tiles: [a0, a1], row }: Left, b: *const bf16, steps: usize, c: *mut f32, more: bool) {
        const QUARTER: usize = SUMS / 4 * size_of::<f32>();
        const TILE: usize = SIDE * DEPTH * size_of::<bf16>();
        const LINE: usize = DEPTH * size_of::<bf16>();
        unsafe {
            asm!(
                "test {more:e}, {more:e}",
                "jnz 3f",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "jmp 2f",
                "3:",
                "tileloadd tmm0, [{c} + {row}]",
                "tileloadd tmm1, [{c} + {row} + {quarter}]",
                "tileloadd tmm2, [{c} + {row} + 2 * {quarter}]",
                "tileloadd tmm3, [{c} + {row} + 3 * {quarter}]",
                "2:",
                "tileloadd tmm4, [{a0} + {a_row}]",
                "tileloadd tmm6, [{b} + {row}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {row} + {tile}]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a1} + {a_row}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a0}, {line}",
                "add {a1}, {line}",
                "add {b}, 2 * {tile}",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{c} + {row}], tmm0",
                "tilestored [{c} + {row} + {quarter}], tmm1",
                "tilestored [{c} + {row} + 2 * {quarter}], tmm2",
                "tilestored [{c} + {row} + 3 * {quarter}], tmm3",
                more = in(reg) u32::from(more),
                a0 = inout(reg) a0 => _,
                a1 = inout(reg) a1 => _,
                b = inout(reg) b => _,
                steps = inout(reg) steps => _,
                c = in(reg) c,
                row = in(reg) LINE,
                a_row = in(reg) row * size_of::<bf16>(),
                line = const LINE,
                quarter = const QUARTER,
                tile = const TILE,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }

    #[inline(always)]
    pub unsafe fn round(from: *const f32, to: *mut bf16) {
        #[target_feature(enable = "avx512f,avx512bf16")]
        #[inline]
        unsafe fn rounded(from: *const f32, to: *mut bf16) {
            unsafe {
                let both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from.add(SIDE)), _mm512_loadu_ps(from));
                _mm512_storeu_si512(to.cast(), std::mem::transmute::<__m512bh, __m512i>(both));
            }
        }
        unsafe { rounded(from, to) }
    }
}
