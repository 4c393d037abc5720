//! The published files in every form in which people have them, files of other models, and the files that are written.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use dp2o_studio::backbones::condition::Prompt;
use dp2o_studio::backbones::{Backbone, Query, registry};
use dp2o_studio::imaging::Image;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::tape::Tape;
use dp2o_studio::random::Random;
use dp2o_studio::weights::Store;
use dp2o_studio::weights::places::Place;

use crate::support::{flat, open, path};

const UNET: &str = "stable-diffusion-2-base/unet/diffusion_pytorch_model.safetensors";
const VAE: &str = "stable-diffusion-2-base/vae/diffusion_pytorch_model.safetensors";
const TEXT: &str = "stable-diffusion-2-base/text_encoder/model.safetensors";
const CONTROL: &str = "c-sd2/model.safetensors";

/// What becomes of a tensor: its new name and values, or nothing.
type Change<'c> = dyn Fn(&str, &Tensor) -> Option<(String, Tensor)> + 'c;

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        match path.is_dir() {
            true => copy(&path, &to.join(name)),
            false => drop(std::fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}

/// A copy of the small model that may be changed.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for part in ["stable-diffusion-2-base", "c-sd2"] {
            copy(&path(part), &dir.path().join(part));
        }
        Self(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The tensors of a file under other names, in other shapes or types.
    fn change(&self, name: &str, change: impl Fn(&str, &Tensor) -> Option<(String, Tensor)>) {
        let file = self.file(name);
        let all = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
        let changed: HashMap<String, Tensor> = all.iter().filter_map(|(name, tensor)| change(name, tensor)).collect();
        candle_core::safetensors::save(&changed, &file).unwrap();
    }

    fn rename(&self, name: &str, rename: impl Fn(&str) -> String) {
        self.change(name, |name, tensor| Some((rename(name), tensor.clone())));
    }

    fn error(&self) -> String {
        let store = Store::of_folders(&[self.0.path().to_owned()], true);
        let error = registry::open("sd2", &Compute::cpu(), &store).err().expect("it is accepted").to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    }
}

/// A prediction, a picture and its latents: what every weight has a part in.
fn looks(backbone: &dyn Backbone) -> Vec<f32> {
    let lr = Image::new(16, 16, Random::new(2, 9).normal_image(3, 16, 16)).unwrap();
    let prompt = Prompt { text: "moss".into(), negative: String::new() };
    let shown = backbone.condition(&lr, &prompt).unwrap().whole(1, &Device::Cpu).unwrap();
    let x = Tensor::from_vec(Random::new(1, 9).normal_image(4, 8, 8), (1, 4, 8, 8), &Device::Cpu).unwrap();
    let adapter = backbone.reference().unwrap();
    let query = Query::new(&x, &[500.0], &shown);
    let y = backbone.predict(&Tape::inference(adapter.kernels()), &adapter, &query).unwrap();
    let picture = backbone.decode(y.tensor(), &shown).unwrap();
    [flat(y.tensor()), flat(&picture), flat(&backbone.encode(&picture, &shown).unwrap())].concat()
}

