//! The whole backbone: solvers from the noise of a seed, the loss of a pair and its gradients, pictures in tiles.

use candle_core::{Device, Tensor};
use dp2o_studio::backbones::Query;
use dp2o_studio::backbones::condition::{Condition, Prompt, Shown};
use dp2o_studio::backbones::process::Process;
use dp2o_studio::backbones::products::Products;
use dp2o_studio::backbones::sampler::{Sampler, Solver};
use dp2o_studio::backbones::sd2::CARD;
use dp2o_studio::backbones::tiles::Tiling;
use dp2o_studio::imaging::Image;
use dp2o_studio::nn::kernels::{Compute, Precision};
use dp2o_studio::nn::params::Params;
use dp2o_studio::nn::tape::Tape;
use dp2o_studio::random::Random;
use dp2o_studio::weights::Source;

use crate::support::{Computed, difference, flat, open, open_on, path};

fn plain(width: usize, height: usize) -> Image {
    Image::new(width, height, vec![0.5; 3 * width * height]).unwrap()
}

#[test]
fn both_solvers_come_to_the_pictures_of_diffusers() {
    let computed = Computed::read("computed.safetensors");
    let backbone = open(&path(""));
    let lr = plain(16, 16);
    let prompt = Prompt { text: "a stone wall, moss".into(), negative: "dotted, noise, blur, lowres, smooth".into() };
    let said = backbone.condition(&lr, &prompt).unwrap();
    let shown = said.whole(1, &Device::Cpu).unwrap();
    let away = said.led_away(&shown).unwrap();
    let condition = Condition::new(&lr, CARD.latent)
        .with_map(computed.get("sample.image").clone(), CARD.latent.factor)
        .with_text(shown.text(0).unwrap().clone(), away.text(0).unwrap().clone());
    let Process::Diffusion(diffusion) = &CARD.process else { panic!() };
    for (name, solver, steps) in [("ddpm", Solver::Ddpm, 50), ("ddim", Solver::Ddim, 10)] {
        let times: Vec<f32> = diffusion.steps(steps).into_iter().map(|t| t as f32).collect();
        assert_eq!(times, computed.floats(&format!("sample.{name}.times")), "{name}");
        let sampler = Sampler { solver, steps, tiling: Tiling::default(), guidance: 3.5 };
        let adapter = backbone.reference().unwrap();
        let images = sampler.sample(backbone.as_ref(), &adapter, &condition, &[7], &mut |_, _| Ok(())).unwrap();
        let want = computed.get(&format!("sample.{name}.result"));
        let got: Vec<f32> = images[0].data().iter().map(|v| v.clamp(0.0, 1.0)).collect();
        let most = got.iter().zip(flat(want)).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        println!("{name}: picture {most:e}");
        assert!(most < 1.0 / 255.0, "{name}: {most}");
        // Pictures are clamped; the latents behind them are not.
        let latents = computed.get(&format!("sample.{name}.latents"));
        let own = backbone.decode(latents, &shown).unwrap();
        let unclamped = Tensor::from_slice(images[0].data(), own.shape(), &Device::Cpu).unwrap();
        let error = difference(&unclamped, &own);
        println!("{name}: decoded {error:e}");
        assert!(error < 1e-4, "{name}: {error:e}");
    }
}

#[test]
fn errors_loss_and_the_gradient_of_every_weight_are_those_of_pytorch() {
    let computed = Computed::read("computed.safetensors");
    let source = Source::open(&path("reference.safetensors")).unwrap();
    let twice = |name: &str| {
        let one = computed.get(name);
        Tensor::cat(&[one, one], 0).unwrap()
    };
    let times = computed.floats("dpo.times").repeat(2);
    let clean = Tensor::cat(&[computed.get("dpo.winner"), computed.get("dpo.loser")], 0).unwrap();
    let noise = twice("dpo.noise");
    let x_t = CARD.process.corrupt(&clean, &noise, &times).unwrap();
    let shown = Shown::of(vec![twice("dpo.image")], vec![twice("dpo.text")]);
    let query = Query::new(&x_t, &times, &shown);
    let errors = |y: &Tensor| flat(&(y - &noise).unwrap().sqr().unwrap().flatten_from(1).unwrap().mean(1).unwrap());
    let composed = Compute::composed(&Device::Cpu);
    for (on, recompute, name) in
        [(Compute::cpu(), false, "kept"), (Compute::cpu(), true, "recomputed"), (composed, true, "composed")]
    {
        let backbone = open_on(&path(""), &on);
        let policy = backbone.reference().unwrap().trainable(true);
        let reference = Params::from_source(backbone.adapter(), &source, &on).unwrap();
        let inference = Tape::inference(policy.kernels());
        let of_reference = errors(backbone.predict(&inference, &reference, &query).unwrap().tensor());
        let tape = Tape::recording(policy.kernels()).recomputing(recompute);
        let y = backbone.predict(&tape, &policy, &query).unwrap();
        let of_policy = errors(y.tensor());
        for (got, want) in [(&of_policy, "errors"), (&of_reference, "reference")] {
            for (got, want) in got.iter().zip(computed.floats(&format!("dpo.{want}"))) {
                assert!((got - want).abs() < 1e-5 * want, "{got}, not {want}");
            }
        }
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
        let want = computed.floats("dpo.loss")[0];
        assert!((loss as f32 - want).abs() < 1e-4 * want, "{loss}, not {want}");
        let slopes = Tensor::from_slice(&slopes, (4, 1, 1, 1), &Device::Cpu).unwrap();
        let dy = (y.tensor() - &noise).unwrap().broadcast_mul(&slopes).unwrap();
        let gradients = tape.backward(&y, dy).unwrap();
        let all = Computed::read("gradients.safetensors");
        let (mut worst, mut count) = (0.0f64, 0);
        for (i, (of, _)) in policy.iter().enumerate() {
            let got = gradients.params()[i].as_ref().unwrap_or_else(|| panic!("no gradient of {of}"));
            let (got, want) = (flat(got), all.floats(of));
            assert_eq!(got.len(), want.len(), "{of}");
            let norm = want.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            let apart = got.iter().zip(&want).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
            assert!(apart < 1e-4 * norm, "{of}, {name}: {:e} of {norm:e}", apart / norm);
            (worst, count) = (worst.max(apart / norm), count + 1);
        }
        assert_eq!((count, all.names().count()), (340, 340));
        println!("{name}: worst of {count} gradients {worst:e}");
    }
}

