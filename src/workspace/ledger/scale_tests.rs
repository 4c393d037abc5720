//! How fast a large workspace is read. Times are printed, not asserted. At full size, 2,000 images × 64 seeds × 10
//! metrics: `cargo test --release --lib scale_tests -- --nocapture --include-ignored`.

use std::time::{Duration, Instant};

use super::testing::{TestLedger, key};
use super::*;
use crate::iqa::Kind;

const SEEDS: u64 = 64;
const METRICS: usize = 10;

fn timed<T>(what: &str, f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = f();
    println!("{what}: {:.2?}", start.elapsed());
    value
}

fn median_of(what: &str, count: usize, mut f: impl FnMut(usize)) {
    let mut times: Vec<Duration> = (0..count)
        .map(|i| {
            let start = Instant::now();
            f(i);
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("{what}: {:.2?} (median of {count})", times[count / 2]);
}

#[test]
fn a_workspace_of_100_images_reads_back_exactly() {
    read_back(100);
}

#[test]
#[ignore = "takes half a minute; for its printed times"]
fn a_workspace_of_2000_images_reads_back_exactly() {
    read_back(2000);
}

fn read_back(image_count: usize) {
    println!("{image_count} images, {SEEDS} seeds, {METRICS} metrics");
    let t = TestLedger::new();
    let set = t.set();
    let metrics: Vec<_> = (0..METRICS).map(|i| key(&format!("metric{i}"))).collect();
    let wanted: Vec<_> = metrics.iter().map(|key| (key.clone(), Kind::NoReference)).collect();
    let value = |id: CandidateId, column: usize| (id.0 * 16 + column as i64) as f64;
    let images: Vec<_> = timed("write images and candidates, one transaction", || {
        t.ledger
            .atomically(|_| {
                Ok((0..image_count)
                    .map(|i| {
                        let image = t.add_image(&format!("image-{i}"), true);
                        t.add_group(&set, image, SEEDS);
                        image
                    })
                    .collect())
            })
            .unwrap()
    });
    let missing = timed("missing_scores, none scored", || t.ledger.missing_scores(&set, &wanted).unwrap());
    assert_eq!(missing.len(), image_count * SEEDS as usize);
    timed("write scores, one transaction a group", || {
        for group in missing.chunks(SEEDS as usize) {
            let scores: Vec<_> = group
                .iter()
                .flat_map(|m| m.metrics.iter().map(|&column| (m.candidate.id, column)))
                .map(|(candidate, metric)| NewScore { candidate, metric, value: value(candidate, metric) })
                .collect();
            t.ledger.record_scores("cpu", &metrics, &scores).unwrap();
        }
    });
    let size = std::fs::metadata(&t.ledger.path).unwrap().len();
    println!("ledger: {:.1} MB", size as f64 / 1e6);

    let reader = timed("open a reader", || t.reader());
    for round in ["first", "second"] {
        let table = timed(&format!("scores of all groups, {round} read"), || reader.scores(&set, &metrics).unwrap());
        assert_eq!(table.candidates().len(), image_count * SEEDS as usize);
        for (i, candidate) in table.candidates().iter().enumerate() {
            for (column, &score) in table.row(i).iter().enumerate() {
                assert_eq!(score, value(candidate.id, column));
            }
        }
        assert_eq!(table.groups().count(), image_count);
    }
    median_of("scores of one group", 101, |i| {
        let table = reader.group_scores(&set, images[i * 7 % image_count], &metrics).unwrap();
        assert_eq!(table.values().len(), SEEDS as usize * METRICS);
    });
    median_of("candidates of one group", 101, |i| {
        assert_eq!(reader.group(&set, images[i * 7 % image_count]).unwrap().len(), SEEDS as usize);
    });
    let all = timed("all candidates", || reader.candidates(&set).unwrap());
    assert_eq!(all.len(), image_count * SEEDS as usize);
    timed("group_sizes", || reader.group_sizes(&set).unwrap());
    timed("images", || reader.images().unwrap());
    let seeds: Vec<_> = (0..SEEDS).collect();
    let none = timed("missing_candidates", || reader.missing_candidates(&set, &images, &seeds).unwrap());
    assert!(none.is_empty());
    let none = timed("missing_scores, all scored", || reader.missing_scores(&set, &wanted).unwrap());
    assert!(none.is_empty());
    timed("counts", || reader.counts().unwrap());
    timed("files (for a repair)", || reader.files().unwrap());
    median_of("commit one candidate", 51, |i| {
        t.add_group(&set, images[i], 1);
    });
}

#[test]
fn long_runs_read_back_quickly() {
    let t = TestLedger::new();
    let run = t.add_run(&NewRun { name: "a".into(), recipe: "()".into(), seed: 1, parent: None, round: 0 }).unwrap();
    let steps: Vec<_> = (1..=20_000).map(|step| StepRow { step, loss: 1.0 / f64::from(step), ..nan_step() }).collect();
    timed("record 20,000 steps, 100 a transaction", || {
        for batch in steps.chunks(100) {
            t.ledger.record_steps(run, batch).unwrap();
        }
    });
    let reader = t.reader();
    let all = timed("steps_since 0, 20,000 steps", || reader.steps_since(run, 0).unwrap());
    assert_eq!(all.len(), steps.len());
    assert_eq!(all[19_999].loss, steps[19_999].loss);
    median_of("steps_since, the last 10", 101, |_| {
        assert_eq!(reader.steps_since(run, 19_990).unwrap().len(), 10);
    });
}

fn nan_step() -> StepRow {
    StepRow {
        step: 0,
        loss: f64::NAN,
        implicit_accuracy: f64::NAN,
        margin: f64::NAN,
        policy_winner_error: f64::NAN,
        policy_loser_error: f64::NAN,
        reference_winner_error: f64::NAN,
        reference_loser_error: f64::NAN,
        grad_norm: f64::NAN,
        learning_rate: f64::NAN,
        seconds: f64::NAN,
        extra: None,
    }
}
