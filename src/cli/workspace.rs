//! The verbs that work on a workspace.

use std::path::PathBuf;

use serde::Serialize;

use super::client::{Client, assign, setting};
use super::out::{note, say, write_json};
use super::weights::store;
use crate::Result;
use crate::engine::parts;
use crate::engine::protocol::{Job, Outcome, RunReport};
use crate::imaging::output;
use crate::method::evaluation::Comparison;
use crate::method::presets;
use crate::method::provenance::On;
use crate::method::summary::Summary;
use crate::report::Format;
use crate::words::counted;
use crate::workspace::{Workspace, files};

#[derive(clap::Args)]
#[command(after_long_help = preset_help())]
pub struct New {
    /// Directory of the workspace; must not exist, or be empty.
    workspace: PathBuf,
    /// Fills it with crops of the shipped photographs.
    #[arg(long)]
    example: bool,
    /// Preset or RON file the recipe is taken from.
    #[arg(long, default_value = presets::DEFAULT)]
    preset: String,
    /// Changes a setting, such as `--set m=16`.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<String>,
}

#[derive(clap::Args)]
pub struct Repair {
    workspace: PathBuf,
}

/// A workspace and settings to change in it.
#[derive(clap::Args)]
pub struct Stage {
    workspace: PathBuf,
    /// Changes a setting of the workspace's recipe and keeps it, such as `--set ratio=0.25`.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<String>,
    /// Allows the commands that the recipe names as metrics to run on this machine, now and later.
    #[arg(long)]
    allow_external: bool,
}

#[derive(clap::Args)]
pub struct Curate {
    #[command(flatten)]
    stage: Stage,
    /// Goes on where images lack some of the recipe's seeds, and says which.
    #[arg(long)]
    allow_partial: bool,
}

#[derive(clap::Args)]
pub struct Train {
    #[command(flatten)]
    stage: Stage,
    /// Name of the run; by default the run of the same settings and pairs goes on, else a new one begins.
    #[arg(long, value_name = "NAME", value_parser = run_name)]
    run: Option<String>,
    /// Iterative rounds: each samples anew from the policy of the one before and goes on. The recipe's by default.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Goes on where images lack some of the recipe's seeds, says which, and notes it with the run.
    #[arg(long)]
    allow_partial: bool,
}

#[derive(clap::Args)]
pub struct Compare {
    workspace: PathBuf,
    /// The checkpoint before: `reference`, RUN (its best on the validation images) or RUN@STEP.
    #[arg(long, default_value = "reference")]
    a: String,
    /// The checkpoint after.
    #[arg(long)]
    b: String,
    /// Held-out images to report on: test; validation, which choose checkpoints; held-out is both.
    #[arg(long, value_name = "IMAGES", value_parser = on, default_value = "test")]
    on: On,
    /// Seeds of each image; training.eval_seeds by default.
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u16).range(1..))]
    seeds: Option<u16>,
    /// Writes the comparison to this JSON file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the table as CSV.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Writes the table as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Writes the table as LaTeX (booktabs).
    #[arg(long, value_name = "FILE")]
    latex: Option<PathBuf>,
    /// Writes image sheet and curves as PNG.
    #[arg(long, value_name = "FILE")]
    figure: Option<PathBuf>,
    /// Writes the whole report as one HTML file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Allows the commands that the recipe names as metrics to run on this machine, now and later.
    #[arg(long)]
    allow_external: bool,
}

#[derive(clap::Args)]
#[command(after_long_help = preset_help())]
pub struct Run {
    /// Directory of the workspace; made and filled with the shipped photographs if it does not exist.
    workspace: PathBuf,
    /// Preset or RON file to use instead of the workspace's recipe.
    #[arg(long, value_name = "FILE")]
    preset: Option<String>,
    /// Changes a setting of the workspace's recipe and keeps it.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<String>,
    /// Iterative rounds: each samples anew from the policy of the one before and goes on. The recipe's by default.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Writes the comparison and timings to this JSON file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Ends after training; nothing needs to be held out then.
    #[arg(long)]
    no_compare: bool,
    /// Goes on where images lack some of the recipe's seeds, says which, and notes it with the run.
    #[arg(long)]
    allow_partial: bool,
    /// Allows the commands that the recipe names as metrics to run on this machine, now and later.
    #[arg(long)]
    allow_external: bool,
}

