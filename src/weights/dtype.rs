//! Number formats of tensors in files, and their way into the format that is wanted.

use half::{bf16, f16};

/// A number format in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
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
}

impl Dtype {
    /// Bytes of one value.
    pub fn size(self) -> usize {
        match self {
            Dtype::U8 | Dtype::I8 | Dtype::Bool => 1,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F64 | Dtype::I64 => 8,
        }
    }

    /// Whether values are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F16 | Dtype::Bf16 | Dtype::F32 | Dtype::F64)
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
}

macro_rules! wanted {
    ($t:ty, $same:ident, $f32:expr, $f64:expr, $i64:expr, $finite:expr) => {
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
        }
    };
}
wanted!(f32, F32, |v| v, |v: f64| v as f32, |v: i64| v as f32, f32::is_finite);
wanted!(f64, F64, |v: f32| v.into(), |v| v, |v: i64| v as f64, f64::is_finite);
wanted!(f16, F16, f16::from_f32, f16::from_f64, |v: i64| f16::from_f64(v as f64), f16::is_finite);
wanted!(bf16, Bf16, bf16::from_f32, bf16::from_f64, |v: i64| bf16::from_f64(v as f64), bf16::is_finite);
wanted!(i64, I64, |v: f32| v as i64, |v: f64| v as i64, |v| v, |_| true);

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
