//! The scores of many images by several metrics in one pass, each image read once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::super::client::Bar;
use super::super::devices;
use super::super::interrupt;
use super::super::out::{json_text, note, say};
use super::super::weights::store;
use super::table::{Row, Table};
use crate::engine::failures::Failures;
use crate::engine::progress::Meter;
use crate::fs::hash::hash_file;
use crate::imaging::{Image, decode, encode, output, stems};
use crate::iqa::{Bound, Features, Map, Metric, MetricKey, Scorer};
use crate::{Error, Result, memory};

/// An image to score.
pub struct Asked {
    pub file: PathBuf,
    /// What it is compared with; an error where there should be something.
    pub reference: Option<Result<PathBuf>>,
}

/// Where scores go beside standard output.
pub struct Out<'o> {
    pub table: Option<Table>,
    pub json: Option<&'o Path>,
    pub maps: Option<&'o Path>,
}

/// From so many images on it is said how far the work is.
const MANY: usize = 8;

/// A metric that is open, and as what its scores are kept.
struct Open {
    metric: Arc<dyn Metric>,
    key: MetricKey,
    scorer: Box<dyn Scorer>,
}

impl Open {
    fn compares(&self) -> bool {
        self.metric.info().is_fr()
    }
}

/// Scores every image. Errors: what failed, once all else is done; that it was cancelled, with what is done.
pub fn run(metrics: &[Arc<dyn Metric>], asked: Vec<Asked>, unread: Vec<Error>, out: Out) -> Result<()> {
    let open = |metric: &Arc<dyn Metric>| -> Result<Open> {
        let scorer = metric.open(store(), &devices::chosen().compute())?;
        Ok(Open { metric: metric.clone(), key: metric.key(store()), scorer })
    };
    let open: Vec<Open> = metrics.iter().map(open).collect::<Result<_>>()?;
    let stop = interrupt::flag();
    let mut failed = Failures::of(asked.len() + unread.len());
    for error in unread {
        note(format_args!("warning: not scored: {error}"));
        failed.add(error);
    }
    let files: Vec<&PathBuf> = asked.iter().map(|asked| &asked.file).collect();
    let stems = stems::distinct(&files);
    let mut work = Work {
        open: &open,
        stems: &stems,
        features: Features::until(stop.clone()),
        stop,
        meter: (asked.len() >= MANY).then(|| Meter::new("scoring", "images", asked.len())),
        bar: Bar::new(),
        out,
        rows: Vec::new(),
        failed,
        hashes: HashMap::new(),
        there: 0,
        done: 0,
    };
    let outcome = work.all(&asked);
    work.bar.clear();
    if let Some(table) = &mut work.out.table {
        table.finish()?;
    }
    if work.there > 0 {
        note(format_args!("note: {} scores were in the table already", work.there));
    }
    if let Some(path) = work.out.json {
        output::write(path, json_text(&work.rows)?.as_bytes())?;
    }
    match outcome {
        Err(Error::Cancelled) => {
            let (done, of) = (work.done, asked.len());
            let next = match &work.out.table {
                Some(_) => "the same command goes on from there",
                None => "with --out FILE the same command would go on from there",
            };
            Err(Error::invalid(format!("cancelled: {done} of {of} images scored; {next}")))
        }
        Err(error) => Err(error),
        Ok(()) => {
            let causes = &work.failed.causes;
            if causes.len() > 1 {
                note(format_args!("not scored, or not by every metric:"));
                causes.iter().for_each(|cause| note(format_args!("  {cause}")));
            }
            work.failed.check()
        }
    }
}

struct Work<'w> {
    open: &'w [Open],
    stems: &'w [String],
    /// Of the reference at hand.
    features: Features<'static>,
    stop: Arc<AtomicBool>,
    meter: Option<Meter>,
    bar: Bar,
    out: Out<'w>,
    rows: Vec<Row>,
    failed: Failures,
    hashes: HashMap<PathBuf, String>,
    /// Scores that were in the table.
    there: usize,
    /// Images that are dealt with.
    done: usize,
}

/// An image with the metrics that it still lacks.
struct Todo {
    index: usize,
    sha256: String,
    wanted: Vec<usize>,
}

