//! An event changes the state: the only way in which what the engine says reaches the screen.

use std::sync::Arc;

use super::jobs::Kind;
use super::judgements::Judgements;
use super::log::Offer;
use super::maps::Maps;
use super::rewards::RewardView;
use super::{Asked, Selection, State, Wants};
use crate::app::format;
use crate::engine::added::{Added, Detail};
use crate::engine::failures::Failures;
use crate::engine::protocol::{
    Answer, Change, Compared, Event, JobId, JobState, Level, Library, Mark, Opened, Outcome, QueryId, Source,
};
use crate::method::presets;
use crate::method::recipe::Recipe;
use crate::words::counted;
use crate::workspace::RunId;

/// Names of a kind that are shown of added files.
const NAMES: usize = 20;

impl State {
    /// Takes in an event.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Job { id, state } => self.apply_job(id, state),
            Event::Opened(opened) => self.apply_opened(opened),
            Event::Closed => {
                self.opened = None;
                self.forget();
            }
            Event::Changed(change) => self.apply_change(change),
            Event::Step { run, row } => self.curves.entry(run).or_default().push(row),
            Event::Evaluated { run, row } => self.curves.entry(run).or_default().evaluated(row),
            Event::Answer { id, answer } => self.apply_answer(id, answer),
            Event::Device { choice, name } => {
                self.device = choice;
                if let Some(opened) = &mut self.opened {
                    Arc::make_mut(opened).device = name;
                }
            }
            Event::Found(finding) => {
                Arc::make_mut(self.model_check.get_or_insert_default()).findings.push(finding);
            }
            Event::Log { level, text } => self.log.add(self.now_secs, level, text),
        }
    }

    fn apply_job(&mut self, id: JobId, job_state: JobState) {
        let now = self.now_secs;
        match &job_state {
            JobState::Failed(cause) => {
                let title = self.jobs.title(id);
                self.log.toast(now, Level::Error, format!("{title}: {cause}"));
                self.opening = None;
            }
            JobState::Refused { cause, permit } => {
                let title = self.jobs.title(id);
                let offer = self.jobs.permitting(id, *permit).map(|job| Offer::Permit(Box::new(job), *permit));
                self.log.refuse(now, format!("{title}: {cause}"), offer);
            }
            JobState::Done(outcome) => self.apply_outcome(id, outcome),
            JobState::Started => {
                if self.jobs.kind(id) == Some(Kind::CheckModel) {
                    self.model_check = None;
                }
                self.jobs.begins_with(id, self.candidates_done().0);
            }
            JobState::Paused | JobState::Resumed | JobState::Progress(_) | JobState::Cancelled => {}
        }
        if job_state.is_final() {
            // What a job left undone is shown as it is, not as it was last heard of.
            self.wants.library |= self.opened.is_some();
            let kind = self.jobs.kind(id);
            self.wants.library_now |= matches!(kind, Some(Kind::Mark | Kind::Discard));
            self.wants.ranking_now |= matches!(kind, Some(Kind::Mark | Kind::Judge));
            if kind == Some(Kind::Discard) {
                // No pair may name what is gone.
                (self.wants.ranking, self.wants.ranking_now) = (true, true);
                self.wants.rankings.extend(self.rankings.keys().cloned());
            }
            // A judgement is shown before it is written, and was not where that failed.
            self.wants.judgements |= matches!(job_state, JobState::Failed(_)) && self.opened.is_some();
        }
        self.jobs.apply(id, job_state, now);
    }

    fn apply_outcome(&mut self, id: JobId, outcome: &Outcome) {
        let now = self.now_secs;
        let title = self.jobs.title(id);
        let said = match outcome {
            Outcome::None => None,
            Outcome::Added(added) => {
                self.say_added(added);
                None
            }
            Outcome::Sampled { candidates, .. } => Some(format!("{} sampled", counted(candidates, "candidate"))),
            Outcome::Scored { scores, .. } => Some(format!("{} computed", counted(scores, "score"))),
            Outcome::Generated { candidates, scores, .. } => {
                Some(format!("{} sampled, {} computed", counted(candidates, "candidate"), counted(scores, "score")))
            }
            Outcome::Curated(summary) => Some(counted(summary.pairs, "pair")),
            Outcome::Trained { run, steps, state } => Some(format!("run {run}: {}, {state}", counted(steps, "step"))),
            Outcome::Compared(compared) => {
                self.add_comparison(compared.clone());
                let comparison = &compared.report.comparison;
                Some(format!("{} compared with {}", comparison.b, comparison.a))
            }
            Outcome::Ran(report) => {
                if let Some((compared, _)) = &report.compared {
                    self.add_comparison(compared.clone());
                }
                self.reports.push(report.clone());
                Some(format!(
                    "run {}: {} on {}",
                    report.run,
                    counted(report.steps, "step"),
                    counted(report.pairs, "pair")
                ))
            }
            Outcome::Checked(check) => {
                let bad = check.findings.iter().filter(|finding| finding.mark == Mark::Bad).count();
                self.model_check = Some(check.clone());
                Some(match bad {
                    0 => "the model is as it should be".into(),
                    bad => format!("{} not as it should be", format::counted(bad, "finding")),
                })
            }
            Outcome::Tagged { prompts, .. } => {
                Some(format!("{} by the tag model", format::counted(prompts.len(), "prompt")))
            }
            Outcome::Imported(imported) => {
                let (headline, details) = (imported.headline(), imported.details(NAMES));
                self.say_details(headline, details);
                None
            }
            Outcome::Judged { verdicts, .. } => Some(format!("{} recorded", format::counted(*verdicts, "verdict"))),
            Outcome::Repaired(lines) => Some(lines.join("; ")),
            Outcome::Written { files, .. } => {
                // The last one lies beside the folders of the others.
                let dir = files.last().and_then(|f| f.parent()).map(|d| d.display().to_string());
                Some(format!("{} written to {}", format::counted(files.len(), "file"), dir.unwrap_or_default()))
            }
        };
        if let Some(line) = outcome.failed().and_then(Failures::line) {
            self.log.toast(now, Level::Warning, format!("{title}: {line}"));
        }
        if let Some(said) = said
            && !self.jobs.is_quiet(id)
        {
            self.log.toast(now, Level::Info, said);
        } else if !self.jobs.is_quiet(id) {
            self.log.add(now, Level::Info, format!("{title}: done"));
        }
    }

    /// A toast of what adding came to; the names are in the log.
    fn say_added(&mut self, added: &Added) {
        self.say_details(added.headline(), added.details(NAMES));
    }

    fn say_details(&mut self, headline: String, details: Vec<Detail>) {
        let now = self.now_secs;
        let mut is_warning = false;
        for detail in details {
            is_warning |= detail.is_warning;
            let level = if detail.is_warning { Level::Warning } else { Level::Info };
            self.log.note(now, level, detail.heading);
            detail.lines.into_iter().for_each(|line| self.log.note(now, level, format!("    {line}")));
        }
        self.log.toast(now, if is_warning { Level::Warning } else { Level::Info }, headline);
    }

    /// Keeps a comparison as the last one; an older one of the same checkpoints is no longer true.
    fn add_comparison(&mut self, compared: Arc<Compared>) {
        let names =
            |c: &Compared| (c.report.comparison.a.clone(), c.report.comparison.b.clone(), c.report.comparison.on);
        self.comparisons.retain(|other| names(other) != names(&compared));
        self.comparisons.push(compared);
    }

    fn apply_opened(&mut self, opened: Arc<Opened>) {
        let root = opened.root.clone();
        let is_other = self.opened.as_ref().is_none_or(|o| o.root != root);
        let now = self.now_secs;
        self.recipe.saved = opened.recipe.clone();
        self.recipe.edited = opened.recipe.clone();
        self.recipe.before_edit = None;
        self.recipe.fault = super::fault_of(&opened.recipe);
        if is_other {
            self.forget();
            let nearest = nearest_preset(&opened.recipe);
            self.set_preset(nearest);
            self.log.add(
                now,
                Level::Info,
                format!("workspace {} opened, computing on {}", root.display(), opened.device),
            );
        }
        for finding in &opened.findings {
            self.log.toast(now, Level::Warning, finding.clone());
        }
        self.opening = None;
        self.opened = Some(opened);
        (self.wants.library, self.wants.ranking, self.wants.weights) = (true, true, true);
        self.wants.memory = true;
    }

    /// Forgets what belongs to the workspace that was open.
    fn forget(&mut self) {
        (self.library, self.restart) = (None, None);
        self.image_index.clear();
        self.groups.clear();
        (self.rewards, self.grid, self.attribution) = (None, None, None);
        self.judgements = Arc::default();
        self.ranking_fault = None;
        self.rankings.clear();
        self.pictures.clear();
        self.maps = Maps::default();
        self.curves.clear();
        self.learning.clear();
        self.comparisons.clear();
        self.reports.clear();
        self.selection = Selection::default();
        self.wants = Wants::default();
        self.asked.clear();
    }

    fn apply_change(&mut self, change: Change) {
        match change {
            Change::Images => (self.wants.library, self.wants.ranking) = (true, true),
            Change::Prompts => {
                self.wants.library = true;
                self.wants.ranking = true;
                self.wants.rankings.extend(self.rankings.keys().cloned());
                self.wants.judgements = true;
                // Groups and pictures are known by image and seed alone.
                self.groups.clear();
                self.pictures.clear();
                self.maps = Maps::default();
            }
            Change::Candidates(image) => {
                self.wants.library = true;
                if self.groups.contains_key(&image) {
                    self.wants.groups.insert(image);
                }
                self.pictures.candidates_changed(image);
            }
            Change::Scores(_) | Change::Overrides | Change::Bounds => {
                self.wants.ranking = true;
                self.wants.rankings.extend(self.rankings.keys().cloned());
                self.wants.judgements |= change == Change::Overrides;
            }
            Change::Judgements => self.wants.judgements = true,
            Change::Runs => self.wants.library = true,
        }
    }

    fn apply_answer(&mut self, id: QueryId, answer: Result<Answer, String>) {
        let Some(asked) = self.asked.remove(&id) else {
            return;
        };
        // Questions of the same topic that were asked before were replaced and get no answer.
        if matches!(
            asked,
            Asked::Library | Asked::Ranking | Asked::Weights | Asked::Judgements | Asked::Attribution | Asked::Grid(_)
        ) {
            let is_other = |a: &Asked| std::mem::discriminant(a) != std::mem::discriminant(&asked);
            self.asked.retain(|other, a| *other > id || is_other(a));
        }
        match (asked, answer) {
            (Asked::Library, Ok(Answer::Library(library))) => self.apply_library(library),
            (Asked::Group(_), Ok(Answer::Group { image, seeds, .. })) => {
                self.groups.insert(image, Arc::new(seeds));
            }
            (Asked::Ranking, Ok(Answer::Ranking(ranking))) => {
                self.ranking_fault = ranking.missing.clone();
                self.rewards = Some(Arc::new(RewardView::new(ranking, self.rewards.as_deref())));
            }
            (Asked::Judgements, Ok(Answer::Judgements { judgements, verdicts, .. })) => {
                // An answer from before the last one was written would take it off the screen for a moment.
                let is_judging = self.jobs.is_active(&[Kind::Judge]);
                let is_asked_again = self.wants.judgements || self.asked.values().any(|a| *a == Asked::Judgements);
                match is_judging || is_asked_again {
                    true => self.wants.judgements |= is_judging,
                    false => self.judgements = Arc::new(Judgements::new(judgements, verdicts)),
                }
            }
            (Asked::Ranking, Err(cause)) => {
                self.rewards = None;
                self.ranking_fault = Some(cause);
            }
            (Asked::RankingOf(set), Ok(Answer::Ranking(ranking))) => {
                let before = self.rankings.get(&set).map(Arc::as_ref);
                let view = Arc::new(RewardView::new(ranking, before));
                self.rankings.insert(set, view);
            }
            (Asked::Picture(request), Ok(Answer::Picture(picture))) => self.pictures.answered(request, Ok(picture)),
            (Asked::Picture(request), Err(cause)) => {
                self.wants.discard |= matches!(request.source, Source::Candidate { .. });
                self.pictures.answered(request, Err(cause));
            }
            (Asked::Map(source, metric), Ok(Answer::Map(map))) => self.maps.answered(source, metric, Ok(map)),
            (Asked::Map(source, metric), Err(cause)) => self.maps.answered(source, metric, Err(cause)),
            (Asked::Curves(_), Ok(Answer::Curves { run, since, steps, evaluations })) => {
                self.curves.entry(run).or_default().read(since, steps, evaluations);
            }
            (Asked::Attribution, answer) => {
                self.attribution = match answer {
                    Ok(Answer::Attribution(attribution)) => Some(attribution),
                    _ => None,
                }
            }
            (Asked::Grid(_), answer) => {
                self.grid = match answer {
                    Ok(Answer::Grid(grid)) => Some(grid),
                    // The ranking says why there is none.
                    _ => None,
                }
            }
            (Asked::Learning(run), Ok(Answer::Learning { learning, .. })) => drop(self.learning.insert(run, *learning)),
            (Asked::Weights, Ok(Answer::Weights(weights))) => self.weights = Some(weights),
            (Asked::Preview(of), Ok(Answer::Preview(found))) => self.preview = Some((*of, Ok(found))),
            (Asked::Preview(of), Err(cause)) => self.preview = Some((*of, Err(cause))),
            (Asked::Memory, answer) => {
                self.memory = match answer {
                    Ok(Answer::Memory(need)) => Some(need),
                    _ => None,
                }
            }
            (
                Asked::Weights
                | Asked::Library
                | Asked::Judgements
                | Asked::Group(_)
                | Asked::RankingOf(_)
                | Asked::Curves(_),
                Err(cause),
            ) => {
                self.log.add(self.now_secs, Level::Warning, cause);
            }
            // An answer of another kind than the question cannot come.
            _ => {}
        }
    }

    fn apply_library(&mut self, library: Arc<Library>) {
        self.image_index = library.images.iter().enumerate().map(|(i, image)| (image.id, i)).collect();
        self.selection.images.retain(|id| self.image_index.contains_key(id));
        if self.selection.image.is_none_or(|id| !self.image_index.contains_key(&id)) {
            self.selection.image = library.images.first().map(|image| image.id);
            self.selection.images = self.selection.image.into_iter().collect();
        }
        let other_set = self.library.as_ref().is_none_or(|l| l.set != library.set);
        if other_set {
            self.groups.clear();
            (self.wants.ranking, self.wants.judgements) = (true, true);
        }
        let ended: Vec<RunId> = library.runs.iter().map(|run| run.id).collect();
        self.curves.retain(|run, _| ended.contains(run));
        self.library = Some(library);
        self.note_restart();
    }
}

/// The preset with the fewest differences from a recipe.
fn nearest_preset(recipe: &Recipe) -> &'static str {
    let differences = |name: &&str| presets::preset(name).map_or(usize::MAX, |p| p.diff(recipe).len());
    presets::preset_names().min_by_key(differences).unwrap_or(presets::DEFAULT)
}
