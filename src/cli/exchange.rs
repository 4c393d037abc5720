//! The verbs `export` and `import`: what goes to other programs and what comes from them.

use std::path::PathBuf;

use super::client::Client;
use super::images;
use super::out::say;
use super::workspace::run_name;
use crate::Result;
use crate::engine::protocol::{ImportCandidates, Job, Outcome, PairsLayout, TableOf, WeightsForm};
use crate::report::table::Form;
use crate::words::counted;
use crate::workspace::{SplitChoice, files};

/// Names of a kind that are printed.
const NAMES: usize = 20;

/// A table that can be exported.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Table {
    /// Image, seed, metric, value of all candidates of the reference.
    Scores,
    /// Image, seeds of winner and loser, gap and weights of every pair.
    Pairs,
    /// What a person said of pairs.
    Verdicts,
    /// The steps and evaluations of a run, each with the settings of its recipe.
    Run,
}

#[derive(clap::Args)]
pub struct Export {
    workspace: PathBuf,
    /// Writes this as one table, and nothing else.
    #[arg(conflicts_with = "checkpoint")]
    table: Option<Table>,
    /// Name of the run whose steps are written.
    #[arg(long, value_name = "NAME", value_parser = run_name, required_if_eq("table", "run"))]
    run: Option<String>,
    /// Form of the table: csv, jsonl, json or parquet; by default as the file's name ends, otherwise CSV. Pairs also with their pictures, in
    /// a folder: hf for Hugging Face `datasets` (imagefolder with metadata.jsonl), diffusion-dpo for the columns of that script (jpg_0,
    /// jpg_1, label_0, caption in Parquet).
    #[arg(long, value_parser = layout, requires = "table")]
    format: Option<Layout>,
    /// Folder for the pairs, which must not exist or be empty; the file for a table; with --checkpoint the file for its weights.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Writes no pairs but all weights of a checkpoint as one safetensors file, low-rank factors merged: `reference`, RUN
    /// (its best on the validation images) or RUN@STEP.
    #[arg(long, value_name = "NAME")]
    checkpoint: Option<String>,
    /// Writes the weights in f16.
    #[arg(long, requires = "checkpoint")]
    half: bool,
    /// Writes the low-rank factors alone, and not the weights with the factors merged.
    #[arg(long, requires = "checkpoint", conflicts_with = "half")]
    factors: bool,
    /// Writes into a folder that has files already, or in place of the file.
    #[arg(long)]
    overwrite: bool,
    /// Goes on where images lack some of the recipe's seeds, and says which.
    #[arg(long)]
    allow_partial: bool,
}

#[derive(clap::Args)]
pub struct Import {
    workspace: PathBuf,
    #[command(subcommand)]
    what: Imported,
}

/// What is brought in.
#[derive(clap::Subcommand)]
enum Imported {
    /// Scores of the reference's candidates: CSV with a heading, or JSON lines, of image, seed, metric, value, and for a metric
    /// that is not known yet direction (higher, lower) and kind (fr, nr).
    Scores { file: PathBuf },
    /// Candidates of another model, from a folder: they are scored, ranked, paired, judged and compared like those that are sampled
    /// here, under the name that they are given. The first of a workspace are its reference.
    #[command(after_long_help = CANDIDATES_HELP)]
    Candidates(Candidates),
    /// Verdicts on pairs of the reference's candidates, as `export WS verdicts` writes them: CSV with a heading, or JSON lines, of
    /// image, winner_seed, loser_seed, verdict (exclude, flip, pin).
    Verdicts { file: PathBuf },
}

#[derive(clap::Args)]
pub struct Candidates {
    /// Folder of the candidates; its sub-folders are entered.
    dir: PathBuf,
    /// What they are called by, as in `compare --b NAME`; with steps in the pattern, NAME@STEP.
    #[arg(long = "as", value_name = "NAME", value_parser = import_name)]
    name: String,
    /// Where image and seed stand in the names; found out by default. `*` is anything within a name.
    #[arg(long, value_name = "PATTERN")]
    pattern: Option<String>,
    /// Folder of their LR images, where these are not in the workspace yet.
    #[arg(long, value_name = "DIR")]
    lr: Option<PathBuf>,
    /// Folder of their HR images.
    #[arg(long, value_name = "DIR")]
    hr: Option<PathBuf>,
    /// Keeps these images away from training: about every third is for validation, the others for test.
    #[arg(long)]
    held_out: bool,
    /// What these images are for: train; validation, which chooses checkpoints; test, which is reported; auto is --held-out.
    #[arg(long, value_name = "SPLIT", value_parser = images::choice, conflicts_with = "held_out")]
    split: Option<SplitChoice>,
}

