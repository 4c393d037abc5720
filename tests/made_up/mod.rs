//! A studio that knows a workspace no engine has: images, candidates, scores, runs, a comparison, all made up by rule,
//! so that what is drawn is the same everywhere and costs only the drawing.

use std::collections::BTreeMap;
use std::sync::Arc;

use dp2o_studio::app::state::Asked;
use dp2o_studio::app::state::curves::Curves;
use dp2o_studio::app::{Options, Studio};
use dp2o_studio::engine::devices::Choice;
use dp2o_studio::engine::grid::Grid;
use dp2o_studio::engine::protocol::{
    Answer, Attributed, Compared, Event, JobId, JobState, Library, MapPicture, Opened, Outcome, Picture, QueryId,
    Source,
};
use dp2o_studio::engine::ranking::{Part, Scores};
use dp2o_studio::iqa::{Direction, Info, Kind};
use dp2o_studio::method::evaluation::{Comparison, Evaluation, ImageComparison, MetricReport};
use dp2o_studio::method::intervals::{ByImage, Intervals};
use dp2o_studio::method::learning::Learning;
use dp2o_studio::method::overrides::Overrides;
use dp2o_studio::method::provenance::{Chosen, On};
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::method::scores::ScoreTable;
use dp2o_studio::random::Random;
use dp2o_studio::report::{Provenance, Report};
use dp2o_studio::workspace::{
    CandidateSet, CheckpointId, CheckpointKind, CheckpointRow, EvaluationRow, ImageId, ImageRow, RelPath, RunId,
    RunRow, RunState, SamplerKey, Split, StepRow,
};
use eframe::CreationContext;

/// How much of everything there is.
#[derive(Clone, Copy)]
pub struct Size {
    pub images: usize,
    pub seeds: usize,
    pub runs: usize,
    pub steps: u32,
}

const LOWER_IS_BETTER: [&str; 4] = ["stlpips", "niqe", "brisque", "piqe"];
/// Every so many steps a run is evaluated.
const EVALUATIONS: u32 = 4;

/// The studio, as if all of this had come from an engine.
pub fn studio(cc: &CreationContext<'_>, size: Size) -> Studio {
    let mut studio = Studio::new(cc, Options { is_idle: true, ..Options::default() }).unwrap_or_else(|e| panic!("{e}"));
    let mut recipe = Recipe::default();
    recipe.sampling.m = size.seeds;
    recipe.training.eval_seeds = size.seeds;
    let images: Vec<ImageRow> = (1..=size.images as i64).map(image).collect();
    let set = CandidateSet { checkpoint: CheckpointId(1), sampler: SamplerKey::new("heun/7").unwrap() };
    let ranking = scores(&set, &images, &recipe).rank(&recipe).unwrap();
    let opened = Opened {
        root: "/data/example".into(),
        recipe: recipe.clone(),
        findings: Vec::new(),
        device: "CPU".into(),
        devices: vec![Choice::Best, Choice::Cpu],
        held_by: None,
    };
    let library = Library {
        sampled: vec![size.seeds as u32; size.images],
        checkpoints: checkpoints(size),
        best: (1..=size.runs as i64).map(|run| CheckpointId(1 + run * i64::from(EVALUATIONS))).collect(),
        runs: (1..=size.runs as i64).map(run).collect(),
        set: Some(set.clone()),
        images: images.clone(),
    };
    let state = &mut studio.state;
    state.apply(Event::Opened(Arc::new(opened)));
    state.asked.insert(QueryId(1), Asked::Library);
    state.apply(Event::Answer { id: QueryId(1), answer: Ok(Answer::Library(Arc::new(library))) });
    state.asked.insert(QueryId(2), Asked::Ranking);
    state.apply(Event::Answer { id: QueryId(2), answer: Ok(Answer::Ranking(Arc::new(ranking))) });
    for id in 1..=size.images as i64 {
        state.groups.insert(ImageId(id), Arc::new(recipe.seeds()));
    }
    for id in 1..=size.runs as i64 {
        curves(state.curves.entry(RunId(id)).or_default(), id, size.steps);
    }
    if size.runs > 0 {
        let compared = Arc::new(compared(&set, &images, size));
        state.apply(Event::Job { id: JobId(1), state: JobState::Done(Outcome::Compared(compared)) });
    }
    state.wants = Default::default();
    studio
}

