//! The whole backbone: the flow from the noise of a seed, the loss of a pair and its gradients, and the weights that have none.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use dp2o_studio::backbones::condition::{Condition, Prompt, Shown};
use dp2o_studio::backbones::flux::CARD;
use dp2o_studio::backbones::process::Process;
use dp2o_studio::backbones::sampler::{Sampler, Solver};
use dp2o_studio::backbones::tiles::Tiling;
use dp2o_studio::backbones::{Backbone, Query};
use dp2o_studio::imaging::Image;
use dp2o_studio::networks::controlnet_flux::{ControlNet, UNTRAINED};
use dp2o_studio::networks::flux_transformer::Config;
use dp2o_studio::nn::adamw::Settings;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::lora::{Layer, Lora};
use dp2o_studio::nn::optimizer::{Optimizer, Pace};
use dp2o_studio::nn::params::{Params, Specs};
use dp2o_studio::nn::tape::{Gradients, Tape};
use dp2o_studio::weights::Source;

use crate::support::{CONTROL, Computed, backbone, backbone_on, computed, difference, flat, path};

fn plain(width: usize, height: usize) -> Image {
    Image::new(width, height, vec![0.5; 3 * width * height]).unwrap()
}

fn sampler(steps: usize) -> Sampler {
    Sampler { solver: Solver::Euler, steps, tiling: Tiling::default(), guidance: 2.5 }
}

#[test]
fn the_flow_comes_to_the_pictures_of_diffusers() {
    let computed = computed("computed.safetensors");
    let backbone = backbone();
    let Process::Flow(flow) = &CARD.process else { panic!() };
    for (name, steps, lr) in [("long", 25, plain(16, 16)), ("odd", 4, plain(20, 12))] {
        let get = |part: &str| computed.get(&format!("sample.{name}.{part}")).clone();
        let seen = backbone.codec.distribution(&get("image")).unwrap();
        let condition = Condition::new(&lr, CARD.latent)
            .with_map(seen, 1)
            .with_text(get("text"), get("text"))
            .with_text(get("pooled"), get("pooled"));
        let times: Vec<f32> = flow.steps(steps, condition.size()).iter().map(|step| step.time).collect();
        for (got, want) in times.iter().zip(computed.floats(&format!("sample.{name}.times"))) {
            assert!((got - want).abs() < 1e-6, "{name}: {got}, not {want}");
        }
        let (sampler, adapter) = (sampler(steps), backbone.reference().unwrap());
        let memory = || dp2o_studio::backbones::field::StateMemory { bytes: usize::MAX, scratch: "".as_ref() };
        let mut go_on = |_, _| Ok(());
        let solved = sampler.solve(&backbone, &adapter, &condition, &[3, 7], memory(), &mut go_on).unwrap();
        let error = difference(&solved.latent(1).unwrap(), &get("latents"));
        println!("{name}: latents {error:e}");
        assert!(error < 1e-4, "{name}: {error:e}");
        let picture = &solved.images().unwrap()[1];
        let got: Vec<f32> = picture.data().iter().map(|v| v.clamp(0.0, 1.0)).collect();
        let most = got.iter().zip(flat(&get("result"))).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        println!("{name}: picture {most:e}");
        assert!(most < 1.0 / 255.0, "{name}: {most}");
        // Another seed sees other latents of the LR image.
        let noise = |seed: u64| sampler.noise_of(&CARD, seed, condition.px()).unwrap();
        assert_eq!(noise(7).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["start", "control"]);
        assert_eq!(noise(7)[1].1.dims(), noise(7)[0].1.dims());
        assert!(flat(&noise(7)[1].1) != flat(&noise(3)[1].1) && flat(&noise(7)[1].1) != flat(&noise(7)[0].1));
    }
}

