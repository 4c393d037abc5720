//! What goes to other programs and what comes from them: candidates of another model, verdicts, tables, pairs, curves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dp2o_studio::imaging::decode;

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
        let home = self.path("home");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        command.args(arguments).current_dir(self.0.path()).env("HOME", &home).env("XDG_DATA_HOME", home.join("data"));
        command.output().unwrap()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard output and error of what must fail.
    fn fails(&self, arguments: &[&str], words: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{arguments:?}: '{word}' is missing in: {said}"));
        said.into_owned()
    }
}

const SMALL: &[&str] = &[
    "--set",
    "crop=64",
    "--set",
    "data.crops=3",
    "--set",
    "data.held_out_crops=3",
    "--set",
    "m=4",
    "--set",
    "sampling.steps=1",
    "--set",
    "fr=psnr",
    "--set",
    "nr=",
    "--set",
    "balance=1",
    "--set",
    "held_out=ssim",
    "--set",
    "eval_seeds=4",
    "--set",
    "training.steps=3",
    "--set",
    "batch=2",
];

/// The candidates, LR and HR images of a workspace that the program filled itself, as another program would leave them.
fn made_elsewhere(machine: &Machine) {
    machine.done(&[&["new", "own", "--example"][..], SMALL].concat());
    machine.done(&["sample", "own"]);
    let images = machine.path("own/images");
    for dir in fs::read_dir(&images).unwrap().map(|entry| entry.unwrap().path()) {
        let image = dir.file_name().unwrap().to_str().unwrap().to_owned();
        for side in ["lr", "hr"] {
            fs::create_dir_all(machine.path(side)).unwrap();
            fs::copy(dir.join(format!("{side}.png")), machine.path(&format!("{side}/{image}.png"))).unwrap();
        }
        let candidates = machine.path(&format!("own/candidates/{image}/reference/heun-1"));
        let Ok(candidates) = fs::read_dir(candidates) else { continue };
        for file in
            candidates.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "png"))
        {
            let seed = file.file_stem().unwrap().to_str().unwrap();
            for to in [format!("before/{image}_{seed}.png"), format!("after/{image}/{seed}.png")] {
                fs::create_dir_all(machine.path(&to).parent().unwrap()).unwrap();
                fs::copy(&file, machine.path(&to)).unwrap();
            }
        }
    }
}

fn pngs(dir: &Path) -> usize {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "png"))
        .count()
}

