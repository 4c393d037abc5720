//! The operations of large networks against PyTorch's float64 values (`tests/fixtures/make_nn.py networks`): results and
//! gradients to 1e-4 relative, by every implementation there is; and gradients against finite differences of our own results.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use dp2o_studio::Result;
use dp2o_studio::nn::kernels::resample::Interpolation;
use dp2o_studio::nn::kernels::shape::Activation;
use dp2o_studio::nn::kernels::{Compute, Precision};
use dp2o_studio::nn::layers::{
    Attention, AttentionNames, Conv, Embedding, GroupNorm, Kernel, LayerNorm, Linear, RmsNorm,
};
use dp2o_studio::nn::ops::attention::Scores;
use dp2o_studio::nn::ops::rope::Rope;
use dp2o_studio::nn::ops::sampling::Window;
use dp2o_studio::nn::params::{Form, Init, Params, Specs};
use dp2o_studio::nn::tape::{Gradients, Tape, Var};
use dp2o_studio::weights::Source;

mod computes;
mod pytorch;
use computes::computes;
use pytorch::{Case, assert_close, assert_values, cases, fixture, flat};

/// Every case of an operation, by every implementation.
fn each(operation: &str, check: impl Fn(&Case, &Params)) {
    for compute in &computes() {
        let all = fixture("networks", compute);
        let nothing = Params::init(&Arc::new(Specs::default()), 0, compute).unwrap();
        cases(&all, compute, operation).iter().for_each(|case| check(case, &nothing));
    }
}

/// An operation without weights.
fn weightless(operation: &str, inputs: &[&str], f: impl Fn(&Tape, &str, &[Var]) -> Result<Var> + Sync) {
    each(operation, |case, nothing| case.check_tape(nothing, &[], inputs, |tape, _, v| f(tape, &case.name, v)));
}

/// Part `index` of a name, after the operation's own.
fn part(name: &str, index: usize) -> &str {
    name.split('.').nth(index + 1).unwrap()
}

fn number(name: &str, index: usize) -> usize {
    part(name, index).parse().unwrap()
}

#[test]
fn convolutions_of_any_kind() {
    each("conv", |case, _| {
        let [_, c_in, c_out, _, _, kh, kw, stride, ph, pw, dilation, groups, bias] = case.sizes();
        let kernel = Kernel { size: [kh, kw], stride, pad: [ph, pw], dilation, groups, bias: bias == 1 };
        let mut specs = Specs::default();
        let layer = Conv::with(&mut specs, "conv", (c_in, c_out), kernel, 1.0);
        let parts = if bias == 1 { &["weight", "bias"][..] } else { &["weight"] };
        let params = case.params(specs, parts);
        case.check_tape(&params, parts, &["x"], |tape, params, v| tape.conv2d(params, &layer, &v[0], None));
    });
}

/// The downsampling of a VAE's encoder: zeros on the right and below only.
#[test]
fn asymmetric_padding() {
    each("conv_padded", |case, _| {
        let mut specs = Specs::default();
        let kernel = Kernel { stride: 2, pad: [0, 0], ..Kernel::square(3) };
        let layer = Conv::with(&mut specs, "conv", (5, 7), kernel, 1.0);
        let parts = ["weight", "bias"];
        let params = case.params(specs, &parts);
        case.check_tape(&params, &parts, &["x"], |tape, params, v| {
            tape.conv2d(params, &layer, &tape.pad(&v[0], [0, 1, 0, 1])?, None)
        });
    });
}

#[test]
fn linear_layers_with_and_without_bias() {
    each("linear", |case, _| {
        let bias = case.name == "linear.bias";
        let mut specs = Specs::default();
        let layer = Linear::with(&mut specs, "linear", (10, 12), bias, 1.0);
        let parts = if bias { &["weight", "bias"][..] } else { &["weight"] };
        let params = case.params(specs, parts);
        case.check_tape(&params, parts, &["x"], |tape, params, v| tape.linear(params, &layer, &v[0]));
    });
}

#[test]
fn a_linear_layer_onto_a_residual() {
    each("onto", |case, _| {
        let mut specs = Specs::default();
        let layer = Linear::new(&mut specs, "linear", (10, 12), 1.0);
        let parts = ["weight", "bias"];
        let params = case.params(specs, &parts);
        case.check_tape(&params, &parts, &["x", "residual"], |tape, params, v| {
            tape.linear_onto(params, &layer, &v[0], &v[1])
        });
    });
}

