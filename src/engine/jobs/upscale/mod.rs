//! The model at work on pictures outside of the workspace.
//!
//! Everything that can be known is looked at first: what the outputs are called, whether they are there, whether the
//! pictures can be read and fit into memory. Each output is then written as soon as it is drawn, whole or not at all, with a
//! text beside its pixels that says how it was made: the same call again makes what is missing.

mod best;
mod task;

use std::path::{Path, PathBuf};

use crate::engine::context::Context;
use crate::engine::failures::Failures;
use crate::engine::parts;
use crate::engine::plan::Sampling;
use crate::engine::progress::Meter;
use crate::engine::protocol::{Level, Outcome, Upscale};
use crate::engine::reading;
use crate::imaging::{output, stems};
use crate::{Error, Permit, Result};
use task::{Output, Shared, State, Task};

/// Writes `NAME_x4_seedS.png` for each seed, or `NAME_x4.png` of the best. A picture that fails is reported and left out.
pub fn upscale(context: &mut Context, request: &Upscale) -> Result<Outcome> {
    let recipe = request.recipe.as_ref();
    let (backbone, precision) = (&recipe.sampling.backbone, recipe.sampling.precision);
    if let Some(lacking) = context.store().lacking(parts::of_backbone(backbone)).first() {
        return Err(Error::invalid(lacking));
    }
    let (model, weights, weights_name) = match &request.checkpoint {
        Some(path) => {
            // Nothing records what it should be: its name in papers and logs is its hash.
            let _watched = context.watch_opening(backbone, precision);
            reading::say_file(context, path);
            let found = context.models.checkpoint((backbone, precision), path, None)?;
            context.log(Level::Info, format!("weights {}: SHA-256 {}", path.display(), found.weights_hash));
            (found.model, found.weights_hash, path.display().to_string())
        }
        None => {
            context.say_licence(backbone);
            let reference = context.released(backbone, precision)?;
            (reference.model, reference.weights_hash, format!("the released {backbone}"))
        }
    };
    let sampling = Sampling::of(recipe)?;
    let (best_of, out) = (request.best_of, request.out.as_path());
    let shared =
        Shared { recipe, model, weights, weights_name, sampling, prompt: request.prompt.as_deref(), best_of, out };

    let pictures = without_repeats(context, &request.images);
    let mut failed = Failures::of(pictures.len());
    let mut tasks = Vec::new();
    for (picture, name) in pictures.iter().zip(stems::distinct(&pictures)) {
        // A reason that is not the file's own does not name it.
        match Task::new(context, &shared, picture, &name) {
            Ok(task) => tasks.push(task),
            Err(error @ Error::Invalid(_)) => fail(context, &mut failed, &Error::file(picture, error)),
            Err(error) => fail(context, &mut failed, &error),
        }
    }
    check_outputs(&tasks, &pictures, request.overwrite)?;
    if !tasks.is_empty() {
        output::make_folder(out)?;
    }

    let prompts: Vec<_> = tasks.iter().filter_map(|task| task.prompt(&shared)).collect();
    if !prompts.is_empty() {
        context.prepare(shared.model.backbone.as_ref(), &prompts)?;
    }
    let mut meter = Meter::new("upscaling", "tiles", tasks.iter().map(Task::tiles).sum());
    let mut files = Vec::new();
    for task in &tasks {
        match task.make(context, &shared, &mut meter) {
            Ok(()) => files.extend(task.outputs.iter().map(|output| output.file.clone())),
            Err(error) if error.ends_job() => return Err(error),
            Err(error) => fail(context, &mut failed, &error),
        }
    }
    let outputs: Vec<&Output> = tasks.iter().flat_map(|task| &task.outputs).collect();
    let there = outputs.iter().filter(|output| output.state == State::There).count();
    if there > 0 {
        context.log(Level::Info, format!("{there} of {} outputs were there already", outputs.len()));
    }
    Ok(Outcome::Written { files, failed })
}

fn fail(context: &Context, failed: &mut Failures, error: &Error) {
    context.log(Level::Warning, error.to_string());
    failed.add(error);
}

/// The pictures, each once.
fn without_repeats(context: &Context, pictures: &[PathBuf]) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    let mut once = Vec::new();
    for picture in pictures {
        let place = std::fs::canonicalize(picture).unwrap_or_else(|_| picture.clone());
        if seen.contains(&place) {
            context.log(Level::Info, format!("{}: given twice, made once", picture.display()));
        } else {
            seen.push(place);
            once.push(picture.clone());
        }
    }
    once
}

/// Errors: an output would take the place of a picture, or, unless asked for, of a file that was made another way.
fn check_outputs(tasks: &[Task], pictures: &[PathBuf], overwrite: bool) -> Result<()> {
    let same = |a: &Path, b: &Path| {
        std::fs::canonicalize(a).ok().is_some_and(|a| std::fs::canonicalize(b).is_ok_and(|b| a == b))
    };
    let outputs = || tasks.iter().flat_map(|task| &task.outputs).filter(|output| output.state == State::Other);
    if let Some(output) = outputs().find(|output| pictures.iter().any(|picture| same(picture, &output.file))) {
        return Err(Error::file(&output.file, "is a picture to upscale and would be replaced; take another --out"));
    }
    let others: Vec<String> = outputs().map(|output| output.file.display().to_string()).collect();
    if others.is_empty() || overwrite {
        return Ok(());
    }
    let (shown, more) = (others.len().min(3), others.len().saturating_sub(3));
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let cause = "there already, made with other settings or from another picture; take another --out";
    Err(Error::Refused { cause: format!("{}{more}: {cause}", others[..shown].join(", ")), permit: Permit::Overwrite })
}
