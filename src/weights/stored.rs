//! A tensor as it lies in a file: format, shape, strides and the storage it is a view of.

use std::sync::Arc;

use candle_core::Device;

use super::bytes::Bytes;
use super::dtype::{Dtype, Wanted, decode};
use super::packed::Packed;
use crate::Result;

/// Bytes read and decoded at once: what is done with them next finds them in a cache.
const CHUNK: usize = 1 << 20;
/// Values that are looked at together.
const BLOCK: usize = 4096;
/// Values that a view may have although its storage has fewer (it repeats them).
const MAX_REPEATED: u64 = 1 << 24;

/// A tensor in a file.
#[derive(Clone, Debug)]
pub struct Stored {
    pub(super) bytes: Arc<Bytes>,
    pub(super) dtype: Dtype,
    /// Whether its values are big-endian.
    pub(super) swap: bool,
    pub(super) shape: Vec<usize>,
    /// Steps between values, in values; `None` where they lie in order of the shape without gaps.
    pub(super) strides: Option<Vec<usize>>,
    /// Where its first value is, in bytes.
    pub(super) offset: u64,
    /// Values from its end that come before its first.
    pub(super) rolled: usize,
    /// What every value is multiplied with.
    pub(super) factor: f32,
}

impl Stored {
    /// A tensor whose values lie in the order of its shape, from `offset` on.
    pub(super) fn plain(bytes: Arc<Bytes>, dtype: Dtype, shape: Vec<usize>, offset: u64) -> Self {
        Self { bytes, dtype, swap: false, shape, strides: None, offset, rolled: 0, factor: 1.0 }
    }

    /// Number of values; [`Stored::extent`] has checked that it can be counted.
    pub fn value_count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The bytes from the first value of a view to the end of its last. Errors, in words: sizes that no storage of
    /// `storage_values` values has.
    pub(super) fn extent(
        dtype: Dtype,
        shape: &[usize],
        strides: Option<&[usize]>,
        storage_values: u64,
    ) -> Result<u64, String> {
        let too_large = || format!("the shape {shape:?} is larger than its storage of {storage_values} values");
        let count = shape.iter().try_fold(1u64, |n, &side| n.checked_mul(side as u64)).ok_or_else(too_large)?;
        if count > storage_values.max(MAX_REPEATED) || (strides.is_none() && count > storage_values) {
            return Err(too_large());
        }
        let values = match strides {
            _ if count == 0 => 0,
            None => count,
            Some(strides) => shape
                .iter()
                .zip(strides)
                .try_fold(1u64, |last, (&side, &stride)| {
                    last.checked_add((side as u64 - 1).checked_mul(stride as u64)?)
                })
                .ok_or_else(too_large)?,
        };
        match values <= storage_values {
            true => dtype.bytes_of(values).ok_or_else(too_large),
            false => Err(too_large()),
        }
    }

    /// Rows of a matrix or values of a vector, `count` of them from `from` on; `None` where it has fewer, or they do not lie one
    /// after the other.
    pub(super) fn rows(&self, from: usize, count: usize) -> Option<Self> {
        let (&side, rest) = self.shape.split_first()?;
        let is_plain =
            self.rolled == 0 && self.strides.as_deref().is_none_or(|strides| is_contiguous(&self.shape, strides));
        if !is_plain || from.checked_add(count)? > side {
            return None;
        }
        let row_bytes = self.dtype.bytes_of(rest.iter().product::<usize>() as u64)? as usize;
        let mut shape = self.shape.clone();
        shape[0] = count;
        Some(Self { shape, strides: None, offset: self.offset + (from * row_bytes) as u64, ..self.clone() })
    }

    /// Its second half before its first, by rows; `None` where it has no halves.
    pub(super) fn halves_swapped(&self) -> Option<Self> {
        let side = *self.shape.first()?;
        let rolled = self.value_count() / 2;
        (side % 2 == 0 && self.rolled == 0).then(|| Self { rolled, ..self.clone() })
    }

    /// All values in the order of the shape.
    pub fn values<T: Wanted>(&self) -> Result<Vec<T>> {
        let mut values = self.in_order::<T>()?;
        values.rotate_right(self.rolled);
        if self.factor != 1.0 {
            values.iter_mut().for_each(|value| *value = value.times(self.factor));
        }
        Ok(values)
    }

    /// The same, and the first of them that is not finite: looked for piece by piece as they are read.
    pub fn checked<T: Wanted>(&self) -> Result<(Vec<T>, Option<T>)> {
        let mut bad = None;
        let mut look = |part: &[T]| bad = bad.or_else(|| first_not_finite(part));
        let values = match self.is_in_order() && self.factor == 1.0 {
            true => {
                let mut values = self.run(self.offset, self.value_count(), &mut look)?;
                values.rotate_right(self.rolled);
                values
            }
            false => {
                let values = self.values()?;
                look(&values);
                values
            }
        };
        Ok((values, bad))
    }

