//! Between candle tensors on the CPU and plain slices.

use std::ops::Deref;

use candle_core::{CpuStorage, Device, Result, Shape, Storage, Tensor};
use half::{bf16, f16};

/// The f32 values of a contiguous CPU tensor, borrowed.
struct Values<G> {
    storage: G,
    start: usize,
    len: usize,
}

/// Borrows the values of a contiguous f32 CPU tensor.
pub fn values(t: &Tensor) -> Result<impl Deref<Target = [f32]> + '_> {
    let (storage, layout) = t.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a contiguous tensor is needed, not one of layout {layout:?}");
    };
    match &*storage {
        Storage::Cpu(s) => s.as_slice::<f32>().map(|_| ())?,
        _ => candle_core::bail!("a CPU tensor is needed"),
    }
    Ok(Values { storage, start, len: end - start })
}

impl<G: Deref<Target = Storage>> Deref for Values<G> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let all = match &*self.storage {
            Storage::Cpu(s) => s.as_slice::<f32>().unwrap_or_default(),
            _ => &[],
        };
        &all[self.start..self.start + self.len]
    }
}

/// A tensor of `shape` whose values `fill` writes, all of them, before it reads any.
pub fn build(shape: impl Into<Shape>, fill: impl FnOnce(&mut [f32])) -> Result<Tensor> {
    let shape = shape.into();
    let len = shape.elem_count();
    let mut data = Vec::<f32>::with_capacity(len);
    // SAFETY: the capacity is there, f32 has no invalid bit patterns, and `fill` writes before it reads; zeroing the
    // buffer first would cost up to a tenth of a convolution.
    unsafe {
        fill(std::slice::from_raw_parts_mut(data.as_mut_ptr(), len));
        data.set_len(len);
    }
    Tensor::from_vec(data, shape, &Device::Cpu)
}

/// A tensor of `shape` from zeros that `accumulate` adds to.
pub fn accumulated(shape: impl Into<Shape>, accumulate: impl FnOnce(&mut [f32])) -> Result<Tensor> {
    let shape = shape.into();
    let mut data = vec![0.0; shape.elem_count()];
    accumulate(&mut data);
    Tensor::from_vec(data, shape, &Device::Cpu)
}

/// What weights can be kept in.
pub trait Element: Copy + Sync {
    /// The value, exactly.
    fn wide(self) -> f32;
    /// The values themselves, if they are bf16.
    fn halves(values: &[Self]) -> Option<&[bf16]> {
        let _ = values;
        None
    }
    /// The values themselves, if they are f32.
    fn floats(values: &[Self]) -> Option<&[f32]> {
        let _ = values;
        None
    }
}

impl Element for f32 {
    fn wide(self) -> f32 {
        self
    }
    fn floats(values: &[Self]) -> Option<&[f32]> {
        Some(values)
    }
}

impl Element for bf16 {
    fn wide(self) -> f32 {
        self.to_f32()
    }
    fn halves(values: &[Self]) -> Option<&[bf16]> {
        Some(values)
    }
}

impl Element for f16 {
    fn wide(self) -> f32 {
        self.to_f32()
    }
}

/// Something made of a weight, whatever it is kept in.
pub trait FromWeight {
    type Output;
    fn make<T: Element>(self, values: &[T]) -> Self::Output;
}

/// Makes something of a contiguous weight in the type that it is kept in: 16-bit weights are widened while they are read, and
/// never exist as a whole in 32 bits.
pub fn of_weight<M: FromWeight>(weight: &Tensor, make: M) -> Result<M::Output> {
    let (storage, layout) = weight.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a contiguous weight is needed, not one of layout {layout:?}");
    };
    match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => Ok(make.make(&values[start..end])),
        Storage::Cpu(CpuStorage::BF16(values)) => Ok(make.make(&values[start..end])),
        Storage::Cpu(CpuStorage::F16(values)) => Ok(make.make(&values[start..end])),
        _ => candle_core::bail!("a weight of {:?} on the CPU cannot be computed with", weight.dtype()),
    }
}