fn image(id: i64) -> ImageRow {
    ImageRow {
        id: ImageId(id),
        dir: format!("image-{id}"),
        name: format!("a photograph with a long name {id}.png"),
        lr_path: RelPath::new(format!("images/{id}/lr.png")).unwrap(),
        hr_path: Some(RelPath::new(format!("images/{id}/hr.png")).unwrap()),
        lr_width_px: 48,
        lr_height_px: 48,
        split: split_of(id),
        split_by_rule: id % 5 == 0,
        removed: false,
        degradation: None,
        source: "made up".into(),
        source_hash: String::new(),
        variant: String::new(),
        hr_source_hash: None,
        fingerprint: None,
        source_fingerprint: None,
        prompt: String::new(),
        prompt_hash: "0".into(),
        added_at_secs: 0,
        file_missing: false,
    }
}

/// Every fifth image is held out, of these every third for validation.
fn split_of(id: i64) -> Split {
    match (id % 5, id % 15) {
        (0, 10) => Split::Validation,
        (0, _) => Split::Test,
        _ => Split::Train,
    }
}

/// The ranking's input, made of noise.
fn scores(set: &CandidateSet, images: &[ImageRow], recipe: &Recipe) -> Arc<Scores> {
    let seeds = recipe.sampling.m;
    let columns: Vec<Info> = recipe
        .scored_metrics()
        .into_iter()
        .map(|name| {
            let is_fr = recipe.reward.fr.contains_key(name) || ["psnr", "ssim"].contains(&name);
            let direction = if LOWER_IS_BETTER.contains(&name) { Direction::Lower } else { Direction::Higher };
            let kind = if is_fr { Kind::FullReference } else { Kind::NoReference };
            Info { map: "made up".into(), ..Info::new(name.to_owned(), kind, direction) }
        })
        .collect();
    let part = |held_out: bool| {
        let images: Vec<ImageId> = images.iter().filter(|i| i.is_held_out() == held_out).map(|i| i.id).collect();
        let mut table = ScoreTable::new(vec![true; images.len()], seeds, columns.clone()).unwrap();
        for group in 0..images.len() {
            for column in 0..columns.len() {
                let noise = Random::new(group as u64, column as u32).normal_image(1, seeds, 1);
                for (seed, n) in noise.iter().enumerate() {
                    table.set(group, seed, column, f64::from(*n)).unwrap();
                }
            }
        }
        let noise = vec![0; images.len()];
        Part { images, noise, table }
    };
    Arc::new(Scores {
        set: set.clone(),
        seeds: recipe.seeds(),
        train: part(false),
        held_out: part(true),
        frozen: None,
        overrides: Overrides::default(),
    })
}

fn run(id: i64) -> RunRow {
    RunRow {
        id: RunId(id),
        name: format!("run-{id}"),
        dir: format!("run-{id}"),
        recipe: recipe_of(id),
        seed: 0,
        state: RunState::Done,
        message: None,
        parent: None,
        round: 0,
        started_at_secs: 0,
        ended_at_secs: Some(60),
        pairs_hash: None,
    }
}

/// β is another in every run.
fn recipe_of(run: i64) -> String {
    let mut recipe = Recipe::default();
    recipe.training.beta = 1000.0 * run as f64;
    recipe.to_ron().unwrap()
}

fn checkpoints(size: Size) -> Vec<CheckpointRow> {
    let row = |id, run: Option<i64>, step| CheckpointRow {
        id: CheckpointId(id),
        name: run.map_or("reference".into(), |run| format!("run-{run}-{step:06}")),
        backbone: "mini".into(),
        kind: if run.is_some() { CheckpointKind::Policy } else { CheckpointKind::Reference },
        run: run.map(RunId),
        step,
        path: None,
        state_path: None,
        weights_hash: String::new(),
        held_out_reward: run.map(|run| reward_at(run, step, size.steps)),
        added_at_secs: 0,
        file_missing: false,
        state_missing: false,
    };
    let mut rows = vec![row(1, None, 0)];
    for run in 1..=size.runs as i64 {
        for n in 1..=EVALUATIONS {
            rows.push(row(rows.len() as i64 + 1, Some(run), n * size.steps / EVALUATIONS));
        }
    }
    rows
}

fn reward_at(run: i64, step: u32, steps: u32) -> f64 {
    0.55 + 0.08 * f64::from(step) / f64::from(steps) - 0.01 * run as f64
}