    fn is_in_order(&self) -> bool {
        self.strides.as_deref().is_none_or(|strides| is_contiguous(&self.shape, strides))
    }

    /// The matrix as it lies in the file; `None` where its numbers are not packed, or not in order.
    pub fn packed(&self, device: &Device) -> Result<Option<Packed>> {
        let is_plain = self.strides.as_deref().is_none_or(|strides| is_contiguous(&self.shape, strides));
        let is_kept = match self.dtype {
            // Devices have no such type.
            Dtype::F8E5m2 => device.is_cpu(),
            dtype => dtype.is_packed(),
        };
        let block = self.dtype.block();
        let is_whole =
            self.rolled.is_multiple_of(block) && self.shape.last().is_some_and(|row| row.is_multiple_of(block));
        let Some(len) = self.dtype.bytes_of(self.value_count() as u64) else { return Ok(None) };
        if !(is_plain && is_kept && is_whole) {
            return Ok(None);
        }
        let mut bytes = self.bytes.range(self.offset, len)?;
        if !self.dtype.are_finite(&bytes) {
            return Ok(None);
        }
        bytes.rotate_right(self.rolled / block * self.dtype.size());
        Packed::new(self.dtype, &self.shape, self.factor, bytes, device).map(Some)
    }

    fn in_order<T: Wanted>(&self) -> Result<Vec<T>> {
        let count = self.value_count();
        let Some(strides) = self.strides.as_deref().filter(|strides| !is_contiguous(&self.shape, strides)) else {
            return self.run(self.offset, count, &mut |_| ());
        };
        if count == 0 {
            return Ok(Vec::new());
        }
        // The whole of the view's extent, and then its values out of it.
        let extent = self.shape.iter().zip(strides).map(|(&side, &stride)| (side - 1) * stride).sum::<usize>() + 1;
        let all: Vec<T> = self.run(self.offset, extent, &mut |_| ())?;
        let mut values = Vec::with_capacity(count);
        let mut at = vec![0; self.shape.len()];
        let mut position = 0;
        for _ in 0..count {
            values.push(all[position]);
            for axis in (0..at.len()).rev() {
                at[axis] += 1;
                position += strides[axis];
                if at[axis] < self.shape[axis] {
                    break;
                }
                position -= at[axis] * strides[axis];
                at[axis] = 0;
            }
        }
        Ok(values)
    }

    /// `count` values that lie one after the other, shown to `look` piece by piece.
    fn run<T: Wanted>(&self, mut offset: u64, count: usize, look: &mut dyn FnMut(&[T])) -> Result<Vec<T>> {
        let mut left = self.dtype.bytes_of(count as u64).unwrap_or(0) as usize;
        let mut values: Vec<T> = Vec::with_capacity(count);
        if T::SAME == self.dtype && !self.swap && cfg!(target_endian = "little") {
            let piece = CHUNK / size_of::<T>();
            while values.len() < count {
                let (from, more) = (values.len(), piece.min(count - values.len()));
                let (at, len) = (offset + (from * size_of::<T>()) as u64, more * size_of::<T>());
                // SAFETY: the capacity is there, all bit patterns are values of these types, and all are written before any is read.
                unsafe {
                    let bytes = std::slice::from_raw_parts_mut(values.as_mut_ptr().add(from).cast::<u8>(), len);
                    self.bytes.read_at(at, bytes)?;
                    values.set_len(from + more);
                }
                look(&values[from..]);
            }
            return Ok(values);
        }
        let chunk = CHUNK / self.dtype.size() * self.dtype.size();
        let mut buffer = vec![0; left.min(chunk)];
        while left > 0 {
            let part = &mut buffer[..left.min(chunk)];
            self.bytes.read_at(offset, part)?;
            let from = values.len();
            decode(self.dtype, self.swap, part, &mut values);
            look(&values[from..]);
            offset += part.len() as u64;
            left -= part.len();
        }
        Ok(values)
    }
}

/// Whole blocks at a time, which the compiler makes vectors of: large networks have a billion values.
fn first_not_finite<T: Wanted>(values: &[T]) -> Option<T> {
    let is_fine = |block: &&[T]| block.iter().fold(true, |all, value| all & value.is_finite());
    let bad = values.chunks(BLOCK).find(|block| !is_fine(block))?;
    bad.iter().find(|value| !value.is_finite()).copied()
}

/// Whether strides are those of values that lie in order without gaps.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&side, &stride)| {
        let fits = side == 1 || stride == expected;
        expected *= side;
        fits
    })
}
