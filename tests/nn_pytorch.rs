//! Every network operation, and the whole embedded backbone, against PyTorch's float64 values
//! (`tests/fixtures/make_nn.py`): results and gradients to 1e-4 relative. On a GPU where the build has one; the operations
//! composed of candle's own, which run there, are compared on the CPU too.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use dp2o_studio::Result;
use dp2o_studio::backbones::{Backbone, mini};
use dp2o_studio::nn::adamw::{AdamW, Settings};
use dp2o_studio::nn::kernels::rows::{Centre, RowNorm};
use dp2o_studio::nn::layers::{Conv, GroupNorm, LayerNorm, RmsNorm};
use dp2o_studio::nn::params::{Params, Specs};
use dp2o_studio::nn::tape::{Tape, Var};
use dp2o_studio::nn::{ops, reference};

/// Largest difference allowed, of the largest magnitude in the tensor.
const TOLERANCE: f64 = 1e-4;

fn device() -> Device {
    Device::cuda_if_available(0).unwrap()
}

fn fixture(name: &str) -> HashMap<String, Tensor> {
    let path = format!("{}/tests/fixtures/nn/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    candle_core::safetensors::load(path, &device()).unwrap()
}

fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_values(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(0.0f64, |m, &v| m.max(v.abs() as f64));
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let error = (g as f64 - w as f64).abs();
        assert!(error <= TOLERANCE * scale, "{what} at {i}: {g}, not {w}, on a scale of {scale}");
    }
}

fn assert_close(what: &str, got: &Tensor, want: &Tensor) {
    assert_eq!(got.dims(), want.dims(), "{what}");
    assert_values(what, &flat(got), &flat(want));
}

/// One operation of the fixture.
struct Case<'f> {
    name: String,
    all: &'f HashMap<String, Tensor>,
}

impl<'f> Case<'f> {
    fn get(&self, part: &str) -> &'f Tensor {
        let key = format!("{}.{part}", self.name);
        self.all.get(&key).unwrap_or_else(|| panic!("{key} is not in the fixture"))
    }

    /// The numbers in the name after its first part.
    fn sizes<const N: usize>(&self) -> [usize; N] {
        let sizes: Vec<usize> = self.name.split('.').skip(1).map(|n| n.parse().unwrap()).collect();
        sizes.try_into().unwrap()
    }

    /// Weights of the fixture in the order in which the layer declared them.
    fn params(&self, specs: Specs, parts: &[&str]) -> Params {
        let mut params = Params::init(&Arc::new(specs), 0, &device()).unwrap();
        let values: Vec<f32> = parts.iter().flat_map(|part| flat(self.get(part))).collect();
        params.set_flat(&values).unwrap();
        params.trainable(true)
    }

    /// Result and gradients on the tape.
    fn check_tape(
        &self,
        params: &Params,
        parts: &[&str],
        inputs: &[&str],
        f: impl for<'a> Fn(&Tape<'a>, &'a Params, &[Var]) -> Result<Var>,
    ) {
        let tape = Tape::recording();
        let leaves: Vec<Var> = inputs.iter().map(|part| tape.leaf(self.get(part).clone())).collect();
        let y = run(&f, &tape, params, &leaves);
        assert_close(&format!("{}: y", self.name), y.tensor(), self.get("y"));
        let mut gradients = tape.backward(&y, self.get("dy").clone()).unwrap();
        for (part, leaf) in inputs.iter().zip(&leaves) {
            let got = gradients.take(leaf).unwrap_or_else(|| panic!("{}: no gradient of {part}", self.name));
            assert_close(&format!("{}: d{part}", self.name), &got, self.get(&format!("d{part}")));
        }
        for (part, got) in parts.iter().zip(gradients.params()) {
            assert_close(&format!("{}: d{part}", self.name), got.as_ref().unwrap(), self.get(&format!("d{part}")));
        }
    }

    /// Result and gradients of an operation composed of candle's.
    fn check_reference(&self, inputs: &[&str], f: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>) {
        let tensors: Vec<Tensor> = inputs.iter().map(|part| self.get(part).clone()).collect();
        assert_close(&format!("{}: candle's y", self.name), &f(&tensors).unwrap(), self.get("y"));
        let borrowed: Vec<&Tensor> = tensors.iter().collect();
        let gradients = reference::gradients(&borrowed, self.get("dy"), f).unwrap();
        for (part, got) in inputs.iter().zip(&gradients) {
            assert_close(&format!("{}: candle's d{part}", self.name), got, self.get(&format!("d{part}")));
        }
    }
}

