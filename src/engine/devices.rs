//! The device to compute on, chosen once and given to whoever computes.

use std::process::{Command, Stdio};

use candle_core::Device;

use crate::memory;

/// The first CUDA or Metal device if the program was built for it and there is one, else the CPU.
pub fn best() -> Device {
    Device::cuda_if_available(0)
        .ok()
        .filter(|d| !d.is_cpu())
        .or_else(|| Device::metal_if_available(0).ok())
        .unwrap_or(Device::Cpu)
}

/// Bytes that are free on a device, of the main memory where it computes there; `None` where that cannot be told. Of a CUDA
/// device NVIDIA's own tool knows.
pub fn free_bytes(device: &Device) -> Option<u64> {
    match device {
        Device::Cpu | Device::Metal(_) => memory::available_bytes(),
        Device::Cuda(_) => free_on_cuda(),
    }
}

/// Bytes that are free where [`best`] computes, without opening it.
pub fn free_on_best() -> Option<u64> {
    cfg!(feature = "cuda").then(free_on_cuda).flatten().or_else(memory::available_bytes)
}

fn free_on_cuda() -> Option<u64> {
    let arguments = ["--query-gpu=memory.free", "--format=csv,noheader,nounits", "--id=0"];
    let said = Command::new("nvidia-smi").args(arguments).stdin(Stdio::null()).output().ok()?;
    let mib: u64 = String::from_utf8(said.stdout).ok()?.trim().parse().ok()?;
    mib.checked_mul(1 << 20)
}

/// A device in words; kept with every score.
pub fn name(device: &Device) -> String {
    match device {
        Device::Cpu => format!("CPU ({} threads)", rayon::current_num_threads()),
        Device::Cuda(_) => "CUDA 0".into(),
        Device::Metal(_) => "Metal 0".into(),
    }
}