/// A step of training asks frozen weights once and lets them go; what it computes is the same to the bit, and so is what is computed
/// after it.
#[test]
fn what_a_step_lets_go_of_is_read_again_and_nothing_differs() {
    let home = tempfile::tempdir().unwrap();
    for part in ["stable-diffusion-2-base", "c-sd2"] {
        crate::files::copy(&path(part), &home.path().join(part));
    }
    let backbone = open(home.path());
    let reference = backbone.reference().unwrap();
    let policy = reference.to_train(|_| true).unwrap();
    let x = Tensor::from_vec(Random::new(1, 9).normal_image(8, 8, 16), (2, 4, 8, 16), &Device::Cpu).unwrap();
    let shown = backbone.condition(&plain(32, 16), &Prompt::default()).unwrap().whole(2, &Device::Cpu).unwrap();
    let step = |of_step: bool| {
        let query = Query::new(&x, &[500.0, 40.0], &shown);
        let query = if of_step { query.of_step() } else { query };
        let known = backbone.predict(&Tape::inference(reference.kernels()), &reference.for_once(), &query).unwrap();
        let known = flat(known.tensor());
        let tape = Tape::recording(policy.kernels());
        let y = backbone.predict(&tape, &policy, &query).unwrap();
        let gradients = tape.backward(&y, y.tensor().clone()).unwrap();
        let gradients: Vec<_> = gradients.params().iter().map(|g| flat(g.as_ref().unwrap())).collect();
        let picture = backbone.decode(y.tensor(), &shown).unwrap();
        (known, flat(y.tensor()), gradients, flat(&backbone.encode(&picture, &shown).unwrap()))
    };
    let (kept, values) = (step(false), reference.to_flat().unwrap());
    assert!(step(true) == kept);
    reference.let_go(|_| true);
    assert!(step(true) == kept && step(false) == kept);
    reference.let_go(|_| true);
    assert!(reference.to_flat().unwrap() == values && policy.to_flat().unwrap() == values);
    // Another file in its place is no other weights, but an error that names it.
    reference.let_go(|_| true);
    let control = home.path().join("c-sd2/model.safetensors");
    std::fs::copy(&control, home.path().join("other")).unwrap();
    std::fs::rename(home.path().join("other"), &control).unwrap();
    let error = reference.to_flat().unwrap_err().to_string();
    assert!(error.contains("c-sd2/model.safetensors") && error.contains("has changed"), "{error}");
}

