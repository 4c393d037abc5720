//! `iqa`: scores images with quality metrics.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::out::say;
use crate::imaging::{Image, atomic, decode, encode};
use crate::iqa::{self, Kind, Map, Scorer};
use crate::{Error, Result};

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
    /// Writes each metric's map to this folder as an 8-bit PNG, scaled to its own range.
    #[arg(long)]
    map: Option<PathBuf>,
}

#[derive(Serialize)]
struct Row<'a> {
    file: &'a Path,
    r#ref: Option<&'a Path>,
    metric: &'static str,
    score: f64,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let reference_path = arguments.reference.as_deref();
    let reference = reference_path.map(decode::read).transpose()?;
    let mut scorers: Vec<(&'static str, bool, Box<dyn Scorer>)> = Vec::new();
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
        scorers.push((metric.info().name, compares, scorer));
    }
    if let Some(folder) = &arguments.map {
        std::fs::create_dir_all(folder).map_err(|e| Error::file(folder, e))?;
    }
    let mut rows = Vec::new();
    for file in &arguments.files {
        let image = decode::read(file)?;
        for (metric, compares, scorer) in &scorers {
            let score = scorer.score(&image).map_err(|e| Error::file(file, e))?;
            say!("{metric}\t{score:.6}\t{}", file.display());
            rows.push(Row { file, r#ref: reference_path.filter(|_| *compares), metric, score });
            if let (Some(folder), Some(map)) = (&arguments.map, map_of(arguments, scorer.as_ref(), &image, file)?) {
                let stem = file.file_stem().unwrap_or_default().to_string_lossy();
                encode::write_png(folder.join(format!("{stem}.{metric}.png")), &grey(&map)?)?;
            }
        }
    }
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&rows).map_err(Error::invalid)?;
        atomic::write_atomic(path, text.as_bytes())?;
    }
    Ok(())
}

fn map_of(arguments: &Arguments, scorer: &dyn Scorer, image: &Image, file: &Path) -> Result<Option<Map>> {
    match arguments.map {
        Some(_) => scorer.map(image).map_err(|e| Error::file(file, e)),
        None => Ok(None),
    }
}

/// The map between its own smallest (black) and largest value (white).
fn grey(map: &Map) -> Result<Image> {
    let (low, high) = map.data.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    let span = (high - low).max(f32::MIN_POSITIVE);
    let plane: Vec<f32> = map.data.iter().map(|v| (v - low) / span).collect();
    Image::new(map.width, map.height, plane.repeat(3))
}
