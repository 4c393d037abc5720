//! The fixtures, and how results are held against them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use dp2o_studio::backbones::{Backbone, registry};
use dp2o_studio::nn::kernels::Compute;
use dp2o_studio::nn::params::{Params, Specs};
use dp2o_studio::weights::{Source, Store};

pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sd2").join(name)
}

/// A file of the published folder.
pub fn folder(name: &str) -> PathBuf {
    path("stable-diffusion-2-base").join(name)
}

/// What diffusers computed.
pub struct Computed(HashMap<String, Tensor>);

impl Computed {
    pub fn read(name: &str) -> Self {
        Self::at(&path(name))
    }

    pub fn at(path: &Path) -> Self {
        Self(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
    }

    pub fn get(&self, name: &str) -> &Tensor {
        self.0.get(name).unwrap_or_else(|| panic!("{name} is not in the fixture"))
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        flat(self.get(name))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

pub fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Planar to channels-last.
pub fn nhwc(tensor: &Tensor) -> Tensor {
    tensor.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap()
}

/// Channels-last to planar.
pub fn nchw(tensor: &Tensor) -> Tensor {
    tensor.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap()
}

/// The largest difference, of the largest value.
pub fn difference(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.dims(), want.dims());
    let (got, want) = (flat(got), flat(want));
    let scale = want.iter().fold(0.0f64, |most, v| most.max(f64::from(v.abs())));
    let most = got.iter().zip(&want).fold(0.0f64, |most, (a, b)| most.max((f64::from(*a) - f64::from(*b)).abs()));
    assert!(got.iter().all(|v| v.is_finite()));
    most / scale
}

/// The weights of a file, f32.
pub fn weights(specs: Specs, source: &Source) -> Params {
    Params::from_source(&Arc::new(specs), source, &Compute::cpu()).unwrap()
}

/// The backbone from a folder of weights.
pub fn open(folder: &Path) -> Arc<dyn Backbone> {
    open_on(folder, &Compute::cpu())
}

pub fn open_on(folder: &Path, on: &Compute) -> Arc<dyn Backbone> {
    registry::open("sd2", on, &Store::of_folders(&[folder.to_owned()], true)).unwrap_or_else(|e| panic!("{e}"))
}
