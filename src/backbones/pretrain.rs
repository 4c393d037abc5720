//! Trains the embedded backbone from photographs: what made the weights in `assets/`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Backbone;
use super::mini::{DETAIL_GAIN, Mini};
use crate::nn::adamw::{AdamW, Settings};
use crate::nn::params::Params;
use crate::nn::tape::Tape;
use crate::random::Random;
use crate::{Error, Result};

/// Streams of [`Random`], one per use.
mod stream {
    pub const CROP: u32 = 1;
    pub const TIME: u32 = 2;
    pub const NOISE: u32 = 3;
}

/// Side of the training patches in pixels.
const PATCH_PX: usize = 64;
/// Photographs are also used at these scales, which multiplies the detail of a given size.
const SCALES: [f64; 2] = [1.0, 0.5];
/// Steps over which the learning rate rises at the start.
const WARMUP: u64 = 200;
/// Share of the run over which the learning rate falls to zero at the end; before it, a run can be prolonged.
const COOLDOWN: f64 = 0.25;
/// A gradient is shortened to this multiple of the running mean of gradient norms: one unlucky batch must not throw the
/// weights off (a run with a fixed bound of 1 diverged after 8,000 steps at a learning rate of 8e-4).
const CLIP: f64 = 1.5;
/// Decay of that running mean.
const NORM_DECAY: f64 = 0.99;
/// The average of the weights forgets faster during the first steps: its decay is (1 + step) / (this + step) there.
const EMA_WARMUP: u64 = 10;

/// What a training run is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of photographs.
    pub data: PathBuf,
    /// Training time, this run and those it resumes together.
    pub hours: f64,
    /// The weights, f16 safetensors. The state to resume from lies beside it, as `OUT.state`.
    pub out: PathBuf,
    pub batch: usize,
    pub learning_rate: f64,
    /// Decay of the exponential moving average of the weights, which is what is written.
    pub ema: f64,
    pub seed: u64,
    /// Time between two saves.
    pub save_every: Duration,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    pub step: u64,
    /// Seconds spent in training, over all runs.
    pub seconds: f64,
    /// Mean loss over about the last 200 steps.
    pub loss: f64,
    /// Running mean of the (shortened) gradients' norms.
    pub gradient_norm: f64,
}

/// A photograph at one scale: HR planar 8-bit values, and the bicubic image made from its LR.
struct Photo {
    width: usize,
    height: usize,
    hr: Vec<u8>,
    bicubic: Vec<u8>,
}

