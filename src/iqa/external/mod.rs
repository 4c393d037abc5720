//! A metric that is a command of a person's own: any program that prints a number for an image.
//!
//! The program is started with the paths of PNG files and prints one number a line, in the order of the images. It is started
//! directly, never through a shell, and killed when it takes too long or nobody waits for it. Its scores are kept under a hash
//! of the program's file and of the files among its arguments, so that another program, or the same one changed, never
//! passes for the one that scored before.
//!
//! * [`command`]: how a recipe describes one, and what is started for it. [`process`]: starts it and reads what it prints.

pub mod command;
mod process;
#[cfg(all(test, unix))]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::features::Features;
use super::info::{Info, Status};
use super::metric::{self, Bound, Map, Metric, Scorer, Size};
use super::registry;
use crate::imaging::{Image, encode};
use crate::nn::kernels::Compute;
use crate::weights::{Part, Store};
use crate::{Error, Result};
pub use command::External;
use command::Resolved;

/// What is wrong with the commands of a recipe, if anything.
pub fn fault_of(commands: &[External]) -> Option<String> {
    commands.iter().enumerate().find_map(|(i, command)| {
        let name = &command.name;
        let fault = command.fault();
        let is_twice = commands[..i].iter().any(|other| other.name == *name);
        let is_known = registry::by_name(name).is_ok();
        let taken = || (is_twice || is_known).then(|| format!("`{name}`: there is a metric of this name already"));
        fault.or_else(taken)
    })
}

/// What stands for the program of scores that come from elsewhere.
const IMPORTED: &str = "imported";

/// An [`External`] as a metric.
pub struct ExternalMetric {
    command: External,
    info: Info,
}

impl ExternalMetric {
    /// As it is described. Whether the program is there shows when it is opened.
    pub fn new(command: &External) -> Self {
        let External { name, kind, direction, min_size_px, range, .. } = command;
        let info = Info {
            title: format!("{name} ({})", command.program.first().map_or(IMPORTED, |program| file_name(program)))
                .into(),
            range: *range,
            min_size_px: (*min_size_px).max(1),
            version: if command.is_imported() { IMPORTED.into() } else { command.template().into() },
            status: if command.is_imported() { Status::Imported } else { Status::Command },
            ..Info::new(name.clone(), *kind, *direction)
        };
        Self { command: command.clone(), info }
    }
}

fn file_name(program: &str) -> &str {
    Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or(program)
}

impl Metric for ExternalMetric {
    fn info(&self) -> &Info {
        &self.info
    }
    fn needs(&self) -> &[&'static Part] {
        &[]
    }
    /// Of the program and the files among its arguments; "missing" where the program is not there.
    fn weights_hash(&self) -> String {
        if self.command.is_imported() {
            return IMPORTED.into();
        }
        self.command.resolve().and_then(|resolved| resolved.hash()).unwrap_or_else(|_| "missing".into())
    }
    fn open(&self, _: &Store, _: &Compute) -> Result<Box<dyn Scorer>> {
        if self.command.is_imported() {
            return Ok(Box::new(Imported(self.info.clone())));
        }
        let fault = |error| Error::invalid(format!("{}: {error}", self.info.name));
        let program = self.command.resolve().map_err(fault)?;
        Ok(Box::new(Runner { command: self.command.clone(), program, info: self.info.clone() }))
    }
}

/// A metric whose scores are imported: those that are not there cannot be computed.
#[derive(Clone)]
struct Imported(Info);

impl Scorer for Imported {
    fn bind(&self, _: Option<&Arc<Image>>, _: &Features) -> Result<Box<dyn Bound + '_>> {
        Ok(Box::new(self.clone()))
    }
}

impl Bound for Imported {
    fn scores(&self, images: &[Arc<Image>], _: &Features) -> Vec<Result<f64>> {
        let name = &self.0.name;
        let absent =
            || format!("no score of {name} was imported for it; import one (`dp2o-studio import WS scores FILE`)");
        images.iter().map(|_| Err(Error::invalid(absent()))).collect()
    }

    fn map(&self, _: &Arc<Image>, _: &Features) -> Result<Option<Map>> {
        Ok(None)
    }
}

/// The command, its program found.
struct Runner {
    command: External,
    program: Resolved,
    info: Info,
}

struct ExternalBound<'r> {
    runner: &'r Runner,
    /// The file of the reference image, and its size.
    reference: Option<(PathBuf, Size)>,
    /// Where files are put; it goes with the bound.
    folder: TempDir,
}

