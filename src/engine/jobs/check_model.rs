//! Whether a backbone's files do what they should: their names, the decoder on a photograph, the predictions with and without
//! the adapter, and of two adapters which is rewarded more. What is found is said at once, as the next may take long; adapters are
//! loaded one at a time, as each may be as large as the reference.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Tensor;

use super::sampling::Batches;
use crate::backbones::condition::Shown;
use crate::backbones::field::StateMemory;
use crate::backbones::guidance::Guided;
use crate::backbones::process::Process;
use crate::backbones::{Backbone, Query};
use crate::engine::context::Context;
use crate::engine::memory_need::MemoryNeed;
use crate::engine::model::{Model, Reference};
use crate::engine::models::read_adapter;
use crate::engine::parts;
use crate::engine::plan::Sampling;
use crate::engine::progress::Meter;
use crate::engine::protocol::{CheckModel, Event, Finding, Mark, ModelCheck, Outcome};
use crate::engine::voice::Voice;
use crate::example;
use crate::imaging::{Image, SCALE, crop, decode, quantize, resize};
use crate::iqa::Features;
use crate::iqa::lr::LowRes;
use crate::method::bounds::Bounds;
use crate::method::recipe::{Recipe, Scope};
use crate::method::reward::{RewardPlan, Rewards};
use crate::method::scores::ScoreTable;
use crate::nn::params::Params;
use crate::nn::tape::Tape;
use crate::random::Random;
use crate::weights::{Source, names};
use crate::{Error, Result};

/// Longest side of what is looked at, in pixels.
const SIDE_PX: usize = 512;
/// A decoder that knows a photograph's latents gives it back better than this, in dB.
const GOOD_DB: f64 = 30.0;
/// A network that predicts noise errs by less than this of its variance in the middle of the way.
const GOOD_ERROR: f64 = 0.8;
/// Noises over which errors are averaged.
const NOISES: u64 = 4;
/// Stream of [`Random`] that they come from.
const STREAM: u32 = 0x4000_0000;
/// Names that a line lists.
const LISTED: usize = 5;

/// Looks at everything; what cannot be looked at for what was found before is left out, and that is said.
pub fn check_model(context: &mut Context, request: &CheckModel) -> Result<Outcome> {
    let recipe = request.recipe.as_ref();
    let backbone = &recipe.sampling.backbone;
    let need = MemoryNeed::of(recipe, &context.store(), &context.models.device)?;
    let mut found = Found { findings: Vec::new(), voice: context.voice.clone() };
    need.lines().into_iter().for_each(|(what, how)| found.add(Mark::Said, format!("memory, {what}"), how));
    let lacking = context.store().lacking(parts::of_backbone(backbone));
    if !lacking.is_empty() {
        lacking.into_iter().for_each(|line| found.add(Mark::Bad, "files", line));
        return Ok(found.outcome());
    }
    context.say_licence(backbone);
    let reference = match context.released(backbone, recipe.sampling.precision) {
        Ok(reference) => reference,
        Err(error) => {
            found.add(Mark::Bad, "files", error.to_string());
            return Ok(found.outcome());
        }
    };
    let (photograph, lr) = pictures(context, request.picture.as_deref())?;
    let adapters = found.adapters(&reference, &request.adapters);
    let model = &reference.model;
    let prompt = Sampling::of(recipe)?.prompt(&request.prompt);
    context.prepare(model.backbone.as_ref(), std::slice::from_ref(&prompt))?;
    let condition = model.backbone.condition(&lr, &prompt)?;
    let shown = condition.whole(1, model.params.device())?;

    let steps = 1 + NOISES as usize * (2 + adapters.len());
    let mut meter = Meter::new("checking", "passes", steps);
    context.report(Some(meter.now()));
    let latent = found.round_trip(model, &photograph, &shown)?;
    context.advance(&mut meter, 1);
    let told = Guided::by(model.backbone.card(), recipe.sampling.guidance).told();
    found.errors(context, model, (&latent, &shown, told), &adapters, &mut meter)?;
    match adapters.as_slice() {
        [a, b] => {
            let rewards = rewards(context, recipe, request, (model, [a, b]), (&photograph, &lr))?;
            found.rewards([&a.name, &b.name], rewards);
        }
        [] | [_] if request.adapters.len() > adapters.len() => {
            found.add(Mark::Said, "reward", "not looked at: not both files are this network's adapter");
        }
        _ => found.add(Mark::Said, "reward", "two adapters are set side by side where two are given"),
    }
    Ok(found.outcome())
}

