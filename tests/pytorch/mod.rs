//! What PyTorch computed (`tests/fixtures/make_nn.py`), and how an operation on the tape is held against it.
#![allow(dead_code)] // Each test binary takes a part.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::Tensor;
use dp2o_studio::Result;
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::params::{Params, Specs};
use dp2o_studio::nn::tape::{Tape, Var};

/// Largest difference allowed, of the largest magnitude in the tensor.
pub const TOLERANCE: f64 = 1e-4;

pub fn fixture(name: &str, compute: &Compute) -> HashMap<String, Tensor> {
    // At run time where it is set: benches/device.sh runs this on another machine than it was built on.
    let project = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    let path = format!("{project}/tests/fixtures/nn/{name}.safetensors");
    candle_core::safetensors::load(path, &compute.device).unwrap()
}

pub fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

pub fn assert_values(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(0.0f64, |m, &v| m.max(v.abs() as f64));
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let error = (g as f64 - w as f64).abs();
        assert!(error <= TOLERANCE * scale, "{what} at {i}: {g}, not {w}, on a scale of {scale}");
    }
}

pub fn assert_close(what: &str, got: &Tensor, want: &Tensor) {
    assert_eq!(got.dims(), want.dims(), "{what}");
    assert_values(what, &flat(got), &flat(want));
}

/// One operation of the fixture.
pub struct Case<'f> {
    pub name: String,
    pub all: &'f HashMap<String, Tensor>,
    pub compute: &'f Compute,
}

impl<'f> Case<'f> {
    pub fn get(&self, part: &str) -> &'f Tensor {
        let key = format!("{}.{part}", self.name);
        self.all.get(&key).unwrap_or_else(|| panic!("{key} is not in the fixture"))
    }

    /// The numbers in the name after its first part.
    pub fn sizes<const N: usize>(&self) -> [usize; N] {
        let sizes: Vec<usize> = self.name.split('.').skip(1).map(|n| n.parse().unwrap()).collect();
        sizes.try_into().unwrap()
    }

    /// Weights of the fixture in the order in which the layer declared them.
    pub fn params(&self, specs: Specs, parts: &[&str]) -> Params {
        let mut params = Params::init(&Arc::new(specs), 0, self.compute).unwrap();
        let values: Vec<f32> = parts.iter().flat_map(|part| flat(self.get(part))).collect();
        params.set_flat(&values).unwrap();
        params.trainable(true)
    }

    /// Result and gradients on the tape: PyTorch's, along differences of our own results, and on the CPU the same bits on any
    /// number of threads.
    pub fn check_tape(
        &self,
        params: &Params,
        parts: &[&str],
        inputs: &[&str],
        f: impl Fn(&Tape, &Params, &[Var]) -> Result<Var> + Sync,
    ) {
        let compute = || {
            let tape = Tape::recording(params.kernels());
            let leaves: Vec<Var> = inputs.iter().map(|part| tape.leaf(self.get(part).clone())).collect();
            let y = f(&tape, params, &leaves).unwrap();
            let mut gradients = tape.backward(&y, self.get("dy").clone()).unwrap();
            let of_inputs = leaves.iter().map(|leaf| gradients.take(leaf));
            let all: Vec<Option<Tensor>> =
                of_inputs.collect::<Vec<_>>().into_iter().chain(gradients.params().to_vec()).collect();
            (y.tensor().clone(), all)
        };
        let (y, gradients) = compute();
        let name = &self.name;
        assert_close(&format!("{:?}, {name}: y", self.compute.kernels), &y, self.get("y"));
        for (part, got) in inputs.iter().chain(parts).zip(&gradients) {
            let got = got.as_ref().unwrap_or_else(|| panic!("{name}: no gradient of {part}"));
            assert_close(&format!("{name}: d{part}"), got, self.get(&format!("d{part}")));
        }
        for (part, got) in inputs.iter().chain(parts).zip(gradients.iter().flatten()) {
            // Where there are kinks, differences across them are no slopes.
            if !name.contains("relu") && !name.contains("max_pool") {
                self.check_differences((params, parts), inputs, part, got, &f);
            }
        }
        if format!("{:?}", self.compute.kernels) == "Cpu" {
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let (again, others) = pool.install(compute);
                assert!(flat(&again) == flat(&y), "{name}: y on {threads} threads");
                for (one, other) in gradients.iter().flatten().zip(others.iter().flatten()) {
                    assert!(flat(one) == flat(other), "{name}: a gradient on {threads} threads");
                }
            }
        }
    }
}

impl Case<'_> {
    /// A gradient of an input or a weight against differences of our own results along a direction of ±1, of fourth order.
    fn check_differences(
        &self,
        (params, parts): (&Params, &[&str]),
        inputs: &[&str],
        moved: &str,
        gradient: &Tensor,
        f: impl Fn(&Tape, &Params, &[Var]) -> Result<Var>,
    ) {
        // What is linear has no curvature to keep away from, and a wide step drowns the rounding.
        let step = if self.name.starts_with("conv") { 0.1 } else { 0.01 };
        let signs: Vec<f32> =
            (0..gradient.elem_count()).map(|i| if (i * 7919 % 13).is_multiple_of(2) { 1.0 } else { -1.0 }).collect();
        let direction = Tensor::from_slice(&signs, gradient.shape(), gradient.device()).unwrap();
        let dy = flat(self.get("dy"));
        let at = |step: f64| -> Vec<f64> {
            let value = |part: &&str| match *part == moved {
                true => (self.get(part) + (&direction * step).unwrap()).unwrap(),
                false => self.get(part).clone(),
            };
            let vars: Vec<Var> = inputs.iter().map(|part| Var::constant(value(part))).collect();
            let mut params = params.duplicate().unwrap();
            if parts.contains(&moved) {
                params.set_flat(&parts.iter().flat_map(|part| flat(&value(part))).collect::<Vec<f32>>()).unwrap();
            }
            let y = f(&Tape::inference(params.kernels()), &params, &vars).unwrap();
            flat(y.tensor()).iter().zip(&dy).map(|(&y, &dy)| y as f64 * dy as f64).collect()
        };
        let [near, far] = [step, 2.0 * step].map(|step| (at(step), at(-step)));
        let slope = |i: usize| (8.0 * (near.0[i] - near.1[i]) - (far.0[i] - far.1[i])) / (12.0 * step);
        let slopes: Vec<f64> = (0..dy.len()).map(slope).collect();
        let scale = slopes.iter().map(|s| s * s).sum::<f64>().sqrt();
        let want: f64 = slopes.iter().sum();
        let got: f64 = flat(gradient).iter().zip(&signs).map(|(&g, &s)| (g * s) as f64).sum();
        let (name, error) = (&self.name, (got - want).abs());
        assert!(error <= TOLERANCE * scale, "{name}: {got} along d{moved}, not {want}, on a scale of {scale}");
    }
}

/// The cases of an operation, by the first part of their names.
pub fn cases<'f>(all: &'f HashMap<String, Tensor>, compute: &'f Compute, operation: &str) -> Vec<Case<'f>> {
    let name =
        |key: &String| key.strip_suffix(".y").filter(|n| n.split('.').next() == Some(operation)).map(str::to_owned);
    let mut names: Vec<String> = all.keys().filter_map(name).collect();
    names.sort();
    assert!(!names.is_empty(), "no case of {operation}");
    names.into_iter().map(|name| Case { name, all, compute }).collect()
}
