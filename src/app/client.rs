//! The way to the engine and back: starts jobs, turns wants into queries, takes events in. Nothing here waits.

use crate::Result;
use crate::engine::devices::SharedDevice;
use crate::engine::protocol::{Command, Job, JobId, Query, QueryId};
use crate::engine::{Engine, Wake};
use crate::weights::Store;

use super::state::jobs::Kind;
use super::state::{Asked, State};

/// Events taken in before a frame is drawn; the rest waits for the next frame.
const EVENTS_A_FRAME: usize = 2000;
/// While jobs change the workspace, what is shown of it is refreshed this often.
const REFRESH_SECS: f64 = 0.25;

/// A running engine and when it was last asked.
pub struct Client {
    engine: Engine,
    library_asked_secs: f64,
    ranking_asked_secs: f64,
    /// The list of images was there when it was asked last.
    knew_library: bool,
}

impl Client {
    /// Starts the engine's threads; they open nothing until told to. `wake` is called after each event; computing is done on `device`; `store` finds weights.
    pub fn start(device: &SharedDevice, wake: Wake, store: Store) -> Result<Self> {
        let never = f64::NEG_INFINITY;
        Ok(Self {
            engine: Engine::start_on(device, wake, store)?,
            library_asked_secs: never,
            ranking_asked_secs: never,
            knew_library: false,
        })
    }

    /// Takes in what the engine said; true if more is waiting.
    pub fn drain(&mut self, state: &mut State) -> bool {
        for event in self.engine.events().try_iter().take(EVENTS_A_FRAME) {
            state.apply(event);
        }
        !self.engine.events().is_empty()
    }

    /// Starts a job.
    pub fn start_job(&self, state: &mut State, job: Job) -> Result<JobId> {
        let id = JobId(self.engine.fresh_id());
        state.jobs.started(id, &job, state.now_secs);
        self.engine.send(Command::Start { id, job })?;
        Ok(id)
    }

    /// Stops a job, or takes it off the queue.
    pub fn cancel(&self, id: JobId) -> Result<()> {
        self.engine.send(Command::Cancel(id))
    }

    /// Holds a job, or lets it go on.
    pub fn set_paused(&self, id: JobId, paused: bool) -> Result<()> {
        self.engine.send(if paused { Command::Pause(id) } else { Command::Resume(id) })
    }