/// With SiLU alone, as in a U-Net's blocks, and with scale and shift alone.
#[test]
fn parts_of_a_group_normalization() {
    each("affine_norm", |case, _| {
        let silu = part(&case.name, 0) == "silu";
        let mut specs = Specs::default();
        let layer = GroupNorm::new(&mut specs, "norm", 12, 3, 1e-6);
        let parts = ["weight", "bias"];
        let params = case.params(specs, &parts);
        let inputs: &[&str] = if silu { &["x"] } else { &["x", "scale_shift"] };
        case.check_tape(&params, &parts, inputs, |tape, params, v| {
            tape.group_norm(params, &layer, &v[0], v.get(1), silu)
        });
    });
}

/// Weights that are too large to be kept in a second form are multiplied as they lie, with few rows and with many.
#[test]
fn large_layers_are_what_they_are_by_any_implementation() {
    let mut specs = Specs::default();
    let layer = Linear::new(&mut specs, "linear", (1060, 1000), 1.0);
    let specs = Arc::new(specs);
    for rows in [7, 1301] {
        let values = |seed: usize, width: usize| -> Vec<f32> {
            (0..rows * width).map(|i| ((i * 37 + seed) % 101) as f32 / 50.0 - 1.0).collect()
        };
        let run = |compute: &Compute| {
            let params = Params::init(&specs, 3, compute).unwrap().trainable(true);
            let tensor = |seed, width| Tensor::from_vec(values(seed, width), (rows, width), &compute.device).unwrap();
            let tape = Tape::recording(params.kernels());
            let [x, residual] = [tensor(1, 1060), tensor(2, 1000)].map(|t| tape.leaf(t));
            let y = tape.linear_onto(&params, &layer, &x, &residual).unwrap();
            let mut gradients = tape.backward(&y, tensor(3, 1000)).unwrap();
            let of_weights = gradients.params().iter().flatten().map(flat).collect::<Vec<_>>();
            [vec![flat(y.tensor()), flat(&gradients.take(&x).unwrap())], of_weights].concat()
        };
        let all: Vec<Vec<Vec<f32>>> = computes().iter().map(run).collect();
        for other in &all[1..] {
            other.iter().zip(&all[0]).for_each(|(other, own)| assert_values("a large layer", own, other));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert!(pool.install(|| run(&Compute::cpu())) == all[0], "{rows} rows on 3 threads");
    }
}

#[test]
fn normalization_without_weights() {
    let group = GroupNorm::plain(12, 3, 1e-6);
    each("group_norm", |case, nothing| {
        case.check_tape(nothing, &[], &["x"], |tape, params, v| tape.group_norm(params, &group, &v[0], None, false));
    });
    let (layer, rms) = (LayerNorm::plain(21, 1e-6), RmsNorm::plain(21, 1e-6));
    each("layer_norm", |case, nothing| {
        case.check_tape(nothing, &[], &["x"], |tape, params, v| tape.layer_norm(params, &layer, &v[0]));
    });
    each("rms_norm", |case, nothing| {
        case.check_tape(nothing, &[], &["x"], |tape, params, v| tape.rms_norm(params, &rms, &v[0]));
    });
}

fn activation(name: &str) -> Activation {
    match part(name, 0) {
        "relu" => Activation::Relu,
        "silu" => Activation::Silu,
        "gelu" => Activation::Gelu,
        "gelu_tanh" => Activation::GeluTanh,
        "gelu_quick" => Activation::GeluQuick,
        "sigmoid" => Activation::Sigmoid,
        other => panic!("{other} is not known"),
    }
}

#[test]
fn activations_and_gates() {
    weightless("activation", &["x"], |tape, name, v| tape.activate(activation(name), &v[0]));
    weightless("gated", &["x"], |tape, name, v| tape.gated(activation(name), &v[0]));
}

#[test]
fn a_rectifier_has_no_slope_at_zero() {
    for compute in &computes() {
        let x = Tensor::new(&[-1.0f32, 0.0, 1.0], &compute.device).unwrap();
        let d = compute.kernels.activate_gradient(Activation::Relu, &x, &x.ones_like().unwrap()).unwrap();
        assert_values(&format!("{compute:?}"), &flat(&d), &[0.0, 0.0, 1.0]);
    }
}

#[test]
fn sums_products_and_scales() {
    weightless("add", &["a", "b"], |tape, _, v| tape.add(&v[0], &v[1]));
    weightless("mul", &["a", "b"], |tape, _, v| tape.mul(&v[0], &v[1]));
    weightless("affine", &["x"], |tape, _, v| tape.affine(&v[0], 1.75, -0.5));
    weightless("sqrt", &["x"], |tape, _, v| tape.sqrt(&v[0], 0.25));
    weightless("mean", &["x"], |tape, _, v| tape.mean(&v[0]));
    weightless("modulate", &["x", "scale", "shift"], |tape, _, v| tape.modulate(&v[0], &v[1], &v[2]));
}

#[test]
fn layouts() {
    weightless("permute", &["x"], |tape, _, v| tape.permute(&v[0], &[2, 0, 3, 1]));
    weightless("join", &["a", "b"], |tape, _, v| tape.join(&[&v[0], &v[1]], 1));
    weightless("narrow", &["x"], |tape, _, v| tape.narrow(&v[0], 1, 1, 3));
    weightless("concat", &["a", "b"], |tape, _, v| tape.concat(&v[0], &v[1]));
    weightless("transpose", &["x"], |tape, name, v| tape.transpose(&v[0], number(name, 0), number(name, 1)));
}

#[test]
fn rows_of_a_table() {
    each("embedding", |case, _| {
        let mut specs = Specs::default();
        let layer = Embedding::new(&mut specs, "embedding", 7, 5, 1.0);
        let params = case.params(specs, &["weight"]);
        case.check_tape(&params, &["weight"], &[], |tape, params, _| tape.embedding(params, &layer, &[3, 0, 3, 6]));
        let tape = Tape::inference(params.kernels());
        let error = tape.embedding(&params, &layer, &[7]).unwrap_err().to_string();
        assert!(error.contains("7 rows has no row 7"), "{error}");
    });
}

#[test]
fn rotary_positions() {
    each("rope", |case, nothing| {
        let ids = [[0.0, 0.0, 0.0], [0.0, 3.0, 5.0], [1.0, 2.0, 7.0], [0.0, 31.0, 40.0]];
        let rope = Rope::new(&ids, [4, 6, 6], 10_000.0, &case.compute.device).unwrap();
        for (table, name) in rope.tables().into_iter().zip(["cos", "sin"]) {
            assert_close(name, table, case.get(name));
        }
        case.check_tape(nothing, &[], &["x"], |tape, _, v| tape.rope(&v[0], 2, &rope));
    });
}

/// FLUX's axes of 16, 56 and 56 channels, at the anchors of its published implementation.
#[test]
fn rotary_positions_of_flux() {
    let rope = Rope::new(&[[0.0, 3.0, 5.0]], [16, 56, 56], 10_000.0, &candle_core::Device::Cpu).unwrap();
    let [cos, sin] = rope.tables().map(flat);
    // A pair here is two channels there.
    for (got, want) in [(cos[7], 1.0), (cos[8], -0.989992), (sin[8], 0.141120), (cos[36], 0.283662)] {
        assert!((got - want).abs() < 1e-6, "{got}, not {want}");
    }
}

#[test]
fn attention_with_masks_and_biases() {
    each("attention", |case, nothing| {
        let [_, _, _, heads, _, scale, causal, n, _] = case.sizes();
        let scores = Scores {
            scale: (scale > 0).then_some(scale as f32 / 1000.0),
            causal: causal == 1,
            bias: (n > 0).then(|| case.get("bias")),
        };
        case.check_tape(nothing, &[], &["q", "k", "v"], |tape, _, v| {
            tape.attention_with(&v[0], &v[1], &v[2], heads, scores)
        });
    });
}

/// To itself: the gradient is that of all three; and of two streams that see each other.
#[test]
fn attention_of_one_stream_and_of_two() {
    weightless("self_attention", &["x"], |tape, _, v| tape.attention(&v[0], &v[0], &v[0], 2));
    weightless("joint_attention", &["qa", "ka", "va", "qb", "kb", "vb"], |tape, _, v| {
        let [q, k, v] = [0, 1, 2].map(|i| tape.join(&[&v[i], &v[i + 3]], 1));
        tape.attention(&q?, &k?, &v?, 2)
    });
}

#[test]
fn an_attention_layer() {
    each("attend", |case, _| {
        let mut specs = Specs::default();
        let layer = Attention::new(&mut specs, "attn", AttentionNames::DIFFUSERS, (10, 7), (2, 4));
        let names: Vec<String> = specs.iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(
            names,
            ["attn.to_q.weight", "attn.to_k.weight", "attn.to_v.weight", "attn.to_out.0.weight", "attn.to_out.0.bias"]
        );
        let parts = ["to_q", "to_k", "to_v", "to_out", "bias"];
        let params = case.params(specs, &parts);
        case.check_tape(&params, &parts, &["x", "context"], |tape, params, v| {
            tape.attend(params, &layer, &v[0], Some(&v[1]), Scores::default())
        });
    });
}

#[test]
fn pooling() {
    let window = |name: &str| Window { size: number(name, 0), stride: number(name, 1), pad: number(name, 2) };
    weightless("max_pool", &["x"], |tape, name, v| tape.max_pool(&v[0], window(name), number(name, 3) == 1));
    weightless("average_pool", &["x"], |tape, name, v| tape.average_pool(&v[0], window(name), number(name, 3) == 1));
    weightless("adaptive", &["x"], |tape, name, v| {
        tape.adaptive_average_pool(&v[0], [number(name, 0), number(name, 1)])
    });
    weightless("l2_pool", &["x"], |tape, _, v| tape.l2_pool(&v[0], &[0.25, 0.5, 0.25], 1e-12));
}

#[test]
fn interpolation() {
    weightless("interpolate", &["x"], |tape, name, v| {
        let how = match part(name, 2) {
            "nearest" => Interpolation::Nearest,
            "bilinear" => Interpolation::Bilinear,
            a => Interpolation::Bicubic(-a.parse::<f64>().unwrap() / 100.0),
        };
        tape.interpolate(&v[0], [number(name, 0), number(name, 1)], how, number(name, 3) == 1)
    });
}

#[test]
fn what_does_not_fit_is_an_error() {
    for compute in &computes() {
        let tape = Tape::inference(&compute.kernels);
        let var = |dims: &[usize]| Var::constant(Tensor::zeros(dims, DType::F32, &compute.device).unwrap());
        let (x, image) = (var(&[2, 3, 4]), var(&[1, 4, 4, 2]));
        let bias = Tensor::zeros((2, 2, 3, 4), DType::F32, &compute.device).unwrap();
        let window = Window { size: 5, stride: 1, pad: 0 };
        let scores = Scores { bias: Some(&bias), ..Scores::default() };
        let mut specs = Specs::default();
        let conv = Conv::with(&mut specs, "c", (2, 2), Kernel { pad: [0, 0], ..Kernel::square(5) }, 1.0);
        let params = Params::init(&Arc::new(specs), 0, compute).unwrap();
        for result in [
            tape.add(&x, &var(&[2, 3])),
            tape.gated(Activation::Gelu, &var(&[2, 3])),
            tape.attention_with(&x, &x, &x, 2, scores),
            tape.attention(&x, &x, &x, 3),
            tape.max_pool(&image, window, false),
            tape.interpolate(&image, [0, 3], Interpolation::Bilinear, false),
            tape.conv2d(&params, &conv, &image, None),
            tape.transpose(&x, 1, 3),
        ] {
            let error = result.unwrap_err().to_string();
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}

/// Frozen weights in 16 bits take half the memory, and give what the rounded weights give in f32: forward, and back to the input.
#[test]
fn frozen_weights_are_kept_in_16_bits() {
    for compute in &computes() {
        let mut specs = Specs::default();
        let conv = Conv::new(&mut specs, "conv", (32, 48), 3, 1, 1.0);
        let down = Conv::new(&mut specs, "down", (48, 40), 3, 2, 1.0);
        let linear = Linear::new(&mut specs, "linear", (40, 24), 1.0);
        let specs = Arc::new(specs);
        let wide = Params::init(&specs, 3, compute).unwrap();
        let file = Source::of_vec(Path::new("wide"), wide.to_safetensors(false, &Default::default()).unwrap()).unwrap();
        for dtype in [DType::BF16, DType::F16] {
            let narrow = wide.narrowed(dtype).unwrap();
            let on = compute.clone().in_precision(Precision { frozen: dtype, ..Precision::default() });
            let opened = Params::from_source(&specs, &file, &on).unwrap();
            assert!(opened.iter().zip(narrow.iter()).all(|((_, a), (_, b))| a.dtype() == b.dtype()));
            assert_eq!(opened.byte_count(), narrow.byte_count());
            let vectors = 4 * (48 + 40 + 24);
            assert_eq!(2 * (narrow.byte_count() - vectors), wide.byte_count() - vectors);
            let mut rounded = wide.duplicate().unwrap();
            let values: Vec<f32> = narrow.iter().flat_map(|(_, t)| flat(&t.to_dtype(DType::F32).unwrap())).collect();
            rounded.set_flat(&values).unwrap();
            let run = |params: &Params| {
                let tape = Tape::recording(params.kernels());
                let x = (0..2 * 8 * 6 * 32).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect::<Vec<f32>>();
                let x = tape.leaf(Tensor::from_vec(x, (2, 8, 6, 32), &compute.device).unwrap());
                let h = tape.conv2d(params, &conv, &x, None).unwrap();
                let h = tape.conv2d(params, &down, &h, None).unwrap();
                let y = tape.linear(params, &linear, &h).unwrap();
                let ones = y.tensor().ones_like().unwrap();
                let (result, mut gradients) = (flat(y.tensor()), tape.backward(&y, ones).unwrap());
                (result, flat(&gradients.take(&x).unwrap()))
            };
            assert!(run(&narrow) == run(&rounded), "{compute:?} in {dtype:?}");
        }
    }
}

/// Products of bf16 are off by what rounding both operands costs, are the same in any batch, and are those of f32 where the
/// processor has none, the weights are not bf16 or the channels make no whole tiles.
#[test]
fn products_of_bf16_are_chosen() {
    let compute = Compute::cpu();
    let halves = compute.clone().in_precision(Precision { frozen: DType::BF16, products: DType::BF16 });
    for (c_in, c_out, kernel, stride, [height, width]) in [
        (64, 96, 3, 1, [7, 9]),
        (32, 40, 3, 2, [8, 11]),
        (1600, 72, 1, 1, [5, 9]),
        (96, 32, 5, 1, [6, 6]),
        (64, 1280, 3, 1, [16, 17]),
        (33, 47, 3, 1, [6, 5]),
    ] {
        let mut specs = Specs::default();
        let conv = Conv::new(&mut specs, "conv", (c_in, c_out), kernel, stride, 1.0);
        let wide = Params::init(&Arc::new(specs), 5, &compute).unwrap();
        let file = Source::of_vec(Path::new("wide"), wide.to_safetensors(false, &Default::default()).unwrap()).unwrap();
        let [exact, rounded] =
            [compute.clone().in_precision(Precision { frozen: DType::BF16, ..Precision::default() }), halves.clone()]
                .map(|on| Params::from_source(wide.specs(), &file, &on).unwrap());
        let x: Vec<f32> = (0..2 * height * width * c_in).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
        let run = |params: &Params, x: &[f32]| {
            let tape = Tape::recording(params.kernels());
            let x =
                Tensor::from_vec(x.to_vec(), (x.len() / (height * width * c_in), height, width, c_in), &Device::Cpu);
            let x = tape.leaf(x.unwrap());
            let y = tape.conv2d(params, &conv, &x, None).unwrap();
            let slope = y.tensor().affine(0.5, 0.25).unwrap();
            let (result, mut gradients) = (flat(y.tensor()), tape.backward(&y, slope).unwrap());
            (result, flat(&gradients.take(&x).unwrap()))
        };
        let (exact, both) = (run(&exact, &x), run(&rounded, &x));
        // A value off by 2⁻⁹ in each operand, of sums whose terms have all signs.
        let close = |a: &[f32], b: &[f32], most: f32| {
            let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| v * v).sum::<f32>().sqrt();
            let off = norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied());
            assert!(off <= most, "{c_in} to {c_out}, {kernel}: {off}");
            off
        };
        let off = close(&both.0, &exact.0, 4e-3).max(close(&both.1, &exact.1, 8e-3));
        let takes = dp2o_studio::nn::kernels::cpu::multiplies_bf16() && c_in % 32 == 0;
        assert_eq!(off > 1e-5, takes, "{c_in} to {c_out}, {kernel}: {off}");
        let second = run(&rounded, &x[height * width * c_in..]);
        assert!(second.0 == both.0[both.0.len() / 2..] && second.1 == both.1[both.1.len() / 2..]);
    }
}

#[test]
fn what_is_let_go_of_is_not_in_memory_and_comes_back_as_it_was() {
    let mut specs = Specs::default();
    let matrix = specs.add("a".into(), &[2, 2], Init::Ones);
    let vector = specs.add("b".into(), &[2], Init::Ones);
    let specs = Arc::new(specs);
    let bytes = Params::init(&specs, 1, &Compute::cpu()).unwrap().to_safetensors(false, &Default::default()).unwrap();
    let source = Arc::new(Source::of_vec(Path::new("w"), bytes).unwrap());
    let params = Params::at_hand(&specs, &source, &Compute::cpu(), DType::F32).unwrap();
    let held = |params: &Params| params.weight(matrix).is_in_memory();
    let form = |params: &Params, value: usize| *params.weight(matrix).in_form(Form::Forward, || Ok(value)).unwrap();
    assert_eq!((held(&params), form(&params, 1), form(&params, 2)), (true, 1, 1));
    let (once, values) = (params.for_once(), params.to_flat().unwrap());
    assert_eq!((form(&once, 3), form(&once, 4)), (3, 4));
    // Forms first, and values where they are named.
    params.let_go(|_| false);
    assert_eq!((held(&params), form(&params, 5)), (true, 5));
    params.let_go(|name| name == "a");
    assert_eq!((held(&params), held(&once), form(&params, 6)), (false, false, 6));
    assert!(params.weight(matrix).is_at_hand() && !params.weight(vector).is_at_hand());
    assert!(params.to_flat().unwrap() == values && held(&once));
    // What is trained is a copy that stays.
    let trained = params.to_train(|_| true).unwrap();
    params.let_go(|_| true);
    assert_eq!((held(&trained), held(&params)), (true, false));
    assert!(trained.to_flat().unwrap() == values && params.byte_count() == 24);
    params.bring(|_| true).unwrap();
    assert!(held(&params));
}

/// Parts that are computed again give the bits of those that are kept, alone and within a part that is computed again itself.
#[test]
fn what_is_computed_again_has_the_same_gradients() {
    let mut specs = Specs::default();
    let layers = [Linear::new(&mut specs, "a", (6, 16), 1.0), Linear::new(&mut specs, "b", (8, 6), 1.0)];
    let params = Params::init(&Arc::new(specs), 3, &Compute::cpu()).unwrap();
    let x: Vec<f32> = (0..30).map(|i| (i as f32 * 0.7).sin()).collect();
    let x = Tensor::from_vec(x, (5, 6), &Device::Cpu).unwrap();
    let gradients = |again: bool, recompute: bool, trained: bool| {
        let params = params.clone().trainable(trained);
        let tape = Tape::recording(params.kernels()).recomputing(recompute);
        let (input, weights) = (tape.leaf(x.clone()), params.clone());
        let (told, counted) = (std::rc::Rc::new(std::cell::Cell::new(0)), std::rc::Rc::new(std::cell::Cell::new(0)));
        let (tell, count) = (told.clone(), counted.clone());
        let marked = tape.after_backward(&input, move || tell.set(tell.get() + 1));
        let body = move |tape: &Tape, v: &[Var]| {
            let weights = weights.clone();
            let inner = weights.clone();
            let count = count.clone();
            let wide = move |tape: &Tape, v: &[Var]| {
                count.set(count.get() + 1);
                tape.gated(Activation::Gelu, &tape.linear(&inner, &layers[0], &v[0])?)
            };
            let wide = if again { tape.again(&[&v[0]], &weights, wide)? } else { wide(tape, v)? };
            tape.linear_onto(&weights, &layers[1], &wide, &v[0])
        };
        let y = tape.segment(&[&marked], &params, body).unwrap();
        let dy = y.tensor().clone();
        let mut all = Gradients::new(params.kernels());
        tape.backward_into(&y, dy, &mut all).unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let of_weights: Vec<Vec<f32>> = all.params().iter().flatten().map(flat).collect();
        assert_eq!(told.get(), 1);
        (flat(&all.take(&input).unwrap()), of_weights, counted.get())
    };
    for trained in [false, true] {
        let kept = gradients(false, false, trained);
        assert_eq!((kept.1.len(), kept.2), (if trained { 4 } else { 0 }, 1));
        for (again, recompute) in [(true, false), (false, true), (true, true)] {
            let other = gradients(again, recompute, trained);
            assert!((&other.0, &other.1) == (&kept.0, &kept.1), "{again} {recompute}");
            // Once more for the gradient, and not twice.
            assert_eq!(other.2, 2, "{again} {recompute}");
        }
    }
}
