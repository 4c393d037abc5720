//! A command of a person's own as a metric: in a recipe and for `iqa`, asked about once on a machine.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A machine with a home of its own.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        let home = self.path("home");
        command.args(arguments).current_dir(self.0.path()).env("HOME", &home).env("XDG_DATA_HOME", home.join("data"));
        command.output().unwrap()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn fails(&self, arguments: &[&str], words: &[&str]) {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        let last = stderr.lines().last().unwrap_or_default();
        words.iter().for_each(|word| assert!(last.contains(word), "{arguments:?}: '{word}' is missing in: {last}"));
    }

    fn program(&self, name: &str, script: &str) -> String {
        let path = self.path(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Prints the size of each file in bytes, and leaves a line for each start.
const SIZES: &str = "#!/bin/sh\nfor i in \"$@\"; do wc -c < \"$i\"; done\necho $# >> \"$(dirname \"$0\")/starts\"\n";

const SMALL: [&str; 12] = [
    "--example",
    "--set",
    "crop=64",
    "--set",
    "data.crops=2",
    "--set",
    "data.held_out_crops=1",
    "--set",
    "m=2",
    "--set",
    "sampling.steps=1",
    "--set",
];

#[test]
fn a_command_of_a_workspace_runs_only_once_it_is_allowed_on_this_machine() {
    let machine = Machine::new();
    let program = machine.program("sizes", SIZES);
    let external =
        format!(r#"external=[(name:"size",program:["{program}","{{images}}"],direction:higher,kind:nr,at_once:2)]"#);
    let set = [external.as_str(), "--set", "nr=size", "--set", "fr=psnr", "--set", "held_out=ssim"];
    machine.done(&[&["new", "ws"][..], &SMALL, &set].concat());
    machine.done(&["sample", "ws"]);
    let starts = || fs::read_to_string(machine.path("starts")).unwrap_or_default();
    machine.fails(&["score", "ws"], &["`size`", &program, "{images}", "--allow-external"]);
    assert_eq!(starts(), "");
    assert!(machine.done(&["score", "ws", "--allow-external"]).contains("18 scores"));
    // Three images of two seeds, both at once.
    assert_eq!(starts(), "2\n2\n2\n");
    machine.done(&["curate", "ws"]);
    // Allowed for good, and nothing is scored twice.
    assert!(machine.done(&["score", "ws"]).contains("0 scores"));
    assert_eq!(starts(), "2\n2\n2\n");
    // A program that changed is another command, and another metric.
    machine.program("sizes", &format!("{SIZES}# more\n"));
    machine.fails(&["score", "ws"], &["has changed", "--allow-external"]);
    assert!(machine.done(&["score", "ws", "--allow-external"]).contains("6 scores"));
    // The same workspace on another machine asks again.
    let other = Machine::new();
    let ws = machine.path("ws");
    other.fails(&["run", ws.to_str().unwrap()], &["`size`", "--allow-external"]);
    fs::remove_file(&program).unwrap();
    machine.fails(&["run", "ws"], &["size: ", &program, "no program is there"]);
}

#[test]
fn iqa_takes_a_command_and_says_what_is_wrong_with_it() {
    let machine = Machine::new();
    let life = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/iqa/life.png");
    let program = machine.program("sizes", SIZES);
    let with = |fields: &str, more: &[&str]| -> Vec<String> {
        let external = format!(r#"(name: "size", {fields})"#);
        let arguments = ["iqa", "--external", &external, "--metric", "size"];
        arguments.iter().chain(more).map(|argument| (*argument).to_owned()).collect()
    };
    let run = |all: Vec<String>| machine.done(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let said = run(with(&format!(r#"program: ["{program}", "{{image}}"], direction: higher, kind: nr"#), &[life]));
    assert!(said.starts_with("size\t") && said.trim_end().ends_with("life.png"), "{said}");
    let score: f64 = said.split('\t').nth(1).unwrap().parse().unwrap();
    assert!(score > 10_000.0, "{score}");

    // A person's judge in Python, where there is one.
    let judge = machine.path("judge.py");
    fs::write(&judge, "import sys\nfor path in sys.argv[2:]:\n    print(len(open(path, 'rb').read()) / 2)\n").unwrap();
    if Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        let judge = judge.to_str().unwrap();
        let fields =
            format!(r#"program: ["python3", "{judge}", "{{reference}}", "{{images}}"], direction: lower, kind: fr"#);
        let said = run(with(&fields, &["--ref", life, life]));
        assert_eq!(said.split('\t').nth(1).unwrap().parse::<f64>().unwrap(), score / 2.0);
    }

    let bad = machine.program("bad", "#!/bin/sh\necho 'no GPU' >&2; exit 1\n");
    let fields = format!(r#"program: ["{bad}", "{{image}}"], direction: higher, kind: nr"#);
    let arguments = with(&fields, &[life]);
    machine
        .fails(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &["life.png", "size: it failed", "no GPU"]);
}
