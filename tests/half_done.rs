//! Half-done work is never called done: what failed is counted and named, exit code 1, and the rest is kept; what cannot
//! come to an end is refused before it begins.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use dp2o_studio::imaging::{Image, encode};
use dp2o_studio::random::Random;
use dp2o_studio::workspace::Workspace;

/// Small pictures have these metrics; `niqe_b32` needs 64 px.
const NEW: &str = "new ws --set m=2 --set sampling.steps=1 --set sampling.solver=euler --set training.steps=1 \
                   --set training.eval_seeds=2 --set training.batch_pairs=1 --set fr=stlpips --set nr=niqe_b32,brisque \
                   --set held_out=psnr --set crop=0";

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

    /// A picture of noise, unlike any other.
    fn picture(&self, name: &str, side: usize) {
        let seed = name.bytes().fold(7, |seed, byte| seed * 31 + u64::from(byte));
        let noise = Random::new(seed, 0).normal_image(3, side, side);
        let values = noise.iter().map(|v| (0.5 + 0.2 * v).clamp(0.0, 1.0)).collect();
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        encode::write_png(path, &Image::new(side, side, values).unwrap()).unwrap();
    }

    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        command.args(line.split_whitespace()).current_dir(self.dir.path()).output().unwrap()
    }

    /// Standard output and standard error of a command that ends with this exit code.
    fn ends(&self, line: &str, code: i32) -> [String; 2] {
        let output = self.run(line);
        let texts = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(output.status.code(), Some(code), "{line}: {}", texts[1]);
        texts
    }

    fn done(&self, line: &str) -> String {
        let [stdout, stderr] = self.ends(line, 0);
        stdout + &stderr
    }

    /// The command fails, and its last line has these words.
    fn fails(&self, line: &str, words: &[&str]) -> String {
        let [stdout, stderr] = self.ends(line, 1);
        let last = stderr.lines().last().unwrap_or_default();
        for word in words {
            assert!(last.contains(word), "{line}: '{word}' is missing in: {stderr}");
        }
        stdout + &stderr
    }

    fn workspace(&self) -> Workspace {
        Workspace::open_read_only(self.path("ws")).unwrap()
    }
}

#[test]
fn ranking_regardless_of_a_seed_that_no_two_images_share_says_that_it_does_nothing() {
    let bench = Bench::new();
    bench.picture("a.png", 128);
    bench.picture("b.png", 160);
    bench.done(&format!("{NEW} --set regardless=seed"));
    bench.done("add ws a.png b.png --crop 0");
    let said = bench.done("run ws --no-compare --set ratio=0.5");
    assert_eq!(said.matches("no two training images").count(), 1, "{said}");
    bench.picture("c.png", 128);
    bench.done("add ws c.png --crop 0");
    assert!(bench.done("curate ws --set ratio=0.5 --allow-partial").contains("on 1 of 3 training images"));
}

#[test]
fn groups_that_lack_seeds_are_refused_or_said_and_noted() {
    let bench = Bench::new();
    ["a.png", "b.png", "c.png"].iter().for_each(|name| bench.picture(name, 64));
    bench.done(NEW);
    bench.done("add ws a.png b.png");
    bench.done("sample ws");
    bench.fails("curate ws", &["a has 2 of 2 seeds, 0 of them scored", "--allow-partial"]);
    bench.done("score ws");
    assert!(bench.done("curate ws").contains("2 pairs of 2 groups"));

    // The bounds are frozen now, and still no pair is made of less than was asked for.
    bench.fails("curate ws --set m=3", &["2 of 2 images", "a has 2 of 3 seeds", "b has", "--allow-partial"]);
    bench.fails("train ws", &["a has 2 of 3 seeds"]);
    bench.fails("export ws --out pairs", &["a has 2 of 3 seeds"]);
    bench.done("curate ws --set m=2");
    bench.done("add ws c.png");
    bench.fails("train ws", &["1 of 3 images", "c has 0 of 2 seeds"]);
    assert!(bench.workspace().ledger().runs().unwrap().is_empty());

    let text = bench.done("train ws --allow-partial");
    assert_eq!(text.matches("c has 0 of 2 seeds").count(), 1, "{text}");
    let runs = bench.workspace().ledger().runs().unwrap();
    assert!(runs[0].partial().unwrap().contains("c has 0 of 2 seeds"));
    assert!(bench.done("info ws").contains("c has 0 of 2 seeds"));

    // More seeds than the recipe's are no fault.
    bench.done("sample ws --set m=3");
    bench.done("score ws");
    bench.done("curate ws --set m=2");
}

