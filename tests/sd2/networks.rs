//! Each network alone.

use std::path::Path;

use candle_core::Tensor;
use dp2o_studio::backbones::sd2::CARD;
use dp2o_studio::networks::clip_bpe::ClipBpe;
use dp2o_studio::networks::clip_text::{self, ClipText};
use dp2o_studio::networks::controlnet_sd::{self, ControlNet};
use dp2o_studio::networks::unet_sd::{self, Unet, With};
use dp2o_studio::networks::vae_kl::{self, Vae};
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::params::{Params, Specs};
use dp2o_studio::nn::tape::{Tape, Var};
use dp2o_studio::weights::{Source, names};

use crate::support::{Computed, difference, folder, nchw, nhwc, path, weights};

pub const UNET: unet_sd::Config =
    unet_sd::Config { latent: 4, channels: [8, 16, 24, 24], heads: [1, 2, 3, 3], text: 16, groups: 4 };
pub const CONTROL: controlnet_sd::Config = controlnet_sd::Config { unet: UNET, image: [4, 6, 8, 10] };
/// Of forward passes.
const TOLERANCE: f64 = 1e-5;

pub fn unet() -> (Unet, Params) {
    let mut specs = Specs::default();
    let net = Unet::new(&mut specs, &UNET);
    assert_eq!(specs.iter().count(), 686);
    let source = Source::open(&folder("unet/diffusion_pytorch_model.safetensors")).unwrap();
    source.check(specs.iter(), &[]).unwrap();
    (net, weights(specs, &source))
}

pub fn control(file: &str) -> (ControlNet, Params) {
    let mut specs = Specs::default();
    let net = ControlNet::new(&mut specs, &CONTROL);
    assert_eq!(specs.iter().count(), 340);
    let source = Source::open(&path(file)).unwrap();
    source.check(specs.iter(), &[]).unwrap();
    (net, weights(specs, &source))
}

fn tape() -> Tape {
    Tape::inference(&Compute::cpu().kernels)
}

fn constant(tensor: Tensor) -> Var {
    Var::constant(tensor)
}

#[test]
fn the_published_sizes_are_those_of_the_published_files() {
    let count = |declare: &dyn Fn(&mut Specs)| {
        let mut specs = Specs::default();
        declare(&mut specs);
        (specs.iter().count(), specs.value_count())
    };
    let unet = count(&|s| drop(Unet::new(s, &unet_sd::Config::SD2)));
    assert_eq!(unet, (686, 865_910_724));
    let mut specs = Specs::default();
    Unet::new(&mut specs, &unet_sd::Config::SD2);
    let vae = count(&|s| drop(Vae::new(s, vae_kl::Config::SD))).1;
    let first = specs.iter().filter(|(name, _)| unet_sd::is_in_first_half(name));
    let first: usize = first.map(|(_, shape)| shape.iter().product::<usize>()).sum();
    assert_eq!(first + vae, CARD.memory.let_go);
    let control = count(&|s| drop(ControlNet::new(s, &controlnet_sd::Config::SD2)));
    assert_eq!(control, (340, 364_228_240));
    assert_eq!(count(&|s| drop(Vae::new(s, vae_kl::Config::SD))), (248, 83_653_863));
    assert_eq!(count(&|s| drop(ClipText::new(s, clip_text::Config::SD2))), (372, 340_387_840));
}