#[test]
fn the_same_weights_in_other_forms_are_the_same_model() {
    let expected = looks(open(&path("")).as_ref());
    let folder = Folder::new();
    // Old names of the autoencoder's attention, as convolutions; the text's with their prefix; the ControlNet's with one.
    let old = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
    folder.change(VAE, |name, tensor| {
        let (new, old) = old
            .into_iter()
            .find(|(new, _)| name.contains(&format!("attentions.0.{new}.")))
            .map_or(("", ""), |pair| pair);
        let tensor = match (new, tensor.dims()) {
            ("", _) | (_, [_]) => tensor.clone(),
            (_, &[rows, columns]) => tensor.reshape((rows, columns, 1, 1)).unwrap(),
            other => panic!("{other:?}"),
        };
        Some((if new.is_empty() { name.to_owned() } else { name.replace(new, old) }, tensor))
    });
    folder.rename(TEXT, |name| format!("text_model.{name}"));
    folder.rename(CONTROL, |name| format!("module.{name}"));
    assert!(looks(open(folder.0.path()).as_ref()) == expected);

    // 32 bits hold what 16 do; half the file's names say so.
    let folder = Folder::new();
    for name in [UNET, VAE, CONTROL] {
        folder.change(name, |name, tensor| Some((name.to_owned(), tensor.to_dtype(DType::F32).unwrap())));
    }
    std::fs::rename(folder.file(TEXT), folder.file(&TEXT.replace("model.", "model.fp16."))).unwrap();
    assert!(looks(open(folder.0.path()).as_ref()) == expected);

    // A cache of the hub, in which files are links.
    #[cfg(unix)]
    {
        let cache = tempfile::tempdir().unwrap();
        let repository = cache.path().join("models--sd2-community--stable-diffusion-2-base");
        copy(&path("stable-diffusion-2-base"), &repository.join("blobs"));
        std::fs::create_dir_all(repository.join("snapshots/abc")).unwrap();
        for part in ["unet", "vae", "text_encoder", "tokenizer", "scheduler"] {
            let (from, to) = (repository.join("blobs").join(part), repository.join("snapshots/abc").join(part));
            std::fs::create_dir(&to).unwrap();
            for entry in std::fs::read_dir(&from).unwrap().flatten() {
                std::os::unix::fs::symlink(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
        let places = vec![Place::hub(cache.path()), Place::folder(&path(""), "")];
        std::fs::remove_dir_all(folder.file("stable-diffusion-2-base")).unwrap();
        let store = Store::of_places(places, true);
        let backbone = registry::open("sd2", &Compute::cpu(), &store).unwrap_or_else(|e| panic!("{e}"));
        assert!(looks(backbone.as_ref()) == expected);
    }
}

#[test]
fn files_of_other_models_say_what_they_are() {
    let config = |name: &str, from: &str, to: &str| {
        let folder = Folder::new();
        let file = folder.file(&format!("stable-diffusion-2-base/{name}"));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
        folder.error()
    };
    let has = |error: String, parts: &[&str]| assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    let sdxl = config("unet/config.json", "\"cross_attention_dim\": 16", "\"cross_attention_dim\": 2048");
    has(sdxl, &["unet/config.json", "SDXL", "sd2-community"]);
    let first = config("unet/config.json", "\"cross_attention_dim\": 16", "\"cross_attention_dim\": 768");
    has(first, &["Stable Diffusion 1", "sd2-community"]);
    has(config("unet/config.json", "\"in_channels\": 4", "\"in_channels\": 9"), &["9 channels"]);
    let velocity = "\"prediction_type\": \"v_prediction\", \"beta_start\"";
    has(config("scheduler/scheduler_config.json", "\"beta_start\"", velocity), &["v_prediction", "2.1"]);

    let renamed = |file: &str, rename: &dyn Fn(&str) -> String| {
        let folder = Folder::new();
        folder.rename(file, rename);
        folder.error()
    };
    let compvis = renamed(UNET, &|name| format!("model.diffusion_model.{name}"));
    has(compvis, &["first publisher", "sd2-community"]);
    has(renamed(CONTROL, &|name| format!("control_model.{name}")), &["first ControlNets", "Google Drive"]);
    has(renamed(CONTROL, &|name| name.replace("attn1.to_q", "attn.add_q_proj")), &["FLUX"]);
    has(renamed(CONTROL, &|name| name.replace("mid_block", "mid_part")), &["missing", "model.safetensors"]);
    has(renamed(CONTROL, &|name| name.replace("time_embedding", "add_embedding")), &["SDXL", "Google Drive"]);
    has(renamed(CONTROL, &|name| name.replace("conv_in", "lora_A")), &["a LoRA"]);
    let changed = |file: &str, change: &Change| {
        let folder = Folder::new();
        folder.change(file, change);
        folder.error()
    };
    let text = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight";
    let first = |name: &str, tensor: &Tensor| {
        let other = || Tensor::zeros((8, 768), DType::F16, &Device::Cpu).unwrap();
        Some((name.to_owned(), if name == text { other() } else { tensor.clone() }))
    };
    has(changed(CONTROL, &first), &["Stable Diffusion 1"]);
    let whole = |name: &str, tensor: &Tensor| {
        let whole = tensor.to_dtype(DType::F32).unwrap().to_dtype(DType::I64).unwrap();
        Some((name.to_owned(), if name == "conv_in.weight" { whole } else { tensor.clone() }))
    };
    has(changed(UNET, &whole), &["conv_in.weight", "floating-point"]);
    // One more tensor is another model's, where the released weights are meant.
    let more = |name: &str, tensor: &Tensor| {
        let name = if name == "controlnet_mid_block.bias" { "other.bias" } else { name };
        Some((name.to_owned(), tensor.clone()))
    };
    has(changed(CONTROL, &more), &["controlnet_mid_block.bias", "missing"]);

    let folder = Folder::new();
    let bytes = std::fs::read(folder.file(UNET)).unwrap();
    std::fs::write(folder.file(UNET), &bytes[..bytes.len() / 2]).unwrap();
    has(folder.error(), &["truncated", "unet"]);
    std::fs::write(folder.file(UNET), &bytes).unwrap();
    std::fs::remove_file(folder.file("stable-diffusion-2-base/tokenizer/merges.txt")).unwrap();
    std::fs::remove_file(folder.file(CONTROL)).unwrap();
    has(folder.error(), &["tokenizer/merges.txt", "c-sd2/model.safetensors", "get it"]);
}

#[test]
fn a_prompt_that_is_too_long_is_said() {
    let backbone = open(&path(""));
    let prompt = |text: &str| Prompt { text: text.into(), negative: String::new() };
    assert_eq!(backbone.unread(&prompt("a stone wall, moss")).unwrap(), None);
    let said = backbone.unread(&prompt(&"stone, ".repeat(60))).unwrap().unwrap();
    assert!(said.contains("120 tokens") && said.contains("first 75"), "{said}");
}
