//! Each network alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use candle_core::Tensor;
use dp2o_studio::networks::clip_text::{self, ClipText};
use dp2o_studio::networks::controlnet_flux::ControlNet;
use dp2o_studio::networks::flux_transformer::{Config, Residuals, Told, Transformer};
use dp2o_studio::networks::t5_encoder::{self, T5Encoder};
use dp2o_studio::networks::vae_kl::{self, Vae};
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::ops::rope::Rope;
use dp2o_studio::nn::params::{Params, Specs};
use dp2o_studio::nn::tape::{Tape, Var};
use dp2o_studio::weights::names;

use crate::support::{
    CONTROL, Computed, codec, computed, control, difference, flat, folder, nchw, nhwc, transformer, weights,
};

/// Of forward passes.
const TOLERANCE: f64 = 1e-5;

fn tape() -> Tape {
    Tape::inference(&Compute::cpu().kernels)
}

fn constant(tensor: &Tensor) -> Var {
    Var::constant(tensor.clone())
}

#[test]
fn the_published_sizes_are_those_of_the_published_files() {
    let count = |declare: &dyn Fn(&mut Specs)| {
        let mut specs = Specs::default();
        declare(&mut specs);
        (specs.iter().count(), specs.value_count())
    };
    assert_eq!(count(&|s| drop(Transformer::new(s, &Config::DEV))), (1160, 11_901_408_320));
    assert_eq!(count(&|s| drop(ControlNet::new(s, &Config::C_FLUX))), (154, 1_442_333_696));
    assert_eq!(count(&|s| drop(Vae::new(s, vae_kl::Config::FLUX))), (244, 83_819_683));
    assert_eq!(count(&|s| drop(ClipText::new(s, clip_text::Config::L))), (196, 123_060_480));
    assert_eq!(count(&|s| drop(T5Encoder::new(s, t5_encoder::Config::XXL))), (219, 4_762_310_656));
}

/// Latents as tokens.
fn tokens(planes: &Tensor) -> Tensor {
    let (batch, channels, height, width) = planes.dims4().unwrap();
    let tokens = Compute::cpu().kernels.unshuffle(planes, 2).unwrap();
    tokens.reshape((batch, height * width / 4, channels * 4)).unwrap()
}

#[test]
fn every_block_and_every_residual_at_three_sizes_and_two_times() {
    let computed = computed("computed.safetensors");
    let seen: Arc<Mutex<HashMap<String, Tensor>>> = Arc::default();
    let keep = seen.clone();
    let watched = Compute::cpu().watched(move |name, feature| {
        keep.lock().unwrap().insert(name.to_owned(), feature.clone());
    });
    let (net, params) = transformer(&watched);
    let with_single = Config { single: 1, ..CONTROL };
    let [(plain, own), (single, more)] =
        [("c-flux/model.safetensors", CONTROL), ("with-single/diffusion_pytorch_model.safetensors", with_single)].map(
            |(file, config)| {
                let (net, specs, source) = control(file, &config);
                (net, weights(specs, &source))
            },
        );
    let mut worst = 0.0f64;
    for name in ["square", "wide", "odd"] {
        let get = |part: &str| computed.get(&format!("{name}.{part}"));
        let mut hold = |got: &Tensor, want: &str| {
            let error = difference(got, get(want));
            assert!(error < TOLERANCE, "{name} {want}: {error:e}");
            worst = worst.max(error);
        };
        let (x, image) = (constant(&tokens(get("x"))), constant(&tokens(get("image"))));
        let (text, pooled) = (constant(get("text")), constant(get("pooled")));
        let times = computed.floats(&format!("{name}.times"));
        let (_, _, height, width) = get("x").dims4().unwrap();
        let size = [height / 2, width / 2];
        let told = Told { times: &times, guidance: Some(2.5), text: &text, pooled: &pooled, size };
        let begun = net.begin(&params, &x, &told).unwrap();
        let finish = |residuals: &Residuals| {
            let y = net.finish(&tape(), &params, &begun, 7, residuals).unwrap();
            let y = y.tensor().reshape((2, size[0], size[1], 64)).unwrap();
            Compute::cpu().kernels.shuffle(&y, 2).unwrap()
        };
        hold(&finish(&Residuals::default()), "plain");
        let blocks = seen.lock().unwrap().clone();
        for (kind, count) in [("double", 5), ("single", 2)] {
            let prefix = if kind == "double" { "" } else { "single_" };
            for i in 0..count {
                hold(&blocks[&format!("{prefix}transformer_blocks.{i}")], &format!("{kind}.{i}"));
            }
        }
        let residuals = plain.forward(&tape(), &own, &x, &image, &told).unwrap();
        assert!(residuals.single.is_empty() && residuals.double.len() == 2);
        for (i, residual) in residuals.double.iter().enumerate() {
            hold(residual.tensor(), &format!("residual.{i}"));
        }
        hold(&finish(&residuals), "said");
        let residuals = single.forward(&tape(), &more, &x, &image, &told).unwrap();
        for (i, residual) in residuals.double.iter().chain(&residuals.single).enumerate() {
            hold(residual.tensor(), &format!("both.{i}"));
        }
        hold(&finish(&residuals), "more");
        let refused = net.begin(&params, &x, &Told { guidance: None, ..told }).unwrap_err().to_string();
        assert!(refused.contains("guidance"), "{refused}");
        let refused = net.begin(&params, &x, &Told { size: [1, 1], ..told }).unwrap_err().to_string();
        assert!(refused.contains("1 × 1 places"), "{refused}");
    }
    println!("worst of all {worst:e}");
}

