//! The device to compute on, chosen once and given to whoever computes.

use candle_core::Device;

/// The first CUDA or Metal device if the program was built for it and there is one, else the CPU.
pub fn best() -> Device {
    Device::cuda_if_available(0)
        .ok()
        .filter(|d| !d.is_cpu())
        .or_else(|| Device::metal_if_available(0).ok())
        .unwrap_or(Device::Cpu)
}

/// A device in words; kept with every score.
pub fn name(device: &Device) -> String {
    match device {
        Device::Cpu => format!("CPU ({} threads)", rayon::current_num_threads()),
        Device::Cuda(_) => "CUDA 0".into(),
        Device::Metal(_) => "Metal 0".into(),
    }
}
