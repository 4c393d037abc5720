//! `upscale`: no output lost, none made twice, and memory that follows the tile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard};

use candle_core::{Device, Tensor};
use dp2o_studio::backbones::Backbone;
use dp2o_studio::backbones::condition::Prompt;
use dp2o_studio::backbones::field::StateMemory;
use dp2o_studio::backbones::mini::Mini;
use dp2o_studio::backbones::sampler::{Sampler, Solver};
use dp2o_studio::backbones::tiles::Tiling;
use dp2o_studio::imaging::{Image, decode, encode};
use dp2o_studio::memory;
use dp2o_studio::random::Random;

/// As in the program.
#[global_allocator]
static ALLOCATOR: memory::Counted = memory::Counted;

/// One evaluation a picture.
const QUICK: &str = "--set sampling.steps=1 --set sampling.solver=euler";

/// Held by every test: memory is counted for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

struct Bench(tempfile::TempDir, #[allow(dead_code)] MutexGuard<'static, ()>);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), alone())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A picture of noise; another seed is another picture.
    fn picture(&self, name: &str, seed: u64, width: usize, height: usize) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        encode::write_png(path, &noise(seed, width, height)).unwrap();
    }

    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        command.args(line.split_whitespace()).current_dir(self.0.path()).output().unwrap()
    }

    /// What is printed, and what is said beside it.
    fn done(&self, line: &str) -> (String, String) {
        let output = self.run(line);
        let said = text(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        (text(&output.stdout), said)
    }

    /// What is printed before it fails with these words in its last line.
    fn fails(&self, line: &str, words: &[&str]) -> String {
        let output = self.run(line);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        let last = said.lines().last().unwrap_or_default();
        words.iter().for_each(|word| assert!(last.contains(word), "{line}: '{word}' is missing in: {last}"));
        text(&output.stdout)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn noise(seed: u64, width: usize, height: usize) -> Image {
    let values = Random::new(seed, 0).normal_image(3, height, width);
    Image::new(width, height, values.iter().map(|v| (0.5 + 0.2 * v).clamp(0.0, 1.0)).collect()).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn pictures_of_one_name_have_outputs_of_their_own() {
    let bench = Bench::new();
    bench.picture("a/tile.png", 1, 16, 16);
    bench.picture("b/tile.png", 2, 16, 16);
    fs::copy(bench.path("a/tile.png"), bench.path("a/tile.jpg")).unwrap();
    let (printed, _) =
        bench.done(&format!("upscale a/tile.png b/tile.png a/tile.jpg a/tile.png --out up --seeds 1 {QUICK}"));
    let made = ["a_tile.png_x4_seed0.png", "b_tile.png_x4_seed0.png", "tile.jpg_x4_seed0.png"];
    assert_eq!(names(&bench.path("up")), made);
    assert_eq!(printed.lines().count(), 3);
    // The picture that was copied, and another one.
    let pixels = made.map(|name| decode::read(bench.path("up").join(name)).unwrap());
    assert!(pixels[0] == pixels[2] && pixels[1] != pixels[2]);
}

#[test]
fn a_second_call_makes_what_is_missing_and_replaces_only_what_it_may() {
    let bench = Bench::new();
    bench.picture("a.png", 1, 16, 12);
    bench.picture("other/a.png", 2, 16, 12);
    let call = format!("upscale a.png --out up --seeds 2 {QUICK}");
    bench.done(&call);
    let (kept, lost) = (bench.path("up/a_x4_seed0.png"), bench.path("up/a_x4_seed1.png"));
    let (bytes, written) = (fs::read(&lost).unwrap(), fs::metadata(&kept).unwrap().modified().unwrap());
    fs::remove_file(&lost).unwrap();
    let (printed, said) = bench.done(&call);
    assert_eq!(printed.lines().count(), 2);
    assert!(said.contains("1 of 2 outputs were there already"), "{said}");
    assert_eq!(fs::read(&lost).unwrap(), bytes);
    assert_eq!(fs::metadata(&kept).unwrap().modified().unwrap(), written);

    let others = "up/a_x4_seed0.png";
    bench.fails(&format!("{call} --set sampling.steps=2"), &[others, "--overwrite"]);
    bench.fails(&call.replace(" a.png", " other/a.png"), &[others, "--overwrite"]);
    assert_eq!(fs::read(&lost).unwrap(), bytes);
    bench.done(&format!("{call} --set sampling.steps=2 --overwrite"));
    assert_ne!(fs::read(&lost).unwrap(), bytes);
    // Never a picture that is to be enlarged itself.
    bench.picture("b_x4_seed0.png", 3, 16, 12);
    bench.picture("b.png", 4, 16, 12);
    let line = format!("upscale b.png b_x4_seed0.png --out . --seeds 1 --overwrite {QUICK}");
    bench.fails(&line, &["b_x4_seed0.png", "--out"]);
}

#[test]
fn a_picture_that_fails_is_told_by_the_exit_code_and_the_others_are_kept() {
    let bench = Bench::new();
    bench.picture("good.png", 1, 16, 12);
    fs::write(bench.path("broken.png"), b"not pixels").unwrap();
    let printed = bench
        .fails(&format!("upscale broken.png good.png --out up --seeds 1 {QUICK}"), &["1 of 2 failed", "broken.png"]);
    assert!(printed.contains("good_x4_seed0.png"));
    assert_eq!(names(&bench.path("up")), ["good_x4_seed0.png"]);
}

#[test]
fn the_best_of_several_is_one_of_them() {
    let bench = Bench::new();
    bench.picture("a.png", 1, 24, 24);
    let call = format!("upscale a.png --out up --seeds 4 {QUICK} --set nr=brisque");
    bench.done(&call);
    bench.done(&format!("{call} --best-of"));
    let best = decode::read(bench.path("up/a_x4.png")).unwrap();
    let same = |seed: &usize| decode::read(bench.path(&format!("up/a_x4_seed{seed}.png"))).unwrap() == best;
    assert_eq!((0..4).filter(same).count(), 1);
    let (_, said) = bench.done(&format!("{call} --best-of"));
    assert!(said.contains("1 of 1 outputs were there already"), "{said}");
}

#[test]
fn what_cannot_fit_is_refused_before_anything_is_made() {
    let bench = Bench::new();
    bench.picture("a.png", 1, 200, 40);
    let line = format!("upscale a.png --out up --seeds 1 {QUICK} --set sampling.memory_budget_mib=1");
    bench.fails(&line, &["a.png", "takes", "MiB", "sampling.memory_budget_mib is 1"]);
    assert!(!bench.path("up").exists());
    // The budget chooses smaller tiles, which is another picture.
    let pixels = |budget: usize| {
        let out = format!("up{budget}");
        let set = format!("--set sampling.memory_budget_mib={budget}");
        bench.done(&format!("upscale a.png --out {out} --seeds 1 {QUICK} {set}"));
        decode::read(bench.path(&out).join("a_x4_seed0.png")).unwrap()
    };
    assert!(pixels(0) == pixels(200) && pixels(0) != pixels(32));
}

#[test]
fn transparency_is_said_to_be_lost_and_overflowing_weights_are_named() {
    let bench = Bench::new();
    let path = bench.path("a.png");
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), 8, 8);
    encoder.set_color(png::ColorType::Rgba);
    encoder.write_header().unwrap().write_image_data(&[128; 8 * 8 * 4]).unwrap();
    let (_, said) = bench.done(&format!("upscale a.png --out up --seeds 1 {QUICK}"));
    assert!(said.contains("a.png: its transparency was laid on white"), "{said}");

    let net = Mini::new();
    let mut params = net.reference().unwrap();
    for (name, tensor) in params.iter().filter(|(name, _)| *name == "output.weight") {
        tensor.slice_set(&Tensor::full(f32::MAX, tensor.shape(), &Device::Cpu).unwrap(), 0, 0).expect(name);
    }
    params.touch();
    fs::write(bench.path("huge.safetensors"), params.to_safetensors(false, &Default::default()).unwrap()).unwrap();
    let line = format!("upscale a.png --out up2 --seeds 1 {QUICK} --checkpoint huge.safetensors");
    bench.fails(&line, &["a.png", "not finite", "huge.safetensors"]);
    assert!(names(&bench.path("up2")).is_empty());
}

/// The same tiles in a picture four times as long: what is in memory is the same.
#[test]
fn memory_follows_the_tile() {
    let _alone = alone();
    let net = Mini::new();
    let params = net.reference().unwrap();
    let sampler =
        Sampler { solver: Solver::Heun, steps: 1, tiling: Tiling { tile_px: 64, overlap_px: 16 }, guidance: 1.0 };
    let folder = tempfile::tempdir().unwrap();
    let peak = |height: usize| {
        let lr = noise(1, 48, height);
        let memory = StateMemory { bytes: 0, scratch: folder.path() };
        let work = || {
            let condition = net.condition(&lr, &Prompt::default()).unwrap();
            let solved = sampler.solve(&net, &params, &condition, &[0], memory, &mut |_, _| Ok(())).unwrap();
            encode::write_png(folder.path().join("a.png"), &solved.pictures()[0]).unwrap();
        };
        memory::peak_of(work).1.expect("allocations are counted")
    };
    // The weights' form for the kernels is made once.
    peak(32);
    let (short, long) = (peak(64), peak(256));
    // The LR image and the encoder's buffer, at most 1 MiB, are what is longer.
    assert!(long < short + short / 2, "{short} and {long} bytes");
}

/// Twelve megapixels in, 192 out.
#[test]
#[ignore = "minutes and 3 GB of disk; `cargo test --release --test upscale -- --ignored`"]
#[cfg(target_os = "linux")]
fn a_large_picture_takes_less_than_two_gibibytes() {
    let bench = Bench::new();
    bench.picture("large.png", 1, 4000, 3000);
    let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
    let line = format!("upscale large.png --out up --seeds 1 {QUICK}");
    let mut child = command.args(line.split_whitespace()).current_dir(bench.0.path()).spawn().unwrap();
    let mut peak_kib = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
        peak_kib = peak_kib.max(kib.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    assert!(status.success());
    assert!(peak_kib > 0 && peak_kib < 2 << 20, "{peak_kib} KiB");
    assert_eq!(names(&bench.path("up")), ["large_x4_seed0.png"]);
}
