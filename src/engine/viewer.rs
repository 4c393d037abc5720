//! Answers queries from a reader of its own, so that looking never waits for a job.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, select};

use super::devices::SharedDevice;
use super::emitter::Emitter;
use super::grid::Grid;
use super::memory_need::MemoryNeed;
use super::metrics::{self, MetricSet, Scorers};
use super::protocol::{Answer, Attributed, Event, Library, MapPicture, Picture, Query, QueryId, Source};
use super::ranking::{Ranking, Scores};
use super::suspects::{self, Suspects};
use super::{damage, parts, plan, previews};
use crate::imaging::{Image, decode, quantize, resize};
use crate::iqa::{Features, Kind, MetricKey};
use crate::method::curation::Curation;
use crate::method::learning::Learning;
use crate::method::provenance::{Chosen, On};
use crate::method::recipe::Recipe;
use crate::method::summary::{PairChange, Summary};
use crate::weights::{PartReport, Store};
use crate::workspace::{CandidateSet, Workspace};
use crate::{Error, Result};

/// What the computing thread tells those who look.
#[derive(Clone)]
pub(super) enum Opening {
    Opened {
        root: PathBuf,
        recipe: Box<Recipe>,
    },
    Closed,
    /// What is computed on is another device.
    OtherDevice,
}

/// Answers until nobody can ask any more.
pub(super) fn run(
    asked: &Receiver<(QueryId, Query)>,
    openings: &Receiver<Opening>,
    emitter: &Emitter,
    suspects: Suspects,
    store: Store,
    device: SharedDevice,
) {
    let mut viewer = Viewer { suspects, store, device, ..Viewer::default() };
    loop {
        select! {
            recv(openings) -> opening => match opening {
                Ok(opening) => viewer.open(opening),
                Err(_) => return,
            },
            recv(asked) -> first => {
                let Ok(first) = first else { return };
                for opening in openings.try_iter() {
                    viewer.open(opening);
                }
                let waiting: Vec<_> = std::iter::once(first).chain(asked.try_iter()).collect();
                for (id, query) in latest(waiting) {
                    let answer = viewer.answer(query).map_err(|e| e.to_string());
                    emitter.send(Event::Answer { id, answer });
                }
            }
        }
    }
}

