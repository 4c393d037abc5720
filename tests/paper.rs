//! The paper's metrics end to end on generated weights: candidates of the shipped photographs are scored, mapped, paired, trained on and
//! compared. Q-Align alone is missing: its language model has 8 billion weights (`tests/learned` holds a tiny one to another
//! implementation). MANIQA, at one crop in place of twenty, and TOPIQ-IAA take minutes and are in the longer test:
//!
//!     cargo test --release --test paper -- --ignored

mod generated;

use std::sync::Arc;

use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{Answer, Event, Job, JobState, Outcome, Query, Source};
use dp2o_studio::iqa;
use dp2o_studio::iqa::maniqa::Maniqa;
use dp2o_studio::method::presets::preset;
use dp2o_studio::method::provenance::On;
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::weights::Store;
use generated::{Model, part_of};

/// The networks whose files the paper's metrics need, those that take long last.
const NETWORKS: [&str; 9] = [
    "lpips_alex",
    "topiq_fr",
    "afine",
    "musiq_koniq",
    "clipiqa_plus",
    "topiq_nr",
    "nima",
    "maniqa_pipal_2crops",
    "topiq_iaa",
];

static MANIQA: Maniqa =
    Maniqa::pipal("maniqa-pipal-1", "MANIQA (PIPAL, 1 crop)", "the first of 5×5 crops of 224 pixels", 1);

fn done(engine: &Engine, job: Job) -> Outcome {
    let id = engine.run(job).unwrap();
    loop {
        match engine.events().recv().unwrap() {
            Event::Job { id: of, state: JobState::Done(outcome) } if of == id => {
                assert!(outcome.failed().is_none_or(|failed| failed.is_empty()), "{:?}", outcome.failed());
                return outcome;
            }
            Event::Job { id: of, state } if of == id && state.is_final() => panic!("{state:?}"),
            _ => {}
        }
    }
}

fn answer(engine: &Engine, query: Query) -> Answer {
    let id = engine.ask(query).unwrap();
    loop {
        match engine.events().recv().unwrap() {
            Event::Answer { id: of, answer } if of == id => return answer.unwrap(),
            _ => {}
        }
    }
}

/// All files of some networks in memory.
fn store(networks: &[&'static str]) -> Store {
    networks.iter().map(|name| Model::whole(name)).fold(Store::of_folders(&[], true), |store, model| {
        model.files().fold(store, |store, file| match part_of(file) {
            Some(part) => store.holding(part, model.source(file)),
            None => store,
        })
    })
}

/// The paper's metrics on the embedded backbone, but for MANIQA.
fn recipe(crop_px: &str) -> Recipe {
    let paper = preset("sd2-paper").unwrap().reward;
    let mut recipe = preset("mini-demo").unwrap();
    recipe.reward = paper;
    recipe.reward.nr.remove("qalign");
    recipe.reward.nr.remove("maniqa-pipal");
    for (key, value) in [
        ("data.crop_px", crop_px),
        ("data.crops", "1"),
        ("data.held_out_crops", "3"),
        ("sampling.m", "4"),
        ("sampling.steps", "1"),
        ("sampling.solver", "euler"),
        ("training.steps", "2"),
        ("training.batch_pairs", "1"),
        ("training.eval_every", "0"),
        ("training.eval_seeds", "1"),
    ] {
        recipe.set(key, value).unwrap();
    }
    recipe
}

#[test]
fn a_recipe_of_the_papers_metrics_runs_from_scores_to_a_comparison() {
    let mut recipe = recipe("96");
    recipe.reward.held_out.retain(|name| name != "topiq_iaa");
    assert_eq!((recipe.reward.fr.len(), recipe.reward.nr.len(), recipe.reward.held_out.len()), (3, 4, 3));
    run(&recipe, store(&NETWORKS[..7]));
}

#[test]
#[ignore = "MANIQA and TOPIQ-IAA take minutes and 6 GB"]
fn with_the_metrics_that_take_long() {
    iqa::register(Arc::new(&MANIQA)).unwrap();
    let mut recipe = recipe("224");
    recipe.reward.nr.insert("maniqa-pipal-1".into(), 1.0);
    run(&recipe, store(&NETWORKS));
}

/// Scores, maps, pairs, trains and compares.
fn run(recipe: &Recipe, store: Store) {
    let dir = tempfile::tempdir().unwrap();
    let (fr, nr) = (recipe.reward.fr.clone(), recipe.reward.nr.clone());
    let engine = Engine::start_with(Arc::new(|| ()), store).unwrap();
    done(&engine, Job::Create { dir: dir.path().join("ws"), recipe: Box::new(recipe.clone()), example: true });
    let Answer::Library(library) = answer(&engine, Query::Library) else { panic!("no library") };
    let image = library.images.iter().find(|image| !image.is_held_out()).unwrap().id;
    let outcome = done(&engine, Job::Generate { images: Some(vec![image]) });
    let Outcome::Generated { candidates: 4, scores, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(scores, 4 * recipe.scored_metrics().len());

    // Every metric tells the candidates apart, and has a map of the candidate's size.
    let Answer::Library(library) = answer(&engine, Query::Library) else { panic!("no library") };
    let set = library.set.clone().unwrap();
    let query = Query::Ranking { set: None, recipe: Box::new(recipe.clone()), base: None };
    let Answer::Ranking(ranking) = answer(&engine, query) else { panic!("no ranking") };
    let table = &ranking.scores.train.table;
    for (column, info) in table.columns().iter().enumerate() {
        let row = table.row(0, column);
        let distinct = row.iter().any(|score| (score - row[0]).abs() > 1e-9 * row[0].abs());
        assert!(row.len() == 4 && distinct, "{}: {row:?}", info.name);
        if info.map.is_empty() {
            continue;
        }
        let source = Source::Candidate { set: set.clone(), image, seed: 0 };
        let Answer::Map(map) = answer(&engine, Query::Map { source, metric: info.name.to_string() }) else { panic!() };
        assert_eq!([map.width, map.height], [recipe.data.crop_px; 2], "{}", info.name);
        assert!(
            map.range[0] < map.range[1] && map.range.iter().all(|v| v.is_finite()),
            "{}: {:?}",
            info.name,
            map.range
        );
        assert!((map.score - row[0]).abs() <= 1e-4 * row[0].abs(), "{}: {} {}", info.name, map.score, row[0]);
    }

    let Outcome::Curated(summary) = done(&engine, Job::Curate { allow_partial: false }) else { panic!("no pairs") };
    assert_eq!(summary.pairs, 1);
    let outcome = done(&engine, Job::Train { run: None, allow_partial: false });
    let Outcome::Trained { run, steps: 2, .. } = outcome else { panic!("{outcome:?}") };
    let compare = Job::Compare { a: "reference".into(), b: run, seeds: Some(1), on: On::HeldOut };
    let Outcome::Compared(compared) = done(&engine, compare) else { panic!("no comparison") };
    for name in fr.keys().chain(nr.keys()).chain(&recipe.reward.held_out) {
        assert!(compared.report.comparison.policy.metrics.contains_key(name), "{name}");
    }
}