fn photos(folder: &Path) -> Result<Vec<Photo>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(|e| Error::file(folder, e))?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.is_file())
        .collect();
    paths.sort();
    let jobs: Vec<(PathBuf, f64)> = paths.iter().flat_map(|p| SCALES.map(|s| (p.clone(), s))).collect();
    let photo = |(path, scale): &(PathBuf, f64)| -> Result<Photo> {
        use image::imageops::{FilterType, resize};
        let image = image::open(path).map_err(|e| Error::file(path, e))?.into_rgb32f();
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

/// One batch: clean target x₁ and condition, planar `[batch, 3, 64, 64]`.
struct Batch {
    target: Vec<f32>,
    condition: Vec<f32>,
}

fn batch(photos: &[Photo], size: usize, seed: u64, step: u64) -> Batch {
    let values = 3 * PATCH_PX * PATCH_PX;
    let mut batch = Batch { target: vec![0.0; size * values], condition: vec![0.0; size * values] };
    let area: Vec<f64> = photos
        .iter()
        .scan(0.0, |sum, p| {
            *sum += (p.width * p.height) as f64;
            Some(*sum)
        })
        .collect();
    let total = area.last().copied().unwrap_or_default();
    let random = Random::new(seed, stream::CROP);
    let items = batch.target.par_chunks_exact_mut(values).zip(batch.condition.par_chunks_exact_mut(values));
    items.enumerate().for_each(|(i, (target, condition))| {
        // A patch without detail teaches nothing: of up to four places the first with enough contrast is taken.
        for attempt in 0..4 {
            let at = |n| random.uniforms([step as u32, (step >> 32) as u32, (i * 16 + attempt * 2 + n) as u32]);
            let ([photo, x, y, _], [turn, ..]) = (at(0), at(1));
            let photo = &photos[area.partition_point(|&a| a < photo as f64 * total).min(photos.len() - 1)];
            let place =
                |u: f32, n: usize| ((u * (n / 4 - PATCH_PX / 4 + 1) as f32) as usize).min(n / 4 - PATCH_PX / 4) * 4;
            let (x0, y0) = (place(x, photo.width), place(y, photo.height));
            let turn = (turn * 8.0) as usize % 8;
            let mut contrast = 0.0;
            for (k, (t, c)) in target.iter_mut().zip(condition.iter_mut()).enumerate() {
                let (channel, y, x) = (k / (PATCH_PX * PATCH_PX), k / PATCH_PX % PATCH_PX, k % PATCH_PX);
                let (y, x) = if turn & 1 == 1 { (x, y) } else { (y, x) };
                let y = if turn & 2 == 2 { PATCH_PX - 1 - y } else { y };
                let x = if turn & 4 == 4 { PATCH_PX - 1 - x } else { x };
                let at = (channel * photo.height + y0 + y) * photo.width + x0 + x;
                *c = photo.bicubic[at] as f32 / 255.0;
                *t = DETAIL_GAIN * (photo.hr[at] as f32 / 255.0 - *c);
                contrast += t.abs();
            }
            if contrast / values as f32 > 0.04 {
                break;
            }
        }
    });
    batch
}

/// State to resume from, beside the weights: policy and optimizer in full precision.
struct State {
    params: Params,
    average: Params,
    optimizer: AdamW,
    progress: Progress,
}

impl State {
    fn path(out: &Path) -> PathBuf {
        let mut name = out.as_os_str().to_owned();
        name.push(".state");
        name.into()
    }

    fn start(net: &Mini, options: &Options, device: &Device) -> Result<Self> {
        let params = Params::init(net.specs(), options.seed, device)?.trainable(true);
        let optimizer = AdamW::new(
            Settings { beta2: 0.99, weight_decay: 0.0, ..Settings::default() },
            params.iter().map(|(_, t)| t),
        )?;
        Ok(Self { average: params.duplicate()?, params, optimizer, progress: Progress::default() })
    }

    fn save(&self, options: &Options) -> Result<()> {
        let (step, moments) = self.optimizer.state()?;
        let mut bytes = serde_json::to_vec(&(self.progress, step)).map_err(Error::invalid)?;
        bytes.push(b'\n');
        let mut put = |values: &[f32]| values.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
        put(&self.params.to_flat()?);
        put(&self.average.to_flat()?);
        moments.iter().for_each(|[first, _]| put(first));
        moments.iter().for_each(|[_, second]| put(second));
        write_whole(&Self::path(&options.out), &bytes)?;
        let about = [
            ("backbone", "mini".to_owned()),
            ("steps", self.progress.step.to_string()),
            ("hours", format!("{:.2}", self.progress.seconds / 3600.0)),
        ];
        write_whole(&options.out, &self.average.to_safetensors(true, &about)?)
    }

    fn resume(net: &Mini, options: &Options, device: &Device) -> Result<Self> {
        let path = Self::path(&options.out);
        let mut state = Self::start(net, options, device)?;
        let bytes = std::fs::read(&path).map_err(|e| Error::file(&path, e))?;
        let damaged = || Error::file(&path, "not the training state of this network; remove it to start afresh");
        let line = bytes.iter().position(|&b| b == b'\n').ok_or_else(damaged)?;
        let (progress, step): (Progress, u64) = serde_json::from_slice(&bytes[..line]).map_err(|_| damaged())?;
        let values: Vec<f32> =
            bytes[line + 1..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let n = net.specs().value_count();
        if values.len() != 4 * n {
            return Err(damaged());
        }
        let sizes: Vec<usize> = state.params.iter().map(|(_, t)| t.elem_count()).collect();
        let split = |part: usize| {
            let mut rest = &values[part * n..(part + 1) * n];
            let cut = |&len: &usize| {
                let (head, tail) = rest.split_at(len);
                rest = tail;
                head.to_vec()
            };
            sizes.iter().map(cut).collect::<Vec<_>>()
        };
        state.params.set_flat(&values[..n])?;
        state.average.set_flat(&values[n..2 * n])?;
        let moments = split(2).into_iter().zip(split(3)).map(|(a, b)| [a, b]).collect();
        state.optimizer.restore(step, moments)?;
        state.progress = progress;
        Ok(state)
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("part");
    std::fs::write(&temporary, bytes).map_err(|e| Error::file(&temporary, e))?;
    std::fs::rename(&temporary, path).map_err(|e| Error::file(path, e))
}

/// Trains until the time is used up, resuming from the state beside `out` if there is one. `report` is called after each
/// step; its `false` stops the run, saved.
pub fn pretrain(options: &Options, device: &Device, mut report: impl FnMut(Progress) -> bool) -> Result<Progress> {
    let photos = photos(&options.data)?;
    let net = Mini::new();
    let mut state = match State::path(&options.out).exists() {
        true => State::resume(&net, options, device)?,
        false => State::start(&net, options, device)?,
    };
    let (mut clock, mut saved) = (Instant::now(), Instant::now());
    let total = options.hours * 3600.0;
    while state.progress.seconds < total {
        let step = state.progress.step;
        let loss = train_step(&net, &photos, options, &mut state, device)?;
        if !loss.is_finite() {
            return Err(Error::Diverged(format!("the loss is {loss} at step {step}")));
        }
        let weight = (1.0 / (step + 1) as f64).max(1.0 / 200.0);
        state.progress.loss += weight * (loss - state.progress.loss);
        state.progress.step += 1;
        state.progress.seconds += clock.elapsed().as_secs_f64();
        clock = Instant::now();
        let go_on = report(state.progress);
        if !go_on || saved.elapsed() > options.save_every || state.progress.seconds >= total {
            state.save(options)?;
            saved = Instant::now();
        }
        if !go_on {
            break;
        }
    }
    Ok(state.progress)
}

fn train_step(net: &Mini, photos: &[Photo], options: &Options, state: &mut State, device: &Device) -> Result<f64> {
    let step = state.progress.step;
    let n = options.batch;
    let shape = (n, 3, PATCH_PX, PATCH_PX);
    let Batch { target, condition } = batch(photos, n, options.seed, step);
    let key = options.seed.wrapping_add(step.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let noise = Random::new(key, stream::NOISE).normal_image(n * 3, PATCH_PX, PATCH_PX);
    let times: Vec<f32> = (0..n)
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

    let tape = Tape::recording();
    let x_t = Tensor::from_vec(x_t, shape, device)?;
    let condition = Tensor::from_vec(condition, shape, device)?;
    let y = net.predict(&tape, &state.params, &x_t, &times, &condition)?;
    let error = (y.tensor() - Tensor::from_vec(velocity, shape, device)?)?;
    let loss = error.sqr()?.mean_all()?.to_scalar::<f32>()? as f64;
    let count = error.elem_count() as f64;
    let gradients = tape.backward(&y, (error * (2.0 / count))?)?;

    let norm = gradients.norm()?;
    let elapsed = state.progress.seconds / (options.hours * 3600.0);
    let cooldown = ((1.0 - elapsed) / COOLDOWN).clamp(0.0, 1.0);
    let warmup = ((step + 1) as f64 / WARMUP as f64).min(1.0);
    let rate = options.learning_rate * warmup * cooldown;
    let mean_norm = &mut state.progress.gradient_norm;
    let bound = if step == 0 { norm } else { CLIP * *mean_norm };
    let clipped = norm.min(bound);
    *mean_norm = if step == 0 { norm } else { NORM_DECAY * *mean_norm + (1.0 - NORM_DECAY) * clipped };
    state.optimizer.step(&mut state.params, &gradients, rate, clipped / norm.max(f64::MIN_POSITIVE))?;
    let decay = options.ema.min((1 + step) as f64 / (EMA_WARMUP + step) as f64);
    state.average.average_with(&state.params, decay)?;
    Ok(loss)
}
