//! One operation of a degradation, with every parameter it needs.

use super::{blur, jpeg, kernel::Kernel, noise};
use crate::imaging::Image;
use crate::imaging::resize::{Filter, resize, resize_aliased};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The largest side a step may produce, in pixels: a record read from disk must not exhaust the memory.
const MAX_SIDE_PX: usize = 1 << 16;

/// One operation of a degradation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// Convolution with a kernel.
    Blur(Kernel),
    /// Resize to a size in pixels.
    Resize { width: usize, height: usize, filter: Filter, antialias: bool },
    /// Normal noise with a standard deviation in units of 1/255.
    GaussianNoise { sigma_255: f32, gray: bool },
    /// `scale` times Poisson noise.
    PoissonNoise { scale: f32, gray: bool },
    /// JPEG compression and back.
    Jpeg {
        quality: u8,
        /// Color at half the resolution (4:2:0); records made before there was a choice have none.
        #[serde(default)]
        halves_chroma: bool,
    },
}

impl Step {
    /// Carries the step out. `seed` and the step's place in the list, `index`, fix its noise.
    pub(super) fn apply(&self, image: Image, seed: u64, index: u32) -> Result<Image> {
        self.check(&image)?;
        match *self {
            Self::Blur(kernel) => blur::blur(&image, &kernel),
            Self::Resize { width, height, filter, antialias: true } => resize(&image, width, height, filter),
            Self::Resize { width, height, filter, antialias: false } => resize_aliased(&image, width, height, filter),
            Self::GaussianNoise { sigma_255, gray } => noise::gaussian(image, sigma_255 / 255.0, gray, seed, index),
            Self::PoissonNoise { scale, gray } => noise::poisson(image, scale, gray, seed, index),
            Self::Jpeg { quality, halves_chroma } => jpeg::round_trip(&image, quality, halves_chroma),
        }
    }

    /// Refuses parameters that no recipe draws: a record may have been edited or damaged on disk.
    fn check(&self, image: &Image) -> Result<()> {
        let (fits, what) = match *self {
            Self::Blur(_) => (true, ""),
            Self::Resize { width, height, .. } => {
                let largest = MAX_SIDE_PX.min(64 * image.width().max(image.height()));
                (width <= largest && height <= largest, "a resize far beyond the image's size")
            }
            Self::GaussianNoise { sigma_255, .. } => ((0.0..=255.0).contains(&sigma_255), "noise beyond 0 to 255"),
            Self::PoissonNoise { scale, .. } => ((0.0..=100.0).contains(&scale), "a noise scale beyond 0 to 100"),
            Self::Jpeg { quality, .. } => ((1..=100).contains(&quality), "a JPEG quality beyond 1 to 100"),
        };
        if fits { Ok(()) } else { Err(Error::invalid(format!("the degradation record has {what}: {self:?}"))) }
    }
}
