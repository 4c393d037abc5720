//! What `weights check` says of the generated pair of images is what pyiqa says of it, file by file: here with generated weights, as a
//! person compares once with the published ones.

use std::process::Command;

use serde_json::Value;

use crate::generated::{Model, NETWORKS, part_of};

/// Has the program check the files of a network; returns the worst relative difference of its scores.
fn worst_of(network: &'static str, metric: &str) -> f64 {
    let model = Model::whole(network);
    let home = tempfile::tempdir().unwrap();
    model.write(home.path());
    let json = home.path().join("checked.json");
    let run = &model.fixture["runs"]["even"];
    // A-FINE gives three metrics of one pass, the others call theirs a score.
    let metrics: &[&str] = if network == "afine" { &["afine_fr", "afine_nr", "afine_all"] } else { &[metric] };
    let mut worst = 0.0f64;
    for file in model.files().filter(|file| part_of(file).is_some()) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        command.env("HOME", home.path()).env_remove("XDG_DATA_HOME").current_dir(home.path());
        command.args(["weights", "check", file, "--unverified", "--json"]).arg(&json);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{network}: {said}");
        let checked: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        let scores = checked[0]["scores"].as_array().unwrap();
        for metric in metrics {
            let Some(scored) = scores.iter().find(|scored| scored["metric"] == *metric) else {
                panic!("{network}: {metric} is not among {scores:?}: {said}")
            };
            let output = if network == "afine" { metric } else { "score" };
            for (side, want) in [("distorted", &run["outputs"]), ("reference", &run["reference_scored"])] {
                let (got, want) = (scored[side].as_f64().unwrap(), want[output].as_f64().unwrap());
                worst = worst.max((got - want).abs() / want.abs().max(1e-3));
            }
        }
    }
    println!("weights check: {network}: {worst:.1e}");
    worst
}

#[test]
fn the_scores_of_small_networks_are_those_of_pyiqa() {
    for (network, metric) in [("lpips_alex", "lpips"), ("arniqa", "arniqa")] {
        assert!(worst_of(network, metric) < 1e-4, "{network}");
    }
}

/// `cargo test --release --test learned -- --ignored checked`
#[test]
#[ignore = "minutes"]
fn the_scores_of_all_networks_are_those_of_pyiqa() {
    // Of MANIQA the fixture has two crops, the program scores twenty.
    for (network, metric) in NETWORKS.iter().filter(|(network, _)| !network.starts_with("maniqa")) {
        assert!(worst_of(network, metric) < 1e-3, "{network}");
    }
}
