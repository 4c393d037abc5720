//! Trains the embedded backbone from photographs: what made the weights in `assets/`.

mod patches;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use self::patches::{Batch, Photo};
use super::condition::Shown;
use super::mini::Mini;
use super::{Backbone, Query};
use crate::fs::atomic::write_atomic;
use crate::nn::adamw::{AdamW, Settings};
use crate::nn::kernels::Compute;
use crate::nn::params::Params;
use crate::nn::tape::{Tape, Var};
use crate::{Error, Result, input};

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
/// What the held-out loss is averaged over.
const HELD_OUT_BATCHES: u64 = 24;
const HELD_OUT_BATCH: usize = 32;
const HELD_OUT_SEED: u64 = 0x5EED;

/// What a training run is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of photographs.
    pub data: PathBuf,
    /// Folder of photographs that are never trained on, to see by whether it still gets better.
    pub held_out: Option<PathBuf>,
    /// Weights to start from instead of random ones; a run that is resumed goes on from its state.
    pub init: Option<PathBuf>,
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
    /// Loss of the averaged weights on the held-out photographs, at the start and at each save.
    #[serde(skip)]
    pub held_out_loss: Option<f64>,
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

    fn start(net: &Mini, options: &Options, compute: &Compute) -> Result<Self> {
        let params = match &options.init {
            Some(weights) => Params::load(net.adapter(), weights, compute)?,
            None => Params::init(net.adapter(), options.seed, compute)?,
        };
        let params = params.trainable(true);
        let optimizer = AdamW::new(
            Settings { beta2: 0.99, weight_decay: 0.0, ..Settings::default() },
            params.kernels(),
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
        write_atomic(Self::path(&options.out), &bytes)?;
        let about = [
            ("backbone", "mini".to_owned()),
            ("steps", self.progress.step.to_string()),
            ("hours", format!("{:.2}", self.progress.seconds / 3600.0)),
        ];
        write_atomic(&options.out, &self.average.to_safetensors(true, &about)?)
    }

    fn resume(net: &Mini, options: &Options, compute: &Compute) -> Result<Self> {
        let path = Self::path(&options.out);
        let mut state = Self::start(net, options, compute)?;
        // A line of text, then weights, their average and two moments.
        let bytes = input::read(&path, (1 << 20) + 16 * net.adapter().value_count() as u64)?;
        let damaged = || Error::file(&path, "not the training state of this network; remove it to start afresh");
        let line = bytes.iter().position(|&b| b == b'\n').ok_or_else(damaged)?;
        let (progress, step): (Progress, u64) = serde_json::from_slice(&bytes[..line]).map_err(|_| damaged())?;
        let values: Vec<f32> =
            bytes[line + 1..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let n = net.adapter().value_count();
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

/// Trains until the time is used up, resuming from the state beside `out` if there is one. `report` is called after each
/// step, where its `false` stops the run, saved; with held-out photographs also before the first.
pub fn pretrain(options: &Options, device: &Device, mut report: impl FnMut(Progress) -> bool) -> Result<Progress> {
    let photos = patches::photos(&options.data)?;
    let held_out = options.held_out.as_deref().map(patches::photos).transpose()?;
    let net = Mini::new();
    let mut state = match State::path(&options.out).exists() {
        true => State::resume(&net, options, &Compute::on(device))?,
        false => State::start(&net, options, &Compute::on(device))?,
    };
    let judge = |average: &Params| held_out.as_deref().map(|p| held_out_loss(&net, average, p, device)).transpose();
    state.progress.held_out_loss = judge(&state.average)?;
    if held_out.is_some() {
        report(state.progress);
    }
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
            state.progress.held_out_loss = judge(&state.average)?;
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
    let batch = patches::batch(photos, options.batch, options.seed, step, device)?;
    let tape = Tape::recording(state.params.kernels());
    let (y, error) = prediction(net, &tape, &state.params, &batch)?;
    let loss = mean_square(&error)?;
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

/// The predicted velocity of a batch, and its error.
fn prediction(net: &Mini, tape: &Tape, params: &Params, batch: &Batch) -> Result<(Var, Tensor)> {
    let shown = Shown::of(vec![batch.condition.clone()], Vec::new());
    let y = net.predict(tape, params, &Query::new(&batch.x_t, &batch.times, &shown))?;
    let error = (y.tensor() - &batch.velocity)?;
    Ok((y, error))
}

fn mean_square(error: &Tensor) -> Result<f64> {
    Ok(error.sqr()?.mean_all()?.to_scalar::<f32>()?.into())
}

/// Loss over batches that are the same each time, so that two states compare without the noise of drawing.
fn held_out_loss(net: &Mini, params: &Params, photos: &[Photo], device: &Device) -> Result<f64> {
    let mut sum = 0.0;
    for step in 0..HELD_OUT_BATCHES {
        let batch = patches::batch(photos, HELD_OUT_BATCH, HELD_OUT_SEED, step, device)?;
        sum += mean_square(&prediction(net, &Tape::inference(params.kernels()), params, &batch)?.1)?;
    }
    Ok(sum / HELD_OUT_BATCHES as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn it_gets_better_on_photographs_not_trained_on_and_goes_on_from_what_it_wrote() {
        let dir = tempfile::tempdir().unwrap();
        for (folder, name) in [("train", "gravel"), ("held-out", "grass")] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
            let photo = example::photos().iter().find(|p| p.name == name).unwrap();
            std::fs::write(dir.path().join(folder).join(photo.file_name), photo.bytes).unwrap();
        }
        let options = Options {
            data: dir.path().join("train"),
            held_out: Some(dir.path().join("held-out")),
            init: None,
            hours: 1.0,
            out: dir.path().join("a.safetensors"),
            batch: 4,
            // High, as its warm-up is longer than this run.
            learning_rate: 5e-3,
            ema: 0.9,
            seed: 0,
            save_every: Duration::from_secs(3600),
        };
        let run = |options: &Options, steps: u64| {
            let mut losses = Vec::new();
            let last = pretrain(options, &Device::Cpu, |p| {
                losses.extend(p.held_out_loss);
                p.step < steps
            });
            (losses[0], last.unwrap())
        };
        let (before, first) = run(&options, 40);
        let after = first.held_out_loss.unwrap();
        assert!(after < 0.9 * before, "{before} → {after}");

        let (_, resumed) = run(&options, 42);
        assert_eq!(resumed.step, 42);
        assert_ne!(resumed.held_out_loss, first.held_out_loss);

        // f16 rounds the weights; nothing else may differ.
        let (from_file, _) = run(&Options { init: Some(options.out.clone()), out: dir.path().join("b"), ..options }, 1);
        let written = resumed.held_out_loss.unwrap();
        assert!((from_file / written - 1.0).abs() < 1e-3, "{written}, from the file {from_file}");
    }
}