/// Computes maps until nobody can ask any more, on a thread of its own: one may take a minute, and whoever moves a slider must not
/// wait for it. What was asked last is what is looked at, and comes first. `stop` ends the one at work too.
pub(super) fn run_maps(
    asked: &Receiver<(QueryId, Query)>,
    openings: &Receiver<Opening>,
    emitter: &Emitter,
    suspects: Suspects,
    store: Store,
    device: SharedDevice,
    stop: Arc<AtomicBool>,
) {
    let mut viewer = Viewer { suspects, store, device, stop, ..Viewer::default() };
    let mut waiting: VecDeque<(QueryId, Query)> = VecDeque::new();
    loop {
        if waiting.is_empty() {
            select! {
                recv(openings) -> opening => match opening {
                    Ok(opening) => viewer.open(opening),
                    Err(_) => return,
                },
                recv(asked) -> first => match first {
                    Ok(first) => waiting.push_back(first),
                    Err(_) => return,
                },
            }
        }
        let new: Vec<_> = asked.try_iter().collect();
        new.into_iter().rev().for_each(|query| waiting.push_front(query));
        // Whoever asks has heard of the opening, which was sent before.
        for opening in openings.try_iter() {
            viewer.open(opening);
        }
        if let Some((id, query)) = waiting.pop_front() {
            let answer = viewer.answer(query).map_err(|e| e.to_string());
            emitter.send(Event::Answer { id, answer });
        }
        if viewer.stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Drops queries that a later one of the same topic replaces.
fn latest(waiting: Vec<(QueryId, Query)>) -> Vec<(QueryId, Query)> {
    let last: HashMap<u64, QueryId> = waiting.iter().filter_map(|(id, q)| Some((q.topic()?, *id))).collect();
    let is_last = |(id, query): &(QueryId, Query)| query.topic().is_none_or(|topic| last.get(&topic) == Some(id));
    waiting.into_iter().filter(is_last).collect()
}

#[derive(Default)]
struct Viewer {
    workspace: Option<Workspace>,
    recipe: Recipe,
    /// Scores read last, what they were read for, and the ledger's version then.
    scores: Option<(ScoresKey, Arc<Scores>)>,
    /// The pairs before an edit, and what they follow from: a slider asks about the same ones again and again.
    base: Option<(Arc<Scores>, Recipe, Curation, Summary)>,
    /// The seeds of imported candidates that were asked about last, and the ledger's version then.
    imported: Option<(CandidateSet, i64, Vec<u64>)>,
    suspects: Suspects,
    /// The metrics that maps were asked of.
    scorers: Scorers,
    /// Where weights are found on this machine.
    store: Store,
    /// What maps are computed on.
    device: SharedDevice,
    /// The HR image that maps were asked of last, with what networks made of it.
    hr: Option<(Source, Arc<Image>, Features<'static>)>,
    /// Set once nobody waits for maps any more.
    stop: Arc<AtomicBool>,
}

#[derive(PartialEq)]
struct ScoresKey {
    set: CandidateSet,
    seeds: Vec<u64>,
    metrics: Vec<MetricKey>,
    version: i64,
}

impl Viewer {
    fn open(&mut self, opening: Opening) {
        (self.scores, self.base, self.hr) = (None, None, None);
        self.imported = None;
        match opening {
            Opening::Opened { root, recipe } => {
                self.workspace = Workspace::open_read_only(root).ok();
                self.recipe = *recipe;
            }
            Opening::Closed => self.workspace = None,
            Opening::OtherDevice => self.scorers = Scorers::default(),
        }
    }

    fn workspace(&self) -> Result<&Workspace> {
        self.workspace.as_ref().ok_or_else(|| Error::invalid("no workspace is open"))
    }

    fn store(&self) -> Store {
        let store = match &self.workspace {
            Some(workspace) => self.store.with_workspace(workspace.root()),
            None => self.store.clone(),
        };
        store.accepting(&self.recipe.data.unverified_weights)
    }

    fn answer(&mut self, query: Query) -> Result<Answer> {
        Ok(match query {
            Query::Library => Answer::Library(Arc::new(self.library()?)),
            Query::Group { set, image } => {
                let seeds = self.workspace()?.ledger().group(&set, image)?.into_iter().map(|c| c.seed).collect();
                Answer::Group { set, image, seeds }
            }
            Query::Ranking { set, recipe, base } => {
                let mut ranking = self.ranking(set, &recipe)?;
                if let Some(base) = base {
                    (ranking.change, ranking.before) = self.change(&ranking, *base).ok().unzip();
                }
                Answer::Ranking(Arc::new(ranking))
            }
            Query::Judgements { set } => {
                let ledger = self.workspace()?.ledger();
                let (judgements, verdicts) = (ledger.judgements(&set)?, ledger.verdicts(&set)?);
                Answer::Judgements { set, judgements, verdicts }
            }
            Query::Grid { recipe, of } => Answer::Grid(Arc::new(Grid::new(&self.ranking(None, &recipe)?, &of))),
            Query::Attribution { set, recipe } => {
                let ranking = self.ranking(set, &recipe)?;
                let (attribution, images) = (ranking.attribution(&recipe)?, ranking.scores.train.images.clone());
                Answer::Attribution(Arc::new(Attributed { attribution, images }))
            }
            Query::Weights => Answer::Weights(Arc::new(PartReport::of_all(&self.store(), &parts::known()))),
            Query::Memory { recipe } => Answer::Memory(Box::new(MemoryNeed::of(&recipe, &self.store(), &self.device)?)),
            Query::Preview(incoming) => Answer::Preview(Arc::new(previews::preview(self.workspace()?, &incoming)?)),
            Query::Picture { source, max_side_px } => Answer::Picture(self.picture(source, max_side_px)?),
            Query::Map { source, metric } => Answer::Map(self.map(source, metric)?),
            Query::Learning { run, start, last, step } => {
                Answer::Learning { run, learning: Box::new(Learning::between(&start, &last, step)) }
            }
            Query::Curves { run, since } => {
                let ledger = self.workspace()?.ledger();
                let (steps, evaluations) = (ledger.steps_since(run, since)?, ledger.evaluations(run)?);
                Answer::Curves { run, since, steps, evaluations }
            }
        })
    }

    fn library(&self) -> Result<Library> {
        let ledger = self.workspace()?.ledger();
        let images = ledger.images()?;
        // Of a backbone that is not in this program there are no candidates; what else there is can be looked at.
        let set = plan::known_reference(self.workspace()?, &self.recipe).ok().flatten();
        let sizes = set.as_ref().map(|set| ledger.group_sizes(set)).transpose()?.unwrap_or_default();
        let sampled = images.iter().map(|image| sizes.get(&image.id).copied().unwrap_or(0)).collect();
        let runs = ledger.runs()?;
        let mut best = Vec::new();
        for run in &runs {
            if let Some((row, Chosen::Validation { .. })) = ledger.chosen_checkpoint(run.id)? {
                best.push(row.id);
            }
        }
        Ok(Library { images, sampled, checkpoints: ledger.checkpoints()?, best, runs, set })
    }

    fn ranking(&mut self, set: Option<CandidateSet>, recipe: &Recipe) -> Result<Ranking> {
        let set = match set {
            Some(set) => set,
            None => plan::known_reference(self.workspace()?, recipe)?
                .ok_or_else(|| Error::invalid("nothing was sampled yet: generate candidates first"))?,
        };
        let seeds = self.seeds(&set, recipe)?;
        let workspace = self.workspace()?;
        let key = ScoresKey {
            seeds,
            set,
            metrics: MetricSet::of(recipe, &self.store())?.keys,
            version: workspace.ledger().data_version()?,
        };
        let scores = match &self.scores {
            Some((known, scores)) if *known == key => scores.clone(),
            _ => Arc::new(Scores::read(workspace, &key.set, recipe, key.seeds.clone(), On::HeldOut, &self.store())?),
        };
        self.scores = Some((key, scores.clone()));
        scores.rank(recipe)
    }

    /// [`plan::seeds_of`], with those of imported candidates remembered: whoever moves a slider asks again and again.
    fn seeds(&mut self, set: &CandidateSet, recipe: &Recipe) -> Result<Vec<u64>> {
        if !set.sampler.is_imported() {
            return Ok(recipe.seeds());
        }
        let ledger = self.workspace()?.ledger();
        let version = ledger.data_version()?;
        if self.imported.as_ref().is_none_or(|(known, then, _)| known != set || *then != version) {
            self.imported = Some((set.clone(), version, ledger.seeds_of(set)?));
        }
        let all = self.imported.as_ref().map_or(&[][..], |(_, _, all)| all);
        Ok(plan::chosen_seeds(all, recipe))
    }

    /// The pairs that differ from those under the recipe before an edit, and those at a glance. Of other candidates there is nothing to say.
    fn change(&mut self, ranking: &Ranking, base: Recipe) -> Result<(PairChange, Summary)> {
        let (known, summary) = match self.base.take() {
            Some((scores, recipe, curation, summary)) if Arc::ptr_eq(&scores, &ranking.scores) && recipe == base => {
                (curation, summary)
            }
            _ => {
                let scores = &ranking.scores;
                let names = || scores.train.table.columns().iter().map(|c| c.name.as_ref());
                if scores.seeds != self.seeds(&scores.set, &base)?
                    || base.trained_metrics().iter().any(|m| !names().any(|n| n == *m))
                {
                    return Err(Error::invalid("the edit changes which candidates or scores are looked at"));
                }
                let before = scores.rank(&base)?;
                (before.curation, before.summary)
            }
        };
        let change = PairChange::between(&known, &ranking.curation);
        self.base = Some((ranking.scores.clone(), base, known, summary.clone()));
        Ok((change, summary))
    }

    fn read(&self, source: &Source) -> Result<Image> {
        let workspace = self.workspace()?;
        let ledger = workspace.ledger();
        let path = match source {
            Source::Lr(image) => ledger.image(*image)?.lr_path,
            Source::Hr(image) => {
                ledger.image(*image)?.hr_path.ok_or_else(|| Error::invalid("this image has no HR image"))?
            }
            Source::Candidate { set, image, seed } => {
                let group = ledger.group(set, *image)?;
                let found = group.into_iter().find(|candidate| candidate.seed == *seed);
                let found = found.ok_or_else(|| Error::invalid(format!("seed {seed} is not sampled yet")))?;
                return suspects::look_at(workspace, found, &self.suspects);
            }
        };
        decode::read(workspace.path(&path))
    }

    fn picture(&self, source: Source, max_side_px: Option<usize>) -> Result<Picture> {
        let image = self.read(&source)?;
        let full_size = [image.width(), image.height()];
        let image = match max_side_px {
            Some(max) if full_size[0].max(full_size[1]) > max => {
                let scale = max as f64 / full_size[0].max(full_size[1]) as f64;
                let side = |n: usize| ((n as f64 * scale).round() as usize).max(1);
                resize::resize(&image, side(full_size[0]), side(full_size[1]), resize::Filter::Area)?
            }
            _ => image,
        };
        let rgb8 = quantize::to_rgb8(&image).into();
        Ok(Picture { source, width: image.width(), height: image.height(), rgb8, full_size })
    }

    fn map(&mut self, source: Source, metric: String) -> Result<MapPicture> {
        let known = metrics::by_name(&self.recipe, &metric)?;
        if known.info().map.is_empty() {
            return Err(Error::invalid(format!("{metric} has no map")));
        }
        let compares = known.info().kind == Kind::FullReference && !matches!(source, Source::Lr(_));
        if compares {
            self.keep_hr(Source::Hr(source.image()))?;
        }
        let image = Arc::new(self.read(&source)?);
        let scorer = self.scorers.one(known.as_ref(), &self.store(), &self.device.compute())?;
        let mut alone = Features::until(self.stop.clone());
        if known.info().against_lr {
            let workspace = self.workspace()?;
            alone = alone.of_lr(damage::low_res(workspace.root(), &workspace.ledger().image(source.image())?)?);
        }
        let (hr, features) = match &self.hr {
            Some((_, hr, features)) if compares => (Some(hr), features),
            _ => (None, &alone),
        };
        let bound = scorer.bind(hr, features)?;
        let features = features.within();
        let map = bound.map(&image, &features)?.ok_or_else(|| Error::invalid(format!("{metric} has no map")))?;
        let score = bound.score(&image, &features)?;
        let (width, height) = (map.width, map.height);
        let finite = map.data.iter().copied().filter(|value| value.is_finite());
        let range = finite.fold([f32::INFINITY, f32::NEG_INFINITY], |[min, max], v| [min.min(v), max.max(v)]);
        Ok(MapPicture { source, metric, width, height, values: map.data.into(), range, score })
    }
}

impl Viewer {
    /// Reads the HR image, unless it is the last one: what networks make of it serves all candidates.
    fn keep_hr(&mut self, hr: Source) -> Result<()> {
        if self.hr.as_ref().is_none_or(|(known, ..)| *known != hr) {
            self.hr = None;
            let image = Arc::new(self.read(&hr)?);
            self.hr = Some((hr, image, Features::until(self.stop.clone())));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::Engine;
    use crate::engine::protocol::{Answer, Event, Job, JobState, Outcome, Query, Source};
    use crate::method::presets;

    fn done(engine: &Engine, job: Job) -> Outcome {
        let id = engine.run(job).unwrap();
        loop {
            match engine.events().recv().unwrap() {
                Event::Job { id: of, state: JobState::Done(outcome) } if of == id => return outcome,
                Event::Job { id: of, state: JobState::Failed(cause) } if of == id => panic!("{cause}"),
                _ => {}
            }
        }
    }

    fn answer(engine: &Engine, query: Query) -> std::result::Result<Answer, String> {
        let id = engine.ask(query).unwrap();
        loop {
            match engine.events().recv().unwrap() {
                Event::Answer { id: of, answer } if of == id => return answer,
                _ => {}
            }
        }
    }

    #[test]
    fn a_candidate_that_was_seen_to_be_damaged_is_sampled_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("ws");
        let mut recipe = presets::preset(presets::DEFAULT).unwrap();
        for (key, value) in [
            ("sampling.m", "2"),
            ("sampling.steps", "1"),
            ("sampling.solver", "euler"),
            ("data.crops", "1"),
            ("data.held_out_crops", "1"),
        ] {
            recipe.set(key, value).unwrap();
        }
        let engine = Engine::start(Arc::new(|| ())).unwrap();
        done(&engine, Job::Create { dir: root.clone(), recipe: Box::new(recipe), example: true });
        done(&engine, Job::Sample { images: None });
        let Ok(Answer::Library(library)) = answer(&engine, Query::Library) else { panic!("no library") };
        let (set, image) = (library.set.clone().unwrap(), library.images[0].id);
        let workspace = Workspace::open_read_only(&root).unwrap();
        let candidate = workspace.ledger().group(&set, image).unwrap().remove(1);
        let path = workspace.path(&candidate.path);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();

        let source = Source::Candidate { set, image, seed: candidate.seed };
        let picture = || answer(&engine, Query::Picture { source: source.clone(), max_side_px: None });
        let said = picture().unwrap_err();
        assert!(said.contains(&candidate.path.to_string()) && said.contains("damaged"), "{said}");
        assert!(matches!(done(&engine, Job::Sample { images: None }), Outcome::Sampled { candidates: 1, .. }));
        assert!(picture().is_ok());
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
}