#[test]
fn candidates_of_another_model_are_scored_paired_judged_and_compared() {
    let machine = Machine::new();
    made_elsewhere(&machine);
    let names: Vec<String> =
        fs::read_dir(machine.path("hr")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), 6);
    // Three to train on; three held out, whose candidates the test samples below.
    machine.done(&[&["new", "ws"][..], SMALL].concat());
    let ledger = dp2o_studio::workspace::Workspace::open_read_only(machine.path("own")).unwrap();
    let rows = ledger.ledger().images().unwrap();
    let train: Vec<&str> = rows.iter().filter(|row| !row.is_held_out()).map(|row| row.dir.as_str()).collect();
    let made = rows.iter().filter(|row| machine.path(&format!("before/{}_0.png", row.dir)).exists()).count();
    assert_eq!(made, 6, "`sample` draws all images");
    for row in rows.iter().filter(|row| row.is_held_out()) {
        for seed in 0..4 {
            let (from, to) = (format!("before/{}_{seed}.png", row.dir), format!("before-test/{}_{seed}.png", row.dir));
            fs::create_dir_all(machine.path("before-test")).unwrap();
            fs::rename(machine.path(&from), machine.path(&to)).unwrap();
        }
    }

    // Not here yet, and not named: said by name, nothing is taken.
    machine.fails(
        &["import", "ws", "candidates", "before", "--as", "base"],
        &[train[0], "no image here is called", "(--lr, --hr)"],
    );
    let said = machine.done(&["import", "ws", "candidates", "before", "--as", "base", "--lr", "lr", "--hr", "hr"]);
    assert!(
        said.contains(
            "12 candidates imported as base, the reference of this workspace (3 groups, 4 seeds, {image}_{seed})"
        ),
        "{said}"
    );
    let said = machine.done(&[
        "import",
        "ws",
        "candidates",
        "before-test",
        "--as",
        "base",
        "--lr",
        "lr",
        "--hr",
        "hr",
        "--split",
        "test",
    ]);
    assert!(said.contains("12 candidates imported as base"), "{said}");
    // Given again: nothing is taken twice.
    let said = machine.done(&["import", "ws", "candidates", "before", "--as", "base"]);
    assert!(said.contains("0 candidates imported") && said.contains("12 here already"), "{said}");
    let kept = format!("ws/candidates/{}/base/imported", train[0]);
    assert_eq!(pngs(&machine.path(&kept)), 4);
    assert_eq!(
        fs::read(machine.path(&format!("{kept}/2.png"))).unwrap(),
        fs::read(machine.path(&format!("before/{}_2.png", train[0]))).unwrap()
    );

    // The same scores as where they were made.
    machine.done(&["score", "ws"]);
    machine.done(&["score", "own"]);
    let scores = |ws: &str| {
        machine.done(&["export", ws, "scores", "--out", &format!("{ws}.csv")]);
        let text = fs::read_to_string(machine.path(&format!("{ws}.csv"))).unwrap();
        let mut lines: Vec<String> = text
            .lines()
            .skip(1)
            .map(|line| {
                let cells: Vec<&str> = line.split(',').collect();
                [cells[2], cells[3], cells[4]].join(" ")
            })
            .collect();
        lines.sort();
        lines
    };
    let here = scores("ws");
    assert_eq!(here.len(), 6 * 4 * 2);
    assert_eq!(here, scores("own"));
    // The same pairs, and a verdict that comes in changes them.
    assert_eq!(machine.done(&["curate", "ws"]), machine.done(&["curate", "own"]));
    machine.done(&["export", "ws", "pairs", "--out", "pairs.jsonl"]);
    let pairs = fs::read_to_string(machine.path("pairs.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(pairs.lines().next().unwrap()).unwrap();
    for column in ["image", "winner_seed", "loser_seed", "gap", "w_intra", "w_inter", "w", "winner", "loser", "lr"] {
        assert!(!first[column].is_null(), "{column}");
    }
    let verdict = format!(
        "image,winner_seed,loser_seed,verdict,rater\n{},{},{},flip,anna\nnowhere,0,1,pin,anna\n",
        first["image"].as_str().unwrap(),
        first["winner_seed"],
        first["loser_seed"]
    );
    fs::write(machine.path("verdicts.csv"), &verdict).unwrap();
    machine.fails(
        &["import", "ws", "verdicts", "verdicts.csv"],
        &["1 verdict imported", "line 3: no image here is called nowhere"],
    );
    machine.done(&["export", "ws", "verdicts", "--out", "out.csv"]);
    let out = fs::read_to_string(machine.path("out.csv")).unwrap();
    assert!(out.lines().count() == 2 && out.contains(",flip,anna,"), "{out}");
    // Another rater's stands beside it.
    fs::write(machine.path("verdicts.csv"), out.replace(",flip,anna,", ",pin,ben,")).unwrap();
    machine.done(&["import", "ws", "verdicts", "verdicts.csv"]);
    machine.done(&["export", "ws", "verdicts", "--out", "both.csv"]);
    let both = fs::read_to_string(machine.path("both.csv")).unwrap();
    assert!(both.lines().count() == 3 && both.starts_with(&out) && both.contains(",pin,ben,"), "{both}");
    machine.done(&["import", "ws", "verdicts", "out.csv"]);
    machine.done(&["export", "ws", "pairs", "--out", "flipped.jsonl"]);
    assert_ne!(fs::read_to_string(machine.path("flipped.jsonl")).unwrap(), pairs);

    // Another model's, of which one is a size too small, one is grey and one is missing.
    let file = |seed: u64| machine.path(&format!("after/{}/{seed}.png", train[0]));
    let whole = decode::read(file(0)).unwrap();
    let small =
        dp2o_studio::imaging::resize::resize(&whole, 32, 32, dp2o_studio::imaging::resize::Filter::Area).unwrap();
    dp2o_studio::imaging::encode::write_png(file(0), &small).unwrap();
    fs::remove_file(file(1)).unwrap();
    fs::write(file(3), b"no picture").unwrap();
    let said = machine.fails(
        &["import", "ws", "candidates", "after", "--as", "tuned"],
        &[
            "21 candidates imported as tuned",
            "32×32 px, where 64×64 px",
            "lacks seeds 0, 1, 3",
            "cannot be read",
            train[0],
            "{image}/{seed}",
        ],
    );
    assert!(!said.contains("the reference of this workspace"), "{said}");
    let said = machine.done(&["compare", "ws", "--b", "tuned", "--json", "compared.json"]);
    assert!(said.contains("base") && said.contains("tuned"), "{said}");
    let compared: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(machine.path("compared.json")).unwrap()).unwrap();
    assert_eq!((compared["images"].as_u64(), compared["seeds"].as_u64()), (Some(3), Some(4)));
    // The same pictures: no change at all.
    assert_eq!(compared["reference"]["mean"], compared["policy"]["mean"]);

    // What needs the network is off, and says so; runs and imports do not share names.
    for verb in ["sample", "train", "run"] {
        machine.fails(&[verb, "ws"], &["`base` were imported", "sampling.imported="]);
    }
    // Mixed: the backbone's own, under the same recipe otherwise.
    machine.done(&["sample", "ws", "--set", "sampling.imported="]);
    let said = machine.done(&["compare", "ws", "--b", "base"]);
    assert!(said.contains("reference") && said.contains("base"), "{said}");
    machine.fails(&["train", "ws", "--run", "base"], &["is the name of imported candidates"]);
    machine.done(&["train", "ws"]);
    machine.fails(&["import", "ws", "candidates", "before", "--as", "run-1"], &["is the name of a run"]);

    // The ledger is lost: candidates are found again under their name.
    fs::remove_file(machine.path("ws/ledger.sqlite")).unwrap();
    machine.done(&["repair", "ws"]);
    let found = dp2o_studio::workspace::Workspace::open_read_only(machine.path("ws")).unwrap();
    let base = found.ledger().imported("base").unwrap().unwrap();
    assert_eq!(found.ledger().candidates(&base.imported_set()).unwrap().len(), 24);
}

