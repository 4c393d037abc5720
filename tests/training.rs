//! The trainer on synthetic pairs: it prefers winners, resumes exactly, and notices NaN. What holds of a device holds by
//! every implementation of the operations.

use std::collections::BTreeSet;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use dp2o_studio::backbones::condition::Prompt;
use dp2o_studio::backbones::{Backbone, mini::Mini};
use dp2o_studio::imaging::{Image, resize};
use dp2o_studio::method::fields::{Bearing, fields};
use dp2o_studio::method::recipe::{Mode, Objective, Recipe, TimeWeights, Times, Training};
use dp2o_studio::method::trainer::{PairImages, Pairs, StepLog, Trainer};
use dp2o_studio::nn::adamw::Settings;
use dp2o_studio::nn::kernels::{Compute, Precision};
use dp2o_studio::nn::layers::Linear;
use dp2o_studio::nn::optimizer::{Optimizer, Pace};
use dp2o_studio::nn::params::{Params, Specs};
use dp2o_studio::nn::tape::{Gradients, Tape};
use dp2o_studio::nn::workers::Worker;
use dp2o_studio::random::Random;
use dp2o_studio::{Error, Result};

mod computes;
use computes::computes;

/// Winners are sharp, losers are blurred: a preference any model can learn.
struct Synthetic {
    pairs: Vec<PairImages>,
    broken: bool,
}

impl Synthetic {
    fn new(sizes: &[usize]) -> Self {
        let pair = |(i, &size): (usize, &usize)| {
            let noise = Random::new(i as u64, 9).normal_image(3, size, size);
            let sharp = noise.iter().map(|v| (0.5 + 0.1 * v).clamp(0.0, 1.0)).collect();
            let winner = Image::new(size, size, sharp).unwrap();
            let lr = resize::shrink_x4(&winner).unwrap();
            let loser = resize::enlarge_x4(&lr).unwrap();
            PairImages { lr, winner, loser, prompt: Prompt::default() }
        };
        Self { pairs: sizes.iter().enumerate().map(pair).collect(), broken: false }
    }
}

impl Pairs for Synthetic {
    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn weight(&self, pair: usize) -> f64 {
        1.0 + 0.1 * pair as f64
    }

    fn load(&mut self, pair: usize) -> Result<PairImages> {
        let mut images = self.pairs[pair].clone();
        if self.broken {
            let (w, h) = (images.winner.width(), images.winner.height());
            images.winner = Image::new(w, h, vec![f32::NAN; 3 * w * h])?;
        }
        Ok(images)
    }
}

fn settings(mode: Mode) -> Training {
    Training {
        beta: 200.0,
        learning_rate: if mode == Mode::Lora { 3e-3 } else { 1e-4 },
        warmup_steps: 2,
        batch_pairs: 2,
        accumulation: 2,
        ema_decay: 0.5,
        mode,
        lora_rank: 4,
        lora_alpha: 4.0,
        ..Training::default()
    }
}

fn weights(net: &Mini, compute: &Compute) -> Params {
    Params::from_safetensors(net.adapter(), dp2o_studio::backbones::mini::WEIGHTS, "mini".as_ref(), compute).unwrap()
}

fn steps(trainer: &mut Trainer, pairs: &mut Synthetic, count: usize) -> Vec<StepLog> {
    (0..count).map(|_| trainer.step(pairs, &mut |_| Ok(())).unwrap()).collect()
}

fn state_of(trainer: &Trainer) -> Vec<u8> {
    let mut bytes = Vec::new();
    trainer.state().write(&mut bytes).unwrap();
    bytes
}

