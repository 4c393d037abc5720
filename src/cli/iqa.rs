//! `iqa`: scores images with quality metrics.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::out::{json_text, note, say};
use crate::engine::failures::Failures;
use crate::imaging::{Image, decode, encode, output, stems};
use crate::iqa::{self, Kind, Map, Scorer};
use crate::{Error, Result, memory};

#[derive(clap::Args)]
pub struct Arguments {
    /// Metrics to compute, separated by commas or given several times.
    #[arg(long = "metric", required = true, value_delimiter = ',', num_args = 1)]
    metrics: Vec<String>,
    /// The reference image, for full-reference metrics.
    #[arg(long = "ref")]
    reference: Option<PathBuf>,
    /// Images to score.
    #[arg(required = true)]
    files: Vec<PathBuf>,
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

pub fn run(arguments: &Arguments) -> Result<()> {
    let reference_path = arguments.reference.as_deref();
    let reference = reference_path.map(read).transpose()?;
    let mut scorers: Vec<(String, bool, Box<dyn Scorer>)> = Vec::new();
    for name in &arguments.metrics {
        let metric = iqa::by_name(name)?;
        let compares = metric.info().kind == Kind::FullReference;
        if compares && reference.is_none() {
            return Err(Error::invalid(format!("{name} compares with a reference image: give one with --ref FILE")));
        }
        let scorer = match reference_path.filter(|_| compares) {
            Some(path) => metric.prepare(reference.as_ref()).map_err(|e| Error::file(path, e))?,
            None => metric.prepare(None)?,
        };
        scorers.push((metric.info().name.to_string(), compares, scorer));
    }
    output::check(arguments.json.as_deref())?;
    arguments.map.as_ref().map_or(Ok(()), output::make_folder)?;
    let (mut rows, mut failed) = (Vec::new(), Failures::of(arguments.files.len()));
    for (file, stem) in arguments.files.iter().zip(stems::distinct(&arguments.files)) {
        let mut causes = Vec::new();
        let image = match read(file) {
            Ok(image) => image,
            Err(error) => {
                note(format_args!("warning: not scored: {error}"));
                failed.add(error);
                continue;
            }
        };
        for (metric, compares, scorer) in &scorers {
            let map = arguments.map.as_ref().map(|folder| folder.join(format!("{stem}.{metric}.png")));
            match score(scorer.as_ref(), &image, map.as_deref()) {
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
fn score(scorer: &dyn Scorer, image: &Image, map: Option<&Path>) -> Result<f64> {
    let score = scorer.score(image)?;
    if let Some(path) = map
        && let Some(map) = scorer.map(image)?
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
