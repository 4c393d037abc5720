//! Kills the real program, or lets its file system fail, and demands the result of an undisturbed run: at random moments,
//! and at chosen calls that change files, with half of a write done.
//!
//! The long campaign: `cargo test --release --test kill -- --ignored --nocapture`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use dp2o_studio::example::photos;
use dp2o_studio::random::Random;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

/// Kills at random moments that must hit a running process.
const KILLS: usize = 8;

/// A recipe that finishes within seconds and still samples, scores, trains, checkpoints and evaluates.
const RECIPE: &str = r#"(
    data: (crop_px: 64, crops: 4, held_out_crops: 2, degradation: "bicubic_x4"),
    sampling: (m: 4, steps: 2),
    reward: (fr: {"stlpips": 1.0}, nr: {"brisque": 1.0}, held_out: ["psnr"]),
    curation: (ratio: 0.5),
    training: (steps: 8, batch_pairs: 2, warmup_steps: 2, eval_every: 4, eval_seeds: 2, checkpoint_every: 2,
        state_every_steps: 3, ema_decay: 0.5),
)"#;

/// A smaller one, of two rounds: most of its time is what it writes.
const TWO_ROUNDS: &str = r#"(
    data: (crop_px: 64, crops: 2, held_out_crops: 2, degradation: "bicubic_x4"),
    sampling: (m: 4, steps: 1, solver: euler, memory_budget_mib: 64),
    reward: (fr: {"psnr": 1.0}, nr: {"brisque": 1.0}, held_out: ["ssim"]),
    curation: (ratio: 0.5),
    training: (steps: 2, batch_pairs: 1, warmup_steps: 2, eval_every: 2, eval_seeds: 2, checkpoint_every: 2, state_every_steps: 1,
        ema_decay: 0.0, mode: lora, lora_rank: 2, rounds: 2, pool_rounds: 2),
)"#;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The whole loop, from nothing: makes the example, or goes on.
fn loop_of(dir: &Path, preset: &Path) -> Command {
    let mut command = program();
    command.arg("run").arg(dir).arg("--preset").arg(preset);
    command
}

fn run_to_the_end(dir: &Path, preset: &Path) {
    let output = loop_of(dir, preset).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn preset(dir: &Path, recipe: &str) -> PathBuf {
    let preset = dir.join("tiny.ron");
    std::fs::write(&preset, recipe).unwrap();
    preset
}

/// Everything a run leaves behind, but for times and the sizes of what only time decides.
fn digest(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let ledger = Connection::open_with_flags(dir.join("ledger.sqlite"), flags).unwrap();
    let queries = [
        "SELECT dir, lr_path, hr_path, split, split_by_rule, degradation FROM images ORDER BY dir",
        "SELECT image_id, seed, sampler, path FROM candidates ORDER BY path",
        // Grain is scored by evaluations alone: what is lost of it the next one makes, and their reports say it.
        "SELECT path, metric, value FROM scores JOIN candidates ON candidates.id = candidate_id
            JOIN scorers ON scorers.id = scorer_id WHERE metric <> 'grain' ORDER BY path, metric",
        "SELECT metric, min, max FROM reward_bounds JOIN scorers ON scorers.id = scorer_id ORDER BY metric",
        "SELECT name, dir, state, recipe, parent_id, round, pairs_hash FROM runs ORDER BY name",
        "SELECT name, kind, step, weights_hash, held_out_reward FROM checkpoints ORDER BY name",
        "SELECT run_id, step, loss, implicit_accuracy, margin, policy_winner_error, policy_loser_error,
            reference_winner_error, reference_loser_error, grad_norm, learning_rate FROM steps ORDER BY run_id, step",
        "SELECT run_id, step, measured_on, images, images_digest, report FROM evaluations
            ORDER BY run_id, step, measured_on",
        "SELECT name, about, complete FROM tasks ORDER BY name",
    ];
    for (number, sql) in queries.iter().enumerate() {
        let mut statement = ledger.prepare(sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let mut line = 0;
        while let Some(row) = rows.next().unwrap() {
            let text = |value: Value| match value {
                // Bit for bit.
                Value::Real(v) => format!("{:016x}", v.to_bits()),
                other => format!("{other:?}"),
            };
            let values: Vec<String> = (0..columns).map(|c| text(row.get(c).unwrap())).collect();
            found.insert(format!("query {number} row {line:05}"), values.join(" "));
            line += 1;
        }
        assert!(line > 0, "nothing to compare: {sql}");
    }
    files(dir, "", &mut found);
    found
}

/// All files but the ledger, the lock and the curves for TensorBoard, which tell the time of each step and begin a file anew
/// where a run goes on: nothing may be missing, and nothing left over.
fn files(dir: &Path, name: &str, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            files(&entry.path(), &name, found);
        } else if !name.starts_with("/ledger.sqlite")
            && !name.starts_with("/writer.")
            && !name.contains("/tensorboard/")
        {
            let bytes = std::fs::read(entry.path()).unwrap();
            found.insert(name, format!("{:x?}", Sha256::digest(bytes)));
        }
    }
}

