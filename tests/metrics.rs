//! A metric is added without touching another room: the toys here are registered, named in a recipe, and from then on scored,
//! weighed and kept like any other. And what every metric is owed: pixels from memory, features shared in a group.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{Event, Job, JobState, Outcome};
use dp2o_studio::imaging::{Image, decode};
use dp2o_studio::iqa::info::text;
use dp2o_studio::iqa::metric::{NoReference, Nr};
use dp2o_studio::iqa::{self, Bound, Direction, Features, Info, Kind, Map, Metric, Scorer};
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::weights::Store;
use dp2o_studio::workspace::{CandidateRow, Workspace};
use dp2o_studio::{Error, Result};

/// A metric about pixels: the easy way in. How bright an image is.
#[derive(Clone, Copy)]
struct Bright;

static BRIGHT: LazyLock<Info> = LazyLock::new(|| Info {
    map: text("how dark the pixel is"),
    ..Info::new("bright", Kind::NoReference, Direction::Higher)
});

impl NoReference for Bright {
    fn info(&self) -> &Info {
        &BRIGHT
    }

    fn score(&self, image: &Image) -> Result<f64> {
        Ok(mean(image.data()))
    }

    fn map(&self, image: &Image) -> Result<Map> {
        let data = image.plane(1).iter().map(|v| 1.0 - v).collect();
        Ok(Map { width: image.width(), height: image.height(), data })
    }
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64
}

/// A "network" that both learned toys look through: the mean of each channel.
fn network(images: &[Arc<Image>], features: &Features) -> Result<Vec<Arc<[f64; 3]>>> {
    features.of("channel means", images, |missing| {
        LOOKED.fetch_add(missing.len(), Ordering::Relaxed);
        Ok(missing.iter().map(|image| [0, 1, 2].map(|c| mean(image.plane(c)))).collect())
    })
}

/// Held by a test while it looks: they share a counter.
static ALONE: Mutex<()> = Mutex::new(());

/// Images that the network looked at.
static LOOKED: AtomicUsize = AtomicUsize::new(0);

/// A learned metric: opened, bound to the HR image, several candidates at once.
struct Learned(Info, usize);

struct LearnedBound {
    hr: Arc<[f64; 3]>,
    channel: usize,
}

impl Metric for Learned {
    fn info(&self) -> &Info {
        &self.0
    }

    fn weights_hash(&self) -> String {
        format!("{:016}", self.1)
    }

    fn open(&self, _: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        assert!(on.device.is_cpu());
        Ok(Box::new(Learned(self.0.clone(), self.1)))
    }
}

impl Scorer for Learned {
    fn batch(&self, [width, height]: [usize; 2]) -> usize {
        assert_eq!([width, height], [64, 64]);
        3
    }

    fn bind(&self, reference: Option<&Arc<Image>>, features: &Features) -> Result<Box<dyn Bound + '_>> {
        let hr = reference.ok_or_else(|| Error::invalid("no HR"))?;
        spoil();
        let hr = network(std::slice::from_ref(hr), features)?.remove(0);
        Ok(Box::new(LearnedBound { hr, channel: self.1 }))
    }
}

impl Bound for LearnedBound {
    fn scores(&self, images: &[Arc<Image>], features: &Features) -> Vec<Result<f64>> {
        assert!((1..=3).contains(&images.len()));
        let distance = |means: Arc<[f64; 3]>| Ok((means[self.channel] - self.hr[self.channel]).abs());
        match network(images, features) {
            Ok(means) => means.into_iter().map(distance).collect(),
            Err(error) => images.iter().map(|_| Err(Error::invalid(&error))).collect(),
        }
    }

    fn map(&self, _: &Arc<Image>, _: &Features) -> Result<Option<Map>> {
        Ok(None)
    }
}

/// Candidates under this folder are damaged before any is scored: who scores them cannot have read them.
static SPOILED: Mutex<Option<PathBuf>> = Mutex::new(None);

fn spoil() {
    let Some(dir) = SPOILED.lock().unwrap().clone() else { return };
    for file in pngs(&dir) {
        std::fs::write(file, b"spoiled").unwrap();
    }
}

fn pngs(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { pngs(&path) } else { vec![path] }).collect()
}

fn register() {
    static ONCE: LazyLock<()> = LazyLock::new(|| {
        iqa::register(Arc::new(Nr(Bright))).unwrap();
        for (channel, name) in ["red", "green"].into_iter().enumerate() {
            let info = Info::new(name, Kind::FullReference, Direction::Lower);
            iqa::register(Arc::new(Learned(info, channel))).unwrap();
        }
    });
    *ONCE;
}

