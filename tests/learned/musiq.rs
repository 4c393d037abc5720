//! MUSIQ. Its fixtures also have the tokens that fill up the second size, and are masked; here there are none, so that features
//! are compared token by token.

use dp2o_studio::iqa::musiq::{MUSIQ, MUSIQ_AVA};
use dp2o_studio::iqa::{Features, Metric};
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::weights::{Source, flax};
use std::path::Path;

use crate::generated::Model;
use crate::generated::harness::{Comparison, images};
use crate::generated::taps::Taps;

#[test]
fn koniq() {
    let model = Model::of("musiq_koniq");
    let metric = &MUSIQ;
    let comparison = Comparison { without: &["*"], ..Comparison::new(&metric) };
    comparison.check(&model);
    comparison.check_sizes(&model);
    comparison.check_independence(&model, [96, 200]);
    comparison.check_own_map(&model, [40, 260]);
    check_samples(&model, &metric);
}

#[test]
fn ava() {
    let model = Model::of("musiq_ava");
    let metric = &MUSIQ_AVA;
    Comparison { without: &["*"], ..Comparison::new(&metric) }.check(&model);
}

/// An array as its authors' files have it: name, shape, and values in that order.
type Array = (String, Vec<usize>, Vec<f32>);

/// A tensor in the layout of flax.
fn of_flax(name: &str, shape: &[usize], values: Vec<f32>) -> Array {
    let (layer, part) = name.rsplit_once('.').unwrap();
    let is_norm = layer.contains("norm") || layer.contains("gn");
    let part = match part {
        "weight" if is_norm => "/scale",
        "weight" => "/kernel",
        "bias" => "/bias",
        "position_emb" => "/pos_embedding",
        "scale_emb" => "/scale_embedding",
        "cls" => "/cls",
        other => panic!("{other}"),
    };
    let layers = [
        ("transformer_encoder", "Transformer"),
        (".transformer.", "."),
        ("norm1", "LayerNorm_0"),
        ("norm2", "LayerNorm_2"),
        ("mlp.fc1", "MlpBlock_3/Dense_0"),
        ("mlp.fc2", "MlpBlock_3/Dense_1"),
        ("attention.", "SelfAttention_1/"),
        ("block1.", "block1/unit1/"),
        ("head.0", "head"),
    ];
    let there = layers.iter().fold(layer.to_owned(), |name, (here, there)| name.replacen(here, there, 1));
    let there = format!("opt/target/{}{part}", there.replace('.', "/"));
    let is_heads = name.contains("attention.") && !name.contains(".out.");
    let (sides, values) = match shape {
        // Each value with its place there.
        &[outputs, inputs, height, width] => {
            let mut moved = vec![0.0; values.len()];
            for (at, value) in values.into_iter().enumerate() {
                let (o, i, y, x) =
                    (at / (inputs * height * width), at / (height * width) % inputs, at / width % height, at % width);
                moved[((y * width + x) * inputs + i) * outputs + o] = value;
            }
            (vec![height, width, inputs, outputs], moved)
        }
        &[outputs, inputs] if part == "/kernel" => {
            let moved = (0..values.len()).map(|at| values[at % outputs * inputs + at / outputs]).collect();
            let sides = match (is_heads, name.contains(".out.")) {
                (true, _) => vec![inputs, 6, outputs / 6],
                (_, true) => vec![6, inputs / 6, outputs],
                _ => vec![inputs, outputs],
            };
            (sides, moved)
        }
        &[width] if is_heads => (vec![6, width / 6], values),
        &[channels] if layer.contains("gn") => (vec![1, 1, 1, channels], values),
        &[scales, width] => (vec![1, scales, width], values),
        shape => (shape.to_vec(), values),
    };
    (there, sides, values)
}

