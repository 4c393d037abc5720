//! Aligning the colours of an SR output to its LR image.
//!
//! Generative backbones drift in colour. The two corrections in use are those of StableSR (Wang et al., "Exploiting
//! Diffusion Prior for Real-World Image Super-Resolution", IJCV 2024): adaptive instance normalization, and the swap of
//! the low wavelet band.

use std::ops::Range;

use super::Image;
use super::rows::{Rows, bands};
use super::window::Resized;
use crate::Result;
use crate::words::words;
use rayon::prelude::*;

words! {
    /// What the colours of an output are aligned to the LR image with.
    pub enum ColorFix {
        /// As the backbone made them.
        Off = "none",
        /// Gives every channel the mean and standard deviation of the bicubically enlarged LR image (Huang and Belongie,
        /// "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", ICCV 2017).
        AdaIn = "adain",
        /// Keeps the detail and takes the low frequencies, and so the colours, of the bicubically enlarged LR image: five
        /// levels of an à trous decomposition with the 3×3 binomial kernel.
        Wavelet = "wavelet",
    }
}

impl ColorFix {
    /// Applies the fix to `sr`; the result is clamped to [0, 1] unless nothing is fixed.
    pub fn apply(self, sr: &Image, lr: &Image) -> Result<Image> {
        Fixed::new(self, sr, lr)?.whole()
    }
}

/// A picture with its colours fixed, given by rows: the values of [`ColorFix::apply`].
pub struct Fixed<'l, R> {
    sr: R,
    style: Resized<'l>,
    fix: Fix,
}

/// A fix with what it has to know of the whole picture.
enum Fix {
    Off,
    AdaIn([Match; 3]),
    Wavelet,
}

/// A channel's way from its own mean to another, with the ratio of the standard deviations.
struct Match {
    from: f32,
    gain: f32,
    to: f32,
}

/// Levels of the wavelet fix.
const LEVELS: usize = 5;
/// Rows beyond its own that a row of [`low_band`] depends on.
const REACH: usize = (1 << LEVELS) - 1;

impl<'l, R: Rows> Fixed<'l, R> {
    /// Goes over the whole picture where the fix depends on all of it.
    pub fn new(fix: ColorFix, sr: R, lr: &'l Image) -> Result<Self> {
        let style = Resized::new(lr, sr.width(), sr.height());
        let fix = match fix {
            ColorFix::Off => Fix::Off,
            ColorFix::AdaIn => {
                let (sr, style) = (mean_std(&sr)?, mean_std(&style)?);
                Fix::AdaIn([0, 1, 2].map(|c| Match { from: sr[c].0, gain: style[c].1 / sr[c].1, to: style[c].0 }))
            }
            ColorFix::Wavelet => Fix::Wavelet,
        };
        Ok(Self { sr, style, fix })
    }

    fn matched(&self, matches: &[Match; 3], rows: Range<usize>) -> Result<Image> {
        let sr = self.sr.rows(rows)?;
        let mut data = Vec::with_capacity(sr.data().len());
        for (c, Match { from, gain, to }) in matches.iter().enumerate() {
            data.extend(sr.plane(c).iter().map(|v| ((v - from) * gain + to).clamp(0.0, 1.0)));
        }
        Ok(sr.with_data(data))
    }

    fn with_low_band_of_style(&self, rows: Range<usize>) -> Result<Image> {
        let around = rows.start.saturating_sub(REACH)..(rows.end + REACH).min(self.sr.height());
        let (sr, style) = (self.sr.rows(around.clone())?, self.style.rows(around.clone())?);
        // The low band is linear: sr − low(sr) + low(style) = sr + low(style − sr).
        let difference = style.data().iter().zip(sr.data()).map(|(style, sr)| style - sr).collect();
        let correction = sr.with_data(low_band(difference, sr.width(), sr.height()));
        let inner = rows.start - around.start..rows.end - around.start;
        let (sr, correction) = (sr.rows(inner.clone())?, correction.rows(inner)?);
        let data = sr.data().iter().zip(correction.data()).map(|(v, c)| (v + c).clamp(0.0, 1.0)).collect();
        Ok(sr.with_data(data))
    }
}

impl<R: Rows> Rows for Fixed<'_, R> {
    fn width(&self) -> usize {
        self.sr.width()
    }

    fn height(&self) -> usize {
        self.sr.height()
    }

    fn rows(&self, rows: Range<usize>) -> Result<Image> {
        match &self.fix {
            Fix::Off => self.sr.rows(rows),
            Fix::AdaIn(matches) => self.matched(matches, rows),
            Fix::Wavelet => self.with_low_band_of_style(rows),
        }
    }
}

/// Mean and standard deviation (of the sample, with StableSR's 10⁻⁵ added to the variance) of each channel.
fn mean_std(picture: &impl Rows) -> Result<[(f32, f32); 3]> {
    let n = (picture.width() * picture.height()) as f64;
    let sums = |add: &dyn Fn(f64, usize) -> f64| -> Result<[f64; 3]> {
        let mut sums = [0.0; 3];
        for rows in bands(0..picture.height()) {
            let band = picture.rows(rows)?;
            for (c, sum) in sums.iter_mut().enumerate() {
                *sum = band.plane(c).iter().fold(*sum, |sum, &v| sum + add(f64::from(v), c));
            }
        }
        Ok(sums)
    };
    let means = sums(&|v, _| v)?.map(|sum| sum / n);
    let squares = sums(&|v, c| (v - means[c]).powi(2))?;
    Ok([0, 1, 2].map(|c| (means[c] as f32, (squares[c] / (n - 1.0).max(1.0) + 1e-5).sqrt() as f32)))
}

/// The lowest of five levels: [¼, ½, ¼] along both axes at the spacings 1, 2, 4, 8, 16, the edge pixel repeated.
fn low_band(mut planes: Vec<f32>, width: usize, height: usize) -> Vec<f32> {
    let mut other = vec![0.0; planes.len()];
    for level in 0..LEVELS {
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