const CANDIDATES_HELP: &str = "\
A name leads to its image as LR and HR lead to each other: 0801x4_3.png is seed 3 of 0801. What does not fit (another size than 4
times the LR, two files of one seed, an image that is not here) is named and left out. Given again, an import goes on where it was
cut off. Sampling more of them and training on them here is off, as it needs the network; scores, pairs, verdicts, exports and
comparisons are not.

  dp2o-studio import WS candidates before --as base --hr HR --held-out
  dp2o-studio import WS candidates after --as tuned --pattern '{image}/{seed}.png'
  dp2o-studio compare WS --b tuned
  dp2o-studio import WS candidates out --as run --pattern 'run/{step}/{image}_{seed}.png'";

fn import_name(text: &str) -> Result<String> {
    files::check_import_name(text).map(|()| text.to_owned())
}

/// A table's form, or a folder's.
#[derive(Clone, Copy)]
enum Layout {
    Table(Form),
    Pairs(PairsLayout),
}

fn layout(word: &str) -> std::result::Result<Layout, String> {
    match word {
        "hf" => Ok(Layout::Pairs(PairsLayout::HuggingFace)),
        "diffusion-dpo" => Ok(Layout::Pairs(PairsLayout::DiffusionDpo)),
        word => match Form::from_word(word) {
            Some(form) => Ok(Layout::Table(form)),
            None => Err(format!("there is {}, and for pairs hf, diffusion-dpo", Form::WORDS.join(", "))),
        },
    }
}

pub fn export(arguments: &Export) -> Result<()> {
    let layout = match (arguments.table, arguments.format) {
        (Some(Table::Pairs), Some(Layout::Pairs(layout))) => Some(layout),
        (_, Some(Layout::Pairs(_))) => {
            return Err(crate::Error::invalid(
                "hf and diffusion-dpo are layouts of pairs: `export WS pairs --format …`",
            ));
        }
        _ => None,
    };
    let mut client = Client::open(&arguments.workspace, &[])?;
    let Export { out, overwrite, allow_partial, .. } = arguments;
    let (path, overwrite, allow_partial) = (out.clone(), *overwrite, *allow_partial);
    if let Some(table) = arguments.table.filter(|_| layout.is_none()) {
        let of = match (table, &arguments.run) {
            (Table::Scores, _) => TableOf::Scores,
            (Table::Pairs, _) => TableOf::Pairs { allow_partial },
            (Table::Verdicts, _) => TableOf::Verdicts,
            (Table::Run, run) => TableOf::Run(run.clone().unwrap_or_default()),
        };
        let asked = arguments.format.and_then(|format| match format {
            Layout::Table(form) => Some(form),
            Layout::Pairs(_) => None,
        });
        let form = asked.unwrap_or_else(|| Form::of_name(out));
        return client.finish(Job::ExportTable { of, form, path, overwrite }, |_| {
            say!("written to {}", out.display());
            Ok(())
        });
    }
    let job = match &arguments.checkpoint {
        Some(name) => {
            let form = match (arguments.half, arguments.factors) {
                (true, _) => WeightsForm::Half,
                (_, true) => WeightsForm::Factors,
                _ => WeightsForm::Whole,
            };
            Job::ExportWeights { checkpoint: name.clone(), path, form, overwrite }
        }
        None => Job::ExportPairs { dir: path, layout: layout.unwrap_or_default(), allow_partial, overwrite },
    };
    client.finish(job, |outcome| {
        if let Outcome::Written { files, .. } = outcome {
            say!("{} written to {}", counted(files.len(), "file"), out.display());
        }
        Ok(())
    })
}

pub fn import(Import { workspace, what }: &Import) -> Result<()> {
    let job = match what {
        Imported::Scores { file } => Job::ImportScores { path: file.clone() },
        Imported::Verdicts { file } => Job::ImportVerdicts { path: file.clone() },
        Imported::Candidates(of) => {
            let split = if of.held_out { SplitChoice::ByRule } else { of.split.unwrap_or_default() };
            let Candidates { dir, name, pattern, lr, hr, .. } = of;
            let (dir, name, pattern, lr, hr) = (dir.clone(), name.clone(), pattern.clone(), lr.clone(), hr.clone());
            Job::ImportCandidates(ImportCandidates { dir, name, pattern, lr, hr, split })
        }
    };
    let mut client = Client::open(workspace, &[])?;
    client.finish(job, |outcome| {
        match outcome {
            Outcome::Scored { scores, .. } => say!("{} imported", counted(scores, "score")),
            Outcome::Judged { verdicts, .. } => say!("{} imported", counted(verdicts, "verdict")),
            Outcome::Imported(imported) => {
                say!("{}", imported.headline());
                for detail in imported.details(NAMES) {
                    say!("{}", detail.heading);
                    detail.lines.iter().for_each(|line| say!("  {line}"));
                }
            }
            _ => {}
        }
        Ok(())
    })
}