#[test]
fn an_image_of_any_size_is_shown_as_a_distribution_of_latents() {
    let backbone = backbone();
    let lr = plain(13, 9);
    let condition = backbone.condition(&lr, &Prompt::default()).unwrap();
    // 52 × 36 pixels are padded to 64 × 48.
    let shown = condition.whole(1, &Device::Cpu).unwrap();
    assert_eq!(shown.map(0).unwrap().dims(), [1, 32, 6, 8]);
    let adapter = backbone.reference().unwrap();
    let images = sampler(1).sample(&backbone, &adapter, &condition, &[1], &mut |_, _| Ok(())).unwrap();
    assert_eq!((images[0].width(), images[0].height()), (52, 36));
    let again = Condition::of_kept(&lr, CARD.latent, condition.kept()).unwrap();
    let images_again = sampler(1).sample(&backbone, &adapter, &again, &[1], &mut |_, _| Ok(())).unwrap();
    assert_eq!(images[0].data(), images_again[0].data());
}

/// What a tile is shown of the LR image, and what that is drawn with, lie where the tile does.
#[test]
fn pictures_in_tiles_are_drawn_with_the_noise_of_their_places() {
    let backbone = backbone();
    let lr = plain(20, 16);
    let condition = backbone.condition(&lr, &Prompt::default()).unwrap();
    let tiling = Tiling { tile_px: 48, overlap_px: 16 };
    let sampler = Sampler { tiling, ..sampler(2) };
    assert!(!sampler.grid(&backbone, 20, 16).is_whole());
    let adapter = backbone.reference().unwrap();
    let draw = |seeds: &[u64]| sampler.sample(&backbone, &adapter, &condition, seeds, &mut |_, _| Ok(())).unwrap();
    let (both, alone) = (draw(&[4, 9]), draw(&[9]));
    assert_eq!((both[1].width(), both[1].height()), (80, 64));
    let most = both[1].data().iter().zip(alone[0].data()).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(most < 1e-5 && both[0].data() != both[1].data(), "{most:e}");
}

/// Policy, reference, and what both are asked.
struct Pairs {
    policy: Params,
    reference: Params,
    x_t: Tensor,
    times: Vec<f32>,
    shown: Shown,
    target: Tensor,
}

impl Pairs {
    fn of(computed: &Computed, backbone: &dyn Backbone) -> Self {
        let twice = |name: &str| {
            let one = computed.get(name);
            Tensor::cat(&[one, one], 0).unwrap()
        };
        let times = computed.floats("dpo.times").repeat(2);
        let clean = Tensor::cat(&[computed.get("dpo.winner"), computed.get("dpo.loser")], 0).unwrap();
        let noise = twice("dpo.noise");
        let image = twice("dpo.image");
        let distribution = Tensor::cat(&[&image, &image.zeros_like().unwrap()], 1).unwrap();
        let source = Source::open(&path("reference.safetensors")).unwrap();
        let policy = backbone.reference().unwrap().trainable(true);
        Self {
            reference: Params::from_source(backbone.adapter(), &source, policy.compute()).unwrap(),
            x_t: CARD.process.corrupt(&clean, &noise, &times).unwrap(),
            target: CARD.process.target(&clean, &noise, &times).unwrap(),
            times,
            policy,
            shown: Shown::of(vec![distribution], vec![twice("dpo.text"), twice("dpo.pooled")]),
        }
    }

