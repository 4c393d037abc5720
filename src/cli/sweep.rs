//! `sweep`: trains every combination of some settings with several seeds, and says what came of each.
//!
//! Each training is a run like any other: `train` with the same settings finds it again, so a sweep that was stopped goes on
//! where it was. The workspace keeps its recipe.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::client::{Client, setting};
use super::out::{note, say};
use crate::engine::protocol::{Compared, Job, Outcome};
use crate::imaging::output;
use crate::iqa::{Direction, grain};
use crate::method::evaluation::{Comparison, Evaluation};
use crate::method::intervals::ENOUGH;
use crate::method::notes::Note;
use crate::method::provenance::On;
use crate::method::recipe::Recipe;
use crate::method::sweep::{self, Combination, Figure};
use crate::report::lines::{self, Series};
use crate::report::rows;
use crate::report::table::{Form, Table};
use crate::workspace::Workspace;
use crate::{Error, Result};

#[derive(clap::Args)]
pub struct Arguments {
    workspace: PathBuf,
    /// Settings and their values, such as `ratio=1/2,1/4 objective=dpo,nft`: every combination is trained.
    #[arg(long, value_name = "KEY=VALUE,…", num_args = 1.., required = true)]
    grid: Vec<String>,
    /// Training seeds of each combination: 0, 1 …
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    seeds: u16,
    /// Held-out images to report on: test; validation, which choose checkpoints; held-out is both.
    #[arg(long, value_name = "IMAGES", default_value = "test")]
    on: On,
    /// Changes a setting for all of them, such as `--set steps=60`.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<String>,
    /// Writes table.csv, runs.csv, curves.csv and the curves as SVG into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Goes on where images lack some of the recipe's seeds, and says which.
    #[arg(long)]
    allow_partial: bool,
    /// Allows the commands that the recipe names as metrics to run on this machine, now and later.
    #[arg(long)]
    allow_external: bool,
}

/// One training of a combination.
struct Trial {
    seed: u64,
    run: String,
    /// Changes in σ over seeds before.
    figures: Vec<(String, f64)>,
    /// Validation reward by step.
    rewards: Vec<(u32, f64)>,
    compared: std::sync::Arc<Compared>,
}

/// What came of a combination.
struct Tried {
    label: String,
    trials: Vec<Trial>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let grid = sweep::combinations(&arguments.grid)?;
    let file = |name: &str| arguments.out.as_ref().map(|dir| dir.join(name));
    let outputs = OUTPUTS.map(file);
    output::check(outputs.iter().filter_map(|path| path.as_deref()))?;
    let mut client = Client::open(&arguments.workspace, &[])?;
    client.agree(arguments.allow_external)?;
    let before = client.recipe();
    let tried = grid.iter().enumerate().map(|(index, combination)| {
        note(format_args!("{} of {}: {}", index + 1, grid.len(), sweep::label(combination)));
        let trials =
            (0..u64::from(arguments.seeds)).map(|seed| trial(&mut client, arguments, &before, combination, seed));
        Ok(Tried { label: sweep::label(combination), trials: trials.collect::<Result<_>>()? })
    });
    let tried = tried.collect::<Result<Vec<Tried>>>()?;
    print(&tried, arguments);
    let texts = [
        table(&tried).bytes(Form::Csv)?,
        runs(&tried).bytes(Form::Csv)?,
        curves(&tried).bytes(Form::Csv)?,
        reward_over_steps(&tried).into_bytes(),
        over_m(&tried).into_bytes(),
    ];
    for (path, text) in outputs.iter().zip(texts) {
        if let Some(path) = path {
            output::write(path, &text)?;
        }
    }
    Ok(())
}

/// What is no change in σ.
const SPREAD: &str = "spread over seeds, %";
/// Fine detail against HR: what tells a truer picture from a grainier or smoother one.
const GRAIN_BEFORE: &str = "grain before (dB)";
const GRAIN_AFTER: &str = "grain after (dB)";

const OUTPUTS: [&str; 5] = ["table.csv", "runs.csv", "curves.csv", "reward-over-steps.svg", "best-mean-worst.svg"];

/// Trains one combination with one seed, or finds that done, and compares.
fn trial(
    client: &mut Client,
    arguments: &Arguments,
    before: &Recipe,
    combination: &Combination,
    seed: u64,
) -> Result<Trial> {
    let mut recipe = before.clone();
    let settings = arguments.set.iter().chain(combination).cloned().chain([format!("training.seed={seed}")]);
    super::client::assign(&mut recipe, &settings.collect::<Vec<_>>())?;
    client.try_recipe(recipe)?;
    client.finish(Job::Generate { images: None }, |_| Ok(()))?;
    let train = Job::Train { run: None, allow_partial: arguments.allow_partial };
    let Outcome::Trained { run, .. } = client.run(train)? else {
        return Err(Error::invalid("nothing was trained"));
    };
    let compare = Job::Compare { a: "reference".into(), b: run.clone(), seeds: None, on: arguments.on };
    let Outcome::Compared(compared) = client.run(compare)? else {
        return Err(Error::invalid("nothing was compared"));
    };
    let rows = rows::rows(&compared.report.comparison);
    let change = |row: &rows::Row| {
        let quality = row.direction != Direction::Neither;
        Some((row.name.clone(), row.direction.align(row.change_in_sigma()?))).filter(|_| quality)
    };
    let mut figures: Vec<(String, f64)> = rows.iter().filter_map(change).collect();
    let (a, b) = (&compared.report.comparison.reference, &compared.report.comparison.policy);
    figures.push((SPREAD.into(), 100.0 * (b.std / a.std - 1.0)));
    for (name, side) in [GRAIN_BEFORE, GRAIN_AFTER].into_iter().zip([a, b]) {
        figures.extend(side.metrics.get(grain::NAME).map(|report| (name.to_owned(), report.mean)));
    }
    let rewards = rewards(&arguments.workspace, &run)?;
    Ok(Trial { seed, run, figures, rewards, compared })
}

