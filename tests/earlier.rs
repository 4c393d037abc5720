//! What an earlier version left half done goes on, and what comes of it can be used: a LoRA run's state of version 2, and
//! the checkpoint of factors that this version makes from there on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dp2o_studio::backbones::mini::WEIGHTS;
use dp2o_studio::nn::tensors::Tensors;
use dp2o_studio::workspace::Workspace;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap(), to.join(entry.as_ref().unwrap().file_name()));
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => fs::copy(entry.path(), to).map(drop).unwrap(),
        }
    }
}

struct Bench(tempfile::TempDir);

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Standard output and standard error of a command, which ends well or not.
    fn run(&self, line: &str, well: bool) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        let output = command.args(line.split_whitespace()).current_dir(self.0.path()).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.success(), well, "{line}: {text}");
        text
    }
}

#[test]
fn a_run_of_an_earlier_version_goes_on_and_its_checkpoint_is_small_and_serves_everywhere() {
    let fixture = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/earlier"));
    let bench = Bench(tempfile::tempdir().unwrap());
    copy(&fixture.join("ws"), &bench.path("ws"));
    assert!(bench.run("train ws", true).contains("run-1: done at step 8"));
    let workspace = Workspace::open_read_only(bench.path("ws")).unwrap();
    let ledger = workspace.ledger();
    let run = ledger.run_by_name("run-1").unwrap().unwrap();
    let steps = ledger.steps_since(run.id, 0).unwrap();
    let expected = fs::read_to_string(fixture.join("steps.csv")).unwrap();
    assert_eq!(steps.len(), expected.lines().count() - 1);
    for (row, line) in steps.iter().zip(expected.lines().skip(1)) {
        let found = [
            f64::from(row.step),
            row.loss,
            row.implicit_accuracy,
            row.margin,
            row.policy_winner_error,
            row.policy_loser_error,
            row.reference_winner_error,
            row.reference_loser_error,
            row.grad_norm,
        ];
        let line: Vec<f64> = line.split(',').map(|value| value.parse().unwrap()).collect();
        for (found, expected) in found.iter().zip(&line) {
            // Processors sum in different orders.
            assert!((found - expected).abs() <= 1e-3 * expected.abs() + 1e-4, "step {}: {found}, {expected}", row.step);
        }
    }

    let checkpoint = ledger.checkpoints_of_run(run.id).unwrap().remove(0);
    let file = workspace.path(checkpoint.path.as_ref().unwrap());
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.len() < WEIGHTS.len() / 50, "{} bytes", bytes.len());
    let about = Tensors::of(&bytes, &file).unwrap().about().clone();
    assert_eq!(about["backbone"], "mini");
    assert_eq!(about["lora"], serde_json::json!([{"rank": 1, "alpha": 16.0}]));
    assert!(!bench.path("ws/runs/run-1/training.state").exists(), "the run is over");

    // By the factors and by the merged weights the model makes the same picture.
    bench.run("export ws --checkpoint run-1@8 --out whole.safetensors", true);
    let refused = bench.run("export ws --checkpoint run-1 --out whole.safetensors", false);
    assert!(refused.contains("--overwrite"), "{refused}");
    bench.run("export ws --checkpoint run-1 --out whole.safetensors --overwrite", true);
    fs::copy(&file, bench.path("factors.safetensors")).unwrap();
    fs::copy(bench.path("ws/images/flower-1/lr.png"), bench.path("lr.png")).unwrap();
    let mut pictures = Vec::new();
    for weights in ["whole", "factors"] {
        bench.run(&format!("upscale lr.png --out {weights} --seeds 1 --checkpoint {weights}.safetensors"), true);
        let dir = fs::read_dir(bench.path(weights)).unwrap();
        let file = dir.map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some_and(|e| e == "png"));
        pictures.push(dp2o_studio::imaging::decode::read(file.unwrap()).unwrap());
    }
    assert!(pictures[0] == pictures[1]);
    assert!(bench.run("compare ws --b run-1", true).contains("run-1@8"));

    // Elsewhere than on the weights it was trained from it is refused.
    let base = about["base"].as_str().unwrap();
    let text = String::from_utf8_lossy(&bytes[8..400]);
    let at = 8 + text.find(base).unwrap();
    let mut other = bytes.clone();
    other[at] = if other[at] == b'0' { b'1' } else { b'0' };
    fs::write(bench.path("other.safetensors"), other).unwrap();
    let refused = bench.run("upscale lr.png --out other --seeds 1 --checkpoint other.safetensors", false);
    assert!(refused.contains("other.safetensors: adds to the weights of SHA-256"), "{refused}");
}