impl Work<'_> {
    fn all(&mut self, asked: &[Asked]) -> Result<()> {
        let path = |asked: &Asked| asked.reference.as_ref().and_then(|found| found.as_ref().ok().cloned());
        let mut start = 0;
        for same in asked.chunk_by(|a, b| path(a) == path(b)) {
            let first = &same[0];
            match &first.reference {
                Some(Err(_)) => {
                    for (at, one) in same.iter().enumerate() {
                        let Some(Err(error)) = &one.reference else { continue };
                        // Without a reference, what needs none is scored all the same.
                        let before = self.failed.causes.len();
                        self.group(asked, &[start + at], None)?;
                        if self.open.iter().any(Open::compares) && self.failed.causes.len() == before {
                            self.fail(error);
                        }
                    }
                }
                found => {
                    let path = found.as_ref().and_then(|found| found.as_ref().ok());
                    let indices: Vec<usize> = (start..start + same.len()).collect();
                    self.group(asked, &indices, path.map(PathBuf::as_path))?;
                }
            }
            start += same.len();
        }
        Ok(())
    }

    /// Images with one reference, or without.
    fn group(&mut self, asked: &[Asked], indices: &[usize], reference: Option<&Path>) -> Result<()> {
        self.features = Features::until(self.stop.clone());
        let ref_sha256 = reference.filter(|_| self.open.iter().any(Open::compares)).map(|path| self.hash(path));
        let ref_sha256 = match ref_sha256.transpose() {
            Ok(hash) => hash,
            Err(error) if asked.len() == indices.len() => return Err(error),
            Err(error) => return self.fail_all(asked, indices, &error),
        };
        let mut todo = Vec::new();
        for &index in indices {
            self.checkpoint()?;
            match self.todo(asked, index, ref_sha256.as_deref()) {
                Ok(Some(one)) => todo.push(one),
                Ok(None) => self.advance(1),
                Err(error) => {
                    self.fail(&error);
                    self.advance(1);
                }
            }
        }
        if todo.is_empty() {
            return Ok(());
        }
        let image = match reference.filter(|_| ref_sha256.is_some()).map(read).transpose() {
            Ok(image) => image.map(Arc::new),
            Err(error) if asked.len() == indices.len() => return Err(error),
            Err(error) => return self.fail_all(asked, &todo.iter().map(|one| one.index).collect::<Vec<_>>(), &error),
        };
        let features = std::mem::take(&mut self.features);
        let open = self.open;
        let bind = |open| bind(open, reference, image.as_ref(), &features);
        // With one reference for all there is nothing to go on with.
        let is_only = asked.len() == indices.len();
        let bounds = open.iter().map(bind).map(|bound| match bound {
            Some(Err(error)) if is_only => Err(error),
            other => Ok(other),
        });
        let bounds: Vec<Option<Result<Box<dyn Bound>>>> = bounds.collect::<Result<_>>()?;
        let px = image.as_ref().map_or([512; 2], |image| [image.width(), image.height()]);
        // A network works best on what it asks for; what is about pixels keeps all cores busy.
        let batch = open.iter().map(|open| open.scorer.batch(px)).max().unwrap_or(1);
        let of_pixels = open.iter().all(|open| open.metric.info().gflop == 0.0);
        let batch = if of_pixels { batch.max(2 * rayon::current_num_threads()) } else { batch };
        for some in todo.chunks(batch) {
            self.checkpoint()?;
            self.some(asked, some, (reference, ref_sha256.as_deref()), &bounds, &features.within())?;
        }
        Ok(())
    }

    /// What an image still lacks; `None` where that is nothing.
    fn todo(&mut self, asked: &[Asked], index: usize, ref_sha256: Option<&str>) -> Result<Option<Todo>> {
        let file = &asked[index].file;
        let sha256 = self.hash(file)?;
        let (name, maps) = (file.display().to_string(), self.out.maps);
        let is_there = |open: &Open| {
            let ref_sha256 = ref_sha256.filter(|_| open.compares());
            let in_table =
                self.out.table.as_ref().is_some_and(|table| table.has(&name, &sha256, ref_sha256, &open.key));
            in_table && maps.is_none_or(|folder| self.map_path(folder, index, open).exists())
        };
        let is_asked = |open: &Open| !open.compares() || ref_sha256.is_some();
        let metrics = || (0..self.open.len()).filter(|&i| is_asked(&self.open[i]));
        let wanted: Vec<usize> = metrics().filter(|&i| !is_there(&self.open[i])).collect();
        let there = metrics().count() - wanted.len();
        self.there += there;
        Ok((!wanted.is_empty()).then_some(Todo { index, sha256, wanted }))
    }

    fn map_path(&self, folder: &Path, index: usize, open: &Open) -> PathBuf {
        folder.join(format!("{}.{}.png", self.stems[index], open.key.metric))
    }

    /// Some images at once: those of one size go through a metric together.
    fn some(
        &mut self,
        asked: &[Asked],
        some: &[Todo],
        (reference, ref_sha256): (Option<&Path>, Option<&str>),
        bounds: &[Option<Result<Box<dyn Bound + '_>>>],
        features: &Features,
    ) -> Result<()> {
        let images: Vec<Result<Arc<Image>>> =
            some.par_iter().map(|one| read(&asked[one.index].file).map(Arc::new)).collect();
        let mut scores: Vec<Vec<(usize, Result<f64>)>> = some.iter().map(|_| Vec::new()).collect();
        for (metric, bound) in bounds.iter().enumerate() {
            let Some(bound) = bound else { continue };
            let mut places: Vec<usize> =
                (0..some.len()).filter(|&i| images[i].is_ok() && some[i].wanted.contains(&metric)).collect();
            let size = |i: usize| images[i].as_ref().map_or([0; 2], |image| [image.width(), image.height()]);
            places.sort_by_key(|&i| size(i));
            for same in places.chunk_by(|&a, &b| size(a) == size(b)) {
                let alike: Vec<Arc<Image>> = same.iter().filter_map(|&i| images[i].as_ref().ok().cloned()).collect();
                match bound {
                    Ok(bound) => {
                        let made = bound.scores(&alike, features);
                        same.iter().zip(made).for_each(|(&i, score)| scores[i].push((metric, score)));
                    }
                    Err(error) => same.iter().for_each(|&i| scores[i].push((metric, Err(Error::invalid(error))))),
                }
            }
        }
        for ((one, image), scores) in some.iter().zip(&images).zip(scores) {
            let file = &asked[one.index].file;
            let (mut causes, mut rows) = (Vec::new(), Vec::new());
            if let Err(error) = image {
                causes.push(Error::invalid(error));
            }
            for (metric, score) in scores {
                let (open, bound) = (&self.open[metric], &bounds[metric]);
                let score = score.and_then(|score| {
                    if let (Some(folder), Some(Ok(bound)), Ok(image)) = (self.out.maps, bound, image)
                        && let Some(map) = bound.map(image, features)?
                    {
                        encode::write_png(self.map_path(folder, one.index, open), &grey(&map)?)?;
                    }
                    Ok(score)
                });
                match score {
                    Ok(score) => {
                        let compared = open.compares();
                        self.bar.around(|| say!("{}\t{score:.6}\t{}", open.key.metric, file.display()));
                        rows.push(Row {
                            file: file.display().to_string(),
                            sha256: one.sha256.clone(),
                            reference: reference.filter(|_| compared).map(|path| path.display().to_string()),
                            ref_sha256: ref_sha256.filter(|_| compared).map(str::to_owned),
                            metric: open.key.metric.clone(),
                            score,
                            better: open.metric.info().direction.word().to_owned(),
                            weights: open.key.weights_hash.clone(),
                            version: open.key.version.clone(),
                            crop_policy: open.key.crop_policy.clone(),
                        });
                    }
                    Err(error) if error.ends_job() => return self.keep(rows).and(Err(error)),
                    Err(error) => {
                        let (name, cause) = (&open.key.metric, error.to_string());
                        let is_named = cause.starts_with(&format!("{name} ")) || cause.starts_with(&format!("{name}:"));
                        causes.push(Error::file(file, if is_named { cause } else { format!("{name}: {cause}") }));
                    }
                }
            }
            self.keep(rows)?;
            causes.iter().for_each(|cause| self.bar.line(&format!("warning: not scored: {cause}")));
            if let Some(first) = causes.first() {
                self.failed.add(first);
            }
            self.advance(1);
        }
        Ok(())
    }

    fn keep(&mut self, rows: Vec<Row>) -> Result<()> {
        if let Some(table) = &mut self.out.table {
            table.add(rows.clone())?;
        }
        self.rows.extend(rows);
        Ok(())
    }

    fn hash(&mut self, path: &Path) -> Result<String> {
        if let Some(known) = self.hashes.get(path) {
            return Ok(known.clone());
        }
        let hash = hash_file(path)?;
        self.hashes.insert(path.to_owned(), hash.clone());
        Ok(hash)
    }

    fn fail(&mut self, error: &Error) {
        self.bar.line(&format!("warning: not scored: {error}"));
        self.failed.add(error);
    }

    fn fail_all(&mut self, asked: &[Asked], indices: &[usize], error: &Error) -> Result<()> {
        for &index in indices {
            self.fail(&Error::file(&asked[index].file, format!("its reference image cannot be used: {error}")));
            self.advance(1);
        }
        Ok(())
    }

    fn checkpoint(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn advance(&mut self, images: usize) {
        self.done += images;
        if let Some(progress) = self.meter.as_mut().and_then(|meter| meter.add(images)) {
            self.bar.show(&progress);
        }
    }
}

/// A metric bound to the reference; `None` where it compares and there is none.
fn bind<'o>(
    open: &'o Open,
    path: Option<&Path>,
    reference: Option<&Arc<Image>>,
    features: &Features,
) -> Option<Result<Box<dyn Bound + 'o>>> {
    let reference = reference.filter(|_| open.compares());
    if open.compares() && reference.is_none() {
        return None;
    }
    let named = |error| match path.filter(|_| open.compares()) {
        Some(path) => Error::file(path, error),
        None => error,
    };
    Some(open.scorer.bind(reference, features).map_err(named))
}

/// A picture, once what reading did to it is said.
fn read(file: &Path) -> Result<Image> {
    memory::doing(&format!("reading and scoring {}", file.display()));
    let decoded = decode::read_noted(file)?;
    decoded.notes.iter().for_each(|done| note(format_args!("note: {}: {done}", file.display())));
    Ok(decoded.image)
}

/// The map between its own smallest (black) and largest value (white).
fn grey(map: &Map) -> Result<Image> {
    let (low, high) = map.data.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    let span = (high - low).max(f32::MIN_POSITIVE);
    let plane: Vec<f32> = map.data.iter().map(|v| (v - low) / span).collect();
    Image::new(map.width, map.height, plane.repeat(3))
}