/// A photograph cut to sides that the backbone takes, and its LR image.
fn pictures(context: &Context, path: Option<&Path>) -> Result<(Arc<Image>, Image)> {
    let shipped = || decode::decode_bytes(example::photos().first().map_or(&[], |photo| photo.bytes));
    let image = path.map_or_else(shipped, |path| context.read_picture(path))?;
    // Whatever multiples a backbone wants of its pictures, these are.
    let side = |side: usize| side.min(SIDE_PX) / 64 * 64;
    let (width, height) = (side(image.width()), side(image.height()));
    if width == 0 || height == 0 {
        return Err(Error::file(
            path.unwrap_or(Path::new("the photograph")),
            "is smaller than 64×64 px; take a larger photograph",
        ));
    }
    let cut = crop::cut(&image, (image.width() - width) / 2, (image.height() - height) / 2, width, height)?;
    let lr = quantize::quantized(&resize::shrink_x4(&cut)?);
    Ok((Arc::new(cut), lr))
}

/// A file with the tensors of an adapter, and no others.
struct Adapter {
    name: String,
    source: Source,
}

impl Adapter {
    /// Its weights. Errors: they cannot be read.
    fn params(&self, model: &Model) -> Result<Params> {
        read_adapter(model.params.specs(), &self.source, model.params.compute())
    }
}

struct Found {
    findings: Vec<Finding>,
    voice: Voice,
}

impl Found {
    fn add(&mut self, mark: Mark, what: impl Into<String>, text: impl Into<String>) {
        let finding = Finding { mark, what: what.into(), text: text.into() };
        self.voice.emit(Event::Found(finding.clone()));
        self.findings.push(finding);
    }

    fn outcome(self) -> Outcome {
        Outcome::Checked(Arc::new(ModelCheck { findings: self.findings }))
    }

    /// Compares the names and shapes in files of adapters with those of the network; returns those that are right.
    fn adapters(&mut self, reference: &Reference, files: &[PathBuf]) -> Vec<Adapter> {
        let model = &reference.model;
        let specs = model.params.specs();
        let (count, frozen) = (specs.iter().count(), model.backbone.card().memory.network > 0);
        let trained = if frozen { "adapter" } else { "network" };
        self.add(Mark::Good, "names", format!("{trained}: all {count} tensors; nothing is missing of the other files"));
        let of_another =
            |other: &str| format!("is {other}, and an adapter of {} is needed", model.backbone.card().name);
        let mut right = Vec::new();
        for file in files {
            let name = file.display().to_string();
            let opened = Source::open(file).and_then(names::plain);
            let other = opened.as_ref().ok().and_then(|source| model.backbone.other_than_adapter(source));
            match opened {
                Err(error) => self.add(Mark::Bad, "names", error.to_string()),
                Ok(source) => match other.map(of_another).or_else(|| differences(&source, specs.iter())) {
                    None => {
                        self.add(Mark::Good, "names", format!("{name}: all {count} tensors, and no other"));
                        right.push(Adapter { name, source });
                    }
                    Some(text) => self.add(Mark::Bad, "names", format!("{name}: {text}")),
                },
            }
        }
        right
    }

    /// The latent of a photograph, and how well that is decoded.
    fn round_trip(&mut self, model: &Model, photograph: &Image, shown: &Shown) -> Result<Tensor> {
        let (width, height) = (photograph.width(), photograph.height());
        let image = Tensor::from_slice(photograph.data(), (1, 3, height, width), model.params.device())?;
        let latent = model.backbone.encode(&image, shown)?;
        if !model.backbone.card().keeps_latents {
            let text = format!("not looked at: the latents of {} are its pictures", model.backbone.card().name);
            self.add(Mark::Said, "round trip", text);
            return Ok(latent);
        }
        let decoded = model.backbone.decode(&latent, shown)?.clamp(0f32, 1f32)?;
        let error = f64::from((decoded - image)?.sqr()?.mean_all()?.to_scalar::<f32>()?);
        let db = -10.0 * error.max(1e-12).log10();
        let (mark, end) = if db > GOOD_DB {
            (Mark::Good, String::new())
        } else {
            (Mark::Bad, format!("; a whole autoencoder gives more than {GOOD_DB} dB: its file may be another model's"))
        };
        self.add(
            mark,
            "round trip",
            format!("PSNR {db:.1} dB of a {width}×{height} photograph, encoded and decoded{end}"),
        );
        Ok(latent)
    }

