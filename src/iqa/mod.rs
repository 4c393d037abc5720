//! Image quality metrics, full-reference and no-reference, each in a file of its own.
//!
//! Names and definitions are those of pyiqa, the yardstick of the field, so that scores can be compared with published
//! ones; the weights are compiled in. A [`Metric`] is found by its name ([`by_name`]), bound to a reference image once
//! ([`Metric::prepare`]) and then scores any number of candidates, from any number of threads:
//!
//! ```
//! use dp2o_studio::{imaging::Image, iqa};
//! # fn main() -> dp2o_studio::Result<()> {
//! let reference = Image::new(64, 64, vec![0.5; 3 * 64 * 64])?;
//! let candidate = Image::new(64, 64, vec![0.25; 3 * 64 * 64])?;
//! let scorer = iqa::by_name("psnr")?.prepare(Some(&reference))?;
//! assert!((scorer.score(&candidate)? - 12.04).abs() < 0.01);
//! # Ok(())
//! # }
//! ```
//!
//! * [`metric`]: what a metric is, and the checks every image passes first.
//! * The metrics: [`psnr`], [`ssim`], [`ms_ssim`], [`stlpips`], [`niqe`], [`brisque`], [`piqe`].
//! * What they share: [`plane`] (one channel, luma), [`gaussian`] (local means), [`resize`] (MATLAB's bicubic),
//!   [`mscn`], [`nss`] and [`ggd`] (natural scene statistics), [`blocks`] (local maps), [`assets`] (weights).
//!
//! Large images are worked on by all threads of the current rayon pool, small ones by the caller's. Work is cut the same
//! way whatever the number of threads, so that scores do not depend on it.

mod assets;
mod blocks;
pub mod brisque;
mod gaussian;
mod ggd;
pub mod info;
mod linear;
pub mod metric;
pub mod ms_ssim;
mod mscn;
pub mod niqe;
pub mod niqe_fit;
mod nss;
mod parallel;
pub mod piqe;
mod plane;
pub mod psnr;
mod resize;
pub mod ssim;
pub mod stlpips;

#[cfg(test)]
mod tests;

use crate::{Error, Result};
pub use info::{Direction, Info, Kind, MetricKey};
pub use metric::{Map, Metric, Scorer};

/// Every metric, full-reference ones first.
static ALL: [&dyn Metric; 9] = [
    &psnr::PSNR,
    &ssim::SSIM,
    &ms_ssim::MS_SSIM,
    &ms_ssim::MS_SSIM_S4,
    &stlpips::STLPIPS,
    &niqe::NIQE,
    &niqe::NIQE_B32,
    &brisque::BRISQUE,
    &piqe::PIQE,
];

/// Every metric there is, full-reference ones first.
pub fn all() -> &'static [&'static dyn Metric] {
    &ALL
}

/// The metric of this name; the error lists the names there are.
pub fn by_name(name: &str) -> Result<&'static dyn Metric> {
    all().iter().copied().find(|metric| metric.info().name == name).ok_or_else(|| {
        let names: Vec<_> = all().iter().map(|metric| metric.info().name.as_ref()).collect();
        Error::invalid(format!("there is no metric '{name}', only {}", names.join(", ")))
    })
}
