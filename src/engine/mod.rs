//! The engine: everything that computes, behind one protocol of commands and events.
//!
//! * [`protocol`]: what clients say and hear; [`added`], [`imported`], [`failures`]: what adding and importing came to, what of a job could not be done.
//!   [`progress`], [`control`]: how far a job is; pause and cancel.
//! * [`previews`]: what would come in, before it does. `plan`: which candidates a recipe means, and how they are drawn.
//! * [`devices`]: what to compute on. `thread`: owns device and models, and runs the [`protocol::Job`]s of `jobs` one by one,
//!   as `queue` orders them, each with a `voice` to and from the client; small edits of the workspace on a lane of their own, beside the job that runs.
//! * `viewer`: answers [`protocol::Query`]s from a reader of its own. [`ranking`], [`metrics`]: from the ledger to the
//!   method; [`grid`]: one number of every candidate. [`parts`], [`memory_need`]: the published weights and the memory that a recipe needs.
//!
//! A panic in a job becomes a failed job; the engine lives on.

pub mod added;
mod batch;
pub mod bench;
mod context;
pub mod control;
mod damage;
pub mod devices;
mod emitter;
mod external;
pub mod failures;
pub mod grid;
pub mod imported;
mod jobs;
pub mod memory_need;
mod memory_plan;
pub mod metrics;
mod model;
mod models;
pub mod parts;
mod plan;
pub mod previews;
pub mod progress;
pub mod protocol;
mod queue;
pub mod ranking;
mod reading;
pub mod references;
mod suspects;
mod thread;
mod viewer;
mod voice;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::nn::workers::STACK_BYTES;
use crate::weights::Store;
use crate::{Error, Result};
use context::Context;
use devices::SharedDevice;
use emitter::Emitter;
pub use emitter::Wake;
use protocol::{Command, Event, Job, JobId, JobState, Query, QueryId};
use queue::{Queue, Taken};

/// Events that may wait for a client before the engine waits for it.
const EVENTS: usize = 4096;
/// Jobs and queries that may wait.
const WAITING: usize = 1024;

/// A running engine. Dropping it cancels what runs, and waits for the threads to end and for edits to be written.
pub struct Engine {
    queue: Arc<Queue>,
    queries: Sender<(QueryId, Query)>,
    maps: Sender<(QueryId, Query)>,
    /// Ends the map that is computed.
    stop_maps: Arc<AtomicBool>,
    events: Receiver<Event>,
    emitter: Emitter,
    next_id: AtomicU64,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts the threads. `wake` is called after each event. Weights are found where this machine has them.
    pub fn start(wake: Wake) -> Result<Self> {
        Self::start_with(wake, Store::of_machine(&[], false))
    }

    /// Like [`start`](Self::start), with `store` to find weights.
    pub fn start_with(wake: Wake, store: Store) -> Result<Self> {
        Self::start_on(&SharedDevice::default(), wake, store)
    }

    /// Like [`start_with`](Self::start_with), computing on `device`, which is opened when it is first needed.
    pub fn start_on(device: &SharedDevice, wake: Wake, store: Store) -> Result<Self> {
        let (sender, events) = bounded(EVENTS);
        let (queries, asked) = bounded(WAITING);
        let (maps, asked_maps) = bounded(WAITING);
        let stop_maps = Arc::new(AtomicBool::new(false));
        let emitter = Emitter::new(sender, wake);
        let queue = Arc::new(Queue::default());
        let (opened, openings) = bounded(16);
        // A map may take a minute; who opens workspaces does not wait for it.
        let (opened_maps, openings_maps) = unbounded();
        let suspects = suspects::Suspects::default();
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            let builder = std::thread::Builder::new().name(name.into()).stack_size(STACK_BYTES);
            builder.spawn(body).map_err(|e| Error::invalid(format!("a thread could not be started: {e}")))
        };
        let compute = {
            let (emitter, suspects) = (emitter.clone(), suspects.clone());
            let openings = [opened, opened_maps];
            let context =
                Context::new(emitter.clone(), openings, suspects, store.clone(), device.clone(), queue.cancelled());
            let queue = queue.clone();
            let editor = Arc::new(Mutex::new(context.of_edits(emitter)));
            let edits = spawn("edits", {
                let (queue, editor) = (queue.clone(), editor.clone());
                Box::new(move || thread::run_edits(&queue, &editor))
            })?;
            let context = context.with_edits(editor);
            [spawn("engine", Box::new(move || thread::run(&queue, context)))?, edits]
        };
        let viewer = {
            let (emitter, suspects, store) = (emitter.clone(), suspects.clone(), store.clone());
            let device = device.clone();
            spawn("viewer", Box::new(move || viewer::run(&asked, &openings, &emitter, suspects, store, device)))?
        };
        let mapper = {
            let (emitter, stop, device) = (emitter.clone(), stop_maps.clone(), device.clone());
            let run = move || viewer::run_maps(&asked_maps, &openings_maps, &emitter, suspects, store, device, stop);
            spawn("maps", Box::new(run))?
        };
        let threads = compute.into_iter().chain([viewer, mapper]).collect();
        Ok(Self { queue, queries, maps, stop_maps, events, emitter, next_id: AtomicU64::new(1), threads })
    }

    /// An id that was not used before in this engine.
    pub fn fresh_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Events, in the order they came.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// Gives a command; never waits. Errors: too much is waiting already, or the engine is closed.
    pub fn send(&self, command: Command) -> Result<()> {
        match command {
            Command::Start { id, job } => {
                if !self.queue.give(id, job, WAITING) {
                    return Err(Error::invalid("the engine takes no more jobs"));
                }
            }
            Command::Cancel(id) => {
                if self.queue.cancel(id) == Taken::Waiting {
                    let event = Event::Job { id, state: JobState::Cancelled };
                    // Not the blocking way: this is the client's thread, which is the one that drains the channel.
                    self.emitter.try_send(event);
                }
            }
            Command::Pause(id) => self.queue.set_pause(id, true),
            Command::Resume(id) => self.queue.set_pause(id, false),
            Command::Ask { id, query } => {
                let lane = if matches!(query, Query::Map { .. }) { &self.maps } else { &self.queries };
                lane.try_send((id, query)).map_err(|_| Error::invalid("the engine takes no more queries"))?
            }
            Command::Close => self.close(),
        }
        Ok(())
    }

    /// Starts a job under a fresh id.
    pub fn run(&self, job: Job) -> Result<JobId> {
        let id = JobId(self.fresh_id());
        self.send(Command::Start { id, job })?;
        Ok(id)
    }

    /// Asks under a fresh id.
    pub fn ask(&self, query: Query) -> Result<QueryId> {
        let id = QueryId(self.fresh_id());
        self.send(Command::Ask { id, query })?;
        Ok(id)
    }

    fn close(&self) {
        self.queue.close();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
        // Those who look end when nobody can ask any more; events are drained so that no thread waits for room.
        self.stop_maps.store(true, Ordering::Relaxed);
        for lane in [&mut self.queries, &mut self.maps] {
            let (nobody, _) = bounded(0);
            drop(std::mem::replace(lane, nobody));
        }
        for thread in self.threads.drain(..) {
            while !thread.is_finished() {
                while self.events.try_recv().is_ok() {}
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            // A panic outside of a job has been printed already; there is nothing left to save here.
            let _ = thread.join();
        }
    }
}
