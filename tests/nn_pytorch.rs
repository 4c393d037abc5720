//! Every network operation, and the whole embedded backbone, against PyTorch's float64 values
//! (`tests/fixtures/make_nn.py`): results and gradients to 1e-4 relative, by every implementation there is: the CPU's own
//! kernels, the operations composed of candle's on the CPU, and the same on a GPU where the build has one.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use dp2o_studio::backbones::condition::Shown;
use dp2o_studio::backbones::{Backbone, Query, mini};
use dp2o_studio::nn::adamw::{AdamW, Settings};
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::layers::{Conv, GroupNorm, LayerNorm, Linear, RmsNorm};
use dp2o_studio::nn::params::{Params, Specs};
use dp2o_studio::nn::tape::Tape;

mod computes;
mod pytorch;
use computes::computes;
use pytorch::{TOLERANCE, assert_close, assert_values, cases, fixture, flat};

#[test]
fn convolutions() {
    for compute in &computes() {
        let all = fixture("operations", compute);
        for case in cases(&all, compute, "conv") {
            let [_, c_in, c_out, _, _, kernel, stride] = case.sizes();
            let mut specs = Specs::default();
            let layer = Conv::new(&mut specs, "conv", (c_in, c_out), kernel, stride, 1.0);
            let parts = ["weight", "bias"];
            let params = case.params(specs, &parts);
            case.check_tape(&params, &parts, &["x", "residual"], |tape, params, v| {
                tape.conv2d(params, &layer, &v[0], Some(&v[1]))
            });
        }
    }
}

#[test]
fn a_linear_layer() {
    for compute in &computes() {
        let all = fixture("operations", compute);
        let case = &cases(&all, compute, "linear")[0];
        let mut specs = Specs::default();
        let layer = Linear::new(&mut specs, "linear", (40, 20), 1.0);
        let parts = ["weight", "bias"];
        let params = case.params(specs, &parts);
        case.check_tape(&params, &parts, &["x"], |tape, params, v| tape.linear(params, &layer, &v[0]));
    }
}

#[test]
fn group_normalization() {
    for compute in &computes() {
        let all = fixture("operations", compute);
        for case in cases(&all, compute, "group_norm") {
            let silu = case.name.ends_with("silu");
            let mut specs = Specs::default();
            let layer = GroupNorm::new(&mut specs, "norm", 24, 4, 1e-5);
            let parts = ["weight", "bias"];
            let params = case.params(specs, &parts);
            let inputs: &[&str] = if silu { &["x", "scale_shift"] } else { &["x"] };
            case.check_tape(&params, &parts, inputs, |tape, params, v| {
                tape.group_norm(params, &layer, &v[0], v.get(1), silu)
            });
        }
    }
}

#[test]
fn normalization_of_rows() {
    for compute in &computes() {
        let all = fixture("operations", compute);
        let mut specs = Specs::default();
        let layer = LayerNorm::new(&mut specs, "norm", 50, 1e-5);
        let case = &cases(&all, compute, "layer_norm")[0];
        let parts = ["weight", "bias"];
        let params = case.params(specs, &parts);
        case.check_tape(&params, &parts, &["x"], |tape, params, v| tape.layer_norm(params, &layer, &v[0]));

        let mut specs = Specs::default();
        let layer = RmsNorm::new(&mut specs, "norm", 50, 1e-6);
        let case = &cases(&all, compute, "rms_norm")[0];
        let params = case.params(specs, &["weight"]);
        case.check_tape(&params, &["weight"], &["x"], |tape, params, v| tape.rms_norm(params, &layer, &v[0]));
    }
}

#[test]
fn operations_without_weights() {
    for compute in &computes() {
        let all = fixture("operations", compute);
        let params = Params::init(&Arc::new(Specs::default()), 0, compute).unwrap();
        let case = |name: &str| cases(&all, compute, name).remove(0);
        case("silu").check_tape(&params, &[], &["x"], |tape, _, v| tape.silu(&v[0]));
        case("softmax").check_tape(&params, &[], &["x"], |tape, _, v| tape.softmax(&v[0]));
        case("upsample2").check_tape(&params, &[], &["x"], |tape, _, v| tape.upsample2(&v[0]));
        case("shuffle").check_tape(&params, &[], &["x"], |tape, _, v| tape.shuffle(&v[0], 2));
        let shuffled = case("shuffle");
        let back = compute.kernels.unshuffle(shuffled.get("y"), 2).unwrap();
        assert_close("unshuffle", &back, shuffled.get("x"));
    }
}

#[test]
fn attention() {
    for compute in &computes() {
        let all = fixture("operations", compute);
        let params = Params::init(&Arc::new(Specs::default()), 0, compute).unwrap();
        for case in cases(&all, compute, "attention") {
            let [_, _, _, heads, _] = case.sizes();
            case.check_tape(&params, &[], &["q", "k", "v"], |tape, _, v| tape.attention(&v[0], &v[1], &v[2], heads));
        }
    }
}

