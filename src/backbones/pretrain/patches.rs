//! The patches that pretraining draws from photographs, and what the network is asked for on them.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::backbones::mini::DETAIL_GAIN;
use crate::degrade::{Degradation, degrade};
use crate::imaging::crop::cut;
use crate::imaging::resize::enlarge_x4;
use crate::imaging::{Image, decode};
use crate::random::Random;
use crate::{Error, Result};

/// Streams of [`Random`], one per use.
mod stream {
    pub const CROP: u32 = 1;
    pub const TIME: u32 = 2;
    pub const NOISE: u32 = 3;
    pub const DEGRADATION: u32 = 4;
}

/// Side of the training patches in pixels.
const PATCH_PX: usize = 64;
/// Photographs are also used at these scales, which multiplies the detail of a given size.
const SCALES: [f64; 2] = [1.0, 0.5];
/// What a degradation sees around a patch on each side where the photograph has it, in pixels: more than the blurs of a
/// preset reach, so that a patch is degraded as if within its photograph.
const MARGIN_PX: usize = 32;

/// A patch whose enlarged LR image is less [rough](roughness) than this is flat.
const ROUGH: f32 = 0.004;

/// How the LR image of a patch may come about; each patch draws one.
#[derive(Clone, Debug)]
pub enum Reduction {
    /// Plain bicubic, made once for each photograph.
    Bicubic,
    /// Drawn anew for each patch.
    Degraded(Degradation),
}

impl Reduction {
    /// The reduction that a preset of [`crate::degrade`] means; its error lists the presets.
    pub fn named(name: &str) -> Result<Self> {
        let degradation = Degradation::named(name)?;
        Ok(if degradation == Degradation::bicubic_x4() { Self::Bicubic } else { Self::Degraded(degradation) })
    }
}

/// A photograph at one scale: HR planar 8-bit values, and the bicubic image made from its LR.
pub struct Photo {
    width: usize,
    height: usize,
    hr: Vec<u8>,
    bicubic: Vec<u8>,
}

/// The image as the resizing here wants it.
fn interleaved(image: &Image) -> Result<image::Rgb32FImage> {
    let [width, height] = [image.width(), image.height()].map(|side| side as u32);
    let pixel = |i: usize| [0, 1, 2].map(|channel| image.plane(channel)[i]);
    let data = (0..image.width() * image.height()).flat_map(pixel).collect();
    image::Rgb32FImage::from_raw(width, height, data).ok_or_else(|| Error::invalid("an image without pixels"))
}

impl Photo {
    /// Part of the photograph, in [0, 1].
    fn part(&self, [x0, y0]: [usize; 2], [width, height]: [usize; 2]) -> Result<Image> {
        let plane = self.width * self.height;
        let row = |c: usize, y: usize| {
            let start = c * plane + (y0 + y) * self.width + x0;
            self.hr[start..start + width].iter().map(|&v| f32::from(v) / 255.0)
        };
        let rows = (0..3).flat_map(|c| (0..height).map(move |y| (c, y)));
        Image::new(width, height, rows.flat_map(|(c, y)| row(c, y)).collect())
    }

    /// The enlarged LR image of the patch at `x0`, `y0`, planar, degraded by the numbers of `seed`.
    fn degraded(&self, [x0, y0]: [usize; 2], degradation: &Degradation, seed: u64) -> Result<Vec<f32>> {
        // Multiples of 4, as every place and size here is.
        let span = |at: usize, side: usize| (at.saturating_sub(MARGIN_PX), (at + PATCH_PX + MARGIN_PX).min(side));
        let ((left, right), (top, bottom)) = (span(x0, self.width), span(y0, self.height));
        let (lr, _) = degrade(&self.part([left, top], [right - left, bottom - top])?, degradation, seed)?;
        Ok(cut(&enlarge_x4(&lr)?, x0 - left, y0 - top, PATCH_PX, PATCH_PX)?.into_data())
    }
}

/// Reads every photograph of a folder at all scales. Errors: a file that is no image, no photograph large enough.
pub fn photos(folder: &Path) -> Result<Vec<Photo>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(|e| Error::file(folder, e))?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.is_file())
        .collect();
    paths.sort();
    let jobs: Vec<(PathBuf, f64)> = paths.iter().flat_map(|p| SCALES.map(|s| (p.clone(), s))).collect();
    let photo = |(path, scale): &(PathBuf, f64)| -> Result<Photo> {
        use image::imageops::{FilterType, resize};
        let image = interleaved(&decode::read(path)?)?;
        let align = |n: u32| ((n as f64 * scale) as u32 / 4 * 4).max(4);
        let (width, height) = (align(image.width()), align(image.height()));
        // Catmull-Rom is the cubic with a = −0.5: the usual "bicubic".
        let hr = resize(&image, width, height, FilterType::CatmullRom);
        let lr = resize(&hr, width / 4, height / 4, FilterType::CatmullRom);
        let lr = image::DynamicImage::from(image::DynamicImage::from(lr).into_rgb8()).into_rgb32f();
        let bicubic = resize(&lr, width, height, FilterType::CatmullRom);
        let planar = |image: &image::Rgb32FImage| {
            let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
            (0..3).flat_map(|c| image.pixels().map(move |p| byte(p.0[c]))).collect()
        };
        Ok(Photo { width: width as usize, height: height as usize, hr: planar(&hr), bicubic: planar(&bicubic) })
    };
    let photos: Vec<Photo> = jobs.par_iter().map(photo).collect::<Result<_>>()?;
    let photos: Vec<Photo> = photos.into_iter().filter(|p| p.width.min(p.height) >= PATCH_PX).collect();
    if photos.is_empty() {
        return Err(Error::file(folder, format!("no photograph of at least {PATCH_PX} px in this folder")));
    }
    Ok(photos)
}

