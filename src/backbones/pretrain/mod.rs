//! Trains the embedded backbone from photographs: what made the weights in `assets/`.

mod patches;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use self::patches::Reduction;
use self::patches::{Batch, Photo};
use super::condition::Shown;
use super::mini::Mini;
use super::{Backbone, Query};
use crate::fs::atomic::{write_atomic, write_atomic_with};
use crate::nn::adamw::Settings;
use crate::nn::checkpoint::{self, Released};
use crate::nn::kernels::Compute;
use crate::nn::optimizer::{Optimizer, Pace};
use crate::nn::params::Params;
use crate::nn::state::{OldLayout, Saved, State};
use crate::nn::tape::{Tape, Var};
use crate::nn::tensors::MAX_HEADER_BYTES;
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
    /// How LR patches come about; each patch draws one.
    pub reductions: Vec<Reduction>,
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

/// A training in progress. The state to resume from lies beside the weights, in full precision.
struct Training {
    params: Params,
    optimizer: Optimizer,
    progress: Progress,
}

impl Training {
    fn state_path(out: &Path) -> PathBuf {
        let mut name = out.as_os_str().to_owned();
        name.push(".state");
        name.into()
    }

    fn start(net: &Mini, options: &Options, compute: &Compute) -> Result<Self> {
        let params = match &options.init {
            Some(weights) => initial(net, weights)?,
            None => Params::init(net.adapter(), options.seed, compute)?,
        };
        let params = params.trainable(true);
        let settings = Settings { beta2: 0.99, weight_decay: 0.0, ..Settings::default() };
        Ok(Self { optimizer: Optimizer::new(&params, settings, true)?, params, progress: Progress::default() })
    }

    /// The moving average, which is what is judged and written.
    fn average(&self) -> &Params {
        self.optimizer.average().unwrap_or(&self.params)
    }

    fn save(&self, options: &Options) -> Result<()> {
        let mut state = State::at(self.progress.step);
        state.about.insert("progress".into(), serde_json::to_value(self.progress).map_err(Error::invalid)?);
        self.optimizer.save(&mut state);
        write_atomic_with(Self::state_path(&options.out), |file| state.write(file))?;
        let about = [
            ("backbone", "mini".to_owned()),
            ("steps", self.progress.step.to_string()),
            ("hours", format!("{:.2}", self.progress.seconds / 3600.0)),
        ];
        let about = about.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        write_atomic(&options.out, &self.average().to_safetensors(true, &about)?)
    }

    fn resume(net: &Mini, options: &Options, compute: &Compute) -> Result<Self> {
        let path = Self::state_path(&options.out);
        let mut training = Self::start(net, &Options { init: None, ..options.clone() }, compute)?;
        let specs = net.adapter();
        // Weights, their average and two moments.
        let bytes = input::read(&path, MAX_HEADER_BYTES + 16 * specs.value_count() as u64)?;
        let fault = |error: Error| Error::file(&path, format!("{error}; remove it to start afresh"));
        let saved = Saved::of(&bytes, OldLayout { trained: specs, averaged: specs }).map_err(fault)?;
        training.optimizer.restore(&saved).map_err(fault)?;
        let progress = saved.about().get("progress").cloned().unwrap_or_default();
        training.progress = serde_json::from_value(progress).map_err(|error| fault(Error::invalid(error)))?;
        Ok(training)
    }
}

/// The weights of a checkpoint of `mini` to start from.
fn initial(net: &Mini, path: &Path) -> Result<Params> {
    let (weights, sha256) = (net.reference()?, net.weights_hash());
    let released = Released { backbone: net.card().name, weights: &weights, sha256: &sha256 };
    Ok(released.read(&checkpoint::read_file(net.adapter(), path)?, path)?.weights)
}

/// Trains until the time is used up, resuming from the state beside `out` if there is one. `report` is called after each
/// step, where its `false` stops the run, saved; with held-out photographs also before the first.
pub fn pretrain(options: &Options, device: &Device, mut report: impl FnMut(Progress) -> bool) -> Result<Progress> {
    if options.reductions.is_empty() {
        return Err(Error::invalid("no degradation to train on"));
    }
    let photos = patches::photos(&options.data)?;
    let held_out = options.held_out.as_deref().map(patches::photos).transpose()?;
    let compute = Compute::on(device);
    let net = Mini::on(&compute);
    let mut training = match Training::state_path(&options.out).exists() {
        true => Training::resume(&net, options, &compute)?,
        false => Training::start(&net, options, &compute)?,
    };
    let judge = |average: &Params| {
        held_out.as_deref().map(|p| held_out_loss(&net, average, p, &options.reductions, device)).transpose()
    };
    training.progress.held_out_loss = judge(training.average())?;
    if held_out.is_some() {
        report(training.progress);
    }
    let (mut clock, mut saved) = (Instant::now(), Instant::now());
    let total = options.hours * 3600.0;
    while training.progress.seconds < total {
        let step = training.progress.step;
        let loss = train_step(&net, &photos, options, &mut training, device)?;
        let weight = (1.0 / (step + 1) as f64).max(1.0 / 200.0);
        training.progress.loss += weight * (loss - training.progress.loss);
        training.progress.step += 1;
        training.progress.seconds += clock.elapsed().as_secs_f64();
        clock = Instant::now();
        let go_on = report(training.progress);
        if !go_on || saved.elapsed() > options.save_every || training.progress.seconds >= total {
            training.progress.held_out_loss = judge(training.average())?;
            training.save(options)?;
            saved = Instant::now();
        }
        if !go_on {
            break;
        }
    }
    Ok(training.progress)
}

