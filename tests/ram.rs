//! The tag model with random weights against another implementation of it: `tests/fixtures/make_ram.py`.

use std::path::{Path, PathBuf};

use candle_core::Tensor;
use dp2o_studio::backbones::tagger::{self, Tagger};
use dp2o_studio::imaging::Image;
use dp2o_studio::networks::ram::{Config, Ram, merged, published};
use dp2o_studio::networks::swin_stages;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::tape::Var;
use dp2o_studio::weights::{Source, Store};
use serde_json::Value;

const TINY: Config = Config {
    swin: swin_stages::Config { image_px: 32, width: 12, depths: &[2, 2], heads: &[2, 4], window: 4 },
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

/// A folder with the model's files and lists of its tags.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir(path("ram")).unwrap();
    for name in ["ram_swin_large_14m.pth", "DAPE.pth"] {
        std::fs::copy(fixture(name), path(name)).unwrap();
    }
    let lines = |line: &dyn Fn(usize) -> String| (0..TINY.tags).map(|i| line(i) + "\n").collect::<String>();
    std::fs::write(path("ram/ram_tag_list.txt"), lines(&|i| format!("tag {i}"))).unwrap();
    // Tags 3 and 5 are given by anything, the others by nothing.
    let threshold = |i| if [3, 5].contains(&i) { "0.0" } else { "1.0" };
    std::fs::write(path("ram/ram_tag_list_threshold.txt"), lines(&|i| threshold(i).to_owned())).unwrap();
    dir
}

#[test]
fn tags_from_published_files_and_from_the_converted_one() {
    let (dir, on) = (folder(), Compute::cpu());
    let store = Store::of_folders(&[dir.path().into()], true);
    let image = Image::new(50, 37, (0..3 * 50 * 37).map(|i| (i % 97) as f32 / 96.0).collect()).unwrap();
    let prompt = |store: &Store| Tagger::of(store, TINY, &on).unwrap().prompt(&image).unwrap();
    assert_eq!(prompt(&store), "tag 3, tag 5");
    let converted = tempfile::tempdir().unwrap();
    let path = converted.path().join("ram-dape.safetensors");
    tagger::convert(&store, &TINY, &path).unwrap();
    let of_both = Source::open(&path).unwrap();
    let qkv = "visual_encoder.layers.0.blocks.1.attn.qkv.weight";
    let dape = Source::open(&fixture("DAPE.pth")).unwrap();
    let merged = merged(&ram(), Some(&dape), qkv, &[36, 12]).unwrap();
    assert_eq!(of_both.floats::<f32>(qkv, &[36, 12]).unwrap(), merged);
    assert_ne!(merged, ram().floats::<f32>(qkv, &[36, 12]).unwrap());
    let store = Store::of_folders(&[converted.path().into(), dir.path().into()], true);
    assert_eq!(tagger::parts(&store)[0].id, "ram-dape");
    assert_eq!(prompt(&store), "tag 3, tag 5");
    std::fs::write(dir.path().join("ram/ram_tag_list_threshold.txt"), "0.5\n").unwrap();
    let error = Tagger::of(&Store::of_folders(&[dir.path().into()], true), TINY, &on).err().unwrap().to_string();
    assert!(error.contains("ram_tag_list_threshold.txt") && error.contains("1 lines"), "{error}");
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