    /// The errors of predictions in the middle of the way, without the adapter and with each.
    fn errors(
        &mut self,
        context: &Context,
        model: &Model,
        (latent, shown, told): (&Tensor, &Shown, Option<f32>),
        adapters: &[Adapter],
        meter: &mut Meter,
    ) -> Result<()> {
        let backbone = model.backbone.as_ref();
        let mut error_of = |params: &Params| -> Result<f64> {
            let mut sum = 0.0;
            for key in 0..NOISES {
                context.checkpoint()?;
                sum += error(backbone, params, (latent, shown, told), key)? / NOISES as f64;
                context.advance(meter, 1);
            }
            Ok(sum)
        };
        let at = match &backbone.card().process {
            Process::Diffusion(diffusion) => format!("t = {}", diffusion.timesteps / 2),
            Process::Flow(_) => "t = 0.5".into(),
        };
        let with = error_of(&model.params)?;
        if backbone.card().memory.network == 0 {
            let mark = if with < GOOD_ERROR { Mark::Good } else { Mark::Bad };
            self.add(mark, "prediction", format!("error {with:.4} at {at}"));
            return Ok(());
        }
        // What is added to the network by an adapter of zeros is nothing.
        let without = error_of(&model.params.zeros()?)?;
        let line = |found: &mut Self, name: &str, with: f64| {
            let good = with < without && with < GOOD_ERROR;
            let end = match (with < without, with < GOOD_ERROR) {
                (true, true) => "",
                (false, _) => "; it should be less with it",
                (true, false) => "; that of whole files is well below 1",
            };
            let text = format!("{name}: error {with:.4} at {at}, without {without:.4}{end}");
            found.add(if good { Mark::Good } else { Mark::Bad }, "prediction", text);
        };
        line(self, "released", with);
        for adapter in adapters {
            line(self, &adapter.name, error_of(&adapter.params(model)?)?);
        }
        Ok(())
    }

    fn rewards(&mut self, [first, second]: [&str; 2], [of_first, of_second]: [f64; 2]) {
        let which = match of_second.total_cmp(&of_first) {
            Ordering::Greater => "the second is rewarded more",
            Ordering::Less => "the first is rewarded more",
            Ordering::Equal => "neither is rewarded more",
        };
        let mark = if of_second > of_first { Mark::Good } else { Mark::Bad };
        self.add(mark, "reward", format!("{first} {of_first:.4}, {second} {of_second:.4}: {which}"));
    }
}

