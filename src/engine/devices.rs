//! The device to compute on: what was asked for, opened when it is first needed, and why it is not another.

use std::fmt::{Display, Formatter};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Device, DeviceLocation};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, memory};

/// What to compute on, as a person names it: `auto`, `cpu`, `cuda`, `cuda:1`, `metal`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Choice {
    /// The first CUDA or Metal device if the program was built for it and there is one, else the CPU.
    #[default]
    Best,
    Cpu,
    /// A CUDA device, by its number.
    Cuda(usize),
    /// A Metal device, by its number.
    Metal(usize),
}

impl FromStr for Choice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbered = |rest: &str| match rest.strip_prefix(':') {
            None if rest.is_empty() => Some(0),
            None => None,
            Some(number) => number.parse().ok(),
        };
        let family = |name: &str| text.strip_prefix(name).and_then(numbered);
        match text {
            "auto" => Some(Self::Best),
            "cpu" => Some(Self::Cpu),
            _ => family("cuda").map(Self::Cuda).or_else(|| family("metal").map(Self::Metal)),
        }
        .ok_or_else(|| Error::invalid(format!("{text}: no device; there are auto, cpu, cuda, cuda:1 …, metal")))
    }
}

impl Display for Choice {
    fn fmt(&self, f: &mut Formatter) -> std::fmt::Result {
        match self {
            Self::Best => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal(number) => write!(f, "metal:{number}"),
        }
    }
}

impl Choice {
    /// Opens it. Errors: the program was not built for it, or there is none; in one line.
    pub fn open(self) -> Result<Device> {
        let built = |is_built: bool, name: &str| match is_built {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "{self}: this program was built without {name}; build it with --features {}, or compute on the CPU \
                 (--device cpu)",
                name.to_lowercase()
            ))),
        };
        let failed = |error: candle_core::Error| Error::invalid(format!("{self}: {}", first_line(&error)));
        match self {
            Self::Best => Ok(Opened::best().device),
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(number) => {
                built(cfg!(feature = "cuda"), "CUDA")?;
                Device::new_cuda(number).map_err(failed)
            }
            Self::Metal(number) => {
                built(cfg!(feature = "metal"), "Metal")?;
                Device::new_metal(number).map_err(failed)
            }
        }
    }

    /// Those that this machine has and this program was built for, as far as can be told without opening them.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Best, Self::Cpu];
        if cfg!(feature = "cuda") {
            all.extend((0..cuda_count()).map(Self::Cuda));
        }
        if cfg!(feature = "metal") {
            all.push(Self::Metal(0));
        }
        all
    }
}

/// The one device that every lane of an engine computes on; clones are handles of the same.
#[derive(Clone, Debug, Default)]
pub struct SharedDevice(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    choice: Choice,
    opened: Option<Opened>,
}

#[derive(Clone, Debug)]
struct Opened {
    device: Device,
    /// Why it is not what one would expect.
    doubt: Option<String>,
}

impl Opened {
    fn best() -> Self {
        let families = [(cfg!(feature = "cuda"), Choice::Cuda(0)), (cfg!(feature = "metal"), Choice::Metal(0))];
        let mut doubt = None;
        for (_, choice) in families.into_iter().filter(|(is_built, _)| *is_built) {
            match choice.open() {
                Ok(device) => return Self { device, doubt: None },
                Err(error) => doubt = Some(format!("computing on the CPU: {error}")),
            }
        }
        Self { device: Device::Cpu, doubt }
    }
}

