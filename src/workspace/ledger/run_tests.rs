//! Checkpoints, runs, steps and the connection itself on small examples.

use super::testing::TestLedger;
use super::*;
use crate::method::provenance::{Chosen, On};
use crate::workspace::files::RelPath;
use crate::{Error, Result};

fn run(t: &TestLedger, name: &str) -> RunId {
    let new = NewRun { name: name.into(), recipe: "()".into(), seed: u64::MAX, parent: None, round: 0 };
    t.add_run(&new).unwrap()
}

fn checkpoint(t: &TestLedger, run: RunId, step: u32, hash: &str, reward: Option<f64>) -> CheckpointId {
    let path = |dir: &str| RelPath::new(format!("runs/{}/{dir}/{step}", run.0)).unwrap();
    let new = NewCheckpoint {
        run,
        step,
        kind: CheckpointKind::Policy,
        backbone: "mini".into(),
        state: Some(path("states")),
        held_out_reward: reward,
    };
    let name = format!("{}-{step}", run.0);
    t.ledger.insert_checkpoint(&new, &name, &path("checkpoints"), hash).unwrap()
}

fn step(step: u32, loss: f64) -> StepRow {
    StepRow {
        step,
        loss,
        implicit_accuracy: 0.5,
        margin: 0.1,
        policy_winner_error: 0.2,
        policy_loser_error: 0.3,
        reference_winner_error: 0.4,
        reference_loser_error: f64::NAN,
        grad_norm: f64::INFINITY,
        learning_rate: 1e-5,
        seconds: 0.7,
        extra: Some("{}".into()),
    }
}

#[test]
fn checkpoints_are_found_by_step_reward_and_state() {
    let t = TestLedger::new();
    let run = run(&t, "a");
    for (step, reward) in [(0, Some(0.5)), (100, Some(0.7)), (200, Some(0.6)), (300, None)] {
        checkpoint(&t, run, step, &format!("hash {step}"), reward);
    }
    let step_of = |row: Option<CheckpointRow>| row.map(|row| row.step);
    let chosen = || t.ledger.chosen_checkpoint(run).unwrap().map(|(row, chosen)| (row.step, chosen)).unwrap();
    // Nothing to choose by: the last.
    assert!(matches!(chosen(), (300, Chosen::Last { why }) if why.contains("no image is held out")));
    let (a, b) = (t.add_image("a", true), t.add_image("b", true));
    t.ledger.set_splits(&[(a, SplitChoice::Fixed(Split::Validation))]).unwrap();
    assert!(matches!(chosen(), (300, Chosen::Last { why }) if why.contains("none was evaluated")));
    let images_digest = digest_of(&t.ledger.images_on(On::Validation).unwrap());
    let evaluation = |step, on, images_digest: &str| {
        let images_digest = images_digest.into();
        let row = EvaluationRow { step, on, images: None, images_digest, report: "{}".into(), seconds: 1.0 };
        t.ledger.record_evaluation(run, &row).unwrap();
    };
    evaluation(100, On::HeldOut, "");
    assert!(matches!(chosen(), (300, Chosen::Last { why }) if why.contains("all held-out images")));
    for step in [0, 100, 200] {
        evaluation(step, On::Validation, &images_digest);
    }
    assert_eq!(chosen(), (100, Chosen::Validation { of: 3, images: 1 }));
    // Chosen by other images than there are now is not chosen.
    t.ledger.set_splits(&[(b, SplitChoice::Fixed(Split::Validation))]).unwrap();
    assert!(matches!(chosen(), (300, Chosen::Last { why }) if why.contains("other validation images")));
    t.ledger.set_splits(&[(b, SplitChoice::default())]).unwrap();
    assert_eq!(step_of(t.ledger.resumable(run).unwrap().into_iter().next()), Some(300));
    assert_eq!(t.ledger.checkpoints_of_run(run).unwrap().len(), 4);
    let at = t.ledger.checkpoint_at(run, 200, CheckpointKind::Policy).unwrap().unwrap();
    t.ledger.set_held_out_reward(at.id, 0.9).unwrap();
    assert_eq!(chosen().0, 200);
    let forgotten = t.ledger.forget_states(run, 1).unwrap();
    assert_eq!(forgotten.len(), 3);
    assert_eq!(step_of(t.ledger.resumable(run).unwrap().into_iter().next()), Some(300));
    let check = FileCheck {
        owner: FileOwner::TrainingState,
        id: t.ledger.checkpoint_by_name(&format!("{}-300", run.0)).unwrap().unwrap().id.0,
        is_missing: true,
    };
    t.ledger.mark_files(&[check]).unwrap();
    assert_eq!(t.ledger.resumable(run).unwrap(), []);
}