#[test]
fn training_prefers_the_winners_and_leaves_the_reference_alone() {
    let net = Mini::new();
    let reference = weights(&net, &Compute::cpu());
    let before = reference.to_flat().unwrap();
    let mut pairs = Synthetic::new(&[32, 32, 32, 48, 32]);
    for mode in [Mode::Full, Mode::Lora] {
        let mut trainer = Trainer::new(&net, &reference, &reference, settings(mode), pairs.len()).unwrap();
        let logs = steps(&mut trainer, &mut pairs, 12);
        let first = &logs[0];
        // At the start policy and reference are one: no margin, log 2, and every pair a tie.
        assert_eq!((first.loss.margin, first.loss.accuracy, first.loss.pairs), (0.0, 0.5, 4));
        let weight = first.loss.loss / std::f64::consts::LN_2;
        assert!((1.0..1.4).contains(&weight), "{weight}");
        let last: Vec<f64> = logs[9..].iter().map(|log| log.loss.margin).collect();
        assert!(last.iter().all(|&margin| margin > 0.02), "{mode:?}: {last:?}");
        assert_eq!(reference.to_flat().unwrap(), before);
        assert_ne!(trainer.policy().weights().to_flat().unwrap(), before);
    }
}

/// What each makes smaller is compared with PyTorch in `method_chain`; here it goes through the network.
#[test]
fn every_objective_begins_at_the_reference_and_goes_its_own_way_at_whatever_times() {
    let net = Mini::new();
    let reference = weights(&net, &Compute::cpu());
    let mut pairs = Synthetic::new(&[16, 16]);
    let mut trained = vec![reference.to_flat().unwrap()];
    for (at, word) in Objective::WORDS.iter().enumerate() {
        let objective = Objective::from_word(word).unwrap();
        let times = [Times::Uniform, Times::Noisy, Times::Clean, Times::Backbone][at % 4];
        let time_weights = if at == 1 { TimeWeights::MinSnr } else { TimeWeights::Equal };
        let settings =
            Training { objective, times, time_weights, anchor: 0.5, accumulation: 1, ..settings(Mode::Full) };
        let mut trainer = Trainer::new(&net, &reference, &reference, settings, pairs.len()).unwrap();
        let logs = steps(&mut trainer, &mut pairs, 3);
        assert_eq!((logs[0].loss.margin, logs[0].loss.accuracy), (0.0, 0.5), "{word}");
        assert!(logs.iter().all(|log| log.loss.loss.is_finite() && log.grad_norm > 0.0), "{word}: {logs:?}");
        assert!(logs[1..].iter().all(|log| log.loss.margin != 0.0), "{word}: {logs:?}");
        let weights = trainer.policy().weights().to_flat().unwrap();
        assert!(trained.iter().all(|other| *other != weights), "{word}");
        trained.push(weights);
    }
}

/// At step 0 policy and reference are one: d is exactly 0, by whatever computes.
#[test]
fn the_first_step_has_no_margin_and_the_same_numbers_by_every_implementation() {
    let net = Mini::new();
    let mut pairs = Synthetic::new(&[16, 32, 16]);
    let logs: Vec<Vec<StepLog>> = computes()
        .iter()
        .map(|compute| {
            let reference = weights(&net, compute);
            let mut trainer = Trainer::new(&net, &reference, &reference, settings(Mode::Full), 3).unwrap();
            steps(&mut trainer, &mut pairs, 2)
        })
        .collect();
    for log in &logs {
        let errors = log[0].loss.errors;
        assert_eq!((log[0].loss.margin, log[0].loss.accuracy), (0.0, 0.5));
        assert_eq!(errors.policy_winner, errors.reference_winner);
        assert_eq!(errors.policy_loser, errors.reference_loser);
        for (step, own) in log.iter().zip(&logs[0]) {
            for (got, want) in [
                (step.grad_norm, own.grad_norm),
                (step.loss.loss, own.loss.loss),
                (step.loss.errors.policy_winner, own.loss.errors.policy_winner),
            ] {
                assert!((got / want - 1.0).abs() < 1e-3, "{got}, by the CPU's kernels {want}");
            }
        }
    }
}