/// An archive of arrays as numpy's `savez` writes it, but for checksums, with an array of the optimizer's in bf16.
fn npz(arrays: &[Array]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    let mut add = |name: &str, descr: &str, shape: &[usize], data: &[u8]| {
        let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sides}), }}\n");
        let size = (10 + header.len() + data.len()) as u32;
        let name = format!("{name}.npy");
        let entry = |begin: &[u8]| {
            let fields =
                [begin, &[0; 10], &size.to_le_bytes(), &size.to_le_bytes(), &(name.len() as u16).to_le_bytes()];
            [&fields.concat()[..], &[0; 2]].concat()
        };
        let at = bytes.len() as u32;
        bytes.extend([&entry(b"PK\x03\x04\x14\0\0\0")[..], name.as_bytes(), b"\x93NUMPY\x01\0"].concat());
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend([header.as_bytes(), data].concat());
        let central = entry(b"PK\x01\x02\x14\0\x14\0\0\0");
        directory.push([&central[..], &[0; 10], &at.to_le_bytes(), name.as_bytes()].concat());
    };
    add("opt/state/momentum", "|V2", &[3], &[0; 6]);
    for (name, shape, values) in arrays {
        add(name, "<f4", shape, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
    }
    let (start, count) = (bytes.len() as u32, directory.len() as u16);
    let directory = directory.concat();
    let size = directory.len() as u32;
    let end = [&b"PK\x05\x06\0\0\0\0"[..], &count.to_le_bytes(), &count.to_le_bytes(), &size.to_le_bytes()];
    [bytes, directory, end.concat(), start.to_le_bytes().into(), vec![0; 2]].concat()
}

#[test]
fn the_authors_own_archive_is_the_same_network() {
    let model = Model::of("musiq_ava");
    let file = model.files().next().unwrap().to_owned();
    let published = model.source(&file);
    let arrays: Vec<Array> =
        published.iter().map(|(name, _, shape)| of_flax(name, shape, published.floats(name, shape).unwrap())).collect();
    let archive = Source::of_vec(Path::new("ava_ckpt.npz"), npz(&arrays)).unwrap();
    assert_eq!(archive.len(), arrays.len(), "the optimizer's arrays have a type that is none here");
    let ours = flax::musiq(archive).unwrap();
    let shapes = |source: &Source| source.iter().map(|(n, _, s)| (n.to_owned(), s.to_vec())).collect::<Vec<_>>();
    assert_eq!(shapes(&ours), shapes(&published));
    for (name, shape) in shapes(&ours) {
        let read = |source: &Source| source.floats::<f32>(&name, &shape).unwrap();
        assert!(read(&ours) == read(&published), "{name}");
    }
    let strange = npz(&[("opt/target/conv_root/kernel2".into(), vec![1], vec![0.0])]);
    let error = flax::musiq(Source::of_vec(Path::new("x.npz"), strange).unwrap()).unwrap_err().to_string();
    assert!(error.contains("is none of MUSIQ's"), "{error}");
}

/// Tokens of 256×288 pixels: 49, 132 and 72; the other implementation fills the second size up to 144.
const TOKENS: usize = 253;
const FILLED: std::ops::Range<usize> = 181..193;

/// Compares the recorded samples of each feature with those of the same token.
fn check_samples(model: &Model, metric: &dyn Metric) {
    let taps = Taps::default();
    let scorer = metric.open(&model.store(), &taps.watching(Compute::cpu())).unwrap();
    let run = &model.fixture["runs"]["even"];
    let bound = scorer.bind(None, &Features::default()).unwrap();
    bound.score(&images(run)[1], &Features::default()).unwrap();
    let seen = taps.take();
    let (mut worst, mut compared) = (0.0f64, 0);
    for (name, recorded) in run["taps"].as_object().unwrap() {
        let (Some(got), want) = (seen.get(name).and_then(|all| all.first()), &recorded[0]) else { continue };
        // Tokens lie along the first dimension in the ResNet, along the second in the transformer, behind the class token.
        let sides: Vec<usize> =
            want["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let (tokens, class) = if sides[0] == 1 { (sides[1], sides[1] - TOKENS - FILLED.len()) } else { (sides[0], 0) };
        let size = sides.iter().product::<usize>() / tokens;
        for (at, value) in want["samples"].as_object().unwrap() {
            let at: usize = at.parse().unwrap();
            let token = at / size;
            let ours = match token.checked_sub(class) {
                Some(patch) if FILLED.contains(&patch) => continue,
                Some(patch) if patch >= FILLED.end => token - FILLED.len(),
                _ => token,
            };
            let Some(got) = got.values.get(ours * size + at % size) else { continue };
            let far = (f64::from(*got) - value.as_f64().unwrap()).abs() / want["std"].as_f64().unwrap();
            assert!(far < 1e-4, "{name} {at}: {got} instead of {value}, {far:e} deviations off");
            (worst, compared) = (worst.max(far), compared + 1);
        }
    }
    assert!(compared > 40, "{compared} values");
    println!("parity: {}: {compared} values of features {worst:.1e}", model.name);
}
