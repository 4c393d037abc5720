//! Grain: how much fine detail a picture has, against its HR image. Neither more nor less of it is better, so that no reward
//! takes it; it says whether a change of other metrics is truth, or only grain or smoothing.
//!
//! Fine-tuning on perceptual rewards easily moves along this one axis: no-reference metrics like grain that full-reference
//! metrics dislike, and the other way round. Beside a result it tells that apart from a better picture.
//!
//! With Y the luma in [0, 1], B the blur by the binomial [1 4 6 4 1] / 16 along both axes and ↓ every second pixel:
//!
//! > L₀ = Y − B Y,  L₁ = Y₁ − B Y₁ with Y₁ = ↓ B Y,  E_k = mean of L_k²,
//! >
//! > grain = mean over k of 10 · log10((E_k + ε) / (E_k of HR + ε)) in dB,
//!
//! the two octaves that a ×4 LR image does not hold. ε = 1 / (12 · 255²) is the rounding to 8 bits, so that flat pictures have a
//! grain too. 0 is as much as HR has, +3 dB twice as much energy, −3 dB half.

use super::info::{Direction, Info, Kind, Status, text};
use super::metric::{Fr, FullReference, Map};
use super::parallel::strips_mut;
use super::plane::{Plane, unit_luma};
use crate::Result;
use crate::imaging::Image;

/// Variance of rounding to 8 bits.
const EPSILON: f64 = 1.0 / (12.0 * 255.0 * 255.0);
/// The binomial blur, from its middle outwards.
const BLUR: [f32; 3] = [6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];

/// Fine detail against HR.
pub static GRAIN: Fr<Grain> = Fr(Grain);

/// The name of [`GRAIN`].
pub const NAME: &str = "grain";

/// See [`GRAIN`].
#[derive(Clone, Copy)]
pub struct Grain;

static INFO: Info = Info {
    name: text(NAME),
    title: text("Grain against HR"),
    kind: Kind::FullReference,
    direction: Direction::Neither,
    range: (-30.0, 30.0),
    version: text("luma, two binomial octaves, eps 8 bits"),
    map: text("difference of the finest octave's magnitude, in [0, 1]"),
    status: Status::Own,
    paper: text("DP²O Studio"),
    ..Info::OF_PIXELS
};

impl FullReference for Grain {
    /// Its two octaves.
    type Reference = [Plane; 2];

    fn info(&self) -> &Info {
        &INFO
    }

    fn prepare(&self, reference: &Image) -> Result<[Plane; 2]> {
        Ok(octaves(reference))
    }

    fn score(&self, reference: &[Plane; 2], image: &Image) -> Result<f64> {
        let ratios = octaves(image)
            .iter()
            .zip(reference)
            .map(|(a, b)| (energy(a) + EPSILON) / (energy(b) + EPSILON))
            .product::<f64>();
        Ok(5.0 * ratios.log10())
    }

    fn map(&self, [reference, _]: &[Plane; 2], image: &Image) -> Result<Map> {
        let [Plane { width, height, mut data }, _] = octaves(image);
        data.iter_mut().zip(&reference.data).for_each(|(a, b)| *a = (a.abs() - b.abs()).abs());
        Ok(Map { width, height, data })
    }
}

/// L₀ and L₁.
fn octaves(image: &Image) -> [Plane; 2] {
    let fine = unit_luma(image);
    let blurred = blur(&fine);
    let coarse = halved(&blurred);
    let coarse_blurred = blur(&coarse);
    [less(fine, &blurred), less(coarse, &coarse_blurred)]
}

fn less(mut plane: Plane, blurred: &Plane) -> Plane {
    plane.data.iter_mut().zip(&blurred.data).for_each(|(a, b)| *a -= b);
    plane
}

/// Every second pixel of every second row.
fn halved(plane: &Plane) -> Plane {
    let rows = (0..plane.height).step_by(2);
    let data = rows.flat_map(|y| plane.row(y).iter().step_by(2).copied()).collect();
    Plane { width: plane.width.div_ceil(2), height: plane.height.div_ceil(2), data }
}

