//! Every implementation of the networks' operations that this build has.

use candle_core::Device;
use dp2o_studio::nn::kernels::{Compute, cuda_device};

/// The CPU's own kernels, the operations composed of candle's on the CPU, and those on a GPU where there is one.
pub fn computes() -> Vec<Compute> {
    let mut all = vec![Compute::cpu(), Compute::composed(&Device::Cpu)];
    if let Ok(device) = cuda_device(0) {
        all.push(Compute::on(&device));
    }
    all
}
