//! Bad input at the command line: one line that names the file and the cause, exit code 1 (or 2 for bad usage), no
//! panic, and whatever was saved still there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use dp2o_studio::backbones::mini;
use dp2o_studio::imaging::encode;
use dp2o_studio::random::Random;

/// A workspace for small pictures, with metrics that these have.
const NEW: &str = "new ws --set crop=128 --set nr=brisque --set fr=stlpips";

/// A directory with a workspace of two sampled and scored images in it, and bad files beside.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        command.args(line.split_whitespace()).current_dir(self.dir.path()).output().unwrap()
    }

    fn done(&self, line: &str) {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The command fails with this exit code, and its last line on standard error has these words.
    fn fails(&self, line: &str, code: i32, words: &[&str]) {
        let output = self.run(line);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {stderr}");
        assert!(!stderr.contains("panicked"), "{line}: {stderr}");
        let said = if code == 2 { stderr.as_ref() } else { stderr.lines().last().unwrap_or_default() };
        for word in words {
            assert!(said.contains(word), "{line}: '{word}' is missing in: {said}");
        }
    }

    /// A small workspace that has been sampled and scored.
    fn workspace(&self) {
        self.write("noise.png", &noise());
        self.done(&format!("{NEW} --set m=2 --set sampling.steps=1"));
        self.done("add ws noise.png --crops 1");
        self.done("sample ws");
        self.done("score ws");
    }
}

fn noise() -> Vec<u8> {
    let random = Random::new(5, 0);
    let values = random.normal_image(3, 160, 160).iter().map(|v| (0.5 + 0.2 * v).clamp(0.0, 1.0)).collect();
    encode::png_bytes(&dp2o_studio::imaging::Image::new(160, 160, values).unwrap()).unwrap()
}

/// What lies in a workspace, without what every opening touches.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if path.extension().is_some_and(|e| e == "png") => {
                let bytes = fs::read(&path).unwrap();
                found.push((path, bytes));
            }
            false => {}
        }
    }
    found.sort();
    found
}

#[test]
fn settings_out_of_range_are_bad_usage_and_change_nothing() {
    let bench = Bench::new();
    bench.workspace();
    let before = fs::read(bench.path("ws/workspace.ron")).unwrap();
    for (set, words) in [
        ("m=-3", ["sampling.m", "from 2"]),
        ("m=two", ["sampling.m", "`two`"]),
        ("ratio=2", ["curation.ratio", "at most 0.5"]),
        ("ratio=nan", ["curation.ratio", "at most 0.5"]),
        ("training.betta=3", ["training.betta", "training.beta"]),
        ("beta", ["beta", "key=value"]),
    ] {
        bench.fails(&format!("sample ws --set {set}"), 2, &words);
    }
    // What only the workspace can tell.
    bench.fails("train ws --set fr=fancy", 1, &["reward.fr", "`fancy`"]);
    bench.fails("train ws --set crop=16", 1, &["needs at least"]);
    assert_eq!(fs::read(bench.path("ws/workspace.ron")).unwrap(), before);
    bench.done("curate ws");
}

