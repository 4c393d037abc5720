//! Image quality metrics, full-reference and no-reference, each in a file of its own.
//!
//! Names and definitions are those of pyiqa, the yardstick of the field, so that scores can be compared with published
//! ones. A [`Metric`] is found by its name ([`by_name`]), opened on a device ([`Metric::open`]), bound to a reference image
//! once ([`Scorer::bind`]) and then scores any number of candidates, from any number of threads:
//!
//! ```
//! use std::sync::Arc;
//! use dp2o_studio::imaging::Image;
//! use dp2o_studio::iqa::{self, Features};
//! use dp2o_studio::nn::kernels::Compute;
//! use dp2o_studio::weights::Store;
//! # fn main() -> dp2o_studio::Result<()> {
//! let reference = Arc::new(Image::new(64, 64, vec![0.5; 3 * 64 * 64])?);
//! let candidate = Arc::new(Image::new(64, 64, vec![0.25; 3 * 64 * 64])?);
//! let (scorer, features) = (iqa::by_name("psnr")?.open(&Store::of_folders(&[], false), &Compute::cpu())?, Features::default());
//! let bound = scorer.bind(Some(&reference), &features)?;
//! assert!((bound.score(&candidate, &features)? - 12.04).abs() < 0.01);
//! # Ok(())
//! # }
//! ```
//!
//! * [`info`]: the facts of a metric. [`metric`]: what it does, and the checks every image passes first. [`features`]: what
//!   several metrics compute of one image. [`registry`]: which metrics there are. [`generated`]: a pair of images to compare
//!   scores on.
//! * The metrics: [`psnr`], [`ssim`], [`ms_ssim`], [`stlpips`], [`lpips`], [`dists`], [`topiq`], [`nima`], [`arniqa`], [`hyper_iqa`], [`dbcnn`], [`niqe`],
//!   [`brisque`], [`piqe`]; [`external`]: commands. On transformers and on CLIP: [`musiq`], [`maniqa`], [`clip_iqa`],
//!   [`qualiclip`], [`afine`], [`liqe`], [`qalign`].
//! * Against the LR image instead of an HR image: [`lr`]. What is reported and never rewarded: [`grain`].
//! * What they share: [`plane`] (one channel, luma), [`gaussian`] (local means), [`resize`] (MATLAB's bicubic),
//!   [`border`] (left out of any metric), [`mscn`], [`nss`] and [`ggd`] (natural scene statistics), [`blocks`] (local maps), [`assets`] (weights).
//!   With a network: [`learned`] (images into it, batches), [`shared`] (open once), [`clip`] (image against texts),
//!   [`grid_crops`], [`windows`] (maps of metrics that have none).
//!
//! A new metric is a file here and a line in [`registry`]: about pixels, it implements [`metric::FullReference`] or
//! [`metric::NoReference`]; with a network, [`Metric`], [`Scorer`] and [`Bound`], as [`stlpips`] does, its architecture being a
//! file of [`crate::networks`] and its weights [parts](crate::weights::Part) that it [`needs`](Metric::needs). No other room
//! has to know (`tests/metrics.rs`).
//!
//! Large images are worked on by all threads of the current rayon pool, small ones by the caller's. Work is cut the same
//! way whatever the number of threads, so that scores do not depend on it.

pub mod afine;
pub mod arniqa;
mod assets;
mod blocks;
pub mod border;
pub mod brisque;
mod clip;
pub mod clip_iqa;
pub mod dbcnn;
pub mod dists;
pub mod external;
pub mod features;
mod gaussian;
pub mod generated;
mod ggd;
pub mod grain;
mod grid_crops;
pub mod hyper_iqa;
pub mod info;
pub mod learned;
mod linear;
pub mod liqe;
pub mod lpips;
pub mod lr;
pub mod maniqa;
pub mod metric;
pub mod ms_ssim;
mod mscn;
pub mod musiq;
pub mod nima;
pub mod niqe;
pub mod niqe_fit;
mod nss;
mod parallel;
mod perceptual;
pub mod piqe;
mod plane;
pub mod psnr;
pub mod qalign;
pub mod qualiclip;
pub mod registry;
mod resize;
mod shared;
pub mod ssim;
pub mod stlpips;
pub mod topiq;
mod windows;

#[cfg(test)]
mod tests;

pub use external::External;
pub use features::Features;
pub use info::{Direction, Info, Kind, MetricKey, Status};
pub use metric::{Bound, Map, Metric, Scorer};
pub use registry::{all, by_name, register};