/// A gradient of nearest upsampling must add to what other consumers of its input gave, not replace it.
#[test]
fn gradients_of_an_input_with_two_consumers_add_up() {
    for compute in &computes() {
        let tape = Tape::recording(&compute.kernels);
        let x = tape.leaf(Tensor::new(&[[[[1.0f32], [2.0]], [[3.0], [4.0]]]], &compute.device).unwrap());
        let twice = tape.upsample2(&tape.silu(&x).unwrap()).unwrap();
        let both = tape.concat(&tape.upsample2(&x).unwrap(), &twice).unwrap();
        let ones = Tensor::ones((1, 4, 4, 2), DType::F32, &compute.device).unwrap();
        let mut gradients = tape.backward(&both, ones).unwrap();
        let got = flat(&gradients.take(&x).unwrap());
        for (got, x) in got.iter().zip([1.0f64, 2.0, 3.0, 4.0]) {
            let sigma = 1.0 / (1.0 + (-x).exp());
            let want = 4.0 + 4.0 * sigma * (1.0 + x * (1.0 - sigma));
            assert!((*got as f64 - want).abs() < 1e-5, "{compute:?}: {got}, not {want}");
        }
    }
}

#[test]
fn the_optimizer() {
    for compute in &computes() {
        let all = fixture("operations", compute);
        let weight = all["adamw.weight"].copy().unwrap();
        let settings = Settings { weight_decay: 0.05, ..Settings::default() };
        let mut optimizer = AdamW::new(settings, &compute.kernels, [&weight]).unwrap();
        for step in 0..4 {
            let gradient = &all[&format!("adamw.gradient.{step}")];
            optimizer.step([(&weight, Some(gradient))], 1e-2, 1.0).unwrap();
            assert_close(&format!("{compute:?}: AdamW, step {step}"), &weight, &all[&format!("adamw.after.{step}")]);
        }
    }
}

#[test]
fn the_moving_average() {
    for compute in &computes() {
        let tensor = |values: &[f32]| Tensor::new(values, &compute.device).unwrap();
        let average = tensor(&[1.0, -2.0, 0.5]);
        compute.kernels.lerp(&average, &tensor(&[2.0, 2.0, 0.5]), 0.25).unwrap();
        assert_values(&format!("{compute:?}"), &flat(&average), &[1.25, -1.0, 0.5]);
    }
}

/// ±1 for value `i` of sum `index`, as `signs` in the generator.
fn sign(index: u64, i: u64) -> f64 {
    let h = i.wrapping_mul(2_654_435_761).wrapping_add((index + 1) * 40_503) & 0xFFFF_FFFF;
    let h = (h ^ (h >> 15)).wrapping_mul(2_246_822_519) & 0xFFFF_FFFF;
    if (h >> 13) & 1 == 1 { -1.0 } else { 1.0 }
}

#[test]
fn the_whole_backbone() {
    computes().iter().for_each(check_backbone);
}

fn check_backbone(compute: &Compute) {
    let all = fixture("mini", compute);
    let net = mini::Mini::on(compute);
    let params = net.reference().unwrap().trainable(true);
    let tape = Tape::recording(params.kernels());
    let (times, shown) = (flat(&all["times"]), Shown::of(vec![all["condition"].clone()], Vec::new()));
    let y = net.predict(&tape, &params, &Query::new(&all["x"], &times, &shown)).unwrap();
    assert_close("prediction", y.tensor(), &all["y"]);
    let gradients = tape.backward(&y, all["dy"].clone()).unwrap();
    for (i, (name, _)) in params.iter().enumerate() {
        let want = flat(&all[&format!("gradient.{name}")]);
        let got = flat(gradients.params()[i].as_ref().unwrap());
        let norm = got.iter().map(|&g| (g as f64).powi(2)).sum::<f64>().sqrt();
        let scale = want[0] as f64;
        let close = |what: &str, got: f64, want: f32| {
            let error = (got - want as f64).abs();
            assert!(error <= TOLERANCE * scale, "{name}: {what} {got}, not {want}; the norm is {scale}");
        };
        close("norm", norm, want[0]);
        const SUMS: usize = 4;
        for (index, &want) in want[1..1 + SUMS].iter().enumerate() {
            let sum = got.iter().enumerate().map(|(i, &g)| sign(index as u64, i as u64) * g as f64).sum();
            close("sum", sum, want);
        }
        let kept = &want[1 + SUMS..];
        for (k, &want) in kept.iter().enumerate() {
            close("value", got[k * got.len() / kept.len()] as f64, want);
        }
    }
}