#[test]
fn an_image_too_small_for_the_reward_is_left_out_and_each_row_says_of_how_many_images_it_is() {
    let bench = Bench::new();
    for (name, side) in [("big.png", 64), ("small.png", 48), ("judge.png", 64), ("speck.png", 48)] {
        bench.picture(name, side);
    }
    bench.done(NEW);
    bench.done("add ws small.png");
    bench.done("sample ws");
    bench.done("score ws");
    bench.fails("curate ws", &["small: 48×48 px are too few for the reward's niqe_b32 (64 px)"]);
    bench.done("add ws big.png");
    bench.done("add ws judge.png speck.png --split test");
    let text = bench.done("run ws --json r.json");
    assert_eq!(text.matches("left out of the pairs: small: 48×48 px").count(), 1, "{text}");
    assert!(text.contains("1 pair, 1 step"), "{text}");
    assert!(text.contains("not of all 2 test images: Best, Mean, Worst, niqe_b32 (of 1)"), "{text}");
    for line in text.lines() {
        let is_of_one =
            ["Best@", "Mean@", "Worst@", "σ over seeds", "niqe_b32 "].iter().any(|name| line.starts_with(name));
        assert_eq!(line.ends_with("(of 1)"), is_of_one, "{line}");
    }
    let json: serde_json::Value = serde_json::from_slice(&fs::read(bench.path("r.json")).unwrap()).unwrap();
    for side in ["reference", "policy"] {
        let side = &json[side];
        let of = |metric: &str| side["metrics"][metric]["images"].as_u64();
        assert_eq!((side["images"].as_u64(), of("niqe_b32")), (Some(1), Some(1)));
        assert_eq!((of("stlpips"), of("brisque"), of("psnr")), (Some(2), Some(2), Some(2)));
    }
}

#[test]
fn images_are_removed_by_name_or_number_and_brought_back() {
    let bench = Bench::new();
    ["a.png", "b.png", "2/a.png"].iter().for_each(|name| bench.picture(name, 64));
    bench.done(NEW);
    bench.done("add ws a.png");
    bench.done("add ws b.png 2/a.png");
    bench.fails("remove ws c", &["no image `c`"]);
    bench.fails("remove ws a", &["several images are called `a`", "1 3"]);
    bench.done("remove ws 3 b");
    let left = || -> Vec<i64> { bench.workspace().ledger().images().unwrap().iter().map(|i| i.id.0).collect() };
    assert_eq!(left(), [1]);
    let listed = bench.done("info ws --images");
    assert!(listed.lines().filter(|line| line.starts_with("removed")).count() == 2, "{listed}");
    bench.done("remove ws b --undo");
    assert_eq!(left(), [1, 2]);
}

#[test]
fn what_failed_is_counted_named_and_exit_code_one_and_the_rest_is_kept() {
    let bench = Bench::new();
    bench.picture("a.png", 64);
    bench.picture("b.png", 64);
    fs::write(bench.path("words.png"), b"not pixels").unwrap();
    bench.done(NEW);
    let text = bench.fails("add ws a.png words.png b.png", &["1 of 3 failed, first: words.png: "]);
    assert!(text.contains("2 images added"), "{text}");

    let image = &bench.workspace().ledger().images().unwrap()[0];
    fs::write(bench.path("ws").join(image.lr_path.to_string()), b"damaged").unwrap();
    bench.fails("sample ws", &["1 of 2 failed, first: a: not sampled: "]);
    assert_eq!(bench.workspace().ledger().counts().unwrap().candidates, 2);
    // Again: nothing is left to sample but what fails.
    bench.fails("sample ws", &["1 of 2 failed, first: a: "]);
    bench.done("score ws");
    bench.fails("run ws --no-compare", &["1 of 2 images", "a has 0 of 2 seeds"]);
    let text = bench.fails("run ws --no-compare --allow-partial", &["1 of 2 failed, first: a: not sampled"]);
    assert!(text.contains("1 pair, 1 step"), "{text}");

    let text = bench.fails(
        "iqa --metric psnr,brisque --ref a.png a.png words.png b.png --json out.json",
        &["1 of 3 failed, first: words.png: "],
    );
    assert!(text.contains("a.png") && text.contains("b.png"), "{text}");
    let rows: serde_json::Value = serde_json::from_slice(&fs::read(bench.path("out.json")).unwrap()).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 4);
    bench.picture("other/size.png", 48);
    bench.fails("iqa --metric psnr,niqe_b32 --ref a.png other/size.png b.png", &["1 of 2 failed", "size.png: psnr: "]);
}

