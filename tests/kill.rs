//! Kills the real program (SIGKILL) at random moments of its main job and demands the result of an undisturbed run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use dp2o_studio::random::Random;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

/// Kills that must hit a running process.
const KILLS: usize = 20;

/// A recipe that finishes within seconds and still samples, scores, trains, checkpoints and evaluates.
const RECIPE: &str = r#"(
    data: (crop_px: 64, crops: 4, held_out_crops: 2, degradation: "bicubic_x4"),
    sampling: (m: 4, steps: 2),
    reward: (fr: {"stlpips": 1.0}, nr: {"brisque": 1.0}, held_out: ["psnr"]),
    curation: (ratio: 0.5),
    training: (steps: 8, batch_pairs: 2, warmup_steps: 2, eval_every: 4, eval_seeds: 2, checkpoint_every: 2, ema_decay: 0.5),
)"#;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn new_workspace(dir: &Path, preset: &Path) {
    let status = program().arg("new").arg(dir).arg("--example").arg("--preset").arg(preset).status().unwrap();
    assert!(status.success());
}

fn run_to_the_end(dir: &Path) {
    let output = program().arg("run").arg(dir).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Everything a run leaves behind, but for times and the sizes of what only time decides.
fn digest(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let ledger = Connection::open_with_flags(dir.join("ledger.sqlite"), flags).unwrap();
    let queries = [
        "SELECT dir, lr_path, hr_path, split, split_by_rule, degradation FROM images ORDER BY dir",
        "SELECT image_id, seed, sampler, path FROM candidates ORDER BY path",
        "SELECT path, metric, value FROM scores JOIN candidates ON candidates.id = candidate_id
            JOIN scorers ON scorers.id = scorer_id ORDER BY path, metric",
        "SELECT metric, min, max FROM reward_bounds JOIN scorers ON scorers.id = scorer_id ORDER BY metric",
        "SELECT name, state, recipe FROM runs ORDER BY name",
        "SELECT name, kind, step, weights_hash, held_out_reward FROM checkpoints ORDER BY name",
        "SELECT step, loss, implicit_accuracy, margin, policy_winner_error, policy_loser_error, reference_winner_error,
            reference_loser_error, grad_norm, learning_rate FROM steps ORDER BY step",
        "SELECT step, measured_on, images, images_digest, report FROM evaluations ORDER BY step, measured_on",
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
    for sub in ["images", "candidates"] {
        files(&dir.join(sub), sub, &mut found);
    }
    found
}

fn files(dir: &Path, name: &str, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => files(&entry.path(), &name, found),
            false => {
                let bytes = std::fs::read(entry.path()).unwrap();
                found.insert(name, format!("{:x?}", Sha256::digest(bytes)));
            }
        }
    }
}

#[test]
fn a_killed_run_resumes_to_the_result_of_an_undisturbed_one() {
    let temporary = tempfile::tempdir().unwrap();
    let preset = temporary.path().join("tiny.ron");
    std::fs::write(&preset, RECIPE).unwrap();
    let whole = temporary.path().join("whole");
    new_workspace(&whole, &preset);
    let began = Instant::now();
    run_to_the_end(&whole);
    let duration = began.elapsed();
    let expected = digest(&whole);

    let random = Random::new(20, 0);
    let (mut kills, mut attempt, mut round) = (0u32, 0u32, 0u32);
    while kills < KILLS as u32 {
        let dir = temporary.path().join(format!("killed-{round}"));
        new_workspace(&dir, &preset);
        loop {
            let mut child = program().arg("run").arg(&dir).spawn().unwrap();
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
        run_to_the_end(&dir);
        let found = digest(&dir);
        for (key, value) in &expected {
            assert_eq!(found.get(key), Some(value), "{key} after {kills} kills");
        }
        assert_eq!(found.len(), expected.len());
        round += 1;
    }
}