impl SharedDevice {
    /// Not opened yet.
    pub fn new(choice: Choice) -> Self {
        Self(Arc::new(Mutex::new(Inner { choice, opened: None })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> Opened {
        let mut inner = self.inner();
        let choice = inner.choice;
        let open = || match choice {
            Choice::Best => Opened::best(),
            _ => match choice.open() {
                Ok(device) => Opened { device, doubt: None },
                Err(error) => {
                    Opened { device: Device::Cpu, doubt: Some(format!("computing on the CPU instead: {error}")) }
                }
            },
        };
        inner.opened.get_or_insert_with(open).clone()
    }

    /// The device, opened now if it was not before; the CPU where what was chosen cannot be opened, see [`doubt`](Self::doubt).
    pub fn device(&self) -> Device {
        self.opened().device
    }

    /// Why the device is not what was asked for, or not the GPU that the program was built for.
    pub fn doubt(&self) -> Option<String> {
        self.opened().doubt
    }

    pub fn choice(&self) -> Choice {
        self.inner().choice
    }

    /// Computes on another device from now on; who has models open opens them anew. Errors: it cannot be opened, and all
    /// stays as it was.
    pub fn choose(&self, choice: Choice) -> Result<()> {
        let opened = match choice {
            Choice::Best => Opened::best(),
            _ => Opened { device: choice.open()?, doubt: None },
        };
        *self.inner() = Inner { choice, opened: Some(opened) };
        Ok(())
    }

    /// Bytes that are free where it computes, without opening it.
    pub fn free_bytes(&self) -> Option<u64> {
        let inner = self.inner();
        match (&inner.opened, inner.choice) {
            (Some(opened), _) => free_bytes(&opened.device),
            (None, Choice::Cuda(number)) => free_on_cuda(number),
            (None, Choice::Best) => {
                cfg!(feature = "cuda").then(|| free_on_cuda(0)).flatten().or_else(memory::available_bytes)
            }
            (None, Choice::Cpu | Choice::Metal(_)) => memory::available_bytes(),
        }
    }
}

/// Bytes that are free on a device, of the main memory where it computes there; `None` where that cannot be told. Of a CUDA
/// device NVIDIA's own tool knows.
pub fn free_bytes(device: &Device) -> Option<u64> {
    match device.location() {
        DeviceLocation::Cpu | DeviceLocation::Metal { .. } => memory::available_bytes(),
        DeviceLocation::Cuda { gpu_id } => free_on_cuda(gpu_id),
    }
}

fn free_on_cuda(number: usize) -> Option<u64> {
    let said = nvidia_smi(&["--query-gpu=memory.free", "--format=csv,noheader,nounits", &format!("--id={number}")])?;
    let mib: u64 = said.trim().parse().ok()?;
    mib.checked_mul(1 << 20)
}

fn cuda_count() -> usize {
    nvidia_smi(&["--list-gpus"]).map_or(0, |said| said.lines().filter(|line| line.starts_with("GPU ")).count())
}

fn nvidia_smi(arguments: &[&str]) -> Option<String> {
    let said = Command::new("nvidia-smi").args(arguments).stdin(Stdio::null()).output().ok()?;
    String::from_utf8(said.stdout).ok()
}

/// Errors of drivers come with a backtrace.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or("it cannot be opened").to_owned()
}

/// A device in words; kept with every score.
pub fn name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cpu => format!("CPU ({} threads)", rayon::current_num_threads()),
        DeviceLocation::Cuda { gpu_id } => format!("CUDA {gpu_id}"),
        DeviceLocation::Metal { gpu_id } => format!("Metal {gpu_id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_people_name_them() {
        for (text, choice) in [
            ("auto", Choice::Best),
            ("cpu", Choice::Cpu),
            ("cuda", Choice::Cuda(0)),
            ("cuda:3", Choice::Cuda(3)),
            ("metal", Choice::Metal(0)),
        ] {
            assert_eq!(text.parse::<Choice>().unwrap(), choice);
            assert_eq!(choice.to_string().parse::<Choice>().unwrap(), choice);
        }
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda1", "cpu:0", "CUDA"] {
            assert!(text.parse::<Choice>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_opened_says_why_and_leaves_what_was() {
        let chosen = SharedDevice::new(Choice::Cpu);
        // A thousandth GPU is nowhere, whatever the program was built for.
        let error = chosen.choose(Choice::Cuda(1000)).unwrap_err().to_string();
        assert!(error.starts_with("cuda:1000: ") && !error.contains('\n'), "{error}");
        assert_eq!((chosen.choice(), chosen.doubt()), (Choice::Cpu, None));
        let asked = SharedDevice::new(Choice::Cuda(1000));
        assert!(asked.device().is_cpu());
        assert!(asked.doubt().unwrap().contains("cuda:1000"));
    }
}
