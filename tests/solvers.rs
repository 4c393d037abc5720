//! Solvers, timesteps and predictions against diffusers' schedulers, under a network that is a formula.
//! `tests/fixtures/make_solvers.py` made the reference values.

#[path = "toy/plain_card.rs"]
mod plain_card;

use std::sync::{Arc, Mutex};

use candle_core::Tensor;
use dp2o_studio::Result;
use dp2o_studio::backbones::card::Card;
use dp2o_studio::backbones::condition::{Condition, Prompt, Shown};
use dp2o_studio::backbones::process::{Diffusion, Flow, Predicts, Process, Shift, Spacing, Time};
use dp2o_studio::backbones::sampler::{Sampler, Solver};
use dp2o_studio::backbones::tiles::Tiling;
use dp2o_studio::backbones::{Backbone, Query};
use dp2o_studio::imaging::Image;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::params::{Params, Specs};
use dp2o_studio::nn::tape::{Tape, Var};
use plain_card::plain_card;
use serde_json::Value;

/// Latents are pixels, and the network is what the script says.
struct Formula {
    card: &'static Card,
    specs: Arc<Specs>,
    /// The times it was asked at.
    times: Mutex<Vec<f32>>,
}

const FLUX: Shift = Shift::Dynamic { patch: 2, tokens: [256.0, 4096.0], mu: [0.5, 1.15] };

impl Formula {
    fn new(process: Process) -> Self {
        let card = plain_card("formula", 1, process);
        Self { card: Box::leak(Box::new(card)), specs: Arc::default(), times: Mutex::default() }
    }
}

impl Backbone for Formula {
    fn card(&self) -> &'static Card {
        self.card
    }

    fn adapter(&self) -> &Arc<Specs> {
        &self.specs
    }

    fn reference(&self) -> Result<Params> {
        Params::init(&self.specs, 0, &Compute::cpu())
    }

    fn weights_hash(&self) -> String {
        String::new()
    }

    fn condition<'l>(&self, lr: &'l Image, _: &Prompt) -> Result<Condition<'l>> {
        Ok(Condition::new(lr, self.card.latent))
    }

    fn encode(&self, images: &Tensor, _: &Shown) -> Result<Tensor> {
        Ok(images.clone())
    }

    fn decode(&self, latents: &Tensor, _: &Shown) -> Result<Tensor> {
        Ok(latents.clone())
    }

    fn predict(&self, _: &Tape, _: &Params, query: &Query) -> Result<Var> {
        let time = query.times[0];
        self.times.lock().unwrap().push(time);
        let y = match self.card.process {
            Process::Flow(_) => query.x_t.affine(0.5, -0.4 * f64::from(time))?,
            Process::Diffusion(_) => query.x_t.affine(0.3, 0.2 * f64::from((0.01 * time).sin()))?,
        };
        Ok(Var::constant(y))
    }
}

fn process_of(case: &Value) -> Process {
    let word = |key: &str| case[key].as_str().unwrap_or_default();
    match case["shifted"].as_bool() {
        Some(shifted) => Process::Flow(Flow { time: Time::Noise, shift: if shifted { FLUX } else { Shift::None } }),
        None => Process::Diffusion(Diffusion {
            timesteps: 1000,
            beta: [0.00085, 0.012],
            predicts: if word("predicts") == "noise" { Predicts::Noise } else { Predicts::Velocity },
            spacing: match word("spacing") {
                "leading" => Spacing::Leading { offset: case["offset"].as_u64().unwrap() as usize },
                _ => Spacing::Trailing,
            },
        }),
    }
}

fn numbers(values: &Value) -> Vec<f32> {
    values.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

fn worst(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).fold(0.0, |worst, (a, b)| worst.max((a - b).abs() / (1.0 + b.abs())))
}

#[test]
fn solvers_are_those_of_diffusers() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/solvers/solvers.json")).unwrap();
    let lr = Image::new(2, 1, vec![0.5; 6]).unwrap();
    let seed = fixture["seed"].as_u64().unwrap();
    let cases = fixture["cases"].as_array().unwrap();
    assert!(cases.len() >= 15);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let net = Formula::new(process_of(case));
        let sampler = Sampler {
            solver: Solver::from_word(case["solver"].as_str().unwrap()).unwrap(),
            steps: case["steps"].as_u64().unwrap() as usize,
            tiling: Tiling::default(),
            guidance: 1.0,
        };
        let condition = net.condition(&lr, &Prompt::default()).unwrap();
        let params = net.reference().unwrap();
        let images = sampler.sample(&net, &params, &condition, &[seed], &mut |_, _| Ok(())).unwrap();
        let times = worst(&net.times.lock().unwrap(), &numbers(&case["times"]));
        assert!(times < 1e-6, "{name}: times differ by {times}");
        let values = worst(images[0].data(), &numbers(&case["values"]));
        assert!(values < 2e-5, "{name}: values differ by {values}");
    }
    let flow = Flow { time: Time::Noise, shift: FLUX };
    for shift in fixture["shifts"].as_array().unwrap() {
        let latents = [shift["side"].as_u64().unwrap() as usize / 8; 2];
        let got: Vec<f32> = flow.steps(25, latents).iter().map(|step| step.time).collect();
        let differing = worst(&got, &numbers(&shift["sigmas"]));
        assert!(differing < 1e-6, "{latents:?}: {differing}");
    }
}
