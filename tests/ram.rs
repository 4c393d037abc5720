//! The tag model with random weights against another implementation of it: `tests/fixtures/make_ram.py`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use dp2o_studio::backbones::tagger::{self, Tagger};
use dp2o_studio::engine::protocol::{AddImages, Change, Command, Event, Job, JobState, Outcome, Role};
use dp2o_studio::imaging::{Image, encode};
use dp2o_studio::method::recipe::Recipe;
use dp2o_studio::networks::ram::{Config, Ram, merged, published};
use dp2o_studio::networks::swin_stages;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::tape::Var;
use dp2o_studio::weights::registry::RAM;
use dp2o_studio::weights::{Source, Store};
use dp2o_studio::workspace::{ImageRow, Workspace};
use serde_json::Value;

mod program;
use program::{done, engine, failed, is, picture, wait};

const TINY: Config = Config {
    swin: swin_stages::Config {
        image_px: 32,
        width: 12,
        depths: Cow::Borrowed(&[2, 2]),
        heads: Cow::Borrowed(&[2, 4]),
        window: 4,
    },
    tags: 10,
    encoded: 16,
    hidden: 24,
    heads: 4,
    inner: 48,
    layers: 2,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ram").join(name)
}

fn ram() -> Source {
    published(Source::open(&fixture("ram_swin_large_14m.pth")).unwrap()).unwrap()
}