#[test]
fn what_cannot_come_to_an_end_does_not_begin() {
    let bench = Bench::new();
    bench.picture("a.png", 64);
    bench.picture("b/a.png", 64);
    bench.done(NEW);
    bench.done("add ws a.png");
    bench.fails("run ws", &["no image is held out", "--no-compare"]);
    bench.fails("run ws --no-compare --json a.png/r.json", &["a.png/r.json", "a.png is no folder"]);
    bench.fails("iqa --metric piqe b/a.png --json a.png/r.json", &["a.png is no folder"]);
    assert_eq!(bench.workspace().ledger().counts().unwrap().candidates, 0);
    let text = bench.done("run ws --no-compare --json made/new/r.json");
    assert!(text.contains("nothing was compared") && bench.path("made/new/r.json").exists(), "{text}");
    bench.fails("compare ws --b run-1 --csv a.png/t.csv", &["a.png is no folder"]);
    bench.fails("compare ws --b run-1 --csv t.csv --latex t.csv", &["t.csv", "twice"]);
    bench.ends("compare ws --b run-1 --seeds 0", 2);

    fs::create_dir(bench.path("pairs")).unwrap();
    fs::write(bench.path("pairs/mine.txt"), b"mine").unwrap();
    bench.fails("export ws --out pairs", &["pairs: this folder is not empty", "--overwrite"]);
    // A pair: three pictures; and two tables.
    assert!(bench.done("export ws --out pairs --overwrite").contains("5 files written"));
    assert!(bench.path("pairs/mine.txt").exists());

    bench.done("iqa --metric piqe a.png b/a.png --map maps");
    let maps = fs::read_dir(bench.path("maps")).unwrap().count();
    assert_eq!(maps, 2, "one map of each picture");
}

