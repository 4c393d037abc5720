//! Settings on their way through the engine: what cannot have an effect is refused, what only costs memory or time does not
//! begin a run anew, what does is said first; and weights are those that were recorded.

use std::path::Path;
use std::sync::Arc;

use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{Command, Event, Job, JobState, Level};
use dp2o_studio::method::provenance::On;
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::workspace::{RunState, Workspace};

/// Sampled, scored and trained within seconds.
const RECIPE: &str = r#"(
    data: (crop_px: 64, crops: 2, held_out_crops: 1),
    sampling: (m: 4, steps: 1, solver: euler),
    reward: (fr: {"psnr": 1.0}, nr: {}, held_out: ["ssim"]),
    curation: (ratio: 0.5),
    training: (steps: 16, batch_pairs: 2, warmup_steps: 2, eval_every: 0, eval_seeds: 2, checkpoint_every: 2),
)"#;

/// What a job said.
#[derive(Debug, Default)]
struct Said {
    /// Warnings before the first training step.
    warnings: Vec<String>,
    steps: Vec<u32>,
    failed: Option<String>,
}

struct Client {
    engine: Engine,
    recipe: Recipe,
}

impl Client {
    fn new(dir: &Path) -> Self {
        let recipe = Recipe::from_ron(RECIPE, "test.ron").unwrap();
        let client = Self { engine: Engine::start(Arc::new(|| ())).unwrap(), recipe: recipe.clone() };
        client.done(Job::Create { dir: dir.into(), recipe: Box::new(recipe), example: true });
        client.done(Job::Generate { images: None });
        client
    }

    /// Runs a job, stopped after the first training step if `is_cut`.
    fn run(&self, job: Job, is_cut: bool) -> Said {
        let id = self.engine.run(job).unwrap();
        let mut said = Said::default();
        loop {
            match self.engine.events().recv().unwrap() {
                Event::Job { id: of, state } if of == id && state.is_final() => {
                    if let JobState::Failed(cause) | JobState::Refused { cause, .. } = state {
                        said.failed = Some(cause);
                    }
                    return said;
                }
                Event::Log { level: Level::Warning, text } if said.steps.is_empty() => said.warnings.push(text),
                Event::Step { row, .. } => {
                    said.steps.push(row.step);
                    if is_cut {
                        self.engine.send(Command::Cancel(id)).unwrap();
                    }
                }
                _ => {}
            }
        }
    }

    fn done(&self, job: Job) -> Said {
        let said = self.run(job, false);
        assert_eq!(said.failed, None);
        said
    }

    fn set(&mut self, assignments: &[&str]) {
        assignments.iter().for_each(|assignment| self.recipe.set_assignment(assignment).unwrap());
        self.done(Job::SetRecipe(Box::new(self.recipe.clone())));
    }
}

fn train(run: Option<&str>) -> Job {
    Job::Train { run: run.map(str::to_owned), allow_partial: false }
}

#[test]
fn a_run_goes_on_or_says_why_another_begins_and_its_weights_are_verified() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("ws");
    let mut client = Client::new(&dir);
    let runs = || Workspace::open_read_only(&dir).unwrap().ledger().runs().unwrap();

    let first = client.run(train(None), true);
    assert_eq!(first.warnings, [] as [&str; 0]);
    assert_eq!((first.steps.first(), runs()[0].state), (Some(&1), RunState::Paused));

    // A setting that makes other weights: another run, and that is said before its first step.
    client.set(&["beta=5"]);
    let refused = client.run(train(Some("run-1")), false).failed.unwrap();
    assert!(refused.contains("run-1") && refused.contains("training.beta is 5, not 60000"), "{refused}");
    let second = client.run(train(None), true);
    let [warning] = &second.warnings[..] else { panic!("{second:?}") };
    for part in ["run-1", "unfinished", "run-2 begins", "training.beta is 5, not 60000"] {
        assert!(warning.contains(part), "{warning}");
    }
    assert_eq!(second.steps.first(), Some(&1));

    // Other pairs: the same.
    client.set(&["beta=60000", "ratio=0.25"]);
    let third = client.run(train(None), true);
    assert!(third.warnings[0].contains("pairs") && third.warnings[0].contains("curation.ratio is 0.25"), "{third:?}");

    // Memory, pace and what is kept: the first run goes on to its end.
    client.set(&["ratio=0.5", "training.activations=recompute", "batch=1", "accumulation=2"]);
    client.set(&["training.eval_every=8", "training.checkpoint_every=5", "sampling.memory_budget_mib=512"]);
    let resumed = client.done(train(None));
    assert_eq!(resumed.warnings, [] as [&str; 0]);
    assert!(resumed.steps.first().unwrap() > &1 && resumed.steps.last() == Some(&16), "{:?}", resumed.steps);
    let states: Vec<_> = runs().into_iter().map(|run| (run.name, run.state)).collect();
    let paused = |name: &str| (name.to_owned(), RunState::Paused);
    assert_eq!(states, [("run-1".to_owned(), RunState::Done), paused("run-2"), paused("run-3")]);

    // Its weights, then others in their place: never under the same name.
    let compare = |b: &str| Job::Compare { a: "reference".into(), b: b.into(), seeds: Some(2), on: On::Test };
    client.done(compare("run-1@16"));
    let file = |step: u32| dir.join(format!("runs/run-1/checkpoints/step-{step:06}-ema.safetensors"));
    let saved = std::fs::read(file(16)).unwrap();
    std::fs::copy(file(10), file(16)).unwrap();
    let error = client.run(compare("run-1@16"), false).failed.unwrap();
    assert!(error.contains("step-000016-ema.safetensors") && error.contains("run-1@16"), "{error}");
    assert_eq!(error.lines().count(), 1);
    std::fs::write(file(16), saved).unwrap();
    client.done(compare("run-1@16"));
}

#[test]
fn settings_without_effect_are_refused_and_those_of_old_workspaces_dropped() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("ws");
    let mut recipe = Recipe::from_ron(RECIPE, "test.ron").unwrap();
    let engine = || Client { engine: Engine::start(Arc::new(|| ())).unwrap(), recipe: Recipe::default() };
    let create = |recipe: &Recipe| {
        engine().run(Job::Create { dir: dir.clone(), recipe: Box::new(recipe.clone()), example: false }, false).failed
    };
    for (key, turned, cause) in [
        ("sampling.guidance", "3", "mini"),
        ("sampling.negative_prompt", "blur", "mini"),
        ("sampling.solver", "ddim", "euler and heun"),
        ("sampling.backbone", "flux", "there is mini"),
    ] {
        let mut refused = recipe.clone();
        refused.set(key, turned).unwrap();
        let error = create(&refused).unwrap();
        assert!(error.starts_with(key) && error.contains(cause), "{error}");
        assert!(!dir.exists(), "{key}: a workspace was made");
    }
    assert_eq!(create(&recipe), None);
    // As an earlier version may have written it.
    recipe.set("guidance", "3").unwrap();
    let text = format!("(format: 1, recipe: {})", recipe.to_ron().unwrap().replace("color_fix", "colour_fix"));
    std::fs::write(dir.join("workspace.ron"), text).unwrap();
    let client = engine();
    let opened = client.done(Job::Open { dir: dir.clone(), or_look: false });
    assert!(opened.warnings.iter().any(|text| text.contains("sampling.guidance") && text.contains("was 3, is now 1")));
    client.done(Job::SetSplits(Vec::new()));
}