#[test]
fn bad_images_are_named_and_the_good_ones_taken() {
    let bench = Bench::new();
    let png = noise();
    bench.write("cut.png", &png[..png.len() / 2]);
    bench.write("words.png", b"not pixels");
    bench.write("good.png", &png);
    bench.done(NEW);
    bench.fails("add ws cut.png", 1, &["cut.png", "truncated"]);
    bench.fails("add ws words.png", 1, &["words.png", "not an image"]);
    bench.fails("add ws gone.png", 1, &["gone.png", "no such file"]);
    bench.fails("iqa --metric brisque cut.png", 1, &["cut.png", "truncated"]);
    bench.fails("iqa --metric fancy good.png", 1, &["fancy", "stlpips"]);
    bench.fails("iqa --metric psnr good.png", 1, &["psnr", "--ref"]);
    bench.fails("upscale words.png --out up", 1, &["words.png", "not an image"]);
    let output = bench.run("add ws cut.png good.png");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().last().unwrap();
    assert!(last.contains("1 of 2 failed, first: cut.png: "), "{stderr}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("1 image added: 1 LR made by") && said.contains("1 file refused"), "{said}");
}

#[test]
fn bad_weights_are_named() {
    let bench = Bench::new();
    bench.write("noise.png", &noise());
    bench.write("cut.safetensors", &mini::WEIGHTS[..100_000]);
    bench.write("words.safetensors", b"{}");
    // The last value of the last tensor becomes NaN (f16).
    let mut broken = mini::WEIGHTS.to_vec();
    let end = broken.len();
    broken[end - 2..].copy_from_slice(&[0xFF, 0x7F]);
    bench.write("nan.safetensors", &broken);
    let other = br#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  "#;
    bench.write("other.safetensors", &[&(other.len() as u64).to_le_bytes()[..], other, &[0; 4]].concat());
    for (name, cause) in [
        ("cut", "the file is truncated: 100000 of"),
        ("words", "not a readable safetensors file"),
        ("nan", "contains NaN"),
        ("other", "is not one of"),
        ("gone", "no such file"),
    ] {
        let file = format!("{name}.safetensors");
        bench.fails(&format!("upscale noise.png --out up --checkpoint {file}"), 1, &[&file, cause]);
    }
}

#[test]
fn bad_ron_is_named_with_its_place() {
    let bench = Bench::new();
    for (text, cause) in [
        ("(sampling: (m: -3))", "line 1, column 17"),
        ("(samplin: (m: 3))", "`samplin`"),
        ("(sampling: (m: \"four\"))", "line 1"),
        ("(sampling: (m: 3)", "Expected comma"),
        ("(curation: (ratio: 2.0))", "curation.ratio"),
    ] {
        bench.write("recipe.ron", text.as_bytes());
        bench.fails("run ws --preset recipe.ron", 1, &["recipe.ron", cause]);
        assert!(!bench.path("ws").exists(), "made in spite of {text}");
    }
    bench.fails("run ws --preset nope", 1, &["`nope`", "mini-demo"]);
    bench.workspace();
    let kept = files(&bench.path("ws"));
    let good = fs::read_to_string(bench.path("ws/workspace.ron")).unwrap();
    for (from, to) in [("m: 2", "m: \"two\""), ("ratio", "rotio")] {
        bench.write("ws/workspace.ron", good.replacen(from, to, 1).as_bytes());
        bench.fails("sample ws", 1, &["workspace.ron", "line"]);
    }
    bench.write("ws/workspace.ron", good.as_bytes());
    bench.done("curate ws");
    assert_eq!(files(&bench.path("ws")), kept);
}

#[test]
fn verbs_before_their_time_say_what_comes_first() {
    let bench = Bench::new();
    bench.done("new ws");
    bench.fails("sample ws", 1, &["no images", "add"]);
    bench.fails("score ws", 1, &["no candidates", "sample"]);
    bench.fails("curate ws", 1, &["no images to train on", "add"]);
    bench.fails("compare ws --b run-9", 1, &["run-9"]);
    bench.fails("sample nowhere", 1, &["nowhere", "no such directory"]);
    bench.fails("frobnicate", 2, &["frobnicate"]);
}

#[test]
fn an_image_too_small_for_a_metric_is_said_once_and_scored_by_the_others() {
    let bench = Bench::new();
    bench.write("noise.png", &noise());
    bench.done("new ws --set m=3 --set sampling.steps=1 --set crop=0 --set fr=stlpips,ms_ssim --set nr=niqe,brisque");
    bench.done("add ws noise.png --crop 0");
    bench.done("sample ws");
    let output = bench.run("score ws --set held_out=psnr");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    let warning = "noise: 160×160 px are too few for ms_ssim (161 px), niqe (192 px)";
    assert_eq!(stderr.matches(warning).count(), 1, "{stderr}");
    assert!(stdout.contains("9 scores computed"), "{stdout}");
}

#[test]
fn a_reader_that_has_gone_is_no_panic() {
    let bench = Bench::new();
    bench.write("noise.png", &noise());
    let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
    command.args(["iqa", "--metric", "piqe", "noise.png", "--json", "scores.json"]).current_dir(bench.dir.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(bench.path("scores.json").exists());
}

#[test]
fn a_device_that_is_not_there_is_an_error_and_the_cpu_can_be_named() {
    let bench = Bench::new();
    bench.fails("info --bench --device gpu", 2, &["gpu", "cuda:1"]);
    bench.fails("new ws --device cuda:1000", 1, &["cuda:1000"]);
    assert!(!bench.path("ws").exists());
    bench.done("new ws --device cpu");
}