    fn query(&self) -> Query<'_> {
        Query::new(&self.x_t, &self.times, &self.shown).guided(Some(2.5))
    }

    fn errors(&self, y: &Tensor) -> Vec<f32> {
        flat(&(y - &self.target).unwrap().sqr().unwrap().flatten_from(1).unwrap().mean(1).unwrap())
    }

    /// Errors of both, loss, and gradients of the policy.
    fn step(&self, computed: &Computed, backbone: &dyn Backbone, tape: Tape) -> ([Vec<f32>; 2], f64, Gradients) {
        let query = self.query();
        let inference = Tape::inference(self.policy.kernels());
        let of_reference = self.errors(backbone.predict(&inference, &self.reference, &query).unwrap().tensor());
        let y = backbone.predict(&tape, &self.policy, &query).unwrap();
        let of_policy = self.errors(y.tensor());
        let weights = computed.floats("dpo.weights");
        let (mut loss, mut slopes) = (0.0, [0.0f32; 4]);
        let values = (y.tensor().elem_count() / 4) as f32;
        for pair in 0..2 {
            let moved = |i: usize| f64::from(of_policy[i]) - f64::from(of_reference[i]);
            let inside = -2.5 * (moved(pair) - moved(pair + 2));
            loss += f64::from(weights[pair]) * (1.0 + (-inside).exp()).ln() / 2.0;
            let slope = weights[pair] * (2.5 / (1.0 + inside.exp())) as f32 / 2.0;
            (slopes[pair], slopes[pair + 2]) = (slope * 2.0 / values, -slope * 2.0 / values);
        }
        let slopes = Tensor::from_slice(&slopes, (4, 1, 1, 1), &Device::Cpu).unwrap();
        let dy = (y.tensor() - &self.target).unwrap().broadcast_mul(&slopes).unwrap();
        ([of_policy, of_reference], loss, tape.backward(&y, dy).unwrap())
    }
}

#[test]
fn errors_loss_and_the_gradient_of_every_weight_are_those_of_pytorch() {
    let (computed, all) = (computed("computed.safetensors"), computed("gradients.safetensors"));
    let composed = Compute::composed(&Device::Cpu);
    for (on, recompute, name) in
        [(Compute::cpu(), false, "kept"), (Compute::cpu(), true, "recomputed"), (composed, true, "composed")]
    {
        let backbone = backbone_on(&on);
        let pairs = Pairs::of(&computed, &backbone);
        let tape = Tape::recording(pairs.policy.kernels()).recomputing(recompute);
        let (errors, loss, gradients) = pairs.step(&computed, &backbone, tape);
        for (got, want) in errors.iter().zip(["errors", "reference"]) {
            for (got, want) in got.iter().zip(computed.floats(&format!("dpo.{want}"))) {
                assert!((got - want).abs() < 1e-5 * want, "{got}, not {want}");
            }
        }
        let want = computed.floats("dpo.loss")[0];
        assert!((loss as f32 - want).abs() < 1e-4 * want, "{loss}, not {want}");
        let (mut worst, mut count) = (0.0f64, 0);
        for (i, (of, _)) in pairs.policy.iter().enumerate() {
            let Some(got) = gradients.params().get(i).and_then(Option::as_ref) else { continue };
            let (got, want) = (flat(got), all.floats(of));
            assert_eq!(got.len(), want.len(), "{of}");
            let norm = want.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            let apart = got.iter().zip(&want).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
            assert!(apart <= 1e-4 * norm, "{of}, {name}: {apart:e} of {norm:e}");
            (worst, count) = (worst.max(if norm > 0.0 { apart / norm } else { 0.0 }), count + 1);
        }
        assert_eq!((count, all.names().count()), (pairs.policy.len() - UNTRAINED, count));
        println!("{name}: worst of {count} gradients {worst:e}");
    }
}

