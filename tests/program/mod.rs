//! The whole way of a backbone through the engine, on small weights of all its tensors.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dp2o_studio::backbones::registry;
use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{AddImages, Command, Event, Job, JobId, JobState, Outcome, Role, WeightsForm};
use dp2o_studio::imaging::{Image, encode};
use dp2o_studio::method::provenance::On;
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::random::Random;
use dp2o_studio::weights::{Source, Store};
use dp2o_studio::workspace::{Split, SplitChoice, StepRow, Workspace};

/// A backbone on small weights, and what is done with it.
pub struct Small {
    pub name: &'static str,
    pub recipe: &'static str,
    /// The released ControlNet, in the published folders.
    pub control: &'static str,
    /// Low-rank factors are more than this.
    pub factors: usize,
    /// Names a folder where what was written is kept, for `make_NAME.py --check`.
    pub keep: &'static str,
}

/// The workspace of a backbone, with a run of three steps called `whole`.
pub struct Trained {
    pub home: tempfile::TempDir,
    pub engine: Engine,
    pub root: PathBuf,
    recipe: Recipe,
}

impl Trained {
    pub fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }
}

impl Small {
    fn recipe(&self) -> Recipe {
        Recipe::from_ron(self.recipe, format!("{}.ron", self.name)).unwrap()
    }

    pub fn released(&self) -> PathBuf {
        fixtures(self.name).join(self.control)
    }

    /// Adds, prompts, samples, scores, curates, trains at one go, and stopped in between: the same steps; and compares.
    pub fn trained(&self) -> Trained {
        let home = tempfile::tempdir().unwrap();
        let (root, recipe) = (home.path().join("ws"), self.recipe());
        let folders = [home.path().to_owned(), fixtures(self.name)];
        let first = engine(&folders);
        workspace(&first, &root, &recipe);
        assert_eq!(sampled(&first), 16);
        done(&first, Job::Score);
        match done(&first, Job::Curate { allow_partial: false }) {
            Outcome::Curated { .. } => {}
            other => panic!("{other:?}"),
        }
        done(&first, train("whole"));
        stop_after_a_step(&first, "stopped");
        drop(first);
        let engine = engine(&folders);
        done(&engine, Job::Open { dir: root.clone(), or_look: false });
        done(&engine, train("stopped"));
        let (whole, stopped) = (steps(&root, "whole"), steps(&root, "stopped"));
        assert_eq!(whole.len(), 3);
        assert!(whole == stopped, "{whole:?}\n{stopped:?}");
        assert!(
            (whole[0].margin.abs() < 1e-9) && whole[0].grad_norm > 0.0 && whole[2].margin.abs() > 1e-9,
            "{whole:?}"
        );
        let compare = Job::Compare { a: "reference".into(), b: "whole@3".into(), seeds: Some(2), on: On::Test };
        match done(&engine, compare) {
            Outcome::Compared(compared) => assert!(compared.report.comparison.images > 0),
            other => panic!("{other:?}"),
        }
        Trained { home, engine, root, recipe }
    }

    /// Writes the run's ControlNet whole and in half precision: the released tensors and nothing else; and opens the one as the
    /// published one. Returns its tensors.
    pub fn written(&self, of: &Trained) -> Tensors {
        let (tuned, half) = (of.at("tuned").join(self.control), of.at("half.safetensors"));
        export(&of.engine, "whole@3", &tuned, WeightsForm::Whole);
        export(&of.engine, "whole@3", &half, WeightsForm::Half);
        let released = shapes(&self.released());
        assert!(shapes(&tuned) == released && shapes(&half) == released);
        let trained = tensors(&tuned);
        for ((name, _, whole), (_, _, half)) in trained.iter().zip(tensors(&half)) {
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 5e-4 * a.abs().max(1e-3);
            assert!(whole.iter().zip(&half).all(close), "{name}");
        }
        let store = Store::of_folders(&[of.at("tuned"), fixtures(self.name)], true);
        let again = registry::open(self.name, &Compute::cpu(), &store).unwrap().reference().unwrap();
        for (name, tensor) in again.tensors().unwrap() {
            let (_, _, values) = trained.iter().find(|(other, ..)| other == name).unwrap();
            assert!(&tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap() == values, "{name}");
        }
        trained
    }

    /// Trains low rank, and writes the factors apart, and merged into the released tensors; keeps all that was written where that
    /// is asked for.
    pub fn of_low_rank(&self, of: &Trained) {
        let mut recipe = of.recipe.clone();
        for setting in ["mode=lora", "lora_rank=2", "training.steps=2"] {
            recipe.set_assignment(setting).unwrap();
        }
        done(&of.engine, Job::SetRecipe(Box::new(recipe)));
        done(&of.engine, train("low"));
        let [factors, merged] = ["factors.safetensors", "merged.safetensors"].map(|name| of.at(name));
        export(&of.engine, "low@2", &factors, WeightsForm::Factors);
        export(&of.engine, "low@2", &merged, WeightsForm::Whole);
        let factors = shapes(&factors);
        assert!(factors.iter().all(|(name, _)| name.ends_with(".lora_a") || name.ends_with(".lora_b")), "{factors:?}");
        assert!(shapes(&merged) == shapes(&self.released()) && factors.len() > self.factors, "{}", factors.len());
        let (checkpoint, path) = ("whole@3".into(), of.at("none.safetensors"));
        let job = Job::ExportWeights { checkpoint, path, form: WeightsForm::Factors, overwrite: false };
        assert!(failed(&of.engine, job).contains("no low-rank factors"));
        if let Some(keep) = std::env::var_os(self.keep).map(PathBuf::from) {
            std::fs::copy(of.at("tuned").join(self.control), keep.join("whole.safetensors")).unwrap();
            for name in ["half.safetensors", "merged.safetensors"] {
                std::fs::copy(of.at(name), keep.join(name)).unwrap();
            }
        }
    }

