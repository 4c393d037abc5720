//! NVIDIA's libraries, found as the first CUDA device is opened: a program that was built to start without them (`.ci/cuda.sh`)
//! computes on the CPU where they are not, and says which one is missing.

use std::ffi::{CStr, CString};

use candle_core::Device;

use crate::{Error, Result};

/// Each as its file is named, a function that it has, and what to do where there is no such file.
const ALL: &[(&str, &CStr, &str)] = &[
    ("libcuda.so.1", c"cuInit", "install NVIDIA's driver"),
    ("libcublasLt.so.13", c"cublasLtCreate", "install CUDA 13"),
    ("libcublas.so.13", c"cublasCreate_v2", "install CUDA 13"),
    ("libcurand.so.10", c"curandCreateGenerator", "install CUDA 13"),
    ("libnvrtc.so.13", c"nvrtcCreateProgram", "install CUDA 13"),
    #[cfg(feature = "cudnn")]
    ("libcudnn.so.9", c"cudnnCreate", "install cuDNN 9"),
];
/// Where they usually lie, beside where the system looks.
const FOLDERS: [&str; 3] = ["", "/usr/local/cuda/lib64/", "/opt/cuda/lib64/"];

/// Opens a CUDA device. Errors: there is none, or what it needs is not installed.
pub fn open(number: usize) -> Result<Device> {
    #[cfg(unix)]
    ALL.iter().try_for_each(found)?;
    Ok(Device::new_cuda(number)?)
}

/// Makes a library's functions known to the program, if they are not: linked as usual, they are there from the start.
#[cfg(unix)]
fn found(&(file, function, remedy): &(&str, &CStr, &str)) -> Result<()> {
    // SAFETY: asks for an address, which is not used.
    if !unsafe { libc::dlsym(libc::RTLD_DEFAULT, function.as_ptr()) }.is_null() {
        return Ok(());
    }
    let opens = |folder: &&str| {
        // SAFETY: runs what a library of NVIDIA's does as it is loaded; it is never unloaded.
        CString::new(format!("{folder}{file}"))
            .is_ok_and(|path| !unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) }.is_null())
    };
    match FOLDERS.iter().any(|folder| opens(&folder)) {
        true => Ok(()),
        false => Err(Error::invalid(format!("{file} is not found: {remedy}, or name its folder in LD_LIBRARY_PATH"))),
    }
}
