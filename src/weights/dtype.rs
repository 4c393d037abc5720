//! Number formats of tensors in files, and their way into the format that is wanted.

use half::{bf16, f16};

use super::blocks::{Blocks, MOST};

/// A number format in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 4 bits of exponent, 3 of mantissa, without infinities.
    F8E4m3,
    /// 5 bits of exponent, 2 of mantissa: the upper half of f16.
    F8E5m2,
    F16,
    Bf16,
    F32,
    F64,
    U8,
    I8,
    I16,
    I32,
    I64,
    Bool,
    /// Blocks of ggml's.
    Blocks(Blocks),
}

impl Dtype {
    /// Values that are stored together: 1, besides in blocks.
    pub fn block(self) -> usize {
        match self {
            Dtype::Blocks(blocks) => blocks.values(),
            _ => 1,
        }
    }

    /// Bytes of so many values; `None` where they are not whole blocks, or too many to be counted.
    pub fn bytes_of(self, values: u64) -> Option<u64> {
        let block = self.block() as u64;
        values.is_multiple_of(block).then(|| (values / block).checked_mul(self.size() as u64)).flatten()
    }

    /// Bytes of one value, or of one block of them.
    pub fn size(self) -> usize {
        match self {
            Dtype::Blocks(blocks) => blocks.bytes(),
            Dtype::U8 | Dtype::I8 | Dtype::Bool | Dtype::F8E4m3 | Dtype::F8E5m2 => 1,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F64 | Dtype::I64 => 8,
        }
    }

    /// Whether values are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F16 | Dtype::Bf16 | Dtype::F32 | Dtype::F64) || self.is_packed()
    }

    /// Whether values are floating-point numbers of fewer than 16 bits.
    pub fn is_packed(self) -> bool {
        matches!(self, Dtype::F8E4m3 | Dtype::F8E5m2 | Dtype::Blocks(_))
    }

    /// Whether all values of packed bytes are finite.
    pub(super) fn are_finite(self, bytes: &[u8]) -> bool {
        match self {
            Dtype::F8E4m3 => bytes.iter().all(|bits| bits & 0x7F != 0x7F),
            Dtype::F8E5m2 => bytes.iter().all(|bits| bits & 0x7C != 0x7C),
            Dtype::Blocks(blocks) => blocks.are_finite(bytes),
            _ => true,
        }
    }
}

/// What values of a file become: f32, f64, f16, bf16 or i64.
pub trait Wanted: Copy + std::fmt::Display {
    /// The format whose bytes, on this machine, are those of the value; any bytes are some value.
    const SAME: Dtype;
    fn from_f32(value: f32) -> Self;
    fn from_f64(value: f64) -> Self;
    fn from_i64(value: i64) -> Self;
    fn is_finite(self) -> bool;
    /// The value multiplied with a factor.
    fn times(self, factor: f32) -> Self;
}

macro_rules! wanted {
    ($t:ty, $same:ident, $f32:expr, $f64:expr, $i64:expr, $finite:expr, $times:expr) => {
        impl Wanted for $t {
            const SAME: Dtype = Dtype::$same;
            fn from_f32(value: f32) -> Self {
                $f32(value)
            }
            fn from_f64(value: f64) -> Self {
                $f64(value)
            }
            fn from_i64(value: i64) -> Self {
                $i64(value)
            }
            fn is_finite(self) -> bool {
                $finite(self)
            }
            fn times(self, factor: f32) -> Self {
                $times(self, factor)
            }
        }
    };
}
wanted!(f32, F32, |v| v, |v: f64| v as f32, |v: i64| v as f32, f32::is_finite, |v, factor| v * factor);
wanted!(f64, F64, |v: f32| v.into(), |v| v, |v: i64| v as f64, f64::is_finite, |v, factor: f32| v * f64::from(factor));
wanted!(f16, F16, f16::from_f32, f16::from_f64, |v: i64| f16::from_f64(v as f64), f16::is_finite, |v: f16, factor| {
    f16::from_f32(v.to_f32() * factor)
});
wanted!(
    bf16,
    Bf16,
    bf16::from_f32,
    bf16::from_f64,
    |v: i64| bf16::from_f64(v as f64),
    bf16::is_finite,
    |v: bf16, factor| { bf16::from_f32(v.to_f32() * factor) }
);
wanted!(i64, I64, |v: f32| v as i64, |v: f64| v as i64, |v| v, |_| true, |v: i64, factor: f32| (v as f64
    * f64::from(factor))
    as i64);

/// Appends the values of little-endian bytes, or big-endian ones where `swap` is set, a whole number of them.
pub fn decode<T: Wanted>(dtype: Dtype, swap: bool, bytes: &[u8], to: &mut Vec<T>) {
    fn each<const N: usize, T>(bytes: &[u8], swap: bool, to: &mut Vec<T>, value: impl Fn([u8; N]) -> T) {
        to.extend(bytes.as_chunks::<N>().0.iter().map(|chunk| {
            let mut chunk = *chunk;
            if swap {
                chunk.reverse();
            }
            value(chunk)
        }));
    }
    match dtype {
        Dtype::F8E4m3 => each(bytes, swap, to, |[b]| T::from_f32(of_e4m3(b))),
        Dtype::F8E5m2 => each(bytes, swap, to, |[b]| T::from_f32(f16::from_le_bytes([0, b]).to_f32())),
        Dtype::Blocks(blocks) => {
            let mut values = [0.0; MOST];
            for block in bytes.chunks_exact(blocks.bytes()) {
                let values = &mut values[..blocks.values()];
                blocks.decode(block, values);
                to.extend(values.iter().map(|&value| T::from_f32(value)));
            }
        }
        Dtype::F16 => each(bytes, swap, to, |b| T::from_f32(f16::from_le_bytes(b).to_f32())),
        Dtype::Bf16 => each(bytes, swap, to, |b| T::from_f32(bf16::from_le_bytes(b).to_f32())),
        Dtype::F32 => each(bytes, swap, to, |b| T::from_f32(f32::from_le_bytes(b))),
        Dtype::F64 => each(bytes, swap, to, |b| T::from_f64(f64::from_le_bytes(b))),
        Dtype::U8 => each(bytes, swap, to, |[b]| T::from_i64(b.into())),
        Dtype::I8 => each(bytes, swap, to, |b| T::from_i64(i8::from_le_bytes(b).into())),
        Dtype::I16 => each(bytes, swap, to, |b| T::from_i64(i16::from_le_bytes(b).into())),
        Dtype::I32 => each(bytes, swap, to, |b| T::from_i64(i32::from_le_bytes(b).into())),
        Dtype::I64 => each(bytes, swap, to, |b| T::from_i64(i64::from_le_bytes(b))),
        Dtype::Bool => each(bytes, swap, to, |[b]| T::from_i64((b != 0).into())),
    }
}

/// A value of 4 bits of exponent (bias 7) and 3 of mantissa: no infinities, and one NaN of each sign.
fn of_e4m3(bits: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 3 & 15), f32::from(bits & 7));
    let size = match (exponent, bits & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa / 512.0,
        _ => (1.0 + mantissa / 8.0) * f32::from_bits(((exponent + 120) as u32) << 23),
    };
    if bits & 0x80 == 0 { size } else { -size }
}
