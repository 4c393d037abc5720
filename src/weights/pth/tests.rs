//! Files that PyTorch wrote (`tests/fixtures/make_weights.py`), and what becomes of damaged ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::imaging::draw::{Draws, Purpose};
use crate::weights::bytes::Bytes;
use crate::weights::{Source, open::of_bytes};

#[derive(Deserialize)]
struct Expected {
    dtype: String,
    shape: Vec<usize>,
    values: Vec<f64>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights")
}

fn expected() -> BTreeMap<String, BTreeMap<String, Expected>> {
    serde_json::from_slice(&std::fs::read(folder().join("expected.json")).unwrap()).unwrap()
}

/// All values of a tensor, as f64.
fn values(source: &Source, name: &str, expected: &Expected) -> Vec<f64> {
    match expected.dtype.starts_with(['F', 'B']) && expected.dtype != "Bool" {
        true => source.floats(name, &expected.shape).unwrap(),
        false => source.integers(name, &expected.shape).unwrap().into_iter().map(|v| v as f64).collect(),
    }
}

#[test]
fn every_form_gives_the_names_shapes_and_values_that_pytorch_put_in() {
    let all = expected();
    assert!(all.len() >= 24);
    for (file, tensors) in all {
        let source = Source::open(&folder().join(&file)).unwrap();
        // Of the published file, the first values of each layer.
        let is_part = file.starts_with("LPIPS");
        let names: Vec<&str> = source.iter().map(|(name, ..)| name).collect();
        assert_eq!(names, tensors.keys().collect::<Vec<_>>(), "{file}");
        for (name, wanted) in &tensors {
            let (_, dtype, shape) = source.iter().find(|(known, ..)| known == name).unwrap();
            assert_eq!(format!("{dtype:?}"), wanted.dtype, "{file}: {name}");
            if is_part {
                let found: Vec<f32> = source.floats(name, shape).unwrap();
                assert_eq!(found[..4], wanted.values.iter().map(|v| *v as f32).collect::<Vec<_>>(), "{file}: {name}");
            } else {
                assert_eq!(shape, wanted.shape, "{file}: {name}");
                assert_eq!(values(&source, name, wanted), wanted.values, "{file}: {name}");
            }
        }
    }
}

#[test]
fn objects_that_are_no_weights_are_refused_by_their_name() {
    for (file, named) in [
        ("refused-module.pth", "torch.nn.modules.linear.Linear"),
        ("refused-code.pth", "posix.system"),
        ("refused-code-legacy.pth", "posix.system"),
    ] {
        let error = Source::open(&folder().join(file)).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains(named), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    assert!(!Path::new("dp2o-was-here").exists());
}

/// Reads bytes as a file of weights, and every tensor in them: an error in one line that names the file, or values.
fn try_all(bytes: Vec<u8>) -> bool {
    let len = bytes.len();
    match of_bytes(&Arc::new(Bytes::of_vec(Path::new("fuzzed.pth"), bytes))) {
        Ok(tensors) => {
            for stored in tensors.values() {
                // What a file of this size can hold, or repeats within bounds.
                assert!(stored.value_count() <= len.max(1 << 24), "{:?}", stored.shape);
                if stored.value_count() < 1 << 16 {
                    let _ = stored.values::<f32>();
                }
            }
            true
        }
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("fuzzed.pth") && error.lines().count() == 1, "{error}");
            false
        }
    }
}

/// Changes a few bytes, cuts, doubles or fills parts.
fn mutated(original: &[u8], draw: &mut Draws) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=draw.index(4) {
        let at = draw.index(bytes.len().max(1));
        let to = (at + draw.index(16) + 1).min(bytes.len());
        match draw.index(7) {
            0 => bytes.truncate(at),
            1 => bytes.extend_from_within(at..to),
            2 => drop(bytes.drain(at..to)),
            3 => bytes[at..to].fill(0xff),
            // The instructions of pickles among others.
            4 if at < bytes.len() => bytes[at] = b"(.0120NJKMGXVSUTBCtldaesucRbQqrpghj)]}"[draw.index(38)],
            5 if at < bytes.len() => bytes[at] ^= 1 << draw.index(8),
            _ if at < bytes.len() => bytes[at] = draw.index(256) as u8,
            _ => {}
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

fn fuzz(rounds: u64, first: u64) {
    let files: Vec<Vec<u8>> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension().is_some_and(|extension| ["pth", "pt", "safetensors"].iter().any(|e| extension == *e))
        })
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    let (mut read, mut refused) = (0, 0);
    for round in first..first + rounds {
        for (i, file) in files.iter().enumerate() {
            let mut draw = Draws::new(round * 1000 + i as u64, Purpose::Crop);
            *(if try_all(mutated(file, &mut draw)) { &mut read } else { &mut refused }) += 1;
        }
    }
    // Both happen, or the changes test nothing.
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}

#[test]
fn damaged_files_are_one_line_of_error_or_weights() {
    fuzz(60, 0);
}

/// `cargo test --release --lib weights::pth -- --ignored`, a minute; other seeds by DP2O_FUZZ_SEED.
#[test]
#[ignore = "takes a minute"]
fn many_damaged_files_are_one_line_of_error_or_weights() {
    let first = std::env::var("DP2O_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_000);
    fuzz(60_000, first);
}
