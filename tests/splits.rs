//! What is held out stays apart from what is trained on and from what chooses checkpoints, against the real engine on tiny
//! images.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dp2o_studio::engine::Engine;
use dp2o_studio::engine::protocol::{AddImages, Compared, Event, Job, JobState, Level, Outcome};
use dp2o_studio::imaging::resize::{Filter, resize};
use dp2o_studio::imaging::{Image, encode};
use dp2o_studio::method::provenance::{Chosen, On};
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::random::Random;
use dp2o_studio::workspace::{ImageId, Split, SplitChoice, Workspace};

/// An engine with a workspace of its own, and a folder for files.
struct Bench {
    engine: Engine,
    home: tempfile::TempDir,
    /// Lines of the log so far.
    log: Vec<(Level, String)>,
}

impl Bench {
    fn new() -> Self {
        let mut recipe = Recipe::default();
        let small = ["crop=128", "fr=stlpips", "nr=brisque", "held_out=psnr", "m=2", "sampling_steps=2", "ratio=0.5"];
        let short = ["steps=2", "batch=2", "eval_every=1", "training.eval_seeds=2", "warmup=0", "early_stop=0"];
        small.into_iter().chain(short).for_each(|setting| recipe.set_assignment(setting).unwrap());
        let mut bench = Self {
            engine: Engine::start(Arc::new(|| ())).unwrap(),
            home: tempfile::tempdir().unwrap(),
            log: Vec::new(),
        };
        bench.run(Job::Create { dir: bench.root(), recipe: Box::new(recipe), example: false }).unwrap();
        bench
    }

    fn root(&self) -> PathBuf {
        self.home.path().join("ws")
    }

    fn run(&mut self, job: Job) -> Result<Outcome, String> {
        let id = self.engine.run(job).unwrap();
        loop {
            match self.engine.events().recv().unwrap() {
                Event::Job { id: of, state: JobState::Done(outcome) } if of == id => return Ok(outcome),
                Event::Job { id: of, state: JobState::Failed(cause) } if of == id => return Err(cause),
                Event::Log { level, text } => self.log.push((level, text)),
                _ => {}
            }
        }
    }

    /// Whether the log has a line with this text.
    fn said(&self, level: Level, part: &str) -> bool {
        self.log.iter().any(|(of, text)| *of == level && text.contains(part))
    }

    /// Adds a file, whole.
    fn add(&mut self, path: &Path, split: SplitChoice) -> Result<Outcome, String> {
        self.add_crops(path, split, 0)
    }

    fn add_crops(&mut self, path: &Path, split: SplitChoice, crop_px: usize) -> Result<Outcome, String> {
        let request = AddImages {
            paths: vec![path.to_owned()],
            split,
            crop_px,
            crops: 1,
            degradation: Some(if crop_px == 0 { "bicubic_x4" } else { "light_x4" }.into()),
            ..AddImages::default()
        };
        match self.run(Job::Add(request))? {
            Outcome::Added(added) if !added.failed.is_empty() => Err(added.failed.causes.join("; ")),
            outcome => Ok(outcome),
        }
    }

    fn split_of(&self, name: &str) -> (ImageId, Split) {
        let images = Workspace::open_read_only(self.root()).unwrap().ledger().images().unwrap();
        images.into_iter().find(|image| image.name == name).map(|image| (image.id, image.split)).unwrap()
    }

    fn compare(&mut self, on: On) -> Arc<Compared> {
        let job = Job::Compare { a: "reference".into(), b: "run-1".into(), seeds: None, on };
        match self.run(job) {
            Ok(Outcome::Compared(compared)) => compared,
            other => panic!("{other:?}"),
        }
    }
}

/// A picture that looks like no other: patches of a few colours, with noise.
fn picture(seed: u64) -> Image {
    let patches: Vec<f32> = Random::new(seed, 0).normal_image(3, 6, 6).iter().map(|n| 0.5 + 0.2 * n).collect();
    let large = resize(&Image::new(6, 6, patches).unwrap(), 128, 128, Filter::Bicubic).unwrap();
    let noise = Random::new(seed, 1).normal_image(3, 128, 128);
    let data = large.data().iter().zip(noise).map(|(v, n)| (v + 0.03 * n).clamp(0.0, 1.0)).collect();
    Image::new(128, 128, data).unwrap()
}

