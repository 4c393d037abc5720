//! A client of the engine for the terminal: starts a job, shows its progress, returns its outcome.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{out, terms};
use crate::engine::Engine;
use crate::engine::failures::Failures;
use crate::engine::parts;
use crate::engine::progress::Progress;
use crate::engine::protocol::{Answer, Event, Finding, Job, JobState, Level, Opened, Outcome, Query};
use crate::method::evaluation::Evaluation;
use crate::method::fields;
use crate::method::recipe::Recipe;
use crate::{Error, Result};

/// Plain progress lines are at least this far apart.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// An engine with a workspace open, or none.
pub struct Client {
    engine: Engine,
    opened: Option<Arc<Opened>>,
    bar: Bar,
}

impl Client {
    /// Starts an engine.
    pub fn start() -> Result<Self> {
        Ok(Self {
            engine: Engine::start_on(&super::devices::chosen(), Arc::new(|| ()), super::weights::store().clone())?,
            opened: None,
            bar: Bar::new(),
        })
    }

    /// Starts an engine, opens a workspace, and keeps changed settings in it.
    pub fn open(dir: &Path, set: &[String]) -> Result<Self> {
        let mut client = Self::start()?;
        client.run(Job::Open { dir: dir.to_owned(), or_look: false })?;
        client.change_recipe(set)?;
        Ok(client)
    }

    /// Starts an engine and opens a workspace, to look at where another process writes it.
    pub fn look(dir: &Path) -> Result<Self> {
        let mut client = Self::start()?;
        client.run(Job::Open { dir: dir.to_owned(), or_look: true })?;
        Ok(client)
    }

    /// Asks for something to look at.
    pub fn ask(&mut self, query: Query) -> Result<Answer> {
        let id = self.engine.ask(query)?;
        loop {
            match self.engine.events().recv().map_err(|_| Error::invalid("the engine ended"))? {
                Event::Answer { id: of, answer } if of == id => return answer.map_err(Error::invalid),
                _ => {}
            }
        }
    }

    /// What a person has to agree to before the recipe's work: the terms of its weights; and its commands, if that is `asked` for.
    /// Errors: terms are declined.
    pub fn agree(&mut self, asked: bool) -> Result<()> {
        terms::confirm(&parts::of(&self.recipe()))?;
        match asked {
            true => self.run(Job::AllowExternal { then: None }).map(drop),
            false => Ok(()),
        }
    }

    /// The recipe of the open workspace.
    pub fn recipe(&self) -> Recipe {
        self.opened.as_ref().map(|o| o.recipe.clone()).unwrap_or_default()
    }

    /// Applies `key=value` settings to the workspace's recipe.
    pub fn change_recipe(&mut self, set: &[String]) -> Result<()> {
        if set.is_empty() {
            return Ok(());
        }
        let mut recipe = self.recipe();
        assign(&mut recipe, set)?;
        self.replace_recipe(recipe)
    }

    /// Keeps a recipe in the workspace.
    pub fn replace_recipe(&mut self, recipe: Recipe) -> Result<()> {
        self.take_recipe(Job::SetRecipe(Box::new(recipe.clone())), recipe)
    }

    /// Uses a recipe until the program ends, however it ends: the workspace keeps its own.
    pub fn try_recipe(&mut self, recipe: Recipe) -> Result<()> {
        self.take_recipe(Job::TryRecipe(Box::new(recipe.clone())), recipe)
    }

    fn take_recipe(&mut self, job: Job, recipe: Recipe) -> Result<()> {
        self.run(job)?;
        if let Some(opened) = &mut self.opened {
            Arc::make_mut(opened).recipe = recipe;
        }
        Ok(())
    }

    /// Runs a job to its end and has `say` print what it made; fails after that if something of it failed.
    pub fn finish(&mut self, job: Job, say: impl FnOnce(&Outcome) -> Result<()>) -> Result<()> {
        let outcome = self.run(job)?;
        say(&outcome)?;
        outcome.failed().map_or(Ok(()), Failures::check)
    }