fn assert_same(found: &BTreeMap<String, String>, expected: &BTreeMap<String, String>, after: &str) {
    for (key, value) in expected {
        assert_eq!(found.get(key), Some(value), "{key} after {after}");
    }
    let more: Vec<_> = found.keys().filter(|key| !expected.contains_key(*key)).collect();
    assert!(more.is_empty(), "left over after {after}: {more:?}");
}

#[test]
fn a_killed_run_resumes_to_the_result_of_an_undisturbed_one() {
    let temporary = tempfile::tempdir().unwrap();
    let preset = preset(temporary.path(), RECIPE);
    let whole = temporary.path().join("whole");
    let began = Instant::now();
    run_to_the_end(&whole, &preset);
    let duration = began.elapsed();
    let expected = digest(&whole);

    let random = Random::new(20, 0);
    let (mut kills, mut attempt, mut round) = (0u32, 0u32, 0u32);
    while kills < KILLS as u32 {
        let dir = temporary.path().join(format!("killed-{round}"));
        loop {
            let mut child = loop_of(&dir, &preset).spawn().unwrap();
            // Up to a third of the whole: every stage is hit, and a run is killed several times before it gets through.
            let [share, ..] = random.uniforms([attempt, 0, 0]);
            attempt += 1;
            std::thread::sleep(duration.mul_f64(0.03 + 0.35 * f64::from(share)));
            if child.try_wait().unwrap().is_some() {
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            if kills == KILLS as u32 {
                break;
            }
        }
        run_to_the_end(&dir, &preset);
        assert_same(&digest(&dir), &expected, &format!("{kills} kills"));
        round += 1;
    }
}

/// What a bad disk may do to a finished workspace and a run that is to go on.
#[test]
fn damaged_files_are_made_again_without_a_person() {
    let temporary = tempfile::tempdir().unwrap();
    let preset = preset(temporary.path(), TWO_ROUNDS);
    let dir = temporary.path().join("ws");
    run_to_the_end(&dir, &preset);
    let expected = digest(&dir);

    let damaged = |wanted: &dyn Fn(&str) -> bool, what: &str| {
        let names: Vec<_> = expected.keys().filter(|name| name.starts_with('/') && wanted(name)).collect();
        assert!(!names.is_empty(), "no {what} to damage");
        for name in names {
            let path = dir.join(&name[1..]);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }
    };
    // Found by scoring, in training, when the run goes on.
    let is_held_out = |name: &str| photos().iter().any(|photo| photo.held_out && name.contains(photo.name));
    damaged(&|name| name.contains("/reference/") && name.ends_with("/1.png"), "candidate of the reference");
    damaged(&|name| name.contains("/run-1-00000") && !is_held_out(name), "candidate of the first round's policy");
    damaged(&|name| name.starts_with("/runs/run-1") && !name.starts_with("/runs/run-1/"), "file of the second round");
    let ledger = Connection::open(dir.join("ledger.sqlite")).unwrap();
    ledger
        .execute_batch(
            "DELETE FROM scores WHERE candidate_id IN (SELECT id FROM candidates WHERE path LIKE '%/reference/%');
            UPDATE runs SET state = 'paused' WHERE name = 'run-1.2';
            DELETE FROM checkpoints WHERE run_id = (SELECT id FROM runs WHERE name = 'run-1.2');
            DELETE FROM evaluations WHERE run_id = (SELECT id FROM runs WHERE name = 'run-1.2');",
        )
        .unwrap();
    drop(ledger);
    run_to_the_end(&dir, &preset);
    assert_same(&digest(&dir), &expected, "damage");
}

/// 40 faults in a few workspaces, each disturbed all along its way from nothing to the comparison.
#[cfg(target_os = "linux")]
#[test]
fn a_fault_at_any_file_call_is_survived() {
    faults::campaign(40, 24);
}

/// 330 faults, each workspace disturbed only a few times: the calls between two faults run on as they would.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "takes minutes: cargo test --release --test kill -- --ignored --nocapture"]
fn faults_at_hundreds_of_file_calls_are_survived() {
    faults::campaign(330, 8);
}

/// The same command again completes what a kill left of the example.
#[cfg(target_os = "linux")]
#[test]
fn an_example_that_was_cut_off_is_completed_by_the_same_command() {
    faults::example();
}

#[cfg(target_os = "linux")]
mod faults {
    use super::*;

    const MODES: [&str; 3] = ["kill", "half", "error"];

    /// Disturbs workspaces until `points` faults have hit; every one of them must end up as an undisturbed one. In each the
    /// first fault comes early, a little later than in the workspace before, and every next one `1 / parts` of all calls
    /// later than the last: so that it gets further each time, and through in the end.
    pub fn campaign(points: usize, parts: usize) {
        let temporary = tempfile::tempdir().unwrap();
        let (shim, count) = (shim(temporary.path()), temporary.path().join("count"));
        let preset = preset(temporary.path(), TWO_ROUNDS);
        let whole = temporary.path().join("whole");
        let counted = loop_of(&whole, &preset)
            .env("LD_PRELOAD", &shim)
            .env("FAULT_DIR", &whole)
            .env("FAULT_COUNT", &count)
            .status()
            .unwrap();
        assert!(counted.success());
        let calls: usize = std::fs::read_to_string(&count).unwrap().parse().unwrap();
        assert!(calls > 300, "the shim saw only {calls} calls");
        let expected = digest(&whole);
        let (mut hits, mut workspaces) = (0, 0);
        let step = calls / parts;
        while hits < points {
            let dir = temporary.path().join(format!("disturbed-{workspaces}"));
            let mut at = 1 + step * (workspaces * 7 % 32) / 32;
            let mut last = String::new();
            loop {
                let mode = MODES[hits % MODES.len()];
                let status = loop_of(&dir, &preset)
                    .env("LD_PRELOAD", &shim)
                    .env("FAULT_DIR", &dir)
                    .env("FAULT_AT", at.to_string())
                    .env("FAULT_MODE", mode)
                    .status()
                    .unwrap();
                if status.success() {
                    // Either it got through before the fault, or the fault did no harm: the result must say so.
                    break;
                }
                hits += 1;
                last = format!("“{mode}” at call {at} of workspace {workspaces}");
                at += step;
            }
            if dir.join("ledger.sqlite").exists() {
                assert_same(&digest(&dir), &expected, &format!("a call that ended well, after {last}"));
            }
            run_to_the_end(&dir, &preset);
            assert_same(&digest(&dir), &expected, &last);
            std::fs::remove_dir_all(&dir).unwrap();
            workspaces += 1;
        }
        println!("{hits} faults at {calls} calls in {workspaces} workspaces");
    }

    pub fn example() {
        let temporary = tempfile::tempdir().unwrap();
        let shim = shim(temporary.path());
        let preset = preset(temporary.path(), TWO_ROUNDS);
        let new = |dir: &Path| {
            let mut command = program();
            command.arg("new").arg(dir).arg("--example").arg("--preset").arg(&preset).env("FAULT_DIR", dir);
            command
        };
        let (whole, count) = (temporary.path().join("whole"), temporary.path().join("count"));
        assert!(new(&whole).env("LD_PRELOAD", &shim).env("FAULT_COUNT", &count).status().unwrap().success());
        let calls: usize = std::fs::read_to_string(&count).unwrap().parse().unwrap();
        let images = |dir: &Path| -> Vec<String> {
            let ledger = Connection::open(dir.join("ledger.sqlite")).unwrap();
            let mut statement = ledger.prepare("SELECT dir FROM images ORDER BY id").unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        for part in 1..8 {
            let dir = temporary.path().join(format!("killed {part}"));
            let at = (calls * part / 8).to_string();
            let killed =
                new(&dir).env("LD_PRELOAD", &shim).env("FAULT_MODE", "kill").env("FAULT_AT", at).status().unwrap();
            assert!(!killed.success());
            assert!(new(&dir).status().unwrap().success(), "killed at {part} eighths");
            assert_eq!(images(&dir), images(&whole), "killed at {part} eighths");
        }
    }

    fn shim(dir: &Path) -> PathBuf {
        let library = dir.join("fault.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shim/fault.c");
        let status =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", source, "-o"]).arg(&library).arg("-ldl").status();
        assert!(status.is_ok_and(|status| status.success()), "this test needs a C compiler, `cc`");
        library
    }
}
