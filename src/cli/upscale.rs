//! `upscale`: the model at work; `noise`: the random numbers of a seed, for another program.

use std::path::PathBuf;

use super::client::{Client, assign, sampling_setting};
use super::out::say;
use super::terms;
use crate::backbones::registry;
use crate::backbones::sampler::Sampler;
use crate::backbones::solver::Solver;
use crate::backbones::tiles::Tiling;
use crate::engine::parts;
use crate::engine::protocol::{Job, Outcome, Upscale};
use crate::imaging::output;
use crate::method::presets;
use crate::nn::tensors::{self, Named, Width};
use crate::{Error, Result};

#[derive(clap::Args)]
pub struct Arguments {
    /// Low-resolution pictures, of any size; results have four times their sides.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Folder for the results.
    #[arg(long)]
    out: PathBuf,
    /// The model, with the settings that its paper samples it with; --weights says where its files are.
    #[arg(long, value_name = "NAME", default_value = "mini")]
    backbone: String,
    /// A checkpoint of a run (safetensors); the backbone as it was released by default.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Outputs of each picture; 4 by default, 1 with --seed.
    #[arg(long, value_name = "M")]
    seeds: Option<usize>,
    /// The first seed.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// What is to be seen, for backbones that read it; by default what a text file beside each picture says.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// What guidance leads away from.
    #[arg(long, value_name = "TEXT")]
    negative: Option<String>,
    /// Steps from noise to picture.
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// How far predictions are led towards the prompt.
    #[arg(long, value_name = "G")]
    guidance: Option<f64>,
    /// Keeps only the output with the best no-reference reward.
    #[arg(long)]
    best_of: bool,
    /// Replaces outputs that were made with other settings, or from another picture; those made the same way stay.
    #[arg(long)]
    overwrite: bool,
    /// Changes a setting of sampling or reward.
    #[arg(long, value_name = "KEY=VALUE", value_parser = sampling_setting)]
    set: Vec<String>,
}

#[derive(clap::Args)]
pub struct Noise {
    /// The backbone that draws with it.
    #[arg(long, value_name = "NAME")]
    backbone: String,
    #[arg(long, value_name = "S")]
    seed: u64,
    /// Size of the output in pixels, four times the LR image's.
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size)]
    size: [usize; 2],
    /// Steps from noise to picture.
    #[arg(long, value_name = "N")]
    steps: usize,
    /// The solver; by default the one that the backbone's paper uses.
    #[arg(long, value_name = "NAME", value_parser = solver)]
    solver: Option<Solver>,
    /// File for the tensors: start [1, C, h, w], step.000, step.001 and so on of solvers that add noise at every step, and control of
    /// backbones that draw what they see of the LR image.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replaces a file that is there.
    #[arg(long)]
    overwrite: bool,
}

/// Height and width of `WxH`.
fn size(text: &str) -> Result<[usize; 2], String> {
    let sides = text.split_once(['x', '×']).and_then(|(w, h)| Some([h.parse().ok()?, w.parse().ok()?]));
    let most = 1 << 16;
    sides.filter(|[h, w]| (1..most).contains(h) && (1..most).contains(w)).ok_or_else(|| "not like 512x384".into())
}

fn solver(text: &str) -> Result<Solver, String> {
    Solver::from_word(text).ok_or_else(|| format!("not one of {}", Solver::WORDS.join(", ")))
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { seed, steps, guidance, negative, .. } = arguments;
    let mut recipe = presets::of_backbone(&arguments.backbone)?;
    let seeds = arguments.seeds.unwrap_or(if seed.is_some() { 1 } else { 4 });
    let given = [
        ("sampling.m", Some(seeds.max(2).to_string())),
        ("sampling.first_seed", seed.map(|seed| seed.to_string())),
        ("sampling.steps", steps.map(|steps| steps.to_string())),
        ("sampling.guidance", guidance.map(|guidance| guidance.to_string())),
        ("sampling.negative_prompt", negative.clone()),
    ];
    given.into_iter().try_for_each(|(key, value)| value.map_or(Ok(()), |value| recipe.set(key, &value)))?;
    assign(&mut recipe, &arguments.set)?;
    recipe.sampling.m = seeds;
    if seeds == 0 {
        return Err(Error::invalid("--seeds must be at least 1"));
    }
    let needed = if arguments.best_of { parts::of(&recipe) } else { parts::of_backbone(&arguments.backbone).to_vec() };
    terms::confirm(&needed)?;
    let job = Job::Upscale(Upscale {
        images: arguments.images.clone(),
        out: arguments.out.clone(),
        checkpoint: arguments.checkpoint.clone(),
        prompt: arguments.prompt.clone(),
        best_of: arguments.best_of,
        overwrite: arguments.overwrite,
        recipe: Box::new(recipe),
    });
    Client::start()?.finish(job, |outcome| {
        if let Outcome::Written { files, .. } = outcome {
            files.iter().for_each(|file| say!("{}", file.display()));
        }
        Ok(())
    })
}

/// Writes the noise of a seed.
pub fn noise(arguments: &Noise) -> Result<()> {
    let Noise { backbone, seed, size, steps, out, .. } = arguments;
    output::check([out.as_path()])?;
    if out.is_file() && !arguments.overwrite {
        return Err(Error::file(out, "is there already; choose another name, or --overwrite"));
    }
    let card = registry::card_of(backbone)?;
    let solver =
        arguments.solver.map_or_else(|| presets::of_backbone(backbone).map(|recipe| recipe.sampling.solver), Ok)?;
    let sampler = Sampler { solver, steps: *steps, tiling: Tiling::default(), guidance: 1.0 };
    let tensors = sampler.noise_of(card, *seed, *size)?;
    let about = [("backbone", backbone.clone()), ("seed", seed.to_string()), ("solver", solver.word().into())];
    let about = about.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let mut bytes = Vec::new();
    let named = tensors.iter().map(|(name, tensor)| Named::of(name, tensor)).collect();
    tensors::write_as(&mut bytes, &about, named, Width::F32).map_err(Error::invalid)?;
    output::write(out, &bytes)?;
    let shape = tensors.first().map(|(_, start)| start.dims().to_vec()).unwrap_or_default();
    say!("{}: {} tensors {shape:?} of seed {seed} for {}, {}", out.display(), tensors.len(), card.name, solver.word());
    Ok(())
}
