//! When the training state is written: not after every step, but before a pause, when a run is stopped, and as often as the
//! recipe says; and what a run that was stopped makes of it. The same on several devices: what they make, and that they are held
//! and stopped as one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dp2o_studio::engine::Engine;
use dp2o_studio::engine::devices::SharedDevice;
use dp2o_studio::engine::protocol::{Answer, Change, Command, Event, Job, JobId, JobState, Query, Source};
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::nn::state;
use dp2o_studio::weights::Store;
use dp2o_studio::workspace::{StepRow, Workspace};

const STATE: &str = "runs/run-1/training.state";

fn recipe(settings: &[&str]) -> Recipe {
    let mut recipe = Recipe::default();
    let small = [
        "crop=64",
        "crops=2",
        "data.held_out_crops=2",
        "m=4",
        "sampling_steps=1",
        "sampling.method=euler",
        "fr=psnr",
        "nr=brisque",
        "held_out=ssim",
        "batch=1",
        "mode=lora",
        "lora_rank=1",
        "steps=6",
        "eval_every=0",
        "eval_seeds=2",
        "checkpoint_every=0",
        "state_every_secs=0",
    ];
    small.iter().chain(settings).for_each(|setting| recipe.set_assignment(setting).unwrap());
    recipe
}

/// Waits until an event is wanted; a failed job ends the test.
fn wait(engine: &Engine, mut wanted: impl FnMut(&Event) -> bool) {
    let mut is_it = |event: &Event| match event {
        Event::Job { state: JobState::Failed(cause), .. } => panic!("{cause}"),
        event => wanted(event),
    };
    assert!(engine.events().iter().any(|event| is_it(&event)), "the engine ended");
}

fn is(id: JobId, wanted: fn(&JobState) -> bool) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Job { id: of, state } if *of == id && wanted(state))
}

fn finish(engine: &Engine, job: Job) {
    let id = engine.run(job).unwrap();
    wait(engine, is(id, |state| matches!(state, JobState::Done(_))));
}

fn begun(dir: &Path, settings: &[&str]) -> Engine {
    begun_on("cpu", dir, settings)
}

fn begun_on(device: &str, dir: &Path, settings: &[&str]) -> Engine {
    let engine = engine_on(device);
    finish(&engine, Job::Create { dir: dir.into(), recipe: Box::new(recipe(settings)), example: true });
    finish(&engine, Job::Generate { images: None });
    engine
}

fn engine_on(device: &str) -> Engine {
    let device = SharedDevice::new(device.parse().unwrap());
    Engine::start_on(&device, Arc::new(|| ()), Store::of_machine(&[], false)).unwrap()
}

/// What is logged of each step but for the time it took.
fn steps(dir: &Path) -> Vec<StepRow> {
    let workspace = Workspace::open_read_only(dir).unwrap();
    let ledger = workspace.ledger();
    let run = ledger.run_by_name("run-1").unwrap().unwrap();
    let rows = ledger.steps_since(run.id, 0).unwrap();
    rows.into_iter().map(|row| StepRow { seconds: 0.0, ..row }).collect()
}

fn saved_step(dir: &Path) -> Option<u64> {
    File::open(dir.join(STATE)).ok().and_then(state::step_of)
}

#[test]
fn a_pause_and_a_stop_write_the_state_and_the_run_goes_on_from_it() {
    let temporary = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| temporary.path().join(name));
    let train = || Job::Train { run: None, allow_partial: false };
    let engine = begun(&whole, &[]);
    finish(&engine, train());
    drop(engine);
    assert_eq!((steps(&whole).len(), saved_step(&whole)), (6, None), "the run is over");

    let engine = begun(&stopped, &[]);
    let id = engine.run(train()).unwrap();
    wait(&engine, |event| matches!(event, Event::Step { row, .. } if row.step == 2));
    engine.send(Command::Pause(id)).unwrap();
    wait(&engine, is(id, |state| matches!(state, JobState::Paused)));
    let held_at = steps(&stopped).len() as u64;
    assert!(
        (2..6).contains(&held_at) && saved_step(&stopped) == Some(held_at),
        "{held_at}, {:?}",
        saved_step(&stopped)
    );
    engine.send(Command::Cancel(id)).unwrap();
    wait(&engine, is(id, |state| matches!(state, JobState::Cancelled)));
    assert_eq!(saved_step(&stopped), Some(held_at));

    // Stopped without a pause before.
    let id = engine.run(train()).unwrap();
    wait(&engine, |event| matches!(event, Event::Step { .. }));
    engine.send(Command::Cancel(id)).unwrap();
    wait(&engine, is(id, |state| matches!(state, JobState::Cancelled | JobState::Done(_))));
    let made = steps(&stopped).len() as u64;
    assert!(made > held_at && (saved_step(&stopped) == Some(made) || made == 6), "{made}, {:?}", saved_step(&stopped));
    finish(&engine, train());
    drop(engine);
    assert!(steps(&stopped) == steps(&whole), "the steps are others");
    assert_eq!(saved_step(&stopped), None);
}

