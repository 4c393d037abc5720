//! `info`: what a workspace holds, and what the device can do.

use std::path::PathBuf;

use super::out::say;
use super::weights::store;
use super::{devices, images};
use crate::engine::bench::{self, Bench};
use crate::engine::devices::SharedDevice;
use crate::engine::memory_need::MemoryNeed;
use crate::engine::parts;
use crate::method::presets;
use crate::method::provenance::Chosen;
use crate::method::recipe::Recipe;
use crate::workspace::{CheckpointRow, Summary, Workspace};
use crate::{Error, Result};

#[derive(clap::Args)]
pub struct Arguments {
    #[arg(required_unless_present = "bench")]
    workspace: Option<PathBuf>,
    /// Measures sampling and training on this device: time, and memory with activations kept and recomputed, as planned and as
    /// measured. With the workspace's recipe, or the default one.
    #[arg(long)]
    bench: bool,
    /// Measures with this preset's recipe, or that of a file: `sd2-paper` for C-SD2.
    #[arg(long, requires = "bench", conflicts_with = "workspace")]
    preset: Option<String>,
    /// Lists the images: number, what they are for, name, source.
    #[arg(long, requires = "workspace")]
    images: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let workspace = arguments.workspace.as_ref().map(Workspace::open_read_only).transpose()?;
    match (&workspace, arguments.bench) {
        (_, true) => {
            let recipe = match (&workspace, &arguments.preset) {
                (Some(workspace), _) => workspace.recipe()?,
                (None, Some(preset)) => presets::preset_or_file(preset)?,
                (None, None) => Recipe::default(),
            };
            let device = devices::chosen();
            print_plan(&recipe, &device)?;
            print_bench(&recipe, &bench::bench(&recipe, device)?);
            Ok(())
        }
        (Some(workspace), false) if arguments.images => images::list(workspace),
        (Some(workspace), false) => print_contents(workspace),
        (None, false) => Err(Error::invalid("name a workspace, or ask for --bench")),
    }
}

/// What a step takes, before anything of it is loaded.
fn print_plan(recipe: &Recipe, device: &SharedDevice) -> Result<()> {
    let (pairs, side) = (recipe.training.batch_pairs, bench::side_of(recipe));
    let [keep, recompute] = bench::plan(recipe, device)?.map(mib);
    say!(
        "plan         {}: {pairs} pairs of {side}×{side} take {keep} with activations kept, {recompute} recomputed",
        recipe.sampling.backbone
    );
    Ok(())
}

fn mib(bytes: usize) -> String {
    format!("{:.0} MiB", bytes as f64 / (1 << 20) as f64)
}

fn print_bench(recipe: &Recipe, bench: &Bench) {
    let ms = |seconds: f64| 1e3 * seconds;
    say!("device       {}", bench.device);
    devices::chosen().doubt().into_iter().for_each(|doubt| say!("             {doubt}"));
    for (count, seconds) in &bench.batches {
        say!("evaluation   {count} images of 128×128 at once: {:.2} ms each", ms(*seconds));
    }
    let side = bench::side_of(recipe);
    say!(
        "sampling     {:.1} ms a candidate of {side}×{side}, {} steps",
        ms(bench.candidate_secs),
        recipe.sampling.steps
    );
    for (name, step) in ["keep", "recompute"].iter().zip(&bench.steps) {
        let peak = match step.peak_bytes {
            Some(bytes) => mib(bytes),
            None => "not known on this device".into(),
        };
        let pairs = recipe.training.batch_pairs;
        let part = if step.at_once < pairs { format!(", {} at once", step.at_once) } else { String::new() };
        say!("DPO step     {pairs} pairs{part}, activations = {name}: {:.0} ms, peak memory {peak}", ms(step.seconds));
    }
}

fn print_contents(workspace: &Workspace) -> Result<()> {
    let recipe: Recipe = workspace.recipe()?;
    let Summary { counts, ledger_bytes, images_bytes, candidates_bytes, latents_bytes, runs_bytes, exports_bytes } =
        workspace.summary()?;
    say!("{}", workspace.root().display());
    say!(
        "images       {} ({} to train on, {} for validation, {} for test; {} with HR)",
        counts.images,
        counts.train_images,
        counts.validation_images,
        counts.test_images,
        counts.images_with_hr
    );
    say!("candidates   {} (M = {})", counts.candidates, recipe.sampling.m);
    say!("scores       {}", counts.scores);
    say!("overrides    {}", counts.overrides);
    say!("checkpoints  {}", counts.checkpoints);
    for run in workspace.ledger().runs()? {
        let steps = workspace.ledger().steps_since(run.id, 0)?.len();
        let best = match workspace.ledger().chosen_checkpoint(run.id)? {
            Some((CheckpointRow { held_out_reward: Some(reward), step, .. }, Chosen::Validation { .. })) => {
                Some(format!(", best validation reward {reward:.4} at step {step}"))
            }
            _ => None,
        };
        say!("run          {}: {}, {steps} steps{}", run.name, run.state.as_str(), best.unwrap_or_default());
        if let Some(partial) = run.partial() {
            say!("             made of groups that were not whole: {partial}");
        }
    }
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    say!(
        "on disk      ledger {:.1} MiB, images {:.1} MiB, candidates {:.1} MiB, latents {:.1} MiB, runs {:.1} MiB, exports {:.1} MiB",
        mib(ledger_bytes),
        mib(images_bytes),
        mib(candidates_bytes),
        mib(latents_bytes),
        mib(runs_bytes),
        mib(exports_bytes)
    );
    let store = store().with_workspace(workspace.root()).accepting(&recipe.data.unverified_weights);
    match parts::lacking(&store, &recipe).as_slice() {
        [] if parts::of(&recipe).is_empty() => say!("weights      compiled in"),
        [] => say!("weights      all there"),
        lacking => lacking.iter().for_each(|line| say!("weights      {line}")),
    }
    if let Ok(need) = MemoryNeed::of(&recipe, &store, &devices::chosen()) {
        need.lines().iter().for_each(|(what, how)| say!("memory       {what}: {how}"));
    }
    for finding in workspace.check()? {
        say!("finding      {finding}");
    }
    Ok(())
}