impl Scorer for Runner {
    fn batch(&self, _: [usize; 2]) -> usize {
        if self.command.takes_several() { self.command.at_once } else { 1 }
    }

    fn bind(&self, reference: Option<&Arc<Image>>, _: &Features) -> Result<Box<dyn Bound + '_>> {
        let folder = tempfile::Builder::new().prefix("dp2o-metric-").tempdir();
        let folder =
            folder.map_err(|e| Error::invalid(format!("{}: no folder for its images: {e}", self.info.name)))?;
        let reference = if self.info.is_fr() {
            let (image, size) = metric::checked_reference(&self.info, reference)?;
            let path = folder.path().join("reference.png");
            encode::write_png(&path, image.as_ref())?;
            Some((path, size))
        } else {
            None
        };
        Ok(Box::new(ExternalBound { runner: self, reference, folder }))
    }
}

impl Bound for ExternalBound<'_> {
    fn scores(&self, images: &[Arc<Image>], features: &Features) -> Vec<Result<f64>> {
        let info = &self.runner.info;
        let mut scores: Vec<Option<Result<f64>>> =
            images.iter().map(|image| self.check(image).err().map(Err)).collect();
        let sound: Vec<usize> = (0..images.len()).filter(|&i| scores[i].is_none()).collect();
        for some in sound.chunks(self.runner.batch([0; 2])) {
            let part: Vec<Arc<Image>> = some.iter().map(|&i| images[i].clone()).collect();
            match self.run(&part, features) {
                Ok(values) => {
                    for (&i, value) in some.iter().zip(values) {
                        scores[i] = Some(value.map_err(|cause| Error::invalid(format!("{}: {cause}", info.name))));
                    }
                }
                // One process, one fault: it is that of every image it was given.
                Err(error) => some.iter().for_each(|&i| {
                    scores[i] = Some(Err(match &error {
                        Error::Cancelled => Error::Cancelled,
                        other => Error::invalid(format!("{}: {other}", info.name)),
                    }));
                }),
            }
        }
        scores.into_iter().map(|score| score.unwrap_or(Err(Error::Cancelled))).collect()
    }

    fn map(&self, _: &Arc<Image>, _: &Features) -> Result<Option<Map>> {
        Ok(None)
    }
}

impl ExternalBound<'_> {
    fn check(&self, image: &Image) -> Result<()> {
        match &self.reference {
            Some((_, size)) => size.check(&self.runner.info, image),
            None => metric::check(&self.runner.info, "the image", image),
        }
    }

    /// What one start of the program says of some images.
    fn run(&self, images: &[Arc<Image>], features: &Features) -> Result<Vec<Result<f64, String>>> {
        features.checkpoint()?;
        let Runner { command, program, .. } = self.runner;
        let folder = tempfile::tempdir_in(self.folder.path()).map_err(|e| Error::file(self.folder.path(), e))?;
        let path = |i: usize| folder.path().join(format!("{i}.png"));
        for (i, image) in images.iter().enumerate() {
            encode::write_png(path(i), image.as_ref())?;
        }
        let files: Vec<PathBuf> = (0..images.len()).map(path).collect();
        let arguments = command.arguments(&files, self.reference.as_ref().map(|(path, _)| path.as_path()));
        let limit = Duration::from_secs(command.timeout_secs);
        let printed = process::run(&program.program, &arguments, limit, || features.checkpoint().is_err())?;
        numbers(&printed, images.len())
    }
}

/// The numbers that a program printed for `count` images.
fn numbers(printed: &str, count: usize) -> Result<Vec<Result<f64, String>>> {
    let lines: Vec<&str> = printed.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.len() != count {
        let last = lines.last().map_or(String::new(), |last| format!(", the last `{}`", shortened(last)));
        let (lines, count) = (lines.len(), if count == 1 { "1 image".into() } else { format!("{count} images") });
        return Err(Error::invalid(format!("it printed {lines} lines for {count}{last}; one number a line is wanted")));
    }
    let number = |line: &&str| match line.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(format!("it printed `{}`, which is no score", shortened(line))),
        Err(_) => Err(format!("it printed `{}` where a number is wanted", shortened(line))),
    };
    Ok(lines.iter().map(number).collect())
}

/// At most as much of a line as an error can carry, without what a terminal would obey.
fn shortened(line: &str) -> String {
    let safe: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match safe.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &safe[..end]),
        None => safe,
    }
}