fn train_step(
    net: &Mini,
    photos: &[Photo],
    options: &Options,
    training: &mut Training,
    device: &Device,
) -> Result<f64> {
    let step = training.progress.step;
    let batch = patches::batch(photos, &options.reductions, options.batch, [options.seed, step], device)?;
    let tape = Tape::recording(training.params.kernels());
    let (y, error) = prediction(net, &tape, &training.params, &batch)?;
    let loss = error.sqr()?.mean_all()?;
    let count = error.elem_count() as f64;
    let gradients = tape.backward(&y, (error * (2.0 / count))?)?;

    let elapsed = training.progress.seconds / (options.hours * 3600.0);
    let cooldown = ((1.0 - elapsed) / COOLDOWN).clamp(0.0, 1.0);
    let warmup = ((step + 1) as f64 / WARMUP as f64).min(1.0);
    let rate = options.learning_rate * warmup * cooldown;
    let longest = if step == 0 { f64::INFINITY } else { CLIP * training.progress.gradient_norm };
    let decay = options.ema.min((1 + step) as f64 / (EMA_WARMUP + step) as f64);
    // Read at the end, so that a device is waited for once.
    let mut value = f64::NAN;
    let pace = Pace { learning_rate: rate, longest, decay };
    let norm = training.optimizer.step_if(&gradients, pace, || {
        value = loss.to_scalar::<f32>()?.into();
        match value.is_finite() {
            true => Ok(()),
            false => Err(Error::Diverged(format!("the loss is {value} at step {step}"))),
        }
    })?;
    let mean_norm = &mut training.progress.gradient_norm;
    *mean_norm = if step == 0 { norm } else { NORM_DECAY * *mean_norm + (1.0 - NORM_DECAY) * norm.min(longest) };
    Ok(value)
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
fn held_out_loss(
    net: &Mini,
    params: &Params,
    photos: &[Photo],
    reductions: &[Reduction],
    device: &Device,
) -> Result<f64> {
    let mut sum = 0.0;
    for step in 0..HELD_OUT_BATCHES {
        let batch = patches::batch(photos, reductions, HELD_OUT_BATCH, [HELD_OUT_SEED, step], device)?;
        sum += mean_square(&prediction(net, &Tape::inference(params.kernels()), params, &batch)?.1)?;
    }
    Ok(sum / HELD_OUT_BATCHES as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::nn::state::Part;

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
            reductions: ["bicubic_x4", "light_x4"].map(|name| Reduction::named(name).unwrap()).to_vec(),
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

        // A state as earlier versions wrote it leads to the same weights.
        let state = Training::state_path(&options.out);
        let earlier = as_an_earlier_version(&std::fs::read(&state).unwrap());
        let begun_earlier = Options { out: dir.path().join("b.safetensors"), ..options.clone() };
        std::fs::write(Training::state_path(&begun_earlier.out), earlier).unwrap();

        let (_, resumed) = run(&options, 42);
        assert_eq!(resumed.step, 42);
        assert_ne!(resumed.held_out_loss, first.held_out_loss);
        let unseen = Options { held_out: None, ..begun_earlier };
        let resumed_earlier = pretrain(&unseen, &Device::Cpu, |p| p.step < 42).unwrap();
        assert_eq!((resumed_earlier.step, resumed_earlier.loss), (resumed.step, resumed.loss));
        let [weights, of_earlier] = [&options.out, &unseen.out]
            .map(|path| Params::load(Mini::new().adapter(), path, &Compute::cpu()).unwrap().to_flat().unwrap());
        assert!(weights == of_earlier);

        // f16 rounds the weights; nothing else may differ.
        let (from_file, _) = run(&Options { init: Some(options.out.clone()), out: dir.path().join("c"), ..options }, 1);
        let written = resumed.held_out_loss.unwrap();
        assert!((from_file / written - 1.0).abs() < 1e-3, "{written}, from the file {from_file}");
    }

    /// A line of JSON, then weights, their average and both moments as f32.
    fn as_an_earlier_version(state: &[u8]) -> Vec<u8> {
        let net = Mini::new();
        let saved = Saved::of(state, OldLayout { trained: net.adapter(), averaged: net.adapter() }).unwrap();
        let line = serde_json::json!([saved.about()["progress"], saved.number("optimizer_step").unwrap()]);
        let mut bytes = format!("{line}\n").into_bytes();
        for part in [Part::Trained, Part::Average, Part::First, Part::Second] {
            for (name, shape) in net.adapter().iter() {
                let values = saved.values(part, name, shape).unwrap();
                values.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
            }
        }
        bytes
    }
}
