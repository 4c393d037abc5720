//! `fit-critic` and `judge-critic` (hidden): make `assets/iqa/critic.safetensors`, and say what metrics prefer to HR.

use std::path::{Path, PathBuf};

use super::devices;
use super::out::say;
use crate::imaging::quantize::{Rgb8, to_rgb8};
use crate::imaging::{decode, output};
use crate::iqa::critic_fit::{self, Group};
use crate::iqa::{self, preferences};
use crate::workspace::{CheckpointKind, ImageRow, Workspace};
use crate::{Error, Result};

#[derive(clap::Args)]
pub struct FitArguments {
    /// Workspaces whose reference candidates of training images it learns from, those with HR.
    #[arg(required = true)]
    workspaces: Vec<PathBuf>,
    /// The safetensors file to write.
    #[arg(long)]
    out: PathBuf,
    /// Steps of 16 comparisons.
    #[arg(long, default_value_t = 6000)]
    steps: u64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(clap::Args)]
pub struct JudgeArguments {
    /// Workspaces whose held-out images, those with HR, and their reference candidates are looked at.
    #[arg(required = true)]
    workspaces: Vec<PathBuf>,
    /// No-reference metrics that need no files.
    #[arg(long, value_delimiter = ',', default_value = "critic,niqe,brisque,piqe")]
    metrics: Vec<String>,
}

pub fn fit(arguments: &FitArguments) -> Result<()> {
    output::check([arguments.out.as_path()])?;
    let groups = groups_of(&arguments.workspaces, |image| !image.is_held_out())?;
    let report = |step: u64, loss: f64| {
        if step.is_multiple_of(100) {
            say!("step {step} of {} loss {loss:.4}", arguments.steps);
        }
        true
    };
    let compute = &devices::chosen().compute();
    let weights = critic_fit::fit(&groups, arguments.steps, arguments.seed, compute, report)?;
    output::write(&arguments.out, &weights)?;
    say!("{}: from {} images", arguments.out.display(), groups.len());
    Ok(())
}

pub fn judge(arguments: &JudgeArguments) -> Result<()> {
    let groups = groups_of(&arguments.workspaces, ImageRow::is_held_out)?;
    let metrics = arguments.metrics.iter().map(|name| iqa::by_name(name)).collect::<Result<Vec<_>>>()?;
    say!("HR is better than\tgrain dB\t{}", arguments.metrics.join("\t"));
    for preference in preferences::preferences(&groups, &metrics)? {
        let shares: Vec<_> = preference.shares.iter().map(|share| format!("{:.0} %", 100.0 * share)).collect();
        say!("{}\t{:+.2}\t{}", preference.against, preference.grain_db, shares.join("\t"));
    }
    Ok(())
}

/// HR images of some images and their reference candidates.
fn groups_of(workspaces: &[PathBuf], wanted: impl Fn(&ImageRow) -> bool) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for dir in workspaces {
        let workspace = Workspace::open_read_only(dir)?;
        let ledger = workspace.ledger();
        let mut sets = Vec::new();
        for (set, _) in ledger.candidate_sets()? {
            if ledger.checkpoint(set.checkpoint)?.kind == CheckpointKind::Reference {
                sets.push(set);
            }
        }
        for image in ledger.images()?.into_iter().filter(|image| !image.removed && wanted(image)) {
            let Some(hr) = &image.hr_path else { continue };
            let read = |path: &Path| -> Result<Rgb8> {
                let image = decode::read(path)?;
                Ok(Rgb8 { width: image.width(), height: image.height(), bytes: to_rgb8(&image) })
            };
            let mut candidates = Vec::new();
            for set in &sets {
                for candidate in ledger.group(set, image.id)? {
                    candidates.push(read(&workspace.path(&candidate.path))?);
                }
            }
            if !candidates.is_empty() {
                groups.push(Group { hr: read(&workspace.path(hr))?, candidates });
            }
        }
    }
    match groups.is_empty() {
        true => Err(Error::invalid("none of these images has HR and candidates; generate some first")),
        false => Ok(groups),
    }
}