/// Where work is only queued the derivatives are made there, and not by the numbers that are logged.
#[test]
fn every_objective_takes_the_same_steps_by_every_implementation() {
    let net = Mini::new();
    let mut pairs = Synthetic::new(&[16, 16]);
    for word in Objective::WORDS {
        let objective = Objective::from_word(word).unwrap();
        let settings = Training { objective, anchor: 0.5, warmup_steps: 0, accumulation: 1, ..settings(Mode::Full) };
        let logs: Vec<Vec<StepLog>> = computes()
            .iter()
            .map(|compute| {
                let reference = weights(&net, compute);
                let mut trainer = Trainer::new(&net, &reference, &reference, settings.clone(), 2).unwrap();
                steps(&mut trainer, &mut pairs, 2)
            })
            .collect();
        for (step, own) in logs.iter().flat_map(|log| log.iter().zip(&logs[0])) {
            let numbers = |log: &StepLog| [log.grad_norm, log.loss.loss, log.loss.errors.policy_winner];
            for (got, want) in numbers(step).into_iter().zip(numbers(own)) {
                assert!((got / want - 1.0).abs() < 2e-3, "{word}: {got}, by the CPU's kernels {want}");
            }
        }
    }
}

/// The composed kernels with products of bf16: those of a GPU, on the CPU and on a GPU where there is one.
fn halves() -> Vec<Compute> {
    let composed = computes().into_iter().filter(|compute| compute.kernels.only_queues());
    composed.map(|on| on.in_precision(Precision { frozen: DType::BF16, products: DType::BF16 })).collect()
}

/// Where products are of bf16, policy and reference are one at step 0 all the same, and steps are those of f32 but for rounding.
#[test]
fn a_step_with_products_of_bf16_is_one_of_f32_but_for_rounding() {
    let net = Mini::new();
    let mut pairs = Synthetic::new(&[16, 16]);
    let mut trained = |compute: &Compute| {
        let reference = weights(&net, compute);
        let settings = Training { warmup_steps: 0, accumulation: 1, ..settings(Mode::Full) };
        let mut trainer = Trainer::new(&net, &reference, &reference, settings, 2).unwrap();
        let logs = steps(&mut trainer, &mut pairs, 2);
        assert!(trainer.policy().weights().iter().all(|(_, weight)| weight.dtype() == DType::F32));
        logs
    };
    let exact = trained(&Compute::cpu());
    for compute in &halves() {
        let half = trained(compute);
        let errors = half[0].loss.errors;
        assert_eq!((half[0].loss.margin, half[0].loss.accuracy), (0.0, 0.5));
        assert_eq!(errors.policy_winner, errors.reference_winner);
        assert_eq!(errors.policy_loser, errors.reference_loser);
        // After a step of AdamW, as long for the smallest gradients as for the largest, roundings lie far apart.
        for ((half, exact), most) in half.iter().zip(&exact).zip([1e-2, 0.2]) {
            let numbers = |log: &StepLog| [log.grad_norm, log.loss.loss, log.loss.errors.policy_winner];
            let off = numbers(half).iter().zip(numbers(exact)).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max);
            assert!(off > 1e-6 && off < most, "{off}");
        }
    }
}