    /// Trains in processes that are killed on their way: the steps of one that was not, to the bit.
    pub fn killed_again_and_again(&self) {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("ws");
        let mut recipe = self.recipe();
        for setting in ["training.steps=8", "batch=1", "state_every_steps=1"] {
            recipe.set_assignment(setting).unwrap();
        }
        let engine = engine(&[fixtures(self.name)]);
        workspace(&engine, &root, &recipe);
        sampled(&engine);
        done(&engine, Job::Score);
        drop(engine);
        assert!(self.training(&root, "whole").wait().unwrap().success());
        let mut kills = 0;
        for wanted in [2, 4] {
            let mut child = self.training(&root, "killed");
            // Its own weights are opened first; nothing waits longer than a hanging program may.
            for _ in 0..6000 {
                if made(&root, "killed") >= wanted || child.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            child.kill().unwrap();
            kills += usize::from(!child.wait().unwrap().success());
        }
        assert!(kills > 0, "every run ended before it could be killed");
        assert!(self.training(&root, "killed").wait().unwrap().success());
        let (whole, killed) = (steps(&root, "whole"), steps(&root, "killed"));
        assert_eq!(whole.len(), 8);
        assert!(whole == killed, "{whole:?}\n{killed:?}");
    }

    /// `upscale` with all that is said of a picture of odd sides (83×125, so 332×500 px) and a prompt that is longer than the
    /// encoders read, twice the same; and `noise` of the same seed. Returns names and shapes of that noise.
    pub fn drawn_by_the_command_line(&self, guidance: &str, negative: &[&str]) -> Vec<(String, Vec<usize>)> {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name).display().to_string();
        let values = (0..3 * 83 * 125).map(|i| (i % 89) as f32 / 88.0).collect();
        encode::write_png(home.path().join("lr.png"), &Image::new(83, 125, values).unwrap()).unwrap();
        let run = |arguments: &[&str]| {
            let mut command = Program::new(env!("CARGO_BIN_EXE_dp2o-studio"));
            command
                .env("HOME", home.path())
                .args(arguments)
                .arg("--unverified")
                .arg("--weights")
                .arg(fixtures(self.name));
            let output = command.output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{stderr}");
            stderr
        };
        let prompt = "stone, ".repeat(60);
        let picture = |out: &str| {
            let (lr, out) = (at("lr.png"), at(out));
            let of = ["upscale", &lr, "--out", &out, "--backbone", self.name, "--prompt", &prompt, "--seed", "3"];
            let said = run(&[&of[..], negative, &["--steps", "2", "--guidance", guidance]].concat());
            assert!(
                said.contains("120 tokens long") && said.contains("reads the first 75")
                    || said.contains("the first 75 are read"),
                "{said}"
            );
            let mut written = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
            let picture = written.find(|path| path.extension().is_some_and(|e| e == "png")).unwrap();
            dp2o_studio::imaging::decode::read(picture).unwrap()
        };
        let (first, second) = (picture("first"), picture("second"));
        assert_eq!((first.width(), first.height()), (332, 500));
        assert!(first == second, "a seed's picture is the same each time");
        let out = at("noise.safetensors");
        run(&["noise", "--backbone", self.name, "--seed", "3", "--size", "332x500", "--steps", "2", "--out", &out]);
        shapes(Path::new(&out))
    }

    /// The program itself, training.
    fn training(&self, root: &Path, run: &str) -> Child {
        let mut program = Program::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        program.stdout(Stdio::null()).stderr(Stdio::null());
        program.arg("train").arg(root).args(["--run", run, "--unverified", "--weights"]).arg(fixtures(self.name));
        program.spawn().unwrap()
    }
}

pub fn train(run: &str) -> Job {
    Job::Train { run: Some(run.into()), allow_partial: false }
}

/// Steps of a run so far.
fn made(root: &Path, run: &str) -> usize {
    let Ok(workspace) = Workspace::open_read_only(root) else { return 0 };
    let found = workspace.ledger().run_by_name(run).ok().flatten();
    found.map_or(0, |run| workspace.ledger().steps_since(run.id, 0).unwrap_or_default().len())
}

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
    let id = engine.run(train(run)).unwrap();
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
pub type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

pub fn tensors(path: &Path) -> Tensors {
    let source = Source::open(path).unwrap();
    let values = |name: &str, shape: &[usize]| source.floats(name, shape).unwrap();
    source.iter().map(|(name, _, shape)| (name.to_owned(), shape.to_vec(), values(name, shape))).collect()
}

pub fn shapes(path: &Path) -> Vec<(String, Vec<usize>)> {
    tensors(path).into_iter().map(|(name, shape, _)| (name, shape)).collect()
}
