//! `weights`: the published weights that this program can use: what is here, what is missing, what a file is.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use clap::Subcommand;
use serde::Serialize;

use super::devices;
use super::out::say;
use super::out::write_json;
use crate::imaging::output;
use crate::iqa::{self, Features, Metric, generated};
use crate::weights::add::{self, How};
use crate::weights::report::Standing;
use crate::weights::{Part, PartReport, Source, State, Store, compiled_in, registry};
use crate::{Error, Result};

/// Options of every command about where weights are and which are used.
#[derive(clap::Args)]
#[command(next_help_heading = "Weights")]
pub struct Options {
    /// Folder of published weights, looked at before those of DP2O_WEIGHTS, the workspace, the data directory and the Hugging
    /// Face cache; may be given several times.
    #[arg(long, global = true, value_name = "DIR")]
    weights: Vec<PathBuf>,
    /// Uses weights that are not the published ones, or of which no SHA-256 is published; every score and checkpoint made with
    /// them says so.
    #[arg(long, global = true)]
    unverified: bool,
    /// Confirms the terms of all weights in use, such as "non-commercial", instead of asking on the terminal; remembered on this
    /// machine.
    #[arg(long, global = true)]
    accept_terms: bool,
}

static STORE: OnceLock<Store> = OnceLock::new();

impl Options {
    /// Makes these the options of the process.
    pub fn keep(self) {
        super::terms::keep(self.accept_terms);
        STORE.get_or_init(|| Store::of_machine(&self.weights, self.unverified));
    }
}

/// Where this process finds weights.
pub fn store() -> &'static Store {
    STORE.get_or_init(|| Store::of_machine(&[], false))
}

#[derive(Subcommand)]
pub enum Verb {
    /// Lists the weights known here: what is there, what is missing and how to get it.
    List(List),
    /// Says what a file of weights is: whether it is a published one, and the tensors in it.
    Check(Check),
    /// Says where the files of some weights are, or all places that are looked at.
    Where(Where),
    /// Puts files of weights into the data directory, once they are found to be the published ones.
    Add(Add),
}

#[derive(clap::Args)]
pub struct List {
    /// Ids of weights, or the beginnings of ids; all by default.
    ids: Vec<String>,
    /// Reads files whose SHA-256 is not known yet; of tens of gigabytes that takes minutes.
    #[arg(long)]
    verify: bool,
    /// Writes the list to this JSON file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct Check {
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Lists every tensor.
    #[arg(long)]
    tensors: bool,
    /// Leaves out the scores that metrics with these weights give the generated pair of images, which
    /// benches/pyiqa_scores.py has pyiqa's of: the larger networks take a minute.
    #[arg(long)]
    no_scores: bool,
    /// Writes what was found to this JSON file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct Where {
    /// Id of weights, such as lpips-alex.
    id: Option<String>,
    /// Writes the paths to this JSON file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct Add {
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What the files are, where neither name nor SHA-256 tells: an id of `weights list`.
    #[arg(long = "as", value_name = "ID")]
    id: Option<String>,
    /// Links to the files instead of copying them.
    #[arg(long)]
    link: bool,
    /// Writes where they are now to this JSON file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub fn run(verb: &Verb) -> Result<()> {
    match verb {
        Verb::List(arguments) => list(arguments),
        Verb::Check(arguments) => check(arguments),
        Verb::Where(arguments) => find(arguments),
        Verb::Add(arguments) => add(arguments),
    }
}

fn list(arguments: &List) -> Result<()> {
    output::check(arguments.json.as_deref())?;
    let parts: Vec<&'static Part> = match arguments.ids.as_slice() {
        [] => registry::PARTS.to_vec(),
        ids => {
            let begins = |part: &&&'static Part| ids.iter().any(|id| part.id.starts_with(id.as_str()));
            let chosen: Vec<_> = registry::PARTS.iter().filter(begins).copied().collect();
            // A name that none has is not an empty list.
            ids.iter()
                .filter(|id| !chosen.iter().any(|part| part.id.starts_with(id.as_str())))
                .try_for_each(|id| registry::by_id(id).map(|_| ()))?;
            chosen
        }
    };
    let mut rows = Vec::new();
    for part in parts {
        let state = if arguments.verify { store().verify(part)? } else { store().state(part) };
        let row = PartReport::of(part, &state);
        say!("{:<11} {:<18} {:>12}  {}", row.state.word(), row.id, row.size, row.title);
        match &row.brief {
            Some(brief) => say!("{:11} {brief}; {}", "", row.licence),
            None if row.files.is_empty() => say!("{:11} {}", "", row.licence),
            None => {}
        }
        for file in &row.files {
            say!("{:11} {} ({}; {})", "", file.path.display(), file.mark(), row.licence);
        }
        rows.push(row);
    }
    if rows.iter().any(|row| row.state == Standing::Missing) {
        let places: Vec<String> = store().places().iter().map(ToString::to_string).collect();
        say!("Looked in {}. `weights add FILE` puts a file where it is found.", places.join(", "));
    }
    write_json(arguments.json.as_deref(), &rows)
}

#[derive(Serialize)]
struct Checked {
    file: PathBuf,
    sha256: String,
    published: Vec<&'static str>,
    tensors: usize,
    values: usize,
    formats: Vec<String>,
    /// Of the metrics that these weights complete, on the generated pair of images.
    scores: Vec<PairScores>,
}

