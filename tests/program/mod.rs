//! The whole way of a backbone through the engine, on small weights of all its tensors.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{AddImages, Command, Event, Job, JobId, JobState, Outcome, Role, WeightsForm};
use dp2o_studio::imaging::{Image, encode};
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::random::Random;
use dp2o_studio::weights::{Source, Store};
use dp2o_studio::workspace::{Split, SplitChoice, StepRow, Workspace};

/// The small weights of a backbone.
pub fn fixtures(backbone: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(backbone)
}

/// An engine that finds weights in some folders, of which the first counts.
pub fn engine(folders: &[PathBuf]) -> Engine {
    Engine::start_with(Arc::new(|| ()), Store::of_folders(folders, true)).unwrap()
}

pub fn wait(engine: &Engine, mut wanted: impl FnMut(&Event) -> bool) -> Event {
    let mut is_it = |event: &Event| match event {
        Event::Job { state: JobState::Failed(cause), .. } => panic!("{cause}"),
        event => wanted(event),
    };
    engine.events().iter().find(|event| is_it(event)).expect("the engine goes on")
}

pub fn is(id: JobId, wanted: fn(&JobState) -> bool) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Job { id: of, state } if *of == id && wanted(state))
}

pub fn done(engine: &Engine, job: Job) -> Outcome {
    let id = engine.run(job).unwrap();
    match wait(engine, is(id, |state| matches!(state, JobState::Done(_)))) {
        Event::Job { state: JobState::Done(outcome), .. } => outcome,
        other => panic!("{other:?}"),
    }
}

pub fn sampled(engine: &Engine) -> usize {
    match done(engine, Job::Sample { images: None }) {
        Outcome::Sampled { candidates, failed } => {
            assert!(failed.is_empty(), "{failed:?}");
            candidates
        }
        other => panic!("{other:?}"),
    }
}

pub fn picture(key: u64) -> Image {
    let noise = Random::new(key, 8).normal_image(3, 64, 64);
    Image::new(64, 64, noise.iter().map(|v| (0.5 + 0.1 * v).clamp(0.0, 1.0)).collect()).unwrap()
}

/// A workspace with two images to train on, of which one has a prompt, and two that are held out.
pub fn workspace(engine: &Engine, root: &Path, recipe: &Recipe) {
    let folder = root.with_extension("hr");
    std::fs::create_dir_all(&folder).unwrap();
    done(engine, Job::Create { dir: root.to_owned(), recipe: Box::new(recipe.clone()), example: false });
    for (first, split) in [(0, SplitChoice::default()), (2, SplitChoice::Fixed(Split::Test))] {
        let dir = folder.join(first.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        for key in first..first + 2 {
            encode::write_png(dir.join(format!("{key}.png")), &picture(key)).unwrap();
        }
        std::fs::write(dir.join(format!("{first}.txt")), "a stone wall, moss\n").unwrap();
        let add = AddImages { paths: vec![dir], split, role: Some(Role::Hr), crops: 1, ..AddImages::default() };
        match done(engine, Job::Add(add)) {
            Outcome::Added(added) => assert_eq!(added.images, 2, "{added:?}"),
            other => panic!("{other:?}"),
        }
    }
}

/// Trains a run and cancels it after its first step.
pub fn stop_after_a_step(engine: &Engine, run: &str) {
    let id = engine.run(Job::Train { run: Some(run.into()), allow_partial: false }).unwrap();
    wait(engine, |event| matches!(event, Event::Step { row, .. } if row.step == 1));
    engine.send(Command::Cancel(id)).unwrap();
    wait(engine, is(id, |state| matches!(state, JobState::Cancelled | JobState::Done(_))));
}

/// Why a job fails.
pub fn failed(engine: &Engine, job: Job) -> String {
    let id = engine.run(job).unwrap();
    let cause = engine.events().iter().find_map(|event| match event {
        Event::Job { id: of, state: JobState::Failed(cause) } if of == id => Some(cause),
        Event::Job { id: of, state: JobState::Done(outcome) } if of == id => panic!("{outcome:?}"),
        _ => None,
    });
    cause.expect("the engine goes on")
}

/// What is logged of each step but for the time it took.
pub fn steps(root: &Path, run: &str) -> Vec<StepRow> {
    let workspace = Workspace::open_read_only(root).unwrap();
    let run = workspace.ledger().run_by_name(run).unwrap().unwrap();
    let rows = workspace.ledger().steps_since(run.id, 0).unwrap();
    rows.into_iter().map(|row| StepRow { seconds: 0.0, extra: None, ..row }).collect()
}

pub fn export(engine: &Engine, checkpoint: &str, path: &Path, form: WeightsForm) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let job = Job::ExportWeights { checkpoint: checkpoint.into(), path: path.to_owned(), form, overwrite: false };
    done(engine, job);
}

/// Names, shapes and values of a file.
pub fn tensors(path: &Path) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let source = Source::open(path).unwrap();
    let values = |name: &str, shape: &[usize]| source.floats(name, shape).unwrap();
    source.iter().map(|(name, _, shape)| (name.to_owned(), shape.to_vec(), values(name, shape))).collect()
}

pub fn shapes(path: &Path) -> Vec<(String, Vec<usize>)> {
    tensors(path).into_iter().map(|(name, shape, _)| (name, shape)).collect()
}