/// What is trained stays f32, so that steps far below what bf16 tells apart add up. A copy in bf16 is made once a step.
#[test]
fn weights_multiplied_in_bf16_keep_steps_that_bf16_cannot() {
    const RATE: f64 = 1e-6;
    let settings = Settings { weight_decay: 0.0, ..Settings::default() };
    for compute in &halves() {
        let mut specs = Specs::default();
        let layer = Linear::new(&mut specs, "layer", (32, 8), 1.0);
        let params = Params::init(&Arc::new(specs), 1, compute).unwrap().to_train(|_| true).unwrap();
        let (exact, weight) =
            (params.copied_to(&Compute::composed(&compute.device)).unwrap(), params.weight(layer.weight).clone());
        let mut optimizer = Optimizer::new(&params, settings, false).unwrap();
        let x: Vec<f32> = (0..32).map(|i| 0.5 + i as f32 / 64.0).collect();
        let x = Tensor::from_vec(x, (1, 32), &compute.device).unwrap();
        let values = |t: Tensor| t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let gradients = |params: &Params| {
            let tape = Tape::recording(params.kernels());
            let x = tape.leaf(x.clone());
            let [first, again] = [0, 1].map(|_| tape.linear(params, &layer, &x).unwrap());
            let y = tape.add(&first, &again).unwrap();
            let slope = y.tensor().affine(0.0, 0.3).unwrap();
            (values(y.tensor().clone()), tape.backward(&y, slope).unwrap())
        };
        let mut step = || {
            let copy = weight.rounded().unwrap();
            let (_, gradients) = gradients(&params);
            assert_eq!(weight.rounded().unwrap().id(), copy.id(), "one copy for all uses");
            optimizer.step(&gradients, Pace { learning_rate: RATE, longest: 1e9, decay: 0.0 }).unwrap();
            assert_ne!(weight.rounded().unwrap().id(), copy.id(), "the copy is of the values as they are");
        };
        let close = |a: &[f32], b: &[f32], most: f32| {
            let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| v * v).sum::<f32>().sqrt();
            let off = norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied());
            assert!(off > 1e-5 && off < most, "{off}");
        };
        let ((y, slopes), (exact_y, exact_slopes)) = (gradients(&params), gradients(&exact));
        close(&y, &exact_y, 1e-2);
        let of = |slopes: &Gradients| values(slopes.param(layer.weight).unwrap().clone());
        close(&of(&slopes), &of(&exact_slopes), 4e-3);

        let (before, copy) = (values(weight.tensor().unwrap()), values(weight.rounded().unwrap()));
        let moved = |copy: &[f32]| values(weight.rounded().unwrap()).iter().zip(copy).filter(|(a, b)| a != b).count();
        step();
        // Where gradients stay the same, AdamW's steps are as long as the rate.
        assert!(moved(&copy) <= 8 && values(weight.tensor().unwrap()).iter().zip(&before).all(|(a, b)| a != b));
        (1..200).for_each(|_| step());
        let way = |(now, before): (f32, &f32)| (f64::from(before - now) / RATE / 200.0 - 1.0).abs();
        let worst = values(weight.tensor().unwrap()).into_iter().zip(&before).map(way).fold(0.0, f64::max);
        assert!(worst < 0.02 && moved(&copy) > 64, "{worst}");
    }
}

#[test]
fn a_restored_trainer_goes_on_bit_for_bit() {
    for (index, compute) in computes().iter().enumerate() {
        // Pictures of two sizes are cut into more batches: slow where the operations are composed.
        goes_on_bit_for_bit(compute, if index == 0 { &[32, 32, 48] } else { &[16, 16, 16] });
    }
}

fn goes_on_bit_for_bit(compute: &Compute, sizes: &[usize]) {
    let net = Mini::new();
    let reference = weights(&net, compute);
    let mut pairs = Synthetic::new(sizes);
    for mode in [Mode::Full, Mode::Lora] {
        let make = || Trainer::new(&net, &reference, &reference, settings(mode), 3).unwrap();
        let mut whole = make();
        steps(&mut whole, &mut pairs, 2);
        let state = state_of(&whole);
        let expected = steps(&mut whole, &mut pairs, 2);

        let mut resumed = make();
        resumed.restore(&state).unwrap();
        assert_eq!(resumed.step_number(), 2);
        assert_eq!(steps(&mut resumed, &mut pairs, 2), expected);
        let flat = |trainer: &Trainer| {
            let policy = trainer.policy();
            (policy.weights().to_flat().unwrap(), policy.evaluated().unwrap().to_flat().unwrap())
        };
        assert!(flat(&whole) == flat(&resumed));

        let mut cut = state.clone();
        cut.truncate(state.len() - 4);
        assert!(make().restore(&cut).is_err());
        let mut flipped = state;
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        assert!(make().restore(&flipped).is_err());
    }
}

