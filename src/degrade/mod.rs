//! How a low-resolution image comes about: from an HR photograph by a seeded, recorded chain of operations.
//!
//! A [`Degradation`] is a recipe with ranges and probabilities. [`degrade`] draws one list of [`Step`]s from it and
//! carries them out; that list is [`Applied`], which is stored with the LR image and gives the same LR image again by
//! [`replay`]. Drawing and carrying out are apart, so an LR image never depends on anything its record does not hold.
//!
//! Everything is the same for a seed on every platform: the numbers come from a counter-based generator, functions
//! from `libm`, and sums have a fixed order. JPEG is the `image` crate's; its decoder's AVX2 and scalar paths were
//! compared and give the same bytes, its NEON path was not tried.
//!
//! The recipe is the second-order model of Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with
//! Pure Synthetic Data" (ICCVW 2021); a plain bicubic ×4 is the recipe without stages.

mod applied;
mod blur;
mod jpeg;
mod kernel;
mod noise;
mod preset;
mod sample;
mod step;

pub use applied::{Applied, replay};
pub use kernel::{Kernel, Profile};
pub use preset::{Blur, Degradation, Finish, Noise, PRESETS, ResizeMode, ResizeRange, Shape, Stage};
pub use step::Step;

use crate::Result;
use crate::imaging::{Image, SCALE, crop::trim};

/// Makes the LR image of `hr`, [`SCALE`] times smaller and rounded to 8 bits as it will be stored, and the record of
/// what was done.
///
/// `hr` is first trimmed at the right and bottom to multiples of [`SCALE`], as [`trim`] does: the HR image to keep with
/// the LR image is the trimmed one. Fails where nothing is left of it or the recipe contradicts itself.
pub fn degrade(hr: &Image, recipe: &Degradation, seed: u64) -> Result<(Image, Applied)> {
    recipe.validate()?;
    let hr = trim(hr, SCALE)?;
    let applied = sample::draw(recipe, [hr.width(), hr.height()], seed);
    let lr = applied.carry_out(hr)?;
    Ok((lr, applied))
}

#[cfg(test)]
mod tests;