pub(super) fn run_name(text: &str) -> Result<String> {
    files::check_run_name(text).map(|()| text.to_owned())
}

pub fn new(arguments: &New) -> Result<()> {
    let mut recipe = presets::preset_or_file(&arguments.preset)?;
    let assigned = assign(&mut recipe, &arguments.set);
    // What is missing is said now, not when it is needed; also of a backbone that is not in this program yet.
    parts::lacking(store(), &recipe).iter().for_each(|line| note(format_args!("{line}")));
    assigned?;
    let job = Job::Create { dir: arguments.workspace.clone(), recipe: Box::new(recipe), example: arguments.example };
    if let Outcome::Added(added) = Client::start()?.run(job)? {
        say!("{}", added.headline());
    }
    say!("workspace made: {}", arguments.workspace.display());
    Ok(())
}

pub fn repair(arguments: &Repair) -> Result<()> {
    let job = Job::Repair { dir: arguments.workspace.clone() };
    if let Outcome::Repaired(lines) = Client::start()?.run(job)? {
        lines.iter().for_each(|line| say!("{line}"));
    }
    Ok(())
}

pub fn sample(arguments: &Stage) -> Result<()> {
    let mut client = Client::open(&arguments.workspace, &arguments.set)?;
    client.agree(arguments.allow_external)?;
    client.finish(Job::Sample { images: None }, |outcome| {
        if let Outcome::Sampled { candidates, .. } = outcome {
            say!("{} sampled", counted(candidates, "candidate"));
        }
        Ok(())
    })
}

pub fn score(arguments: &Stage) -> Result<()> {
    let mut client = Client::open(&arguments.workspace, &arguments.set)?;
    client.agree(arguments.allow_external)?;
    client.finish(Job::Score, |outcome| {
        if let Outcome::Scored { scores, .. } = outcome {
            say!("{} computed", counted(scores, "score"));
        }
        Ok(())
    })
}

pub fn curate(arguments: &Curate) -> Result<()> {
    let mut client = Client::open(&arguments.stage.workspace, &arguments.stage.set)?;
    client.agree(arguments.stage.allow_external)?;
    if let Outcome::Curated(summary) = client.run(Job::Curate { allow_partial: arguments.allow_partial })? {
        let Summary { pairs, groups_with_pairs, effective_pairs, mean_weight, alphas: [intra, inter], .. } = *summary;
        say!(
            "{} of {}, mean weight {mean_weight:.4}, effective {effective_pairs:.1} \
             ({:.1} %) at α {intra:.3} within and {inter:.3} between groups",
            counted(pairs, "pair"),
            counted(groups_with_pairs, "group"),
            100.0 * effective_pairs / pairs.max(1) as f64
        );
    }
    Ok(())
}

pub fn train(arguments: &Train) -> Result<()> {
    let set = with_rounds(&arguments.stage.set, arguments.rounds);
    let mut client = Client::open(&arguments.stage.workspace, &set)?;
    client.agree(arguments.stage.allow_external)?;
    let job = Job::Train { run: arguments.run.clone(), allow_partial: arguments.allow_partial };
    if let Outcome::Trained { run, steps, state } = client.run(job)? {
        say!("{run}: {} at step {steps}", state.as_str());
    }
    Ok(())
}

/// Reads which images to report on.
fn on(text: &str) -> Result<On> {
    text.parse()
}