/// Parts of a step are its batches, cut where sizes differ: whoever computes them, in whatever order they end.
#[test]
fn a_step_is_the_same_to_the_last_bit_on_any_number_of_devices() {
    let net = Mini::new();
    let reference = weights(&net, &Compute::cpu());
    for (mode, sizes) in [(Mode::Full, &[32, 16, 32, 16][..]), (Mode::Lora, &[16; 3])] {
        let settings = Training { batch_pairs: 2, accumulation: 3, ..settings(mode) };
        let trained = |devices: usize| {
            let mut trainer = Trainer::new(&net, &reference, &reference, settings.clone(), sizes.len()).unwrap();
            if devices > 1 {
                let worker = |i: usize| Worker::with_threads(Compute::cpu(), 1 + i % 2).unwrap();
                let workers: Vec<Worker> = (0..devices).map(worker).collect();
                let models: Vec<_> = workers.iter().map(|_| (&net as &dyn Backbone, &reference)).collect();
                trainer = trainer.on(&workers, &models).unwrap();
            }
            let logs = steps(&mut trainer, &mut Synthetic::new(sizes), 2);
            (logs, state_of(&trainer))
        };
        let one = trained(1);
        for devices in [2, 3] {
            let several = trained(devices);
            assert_eq!(several.0, one.0, "{mode:?} on {devices} devices");
            assert!(several.1 == one.1, "{mode:?} on {devices} devices: other weights");
        }
    }
}

#[test]
fn a_step_that_is_cancelled_on_several_devices_did_not_happen() {
    let net = Mini::new();
    let reference = weights(&net, &Compute::cpu());
    let workers = [1, 1].map(|threads| Worker::with_threads(Compute::cpu(), threads).unwrap());
    let models = [(&net as &dyn Backbone, &reference); 2];
    let settings = Training { batch_pairs: 1, accumulation: 6, ..settings(Mode::Full) };
    let mut pairs = Synthetic::new(&[16, 16]);
    let trainer = Trainer::new(&net, &reference, &reference, settings, pairs.len()).unwrap();
    let mut trainer = trainer.on(&workers, &models).unwrap();
    let before = state_of(&trainer);
    let mut calls = 0;
    let cancelled = trainer.step(&mut pairs, &mut |_| {
        calls += 1;
        if calls > 3 { Err(Error::Cancelled) } else { Ok(()) }
    });
    assert!(matches!(cancelled, Err(Error::Cancelled)) && state_of(&trainer) == before);
    pairs.broken = true;
    assert!(matches!(trainer.step(&mut pairs, &mut |_| Ok(())), Err(Error::Diverged(_))));
    assert!(state_of(&trainer) == before);
    pairs.broken = false;
    steps(&mut trainer, &mut pairs, 1);
    assert_eq!(trainer.step_number(), 1);
}

#[test]
fn a_state_of_other_settings_is_refused() {
    let net = Mini::new();
    let reference = weights(&net, &Compute::cpu());
    let full = Trainer::new(&net, &reference, &reference, settings(Mode::Full), 1).unwrap();
    let mut lora = Trainer::new(&net, &reference, &reference, settings(Mode::Lora), 1).unwrap();
    assert!(lora.restore(&state_of(&full)).is_err());
}

#[test]
fn nan_stops_before_it_reaches_the_weights() {
    computes().iter().for_each(stops_at_nan);
}