fn curves(curves: &mut Curves, run: i64, steps: u32) {
    let noise = Random::new(run as u64, 9).normal_image(1, steps as usize, 1);
    for (step, n) in (1..=steps).zip(noise) {
        let (t, n) = (f64::from(step) / f64::from(steps), f64::from(n));
        curves.steps.push(StepRow {
            step,
            loss: 0.69 - 0.2 * t + 0.03 * n,
            implicit_accuracy: (0.5 + 0.3 * t + 0.05 * n).clamp(0.0, 1.0),
            margin: 1.5 * t + 0.1 * n,
            policy_winner_error: 0.4 + 0.001 * t + 1e-4 * n,
            policy_loser_error: 0.4 + 0.0015 * t + 1e-4 * n,
            reference_winner_error: 0.4,
            reference_loser_error: 0.4,
            grad_norm: 200.0 + 40.0 * n,
            learning_rate: 1e-5 * (10.0 * t).min(1.0),
            seconds: 1.0,
            extra: None,
        });
    }
    for n in 0..=EVALUATIONS {
        let step = n * steps / EVALUATIONS;
        let report = serde_json::to_string(&evaluation(reward_at(run, step, steps), f64::from(n), 8)).unwrap();
        curves.evaluated(EvaluationRow {
            step,
            on: On::Validation,
            images: Some(1),
            images_digest: "made up".into(),
            report,
            seconds: 1.0,
        });
    }
    curves.is_whole = true;
    curves.version += 1;
}

/// Best, Mean and Worst around a mean reward; `at` moves the metrics.
fn evaluation(mean: f64, at: f64, seeds: usize) -> Evaluation {
    let m: Vec<usize> = std::iter::successors(Some(1), |m| (m * 2 <= seeds).then_some(m * 2)).collect();
    let spread = |sign: f64| m.iter().map(|&m| mean + sign * 0.02 * (m as f64).log2()).collect();
    let metric = |mean: f64, std: f64, direction, held_out| MetricReport { mean, std, images: 1, direction, held_out };
    let metrics = BTreeMap::from([
        ("brisque".to_owned(), metric(38.0 - 2.0 * at, 4.0, Direction::Lower, false)),
        ("ms_ssim".to_owned(), metric(0.96 - 0.0005 * at, 0.0026, Direction::Higher, false)),
        ("psnr".to_owned(), metric(36.9 - 0.1 * at, 0.35, Direction::Higher, true)),
        ("stlpips".to_owned(), metric(0.048 - 0.001 * at, 0.0028, Direction::Lower, false)),
    ]);
    // Eight images, each a little off the mean, all moved alike.
    let off = |i: usize| 0.004 * ((i * 5 % 8) as f64 - 3.5);
    let rewards = |shift: f64| (0..8).map(|i| Some(mean + shift + off(i) * (1.0 + at))).collect();
    let of_metric = |metric: &MetricReport| (0..8).map(|i| Some(metric.mean * (1.0 + 0.01 * off(i) * at))).collect();
    let by_image = ByImage {
        rewards: [rewards(0.02), rewards(0.0), rewards(-0.02)],
        metrics: metrics.iter().map(|(name, metric)| (name.clone(), of_metric(metric))).collect(),
        photographs: Vec::new(),
    };
    let (best, worst) = (spread(1.0), spread(-1.0));
    Evaluation { best, mean: vec![mean; m.len()], worst, std: 0.02, images: 1, metrics, m, by_image }
}