/// B, the border mirrored about its outermost pixels.
fn blur(plane: &Plane) -> Plane {
    let (width, height) = (plane.width, plane.height);
    let mut across = Plane::zeros(width, height);
    strips_mut(&mut across.data, width, |rows, out| {
        for (y, out) in rows.zip(out.chunks_exact_mut(width)) {
            let row = plane.row(y);
            for (x, out) in out.iter_mut().enumerate() {
                *out = weighed(|step| row[mirrored(x, step, width)]);
            }
        }
    });
    let mut both = Plane::zeros(width, height);
    strips_mut(&mut both.data, width, |rows, out| {
        for (y, out) in rows.zip(out.chunks_exact_mut(width)) {
            let taps = [-2, -1, 0, 1, 2].map(|step| across.row(mirrored(y, step, height)));
            for (x, out) in out.iter_mut().enumerate() {
                *out = weighed(|step| taps[(step + 2) as usize][x]);
            }
        }
    });
    both
}

#[inline(always)]
fn weighed(at: impl Fn(isize) -> f32) -> f32 {
    BLUR[0] * at(0) + BLUR[1] * (at(-1) + at(1)) + BLUR[2] * (at(-2) + at(2))
}

/// The place `step` from `at` among `len`, mirrored where it is outside.
fn mirrored(at: usize, step: isize, len: usize) -> usize {
    let last = len as isize - 1;
    let at = (at as isize + step).abs();
    let at = if at > last { 2 * last - at } else { at };
    at.clamp(0, last) as usize
}

fn energy(plane: &Plane) -> f64 {
    let rows = plane.data.chunks_exact(plane.width.max(1));
    let sum: f64 = rows.map(|row| f64::from(row.iter().map(|v| v * v).sum::<f32>())).sum();
    sum / plane.data.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iqa::generated;
    use crate::iqa::metric::Metric;

    fn grain(image: &Image, hr: &Image) -> f64 {
        (&GRAIN as &dyn Metric).score(image, Some(hr)).unwrap()
    }

    /// Contrast about mid grey, times `by`.
    fn contrast(image: &Image, by: f32) -> Image {
        let data = image.data().iter().map(|v| 0.5 + by * (v - 0.5)).collect();
        Image::new(image.width(), image.height(), data).unwrap()
    }

    #[test]
    fn half_the_amplitude_is_six_decibel_less_and_a_picture_has_the_grain_of_itself() {
        let [hr, _] = generated::pair([96, 80]).unwrap();
        assert_eq!(grain(&hr, &hr), 0.0);
        // ε is a hundredth of what this picture's octaves have.
        let (less, half) = (grain(&contrast(&hr, 0.5), &hr), 20.0 * 0.5f64.log10());
        assert!((less - half).abs() < 0.1, "{less}");
        assert!((grain(&hr, &contrast(&hr, 0.5)) + less).abs() < 1e-9);
    }

    /// A checkerboard lies wholly in the finest octave. B leaves a quarter of stripes of four pixels, which the second octave has whole:
    /// its energy is a ninth of the finest one's, (1/4 ÷ 3/4)².
    #[test]
    fn octaves_are_told_apart() {
        let draw = |value: &dyn Fn(usize, usize) -> f32| {
            let plane: Vec<f32> = (0..64 * 64).map(|i| value(i % 64, i / 64)).collect();
            Image::new(64, 64, plane.repeat(3)).unwrap()
        };
        let energies = |image: &Image| octaves(image).map(|plane| energy(&plane));
        let [fine, coarse] = energies(&draw(&|x, y| 0.5 + 0.1 * if (x + y) % 2 == 0 { 1.0 } else { -1.0 }));
        assert!((fine - 0.01).abs() < 1e-5 && coarse < 1e-10, "{fine} {coarse}");
        let [fine, coarse] = energies(&draw(&|x, _| 0.5 + 0.1 * if x % 4 < 2 { 1.0 } else { -1.0 }));
        assert!((fine - 0.005_6).abs() < 4e-4 && (coarse / fine - 1.0 / 9.0).abs() < 0.04, "{fine} {coarse}");
    }

    #[test]
    fn noise_is_more_and_blur_less_also_of_flat_and_tiny_pictures() {
        let [hr, other] = generated::pair([64, 64]).unwrap();
        let smooth = {
            let planes = (0..3).flat_map(|c| blur(&Plane { width: 64, height: 64, data: hr.plane(c).to_vec() }).data);
            Image::new(64, 64, planes.collect()).unwrap()
        };
        assert!(grain(&smooth, &hr) < -3.0);
        let flat = contrast(&hr, 0.0);
        assert!(grain(&other, &flat) > 20.0 && grain(&flat, &hr) < -20.0);
        let tiny = Image::new(1, 2, vec![0.25; 6]).unwrap();
        assert_eq!(grain(&tiny, &tiny), 0.0);
    }
}