/// What is seen of an image once, for all that show it, has the gradient of all.
#[test]
fn an_image_that_several_items_show_is_seen_once_with_the_gradient_of_all() {
    let backbone = open(&path(""));
    let policy = backbone.reference().unwrap().trainable(true);
    let noise = |key: u64, count: usize| {
        let values = Random::new(key, 9).normal_image(4 * count, 8, 8);
        Tensor::from_vec(values, (count, 4, 8, 8), &Device::Cpu).unwrap()
    };
    let lr = plain(16, 16);
    let condition = backbone.condition(&lr, &Prompt::default()).unwrap();
    let (x, dy, times) = (noise(1, 2), noise(2, 2), [500.0, 40.0]);
    let gradients = |from: usize, count: usize| {
        let shown = condition.whole(count, &Device::Cpu).unwrap();
        let part = |all: &Tensor| all.narrow(0, from, count).unwrap().contiguous().unwrap();
        let x = part(&x);
        let query = Query::new(&x, &times[from..from + count], &shown);
        let tape = Tape::recording(policy.kernels());
        let y = backbone.predict(&tape, &policy, &query).unwrap();
        let gradients = tape.backward(&y, part(&dy)).unwrap();
        gradients.params().iter().map(|g| flat(g.as_ref().unwrap())).collect::<Vec<_>>()
    };
    let (both, first, second) = (gradients(0, 2), gradients(0, 1), gradients(1, 1));
    for (i, (name, _)) in policy.iter().enumerate() {
        let norm = both[i].iter().map(|v| v * v).sum::<f32>().sqrt();
        let sum = first[i].iter().zip(&second[i]).map(|(a, b)| a + b);
        let apart = both[i].iter().zip(sum).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
        // In the middle there is one place, to which attention has no gradient.
        assert!(apart <= 1e-4 * norm || norm < 1e-6, "{name}: {apart:e} of {norm:e}");
    }
}

#[test]
fn frozen_weights_are_kept_in_the_type_of_their_files_or_in_the_one_asked_for() {
    let x = Tensor::from_vec(Random::new(1, 9).normal_image(4, 8, 8), (1, 4, 8, 8), &Device::Cpu).unwrap();
    let lr = plain(16, 16);
    let predict = |on: &Compute| {
        let backbone = crate::support::open_on(&path(""), on);
        let shown = backbone.condition(&lr, &Prompt::default()).unwrap().whole(1, &Device::Cpu).unwrap();
        let adapter = backbone.reference().unwrap();
        let query = Query::new(&x, &[500.0], &shown);
        backbone.predict(&Tape::inference(&on.kernels), &adapter, &query).unwrap().tensor().clone()
    };
    // The files are of 16 bits, and what is kept in them is widened to what it was.
    let own = predict(&Compute::cpu());
    let asked =
        predict(&Compute::cpu().in_precision(Precision { frozen: candle_core::DType::BF16, ..Default::default() }));
    let error = difference(&asked, &own);
    assert!(error > 1e-4 && error < 0.1, "{error:e}");
    // As a recipe asks: where there are no such products, what is computed is f32 to the last bit. Pictures are, anyway.
    let [f32, bf16] = [Products::F32, Products::Bf16].map(|of| Compute::cpu().in_precision(of.precision()));
    let error = difference(&predict(&bf16), &own);
    println!("bf16: {error:e}");
    assert!(
        if Products::Bf16.here() == Products::Bf16 { error > 1e-4 && error < 0.1 } else { error == 0.0 },
        "{error:e}"
    );
    assert_eq!(difference(&predict(&f32), &own), 0.0);
    let [exact, decoded] = [&f32, &bf16].map(|on| crate::support::open_on(&path(""), on).decode(&x, &Shown::default()));
    assert_eq!(flat(&exact.unwrap()), flat(&decoded.unwrap()));
}

#[test]
fn a_large_picture_in_tiles_has_no_seams() {
    let backbone = open(&path(""));
    let shown = Shown::default();
    // Smooth latents larger than what is decoded whole.
    let (height, width) = (104, 120);
    let wave = |i: usize| {
        let (c, y, x) = (i / (height * width), i / width % height, i % width);
        ((x as f32 / 17.0 + c as f32).sin() + (y as f32 / 23.0).cos()) * 0.5
    };
    let values: Vec<f32> = (0..4 * height * width).map(wave).collect();
    let latents = Tensor::from_vec(values, (1, 4, height, width), &Device::Cpu).unwrap();
    let picture = backbone.decode(&latents, &shown).unwrap();
    assert_eq!(picture.dims(), [1, 3, 8 * height, 8 * width]);
    let values = flat(&picture);
    // Where tiles begin and end, neighbors differ no more than elsewhere.
    let step = |y: usize, x: usize, down: bool| {
        let at = |y: usize, x: usize| values[y * 8 * width + x];
        (at(y, x) - at(y + usize::from(down), x + usize::from(!down))).abs()
    };
    let line = |at: usize, down: bool| {
        let along = if down { 8 * width } else { 8 * height };
        (0..along - 1).map(|i| if down { step(at, i, true) } else { step(i, at, false) }).sum::<f32>() / along as f32
    };
    for down in [true, false] {
        let side = if down { 8 * height } else { 8 * width };
        let mut all: Vec<f32> = (0..side - 1).map(|at| line(at, down)).collect();
        let edges: Vec<f32> = [side - 512 - 1, 511, 8 * 48 - 1].into_iter().map(|at| all[at]).collect();
        all.sort_by(f32::total_cmp);
        let most = all[all.len() * 99 / 100];
        assert!(edges.iter().all(|edge| *edge <= most), "{edges:?} over {most}");
    }
    let back = backbone.encode(&picture, &shown).unwrap();
    assert_eq!(back.dims(), latents.dims());
}
