//! The backbone from its files, in every form they are had in; texts that are kept; and what is no file of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use dp2o_studio::backbones::condition::Prompt;
use dp2o_studio::backbones::registry;
use dp2o_studio::backbones::sampler::{Sampler, Solver};
use dp2o_studio::backbones::tiles::Tiling;
use dp2o_studio::backbones::{Backbone, Query};
use dp2o_studio::imaging::Image;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::tape::Tape;
use dp2o_studio::weights::dtype::Dtype;
use dp2o_studio::weights::{Source, Store};
use safetensors::Dtype as Dt;
use safetensors::tensor::TensorView;

const CONTROL: &str = "c-flux/model.safetensors";

fn fixtures(backbone: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(backbone)
}

/// Names, shapes and values of a file.
fn tensors(path: &Path) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let source = Source::open(path).unwrap();
    let values = |name: &str, shape: &[usize]| source.floats(name, shape).unwrap();
    source.iter().map(|(name, _, shape)| (name.to_owned(), shape.to_vec(), values(name, shape))).collect()
}

/// Copies a folder.
fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copied(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// A copy of the fixtures, changed.
fn changed(change: impl Fn(&Path)) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for part in ["FLUX.1-dev", "c-flux"] {
        copied(&fixtures("flux").join(part), &home.path().join(part));
    }
    change(home.path());
    home
}

fn opened(home: &Path) -> dp2o_studio::Result<std::sync::Arc<dyn Backbone>> {
    registry::open("flux", &Compute::cpu(), &Store::of_folders(&[home.to_owned()], true))
}

/// What the backbone predicts of noise, for a picture with a prompt.
fn predicted(backbone: &dyn Backbone) -> Vec<f32> {
    let lr = Image::new(8, 8, (0..192).map(|i| (i % 23) as f32 / 23.0).collect()).unwrap();
    let prompt = Prompt { text: "a stone wall, moss".into(), negative: String::new() };
    let shown = backbone.condition(&lr, &prompt).unwrap().whole(1, &Device::Cpu).unwrap();
    let x = Tensor::arange(0f32, 256.0, &Device::Cpu).unwrap().affine(0.01, -1.0).unwrap();
    let x = x.reshape((1, 16, 4, 4)).unwrap().to_dtype(DType::F32).unwrap();
    let query = Query::new(&x, &[0.6], &shown).guided(Some(2.5));
    let tape = Tape::inference(&Compute::cpu().kernels);
    let y = backbone.predict(&tape, &backbone.reference().unwrap(), &query).unwrap();
    y.tensor().flatten_all().unwrap().to_vec1().unwrap()
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    let most = b.iter().fold(0f32, |most, v| most.max(v.abs()));
    a.iter().zip(b).fold(0f32, |worst, (a, b)| worst.max((a - b).abs())) / most
}

/// A GGUF file of f32 and Q8_0: matrices of whole rows of blocks in blocks.
fn write_gguf(tensors: &[(String, Vec<usize>, Vec<f32>)], path: &Path) {
    let string = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut header =
        [&b"GGUF"[..], &3u32.to_le_bytes(), &(tensors.len() as u64).to_le_bytes(), &1u64.to_le_bytes()].concat();
    header.extend([string("general.architecture"), 8u32.to_le_bytes().to_vec(), string("flux")].concat());
    let mut data: Vec<u8> = Vec::new();
    for (name, shape, values) in tensors {
        let is_packed = shape.len() == 2 && shape[1] % 32 == 0;
        header.extend([string(name), (shape.len() as u32).to_le_bytes().to_vec()].concat());
        shape.iter().rev().for_each(|side| header.extend((*side as u64).to_le_bytes()));
        header.extend(if is_packed { 8u32 } else { 0 }.to_le_bytes());
        header.extend((data.len() as u64).to_le_bytes());
        if is_packed {
            for block in values.chunks(32) {
                let scale = half::f16::from_f32(block.iter().fold(0f32, |most, v| most.max(v.abs())) / 127.0);
                data.extend(scale.to_le_bytes());
                data.extend(
                    block.iter().map(|v| (v / scale.to_f32().max(1e-9)).round().clamp(-127.0, 127.0) as i8 as u8),
                );
            }
        } else {
            values.iter().for_each(|v| data.extend(v.to_le_bytes()));
        }
        data.resize(data.len().next_multiple_of(32), 0);
    }
    header.resize(header.len().next_multiple_of(32), 0);
    std::fs::write(path, [header, data].concat()).unwrap();
}

