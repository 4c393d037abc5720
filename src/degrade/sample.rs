//! Drawing the steps of one degradation from a recipe.

use super::preset::{Blur, Degradation, Finish, Noise, ResizeMode, ResizeRange, Shape};
use super::{Applied, Kernel, Profile, Step};
use crate::imaging::SCALE;
use crate::imaging::draw::{Draws, Purpose};
use std::f32::consts::PI;

/// Draws the steps for an HR image of this size, which [`SCALE`] divides, from a valid recipe.
pub(super) fn draw(recipe: &Degradation, hr_px: [usize; 2], seed: u64) -> Applied {
    let mut draws = Draws::new(seed, Purpose::Degradation);
    let mut steps = Vec::new();
    let mut size = hr_px;
    for stage in &recipe.stages {
        steps.extend(blur(&stage.blur, &mut draws).map(Step::Blur));
        let next = stage_size(&stage.resize, hr_px.map(|side| side / stage.reduction), &mut draws);
        resize(&mut steps, &mut size, next, &stage.resize.modes, &mut draws);
        steps.extend(noise(&stage.noise, &mut draws));
        steps.extend(jpeg(stage.jpeg, &mut draws));
    }
    finish(&recipe.finish, &mut steps, size, hr_px.map(|side| side / SCALE), &mut draws);
    for step in &mut steps {
        if let Step::Jpeg { halves_chroma, .. } = step {
            *halves_chroma = recipe.halves_chroma;
        }
    }
    Applied { hr_px, seed, steps }
}

/// The last resize with its sinc filter, and the compression, in one of the two orders.
fn finish(finish: &Finish, steps: &mut Vec<Step>, mut size: [usize; 2], lr_px: [usize; 2], draws: &mut Draws) {
    let jpeg_last = draws.chance(finish.jpeg_last_probability);
    let jpeg = jpeg(finish.jpeg, draws);
    if !jpeg_last {
        steps.extend(jpeg);
    }
    resize(steps, &mut size, lr_px, &finish.modes, draws);
    if draws.chance(finish.sinc_probability) {
        let size_px = kernel_size(finish.sinc_size_px, draws);
        steps.push(Step::Blur(sinc(size_px, PI / 3.0, draws)));
    }
    if jpeg_last {
        steps.extend(jpeg);
    }
}

fn blur(blur: &Blur, draws: &mut Draws) -> Option<Kernel> {
    if !draws.chance(blur.probability) {
        return None;
    }
    let size_px = kernel_size(blur.size_px, draws);
    if draws.chance(blur.sinc_probability) {
        // Small kernels cannot carry a low cut-off.
        let lowest = if size_px < 13 { PI / 3.0 } else { PI / 5.0 };
        return Some(sinc(size_px, lowest, draws));
    }
    let shape = blur.shapes[draws.weighted(blur.shapes.iter().map(|s| s.1))].0;
    let sigma = draws.between(blur.sigma_px);
    let (sigma_px, angle_rad) = match shape {
        Shape::Iso | Shape::GeneralizedIso | Shape::PlateauIso => ([sigma, sigma], 0.0),
        Shape::Aniso | Shape::GeneralizedAniso | Shape::PlateauAniso => {
            ([sigma, draws.between(blur.sigma_px)], draws.between([-PI, PI]))
        }
    };
    let profile = match shape {
        Shape::Iso | Shape::Aniso => Profile::Gaussian { sigma_px, angle_rad, beta: 1.0 },
        Shape::GeneralizedIso | Shape::GeneralizedAniso => {
            Profile::Gaussian { sigma_px, angle_rad, beta: beta(blur.generalized_beta, draws) }
        }
        Shape::PlateauIso | Shape::PlateauAniso => {
            Profile::Plateau { sigma_px, angle_rad, beta: beta(blur.plateau_beta, draws) }
        }
    };
    Some(Kernel { size_px, profile })
}

/// An exponent below 1 half of the time, above 1 otherwise, where the range reaches to both sides.
fn beta([low, high]: [f32; 2], draws: &mut Draws) -> f32 {
    let below = draws.chance(0.5);
    if below { draws.between([low, high.min(1.0).max(low)]) } else { draws.between([low.max(1.0).min(high), high]) }
}

fn sinc(size_px: usize, lowest_cutoff: f32, draws: &mut Draws) -> Kernel {
    Kernel { size_px, profile: Profile::Sinc { cutoff_rad_per_px: draws.between([lowest_cutoff, PI]) } }
}

/// An odd size of the range.
fn kernel_size([low, high]: [usize; 2], draws: &mut Draws) -> usize {
    low + 2 * draws.index((high - low) / 2 + 1)
}

/// The size a stage resizes to.
fn stage_size(range: &ResizeRange, base: [usize; 2], draws: &mut Draws) -> [usize; 2] {
    let [low, high] = range.factor;
    let factor = match draws.weighted([range.up, range.down, range.keep]) {
        0 => draws.between([1.0, high]),
        1 => draws.between([low, 1.0]),
        _ => 1.0,
    };
    base.map(|side| ((side as f64 * f64::from(factor)) as usize).max(1))
}

/// Adds a resize unless the size is reached already. The mode is drawn in any case: what follows must not shift.
fn resize(steps: &mut Vec<Step>, size: &mut [usize; 2], next: [usize; 2], modes: &[ResizeMode], draws: &mut Draws) {
    let ResizeMode { filter, antialias } = modes[draws.index(modes.len())];
    if *size != next {
        let [width, height] = next;
        steps.push(Step::Resize { width, height, filter, antialias });
        *size = next;
    }
}

fn noise(noise: &Noise, draws: &mut Draws) -> Option<Step> {
    if !draws.chance(noise.probability) {
        return None;
    }
    let gaussian = draws.chance(noise.gaussian_probability);
    let gray = draws.chance(noise.gray_probability);
    Some(if gaussian {
        Step::GaussianNoise { sigma_255: draws.between(noise.sigma_255), gray }
    } else {
        Step::PoissonNoise { scale: draws.between(noise.poisson_scale), gray }
    })
}

fn jpeg(quality: Option<[u8; 2]>, draws: &mut Draws) -> Option<Step> {
    let [low, high] = quality?;
    Some(Step::Jpeg { quality: low + draws.index(usize::from(high - low) + 1) as u8, halves_chroma: false })
}
