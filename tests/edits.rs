//! What a person says while a job runs is written at once, beside it, and kept when the program ends right after.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{Answer, Command, Event, Job, JobId, JobState, Level, Query};
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::workspace::{CandidateSet, ImageId, OverrideKind, PairOverride, Workspace};

/// Sampled and scored within seconds.
const RECIPE: &str = r#"(
    data: (crop_px: 64, crops: 2, held_out_crops: 1),
    sampling: (m: 4, steps: 1, method: euler),
    reward: (fr: {"psnr": 1.0}, nr: {}, held_out: []),
    curation: (ratio: 0.5),
    training: (steps: 4, batch_pairs: 1, eval_every: 0, eval_seeds: 2),
)"#;

struct Client {
    engine: Engine,
    recipe: Recipe,
}

impl Client {
    fn new(dir: &Path) -> Self {
        let recipe = Recipe::from_ron(RECIPE, "test.ron").unwrap();
        let client = Self { engine: Engine::start(Arc::new(|| ())).unwrap(), recipe: recipe.clone() };
        client.start(Job::Create { dir: dir.into(), recipe: Box::new(recipe), example: true });
        // Not waited for: a job finds the workspace that was to be opened before it.
        client.done(client.start(Job::Generate { images: None }));
        client
    }

    fn start(&self, job: Job) -> JobId {
        self.engine.run(job).unwrap()
    }

    /// Waits until a job stands as asked for; what was heard until then.
    fn until(&self, id: JobId, is: impl Fn(&JobState) -> bool) -> Vec<Event> {
        let mut heard = Vec::new();
        loop {
            let event = self.engine.events().recv().unwrap();
            let found = matches!(&event, Event::Job { id: of, state } if *of == id && is(state));
            heard.push(event);
            if found {
                return heard;
            }
        }
    }

    fn done(&self, id: JobId) -> Vec<Event> {
        let heard = self.until(id, JobState::is_final);
        assert!(matches!(heard.last(), Some(Event::Job { state: JobState::Done(_), .. })), "{heard:?}");
        heard
    }

    /// Starts a job that does not end before the test does; the recipe asks for more seeds than are sampled meanwhile.
    fn long_sampling(&mut self) {
        self.recipe.set_assignment("m=500").unwrap();
        self.start(Job::SetRecipe(Box::new(self.recipe.clone())));
        let sampling = self.start(Job::Generate { images: None });
        self.until(sampling, |state| matches!(state, JobState::Progress(_)));
    }

    fn set_and_image(&self) -> (CandidateSet, ImageId) {
        self.engine.ask(Query::Library).unwrap();
        loop {
            if let Event::Answer { answer, .. } = self.engine.events().recv().unwrap() {
                let Ok(Answer::Library(library)) = answer else { panic!("{answer:?}") };
                let image = library.images.iter().find(|image| !image.is_held_out()).unwrap();
                return (library.set.clone().unwrap(), image.id);
            }
        }
    }
}

fn judge(set: &CandidateSet, image: ImageId, winner: u64, loser: u64) -> Job {
    let (kind, rater) = (OverrideKind::Flip, String::new());
    let verdict = PairOverride { image, winner_seed: winner, loser_seed: loser, kind, rater };
    Job::Judge { set: set.clone(), verdict: Box::new(verdict), is_taken_back: false }
}

#[test]
fn edits_do_not_wait_for_the_job_that_runs() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("ws");
    let mut client = Client::new(&dir);
    let (set, image) = client.set_and_image();
    let verdicts = || Workspace::open_read_only(&dir).unwrap().ledger().overrides(&set).unwrap().len();

    // A job that is held cannot end: whatever ends now does so beside it.
    let training = client.start(Job::Train { run: None, allow_partial: false });
    client.until(training, |state| matches!(state, JobState::Started));
    client.engine.send(Command::Pause(training)).unwrap();
    client.until(training, |state| matches!(state, JobState::Paused));
    let edit = client.start(judge(&set, image, 0, 1));
    client.done(edit);
    assert_eq!(verdicts(), 1);
    client.recipe.set_assignment("m=6").unwrap();
    client.done(client.start(Job::SetRecipe(Box::new(client.recipe.clone()))));
    let heard = client.done(client.start(Job::SetRemoved { images: vec![image], removed: true }));
    let is_removed = Workspace::open_read_only(&dir).unwrap().ledger().image(image).unwrap().removed;
    assert!(is_removed);
    assert!(
        !heard.iter().any(|event| matches!(event, Event::Job { id, state } if *id == training && state.is_final()))
    );

    // That the job has its pairs already is said.
    client.start(Job::SetRemoved { images: vec![image], removed: false });
    client.engine.send(Command::Resume(training)).unwrap();
    let heard = client.done(training);
    let is_said = |event: &Event| matches!(event, Event::Log { level: Level::Info, text } if text.contains("already stay as they were"));
    assert!(heard.iter().any(is_said), "{heard:?}");

    // A job given after an edit finds it, waited for or not.
    client.recipe.set_assignment("m=5").unwrap();
    client.start(Job::SetRecipe(Box::new(client.recipe.clone())));
    client.done(client.start(Job::Sample { images: None }));
    let ledger = Workspace::open_read_only(&dir).unwrap();
    assert_eq!(ledger.ledger().group(&set, image).unwrap().len(), 5);
}

