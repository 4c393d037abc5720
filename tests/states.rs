//! When the training state is written: not after every step, but before a pause, when a run is stopped, and as often as the
//! recipe says; and what a run that was stopped makes of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{Command, Event, Job, JobId, JobState};
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::nn::state;
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
    let engine = Engine::start(Arc::new(|| ())).unwrap();
    finish(&engine, Job::Create { dir: dir.into(), recipe: Box::new(recipe(settings)), example: true });
    finish(&engine, Job::Generate { images: None });
    engine
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
    engine.send(Command::Pause).unwrap();
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
    engine.send(Command::Resume).unwrap();

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