pub fn compare(arguments: &Compare) -> Result<()> {
    let Compare { a, b, seeds, on, .. } = arguments;
    let exports = [
        (Format::Csv, &arguments.csv),
        (Format::Markdown, &arguments.markdown),
        (Format::Latex, &arguments.latex),
        (Format::Figure, &arguments.figure),
        (Format::Html, &arguments.html),
    ];
    output::check(exports.iter().filter_map(|(_, path)| path.as_deref()).chain(arguments.json.as_deref()))?;
    let mut client = Client::open(&arguments.workspace, &[])?;
    client.agree(arguments.allow_external)?;
    let job = Job::Compare { a: a.clone(), b: b.clone(), seeds: seeds.map(usize::from), on: *on };
    if let Outcome::Compared(compared) = client.run(job)? {
        say!("{}", compared.report.comparison.to_text());
        write_json(arguments.json.as_deref(), &compared.report.comparison)?;
        for (format, path) in exports {
            if let Some(path) = path.clone() {
                client.run(Job::ExportComparison { compared: compared.clone(), format, path })?;
            }
        }
    }
    Ok(())
}

pub fn run(arguments: &Run) -> Result<()> {
    output::check(arguments.json.as_deref())?;
    let dir = &arguments.workspace;
    let set = with_rounds(&arguments.set, arguments.rounds);
    let mut client = if Workspace::open_read_only(dir).is_ok() || dir.join("workspace.ron").exists() {
        let mut client = Client::open(dir, &[])?;
        if let Some(preset) = &arguments.preset {
            client.replace_recipe(presets::preset_or_file(preset)?)?;
        }
        client.change_recipe(&set)?;
        client
    } else {
        let mut recipe = presets::preset_or_file(arguments.preset.as_deref().unwrap_or(presets::DEFAULT))?;
        assign(&mut recipe, &set)?;
        let mut client = Client::start()?;
        client.run(Job::Create { dir: dir.clone(), recipe: Box::new(recipe), example: true })?;
        client
    };
    client.agree(arguments.allow_external)?;
    let job = Job::Run { compare: !arguments.no_compare, allow_partial: arguments.allow_partial };
    client.finish(job, |outcome| {
        if let Outcome::Ran(report) = outcome {
            let [sample, score, train, compare] = report.timings_secs;
            match &report.compared {
                Some((compared, _)) => say!("{}", compared.report.comparison.to_text()),
                None => say!("nothing was compared (--no-compare)"),
            }
            say!("{}, {} ({})", counted(report.pairs, "pair"), counted(report.steps, "step"), report.run);
            say!("seconds: sample {sample:.0}, score {score:.0}, train {train:.0}, compare {compare:.0}");
            if let Some((_, sheet)) = &report.compared {
                say!("image sheet: {}", sheet.display());
            }
            write_json(arguments.json.as_deref(), &RunJson::of(report))?;
        }
        Ok(())
    })
}

/// What each preset is for.
fn preset_help() -> String {
    let lines = presets::preset_names().map(|name| format!("  {name}: {}", presets::purpose(name)));
    format!("Presets:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// The settings given, and `--rounds` as the setting it stands for.
fn with_rounds(set: &[String], rounds: Option<u16>) -> Vec<String> {
    set.iter().cloned().chain(rounds.map(|rounds| format!("training.rounds={rounds}"))).collect()
}

/// `run --json`: the comparison and what it took.
#[derive(Serialize)]
struct RunJson<'a> {
    #[serde(flatten)]
    comparison: Option<&'a Comparison>,
    timings_s: Timings,
    pairs: usize,
    steps: u32,
}

#[derive(Serialize)]
struct Timings {
    sample: f64,
    score: f64,
    train: f64,
    compare: f64,
}

impl<'a> RunJson<'a> {
    fn of(report: &'a RunReport) -> Self {
        let [sample, score, train, compare] = report.timings_secs;
        let timings_s = Timings { sample, score, train, compare };
        let comparison = report.compared.as_ref().map(|(compared, _)| &compared.report.comparison);
        Self { comparison, timings_s, pairs: report.pairs, steps: report.steps }
    }
}
