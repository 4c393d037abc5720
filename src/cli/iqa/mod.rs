//! `iqa`: scores images with quality metrics.
//!
//! * [`scoring`]: the scores, with features shared between metrics. [`table`]: where they
//!   go, and what is there already. [`list`]: which metrics there are.

mod list;
mod scoring;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::terms;
use crate::engine::references::{self, References};
use crate::imaging::output;
use crate::iqa::external::{self, ExternalMetric};
use crate::iqa::{self, External, Metric, border};
use crate::{Error, Result};
use scoring::{Asked, Out};
use table::Table;

#[derive(clap::Args)]
pub struct Arguments {
    /// Metrics to compute, separated by commas or given several times.
    #[arg(long = "metric", required_unless_present = "list", value_delimiter = ',', num_args = 1)]
    metrics: Vec<String>,
    /// The reference image of full-reference metrics, or a folder of them: to each image belongs the one of its name, up to marks
    /// of scale, degradation and role as in `0801x4` and `X_HR`.
    #[arg(long = "ref", value_name = "FILE or DIR")]
    reference: Option<PathBuf>,
    /// Images to score, folders of them, or patterns such as 'results/*/0801*.png'.
    #[arg(required_unless_present = "list")]
    files: Vec<PathBuf>,
    /// Enters the folders in folders too.
    #[arg(long, short)]
    recursive: bool,
    /// Lists the metrics there are, with cost and terms, and which of them lack published weights.
    #[arg(long)]
    list: bool,
    /// Leaves out so many pixels at each side; papers on super-resolution often leave out 4.
    #[arg(long, value_name = "PX", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=256))]
    border: u16,
    /// A command of your own as a metric, described as in a recipe; `--metric` may name it then. Such as
    /// '(name: "mine", program: ["/home/me/mine", "{image}"], direction: higher, kind: nr)'.
    #[arg(long, value_name = "RON", value_parser = External::from_ron)]
    external: Vec<External>,
    /// Writes a row for each score to this table, .csv, .jsonl or .json, while they are computed. What is in it already, of the
    /// same file and the same definition, is not computed again: a cancelled command goes on when it is given again.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Writes the scores of this command, or the list, to this JSON file, in place of what is there.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes each metric's map to this folder as an 8-bit PNG, scaled to its own range: STEM.METRIC.png, with more of the
    /// path where two files have one stem.
    #[arg(long)]
    map: Option<PathBuf>,
}

/// The metrics that were asked for.
fn metrics(arguments: &Arguments) -> Result<Vec<Arc<dyn Metric>>> {
    if let Some(fault) = external::fault_of(&arguments.external) {
        return Err(Error::invalid(format!("--external: {fault}")));
    }
    let metric = |name: &String| -> Result<Arc<dyn Metric>> {
        let metric = match arguments.external.iter().find(|command| command.name == *name) {
            // Typed by whoever starts this program: there is nothing to ask.
            Some(command) => Arc::new(ExternalMetric::new(command)) as Arc<dyn Metric>,
            None => iqa::by_name(name)?,
        };
        if metric.info().is_fr() && arguments.reference.is_none() {
            return Err(Error::invalid(format!("{name} compares with a reference image: give one with --ref FILE")));
        }
        Ok(border::without(arguments.border.into(), metric))
    };
    let mut names: Vec<&String> = Vec::new();
    arguments.metrics.iter().for_each(|name| {
        if !names.contains(&name) {
            names.push(name);
        }
    });
    names.into_iter().map(metric).collect()
}

pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.list {
        return list::list(arguments.json.as_deref());
    }
    let metrics = metrics(arguments)?;
    output::check(arguments.json.iter().chain(&arguments.out).map(PathBuf::as_path))?;
    arguments.map.as_ref().map_or(Ok(()), output::make_folder)?;
    let (files, unread) = references::images(&crate::input::patterns::resolved(&arguments.files)?, arguments.recursive);
    if let ([], [first, ..]) = (files.as_slice(), unread.as_slice()) {
        return Err(Error::invalid(first));
    }
    if files.is_empty() {
        return Err(Error::invalid("there are no images in what is named; --recursive enters folders in folders"));
    }
    let asked = pairs(arguments, files)?;
    terms::confirm(&metrics.iter().flat_map(|metric| metric.needs().to_vec()).collect::<Vec<_>>())?;
    let table = arguments.out.as_deref().map(Table::open).transpose()?;
    let out = Out { table, json: arguments.json.as_deref(), maps: arguments.map.as_deref() };
    scoring::run(&metrics, asked, unread, out)
}

/// The images with their references.
fn pairs(arguments: &Arguments, files: Vec<PathBuf>) -> Result<Vec<Asked>> {
    match arguments.reference.as_deref() {
        Some(folder) if folder.is_dir() => {
            let (all, unread) = references::images(&[folder.to_owned()], arguments.recursive);
            if let Some(error) = unread.first() {
                return Err(Error::invalid(error));
            }
            let all = References::of(all);
            let asked = |file: PathBuf| Asked { reference: Some(all.find(&file).map(Path::to_owned)), file };
            Ok(files.into_iter().map(asked).collect())
        }
        reference => {
            let asked = |file| Asked { file, reference: reference.map(|path| Ok(path.to_owned())) };
            Ok(files.into_iter().map(asked).collect())
        }
    }
}