#[test]
fn only_held_out_candidates_and_several_steps_are_compared_too() {
    let machine = Machine::new();
    made_elsewhere(&machine);
    machine.done(&[&["new", "ws"][..], SMALL].concat());
    for (step, shift) in [(10, 0), (20, 1)] {
        for file in fs::read_dir(machine.path("before")).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let (image, seed) = name.rsplit_once('_').unwrap();
            let seed = (seed.parse::<u64>().unwrap() + shift) % 4 * 7;
            let to = machine.path(&format!("steps/run/{step}/{image}_{seed}.png"));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(file, to).unwrap();
        }
    }
    let pattern = ["--pattern", "run/{step}/{image}_{seed}.png"];
    let said = machine.done(
        &[&["import", "ws", "candidates", "steps", "--as", "mine", "--hr", "hr", "--split", "test"][..], &pattern]
            .concat(),
    );
    assert!(said.contains("48 candidates imported as mine, the reference"), "{said}");
    let said = machine.done(&["compare", "ws", "--a", "mine@10", "--b", "mine@20"]);
    assert!(said.contains("mine@10") && said.contains("mine@20"), "{said}");
    machine.fails(&["compare", "ws", "--b", "mine@30"], &["there are: reference mine@10 mine@20"]);
}

#[test]
fn pairs_and_curves_are_written_for_other_tools() {
    let machine = Machine::new();
    machine.done(&[&["new", "ws", "--example"][..], SMALL].concat());
    machine.done(&["sample", "ws"]);
    machine.done(&["score", "ws"]);
    let workspace = dp2o_studio::workspace::Workspace::open_read_only(machine.path("ws")).unwrap();
    let images = workspace.ledger().images().unwrap();
    let held_out = images.iter().find(|image| image.is_held_out()).unwrap().id.0.to_string();
    machine.done(&["split", "ws", "validation", &held_out]);
    machine.done(&["train", "ws"]);
    machine.done(&["export", "ws", "pairs", "--format", "hf", "--out", "hf"]);
    let metadata = fs::read_to_string(machine.path("hf/metadata.jsonl")).unwrap();
    for line in metadata.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        for column in ["winner_file_name", "loser_file_name", "lr_file_name"] {
            assert!(machine.path("hf").join(row[column].as_str().unwrap()).is_file(), "{column}");
        }
    }
    machine.done(&["export", "ws", "pairs", "--format", "diffusion-dpo", "--out", "dpo"]);
    let parquet = fs::read(machine.path("dpo/data/train-00000-of-00001.parquet")).unwrap();
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    machine.fails(&["export", "ws", "scores", "--format", "hf", "--out", "x"], &["layouts of pairs"]);
    for table in ["scores", "pairs", "run"] {
        for form in ["parquet", "csv", "jsonl", "json"] {
            let run = if table == "run" { &["--run", "run-1"][..] } else { &[] };
            machine.done(&[&["export", "ws", table, "--out", &format!("{table}.{form}")], run].concat());
        }
        assert!(fs::read(machine.path(&format!("{table}.parquet"))).unwrap().starts_with(b"PAR1"));
    }
    // The start and three steps, each with what was evaluated and with the recipe.
    let run: Vec<serde_json::Value> = serde_json::from_slice(&fs::read(machine.path("run.json")).unwrap()).unwrap();
    assert_eq!(run.iter().map(|row| row["step"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(run[0]["loss"].is_null() && run[0]["validation_mean"].is_f64() && run[0]["validation.ssim"].is_f64());
    for row in &run {
        let settings = [("run", "run-1"), ("reward.fr", "psnr:1"), ("training.objective", "dpo")];
        settings.iter().for_each(|(key, value)| assert_eq!(row[key], *value, "{key}"));
        assert_eq!((&row["training.batch_pairs"], &row["data.crop_px"]), (&2.into(), &64.into()));
    }
    assert!(run[1..].iter().all(|row| row["loss"].is_f64()));
    let events = machine.path("ws/runs/run-1/tensorboard");
    let files: Vec<_> = fs::read_dir(&events).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let bytes = fs::read(&files[0]).unwrap();
    for tag in ["train/loss", "error/policy_winner", "validation/mean@4"] {
        assert!(bytes.windows(tag.len()).any(|window| window == tag.as_bytes()), "{tag}");
    }
    machine.done(&["train", "ws", "--run", "quiet", "--set", "events=off", "--set", "beta=9"]);
    assert!(!machine.path("ws/runs/quiet/tensorboard").exists());
    if let Ok(keep) = std::env::var("DP2O_KEEP_EXPORTS") {
        let copied = Command::new("cp").args(["-r", machine.0.path().to_str().unwrap(), &keep]).status();
        assert!(copied.is_ok_and(|status| status.success()));
    }
}
