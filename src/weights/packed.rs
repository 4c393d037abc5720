//! Matrices that stay as they lie in their file, in blocks or in 8 bits, and are widened each time they are computed with: so a
//! network of twelve billion weights takes what its file does, and one layer of f32.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use super::blocks::Blocks;
use super::dtype::{Dtype, decode};
use crate::{Error, Result};

/// Values that a thread widens at once: whole blocks of every format.
const PART: usize = 1 << 14;

/// A packed matrix.
#[derive(Debug)]
pub struct Packed {
    dtype: Dtype,
    shape: Vec<usize>,
    /// What every value is multiplied with.
    factor: f32,
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// On the CPU.
    Bytes(Vec<u8>),
    /// On another device, which widens by itself.
    Blocks(QTensor, Device),
    Eighths(Tensor),
}

impl Packed {
    /// A matrix of these bytes, a whole number of blocks.
    pub(super) fn new(dtype: Dtype, shape: &[usize], factor: f32, bytes: Vec<u8>, device: &Device) -> Result<Self> {
        let held = match dtype {
            _ if device.is_cpu() => Held::Bytes(bytes),
            Dtype::Blocks(blocks) => {
                let storage = QStorage::from_data(Cow::Owned(bytes), device, ggml(blocks))?;
                Held::Blocks(QTensor::new(storage, shape)?, device.clone())
            }
            _ => {
                let bits = Tensor::from_raw_buffer(&bytes, DType::F8E4M3, shape, device)?;
                Held::Eighths(bits)
            }
        };
        Ok(Self { dtype, shape: shape.to_vec(), factor, held })
    }

    /// Its format.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes that it takes.
    pub fn byte_count(&self) -> usize {
        match &self.held {
            Held::Bytes(bytes) => bytes.len(),
            Held::Blocks(blocks, _) => blocks.storage_size_in_bytes(),
            Held::Eighths(tensor) => tensor.elem_count(),
        }
    }

    /// The values in f32 on its device.
    pub fn wide(&self) -> Result<Tensor> {
        Ok(match &self.held {
            Held::Bytes(bytes) => Tensor::from_vec(self.values(bytes), self.shape.as_slice(), &Device::Cpu)?,
            Held::Blocks(blocks, device) => scaled(blocks.dequantize(device)?, self.factor)?,
            Held::Eighths(bits) => scaled(bits.to_dtype(DType::F32)?, self.factor)?,
        })
    }

    /// Rows in f32 by their numbers. Errors: there is no such row.
    pub fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        let width: usize = self.shape.iter().skip(1).product();
        let Held::Bytes(bytes) = &self.held else {
            let wide = self.wide()?;
            return Ok(wide.index_select(&Tensor::from_slice(ids, ids.len(), wide.device())?, 0)?);
        };
        let row = self.dtype.bytes_of(width as u64).unwrap_or(0) as usize;
        let mut values = Vec::with_capacity(ids.len() * width);
        for &id in ids {
            let begin = id as usize * row;
            let bytes = bytes.get(begin..begin + row);
            values.extend(self.values(bytes.ok_or_else(|| Error::invalid(format!("there is no row {id}")))?));
        }
        Ok(Tensor::from_vec(values, (ids.len(), width), &Device::Cpu)?)
    }

    /// The values of whole blocks, on all threads.
    fn values(&self, bytes: &[u8]) -> Vec<f32> {
        let part = PART / self.dtype.block() * self.dtype.size();
        let count = bytes.len() / self.dtype.size() * self.dtype.block();
        let mut values = vec![0.0; count];
        values.par_chunks_mut(PART).zip(bytes.par_chunks(part)).for_each(|(to, from)| {
            match self.dtype {
                Dtype::Blocks(blocks) => {
                    let each = to.chunks_exact_mut(blocks.values()).zip(from.chunks_exact(blocks.bytes()));
                    each.for_each(|(to, block)| blocks.decode(block, to));
                }
                other => {
                    let mut some = Vec::with_capacity(to.len());
                    decode::<f32>(other, false, from, &mut some);
                    to.copy_from_slice(&some);
                }
            }
            if self.factor != 1.0 {
                to.iter_mut().for_each(|value| *value *= self.factor);
            }
        });
        values
    }
}

fn scaled(tensor: Tensor, factor: f32) -> Result<Tensor> {
    Ok(if factor == 1.0 { tensor } else { tensor.affine(f64::from(factor), 0.0)? })
}

fn ggml(blocks: Blocks) -> GgmlDType {
    match blocks {
        Blocks::Q4_0 => GgmlDType::Q4_0,
        Blocks::Q4_1 => GgmlDType::Q4_1,
        Blocks::Q5_0 => GgmlDType::Q5_0,
        Blocks::Q5_1 => GgmlDType::Q5_1,
        Blocks::Q8_0 => GgmlDType::Q8_0,
        Blocks::Q2_K => GgmlDType::Q2K,
        Blocks::Q3_K => GgmlDType::Q3K,
        Blocks::Q4_K => GgmlDType::Q4K,
        Blocks::Q5_K => GgmlDType::Q5K,
        Blocks::Q6_K => GgmlDType::Q6K,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another device would widen by candle's code: the values are the same.
    #[test]
    fn blocks_are_widened_as_candle_widens_them() {
        let count = 2 * 256;
        let values: Vec<f32> = (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0).collect();
        let tensor = Tensor::from_vec(values, (2, 256), &Device::Cpu).unwrap();
        for blocks in [Blocks::Q4_0, Blocks::Q5_1, Blocks::Q8_0, Blocks::Q3_K, Blocks::Q4_K, Blocks::Q6_K] {
            let theirs = QTensor::quantize(&tensor, ggml(blocks)).unwrap();
            let bytes = theirs.data().unwrap().into_owned();
            let ours = Packed::new(Dtype::Blocks(blocks), &[2, 256], 1.0, bytes, &Device::Cpu).unwrap();
            let theirs = theirs.dequantize(&Device::Cpu).unwrap();
            let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (a, b) in flat(&ours.wide().unwrap()).iter().zip(flat(&theirs)) {
                assert!((a - b).abs() <= 1e-6 * b.abs().max(0.1), "{blocks:?}: {a}, not {b}");
            }
            assert_eq!(flat(&ours.rows(&[1]).unwrap()), flat(&ours.wide().unwrap())[256..]);
        }
    }
}