#[test]
fn places_turn_tokens_by_the_angles_of_diffusers() {
    let computed = computed("computed.safetensors");
    let image = (0..24).map(|i| [0.0, f64::from(i / 6), f64::from(i % 6)]);
    let places: Vec<[f64; 3]> = std::iter::repeat_n([0.0; 3], 7).chain(image).collect();
    let rope = Rope::new(&places, [4, 6, 6], 10_000.0, &candle_core::Device::Cpu).unwrap();
    for (table, name) in rope.tables().into_iter().zip(["rope.cos", "rope.sin"]) {
        // Theirs has each value twice.
        let want: Vec<f32> = computed.floats(name).into_iter().step_by(2).collect();
        let most = flat(table).iter().zip(&want).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(flat(table).len() == want.len() && most < 1e-7, "{name}: {most:e}");
    }
    // Of the published sizes: row 3 and column 5.
    let rope = Rope::new(&[[0.0, 3.0, 5.0]], Config::DEV.axes, 10_000.0, &candle_core::Device::Cpu).unwrap();
    let [cos, sin] = rope.tables().map(flat);
    for (got, want) in [(cos[7], 1.0), (cos[8], -0.989992), (sin[8], 0.141120), (cos[36], 0.283662)] {
        assert!((got - want).abs() < 1e-6, "{got}, not {want}");
    }
}

fn ids(computed: &Computed, name: &str) -> Vec<u32> {
    let ids: Vec<i32> = computed.get(name).flatten_all().unwrap().to_vec1().unwrap();
    ids.into_iter().map(|id| id as u32).collect()
}

#[test]
fn texts_become_the_states_and_summaries_of_transformers() {
    let computed = computed("computed.safetensors");
    let clip = {
        let source = names::clip_text(folder("text_encoder/model.safetensors")).unwrap();
        let vocabulary = source.shape("text_model.embeddings.token_embedding.weight").unwrap()[0];
        let config =
            clip_text::Config { vocabulary, width: 20, inner: 40, layers: 3, heads: 2, ..clip_text::Config::L };
        let mut specs = Specs::default();
        let net = ClipText::new(&mut specs, config);
        source.check(specs.iter(), &[]).unwrap();
        (net, weights(specs, &source))
    };
    let t5 = {
        let source = folder("text_encoder_2/model.safetensors.index.json");
        let vocabulary = source.shape("shared.weight").unwrap()[0];
        let sizes =
            t5_encoder::Config { vocabulary, width: 24, inner: 48, layers: 2, heads: 3, ..t5_encoder::Config::XXL };
        let mut specs = Specs::default();
        let net = T5Encoder::new(&mut specs, t5_encoder::Config { dim: 8, ..sizes });
        source.check(specs.iter(), &[]).unwrap();
        (net, weights(specs, &source))
    };
    let mut worst = [0.0f64; 2];
    let of_t5 = |(net, params): &(T5Encoder, Params), name: &str| {
        let states = net.forward(&tape(), params, &ids(&computed, &format!("text.{name}.t5"))).unwrap();
        difference(states.tensor(), computed.get(&format!("text.{name}.state")))
    };
    for i in 0..7 {
        let summary = clip.0.pooled(&tape(), &clip.1, &ids(&computed, &format!("text.{i}.clip"))).unwrap();
        worst[0] = worst[0].max(difference(summary.tensor(), computed.get(&format!("text.{i}.pooled"))));
        worst[1] = worst[1].max(of_t5(&t5, &i.to_string()));
    }
    worst[1] = worst[1].max(of_t5(&t5, "far"));
    println!("CLIP {:e}, T5 {:e}", worst[0], worst[1]);
    assert!(worst.iter().all(|error| *error < TOLERANCE), "{worst:?}");
}

#[test]
fn pictures_become_latents_of_sixteen_channels_and_latents_pictures() {
    let computed = computed("computed.safetensors");
    let codec = codec(&Compute::cpu());
    let picture = computed.get("vae.picture");
    let [mean, log_variance] = codec.net.encode(&tape(), &codec.weights, &constant(&nhwc(picture))).unwrap();
    let decoded = codec.net.decode(&tape(), &codec.weights, &constant(&nhwc(computed.get("vae.mean")))).unwrap();
    for (got, want) in [(&mean, "mean"), (&log_variance, "log_variance"), (&decoded, "decoded")] {
        let error = difference(&nchw(got.tensor()), computed.get(&format!("vae.{want}")));
        assert!(error < TOLERANCE, "{want}: {error:e}");
        println!("{want} {error:e}");
    }
    // As the ControlNet sees a picture.
    let seen = codec.distribution(&picture.affine(0.5, 0.5).unwrap()).unwrap();
    let shown = dp2o_studio::backbones::condition::Shown::of(vec![seen], Vec::new());
    let drawn = shown.clone().drawn_with(computed.get("vae.noise").clone()).drawn(0).unwrap();
    let error = difference(&drawn, computed.get("vae.drawn"));
    println!("drawn {error:e}");
    assert!(error < TOLERANCE, "{error:e}");
    let mean = codec.encode(&picture.affine(0.5, 0.5).unwrap()).unwrap();
    assert_eq!(flat(&shown.drawn(0).unwrap()), flat(&mean));
}
