//! Aligning the colours of an SR output to its LR image.
//!
//! Generative backbones drift in colour. The two corrections in use are those of StableSR (Wang et al., "Exploiting
//! Diffusion Prior for Real-World Image Super-Resolution", IJCV 2024): adaptive instance normalization, and the swap of
//! the low wavelet band.

use super::Image;
use super::resize::{Filter, resize};
use crate::Result;
use crate::words::words;
use rayon::prelude::*;

words! {
    /// What the colours of an output are aligned to the LR image with.
    pub enum ColorFix {
        /// As the backbone made them.
        Off = "none",
        /// [`adain`].
        AdaIn = "adain",
        /// [`wavelet`].
        Wavelet = "wavelet",
    }
}

impl ColorFix {
    /// Applies the fix to `sr`; the result is clamped to [0, 1] unless nothing is fixed.
    pub fn apply(self, sr: &Image, lr: &Image) -> Result<Image> {
        match self {
            Self::Off => Ok(sr.clone()),
            Self::AdaIn => adain(sr, lr),
            Self::Wavelet => wavelet(sr, lr),
        }
    }
}

/// Gives every channel of `sr` the mean and standard deviation of the bicubically enlarged `lr` (Huang and Belongie,
/// "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", ICCV 2017). Clamped to [0, 1].
pub fn adain(sr: &Image, lr: &Image) -> Result<Image> {
    let style = resize(lr, sr.width(), sr.height(), Filter::Bicubic)?;
    let mut data = Vec::with_capacity(sr.data().len());
    for channel in 0..3 {
        let (from_mean, from_std) = mean_std(sr.plane(channel));
        let (to_mean, to_std) = mean_std(style.plane(channel));
        let gain = to_std / from_std;
        data.extend(sr.plane(channel).iter().map(|v| ((v - from_mean) * gain + to_mean).clamp(0.0, 1.0)));
    }
    Ok(sr.with_data(data))
}

/// Keeps the detail of `sr` and takes the low frequencies, and so the colours, of the bicubically enlarged `lr`: five
/// levels of an à trous decomposition with the 3×3 binomial kernel. Clamped to [0, 1].
pub fn wavelet(sr: &Image, lr: &Image) -> Result<Image> {
    let style = resize(lr, sr.width(), sr.height(), Filter::Bicubic)?;
    // The low band is linear: sr − low(sr) + low(style) = sr + low(style − sr).
    let difference = style.data().iter().zip(sr.data()).map(|(style, sr)| style - sr).collect();
    let correction = low_band(difference, sr.width(), sr.height());
    let data = sr.data().iter().zip(correction).map(|(v, c)| (v + c).clamp(0.0, 1.0)).collect();
    Ok(sr.with_data(data))
}

/// Mean and standard deviation (of the sample, with StableSR's 10⁻⁵ added to the variance).
fn mean_std(values: &[f32]) -> (f32, f32) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let squares = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
    (mean as f32, (squares / (n - 1.0).max(1.0) + 1e-5).sqrt() as f32)
}

/// The lowest of five levels: [¼, ½, ¼] along both axes at the spacings 1, 2, 4, 8, 16, the edge pixel repeated.
fn low_band(mut planes: Vec<f32>, width: usize, height: usize) -> Vec<f32> {
    let mut other = vec![0.0; planes.len()];
    for level in 0..5 {
        let step = 1usize << level;
        other.par_chunks_exact_mut(width).zip(planes.par_chunks_exact(width)).for_each(|(out, row)| {
            for (x, out) in out.iter_mut().enumerate() {
                let (left, right) = (x.saturating_sub(step), (x + step).min(width - 1));
                *out = 0.25 * (row[left] + row[right]) + 0.5 * row[x];
            }
        });
        planes.par_chunks_exact_mut(width).enumerate().for_each(|(line, out)| {
            let (top, y) = (line / height * height, line % height);
            let row = |y: usize| &other[(top + y) * width..][..width];
            let (above, below) = (row(y.saturating_sub(step)), row((y + step).min(height - 1)));
            for (out, ((a, b), v)) in out.iter_mut().zip(above.iter().zip(below).zip(row(y))) {
                *out = 0.25 * (a + b) + 0.5 * v;
            }
        });
    }
    planes
}

#[cfg(test)]
#[path = "color_fix_tests.rs"]
mod tests;