const RECIPE: &str = r#"(
    data: (crop_px: 64, crops: 2, held_out_crops: 1),
    sampling: (m: 4, steps: 1, method: euler),
    reward: (fr: {"red": 1.0, "green": 0.5}, nr: {"bright": 1.0}, held_out: ["psnr"]),
    curation: (ratio: 0.5),
)"#;

fn engine(dir: &Path, jobs: &[Job]) -> Vec<Outcome> {
    register();
    let engine = Engine::start(Arc::new(|| ())).unwrap();
    let recipe = Recipe::from_ron(RECIPE, "test.ron").unwrap();
    let create = Job::Create { dir: dir.into(), recipe: Box::new(recipe), example: true };
    let run = |job: &Job| {
        let id = engine.run(job.clone()).unwrap();
        loop {
            match engine.events().recv().unwrap() {
                Event::Job { id: of, state: JobState::Done(outcome) } if of == id => return outcome,
                Event::Job { id: of, state } if of == id && state.is_final() => panic!("{state:?}"),
                _ => {}
            }
        }
    };
    std::iter::once(&create).chain(jobs).map(run).collect()
}

/// Every candidate with its scores by the metrics of these names.
fn scores(dir: &Path, names: &[&str]) -> Vec<(CandidateRow, Vec<f64>)> {
    let workspace = Workspace::open_read_only(dir).unwrap();
    let ledger = workspace.ledger();
    let (set, _) = ledger.candidate_sets().unwrap().remove(0);
    let keys: Vec<_> = names.iter().map(|name| iqa::by_name(name).unwrap().key(&Store::default())).collect();
    let table = ledger.scores(&set, &keys).unwrap();
    let candidates = ledger.candidates(&set).unwrap();
    let row = |(i, scored): (usize, &dp2o_studio::workspace::ScoredCandidate)| {
        let candidate = candidates.iter().find(|candidate| candidate.id == scored.id).unwrap();
        (candidate.clone(), table.row(i).to_vec())
    };
    table.candidates().iter().enumerate().map(row).collect()
}

#[test]
fn toys_are_scored_weighed_and_kept_like_any_metric() {
    let _alone = ALONE.lock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("ws");
    let jobs = [Job::Generate { images: None }, Job::Curate { allow_partial: false }];
    let Some(Outcome::Curated(summary)) = engine(&root, &jobs).pop() else { panic!() };
    assert!(summary.pairs > 0);
    let workspace = Workspace::open_read_only(&root).unwrap();
    let scored = scores(&root, &["bright", "red"]);
    assert_eq!(scored.len(), 12);
    for (candidate, scores) in scored {
        // As anybody would compute it from the files.
        let image = decode::read(workspace.path(&candidate.path)).unwrap();
        let row = workspace.ledger().image(candidate.image).unwrap();
        let hr = decode::read(workspace.path(row.hr_path.as_ref().unwrap())).unwrap();
        let red = (mean(image.plane(0)) - mean(hr.plane(0))).abs();
        assert_eq!(scores, [mean(image.data()), red]);
    }
    let bounds: Vec<_> = workspace.ledger().bounds().unwrap().into_iter().map(|b| b.metric.metric).collect();
    assert_eq!(bounds, ["bright", "green", "psnr", "red"]);
    assert!(iqa::register(Arc::new(Nr(Bright))).is_err(), "one of this name is there");
}

#[test]
fn candidates_are_scored_from_memory_as_from_their_files_and_features_are_shared() {
    let _alone = ALONE.lock().unwrap();
    let names = ["bright", "red", "green", "psnr"];
    let dir = tempfile::tempdir().unwrap();
    let [memory, files] = ["memory", "files"].map(|name| dir.path().join(name));
    *SPOILED.lock().unwrap() = Some(memory.join("candidates"));
    let before = LOOKED.load(Ordering::Relaxed);
    engine(&memory, &[Job::Generate { images: None }]);
    // Three groups: the HR image once each, and each of four candidates, however many metrics look.
    let looked = LOOKED.load(Ordering::Relaxed) - before;
    *SPOILED.lock().unwrap() = None;
    assert!(pngs(&memory.join("candidates")).iter().any(|file| std::fs::read(file).unwrap() == b"spoiled"));
    engine(&files, &[Job::Sample { images: None }, Job::Score]);
    let values = |dir: &Path| scores(dir, &names).into_iter().map(|(_, scores)| scores).collect::<Vec<_>>();
    let (of_memory, of_files) = (values(&memory), values(&files));
    assert_eq!(of_memory.len(), 12);
    assert!(of_memory.iter().flatten().all(|score| score.is_finite()), "{of_memory:?}");
    assert_eq!(of_memory, of_files);
    assert_eq!(looked, 15);
}