#[cfg(unix)]
#[test]
fn json_to_standard_output_goes_there() {
    let bench = Bench::new();
    bench.picture("a.png", 64);
    // Through a link of the test's own: a mistake must not replace a device of the machine.
    std::os::unix::fs::symlink("/dev/stdout", bench.path("out")).unwrap();
    let text = bench.done("iqa --metric brisque a.png --json out");
    assert!(text.contains("\"metric\": \"brisque\""), "{text}");
    assert!(bench.path("out").is_symlink());
    // Redirected to a file, what was said before stays.
    let file = fs::File::create(bench.path("both.txt")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
    command.args(["iqa", "--metric", "brisque", "a.png", "--json", "out"]).current_dir(bench.dir.path()).stdout(file);
    assert!(command.status().unwrap().success());
    let text = fs::read_to_string(bench.path("both.txt")).unwrap();
    assert!(text.starts_with("brisque\t") && text.contains("\"metric\": \"brisque\""), "{text}");
}

#[test]
fn scores_of_folders_go_on_where_they_ended_and_bad_files_are_named() {
    let bench = Bench::new();
    for name in ["hr/a.png", "hr/b.png", "hr/c.png"] {
        bench.picture(name, 64);
    }
    fs::create_dir(bench.path("sr")).unwrap();
    for (from, to) in [("hr/b.png", "sr/ax4.png"), ("hr/a.png", "sr/b_SR.png"), ("hr/b.png", "sr/d.png")] {
        fs::copy(bench.path(from), bench.path(to)).unwrap();
    }
    fs::write(bench.path("sr/c.png"), "no image").unwrap();
    let command = "iqa --metric psnr,brisque sr --ref hr --out table.csv";
    let said = bench.fails(command, &["2 of 4 failed, first: "]);
    assert!(said.contains("sr/c.png") && said.contains("sr/d.png: has no reference image"), "{said}");
    let rows =
        || fs::read_to_string(bench.path("table.csv")).unwrap().lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    // One image has no reference, which only one of the metrics needs.
    assert_eq!(rows().len(), 5, "{:?}", rows());
    let of = |metric: &str, file: &str| {
        rows().iter().find(|row| row.starts_with(file) && row.contains(&format!(",{metric},"))).cloned()
    };
    assert!(of("psnr", "sr/ax4.png").unwrap().contains("hr/a.png"));
    assert!(of("psnr", "sr/b_SR.png").unwrap().contains("hr/b.png"));

    // The bad file was made good, one changed: only they are scored, and what it was stays.
    fs::copy(bench.path("hr/b.png"), bench.path("sr/c.png")).unwrap();
    fs::copy(bench.path("hr/c.png"), bench.path("sr/ax4.png")).unwrap();
    fs::remove_file(bench.path("sr/d.png")).unwrap();
    let said = bench.done(command);
    assert!(said.contains("2 scores were in the table already") && !said.contains("b_SR"), "{said}");
    assert_eq!(rows().len(), 9);
    // Another border is another definition.
    bench.done("iqa --metric psnr sr --ref hr --out table.csv --border 4");
    assert_eq!(rows().len(), 12);
    assert_eq!(rows().iter().filter(|row| row.ends_with("without 4 px at each side")).count(), 3);
    bench.fails("iqa --metric psnr sr --ref nowhere --out table.csv", &["nowhere"]);
    bench.fails("iqa --metric brisque no*.png", &["nothing fits"]);
}

#[cfg(unix)]
#[test]
fn cancelled_scoring_keeps_what_is_done() {
    let bench = Bench::new();
    (0..12).for_each(|i| bench.picture(&format!("p/{i}.png"), 32));
    let slow =
        r#"(name: "slow", program: ["/bin/sh", "-c", "sleep 0.2; echo 1", "{image}"], direction: higher, kind: nr)"#;
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        command.args(["iqa", "--external", slow, "--metric", "slow", "p", "--out", "t.jsonl"]);
        command.current_dir(bench.dir.path()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
        command
    };
    let rows = || fs::read_to_string(bench.path("t.jsonl")).unwrap_or_default().lines().count();
    let child = command().spawn().unwrap();
    let began = std::time::Instant::now();
    while rows() < 2 && began.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // SAFETY: a signal to a process that this test started and has not waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let done = rows();
    assert!((2..12).contains(&done), "{done}");
    assert!(said.contains(&format!("cancelled: {done} of 12 images")) && said.contains("goes on from there"), "{said}");
    let output = command().output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("{done} scores were in the table")));
    assert_eq!(rows(), 12);
}

#[test]
fn candidates_of_other_weights_are_said_and_stay() {
    let bench = Bench::new();
    bench.picture("a.png", 64);
    bench.done(NEW);
    bench.done("add ws a.png");
    bench.done("sample ws");
    bench.done("score ws");
    bench.done("curate ws");
    let other = "other weights of mini";
    assert!(!bench.done("sample ws").contains(other));
    // As if a version with other weights of the same name had made them.
    let earlier = "UPDATE checkpoints SET name = 'mini-earlier', weights_hash = 'earlier' WHERE kind = 'reference'";
    let ledger = rusqlite::Connection::open(bench.path("ws/ledger.sqlite")).unwrap();
    assert_eq!(ledger.execute(earlier, []).unwrap(), 1);
    drop(ledger);
    let said = bench.done("sample ws");
    assert!(said.contains(&format!("2 candidates are of {other}")) && said.contains("bounds of the reward"), "{said}");
    assert!(said.contains("2 candidates sampled"), "{said}");
    assert!(!bench.done("sample ws").contains(other));
    let sets = bench.workspace().ledger().candidate_sets().unwrap();
    assert_eq!(sets.iter().map(|(_, count)| count).collect::<Vec<_>>(), [&2, &2]);
}