/// Ties the lifetimes of tape and weights.
fn run<'a>(
    f: &impl Fn(&Tape<'a>, &'a Params, &[Var]) -> Result<Var>,
    tape: &Tape<'a>,
    params: &'a Params,
    leaves: &[Var],
) -> Var {
    f(tape, params, leaves).unwrap()
}

/// The cases of an operation, by the first part of their names.
fn cases<'f>(all: &'f HashMap<String, Tensor>, operation: &str) -> Vec<Case<'f>> {
    let name =
        |key: &String| key.strip_suffix(".y").filter(|n| n.split('.').next() == Some(operation)).map(str::to_owned);
    let mut names: Vec<String> = all.keys().filter_map(name).collect();
    names.sort();
    assert!(!names.is_empty(), "no case of {operation}");
    names.into_iter().map(|name| Case { name, all }).collect()
}

#[test]
fn convolutions() {
    let all = fixture("operations");
    for case in cases(&all, "conv") {
        let [_, c_in, c_out, _, _, kernel, stride] = case.sizes();
        let mut specs = Specs::default();
        let layer: &'static Conv =
            Box::leak(Box::new(Conv::new(&mut specs, "conv", (c_in, c_out), kernel, stride, 1.0)));
        let parts = ["weight", "bias"];
        let params = case.params(specs, &parts);
        case.check_tape(&params, &parts, &["x", "residual"], |tape, params, v| {
            tape.conv2d(params, layer, &v[0], Some(&v[1]))
        });
        case.check_reference(&["x", "weight", "bias", "residual"], |t| {
            reference::conv2d(&t[0], &t[1], &t[2], Some(&t[3]), kernel, stride)
        });
        let wanted = reference::ConvGradients { x: true, weights: true };
        let (x, weight, dy) = (case.get("x"), case.get("weight"), case.get("dy"));
        let (dx, weights) = reference::conv2d_gradients(x, weight, dy, (kernel, stride), wanted).unwrap();
        let [dw, db] = weights.unwrap();
        for (part, got) in [("dx", dx.unwrap()), ("dweight", dw), ("dbias", db)] {
            assert_close(&format!("{}: {part} on devices", case.name), &got, case.get(part));
        }
    }
}

#[test]
fn a_linear_layer() {
    let all = fixture("operations");
    let case = &cases(&all, "linear")[0];
    let mut specs = Specs::default();
    let layer: &'static Conv = Box::leak(Box::new(Conv::linear(&mut specs, "linear", (40, 20), 1.0)));
    let params = case.params(specs, &["weight", "bias"]);
    case.check_tape(&params, &["weight", "bias"], &["x"], |tape, params, v| tape.linear(params, layer, &v[0]));
}

#[test]
fn group_normalization() {
    let all = fixture("operations");
    for case in cases(&all, "group_norm") {
        let silu = case.name.ends_with("silu");
        let mut specs = Specs::default();
        let layer: &'static GroupNorm = Box::leak(Box::new(GroupNorm::new(&mut specs, "norm", 24, 4)));
        let parts = ["weight", "bias"];
        let params = case.params(specs, &parts);
        let inputs: &[&str] = if silu { &["x", "scale_shift"] } else { &["x"] };
        case.check_tape(&params, &parts, inputs, |tape, params, v| {
            tape.group_norm(params, layer, &v[0], v.get(1), silu)
        });
        let inputs: &[&str] = if silu { &["x", "weight", "bias", "scale_shift"] } else { &["x", "weight", "bias"] };
        case.check_reference(inputs, |t| reference::group_norm(&t[0], &t[1], &t[2], t.get(3), 4, silu));
    }
}

#[test]
fn normalization_of_rows() {
    let all = fixture("operations");
    let mut specs = Specs::default();
    let layer: &'static LayerNorm = Box::leak(Box::new(LayerNorm::new(&mut specs, "norm", 50, 1e-5)));
    let case = &cases(&all, "layer_norm")[0];
    let parts = ["weight", "bias"];
    let params = case.params(specs, &parts);
    case.check_tape(&params, &parts, &["x"], |tape, params, v| tape.layer_norm(params, layer, &v[0]));
    let norm = RowNorm { width: 50, centre: Centre::Mean, eps: 1e-5 };
    case.check_reference(&["x", "weight", "bias"], |t| reference::row_norm(&t[0], &t[1], Some(&t[2]), norm));

    let mut specs = Specs::default();
    let layer: &'static RmsNorm = Box::leak(Box::new(RmsNorm::new(&mut specs, "norm", 50, 1e-6)));
    let case = &cases(&all, "rms_norm")[0];
    let params = case.params(specs, &["weight"]);
    case.check_tape(&params, &["weight"], &["x"], |tape, params, v| tape.rms_norm(params, layer, &v[0]));
    let norm = RowNorm { width: 50, centre: Centre::Zero, eps: 1e-6 };
    case.check_reference(&["x", "weight"], |t| reference::row_norm(&t[0], &t[1], None, norm));
}

