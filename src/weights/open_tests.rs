//! Reading safetensors whose headers lie, strict loading, formats and names.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device};

use super::{Source, names};

/// A safetensors file of this header and so many bytes of data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// One with tensors of zeros, f32, of these names and shapes.
fn zeros(tensors: &[(&str, &[usize])]) -> Source {
    let mut at = 0;
    let entries: Vec<String> = tensors
        .iter()
        .map(|(name, shape)| {
            let begin = at;
            at += 4 * shape.iter().product::<usize>();
            format!("{name:?}:{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{begin},{at}]}}")
        })
        .collect();
    let bytes = file(&format!("{{{}}}", entries.join(",")), &vec![0; at]);
    Source::of_vec(Path::new("made.safetensors"), bytes).unwrap()
}

fn error(result: crate::Result<impl Sized>) -> String {
    let error = result.err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(error.lines().count(), 1, "{error:?}");
    error
}

#[test]
fn headers_that_lie_are_one_line_each() {
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!("{{\"a\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":{offsets}}}}}")
    };
    let two = "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\
                \"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}";
    for (bytes, cause) in [
        (Vec::new(), "it has 0 bytes"),
        (vec![7; 7], "it has 7 bytes"),
        (u64::MAX.to_le_bytes().to_vec(), "its header would take"),
        (file("{\"a\":", &[]), "not a readable safetensors file"),
        (file("[1, 2]", &[]), "not a readable safetensors file"),
        (file(&entry("F32", "[2]", "[0,8]"), &[0; 7]), "the file is truncated"),
        (file(&entry("F32", "[2]", "[0,8]"), &[0; 9]), "more in it than its tensors"),
        (file(&entry("F32", "[2]", "[0,4]"), &[0; 4]), "does not take the bytes"),
        (file(&entry("F32", "[2]", "[8,0]"), &[0; 8]), "does not take the bytes"),
        (file(&entry("F32", "[4294967296,4294967296]", "[0,8]"), &[0; 8]), "cannot be counted"),
        (file(&entry("F32", "[1]", "[4,8]"), &[0; 8]), "overlap or leave a gap"),
        (file(two, &[0; 6]), "overlap or leave a gap"),
        (file(&entry("F8_E4M3", "[4]", "[0,4]"), &[0; 4]), "F8_E4M3"),
    ] {
        let error = error(Source::of_vec(Path::new("lies.safetensors"), bytes));
        assert!(error.contains("lies.safetensors") && error.contains(cause), "{cause}: {error}");
    }
}

#[test]
fn loading_is_strict() {
    let source = zeros(&[("a.weight", &[2, 2]), ("a.bias", &[2]), ("head.weight", &[3]), ("mask", &[1])]);
    let network: [(&str, &[usize]); 2] = [("a.weight", &[2, 2]), ("a.bias", &[2])];
    source.check(network, &["head.*", "mask"]).unwrap();
    let unknown = error(source.check(network, &["head.*"]));
    assert!(unknown.contains("made.safetensors: 1 weight is not of this network: \"mask\""), "{unknown}");
    let more: [(&str, &[usize]); 6] =
        [("a.weight", &[2, 2]), ("b", &[1]), ("c", &[1]), ("d", &[1]), ("e", &[1]), ("a.bias", &[2])];
    let missing = error(source.check(more, &["*"]));
    assert!(missing.contains("4 weights are missing: \"b\", \"c\", \"d\", …"), "{missing}");
    let other: [(&str, &[usize]); 2] = [("a.weight", &[4]), ("a.bias", &[2])];
    assert!(error(source.check(other, &["*"])).contains("has shape [2, 2], not [4]"));
}

#[test]
fn values_come_in_the_format_that_is_wanted() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights/one.safetensors");
    let source = Source::open(&path).unwrap();
    for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
        for name in ["f32", "f16", "bf16", "f64"] {
            let shape = source.shape(name).unwrap().to_vec();
            let tensor = source.tensor(name, &shape, dtype, &Device::Cpu).unwrap();
            assert_eq!((tensor.dtype(), tensor.dims()), (dtype, shape.as_slice()));
            let first: f64 = tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()[0];
            assert_eq!(first, -1.5, "{name} as {dtype:?}");
        }
    }
    assert!(error(source.floats::<f32>("i64", &[2])).contains("floating-point"));
    assert!(error(source.integers("f32", &[2, 3])).contains("whole numbers"));
    let nan = file("{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", &f32::NAN.to_le_bytes());
    let nan = Source::of_vec(Path::new("nan"), nan).unwrap();
    assert!(error(nan.floats::<f32>("w", &[1])).contains("not finite"));
}