    /// Asks what the state wants to know. Returns after how many seconds to look again, if something was put off.
    pub fn ask(&mut self, state: &mut State) -> Option<f64> {
        if std::mem::take(&mut state.wants.weights) {
            self.query(state, Asked::Weights, Query::Weights);
        }
        state.opened.as_ref()?;
        if std::mem::take(&mut state.wants.memory) {
            let recipe = Box::new(state.recipe.edited.clone());
            self.query(state, Asked::Memory, Query::Memory { recipe });
        }
        if state.wants.discard && !state.jobs.is_active(&[Kind::Discard]) {
            state.wants.discard = false;
            if state.is_writable() {
                // Refused only once the engine is closed.
                let _ = self.start_job(state, Job::DiscardDamaged);
            }
        }
        if let Some(incoming) = state.wants.preview.take() {
            self.query(state, Asked::Preview(incoming.clone()), Query::Preview(incoming));
        }
        let now = state.now_secs;
        let mut later: Option<f64> = None;
        let mut due = |asked: f64| {
            let wait = asked + REFRESH_SECS - now;
            if wait > 0.0 {
                later = Some(later.map_or(wait, |l| l.min(wait)));
            }
            wait <= 0.0
        };
        // What is seen first comes first: the pictures of a workspace just opened are asked for by the frame that draws its list.
        let is_drawn = std::mem::replace(&mut self.knew_library, state.library.is_some()) && self.knew_library;
        let wants = &mut state.wants;
        let library = wants.library && (wants.library_now || due(self.library_asked_secs));
        let ranking = is_drawn && wants.ranking && (wants.ranking_now || due(self.ranking_asked_secs));
        let rankings = if ranking { std::mem::take(&mut wants.rankings) } else { Default::default() };
        let groups = std::mem::take(&mut wants.groups);
        let curves = std::mem::take(&mut wants.curves);
        if library {
            (state.wants.library, state.wants.library_now) = (false, false);
            self.library_asked_secs = now;
            self.query(state, Asked::Library, Query::Library);
        }
        for request in state.pictures.take_requests() {
            let query = Query::Picture { source: request.source.clone(), max_side_px: request.max_side_px };
            if !self.query(state, Asked::Picture(request.clone()), query) {
                state.pictures.not_asked(&request);
            }
        }
        if ranking {
            (state.wants.ranking, state.wants.ranking_now) = (false, false);
            self.ranking_asked_secs = now;
            let query = Query::Ranking {
                set: None,
                recipe: Box::new(state.recipe.edited.clone()),
                base: state.recipe.before_edit.clone(),
            };
            self.query(state, Asked::Ranking, query);
        }
        if std::mem::take(&mut state.wants.judgements)
            && let Some(set) = state.library.as_ref().and_then(|library| library.set.clone())
        {
            self.query(state, Asked::Judgements, Query::Judgements { set });
        }
        if std::mem::take(&mut state.wants.attribution) {
            let recipe = Box::new(state.recipe.edited.clone());
            self.query(state, Asked::Attribution, Query::Attribution { set: None, recipe });
        }
        if let Some(of) = state.wants.grid.take() {
            let query = Query::Grid { recipe: Box::new(state.recipe.edited.clone()), of: of.clone() };
            self.query(state, Asked::Grid(of), query);
        }
        for set in rankings {
            let recipe = Box::new(state.recipe.edited.clone());
            let query = Query::Ranking { set: Some(set.clone()), recipe, base: None };
            self.query(state, Asked::RankingOf(set), query);
        }
        if let Some(set) = state.library.as_ref().and_then(|l| l.set.clone()) {
            for image in groups {
                self.query(state, Asked::Group(image), Query::Group { set: set.clone(), image });
            }
        } else {
            state.wants.groups = groups;
        }
        for run in curves {
            self.query(state, Asked::Curves(run), Query::Curves { run, since: 0 });
        }
        for run in std::mem::take(&mut state.wants.learning) {
            let Some((start, last, step)) = state.curves.get(&run).and_then(|curves| curves.start_and_last()) else {
                continue;
            };
            let [start, last] = [start, last].map(|report| Box::new(report.clone()));
            self.query(state, Asked::Learning(run), Query::Learning { run, start, last, step });
        }
        for (source, metric) in state.maps.take_requests() {
            let query = Query::Map { source: source.clone(), metric: metric.clone() };
            if !self.query(state, Asked::Map(source.clone(), metric.clone()), query) {
                state.maps.not_asked(source, metric);
            }
        }
        later
    }

    /// Asks; false if the engine takes no more questions, which then are to be asked again.
    fn query(&self, state: &mut State, asked: Asked, query: Query) -> bool {
        let id = QueryId(self.engine.fresh_id());
        let sent = self.engine.send(Command::Ask { id, query }).is_ok();
        if sent {
            state.asked.insert(id, asked);
        } else {
            match asked {
                Asked::Library => state.wants.library = true,
                Asked::Weights => state.wants.weights = true,
                Asked::Attribution => state.wants.attribution = true,
                Asked::Memory => state.wants.memory = true,
                Asked::Preview(incoming) => state.wants.preview = Some(incoming),
                Asked::Ranking => state.wants.ranking = true,
                Asked::Judgements => state.wants.judgements = true,
                Asked::RankingOf(set) => drop(state.wants.rankings.insert(set)),
                Asked::Group(image) => drop(state.wants.groups.insert(image)),
                Asked::Curves(run) => drop(state.wants.curves.insert(run)),
                Asked::Learning(run) => drop(state.wants.learning.insert(run)),
                // A pane that shows it asks again.
                Asked::Picture(_) | Asked::Map(..) | Asked::Grid(_) => {}
            }
        }
        sent
    }
}