fn stops_at_nan(compute: &Compute) {
    let net = Mini::new();
    let reference = weights(&net, compute);
    let mut pairs = Synthetic::new(&[16, 16]);
    let mut trainer = Trainer::new(&net, &reference, &reference, settings(Mode::Full), 2).unwrap();
    steps(&mut trainer, &mut pairs, 1);
    let before = trainer.policy().weights().to_flat().unwrap();
    pairs.broken = true;
    assert!(matches!(trainer.step(&mut pairs, &mut |_| Ok(())), Err(Error::Diverged(_))));
    assert_eq!(trainer.step_number(), 1);
    assert!(trainer.policy().weights().to_flat().unwrap() == before);
    // Cancelled half-way, a step did not happen either.
    pairs.broken = false;
    let mut calls = 0;
    let cancelled = trainer.step(&mut pairs, &mut |_| {
        calls += 1;
        if calls > 1 { Err(Error::Cancelled) } else { Ok(()) }
    });
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    assert!(trainer.policy().weights().to_flat().unwrap() == before);
}

#[test]
fn frozen_weights_stay_and_the_others_are_trained() {
    let net = Mini::new();
    let reference = weights(&net, &Compute::cpu());
    // A weight alone, the bias beside it alone, and a layer as a whole.
    let frozen = ["output.weight", "input.bias", "norm."];
    let settings = Training { frozen: frozen.map(str::to_owned).into(), ema_decay: 0.0, ..settings(Mode::Full) };
    let mut pairs = Synthetic::new(&[32, 32]);
    let mut trainer = Trainer::new(&net, &reference, &reference, settings, pairs.len()).unwrap();
    steps(&mut trainer, &mut pairs, 2);
    for ((name, before), (_, after)) in reference.iter().zip(trainer.policy().weights().iter()) {
        let values = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let is_frozen = frozen.iter().any(|start| name.starts_with(start));
        assert_eq!(values(before) == values(after), is_frozen, "{name}");
    }
    let everything = Training { frozen: vec![String::new()], ..self::settings(Mode::Full) };
    assert!(Trainer::new(&net, &reference, &reference, everything, 1).is_err());
}

/// The weights after some steps, with settings changed in the middle.
fn trained(first: &Training, then: &Training, net: &Mini, reference: &Params) -> Vec<f32> {
    let mut pairs = Synthetic::new(&[32, 32, 48, 32]);
    let trainer = |settings: &Training| Trainer::new(net, reference, reference, settings.clone(), 4).unwrap();
    let mut begun = trainer(first);
    steps(&mut begun, &mut pairs, 1);
    let mut resumed = trainer(then);
    resumed.restore(&state_of(&begun)).unwrap();
    steps(&mut resumed, &mut pairs, 2);
    resumed.policy().weights().to_flat().unwrap()
}

#[test]
fn settings_that_do_not_make_another_run_do_not_make_other_weights() {
    let net = Mini::new();
    let reference = weights(&net, &Compute::cpu());
    let start = reference.to_flat().unwrap();
    let mut recipe = Recipe { training: settings(Mode::Full), ..Recipe::default() };
    let begun = recipe.training.clone();
    let expected = trained(&begun, &begun, &net, &reference);
    // Every such setting of training, turned at once.
    let turned = [
        ("training.activations", "recompute"),
        ("training.eval_every", "7"),
        ("training.checkpoint_every", "7"),
        ("training.state_every_steps", "7"),
        ("training.state_every_secs", "7"),
        ("training.rounds", "3"),
        ("training.events", "off"),
    ];
    let free = fields().iter().filter(|f| f.topic() == "training" && f.bearing == Bearing::Nothing);
    assert_eq!(free.map(|f| f.key).collect::<BTreeSet<_>>(), turned.iter().map(|(key, _)| *key).collect());
    turned.iter().for_each(|(key, value)| recipe.set(key, value).unwrap());
    assert!(trained(&begun, &recipe.training, &net, &reference) == expected);

    // The pairs of a step in other batches: the same but for the order in which their gradients are summed.
    for (batch_pairs, accumulation) in [(4, 1), (1, 4)] {
        let split = Training { batch_pairs, accumulation, ..begun.clone() };
        let other = trained(&begun, &split, &net, &reference);
        let distance =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
        let share = distance(&other, &expected) / distance(&expected, &start);
        assert!(share < 2e-3, "{batch_pairs} × {accumulation}: {share}");
    }
}