#[test]
fn other_weights_at_the_same_step_forget_the_candidates() {
    let t = TestLedger::new();
    let (run, image) = (run(&t, "a"), t.add_image("a", true));
    let id = checkpoint(&t, run, 1, "one", None);
    let set = CandidateSet { checkpoint: id, ..t.set() };
    t.add_group(&set, image, 2);
    assert_eq!(checkpoint(&t, run, 1, "one", None), id);
    assert_eq!(t.ledger.candidates(&set).unwrap().len(), 2);
    assert_eq!(checkpoint(&t, run, 1, "two", None), id);
    assert_eq!(t.ledger.candidates(&set).unwrap().len(), 0);
}

#[test]
fn runs_are_never_overwritten() {
    let t = TestLedger::new();
    let id = run(&t, "My.first-run");
    let again = NewRun { name: "my.first-RUN".into(), recipe: "()".into(), seed: 0, parent: None, round: 0 };
    let error = t.add_run(&again).unwrap_err().to_string();
    assert!(error.contains("never overwritten"), "{error}");
    assert!(t.add_run(&NewRun { name: "../evil".into(), ..again.clone() }).is_err());
    let row = t.ledger.run(id).unwrap();
    assert_eq!((row.dir.as_str(), row.seed, row.state), ("My-first-run", u64::MAX, RunState::Running));
    // Another name that makes the same directory name.
    let second = t.add_run(&NewRun { name: "my-first-run".into(), parent: Some(id), round: 1, ..again }).unwrap();
    assert!(t.ledger.run(second).unwrap().dir.starts_with("my-first-run-"));
    assert_eq!(t.ledger.free_run_name("run").unwrap(), "run-1");
    run(&t, "RUN-1");
    assert_eq!(t.ledger.free_run_name("run").unwrap(), "run-2");
}

#[test]
fn a_run_keeps_its_end_and_its_reason() {
    let t = TestLedger::new();
    let id = run(&t, "a");
    t.ledger.set_run_state(id, RunState::Collapsed, Some("below its start")).unwrap();
    let row = t.ledger.run_by_name("a").unwrap().unwrap();
    assert_eq!(row.state, RunState::Collapsed);
    assert_eq!(row.message.as_deref(), Some("below its start"));
    assert!(row.ended_at_secs.is_some());
    t.ledger.set_run_state(id, RunState::Running, None).unwrap();
    assert_eq!(t.ledger.run(id).unwrap().ended_at_secs, None);
    assert_eq!(t.ledger.pause_interrupted_runs().unwrap(), ["a"]);
    assert_eq!(t.ledger.runs().unwrap()[0].state, RunState::Paused);
}

#[test]
fn steps_keep_every_value_and_rewind() {
    let t = TestLedger::new();
    let run = run(&t, "a");
    t.ledger.record_steps(run, &[step(1, f64::NAN), step(2, 2.0), step(3, 3.0)]).unwrap();
    t.ledger.record_steps(run, &[step(3, 3.5)]).unwrap();
    let since = |after| t.ledger.steps_since(run, after).unwrap();
    assert_eq!(format!("{:?}", since(0)), format!("{:?}", [step(1, f64::NAN), step(2, 2.0), step(3, 3.5)]));
    assert_eq!(since(2).len(), 1);
    let evaluation = |step, on| EvaluationRow {
        step,
        on,
        images: Some(2),
        images_digest: "digest".into(),
        report: "{}".into(),
        seconds: 1.0,
    };
    for new in [evaluation(0, On::Validation), evaluation(0, On::HeldOut), evaluation(2, On::Validation)] {
        t.ledger.record_evaluation(run, &new).unwrap();
    }
    t.ledger.rewind_run(run, 1).unwrap();
    assert_eq!(since(0).len(), 1);
    assert_eq!(t.ledger.evaluations(run).unwrap(), [evaluation(0, On::HeldOut), evaluation(0, On::Validation)]);
}