/// `cargo test --release --test edits -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, of a machine with nothing else to do"]
fn edits_beside_a_job_are_on_disk_within_a_tenth_of_a_second() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("ws");
    let mut client = Client::new(&dir);
    let (set, image) = client.set_and_image();
    client.long_sampling();
    let mut took: Vec<Duration> = (0..100)
        .map(|n| {
            std::thread::sleep(Duration::from_millis(37));
            let began = Instant::now();
            client.done(client.start(judge(&set, image, n % 2, 2 + n % 2)));
            began.elapsed()
        })
        .collect();
    took.sort();
    println!("edits beside sampling: median {:?}, 95 % {:?}, longest {:?}", took[50], took[95], took[99]);
    assert!(took[95] < Duration::from_millis(100), "{took:?}");
}

#[test]
fn an_edit_given_just_before_the_end_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("ws");
    let mut client = Client::new(&dir);
    let (set, image) = client.set_and_image();
    client.long_sampling();
    client.start(judge(&set, image, 0, 1));
    client.start(judge(&set, image, 2, 3));
    drop(client);
    let workspace = Workspace::open(&dir).unwrap();
    assert_eq!(workspace.ledger().overrides(&set).unwrap().len(), 2);
    assert!(workspace.ledger().group(&set, image).unwrap().len() < 500, "the job was cancelled");
}

#[test]
fn what_is_open_stays_open_where_another_cannot_be_opened() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("ws");
    let client = Client::new(&dir);
    let failed = |job| {
        let id = client.start(job);
        let heard = client.until(id, JobState::is_final);
        let Some(Event::Job { state: JobState::Failed(cause), .. }) = heard.last() else { panic!("{heard:?}") };
        assert!(!heard.iter().any(|event| matches!(event, Event::Closed | Event::Opened(_))), "{heard:?}");
        cause.clone()
    };
    let nowhere = home.path().join("nowhere");
    assert!(failed(Job::Open { dir: nowhere, or_look: true }).contains("no such directory"));
    let full = home.path().to_owned();
    assert!(failed(Job::Create { dir: full, recipe: Box::default(), example: false }).contains("of its own"));
    client.done(client.start(Job::Generate { images: None }));
    // The same one again, with a mistake in it: then none is open.
    std::fs::write(dir.join("workspace.ron"), "(").unwrap();
    let id = client.start(Job::Open { dir, or_look: true });
    let heard = client.until(id, JobState::is_final);
    assert!(heard.iter().any(|event| matches!(event, Event::Closed)), "{heard:?}");
}

#[test]
fn a_workspace_in_use_is_looked_at_until_it_can_be_written() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("ws");
    let first = Client::new(&dir);
    let second = Client { engine: Engine::start(Arc::new(|| ())).unwrap(), recipe: Recipe::default() };
    let open = || second.start(Job::Open { dir: dir.clone(), or_look: true });
    let held_by = |heard: &[Event]| {
        heard.iter().find_map(|event| match event {
            Event::Opened(opened) => Some(opened.held_by.clone()),
            _ => None,
        })
    };
    assert!(held_by(&second.done(open())).unwrap().unwrap().contains("process"));
    let (set, image) = second.set_and_image();
    let id = second.start(judge(&set, image, 0, 1));
    let heard = second.until(id, JobState::is_final);
    let Some(Event::Job { state: JobState::Failed(cause), .. }) = heard.last() else { panic!("{heard:?}") };
    assert!(cause.contains("reading only"), "{cause}");
    assert_eq!(held_by(&second.done(open())), None, "still in use: nothing changes");
    drop(first);
    assert_eq!(held_by(&second.done(open())), Some(None));
    second.done(second.start(judge(&set, image, 0, 1)));
}
