//! Reading safetensors whose headers lie, strict loading, formats and names.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device};

use super::{Source, bfl, names};

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
        (b"\n<!DOCTYPE html>".to_vec(), "it is a web page; get the file anew"),
        (file("{\"a\":", &[]), "not a readable safetensors file"),
        (file("[1, 2]", &[]), "not a readable safetensors file"),
        (file(&entry("F32", "[2]", "[0,8]"), &[0; 7]), "bytes; get it anew"),
        (file(&entry("F32", "[2]", "[0,8]"), &[0; 9]), "more in it than its tensors"),
        (file(&entry("F32", "[2]", "[0,4]"), &[0; 4]), "does not take the bytes"),
        (file(&entry("F32", "[2]", "[8,0]"), &[0; 8]), "does not take the bytes"),
        (file(&entry("F32", "[4294967296,4294967296]", "[0,8]"), &[0; 8]), "cannot be counted"),
        (file(&entry("F32", "[1]", "[4,8]"), &[0; 8]), "overlap or leave a gap"),
        (file(two, &[0; 6]), "overlap or leave a gap"),
        (file(&entry("F4_E2M1", "[4]", "[0,4]"), &[0; 4]), "F4_E2M1"),
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
    assert!(unknown.contains("made.safetensors: the weight \"mask\" is not of this network"), "{unknown}");
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
    assert!(error(nan.floats::<f32>("w", &[1])).contains("contains NaN"));
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
    assert!(error(source.integers("w", &[4])).contains("has changed while it was read"));
}