#[test]
fn a_file_that_changes_is_not_other_weights() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let header = "{\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}";
    fs::write(&path, file(header, &[1; 4])).unwrap();
    let source = Source::open(&path).unwrap();
    source.check_unchanged().unwrap();
    fs::write(&path, file(header, &[])).unwrap();
    assert!(error(source.check_unchanged()).contains("has changed while it was read"));
    assert!(error(source.integers("w", &[4])).contains("w.safetensors: the file is truncated"));
    // Another file under the name.
    fs::write(&path, file(header, &[1; 4])).unwrap();
    let source = Source::open(&path).unwrap();
    fs::rename(&path, dir.path().join("old")).unwrap();
    fs::write(&path, file(header, &[2; 4])).unwrap();
    assert!(source.check_unchanged().is_err());
}

#[test]
fn an_index_names_what_lies_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("m.safetensors.index.json");
    let header = "{\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    fs::write(dir.path().join("m-1.safetensors"), file(header, &[1])).unwrap();
    fs::write(dir.path().join("m-2.safetensors"), file(header, &[1])).unwrap();
    for (map, cause) in [
        ("{\"weight_map\":{\"w\":\"m-1.safetensors\"}}", ""),
        ("{\"weight_map\":{\"w\":\"../m-1.safetensors\"}}", "not beside it"),
        ("{\"weight_map\":{\"v\":\"m-1.safetensors\"}}", "where it is not"),
        ("{\"weight_map\":{\"w\":\"m-3.safetensors\"}}", "m-3.safetensors: no such file"),
        ("{\"weight_map\":{\"w\":\"m-1.safetensors\",\"x\":\"m-2.safetensors\"}}", "where it is not"),
        ("{}", "not an index"),
    ] {
        fs::write(&index, map).unwrap();
        match cause {
            "" => assert_eq!(Source::open(&index).unwrap().len(), 1),
            cause => assert!(error(Source::open(&index)).contains(cause)),
        }
    }
}

#[test]
fn names_of_other_publishers_become_those_of_the_networks() {
    let names = |source: Source| source.iter().map(|(name, ..)| name.to_owned()).collect::<Vec<_>>();
    let plain = names::plain(zeros(&[("module.controlnet.a", &[1]), ("module.controlnet.b", &[1])])).unwrap();
    assert_eq!(names(plain), ["a", "b"]);
    let mixed = names::plain(zeros(&[("module.a", &[1]), ("b", &[1])])).unwrap();
    assert_eq!(names(mixed), ["b", "module.a"]);

    let old = "encoder.mid_block.attentions.0";
    let new: Vec<String> = ["query", "key", "value", "proj_attn"].map(|name| format!("{old}.{name}.weight")).into();
    let tensors: Vec<(&str, &[usize])> = new.iter().map(|name| (name.as_str(), &[2, 2, 1, 1][..])).collect();
    let vae = names::vae(zeros(&tensors)).unwrap();
    for name in ["to_q", "to_k", "to_v", "to_out.0"] {
        assert_eq!(vae.shape(&format!("{old}.{name}.weight")).unwrap(), [2, 2], "{name}");
    }
    let again = names::vae(vae).unwrap();
    assert_eq!(again.len(), 4, "new names stay");

    for name in ["text_model.final_layer_norm.weight", "final_layer_norm.weight"] {
        let text = names::clip_text(zeros(&[(name, &[1])])).unwrap();
        assert_eq!(names(text), ["text_model.final_layer_norm.weight"]);
    }
    let twice = zeros(&[("a", &[1]), ("b", &[1])]).renamed(|_| Some("c".into()));
    assert!(error(twice).contains("are both \"c\""));
}
