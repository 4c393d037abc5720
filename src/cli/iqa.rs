//! `iqa`: scores images with quality metrics.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::out::{json_text, note, say};
use super::weights::store;
use crate::engine::failures::Failures;
use crate::imaging::{Image, decode, encode, output, stems};
use crate::iqa::external::{self, ExternalMetric};
use crate::iqa::{self, Bound, External, Features, Map, Metric, Scorer};
use crate::nn::kernels::Compute;
use crate::{Error, Result, memory};

#[derive(clap::Args)]
pub struct Arguments {
    /// Metrics to compute, separated by commas or given several times.
    #[arg(long = "metric", required_unless_present = "list", value_delimiter = ',', num_args = 1)]
    metrics: Vec<String>,
    /// The reference image, for full-reference metrics.
    #[arg(long = "ref")]
    reference: Option<PathBuf>,
    /// Images to score.
    #[arg(required_unless_present = "list")]
    files: Vec<PathBuf>,
    /// Lists the metrics there are, and which of them lack published weights.
    #[arg(long)]
    list: bool,
    /// A command of your own as a metric, described as in a recipe; `--metric` may name it then. Such as
    /// '(name: "mine", program: ["/home/me/mine", "{image}"], direction: higher, kind: nr)'.
    #[arg(long, value_name = "RON", value_parser = External::from_ron)]
    external: Vec<External>,
    /// Writes the scores to this JSON file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes each metric's map to this folder as an 8-bit PNG, scaled to its own range: STEM.METRIC.png, with more of the
    /// path where two files have one stem.
    #[arg(long)]
    map: Option<PathBuf>,
}

#[derive(Serialize)]
struct Row<'a> {
    file: &'a Path,
    r#ref: Option<&'a Path>,
    metric: String,
    score: f64,
}

/// A metric that is open, and the reference image it compares with.
struct Open {
    name: String,
    compares: bool,
    scorer: Box<dyn Scorer>,
}

/// The metrics that were asked for.
fn open(arguments: &Arguments) -> Result<Vec<Open>> {
    if let Some(fault) = external::fault_of(&arguments.external) {
        return Err(Error::invalid(format!("--external: {fault}")));
    }
    let metric = |name: &str| match arguments.external.iter().find(|command| command.name == name) {
        // Typed by whoever starts this program: there is nothing to ask.
        Some(command) => Ok(Arc::new(ExternalMetric::new(command)) as Arc<dyn Metric>),
        None => iqa::by_name(name),
    };
    let open = |name: &String| {
        let metric = metric(name)?;
        let compares = metric.info().is_fr();
        if compares && arguments.reference.is_none() {
            return Err(Error::invalid(format!("{name} compares with a reference image: give one with --ref FILE")));
        }
        Ok(Open { name: name.clone(), compares, scorer: metric.open(store(), &Compute::cpu())? })
    };
    arguments.metrics.iter().map(open).collect()
}

/// Every metric in a line, and below it the weights that it lacks.
fn list() {
    for metric in iqa::all() {
        let info = metric.info();
        let weights = match metric.needs() {
            [] if metric.weights_hash() == "none" => "no weights",
            [] => "weights compiled in",
            _ => "published weights",
        };
        let (kind, better) = (info.kind.adjective(), info.direction.phrase());
        say!("{:<12} {}: {kind}, {better}, from {} px; {weights}", info.name, info.title, info.min_size_px);
        store().lacking(metric.needs()).iter().for_each(|line| say!("{:12} {line}", ""));
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.list {
        list();
        return Ok(());
    }
    let reference_path = arguments.reference.as_deref();
    let open = open(arguments)?;
    let reference = reference_path.map(read).transpose()?.map(Arc::new);
    let group = Features::default();
    let mut metrics: Vec<(&Open, Box<dyn Bound>)> = Vec::new();
    for metric in &open {
        let path = reference_path.filter(|_| metric.compares);
        let bound = metric.scorer.bind(reference.as_ref().filter(|_| metric.compares), &group);
        let bound = bound.map_err(|e| path.map_or(Error::invalid(&e), |path| Error::file(path, &e)))?;
        metrics.push((metric, bound));
    }
    output::check(arguments.json.as_deref())?;
    arguments.map.as_ref().map_or(Ok(()), output::make_folder)?;
    let (mut rows, mut failed) = (Vec::new(), Failures::of(arguments.files.len()));
    for (file, stem) in arguments.files.iter().zip(stems::distinct(&arguments.files)) {
        let mut causes = Vec::new();
        let features = group.within();
        let image = match read(file) {
            Ok(image) => Arc::new(image),
            Err(error) => {
                note(format_args!("warning: not scored: {error}"));
                failed.add(error);
                continue;
            }
        };
        for (Open { name: metric, compares, .. }, bound) in &metrics {
            let map = arguments.map.as_ref().map(|folder| folder.join(format!("{stem}.{metric}.png")));
            match score(bound.as_ref(), &image, &features, map.as_deref()) {
                Ok(score) => {
                    say!("{metric}\t{score:.6}\t{}", file.display());
                    rows.push(Row { file, r#ref: reference_path.filter(|_| *compares), metric: metric.clone(), score });
                }
                Err(error) if error.ends_job() => return Err(error),
                Err(error) => causes.push(Error::file(file, format!("{metric}: {error}"))),
            }
        }
        causes.iter().for_each(|cause| note(format_args!("warning: not scored: {cause}")));
        if let Some(first) = causes.first() {
            failed.add(first);
        }
    }
    if let Some(path) = &arguments.json {
        output::write(path, json_text(&rows)?.as_bytes())?;
    }
    failed.check()
}

/// A picture, once what reading did to it is said.
fn read(file: &Path) -> Result<Image> {
    memory::doing(&format!("reading and scoring {}", file.display()));
    let decoded = decode::read_noted(file)?;
    decoded.notes.iter().for_each(|done| note(format_args!("note: {}: {done}", file.display())));
    Ok(decoded.image)
}

/// The score; its map goes to a file if one is named and the metric has a map.
fn score(bound: &dyn Bound, image: &Arc<Image>, features: &Features, map: Option<&Path>) -> Result<f64> {
    let score = bound.score(image, features)?;
    if let Some(path) = map
        && let Some(map) = bound.map(image, features)?
    {
        encode::write_png(path, &grey(&map)?)?;
    }
    Ok(score)
}

/// The map between its own smallest (black) and largest value (white).
fn grey(map: &Map) -> Result<Image> {
    let (low, high) = map.data.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    let span = (high - low).max(f32::MIN_POSITIVE);
    let plane: Vec<f32> = map.data.iter().map(|v| (v - low) / span).collect();
    Image::new(map.width, map.height, plane.repeat(3))
}
