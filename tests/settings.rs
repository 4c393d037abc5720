//! Settings on their way through the engine: what cannot have an effect is refused, what only costs memory or time does not
//! begin a run anew, what does is said first; and weights are those that were recorded.

use std::path::Path;
use std::sync::Arc;

use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{Command, Event, Job, JobState, Level, TableOf};
use dp2o_studio::method::provenance::On;
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::report::table::Form;
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
        ("sampling.backbone", "later", "there is mini"),
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

/// What goes out as a table comes in as another metric, which a recipe weighs; what the file says of others is named.
#[test]
fn scores_from_elsewhere_join_the_reward() {
    let home = tempfile::tempdir().unwrap();
    let mut client = Client::new(&home.path().join("ws"));
    let path = |name: &str| home.path().join(name);
    let table = |of: TableOf, form, name: &str| {
        client.done(Job::ExportTable { of, form, path: path(name), overwrite: false });
        std::fs::read_to_string(path(name)).unwrap()
    };
    let scores = table(TableOf::Scores, Form::Csv, "scores.csv");
    let psnr: Vec<Vec<&str>> =
        scores.lines().map(|line| line.split(',').collect::<Vec<_>>()).filter(|cells| cells[3] == "psnr").collect();
    assert_eq!(psnr.len(), 3 * 4, "{scores}");
    // The opposite order, under another name, and a score of a candidate that is not there.
    let mut own = String::from("image,seed,metric,value,direction,kind\n");
    psnr.iter().for_each(|cells| own += &format!("{},{},mine,{},lower,nr\n", cells[0], cells[2], cells[4]));
    std::fs::write(path("own.csv"), own.clone() + "nowhere,0,mine,1,lower,nr\n").unwrap();
    let said = client.run(Job::ImportScores { path: path("own.csv") }, false);
    let nowhere = "no image here is called nowhere";
    assert!(said.warnings.iter().any(|line| line.contains(nowhere)), "{said:?}");
    assert!(said.failed.is_none(), "{said:?}");

    let opened = Workspace::open_read_only(path("ws")).unwrap();
    client.recipe = Recipe::from_ron(&opened.recipe_text().unwrap(), "kept").unwrap();
    let rewards = |client: &Client, name: &str| {
        let of = TableOf::Pairs { allow_partial: false };
        client.done(Job::ExportTable { of, form: Form::Jsonl, path: path(name), overwrite: false });
        let text = std::fs::read_to_string(path(name)).unwrap();
        let pairs: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        pairs
            .iter()
            .map(|pair| (pair["image"].to_string(), pair["winner_seed"].as_u64(), pair["loser_seed"].as_u64()))
            .collect::<Vec<_>>()
    };
    let before = rewards(&client, "before.jsonl");
    client.set(&["fr=", "nr=mine"]);
    let mut after = rewards(&client, "after.jsonl");
    assert!(!after.is_empty() && after != before);
    // What was the better one by PSNR is the worse one now.
    after.iter_mut().for_each(|(_, winner, loser)| std::mem::swap(winner, loser));
    let sorted = |mut pairs: Vec<_>| {
        pairs.sort();
        pairs
    };
    assert_eq!(sorted(after), sorted(before));

    // All or nothing: a metric of the program, an undeclared one, a file that is none.
    for (text, cause) in [
        ("image,seed,metric,value\na,0,ssim,1\n", "is a metric of this program"),
        ("image,seed,metric,value\na,0,new,1\n", "say its direction"),
        ("image,seed,metric,value,kind\na,0,mine,1,fr\n", "the file says otherwise"),
        ("image,seed\n", "no column is called metric"),
    ] {
        std::fs::write(path("bad.csv"), text).unwrap();
        let failed = client.run(Job::ImportScores { path: path("bad.csv") }, false).failed.unwrap();
        assert!(failed.contains(cause) && failed.contains("bad.csv"), "{failed}");
    }
    // There is no score of what was not imported.
    client.set(&["m=5"]);
    let failed = client.run(Job::Generate { images: None }, false);
    assert!(
        failed.failed.is_some() || failed.warnings.iter().any(|line| line.contains("no score of mine was imported"))
    );
}