#[test]
fn logits_with_and_without_the_changes_for_degraded_images() {
    let computed: Value = serde_json::from_slice(&std::fs::read(fixture("computed.json")).unwrap()).unwrap();
    let numbers =
        |name: &str| -> Vec<f64> { computed[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect() };
    let on = Compute::cpu();
    let image: Vec<f32> = numbers("image").into_iter().map(|v| v as f32).collect();
    let image = Var::constant(Tensor::from_vec(image, (1, 32, 32, 3), &on.device).unwrap());
    let dape = Source::open(&fixture("DAPE.pth")).unwrap();
    for (name, changes) in [("ram", None), ("dape", Some(&dape))] {
        let model = Ram::open(&ram(), changes, TINY, &on).unwrap();
        let got = model.logits(&image).unwrap().to_vec1::<f32>().unwrap();
        let want = numbers(name);
        let far = got.iter().zip(&want).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        println!("{name}: {far:.1e}");
        assert!(got.len() == want.len() && far < 1e-5, "{name}: {far:e}");
    }
}

#[test]
fn tags_from_published_files_and_from_the_converted_one() {
    let on = Compute::cpu();
    assert_eq!(format!("{:?}", Config::of(&ram()).unwrap()), format!("{TINY:?}"));
    let store = Store::of_folders(&[fixture("")], true);
    let image = Image::new(50, 37, (0..3 * 50 * 37).map(|i| (i % 97) as f32 / 96.0).collect()).unwrap();
    let prompt = |store: &Store| Tagger::open(store, &on).unwrap().prompt(&image).unwrap();
    assert_eq!(prompt(&store), "tag 3, tag 5");
    let converted = tempfile::tempdir().unwrap();
    let path = converted.path().join("ram-dape.safetensors");
    tagger::convert(&store, &path).unwrap();
    let of_both = Source::open(&path).unwrap();
    let qkv = "visual_encoder.layers.0.blocks.1.attn.qkv.weight";
    let dape = Source::open(&fixture("DAPE.pth")).unwrap();
    let merged = merged(&ram(), Some(&dape), qkv, &[36, 12]).unwrap();
    assert_eq!(of_both.floats::<f32>(qkv, &[36, 12]).unwrap(), merged);
    assert_ne!(merged, ram().floats::<f32>(qkv, &[36, 12]).unwrap());
    let store = Store::of_folders(&[converted.path().into(), fixture("")], true);
    assert_eq!(tagger::parts(&store)[0].id, "ram-dape");
    assert_eq!(prompt(&store), "tag 3, tag 5");
    std::fs::create_dir(converted.path().join("ram")).unwrap();
    std::fs::copy(fixture("ram/ram_tag_list.txt"), converted.path().join("ram/ram_tag_list.txt")).unwrap();
    std::fs::write(converted.path().join("ram/ram_tag_list_threshold.txt"), "0.5\n").unwrap();
    let error = Tagger::open(&store, &on).err().unwrap().to_string();
    assert!(error.contains("ram_tag_list_threshold.txt") && error.contains("1 lines"), "{error}");
    let other = Store::of_folders(&[fixture("")], true).holding(&RAM, Source::open(&fixture("DAPE.pth")).unwrap());
    let error = Tagger::open(&other, &on).err().unwrap().to_string();
    assert!(error.contains("is not the tag model") && error.lines().count() == 1, "{error}");
}

#[test]
fn what_does_not_fit_is_said_in_one_line() {
    let (on, ram) = (Compute::cpu(), ram());
    let error = |source: &Source, dape: Option<&Source>, config: Config| {
        let error = Ram::open(source, dape, config, &on).err().unwrap().to_string();
        assert!(!error.contains('\n'), "{error}");
        error
    };
    assert!(error(&ram, Some(&ram), TINY).contains("changes no weight of the tag model"));
    assert!(error(&ram, None, Config { tags: 11, ..TINY }).contains("label_embed"));
    let dape = Source::open(&fixture("DAPE.pth")).unwrap();
    assert!(error(&dape, None, TINY).contains("missing"));
}

/// Of a job that was stopped, what is done stays done; what a person typed is never written over unless it is asked for.
#[test]
fn prompts_are_written_one_by_one_kept_when_stopped_and_never_over_what_was_typed() {
    let home = tempfile::tempdir().unwrap();
    let (root, folder) = (home.path().join("ws"), home.path().join("hr"));
    std::fs::create_dir(&folder).unwrap();
    for key in 0..30 {
        encode::write_png(folder.join(format!("{key:02}.png")), &picture(key)).unwrap();
    }
    std::fs::write(folder.join("00.txt"), "a stone wall\n").unwrap();
    let recipe =
        Recipe::from_ron(r#"(data: (crop_px: 64), reward: (fr: {"psnr": 1.0}, nr: {}, held_out: []))"#, "small.ron")
            .unwrap();
    let bare = engine(&[]);
    done(&bare, Job::Create { dir: root.clone(), recipe: Box::new(recipe), example: false });
    let add = AddImages { paths: vec![folder], role: Some(Role::Hr), crops: 1, ..AddImages::default() };
    done(&bare, Job::Add(add));
    let cause = failed(&bare, Job::Tag { images: None });
    for part in ["the tag model is not here", "RAM", "get it", "typed", "text file"] {
        assert!(cause.contains(part) && cause.lines().count() == 1, "{cause}");
    }
    drop(bare);

    let images = || Workspace::open_read_only(&root).unwrap().ledger().images().unwrap();
    let tagged = |images: &[ImageRow]| images.iter().filter(|image| image.prompt == "tag 3, tag 5").count();
    let engine = engine(&[fixture("")]);
    done(&engine, Job::Open { dir: root.clone(), or_look: false });
    let id = engine.run(Job::Tag { images: None }).unwrap();
    wait(&engine, |event| matches!(event, Event::Changed(Change::Prompts)));
    engine.send(Command::Cancel(id)).unwrap();
    wait(&engine, is(id, |state| matches!(state, JobState::Cancelled)));
    let stopped = images();
    assert!((1..29).contains(&tagged(&stopped)), "{} of 29", tagged(&stopped));
    // One that is tagged and one that is not yet are said otherwise.
    let edited = [stopped.iter().find(|image| tagged(std::slice::from_ref(image)) == 1), stopped.last()];
    let edited: Vec<_> = edited.into_iter().flatten().map(|image| (image.id, "a typed prompt".to_owned())).collect();
    done(&engine, Job::SetPrompts(edited.clone()));
    let count = tagged(&images());
    match done(&engine, Job::Tag { images: None }) {
        Outcome::Tagged { prompts, failed } => assert_eq!((prompts.len() + count, failed.is_empty()), (27, true)),
        other => panic!("{other:?}"),
    }
    let all = images();
    assert_eq!((all.len(), tagged(&all)), (30, 27));
    let said = |text: &str| all.iter().filter(|image| image.prompt == text).count();
    assert_eq!((said("a stone wall"), said("a typed prompt")), (1, 2));
    match done(&engine, Job::Tag { images: Some(vec![edited[0].0]) }) {
        Outcome::Tagged { prompts, .. } => assert_eq!(prompts.len(), 1),
        other => panic!("{other:?}"),
    }
    assert_eq!(tagged(&images()), 28);
}