#[test]
fn every_skip_and_every_answer_of_the_control_net_at_three_sizes_and_two_times() {
    let computed = Computed::read("computed.safetensors");
    let ((unet, params), (control, adapter)) = (unet(), control("c-sd2/model.safetensors"));
    let mut worst = 0.0f64;
    for size in ["square", "wide", "odd"] {
        let get = |part: &str| computed.get(&format!("{size}.{part}"));
        let mut hold = |what: String, got: &Tensor, want: &str| {
            let error = difference(&nchw(got), get(want));
            assert!(error < TOLERANCE, "{size} {what}: {error:e}");
            worst = worst.max(error);
        };
        let (tape, times) = (tape(), computed.floats(&format!("{size}.times")));
        let (x, text, image) = (nhwc(get("x")), constant(get("text").clone()), constant(nhwc(get("image"))));
        let x = constant(x);
        let with = With { time: unet.encoder.time(&tape, &params, &times).unwrap(), text: text.clone() };
        let skips = unet.encoder.skips(&tape, &params, &x, None, &with).unwrap();
        assert_eq!(skips.len(), unet_sd::SKIPS);
        for (i, skip) in skips.iter().enumerate() {
            hold(format!("skip {i}"), skip.tensor(), &format!("skip.{i}"));
        }
        let middle = unet.encoder.middle(&tape, &params, &skips[unet_sd::SKIPS - 1], &with).unwrap();
        hold("middle".into(), middle.tensor(), "middle");
        let plain = unet.decode(&tape, &params, &skips, &middle, &with).unwrap();
        hold("without control".into(), plain.tensor(), "plain");

        let (said, of_middle) = control.forward(&tape, &adapter, (&x, &image), (&times, &text), None).unwrap();
        for (i, said) in said.iter().chain([&of_middle]).enumerate() {
            hold(format!("answer {i}"), said.tensor(), &format!("control.{i}"));
        }
        let onto = Some((skips.as_slice(), &middle));
        let (skips, middle) = control.forward(&tape, &adapter, (&x, &image), (&times, &text), onto).unwrap();
        let y = unet.decode(&tape, &params, &skips, &middle, &with).unwrap();
        hold("with control".into(), y.tensor(), "said");
    }
    println!("worst of all {worst:e}");
}

#[test]
fn texts_become_the_tokens_and_states_of_transformers() {
    let computed = Computed::read("computed.safetensors");
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(path("texts.json")).unwrap()).unwrap();
    let bpe = ClipBpe::open(&folder("tokenizer/vocab.json"), &folder("tokenizer/merges.txt")).unwrap();
    for (i, text) in texts.iter().enumerate() {
        let whole = |name: &str| -> Vec<i32> {
            computed.get(&format!("text.{i}.{name}")).flatten_all().unwrap().to_vec1().unwrap()
        };
        let tokens = bpe.encode(text, 77);
        let ids: Vec<i32> = tokens.ids.iter().map(|&id| id as i32).collect();
        assert_eq!(ids, whole("ids"), "{text}");
        assert_eq!(tokens.cut as i32, (whole("length")[0] - 75).max(0), "{text}");
    }
    let config = clip_text::Config {
        vocabulary: bpe.len(),
        width: 16,
        inner: 32,
        layers: 3,
        heads: 2,
        ..clip_text::Config::SD2
    };
    let mut specs = Specs::default();
    let net = ClipText::new(&mut specs, config);
    let source = names::clip_text(Source::open(&folder("text_encoder/model.safetensors")).unwrap()).unwrap();
    let params = weights(specs, &source);
    let states: Vec<Tensor> =
        [1, 6].map(|i| net.forward(&tape(), &params, &bpe.encode(&texts[i], 77).ids).unwrap().tensor().clone()).into();
    let error = difference(&Tensor::cat(&states, 0).unwrap(), computed.get("text.state"));
    assert!(error < TOLERANCE, "{error:e}");
    println!("text {error:e}");
}

#[test]
fn pictures_become_latents_and_latents_pictures() {
    let computed = Computed::read("computed.safetensors");
    let config = vae_kl::Config { channels: [4, 8, 8, 8], groups: 2, ..vae_kl::Config::SD };
    let open = |file: &Path| {
        let mut specs = Specs::default();
        let net = Vae::new(&mut specs, config);
        (net, weights(specs, &names::vae(Source::open(file).unwrap()).unwrap()))
    };
    let (net, params) = open(&folder("vae/diffusion_pytorch_model.safetensors"));
    let picture = constant(nhwc(computed.get("vae.picture")));
    let [mean, log_variance] = net.encode(&tape(), &params, &picture).unwrap();
    let latents = constant(nhwc(computed.get("vae.mean")));
    let decoded = net.decode(&tape(), &params, &latents).unwrap();
    for (got, want) in [(&mean, "mean"), (&log_variance, "log_variance"), (&decoded, "decoded")] {
        let error = difference(&nchw(got.tensor()), computed.get(&format!("vae.{want}")));
        assert!(error < TOLERANCE, "{want}: {error:e}");
        println!("{want} {error:e}");
    }
}