/// Weight decay, moving average, low rank and saving leave alone what nothing reads.
#[test]
fn weights_without_a_gradient_stay_as_they_are_to_the_bit() {
    let computed = computed("computed.safetensors");
    let backbone = backbone();
    let pairs = Pairs::of(&computed, &backbone);
    let untrained = |name: &str| {
        name.starts_with("transformer_blocks.1.")
            && ["attn.to_add_out", "ff_context.net.0.proj", "ff_context.net.2"].iter().any(|part| name.contains(part))
    };
    let bits = |params: &Params, kept: &dyn Fn(&str) -> bool| -> Vec<Vec<u32>> {
        let named = params.iter().filter(|(name, _)| kept(name));
        named.map(|(_, tensor)| flat(tensor).iter().map(|v| v.to_bits()).collect()).collect()
    };
    let released = backbone.reference().unwrap();
    let was = bits(&released, &untrained);
    assert_eq!(was.len(), UNTRAINED);
    let settings = Settings { weight_decay: 0.1, ..Settings::default() };
    let pace = Pace { learning_rate: 1e-2, longest: 1.0, decay: 0.9 };

    let trained = Pairs { policy: released.to_train(|_| true).unwrap(), ..Pairs::of(&computed, &backbone) };
    let mut optimizer = Optimizer::new(&trained.policy, settings, true).unwrap();
    for _ in 0..2 {
        let (.., gradients) = trained.step(&computed, &backbone, Tape::recording(trained.policy.kernels()));
        optimizer.step(&gradients, pace).unwrap();
    }
    for params in [&trained.policy, optimizer.weights(), optimizer.average().unwrap()] {
        assert_eq!(bits(params, &untrained), was);
        let changed = bits(params, &|name| !untrained(name));
        let before = bits(&released, &|name| !untrained(name));
        assert!(changed.iter().zip(&before).all(|(a, b)| a != b), "a weight that is trained stayed");
    }
    let saved = trained.policy.to_safetensors(false, &Default::default()).unwrap();
    let saved = Source::of_vec("saved".as_ref(), saved).unwrap();
    saved.check(backbone.adapter().iter(), &[]).unwrap();
    let read = Params::to_be_trained(backbone.adapter(), &saved, &Compute::cpu()).unwrap();
    assert_eq!(bits(&read, &untrained), was);
    if let Ok(path) = std::env::var("FLUX_CHECK") {
        // For `make_flux.py --check`: whole, in half precision, and of as many blocks as C-FLUX has.
        std::fs::write(&path, trained.policy.to_safetensors(false, &Default::default()).unwrap()).unwrap();
        std::fs::write(format!("{path}.f16"), trained.policy.to_safetensors(true, &Default::default()).unwrap())
            .unwrap();
        let mut specs = Specs::default();
        ControlNet::new(&mut specs, &Config { double: 4, ..CONTROL });
        let four = Params::init(&Arc::new(specs), 1, &Compute::cpu()).unwrap();
        assert_eq!(four.len(), 154);
        std::fs::write(format!("{path}.four"), four.to_safetensors(false, &Default::default()).unwrap()).unwrap();
    }

    let lora = Arc::new(Lora::new(released.specs(), 4, 4.0, |_| true).unwrap());
    let mut merged = lora.working_copy(&released).unwrap();
    let factors = Params::init(lora.specs(), 5, &Compute::cpu()).unwrap().trainable(true);
    let start = bits(&factors, &untrained);
    let mut optimizer = Optimizer::new(&factors, settings, true).unwrap();
    for _ in 0..2 {
        let low = Pairs { policy: merged.clone(), ..Pairs::of(&computed, &backbone) };
        let (.., gradients) = low.step(&computed, &backbone, Tape::recording(low.policy.kernels()));
        let gradients = lora.project(optimizer.weights(), &gradients).unwrap();
        optimizer.step(&gradients, pace).unwrap();
        lora.merge(&released, optimizer.weights(), &mut merged).unwrap();
    }
    assert_eq!(bits(optimizer.weights(), &untrained), start);
    assert_eq!(bits(&merged, &untrained), was);
    let layer = Layer { lora, factors: optimizer.average().unwrap().clone() };
    assert_eq!(bits(&layer.onto(&released).unwrap(), &untrained), was);
    let query = pairs.query();
    let tape = || Tape::inference(pairs.policy.kernels());
    let [before, after] = [&released, &merged].map(|p| backbone.predict(&tape(), p, &query).unwrap().tensor().clone());
    assert!(difference(&after, &before) > 1e-4, "low rank has changed nothing");
}