/// The fixtures' T5 in llama.cpp's names.
fn t5_gguf(home: &Path) {
    let folder = home.join("FLUX.1-dev/text_encoder_2");
    let named = [
        ("layer.0.SelfAttention.relative_attention_bias", "attn_rel_b"),
        ("layer.0.SelfAttention.", "attn_"),
        ("layer.0.layer_norm", "attn_norm"),
        ("layer.1.layer_norm", "ffn_norm"),
        ("layer.1.DenseReluDense.wi_0", "ffn_gate"),
        ("layer.1.DenseReluDense.wi_1", "ffn_up"),
        ("layer.1.DenseReluDense.wo", "ffn_down"),
        ("encoder.block.", "enc.blk."),
        ("shared.", "token_embd."),
        ("encoder.final_layer_norm", "enc.output_norm"),
    ];
    let all: Vec<_> = tensors(&folder.join("model.safetensors.index.json"))
        .into_iter()
        .map(|(name, shape, values)| {
            (named.iter().fold(name, |name, (new, old)| name.replace(new, old)), shape, values)
        })
        .collect();
    write_gguf(&all, &home.join("FLUX.1-dev/t5-v1_1-xxl-encoder-Q8_0.gguf"));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_base_in_blocks_of_eight_bits_predicts_what_the_released_one_does() {
    let released = predicted(opened(&fixtures("flux")).unwrap().as_ref());
    let home = changed(|home| {
        let folder = home.join("FLUX.1-dev/transformer");
        let all = tensors(&folder.join("diffusion_pytorch_model.safetensors.index.json"));
        let file = home.join("FLUX.1-dev/flux1-dev-Q8_0.gguf");
        write_gguf(&all, &file);
        let source = Source::open(&file).unwrap();
        let packed = source.iter().filter(|(_, dtype, _)| matches!(dtype, Dtype::Blocks(_))).count();
        assert!(packed > 50, "{packed}");
        std::fs::rename(folder.join("config.json"), home.join("FLUX.1-dev/config.json")).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        t5_gguf(home);
    });
    let blocks = opened(home.path()).unwrap();
    let off = difference(&predicted(blocks.as_ref()), &released);
    assert!((1e-6..0.05).contains(&off), "{off}");
    // Its ControlNet is trained all the same, block by block.
    assert_eq!(blocks.reference().unwrap().byte_count(), 4 * blocks.adapter().value_count());
    let (of_released, of_blocks) = (slope(opened(&fixtures("flux")).unwrap().as_ref()), slope(blocks.as_ref()));
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let norms = (product(&of_released, &of_released) * product(&of_blocks, &of_blocks)).sqrt();
    let along = product(&of_released, &of_blocks) / norms;
    assert!((0.99..1.0 - 1e-9).contains(&along), "{along}");
}

/// The gradient of all that is trained of the ControlNet, recomputed.
fn slope(backbone: &dyn Backbone) -> Vec<f32> {
    let lr = Image::new(8, 8, (0..192).map(|i| (i % 23) as f32 / 23.0).collect()).unwrap();
    let shown = backbone.condition(&lr, &Prompt::default()).unwrap().whole(1, &Device::Cpu).unwrap();
    let x = Tensor::arange(0f32, 256.0, &Device::Cpu).unwrap().affine(0.01, -1.0).unwrap();
    let x = x.reshape((1, 16, 4, 4)).unwrap();
    let query = Query::new(&x, &[0.6], &shown).guided(Some(2.5));
    let policy = backbone.reference().unwrap().trainable(true);
    let tape = Tape::recording(policy.kernels()).recomputing(true);
    let y = backbone.predict(&tape, &policy, &query).unwrap();
    let gradients = tape.backward(&y, y.tensor().clone()).unwrap();
    let unread = backbone.unread_weights();
    let mut all = Vec::new();
    for (i, (name, _)) in policy.iter().enumerate() {
        let gradient = gradients.params().get(i).and_then(Option::as_ref);
        assert_eq!(gradient.is_none(), unread.iter().any(|unread| unread == name), "{name}");
        all.extend(gradient.into_iter().flat_map(|g| g.flatten_all().unwrap().to_vec1::<f32>().unwrap()));
    }
    all
}

/// Names, and what stands for each elsewhere.
type Pairs = &'static [(&'static str, &'static str)];

/// A kind of blocks, and of each of its names what stands for it.
type Kind<T> = (&'static str, &'static [(&'static str, T)]);

/// What is stacked in one matrix by its authors, of a block of two streams and of one.
const STACKED: [Kind<&'static [&'static str]>; 2] = [
    (
        "transformer_blocks.",
        &[
            ("img_attn.qkv", &["attn.to_q", "attn.to_k", "attn.to_v"]),
            ("txt_attn.qkv", &["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"]),
        ],
    ),
    ("single_transformer_blocks.", &[("linear1", &["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"])]),
];

/// Diffusers' names and the authors', in a block of two streams, in one of one stream, and outside of blocks.
const NAMES: [(&str, &str, Pairs); 3] = [
    (
        "transformer_blocks.",
        "double_blocks.",
        &[
            ("norm1.linear.", "img_mod.lin."),
            ("norm1_context.linear.", "txt_mod.lin."),
            ("attn.norm_q.weight", "img_attn.norm.query_norm.scale"),
            ("attn.norm_k.weight", "img_attn.norm.key_norm.scale"),
            ("attn.norm_added_q.weight", "txt_attn.norm.query_norm.scale"),
            ("attn.norm_added_k.weight", "txt_attn.norm.key_norm.scale"),
            ("attn.to_out.0.", "img_attn.proj."),
            ("attn.to_add_out.", "txt_attn.proj."),
            ("ff.net.0.proj.", "img_mlp.0."),
            ("ff.net.2.", "img_mlp.2."),
            ("ff_context.net.0.proj.", "txt_mlp.0."),
            ("ff_context.net.2.", "txt_mlp.2."),
        ],
    ),
    (
        "single_transformer_blocks.",
        "single_blocks.",
        &[
            ("norm.linear.", "modulation.lin."),
            ("proj_out.", "linear2."),
            ("attn.norm_q.weight", "norm.query_norm.scale"),
            ("attn.norm_k.weight", "norm.key_norm.scale"),
        ],
    ),
    (
        "",
        "",
        &[
            ("x_embedder.", "img_in."),
            ("context_embedder.", "txt_in."),
            ("time_text_embed.timestep_embedder.linear_1.", "time_in.in_layer."),
            ("time_text_embed.timestep_embedder.linear_2.", "time_in.out_layer."),
            ("time_text_embed.guidance_embedder.linear_1.", "guidance_in.in_layer."),
            ("time_text_embed.guidance_embedder.linear_2.", "guidance_in.out_layer."),
            ("time_text_embed.text_embedder.linear_1.", "vector_in.in_layer."),
            ("time_text_embed.text_embedder.linear_2.", "vector_in.out_layer."),
            ("norm_out.linear.", "final_layer.adaLN_modulation.1."),
            ("proj_out.", "final_layer.linear."),
        ],
    ),
];

/// The fixtures' transformer as one file of its authors: stacked matrices, and the last modulation's halves the other way round.
fn of_authors() -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let index = "FLUX.1-dev/transformer/diffusion_pytorch_model.safetensors.index.json";
    let all = tensors(&fixtures("flux").join(index)).into_iter();
    let mut left: BTreeMap<_, _> = all.map(|(name, shape, values)| (name, (shape, values))).collect();
    let block = |name: &str, kind: &str| {
        let number = name.strip_prefix(kind)?.split('.').next()?;
        Some(format!("{kind}{number}."))
    };
    for (kind, stacks) in STACKED {
        let blocks: BTreeSet<String> = left.keys().filter_map(|name| block(name, kind)).collect();
        for (block, (stack, parts), end) in blocks
            .iter()
            .flat_map(|block| stacks.iter().flat_map(move |stack| ["weight", "bias"].map(|end| (block, stack, end))))
        {
            let mut whole: Option<(Vec<usize>, Vec<f32>)> = None;
            for part in *parts {
                let (shape, values) = left.remove(&format!("{block}{part}.{end}")).unwrap();
                let whole = whole.get_or_insert((vec![0; shape.len()], Vec::new()));
                (whole.0[1..]).copy_from_slice(&shape[1..]);
                whole.0[0] += shape[0];
                whole.1.extend(values);
            }
            left.insert(format!("{block}{stack}.{end}"), whole.unwrap());
        }
    }
    let renamed = |(name, (shape, mut values)): (String, (Vec<usize>, Vec<f32>))| {
        if name.starts_with("norm_out.linear.") {
            let half = values.len() / 2;
            values.rotate_left(half);
        }
        let (kind, of_authors, names) = NAMES.into_iter().find(|(kind, ..)| name.starts_with(kind)).unwrap();
        let (number, inner) = match kind {
            "" => ("", name.as_str()),
            _ => name[kind.len()..].split_once('.').unwrap(),
        };
        let new = names.iter().find_map(|(old, new)| inner.strip_prefix(old).map(|rest| format!("{new}{rest}")));
        let (inner, dot) = (new.unwrap_or_else(|| inner.to_owned()), if kind.is_empty() { "" } else { "." });
        (format!("{of_authors}{number}{dot}{inner}"), shape, values)
    };
    left.into_iter().map(renamed).collect()
}

/// The nearest number of 8 bits, four of them exponent and three mantissa.
fn e4m3(value: f32) -> u8 {
    let decoded = |code: u8| match (code >> 3, f32::from(code & 7) / 8.0) {
        (0, part) => part * 2f32.powi(-6),
        (exponent, part) => (1.0 + part) * 2f32.powi(i32::from(exponent) - 7),
    };
    let apart = |code: &u8| (decoded(*code) - value.abs()).abs();
    let nearest = (0..0x7f).min_by(|a, b| apart(a).total_cmp(&apart(b))).unwrap();
    nearest | if value < 0.0 { 0x80 } else { 0 }
}

/// A whole picture of two seeds, in two steps.
fn drawn(backbone: &dyn Backbone) -> Vec<Image> {
    let lr = Image::new(13, 9, (0..351).map(|i| (i % 23) as f32 / 23.0).collect()).unwrap();
    let prompt = Prompt { text: "a stone wall, moss".into(), negative: String::new() };
    let condition = backbone.condition(&lr, &prompt).unwrap();
    let sampler = Sampler { solver: Solver::Euler, steps: 2, tiling: Tiling::default(), guidance: 2.5 };
    let adapter = backbone.reference().unwrap();
    sampler.sample(backbone, &adapter, &condition, &[3, 7], &mut |_, _| Ok(())).unwrap()
}

/// Pictures are drawn from one file of its authors as from the released folder, and from one in 8 bits much the same.
#[test]
fn one_file_of_the_authors_and_one_in_eight_bits_draw_pictures() {
    let with = |file: &str, half: bool| {
        changed(|home| {
            let all = of_authors();
            let bytes: Vec<(Dt, Vec<u8>)> = all
                .iter()
                .map(|(_, shape, values)| match half && shape.len() == 2 {
                    true => (Dt::F8_E4M3, values.iter().map(|v| e4m3(*v)).collect()),
                    false => (Dt::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
                })
                .collect();
            let views = all.iter().zip(&bytes).map(|((name, shape, _), (kind, bytes))| {
                (name.as_str(), TensorView::new(*kind, shape.clone(), bytes).unwrap())
            });
            std::fs::write(home.join("FLUX.1-dev").join(file), safetensors::serialize(views, None).unwrap()).unwrap();
            let folder = home.join("FLUX.1-dev/transformer");
            std::fs::rename(folder.join("config.json"), home.join("FLUX.1-dev/config.json")).unwrap();
            std::fs::remove_dir_all(folder).unwrap();
        })
    };
    let released = opened(&fixtures("flux")).unwrap();
    let [one, eight] = [("flux1-dev.safetensors", false), ("flux1-dev-fp8.safetensors", true)].map(|(file, half)| {
        let home = with(file, half);
        let backbone = opened(home.path()).unwrap();
        (predicted(backbone.as_ref()), drawn(backbone.as_ref()))
    });
    let pictures = drawn(released.as_ref());
    assert!(one.0 == predicted(released.as_ref()) && one.1 == pictures);
    let off = difference(&eight.0, &predicted(released.as_ref()));
    assert!((1e-4..0.3).contains(&off), "{off}");
    for (got, want) in eight.1.iter().zip(&pictures) {
        assert_eq!((got.width(), got.height()), (52, 36));
        assert!(got.data().iter().all(|v| v.is_finite()) && got != want);
    }
}

/// Of diffusers' other ControlNets for FLUX, with blocks of one stream too: every weight of theirs is read.
#[test]
fn a_control_net_of_another_depth_is_taken_as_it_is() {
    let home = changed(|home| {
        std::fs::remove_dir_all(home.join("c-flux")).unwrap();
        copied(&fixtures("flux").join("with-single"), &home.join("c-flux"));
        let [from, to] =
            ["diffusion_pytorch_model.safetensors", "model.safetensors"].map(|name| home.join("c-flux").join(name));
        std::fs::rename(from, to).unwrap();
    });
    let other = opened(home.path()).unwrap();
    let single = other.adapter().iter().filter(|(name, _)| name.starts_with("single_transformer_blocks.")).count();
    assert!(single > 0 && other.unread_weights().is_empty());
    let off = difference(&predicted(other.as_ref()), &predicted(opened(&fixtures("flux")).unwrap().as_ref()));
    assert!(off > 1e-3, "{off}");
}

#[test]
fn a_text_is_encoded_once_and_read_from_the_workspace_after_that() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::of_folders(&[fixtures("flux")], true).with_workspace(home.path());
    let lr = Image::new(4, 4, vec![0.5; 48]).unwrap();
    let texts = |text: &str| {
        let backbone = registry::open("flux", &Compute::cpu(), &store).unwrap();
        let prompt = Prompt { text: text.into(), negative: String::new() };
        let said = backbone.unread(&prompt).unwrap();
        assert_eq!(said.is_some(), text.len() > 300);
        assert!(said.is_none_or(|said| said.contains("120 tokens long for CLIP, which reads the first 75")));
        let shown = backbone.condition(&lr, &prompt).unwrap().whole(1, &Device::Cpu).unwrap();
        [0, 1].map(|i| shown.text(i).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap())
    };
    let first = texts("a stone wall, moss");
    assert_eq!((first[0].len(), first[1].len()), (512 * 24, 20));
    let computed = Source::open(&fixtures("flux").join("computed.safetensors")).unwrap();
    assert!(difference(&first[1], &computed.floats::<f32>("text.1.pooled", &[1, 20]).unwrap()) < 1e-5);
    let kept: Vec<_> =
        std::fs::read_dir(home.path().join("texts")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1);
    assert!(texts("a stone wall, moss") == first, "from disk");
    let mut bytes = std::fs::read(&kept[0]).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&kept[0], &bytes).unwrap();
    assert!(texts("a stone wall, moss") == first, "a damaged file is made anew");
    assert!(std::fs::read(&kept[0]).unwrap() != bytes);
    assert!(texts(&"moss, ".repeat(60)) != first);
}

#[test]
fn what_is_not_of_flux_is_refused_in_one_line_that_names_it() {
    let transformer = "FLUX.1-dev/transformer/diffusion_pytorch_model-00002-of-00003.safetensors";
    type Change<'c> = &'c dyn Fn(&Path);
    let renamed =
        |home: &Path, file: &str, by: &str| std::fs::copy(fixtures("sd2").join(by), home.join(file)).map(drop).unwrap();
    let cases: [(Change, &str); 9] = [
        (&|home| renamed(home, CONTROL, "c-sd2/model.safetensors"), "a ControlNet for Stable Diffusion"),
        // The folder of another model, whose transformer is a U-Net under the same file name.
        (
            &|home| {
                std::fs::remove_dir_all(home.join("FLUX.1-dev/transformer")).unwrap();
                std::fs::create_dir(home.join("FLUX.1-dev/transformer")).unwrap();
                let mut unet: Vec<_> =
                    tensors(&fixtures("sd2").join("stable-diffusion-2-base/unet/diffusion_pytorch_model.safetensors"));
                unet.iter_mut().for_each(|(name, ..)| *name = name.replace("time_embedding", "add_embedding"));
                write_gguf(&unet, &home.join("FLUX.1-dev/flux1-dev-Q8_0.gguf"));
            },
            "a U-Net, as Stable Diffusion and SDXL have",
        ),
        (
            &|home| {
                std::fs::remove_dir_all(home.join("FLUX.1-dev/transformer")).unwrap();
                renamed(
                    home,
                    "FLUX.1-dev/flux1-dev.safetensors",
                    "stable-diffusion-2-base/unet/diffusion_pytorch_model.safetensors",
                );
            },
            "a U-Net",
        ),
        (
            &|home| {
                let file = std::fs::OpenOptions::new().write(true).open(home.join(transformer)).unwrap();
                file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            },
            "diffusion_pytorch_model-00002-of-00003.safetensors: not a readable safetensors file: the file is truncated",
        ),
        (&|home| std::fs::remove_file(home.join(transformer)).unwrap(), "00002-of-00003"),
        (
            &|home| std::fs::remove_file(home.join("FLUX.1-dev/tokenizer_2/tokenizer.json")).unwrap(),
            "tokenizer_2/tokenizer.json",
        ),
        (
            &|home| std::fs::write(home.join("FLUX.1-dev/tokenizer_2/tokenizer.json"), "{}").unwrap(),
            "is no tokenizer of T5's",
        ),
        (
            &|home| {
                let path = home.join(CONTROL);
                let text = std::fs::read(&path).unwrap();
                let at = text.windows(5).position(|part| part == b"\"F16\"").unwrap();
                let mut text = text;
                text[at..at + 5].copy_from_slice(b"\"I16\"");
                std::fs::write(&path, text).unwrap();
            },
            "has type I16",
        ),
        (
            &|home| {
                let path = home.join("FLUX.1-dev/vae/config.json");
                let text = std::fs::read_to_string(&path).unwrap();
                std::fs::write(&path, text.replace("\"latent_channels\": 16", "\"latent_channels\": 4")).unwrap();
            },
            "has latents of 4 channels, not 16",
        ),
    ];
    for (change, cause) in cases {
        let home = changed(change);
        let error = opened(home.path()).and_then(|backbone| backbone.reference().map(drop)).unwrap_err().to_string();
        assert!(error.contains(cause), "{cause}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let all = tensors(&fixtures("flux").join("FLUX.1-dev/transformer/diffusion_pytorch_model.safetensors.index.json"));
    let schnell: Vec<_> = all.into_iter().filter(|(name, ..)| !name.contains("guidance_embedder")).collect();
    let home = changed(|home| {
        std::fs::rename(home.join("FLUX.1-dev/transformer/config.json"), home.join("FLUX.1-dev/config.json")).unwrap();
        std::fs::remove_dir_all(home.join("FLUX.1-dev/transformer")).unwrap();
        write_gguf(&schnell, &home.join("FLUX.1-dev/flux1-dev-Q8_0.gguf"));
    });
    let error = opened(home.path()).err().unwrap().to_string();
    assert!(error.contains("FLUX.1-schnell"), "{error}");
}