/// The mean difference of a patch's neighbouring values along its rows.
fn roughness(patch: &[f32]) -> f32 {
    let steps = |row: &[f32]| row.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum::<f32>();
    patch.chunks_exact(PATCH_PX).map(steps).sum::<f32>() / patch.len() as f32
}

/// One batch, planar `[size, 3, 64, 64]`: clean target x₁ and condition.
struct Clean {
    target: Vec<f32>,
    condition: Vec<f32>,
}

fn clean(photos: &[Photo], reductions: &[Reduction], size: usize, seed: u64, step: u64) -> Result<Clean> {
    let values = 3 * PATCH_PX * PATCH_PX;
    let mut clean = Clean { target: vec![0.0; size * values], condition: vec![0.0; size * values] };
    let area: Vec<f64> = photos
        .iter()
        .scan(0.0, |sum, p| {
            *sum += (p.width * p.height) as f64;
            Some(*sum)
        })
        .collect();
    let total = area.last().copied().unwrap_or_default();
    let random = Random::new(seed, stream::CROP);
    let items = clean.target.par_chunks_exact_mut(values).zip(clean.condition.par_chunks_exact_mut(values));
    items.enumerate().try_for_each(|(i, (target, condition))| {
        // A flat patch teaches little: of two places the first that is not flat is taken. What the network is shown decides, not
        // what it is to find there: chosen by that, flat LR patches would be those whose texture a blur took, and the network
        // would paint texture on every wall.
        for attempt in 0..2 {
            let position = |n| [step as u32, (step >> 32) as u32, (i * 16 + attempt * 2 + n) as u32];
            let at = |n| random.uniforms(position(n));
            let ([photo, x, y, _], [turn, kind, ..]) = (at(0), at(1));
            let photo = &photos[area.partition_point(|&a| a < photo as f64 * total).min(photos.len() - 1)];
            let place =
                |u: f32, n: usize| ((u * (n / 4 - PATCH_PX / 4 + 1) as f32) as usize).min(n / 4 - PATCH_PX / 4) * 4;
            let (x0, y0) = (place(x, photo.width), place(y, photo.height));
            let kind = ((kind * reductions.len() as f32) as usize).min(reductions.len() - 1);
            let degraded = match &reductions[kind] {
                Reduction::Bicubic => None,
                Reduction::Degraded(degradation) => {
                    let [low, high, ..] = Random::new(seed, stream::DEGRADATION).words(position(0));
                    let seed = u64::from(low) | u64::from(high) << 32;
                    Some(photo.degraded([x0, y0], degradation, seed)?)
                }
            };
            let turn = (turn * 8.0) as usize % 8;
            for (k, (t, c)) in target.iter_mut().zip(condition.iter_mut()).enumerate() {
                let (channel, y, x) = (k / (PATCH_PX * PATCH_PX), k / PATCH_PX % PATCH_PX, k % PATCH_PX);
                let (y, x) = if turn & 1 == 1 { (x, y) } else { (y, x) };
                let y = if turn & 2 == 2 { PATCH_PX - 1 - y } else { y };
                let x = if turn & 4 == 4 { PATCH_PX - 1 - x } else { x };
                let at = (channel * photo.height + y0 + y) * photo.width + x0 + x;
                *c = match &degraded {
                    None => photo.bicubic[at] as f32 / 255.0,
                    Some(patch) => patch[(channel * PATCH_PX + y) * PATCH_PX + x],
                };
                *t = DETAIL_GAIN * (photo.hr[at] as f32 / 255.0 - *c);
            }
            if roughness(condition) > ROUGH {
                break;
            }
        }
        Ok::<(), Error>(())
    })?;
    Ok(clean)
}

/// One batch of flow matching: the network is to predict `velocity` from the rest. Tensors are `[size, 3, 64, 64]`.
pub struct Batch {
    pub x_t: Tensor,
    pub times: Vec<f32>,
    pub condition: Tensor,
    pub velocity: Tensor,
}

/// The batch of a step: patches, their degradations (of `reductions`, which must not be empty), noise and times (t = sigmoid of
/// a normal) follow from `seed` and `step` alone.
pub fn batch(
    photos: &[Photo],
    reductions: &[Reduction],
    size: usize,
    [seed, step]: [u64; 2],
    device: &Device,
) -> Result<Batch> {
    let Clean { target, condition } = clean(photos, reductions, size, seed, step)?;
    let key = seed.wrapping_add(step.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let noise = Random::new(key, stream::NOISE).normal_image(size * 3, PATCH_PX, PATCH_PX);
    let times: Vec<f32> = (0..size)
        .map(|i| {
            let [z, ..] = Random::new(key, stream::TIME).normals([i as u32, 0, 0]);
            1.0 / (1.0 + (-z).exp())
        })
        .collect();
    let per_image = 3 * PATCH_PX * PATCH_PX;
    let at = |i: usize| {
        let t = times[i / per_image];
        (1.0 - t) * noise[i] + t * target[i]
    };
    let x_t: Vec<f32> = (0..noise.len()).map(at).collect();
    let velocity: Vec<f32> = target.iter().zip(&noise).map(|(x, e)| x - e).collect();
    let tensor = |values| Tensor::from_vec(values, (size, 3, PATCH_PX, PATCH_PX), device);
    Ok(Batch { x_t: tensor(x_t)?, condition: tensor(condition)?, velocity: tensor(velocity)?, times })
}