/// The validation rewards of a run, by step.
fn rewards(workspace: &Path, run: &str) -> Result<Vec<(u32, f64)>> {
    let workspace = Workspace::open_read_only(workspace)?;
    let ledger = workspace.ledger();
    let Some(run) = ledger.run_by_name(run)? else { return Ok(Vec::new()) };
    let validation = ledger.evaluations(run.id)?.into_iter().filter(|row| row.on == On::Validation);
    let reward = |report: &str| serde_json::from_str::<Evaluation>(report).ok().map(|e| e.mean_reward());
    Ok(validation.filter_map(|row| Some((row.step, reward(&row.report)?))).collect())
}

impl Tried {
    fn figures(&self) -> Vec<Figure> {
        sweep::over_seeds(&self.trials.iter().map(|trial| trial.figures.clone()).collect::<Vec<_>>())
    }

    /// The 95 % interval of a figure over photographs, all training seeds together, as the figure is told: in σ, better being
    /// positive; p. `None` of what is no change in σ.
    fn interval(&self, name: &str) -> Option<([f64; 2], f64)> {
        let first = &self.trials.first()?.compared.report.comparison;
        let row = rows::rows(first).into_iter().find(|row| row.name == name)?;
        let sides: Vec<[&[Option<f64>]; 2]> =
            self.trials.iter().map(|trial| both(&trial.compared.report.comparison, name)).collect::<Option<_>>()?;
        let known =
            sweep::pooled(&sides, &first.reference.by_image.photographs).filter(|known| known.photographs >= ENOUGH)?;
        let ends = [known.low, known.high].map(|end| row.direction.align(row.in_sigma(end)));
        let ends = if ends[0] > ends[1] { [ends[1], ends[0]] } else { ends };
        ends.iter().all(|end| end.is_finite()).then_some((ends, known.p))
    }

    /// A curve of every trial as one, with the spread over trials.
    fn curve(&self, name: &str, part: &'static str, of: impl Fn(&Trial) -> Vec<(f64, f64)>) -> Series {
        let curves: Vec<Vec<(String, f64)>> =
            self.trials.iter().map(|t| of(t).into_iter().map(|(x, y)| (x.to_string(), y)).collect()).collect();
        let mut points: Vec<[f64; 3]> = sweep::over_seeds(&curves)
            .into_iter()
            .filter_map(|figure| Some([figure.name.parse().ok()?, figure.mean, figure.std.unwrap_or(0.0)]))
            .collect();
        points.sort_by(|a, b| a[0].total_cmp(&b[0]));
        Series { name: name.to_owned(), part, points }
    }
}

/// What each image contributes to a row of a comparison, before and after.
fn both<'c>(comparison: &'c Comparison, name: &str) -> Option<[&'c [Option<f64>]; 2]> {
    let place = ["Best@", "Mean@", "Worst@"].iter().position(|begin| name.starts_with(begin));
    let of = |side: &'c Evaluation| match place {
        Some(place) => Some(side.by_image.rewards[place].as_slice()),
        None => side.by_image.metrics.get(name).map(Vec::as_slice),
    };
    Some([of(&comparison.reference)?, of(&comparison.policy)?])
}

/// Letters of a column at least: those of a figure.
const NARROWEST: usize = 16;