#[test]
fn operations_without_weights() {
    let all = fixture("operations");
    let params = Params::init(&Arc::new(Specs::default()), 0, &device()).unwrap();
    let case = |name: &str| cases(&all, name).remove(0);
    case("silu").check_tape(&params, &[], &["x"], |tape, _, v| tape.silu(&v[0]));
    case("softmax").check_tape(&params, &[], &["x"], |tape, _, v| tape.softmax(&v[0]));
    case("softmax").check_reference(&["x"], |t| reference::softmax(&t[0]));
    case("upsample2").check_tape(&params, &[], &["x"], |tape, _, v| tape.upsample2(&v[0]));
    case("upsample2").check_reference(&["x"], |t| reference::upsample2(&t[0]));
    case("shuffle").check_tape(&params, &[], &["x"], |tape, _, v| tape.shuffle(&v[0], 2));
    case("shuffle").check_reference(&["x"], |t| reference::shuffle(&t[0], 2));
    let shuffled = case("shuffle");
    assert_close("unshuffle", &ops::unshuffle(shuffled.get("y"), 2).unwrap(), shuffled.get("x"));
}

#[test]
fn attention() {
    let all = fixture("operations");
    let params = Params::init(&Arc::new(Specs::default()), 0, &device()).unwrap();
    for case in cases(&all, "attention") {
        let [_, _, _, heads, _] = case.sizes();
        let inputs = ["q", "k", "v"];
        case.check_tape(&params, &[], &inputs, |tape, _, v| tape.attention(&v[0], &v[1], &v[2], heads));
        case.check_reference(&inputs, |t| reference::attention(&t[0], &t[1], &t[2], heads));
        let qkv = inputs.map(|part| case.get(part));
        let gradients = reference::attention_gradients(qkv, case.get("dy"), heads).unwrap();
        for (part, got) in ["dq", "dk", "dv"].iter().zip(&gradients) {
            assert_close(&format!("{}: {part} on devices", case.name), got, case.get(part));
        }
    }
}

/// A gradient of nearest upsampling must add to what other consumers of its input gave, not replace it.
#[test]
fn gradients_of_an_input_with_two_consumers_add_up() {
    let tape = Tape::recording();
    let x = tape.leaf(Tensor::new(&[[[[1.0f32], [2.0]], [[3.0], [4.0]]]], &device()).unwrap());
    let both = tape.concat(&tape.upsample2(&x).unwrap(), &tape.upsample2(&tape.silu(&x).unwrap()).unwrap()).unwrap();
    let mut gradients =
        tape.backward(&both, Tensor::ones((1, 4, 4, 2), candle_core::DType::F32, &device()).unwrap()).unwrap();
    let got = flat(&gradients.take(&x).unwrap());
    for (got, x) in got.iter().zip([1.0f64, 2.0, 3.0, 4.0]) {
        let sigma = 1.0 / (1.0 + (-x).exp());
        let want = 4.0 + 4.0 * sigma * (1.0 + x * (1.0 - sigma));
        assert!((*got as f64 - want).abs() < 1e-5, "{got}, not {want}");
    }
}

#[test]
fn the_optimizer() {
    let all = fixture("operations");
    let weight = all["adamw.weight"].copy().unwrap();
    let mut optimizer = AdamW::new(Settings { weight_decay: 0.05, ..Settings::default() }, [&weight]).unwrap();
    for step in 0..4 {
        let gradient = &all[&format!("adamw.gradient.{step}")];
        optimizer.step_tensors([(&weight, Some(gradient))], 1e-2, 1.0).unwrap();
        assert_close(&format!("AdamW, step {step}"), &weight, &all[&format!("adamw.after.{step}")]);
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
    let all = fixture("mini");
    let net: &'static mini::Mini = Box::leak(Box::new(mini::Mini::new()));
    let params = Params::from_safetensors(net.specs(), mini::WEIGHTS, "mini".as_ref(), &device()).unwrap();
    let params: &'static Params = Box::leak(Box::new(params.trainable(true)));
    let tape = Tape::recording();
    let y = net.predict(&tape, params, &all["x"], &flat(&all["times"]), &all["condition"]).unwrap();
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
