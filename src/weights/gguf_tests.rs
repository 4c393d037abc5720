//! Packed numbers against those of the `gguf` package and `ml_dtypes` (`tests/fixtures/make_packed.py`), and files that lie.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::Device;

use super::{Source, names};
use crate::nn::kernels::Compute;
use crate::nn::params::{Init, Params, Specs};
use crate::random::Random;

const FILE: &[u8] = include_bytes!("../../tests/fixtures/weights/packed.gguf");
const EIGHTHS: &[u8] = include_bytes!("../../tests/fixtures/weights/eighths.safetensors");

fn source(bytes: &[u8]) -> crate::Result<Source> {
    Source::of_vec(Path::new("packed.gguf"), bytes.to_vec())
}

fn expected() -> BTreeMap<String, Vec<f32>> {
    serde_json::from_str(include_str!("../../tests/fixtures/weights/packed.json")).unwrap()
}

fn assert_near(name: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (a, b) in got.iter().zip(want) {
        assert!((a - b).abs() <= 1e-6 * b.abs().max(0.05), "{name}: {a}, not {b}");
    }
}

#[test]
fn every_format_has_the_values_that_other_programs_read() {
    let (source, expected) = (source(FILE).unwrap(), expected());
    assert_eq!(source.len(), 12);
    assert_eq!(source.shape("Q8_0"), Some(&[4, 128][..]), "its shape before it was packed");
    let mut specs = Specs::default();
    let mut wanted = Vec::new();
    for (name, dtype, shape) in source.iter() {
        assert_near(name, &source.floats::<f32>(name, shape).unwrap(), &expected[name]);
        let packed = source.packed(name, shape, &Device::Cpu).unwrap();
        assert_eq!(packed.is_some(), dtype.is_packed(), "{name}");
        wanted.push((specs.add(name.to_owned(), shape, Init::Zeros), name, shape));
    }
    // As a network has them: in no more bytes than the file, and widened when they are asked for.
    let params = Params::as_stored(&Arc::new(specs.clone()), &source, &Compute::cpu()).unwrap();
    assert!(params.byte_count() < FILE.len(), "{} bytes", params.byte_count());
    for (id, name, shape) in wanted {
        let wide = params.weight(id).wide().unwrap();
        assert_eq!(wide.dims(), shape);
        assert_near(name, &wide.flatten_all().unwrap().to_vec1::<f32>().unwrap(), &expected[name]);
        let row = params.weight(id).rows(&[1]).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_near(name, &row, &expected[name][shape[1]..2 * shape[1]]);
    }
}

#[test]
fn numbers_of_eight_bits_are_read_with_their_scales() {
    let expected = expected();
    let plain = source(EIGHTHS).unwrap();
    for name in ["a.weight", "b.weight"] {
        assert_near(name, &plain.floats::<f32>(name, &[16, 16]).unwrap(), &expected[name]);
    }
    let scaled = names::t5(plain).unwrap();
    assert_eq!(scaled.len(), 2, "what is said of inputs is not read");
    assert_near("scaled", &scaled.floats::<f32>("a.weight", &[16, 16]).unwrap(), &expected["a.scaled"]);
    let packed = scaled.packed("a.weight", &[16, 16], &Device::Cpu).unwrap().unwrap();
    assert_eq!(packed.byte_count(), 256);
    assert_near("packed", &packed.wide().unwrap().flatten_all().unwrap().to_vec1().unwrap(), &expected["a.scaled"]);
    let mut broken = EIGHTHS.to_vec();
    let data = u64::from_le_bytes(*EIGHTHS.first_chunk().unwrap()) as usize + 8;
    broken[data + 3] = 0x7F;
    let error = source(&broken).unwrap().floats::<f32>("a.weight", &[16, 16]).unwrap_err().to_string();
    assert!(error.contains("contains NaN"), "{error}");
}

#[test]
fn a_file_that_lies_is_an_error_and_nothing_else() {
    // Cut short anywhere.
    for len in (0..FILE.len()).step_by(7) {
        let error = source(&FILE[..len]).err().unwrap_or_else(|| panic!("{len} bytes are accepted"));
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
    // Any of its bytes other ones: an error, or values; no panic, and no more memory than there is file.
    let header = 1200.min(FILE.len());
    for seed in 0..3_000u64 {
        let mut bytes = FILE.to_vec();
        let draws = Random::new(seed, 0).normal_image(1, 1, 4);
        for pair in draws.chunks_exact(2) {
            let at = (pair[0].abs() * 1e6) as usize % header;
            bytes[at] = (pair[1].abs() * 1e6) as u8;
        }
        let Ok(source) = source(&bytes) else { continue };
        for (name, _, shape) in source.iter() {
            let _ = source.floats::<f32>(name, shape);
            let _ = source.packed(name, shape, &Device::Cpu).map(|packed| packed.map(|packed| packed.wide()));
        }
    }
    let mut other = FILE.to_vec();
    other[4] = 1;
    assert!(source(&other).unwrap_err().to_string().contains("its version is 1"));
}

#[test]
fn t5_in_the_names_of_llama_cpp_is_that_of_transformers() {
    for (old, new) in [
        ("token_embd.weight", "shared.weight"),
        ("enc.blk.0.attn_rel_b.weight", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"),
        ("enc.blk.23.attn_o.weight", "encoder.block.23.layer.0.SelfAttention.o.weight"),
        ("enc.blk.1.ffn_gate.weight", "encoder.block.1.layer.1.DenseReluDense.wi_0.weight"),
        ("enc.blk.1.ffn_norm.weight", "encoder.block.1.layer.1.layer_norm.weight"),
        ("enc.output_norm.weight", "encoder.final_layer_norm.weight"),
        ("encoder.block.0.layer.0.layer_norm.weight", "encoder.block.0.layer.0.layer_norm.weight"),
    ] {
        let renamed = source(FILE).unwrap().renamed(|name| (name == "F32").then(|| old.to_owned())).unwrap();
        assert_eq!(names::t5(renamed).unwrap().iter().next().unwrap().0, new);
    }
}
