//! The tag model with random weights against another implementation of it: `tests/fixtures/make_ram.py`.

use std::path::{Path, PathBuf};

use candle_core::Tensor;
use dp2o_studio::networks::ram::{Config, Ram, published};
use dp2o_studio::networks::swin_stages;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::tape::Var;
use dp2o_studio::weights::Source;
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