fn check(arguments: &Check) -> Result<()> {
    output::check(arguments.json.as_deref())?;
    let (mut rows, mut failed) = (Vec::new(), None);
    for file in &arguments.files {
        match checked(file, arguments) {
            Ok(row) => rows.push(row),
            Err(error) => {
                super::out::note(format_args!("warning: {error}"));
                failed.get_or_insert(error);
            }
        }
    }
    write_json(arguments.json.as_deref(), &rows)?;
    match failed {
        None => Ok(()),
        Some(error) if arguments.files.len() == 1 => Err(error),
        Some(_) => Err(Error::invalid(format!(
            "{} of {} files are no readable weights",
            arguments.files.len() - rows.len(),
            arguments.files.len()
        ))),
    }
}

fn checked(file: &Path, arguments: &Check) -> Result<Checked> {
    let sha256 = store().hash(file)?;
    let published: Vec<&'static str> = add::published(&sha256).map(|(part, _)| part.id).collect();
    let source = Source::open(file)?;
    let mut formats: Vec<String> = source.iter().map(|(_, dtype, _)| format!("{dtype:?}")).collect();
    formats.sort_unstable();
    formats.dedup();
    let values = source.iter().map(|(.., shape)| shape.iter().product::<usize>()).sum();
    let what = match published.as_slice() {
        [] => "not a file that is known as published".to_owned(),
        ids => format!("the published file of {}", ids.join(", ")),
    };
    say!(
        "{}: {what}; {} tensors, {values} values, {}; SHA-256 {sha256}",
        file.display(),
        source.len(),
        formats.join(" ")
    );
    if arguments.tensors {
        source.iter().for_each(|(name, dtype, shape)| say!("  {name:?} {dtype:?} {shape:?}"));
    }
    let scores = if arguments.no_scores { Vec::new() } else { pair_scores(file, &sha256)? };
    Ok(Checked { file: file.into(), sha256, published, tensors: source.len(), values, formats, scores })
}

/// What a metric says of the generated pair of images, [`generated::SIZE_PX`].
#[derive(Serialize)]
struct PairScores {
    metric: String,
    /// Of the distorted image, compared with the reference where the metric compares.
    distorted: f64,
    /// Of the reference itself.
    reference: f64,
}

/// The scores of the metrics that a file of weights completes. Errors: a network that its weights do not fit.
fn pair_scores(file: &Path, sha256: &str) -> Result<Vec<PairScores>> {
    let store = store().looking_first_into(file.parent().unwrap_or(Path::new("")));
    let by_hash: Vec<_> = add::published(sha256).collect();
    let meant = if by_hash.is_empty() { add::named(file).collect() } else { by_hash };
    let is_completed = |metric: &Arc<dyn Metric>| {
        metric.needs().iter().any(|part| meant.iter().any(|(known, _)| std::ptr::eq(*known, *part)))
    };
    for (part, _) in meant.iter().filter(|(part, _)| compiled_in::bytes_of(part).is_some()) {
        say!(
            "  {} is compiled in and never read from a file; its metrics are scored with the file of their network",
            part.id
        );
    }
    let [reference, distorted] = generated::pair(generated::SIZE_PX)?.map(Arc::new);
    let features = Features::default();
    let mut scores = Vec::new();
    for metric in iqa::all().into_iter().filter(is_completed) {
        let name = &metric.info().name;
        let lacking = store.lacking(metric.needs());
        if let Some(first) = lacking.first() {
            say!("  {name}: not scored, {first}");
            continue;
        }
        let opened = metric
            .open(&store, &devices::chosen().compute())
            .map_err(|error| Error::file(file, format!("{name}: {error}")))?;
        let bound = opened.bind(Some(&reference), &features)?;
        let [distorted, reference] = [&distorted, &reference].map(|image| bound.score(image, &features.within()));
        let (distorted, reference) = (distorted?, reference?);
        say!("  {name}: {distorted:.6} for the generated pair's distorted image, {reference:.6} for its reference");
        scores.push(PairScores { metric: name.to_string(), distorted, reference });
    }
    Ok(scores)
}

fn find(arguments: &Where) -> Result<()> {
    output::check(arguments.json.as_deref())?;
    let Some(id) = &arguments.id else {
        let places: Vec<String> = store().places().iter().map(ToString::to_string).collect();
        places.iter().for_each(|place| say!("{place}"));
        return write_json(arguments.json.as_deref(), &places);
    };
    let part = registry::by_id(id)?;
    let state = store().state(part);
    let row = PartReport::of(part, &state);
    row.files.iter().for_each(|file| say!("{}", file.path.display()));
    write_json(arguments.json.as_deref(), &row)?;
    match state {
        _ if row.state == Standing::CompiledIn => {
            say!("compiled into this program");
            Ok(())
        }
        State::Missing(missing) => Err(Error::invalid(missing)),
        _ => Ok(()),
    }
}

#[derive(Serialize)]
struct AddedRow {
    file: PathBuf,
    id: &'static str,
    at: PathBuf,
    licence: &'static str,
    verified: bool,
}

fn add(arguments: &Add) -> Result<()> {
    output::check(arguments.json.as_deref())?;
    let part = arguments.id.as_deref().map(registry::by_id).transpose()?;
    let how = if arguments.link { How::Link } else { How::Copy };
    let mut rows = Vec::new();
    for file in &arguments.files {
        let added = add::add(store(), file, part, how)?;
        let doubt = if added.trust.is_verified() { "" } else { "; not known to be the published file" };
        say!("{}: {} ({}){doubt}", added.at.display(), added.part.title, added.part.licence);
        rows.push(AddedRow {
            file: file.clone(),
            id: added.part.id,
            at: added.at,
            licence: added.part.licence,
            verified: added.trust.is_verified(),
        });
    }
    write_json(arguments.json.as_deref(), &rows)
}