fn file(bench: &Bench, name: &str, bytes: &[u8]) -> PathBuf {
    let path = bench.home.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_photograph_is_not_added_for_two_things_and_another_file_of_it_is_warned_of() {
    let mut bench = Bench::new();
    let photo = picture(1);
    let png = file(&bench, "x.png", &encode::png_bytes(&photo).unwrap());
    bench.add(&png, SplitChoice::default()).unwrap();
    for crop_px in [0, 64] {
        for split in [SplitChoice::ByRule, SplitChoice::Fixed(Split::Validation)] {
            let cause = bench.add_crops(&png, split, crop_px).unwrap_err();
            assert!(cause.contains("x is here already, to train on"), "{cause}");
        }
    }
    let other = file(&bench, "other.png", &encode::png_bytes(&picture(2)).unwrap());
    bench.add(&other, SplitChoice::ByRule).unwrap();
    assert!(!bench.said(Level::Warning, "look like one picture"), "{:?}", bench.log);
    let jpeg = file(&bench, "y.jpg", &encode::jpeg_bytes(&photo, 60).unwrap());
    bench.add_crops(&jpeg, SplitChoice::ByRule, 64).unwrap();
    assert!(bench.said(Level::Warning, "to train on and held out: x and y 1"), "{:?}", bench.log);
    // Of two held-out photographs one is validation; that the first one changed is said.
    let splits = [bench.split_of("other").1, bench.split_of("y 1").1];
    assert!(splits.contains(&Split::Validation) && splits.contains(&Split::Test), "{splits:?}");
    // Marking is warned of as adding is.
    bench.log.clear();
    let (x, _) = bench.split_of("x");
    bench.run(Job::SetSplits(vec![(x, SplitChoice::ByRule)])).unwrap();
    assert!(!bench.said(Level::Warning, "look like one picture"), "{:?}", bench.log);
    bench.run(Job::SetSplits(vec![(x, SplitChoice::default())])).unwrap();
    assert!(bench.said(Level::Warning, "to train on and held out: x and y 1"), "{:?}", bench.log);
}

#[test]
fn test_images_are_reported_validation_chooses_and_what_a_run_saw_is_named() {
    let mut bench = Bench::new();
    let [train, validation, test] = Split::ALL.map(SplitChoice::Fixed);
    for (seed, name, split) in [(1, "a", train), (2, "b", train), (3, "c", validation), (4, "d", test)] {
        let path = file(&bench, &format!("{name}.png"), &encode::png_bytes(&picture(seed)).unwrap());
        bench.add(&path, split).unwrap();
    }
    let Ok(Outcome::Ran(report)) = bench.run(Job::Run { compare: true, allow_partial: false }) else {
        panic!("{:?}", bench.log)
    };
    let (compared, _) = report.compared.as_ref().unwrap();
    let comparison = &compared.report.comparison;
    assert_eq!((comparison.on, comparison.images), (On::Test, 1));
    assert_eq!(comparison.by_image[0].name, "d");
    assert_eq!(comparison.chosen, [Chosen::Name, Chosen::Validation { of: 2, images: 1 }]);
    assert_eq!(comparison.trained_on, []);
    assert!(comparison.notes().iter().all(|note| !note.is_warning));
    // As it trained, only the validation image was sampled.
    let workspace = Workspace::open_read_only(bench.root()).unwrap();
    let run = workspace.ledger().runs().unwrap()[0].clone();
    let evaluations = workspace.ledger().evaluations(run.id).unwrap();
    assert_eq!(evaluations.iter().map(|e| (e.step, e.on, e.images)).collect::<Vec<_>>(), {
        [0, 1, 2].map(|step| (step, On::Validation, Some(1)))
    });

    let both = bench.compare(On::HeldOut);
    let both = &both.report.comparison;
    assert_eq!((both.images, both.validation_images), (2, 1));
    assert!(both.to_text().contains("warning: 1 of the 2 held-out images choose checkpoints"));

    // Held out after the run has seen it: the figures are there, and what they are worth is said.
    let (a, _) = bench.split_of("a");
    bench.run(Job::SetSplits(vec![(a, test)])).unwrap();
    let seen = bench.compare(On::Test);
    let seen = &seen.report.comparison;
    assert_eq!(seen.trained_on.len(), 1);
    assert_eq!((seen.trained_on[0].run.as_str(), &seen.trained_on[0].images[..]), ("run-1", &["a".to_owned()][..]));
    assert!(seen.to_text().contains("warning: run-1 was trained on a"), "{}", seen.to_text());

    // Validation images that are test images now chose nothing.
    let (c, _) = bench.split_of("c");
    bench.run(Job::SetSplits(vec![(c, test)])).unwrap();
    let last = bench.compare(On::Test);
    assert!(matches!(&last.report.comparison.chosen[1], Chosen::Last { why } if why.contains("no image is held out")));
    assert_eq!(last.report.comparison.b, "run-1@2");
}

#[test]
fn the_example_has_two_photographs_for_validation_and_six_for_test() {
    let mut bench = Bench::new();
    bench.run(Job::AddExample).unwrap();
    let images = Workspace::open_read_only(bench.root()).unwrap().ledger().images().unwrap();
    let photographs = |split| {
        let of_split = images.iter().filter(|image| image.split == split);
        of_split.map(|image| image.source.as_str()).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!(Split::ALL.map(photographs), [9, 2, 6]);
}