fn print(tried: &[Tried], arguments: &Arguments) {
    let seeds = arguments.seeds;
    let of = if seeds > 1 { format!(", mean ± std over {seeds} training seeds") } else { String::new() };
    say!("changes in σ over seeds before, better being positive, on {} images{of}:", arguments.on.as_str());
    for Tried { label, trials } in tried {
        let runs: Vec<&str> = trials.iter().map(|trial| trial.run.as_str()).collect();
        say!("{label} ({})", runs.join(", "));
    }
    let columns: Vec<Vec<Figure>> = tried.iter().map(Tried::figures).collect();
    let width = 2 + tried.iter().map(|one| one.label.chars().count()).max().unwrap_or(0).max(NARROWEST);
    let heads: Vec<String> = tried.iter().map(|one| format!("{:>width$}", one.label)).collect();
    say!("{:<22}{}", "", heads.concat());
    for name in lines::distinct(columns.iter().flatten().map(|figure| figure.name.as_str())) {
        let cell = |(one, figures): (&Tried, &Vec<Figure>)| {
            let is_real = one.interval(name).is_some_and(|([low, high], _)| low > 0.0 || high < 0.0);
            let mark = if is_real { " *" } else { "  " };
            match figures.iter().find(|figure| figure.name == name) {
                Some(Figure { mean, std: Some(std), .. }) => {
                    format!("{:>width$}", format!("{mean:+.2} ± {std:.2}{mark}"))
                }
                Some(Figure { mean, .. }) if mean.is_finite() => format!("{:>width$}", format!("{mean:+.2}{mark}")),
                _ => format!("{:>width$}", "–  "),
            }
        };
        say!("{name:<22}{}", tried.iter().zip(&columns).map(cell).collect::<String>());
    }
    say!(
        "*: the 95 % interval over photographs, training seeds together, excludes zero; grain is neither better nor worse"
    );
    notes(tried).iter().for_each(|note| say!("{note}"));
}

/// What belongs below the comparisons, each thing once; what is said of checkpoints with the names of all it is said of.
fn notes(tried: &[Tried]) -> Vec<String> {
    let mut notes: Vec<(Note, Vec<&str>)> = Vec::new();
    for comparison in tried.iter().flat_map(|one| &one.trials).map(|trial| &trial.compared.report.comparison) {
        for mut note in comparison.notes() {
            let of_checkpoint = note.text.strip_prefix(&format!("{}: ", comparison.b)).map(str::to_owned);
            let name = of_checkpoint.is_some().then_some(comparison.b.as_str());
            note.text = of_checkpoint.unwrap_or(note.text);
            match notes.iter_mut().find(|(known, names)| *known == note && names.is_empty() == name.is_none()) {
                Some((_, names)) => names.extend(name.filter(|name| !names.contains(name))),
                None => notes.push((note, name.into_iter().collect())),
            }
        }
    }
    let line = |(note, names): (Note, Vec<&str>)| match names.is_empty() {
        true => note.to_string(),
        false => format!("{note}: {}", names.join(", ")),
    };
    notes.into_iter().map(line).collect()
}

fn table(tried: &[Tried]) -> Table {
    let columns = ["combination", "figure", "mean", "std_over_training_seeds", "training_seeds", "low", "high", "p"];
    let mut table = Table::new(&columns);
    for one in tried {
        for Figure { name, mean, std, seeds } in one.figures() {
            let ([low, high], p) = one.interval(&name).map_or(([None; 2], None), |(ends, p)| (ends.map(Some), Some(p)));
            let label = json!(one.label);
            table.push([label, json!(name), json!(mean), json!(std), json!(seeds), json!(low), json!(high), json!(p)]);
        }
    }
    table
}

fn runs(tried: &[Tried]) -> Table {
    let mut table = Table::new(&["combination", "training_seed", "run", "figure", "change_in_sigma"]);
    for one in tried {
        for trial in &one.trials {
            for (name, value) in &trial.figures {
                table.push([json!(one.label), json!(trial.seed), json!(trial.run), json!(name), json!(value)]);
            }
        }
    }
    table
}

fn curves(tried: &[Tried]) -> Table {
    let mut table = Table::new(&["combination", "training_seed", "run", "step", "validation_reward"]);
    for one in tried {
        for trial in &one.trials {
            for (step, reward) in &trial.rewards {
                table.push([json!(one.label), json!(trial.seed), json!(trial.run), json!(step), json!(reward)]);
            }
        }
    }
    table
}

fn reward_over_steps(tried: &[Tried]) -> String {
    let points = |trial: &Trial| trial.rewards.iter().map(|&(step, reward)| (f64::from(step), reward)).collect();
    let series: Vec<Series> = tried.iter().map(|one| one.curve(&one.label, "", points)).collect();
    lines::svg("Validation reward over steps", ["step", "mean reward"], &series, false)
}

/// Best, Mean and Worst of m seeds, of the reference (of the first combination) and of every combination.
fn over_m(tried: &[Tried]) -> String {
    type Of = fn(&Evaluation) -> &Vec<f64>;
    let kinds: [(&str, Of); 3] = [("Mean@m", |e| &e.mean), ("Best@m", |e| &e.best), ("Worst@m", |e| &e.worst)];
    let points = |evaluation: &Evaluation, of: Of| -> Vec<(f64, f64)> {
        evaluation.m.iter().map(|&m| m as f64).zip(of(evaluation).iter().copied()).collect()
    };
    let mut series = Vec::new();
    for (part, of) in kinds {
        for one in tried {
            let after = |trial: &Trial| points(&trial.compared.report.comparison.policy, of);
            series.push(one.curve(&one.label, part, after));
        }
        // After them, so that a combination has the color here that it has over steps.
        if let Some(first) = tried.first() {
            let before = |trial: &Trial| points(&trial.compared.report.comparison.reference, of);
            series.push(first.curve("reference", part, before));
        }
    }
    lines::svg("Best, Mean and Worst of m seeds", ["seeds m", "reward"], &series, true)
}