fn compared(set: &CandidateSet, images: &[ImageRow], size: Size) -> Compared {
    let held_out: Vec<&ImageRow> = images.iter().filter(|image| image.split == Split::Test).collect();
    let rewards = |image: ImageId, shift: f64| {
        let noise = Random::new(image.0 as u64, 3).normal_image(1, size.seeds, 1);
        let noise = noise.iter().enumerate();
        noise.map(|(seed, n)| Some(0.55 + 0.02 * f64::from(*n) + shift * (1.0 + 0.1 * seed as f64))).collect()
    };
    let by_image = |image: &&ImageRow| ImageComparison {
        name: image.name.clone(),
        reference: rewards(image.id, 0.0),
        policy: rewards(image.id, if image.id.0 % 10 == 0 { 0.02 } else { -0.004 }),
    };
    let of_all = |mut evaluation: Evaluation| {
        evaluation.images = held_out.len();
        evaluation.metrics.values_mut().for_each(|metric| metric.images = held_out.len());
        evaluation
    };
    let (reference, policy) = (of_all(evaluation(0.55, 0.0, size.seeds)), of_all(evaluation(0.62, 4.0, size.seeds)));
    let comparison = Comparison {
        intervals: Intervals::between(&reference.by_image, &policy.by_image),
        on: On::Test,
        images: held_out.len(),
        validation_images: 0,
        seeds: size.seeds,
        a: "reference".into(),
        b: format!("run-1@{}", size.steps),
        chosen: [Chosen::Name, Chosen::Validation { of: EVALUATIONS as usize, images: 1 }],
        trained_on: Vec::new(),
        reference,
        policy,
        by_image: held_out.iter().map(by_image).collect(),
    };
    let changes = comparison.changes();
    let provenance = Provenance { seeds: (0..size.seeds as u64).collect(), ..Provenance::default() };
    let after = CandidateSet { checkpoint: CheckpointId(1 + i64::from(EVALUATIONS)), sampler: set.sampler.clone() };
    Compared {
        report: Report { comparison, changes, provenance },
        images: held_out.iter().map(|image| image.id).collect(),
        sets: [set.clone(), after],
    }
}

/// Answers every picture and map that was asked for, as an engine that takes no time would.
pub fn answer(studio: &mut Studio) {
    let asked = |(id, asked): (&QueryId, &Asked)| match asked {
        Asked::Picture(_) | Asked::Map(..) | Asked::Grid(_) | Asked::Attribution | Asked::Learning(_) => {
            Some((*id, asked.clone()))
        }
        _ => None,
    };
    let asked: Vec<_> = studio.state.asked.iter().filter_map(asked).collect();
    for (id, asked) in asked {
        let answer = match asked {
            Asked::Picture(request) => {
                let side = request.max_side_px.unwrap_or(128).min(128);
                let rgb8 = pixels(&request.source, side).into();
                Answer::Picture(Picture {
                    source: request.source,
                    width: side,
                    height: side,
                    rgb8,
                    full_size: [128; 2],
                })
            }
            Asked::Map(source, metric) => {
                let side = 64;
                let values: Arc<[f32]> = (0..side * side).map(|i| (i % side) as f32 / side as f32).collect();
                let range = [0.0, 1.0];
                Answer::Map(MapPicture { source, metric, width: side, height: side, values, range, score: 0.5 })
            }
            Asked::Learning(run) => {
                let known = studio.state.curves.get(&run).and_then(Curves::start_and_last);
                let Some((start, last, step)) = known else { continue };
                Answer::Learning { run, learning: Box::new(Learning::between(start, last, step)) }
            }
            Asked::Attribution => {
                let Some(rewards) = studio.state.rewards.clone() else { continue };
                let attribution = rewards.ranking.attribution(&studio.state.recipe.edited).unwrap();
                let images = rewards.ranking.scores.train.images.clone();
                Answer::Attribution(Arc::new(Attributed { attribution, images }))
            }
            Asked::Grid(of) => {
                let Some(rewards) = studio.state.rewards.clone() else { continue };
                Answer::Grid(Arc::new(Grid::new(&rewards.ranking, &of)))
            }
            _ => continue,
        };
        studio.state.apply(Event::Answer { id, answer: Ok(answer) });
    }
}

/// A flat ground, and a disc whose place is the seed's.
fn pixels(source: &Source, side: usize) -> Vec<u8> {
    let (hue, at) = match source {
        Source::Lr(image) | Source::Hr(image) => (image.0, 0),
        Source::Candidate { image, seed, .. } => (image.0, *seed),
    };
    let center = [(at * 37 % 100) as f32 / 100.0, (at * 61 % 100) as f32 / 100.0];
    let pixel = |i: usize| {
        let (x, y) = ((i % side) as f32 / side as f32, (i / side) as f32 / side as f32);
        let is_disc = (x - center[0]).powi(2) + (y - center[1]).powi(2) < 0.03;
        let base = (60 + hue * 29 % 120) as f32;
        let shade = if is_disc { 60.0 } else { 0.0 };
        [base + shade, 200.0 - base + shade, 90.0 + shade].map(|v| v.clamp(0.0, 255.0) as u8)
    };
    (0..side * side).flat_map(pixel).collect()
}
