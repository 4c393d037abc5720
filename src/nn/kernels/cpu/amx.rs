//! The tiles of Intel's Advanced Matrix Extensions: 16 × 16 sums in f32 of products in bf16, 16 times what AVX-512 does in a
//! cycle. Where a processor has AVX-512's products of pairs in bf16 alone, these compute the same tiles.
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

/// What multiplies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// AMX, which the system lets this process use.
    Tiles,
    /// AVX-512 BF16.
    Pairs,
}

/// What this processor has.
fn by() -> Option<By> {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        static BY: std::sync::OnceLock<Option<By>> = std::sync::OnceLock::new();
        *BY.get_or_init(|| pairs::are_there().then(|| if tiles::permitted() { By::Tiles } else { By::Pairs }))
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    None
}

/// Whether this processor multiplies so.
pub fn is_there() -> bool {
    by().is_some()
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
        match by() {
            Some(By::Tiles) => tiles::multiply(a, b, steps, c, more),
            _ => pairs::multiply(a, b, steps, c, more),
        }
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    let _ = (a, b, steps, c, more);
}

/// Runs `body` on this thread with the tiles set up for [`multiply`]. Only where [`is_there`].
pub fn with_tiles<R>(body: impl FnOnce() -> R) -> R {
    debug_assert!(is_there());
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    let _tiles = (by() == Some(By::Tiles)).then(tiles::SetUp::new);
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
        pairs::round(from, to)
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    let _ = (from, to);
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles {
    use std::arch::asm;
    use std::arch::x86_64::__cpuid_count;

    use half::bf16;

    use super::{DEPTH, Left, SIDE, SUMS};

    /// Asks the processor, then the system: it grants the tiles' registers to a process that asks.
    pub fn permitted() -> bool {
        const REQUEST_PERMISSION: libc::c_long = 0x1023;
        const TILE_DATA: libc::c_long = 18;
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
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod pairs {
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512,
        _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_storeu_si512,
    };
    use std::mem::transmute;

    use half::bf16;

    use super::{DEPTH, Left, SIDE, VALUES};

    /// Rows whose sums, of two columns of tiles, are in registers together.
    const ROWS: usize = 8;

    pub fn are_there() -> bool {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16")
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub unsafe fn multiply(Left { tiles, row }: Left, b: *const bf16, steps: usize, c: *mut f32, more: bool) {
        let blocks = tiles.into_iter().enumerate().flat_map(|(half, a)| [(half, a, 0), (half, a, ROWS)]);
        for (half, a, first) in blocks {
            let at = |r: usize, column: usize| c.wrapping_add((2 * half + column) * SIDE * SIDE + (first + r) * SIDE);
            let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
            unsafe {
                for (r, column) in (0..ROWS).flat_map(|r| [(r, 0), (r, 1)]).filter(|_| more) {
                    sums[r][column] = _mm512_loadu_ps(at(r, column));
                }
                for (step, pair) in (0..steps).flat_map(|step| (0..DEPTH / 2).map(move |pair| (step, pair))) {
                    let columns: [__m512bh; 2] = std::array::from_fn(|column| {
                        transmute::<__m512i, __m512bh>(_mm512_loadu_si512(
                            b.add((2 * step + column) * VALUES + pair * 2 * SIDE).cast(),
                        ))
                    });
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let two = a.add((first + r) * row + step * DEPTH + 2 * pair).cast::<i32>().read_unaligned();
                        let two = transmute::<__m512i, __m512bh>(_mm512_set1_epi32(two));
                        sums[0] = _mm512_dpbf16_ps(sums[0], two, columns[0]);
                        sums[1] = _mm512_dpbf16_ps(sums[1], two, columns[1]);
                    }
                }
                for (r, column) in (0..ROWS).flat_map(|r| [(r, 0), (r, 1)]) {
                    _mm512_storeu_ps(at(r, column), sums[r][column]);
                }
            }
        }
    }

    #[inline(always)]
    pub unsafe fn round(from: *const f32, to: *mut bf16) {
        #[target_feature(enable = "avx512f,avx512bf16")]
        #[inline]
        unsafe fn rounded(from: *const f32, to: *mut bf16) {
            unsafe {
                let both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from.add(SIDE)), _mm512_loadu_ps(from));
                _mm512_storeu_si512(to.cast(), transmute::<__m512bh, __m512i>(both));
            }
        }
        unsafe { rounded(from, to) }
    }
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod tests {
    use super::*;

    type Multiply = unsafe fn(Left, *const bf16, usize, *mut f32, bool);

    /// By whatever this processor has of the two: tiles beside one another, rows that lie further apart than a tile is deep.
    #[test]
    fn both_ways_sum_products_of_bf16() {
        if !pairs::are_there() {
            return println!("skipped: this processor has no products of bf16");
        }
        let (steps, row) = (3, 4 * DEPTH);
        let values = |count: usize, seed: usize| -> Vec<bf16> {
            (0..count).map(|i| bf16::from_f32(((i * 7919 + seed) % 251) as f32 / 125.0 - 1.0)).collect()
        };
        let (a, b) = (values(2 * SIDE * row, 3), values(2 * steps * VALUES, 5));
        let want = |i: usize| {
            let (tile, r, column) = (i / (SIDE * SIDE), i / SIDE % SIDE, i % SIDE);
            let product = |k: usize| {
                let (step, k) = (k / DEPTH, k % DEPTH);
                let right = b[(2 * step + tile % 2) * VALUES + k / 2 * 2 * SIDE + 2 * column + k % 2];
                f64::from(a[(tile / 2 * SIDE + r) * row + step * DEPTH + k]) * f64::from(right)
            };
            (0..steps * DEPTH).map(product).sum::<f64>()
        };
        let left = Left { tiles: [a.as_ptr(), a[SIDE * row..].as_ptr()], row };
        let ways: [Option<Multiply>; 2] = [Some(pairs::multiply), tiles::permitted().then_some(tiles::multiply)];
        for multiply in ways.into_iter().flatten() {
            let mut sums = vec![f32::NAN; SUMS];
            let _tiles = tiles::permitted().then(tiles::SetUp::new);
            // SAFETY: the operands hold so many tiles, and the processor has what multiplies.
            unsafe {
                multiply(left, b.as_ptr(), steps, sums.as_mut_ptr(), false);
                multiply(left, b.as_ptr(), steps, sums.as_mut_ptr(), true);
            }
            for (i, sum) in sums.iter().enumerate() {
                assert!((f64::from(*sum) - 2.0 * want(i)).abs() < 1e-4, "{i}: {sum}, not {}", 2.0 * want(i));
            }
        }
    }
}