#[test]
fn several_writes_are_kept_together_or_not_at_all() {
    let t = TestLedger::new();
    let run = run(&t, "a");
    let failed: Result<()> = t.ledger.atomically(|ledger| {
        ledger.record_steps(run, &[step(1, 1.0)])?;
        ledger.set_run_state(run, RunState::Done, None)?;
        Err(Error::invalid("no"))
    });
    assert!(failed.is_err());
    assert_eq!(t.ledger.steps_since(run, 0).unwrap(), []);
    assert_eq!(t.ledger.run(run).unwrap().state, RunState::Running);
    // An inner failure that is dealt with undoes only the inner part.
    t.ledger
        .atomically(|ledger| {
            ledger.set_run_state(run, RunState::Paused, None)?;
            let inner: Result<()> = ledger.atomically(|ledger| {
                ledger.set_run_state(run, RunState::Done, None)?;
                Err(Error::invalid("no"))
            });
            assert!(inner.is_err());
            Ok(())
        })
        .unwrap();
    assert_eq!(t.ledger.run(run).unwrap().state, RunState::Paused);
}

#[test]
fn a_panic_within_a_write_leaves_the_ledger_usable() {
    let t = TestLedger::new();
    let run = run(&t, "a");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        t.ledger.atomically(|ledger| -> Result<()> {
            ledger.set_run_state(run, RunState::Done, None)?;
            panic!("a job panics")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(t.ledger.run(run).unwrap().state, RunState::Running);
    t.ledger.set_run_state(run, RunState::Failed, Some("a job panics")).unwrap();
    assert_eq!(t.reader().run(run).unwrap().state, RunState::Failed);
}

#[test]
fn a_reader_sees_commits_and_cannot_write() {
    let t = TestLedger::new();
    let reader = t.reader();
    let before = reader.data_version().unwrap();
    assert_eq!(reader.data_version().unwrap(), before);
    let id = t.add_image("a", true);
    assert_ne!(reader.data_version().unwrap(), before);
    assert_eq!(reader.images().unwrap().len(), 1);
    let message = reader.set_splits(&[(id, SplitChoice::ByRule)]).unwrap_err().to_string();
    assert!(message.contains("ledger.sqlite: the workspace is open for reading only"), "{message}");
}

#[test]
fn a_damaged_ledger_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    std::fs::write(&path, "this is no database".repeat(100)).unwrap();
    for result in [Ledger::open_writer(&path), Ledger::open_reader(&path)] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains("ledger.sqlite: the ledger is damaged"), "{message}");
    }
}

/// POSIX drops all locks a process has on a file as soon as it closes that file once; SQLite takes care of that for its
/// own handles, and this shows that no other handle of ours gets in its way.
#[cfg(target_os = "linux")]
#[test]
fn looking_into_the_ledger_keeps_the_locks_of_this_process() {
    use std::os::unix::fs::MetadataExt;
    let t = TestLedger::new();
    t.add_image("a", true);
    let inode = std::fs::metadata(&t.ledger.path).unwrap().ino();
    let locks = || {
        let all = std::fs::read_to_string("/proc/locks").unwrap();
        let ours = all.lines().filter(|line| line.contains(&format!(":{inode} ")));
        ours.count()
    };
    let before = locks();
    assert!(before > 0);
    Ledger::refuse_newer(&t.ledger.path).unwrap();
    drop(t.reader());
    assert_eq!(locks(), before);
}