    /// Runs a job to its end.
    pub fn run(&mut self, job: Job) -> Result<Outcome> {
        let id = self.engine.run(job)?;
        loop {
            let event = self.engine.events().recv().map_err(|_| Error::invalid("the engine ended"))?;
            match event {
                Event::Job { id: of, state } if of == id => match state {
                    JobState::Progress(progress) => self.bar.show(&progress),
                    JobState::Done(outcome) => {
                        self.bar.clear();
                        return Ok(outcome);
                    }
                    JobState::Failed(cause) => {
                        self.bar.clear();
                        return Err(Error::invalid(cause));
                    }
                    JobState::Refused { cause, permit } => {
                        self.bar.clear();
                        return Err(Error::invalid(format!("{cause}, or {}", permit.flag())));
                    }
                    JobState::Cancelled => return Err(Error::Cancelled),
                    JobState::Started | JobState::Paused | JobState::Resumed => {}
                },
                Event::Opened(opened) => {
                    opened.findings.iter().for_each(|finding| self.bar.line(finding));
                    self.opened = Some(opened);
                }
                Event::Found(Finding { mark, what, text }) => {
                    self.bar.around(|| out::say!("{:<5} {what:<18} {text}", mark.word()));
                }
                Event::Log { level, text } => {
                    let mark = if level == Level::Info { "" } else { "warning: " };
                    self.bar.line(&format!("{mark}{text}"));
                }
                Event::Evaluated { row, .. } => {
                    if let Ok(evaluation) = serde_json::from_str::<Evaluation>(&row.report) {
                        let (best, mean) = (evaluation.best_reward(), evaluation.mean_reward());
                        let worst = evaluation.worst_reward();
                        self.bar.line(&format!(
                            "step {}: validation best {best:.4} mean {mean:.4} worst {worst:.4} σ {:.4}",
                            row.step, evaluation.std
                        ));
                    }
                }
                Event::Step { row, .. } => self.bar.note(format!(
                    "loss {:.4}, implicit accuracy {:.2}, e_θ − e_ref winners {:+.5} losers {:+.5}",
                    row.loss,
                    row.implicit_accuracy,
                    row.policy_winner_error - row.reference_winner_error,
                    row.policy_loser_error - row.reference_loser_error
                )),
                Event::Job { .. } | Event::Closed | Event::Changed(_) | Event::Device { .. } | Event::Answer { .. } => {
                }
            }
        }
    }
}

/// Reads one `--set`, so that a wrong key or value is bad usage before anything is opened.
pub fn setting(text: &str) -> Result<String> {
    Recipe::default().set_assignment(text).map(|()| text.to_owned())
}

/// [`setting`] of sampling or reward, for verbs that train nothing. `steps` is of training: what was meant is said.
pub fn sampling_setting(text: &str) -> Result<String> {
    let text = setting(text)?;
    let key = text.split('=').next().unwrap_or_default().trim();
    let (field, _) = fields::find(key)?;
    match field.key {
        "training.steps" => Err(Error::invalid(
            "`steps` is training.steps, and nothing is trained here: take --steps or sampling.steps",
        )),
        key if ["training.", "curation.", "hpo."].iter().any(|room| key.starts_with(room)) => {
            Err(Error::invalid(format!("{key} has no say here: only settings of sampling and reward do")))
        }
        _ => Ok(text),
    }
}

/// Applies `key=value` settings and checks the result.
pub fn assign(recipe: &mut Recipe, set: &[String]) -> Result<()> {
    set.iter().try_for_each(|assignment| recipe.set_assignment(assignment))?;
    recipe.check_backbone()?;
    recipe.validate()
}

/// A bar on a terminal, a line now and then elsewhere; both on standard error.
pub struct Bar {
    bar: Option<ProgressBar>,
    note: String,
    shown: Option<(String, Instant)>,
}

impl Bar {
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} [{bar:28}] {pos}/{len} {msg}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
        });
        Self { bar, note: String::new(), shown: None }
    }

    pub fn show(&mut self, p: &Progress) {
        let eta = p.eta_secs.map_or(String::new(), |secs| format!(", {} left", duration(secs)));
        let rate = format!("{:.2} {}/s{eta}", p.rate, p.unit);
        if let Some(bar) = &self.bar {
            bar.set_prefix(p.stage.clone());
            bar.set_length(p.total);
            bar.set_position(p.done);
            bar.set_message(if self.note.is_empty() { rate } else { format!("{rate}, {}", self.note) });
            return;
        }
        let due = match &self.shown {
            Some((stage, at)) => *stage != p.stage || at.elapsed() >= LINE_EVERY || p.done == p.total,
            None => true,
        };
        if due && p.total > 0 {
            let note = if self.note.is_empty() { String::new() } else { format!(", {}", self.note) };
            out::note(format_args!("{} {}/{} {rate}{note}", p.stage, p.done, p.total));
            self.shown = Some((p.stage.clone(), Instant::now()));
        }
    }

    fn note(&mut self, note: String) {
        self.note = note;
    }

    /// Prints with the bar out of the way.
    pub fn around(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| out::note(format_args!("{text}"))),
            None => out::note(format_args!("{text}")),
        }
    }

    pub fn clear(&mut self) {
        self.note.clear();
        self.shown = None;
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            bar.reset();
        }
    }
}

fn duration(secs: f64) -> String {
    match secs.round() as u64 {
        s @ 0..=99 => format!("{s} s"),
        s @ 100..=5999 => format!("{} min", s.div_ceil(60)),
        s => format!("{:.1} h", s as f64 / 3600.0),
    }
}