#[test]
fn an_index_names_what_lies_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("m.safetensors.index.json");
    let header = "{\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    fs::write(dir.path().join("m-1.safetensors"), file(header, &[1])).unwrap();
    fs::write(dir.path().join("m-2.safetensors"), file(header, &[1])).unwrap();
    fs::write(dir.path().join("m-1.bin"), include_bytes!("../../tests/fixtures/weights/zip-bare.pth")).unwrap();
    for (map, cause) in [
        ("{\"weight_map\":{\"w\":\"m-1.safetensors\"}}", ""),
        ("{\"weight_map\":{\"w\":\"../m-1.safetensors\"}}", "not beside it"),
        ("{\"weight_map\":{\"v\":\"m-1.safetensors\"}}", "where it is not"),
        ("{\"weight_map\":{\"w\":\"m-3.safetensors\"}}", "m-3.safetensors: no such file"),
        ("{\"weight_map\":{\"w\":\"m-1.safetensors\",\"x\":\"m-2.safetensors\"}}", "where it is not"),
        ("{}", "not an index"),
        // Shards of PyTorch's.
        ("{\"weight_map\":{\"tensor\":\"m-1.bin\"}}", ""),
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

/// A file with these tensors of ascending values, f32.
fn ascending(tensors: &[(String, Vec<usize>)]) -> Source {
    let mut data = Vec::new();
    let entries: Vec<String> = tensors
        .iter()
        .map(|(name, shape)| {
            let begin = data.len();
            let count = shape.iter().product::<usize>();
            data.extend((0..count).flat_map(|v| (v as f32).to_le_bytes()));
            format!("{name:?}:{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{begin},{}]}}", data.len())
        })
        .collect();
    let bytes = file(&format!("{{{}}}", entries.join(",")), &data);
    Source::of_vec(Path::new("bfl.safetensors"), bytes).unwrap()
}

#[test]
fn flux_in_its_publishers_names_is_flux_in_diffusers() {
    let width = 2;
    let with_bias =
        |name: &str, rows: usize| [(format!("{name}.weight"), vec![rows, 3]), (format!("{name}.bias"), vec![rows])];
    let mut tensors = Vec::new();
    for name in
        ["img_in", "txt_in", "time_in.in_layer", "time_in.out_layer", "vector_in.in_layer", "vector_in.out_layer"]
    {
        tensors.extend(with_bias(name, width));
    }
    for name in ["guidance_in.in_layer", "guidance_in.out_layer", "final_layer.linear"] {
        tensors.extend(with_bias(name, width));
    }
    tensors.extend(with_bias("final_layer.adaLN_modulation.1", 2 * width));
    for side in ["img", "txt"] {
        let name = |part: &str| format!("double_blocks.0.{side}_{part}");
        tensors.extend(with_bias(&name("mod.lin"), 6 * width));
        tensors.extend(with_bias(&name("attn.qkv"), 3 * width));
        tensors.extend(with_bias(&name("attn.proj"), width));
        tensors.extend(["query", "key"].map(|part| (name(&format!("attn.norm.{part}_norm.scale")), vec![width])));
        tensors.extend(with_bias(&name("mlp.0"), 4 * width));
        tensors.extend(with_bias(&name("mlp.2"), width));
    }
    tensors.extend(with_bias("single_blocks.1.modulation.lin", 3 * width));
    tensors.extend(with_bias("single_blocks.1.linear1", 7 * width));
    tensors.extend(with_bias("single_blocks.1.linear2", width));
    tensors.extend(["query", "key"].map(|part| (format!("single_blocks.1.norm.{part}_norm.scale"), vec![width])));
    let prefixed: Vec<_> =
        tensors.iter().map(|(name, shape)| (format!("model.diffusion_model.{name}"), shape.clone())).collect();
    for source in [ascending(&tensors), ascending(&prefixed)] {
        let source = bfl::transformer(source).unwrap();
        let plain =
            |name: &str| name.starts_with("double_") || name.starts_with("single_blocks") || name.contains("_in.");
        assert!(source.iter().all(|(name, ..)| !plain(name)));
        // 20 outside, 32 of a double block, 14 of a single one: as many as diffusers has.
        assert_eq!(source.len(), 20 + 32 + 14);
        let values = |name: &str, shape: &[usize]| source.floats::<f32>(name, shape).unwrap();
        let range = |from: usize, to: usize| (from..to).map(|v| v as f32).collect::<Vec<_>>();
        assert_eq!(values("transformer_blocks.0.attn.to_k.weight", &[2, 3]), range(6, 12));
        assert_eq!(values("transformer_blocks.0.attn.add_v_proj.bias", &[2]), range(4, 6));
        assert_eq!(values("single_transformer_blocks.1.proj_mlp.weight", &[8, 3]), range(18, 42));
        // Scale before shift.
        assert_eq!(values("norm_out.linear.bias", &[4]), [2.0, 3.0, 0.0, 1.0]);
        assert_eq!(values("norm_out.linear.weight", &[4, 3]), [range(6, 12), range(0, 6)].concat());
        assert_eq!(bfl::transformer(source.clone()).unwrap().len(), source.len(), "diffusers' names stay");
    }
    let odd = ascending(&[("double_blocks.0.img_attn.qkv.bias".into(), vec![4])]);
    assert!(error(bfl::transformer(odd)).contains("has 4 rows, which are not 3 equal parts"));
}

#[test]
fn the_autoencoder_in_its_publishers_names_is_that_of_diffusers() {
    let pairs = [
        ("encoder.conv_in.weight", "encoder.conv_in.weight"),
        ("encoder.down.1.block.0.nin_shortcut.weight", "encoder.down_blocks.1.resnets.0.conv_shortcut.weight"),
        ("encoder.down.2.downsample.conv.bias", "encoder.down_blocks.2.downsamplers.0.conv.bias"),
        ("encoder.mid.attn_1.q.weight", "encoder.mid_block.attentions.0.to_q.weight"),
        ("encoder.mid.attn_1.norm.bias", "encoder.mid_block.attentions.0.group_norm.bias"),
        ("decoder.mid.block_2.norm1.weight", "decoder.mid_block.resnets.1.norm1.weight"),
        ("decoder.mid.attn_1.proj_out.bias", "decoder.mid_block.attentions.0.to_out.0.bias"),
        ("decoder.up.0.block.2.conv1.weight", "decoder.up_blocks.3.resnets.2.conv1.weight"),
        ("decoder.up.3.upsample.conv.weight", "decoder.up_blocks.0.upsamplers.0.conv.weight"),
        ("decoder.norm_out.weight", "decoder.conv_norm_out.weight"),
        ("decoder.conv_out.bias", "decoder.conv_out.bias"),
    ];
    let shape = |name: &str| if name.contains("attn_1.q") { vec![2, 2, 1, 1] } else { vec![2] };
    let source = ascending(&pairs.map(|(bfl, _)| (bfl.to_owned(), shape(bfl))));
    let source = names::vae(source).unwrap();
    for (_, diffusers) in pairs {
        assert!(source.shape(diffusers).is_some(), "{diffusers}");
    }
    assert_eq!(source.shape("encoder.mid_block.attentions.0.to_q.weight"), Some(&[2, 2][..]));
}