#[test]
fn the_state_is_written_as_often_as_the_recipe_says() {
    let temporary = tempfile::tempdir().unwrap();
    // Neither steps nor seconds: nothing but a checkpoint, a pause or a stop writes it.
    for (every, due) in [(4, &[4, 8, 12, 16][..]), (0, &[])] {
        let dir = temporary.path().join(every.to_string());
        let engine = begun(&dir, &["steps=20", &format!("state_every_steps={every}")]);
        let is_over = Arc::new(AtomicBool::new(false));
        let watcher = std::thread::spawn({
            let (dir, is_over) = (dir.clone(), is_over.clone());
            move || {
                let mut seen = BTreeSet::new();
                while !is_over.load(Ordering::Relaxed) {
                    seen.extend(saved_step(&dir));
                    std::thread::sleep(Duration::from_millis(1));
                }
                seen
            }
        });
        finish(&engine, Job::Train { run: None, allow_partial: false });
        is_over.store(true, Ordering::Relaxed);
        let seen = watcher.join().unwrap();
        assert!(seen.iter().all(|step| due.contains(step)) && seen.is_empty() == due.is_empty(), "{seen:?}");
    }
}

/// Everything that was made, by name: pictures, scores, pairs, weights.
fn made(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![dir.join("candidates"), dir.join("runs")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().display().to_string();
            match path.extension().and_then(|e| e.to_str()) {
                _ if path.is_dir() => open.push(path),
                Some("png" | "safetensors" | "jsonl") => drop(all.insert(name, std::fs::read(path).unwrap())),
                _ => {}
            }
        }
    }
    let workspace = Workspace::open_read_only(dir).unwrap();
    let ledger = workspace.ledger();
    let run = ledger.run_by_name("run-1").unwrap().unwrap();
    let rows: Vec<StepRow> = ledger.steps_since(run.id, 0).unwrap();
    let rows: Vec<StepRow> = rows.into_iter().map(|row| StepRow { seconds: 0.0, ..row }).collect();
    all.insert("steps".into(), format!("{rows:?}").into_bytes());
    let evaluations = ledger.evaluations(run.id).unwrap().into_iter().map(|row| row.report);
    all.insert("evaluations".into(), evaluations.collect::<String>().into_bytes());
    all
}

#[test]
fn two_devices_make_what_one_makes_to_the_last_bit() {
    let temporary = tempfile::tempdir().unwrap();
    let settings = ["mode=full", "batch=2", "accumulation=3", "steps=2", "eval_every=1", "crop=48"];
    let [one, two] = ["cpu", "cpu:2"].map(|device| {
        let dir = temporary.path().join(device.replace(':', "-"));
        let engine = begun_on(device, &dir, &settings);
        finish(&engine, Job::Train { run: None, allow_partial: false });
        drop(engine);
        made(&dir)
    });
    assert!(one.len() > 20 && one.keys().any(|name| name.ends_with(".safetensors")), "{:?}", one.keys());
    assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
    for (name, bytes) in &one {
        assert!(bytes == &two[name], "{name}");
    }
}

/// A job that is held says so once, however many devices work for it; whoever looks waits for none of it, and the pause is its
/// own.
#[test]
fn two_devices_are_held_and_stopped_as_one_and_a_map_does_not_wait_for_them() {
    for device in ["cpu", "cpu:2"] {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("ws");
        let engine = engine_on(device);
        let recipe = recipe(&["crop=64", "m=8", "sampling_steps=8"]);
        finish(&engine, Job::Create { dir: dir.clone(), recipe: Box::new(recipe), example: true });
        let id = engine.run(Job::Generate { images: None }).unwrap();
        let mut image = None;
        wait(&engine, |event| match event {
            Event::Changed(Change::Candidates(id)) => {
                image = Some(*id);
                true
            }
            _ => false,
        });
        engine.ask(Query::Library).unwrap();
        let mut set = None;
        wait(&engine, |event| match event {
            Event::Answer { answer: Ok(Answer::Library(library)), .. } => {
                set = library.set.clone();
                true
            }
            _ => false,
        });
        // A seed that is there by now: any of the first batch.
        let (set, image) = (set.unwrap(), image.unwrap());
        let seed = Workspace::open_read_only(&dir).unwrap().ledger().group(&set, image).unwrap()[0].seed;
        let source = Source::Candidate { set, image, seed };
        let asked = engine.ask(Query::Map { source, metric: "ssim".into() }).unwrap();
        wait(&engine, |event| match event {
            Event::Job { id: of, state } if *of == id => panic_if_final(state),
            Event::Answer { id: of, answer } if *of == asked => {
                assert!(matches!(answer, Ok(Answer::Map(_))), "{answer:?}");
                true
            }
            _ => false,
        });

        engine.send(Command::Pause(id)).unwrap();
        wait(&engine, is(id, |state| matches!(state, JobState::Paused)));
        let next = engine.run(Job::Sample { images: Some(vec![image]) }).unwrap();
        // Within one step of the sampler, a batch that was at its end included.
        std::thread::sleep(Duration::from_millis(1200));
        let count = || Workspace::open_read_only(&dir).unwrap().summary().unwrap().counts.candidates;
        let held_at = count();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(count(), held_at, "{device}: it goes on");
        let again = engine.events().try_iter().any(|event| is(id, |state| matches!(state, JobState::Paused))(&event));
        assert!(!again, "{device}: held twice");

        engine.send(Command::Resume(id)).unwrap();
        wait(&engine, is(id, |state| matches!(state, JobState::Resumed)));
        engine.send(Command::Pause(id)).unwrap();
        wait(&engine, is(id, |state| matches!(state, JobState::Paused)));
        engine.send(Command::Cancel(id)).unwrap();
        wait(&engine, is(id, |state| matches!(state, JobState::Cancelled)));
        // The pause was the other's.
        wait(&engine, is(next, |state| matches!(state, JobState::Done(_))));
        assert!(count() >= held_at.max(8), "{device}");
    }
}

fn panic_if_final(state: &JobState) -> bool {
    assert!(!state.is_final(), "the job has ended before the map: {state:?}");
    false
}
