//! Rows of a table by number, and sines and cosines of a time.

use candle_core::{Device, Tensor};

use crate::nn::layers::Embedding;
use crate::nn::params::Params;
use crate::nn::tape::{Gradients, Tape, Var};
use crate::{Error, Result};

impl Tape {
    /// Rows `ids` of the table: `[ids, width]`.
    pub fn embedding(&self, params: &Params, layer: &Embedding, ids: &[u32]) -> Result<Var> {
        if let Some(id) = ids.iter().find(|id| **id as usize >= layer.count) {
            return Err(Error::invalid(format!("a table of {} rows has no row {id}", layer.count)));
        }
        let y = params.weight(layer.weight).rows(ids)?;
        let table = params.get(layer.weight);
        let ids = Tensor::from_slice(ids, ids.len(), table.device())?;
        Ok(self.push(y, self.trains(params, layer.weight), || {
            let (weight, table) = (layer.weight, table.clone());
            move |dy: &Tensor, sink: &mut Gradients| sink.add_param(weight, table.zeros_like()?.index_add(&ids, dy, 0)?)
        }))
    }
}

/// Sines and cosines of times, `[times, width]`: "Attention Is All You Need", as diffusers' `Timesteps` (f32, cosines first).
/// Frequency `i` is `10000^(−i / (width / 2 − shift))`.
pub fn sinusoid(times: &[f32], width: usize, shift: f32, device: &Device) -> Result<Tensor> {
    let half = width / 2;
    let frequency = |i: usize| f64::from(-(10_000f32.ln()) * i as f32 / (half as f32 - shift)).exp() as f32;
    let mut values = Vec::with_capacity(times.len() * width);
    for &time in times {
        values.extend((0..half).map(|i| (time * frequency(i)).cos()));
        values.extend((0..half).map(|i| (time * frequency(i)).sin()));
        values.extend((2 * half..width).map(|_| 0.0));
    }
    Ok(Tensor::from_vec(values, (times.len(), width), device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_embedded_as_diffusers_does() {
        let row = sinusoid(&[981.0], 320, 0.0, &Device::Cpu).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (at, want) in
            [(0, 0.679957), (1, -0.798429), (2, 0.578064), (159, 0.994606), (160, 0.733252), (319, 0.103726)]
        {
            // The last place of a frequency is worth 6e-5 at a time of 981, and exponentials differ in it.
            assert!((row[at] - want).abs() < 1e-4, "{at}: {}, not {want}", row[at]);
        }
    }
}
