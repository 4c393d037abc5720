//! The command line. Exit codes: 0 done, 2 bad usage, 1 anything else, with one line of cause on standard error.

mod add;
mod attribution;
mod check_model;
mod client;
mod devices;
mod exchange;
mod fit_niqe;
mod images;
mod info;
mod interrupt;
mod iqa;
mod out;
mod pretrain;
mod sweep;
mod tag;
mod terms;
mod upscale;
mod weights;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::Result;
use crate::engine::devices::Choice;

/// Turns the randomness of a generative super-resolution model into training signal (DP²O-SR).
///
/// Without a command it opens the studio.
#[derive(Parser)]
#[command(name = "dp2o-studio", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    weights: weights::Options,
    #[command(flatten)]
    device: devices::Options,
    /// The workspace that the studio opens; its last one, else the example, where none is named.
    #[arg(value_parser = directory)]
    workspace: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Makes a workspace.
    New(workspace::New),
    /// Adds images to a workspace.
    Add(add::Arguments),
    /// Samples the candidates that are missing.
    Sample(workspace::Stage),
    /// Computes the scores that are missing.
    Score(workspace::Stage),
    /// Freezes the reward bounds, ranks, pairs and weighs.
    Curate(workspace::Curate),
    /// Says which metric decides the ranking, and balances them.
    Attribution(attribution::Arguments),
    /// Fine-tunes, or goes on with it.
    Train(workspace::Train),
    /// Says what images are for: to train on, to choose checkpoints by, or to report on.
    Split(images::Split),
    /// Says what is to be seen on images, for backbones that read prompts.
    Prompt(images::Prompt),
    /// Has the tag model RAM, with DAPE's changes, write prompts: what is to be seen on LR images.
    Tag(tag::Arguments),
    /// Removes images, or brings removed ones back.
    Remove(images::Remove),
    /// Compares two checkpoints on held-out images.
    Compare(workspace::Compare),
    /// Sample, score, curate, train, compare: all of it in order, what is missing of each.
    Run(workspace::Run),
    /// Trains every combination of some settings with several seeds, and sets them side by side.
    Sweep(sweep::Arguments),
    /// Writes the pairs for other tools: w/, l/ and lr/ folders, JSONL and CSV; or the weights of a checkpoint; or scores, pairs,
    /// verdicts or a run's curves as a table.
    Export(exchange::Export),
    /// Brings what was computed elsewhere into a workspace.
    Import(exchange::Import),
    /// Scores images with quality metrics.
    Iqa(iqa::Arguments),
    /// Super-resolves pictures with the embedded model, another or a fine-tuned one.
    Upscale(upscale::Arguments),
    /// Writes the random numbers of a seed, so that another program can compute the same picture.
    Noise(upscale::Noise),
    /// Looks whether a backbone's files do what they should: names, decoder, predictions, reward.
    CheckModel(check_model::Arguments),
    /// Trains the embedded backbone from a folder of photographs.
    Pretrain(pretrain::Arguments),
    /// Says what a workspace holds.
    Info(info::Arguments),
    /// Sets right a workspace that cannot be opened: makes a new ledger from its files where the old one is damaged, empty
    /// or missing, and takes damaged files out of the way. Nothing is deleted but damaged candidates.
    Repair(workspace::Repair),
    /// Published weights: what is here, what is missing, what a file is.
    #[command(subcommand)]
    Weights(weights::Verb),
    /// Writes completions of the command line for a shell.
    Completions { shell: clap_complete::Shell },
    /// Fits the pristine model of a NIQE with small blocks.
    #[command(hide = true)]
    FitNiqe(fit_niqe::Arguments),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let Arguments { weights, device, workspace, verb } = Arguments::parse();
    weights.keep();
    let result = device.keep().and_then(|device| carry_out(verb, workspace, device));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::note(format_args!("dp2o-studio: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn carry_out(verb: Option<Verb>, workspace: Option<PathBuf>, device: Option<Choice>) -> Result<()> {
    match verb {
        Some(Verb::New(arguments)) => workspace::new(&arguments),
        Some(Verb::Add(arguments)) => add::run(&arguments),
        Some(Verb::Sample(arguments)) => workspace::sample(&arguments),
        Some(Verb::Score(arguments)) => workspace::score(&arguments),
        Some(Verb::Curate(arguments)) => workspace::curate(&arguments),
        Some(Verb::Attribution(arguments)) => attribution::run(&arguments),
        Some(Verb::Train(arguments)) => workspace::train(&arguments),
        Some(Verb::Split(arguments)) => images::split(&arguments),
        Some(Verb::Prompt(arguments)) => images::prompt(&arguments),
        Some(Verb::Tag(arguments)) => tag::run(&arguments),
        Some(Verb::Remove(arguments)) => images::remove(&arguments),
        Some(Verb::Compare(arguments)) => workspace::compare(&arguments),
        Some(Verb::Run(arguments)) => workspace::run(&arguments),
        Some(Verb::Sweep(arguments)) => sweep::run(&arguments),
        Some(Verb::Export(arguments)) => exchange::export(&arguments),
        Some(Verb::Import(verb)) => exchange::import(&verb),
        Some(Verb::Iqa(arguments)) => iqa::run(&arguments),
        Some(Verb::Upscale(arguments)) => upscale::run(&arguments),
        Some(Verb::CheckModel(arguments)) => check_model::run(&arguments),
        Some(Verb::Noise(arguments)) => upscale::noise(&arguments),
        Some(Verb::Pretrain(arguments)) => pretrain::run(&arguments),
        Some(Verb::Info(arguments)) => info::run(&arguments),
        Some(Verb::Repair(arguments)) => workspace::repair(&arguments),
        Some(Verb::Weights(verb)) => self::weights::run(&verb),
        Some(Verb::FitNiqe(arguments)) => fit_niqe::run(&arguments),
        Some(Verb::Completions { shell }) => completions(shell),
        None => studio(workspace, device),
    }
}

/// Opens the window.
fn studio(workspace: Option<PathBuf>, device: Option<Choice>) -> Result<()> {
    let store = Some(weights::store().clone());
    crate::app::run(crate::app::Options { workspace, store, device, ..crate::app::Options::default() })
}

/// A word that is no command is a directory, or a mistake.
fn directory(text: &str) -> Result<PathBuf, &'static str> {
    let dir = PathBuf::from(text);
    if dir.is_dir() { Ok(dir) } else { Err("neither a command nor a directory") }
}

fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "dp2o-studio", &mut text);
    out::result(format_args!("{}", String::from_utf8_lossy(&text).trim_end()));
    Ok(())
}