/// What is wrong with the tensors of a file, by name; `None` where they are exactly the wanted ones.
fn differences<'w>(source: &Source, wanted: impl Iterator<Item = (&'w str, &'w [usize])>) -> Option<String> {
    let wanted: Vec<_> = wanted.collect();
    let missing = wanted.iter().filter(|(name, _)| source.shape(name).is_none()).map(|(name, _)| name.to_string());
    let shaped = wanted.iter().filter_map(|(name, shape)| {
        let other = source.shape(name).filter(|other| other != shape)?;
        Some(format!("{name} is {other:?} and not {shape:?}"))
    });
    let unknown = source.iter().map(|(name, ..)| name).filter(|name| !wanted.iter().any(|(known, _)| known == name));
    let typed = source.iter().filter(|(_, dtype, _)| !dtype.is_float());
    let typed = typed.map(|(name, dtype, _)| format!("{name} is {dtype:?}, no floating-point type"));
    let parts = [
        listed("missing", missing.collect()),
        listed("of another shape", shaped.collect()),
        listed("not of this network", unknown.map(str::to_owned).collect()),
        listed("of another type", typed.collect()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn listed(what: &str, names: Vec<String>) -> Option<String> {
    let (count, shown) = (names.len(), names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", "));
    let more = if count > LISTED { format!(" and {} more", count - LISTED) } else { String::new() };
    (count > 0).then(|| format!("{count} {what}: {shown}{more}"))
}

/// The mean square of what the network errs by in the middle of the way, as a share of what it should predict.
fn error(
    backbone: &dyn Backbone,
    params: &Params,
    (latent, shown, told): (&Tensor, &Shown, Option<f32>),
    key: u64,
) -> Result<f64> {
    let (_, channels, height, width) = latent.dims4()?;
    let noise = Random::new(key, STREAM).normal_image(channels, height, width);
    let noise = Tensor::from_vec(noise, latent.shape(), latent.device())?;
    let process = &backbone.card().process;
    let times = [match process {
        Process::Diffusion(diffusion) => (diffusion.timesteps / 2) as f32,
        Process::Flow(_) => 0.5,
    }];
    let (x_t, target) = (process.corrupt(latent, &noise, &times)?, process.target(latent, &noise, &times)?);
    let query = Query::new(&x_t, &times, shown).guided(told);
    let y = backbone.predict(&Tape::inference(params.kernels()), params, &query)?.tensor().clone();
    let mean = |tensor: Tensor| -> Result<f64> { Ok(f64::from(tensor.sqr()?.mean_all()?.to_scalar::<f32>()?)) };
    Ok(mean((y - &target)?)? / mean(target)?.max(1e-12))
}

/// The mean reward of the same seeds with each of two models, within the group of all of them.
fn rewards(
    context: &Context,
    recipe: &Recipe,
    request: &CheckModel,
    (model, adapters): (&Model, [&Adapter; 2]),
    (photograph, lr): (&Arc<Image>, &Image),
) -> Result<[f64; 2]> {
    let (sampling, seeds) = (Sampling::of(recipe)?, &recipe.seeds()[..request.seeds.clamp(1, recipe.sampling.m)]);
    let mut judged = recipe.clone();
    // Crops are what is judged, and bounds are those of the group.
    judged.data.crop_px = photograph.width().min(photograph.height());
    (judged.reward.scope, judged.reward.held_out) = (Scope::PerGroup, Vec::new());
    let metrics = context.open_metrics(&judged)?;
    let mut table = ScoreTable::new(vec![true], 2 * seeds.len(), metrics.set.columns.clone())?;
    let mut meter = Meter::new("sampling", "candidates", 2 * seeds.len());
    let scratch = std::env::temp_dir();
    for (index, adapter) in adapters.into_iter().enumerate() {
        let model = &Model { params: Arc::new(adapter.params(model)?), layers: None, ..model.clone() };
        let condition = model.backbone.condition(lr, &sampling.prompt(&request.prompt))?;
        let plan = sampling.plan(model, (lr.width(), lr.height()), || context.models.fastest_pixels(model))?;
        let memory = StateMemory { bytes: plan.state_bytes, scratch: &scratch };
        let (mut rest, batches) = (seeds, Batches::default());
        while !rest.is_empty() {
            let batch = batches.first_of(rest, plan.at_once);
            let share = |done: usize, all: usize| batch.len() as f64 * done as f64 / all.max(1) as f64;
            let mut go_on = |done, all| context.within(&mut meter, share(done, all));
            let drawn = sampling.draw(model, &condition, batch, memory, &mut go_on);
            let Some(drawn) = batches.unless_out_of_memory(&context.voice, batch.len(), drawn)? else { continue };
            for (at, picture) in drawn.iter().enumerate() {
                let image = Arc::new(quantize::quantized(&picture.whole()?));
                let features = Features::default().of_lr(LowRes { image: Arc::new(lr.clone()), made_by: None });
                let place = index * seeds.len() + (seeds.len() - rest.len()) + at;
                for (column, scorer) in metrics.scorers.iter().enumerate() {
                    let bound = scorer.bind(Some(photograph), &features)?;
                    table.set(0, place, column, bound.score(&image, &features)?)?;
                }
            }
            context.advance(&mut meter, batch.len());
            rest = &rest[batch.len()..];
        }
    }
    let mut rewards = Rewards::default();
    rewards.compute(&table, &RewardPlan::new(&table, &judged.reward, &Bounds::default())?);
    let mean = |half: &[f64]| half.iter().sum::<f64>() / half.len() as f64;
    let (a, b) = rewards.group(0).split_at(seeds.len());
    debug_assert_eq!(lr.width() * SCALE, photograph.width());
    Ok([mean(a), mean(b)])
}
