//! The devices to compute on: what was asked for, opened when it is first needed, and why it is not another.

use std::fmt::{Display, Formatter};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Device, DeviceLocation};
use serde::{Deserialize, Serialize};

use crate::nn::kernels::{Compute, cuda_device};
use crate::nn::workers::Worker;
use crate::{Error, Result, memory};

/// What to compute on, as a person names it: `auto`, `cpu`, `cuda`, `cuda:1`, `metal`; or several devices that share the work,
/// `cpu:2`, `cuda:0,cuda:1`. Results do not depend on how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Choice {
    /// The first CUDA or Metal device if the program was built for it and there is one, else the CPU.
    #[default]
    Best,
    Cpu,
    /// A CUDA device, by its number.
    Cuda(usize),
    /// A Metal device, by its number.
    Metal(usize),
    /// The CPU as so many devices, each with its share of the threads.
    Cpus(usize),
    /// Several CUDA devices, by their numbers; on the first one is trained what the others compute gradients for.
    Cudas(Vec<usize>),
}

impl FromStr for Choice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbered = |rest: &str| match rest.strip_prefix(':') {
            None if rest.is_empty() => Some(0),
            None => None,
            Some(number) => number.parse().ok(),
        };
        let family = |text: &str, name: &str| text.strip_prefix(name).and_then(numbered);
        let several = || {
            let numbers: Vec<usize> = text.split(',').map(|one| family(one, "cuda")).collect::<Option<_>>()?;
            let is_twice = (1..numbers.len()).any(|i| numbers[..i].contains(&numbers[i]));
            (!is_twice).then_some(Self::Cudas(numbers))
        };
        match text {
            "auto" => Some(Self::Best),
            "cpu" | "cpu:1" => Some(Self::Cpu),
            _ if text.contains(',') => several(),
            _ => family(text, "cuda")
                .map(Self::Cuda)
                .or_else(|| family(text, "metal").map(Self::Metal))
                .or_else(|| family(text, "cpu").filter(|&count| count > 1).map(Self::Cpus)),
        }
        .ok_or_else(|| {
            Error::invalid(format!(
                "{text}: no device; there are auto, cpu, cuda, cuda:1 …, metal, and of several that share the work cpu:2 … and \
                 cuda:0,cuda:1 …"
            ))
        })
    }
}

impl Display for Choice {
    fn fmt(&self, f: &mut Formatter) -> std::fmt::Result {
        match self {
            Self::Best => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal(number) => write!(f, "metal:{number}"),
            Self::Cpus(count) => write!(f, "cpu:{count}"),
            Self::Cudas(numbers) => {
                f.write_str(&numbers.iter().map(|number| format!("cuda:{number}")).collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl Choice {
    /// Opens it: at least one device. Errors: the program was not built for it, or there is none; in one line.
    fn open(&self) -> Result<Vec<Worker>> {
        let alone = |device: Device| Worker::alone(Compute::on(&device));
        match self {
            Self::Best => Opened::best().map(|opened| opened.workers),
            Self::Cpu => Ok(vec![alone(Device::Cpu)]),
            Self::Cuda(number) => Ok(vec![alone(cuda(*number)?)]),
            Self::Metal(number) => {
                built(self, cfg!(feature = "metal"), "Metal")?;
                Ok(vec![alone(Device::new_metal(*number).map_err(|error| failed(self, error))?)])
            }
            Self::Cpus(count) => {
                let threads = rayon::current_num_threads();
                // One thread may be two devices, for whoever wants to see that results are the same.
                if *count > threads.max(2) {
                    return Err(Error::invalid(format!("{self}: there are {threads} threads to share")));
                }
                let share = |i: usize| threads / count + usize::from(i < threads % count);
                (0..*count).map(|i| Worker::with_threads(Compute::cpu(), share(i))).collect()
            }
            Self::Cudas(numbers) => {
                // What of the work is done on the CPU is shared by them.
                let threads = rayon::current_num_threads().div_ceil(numbers.len().max(1));
                let one = |number: &usize| Worker::with_threads(Compute::on(&cuda(*number)?), threads);
                numbers.iter().map(one).collect()
            }
        }
    }

    /// How many devices it is, and how many of them compute in the same memory.
    fn counts(&self) -> [usize; 2] {
        match self {
            Self::Cpus(count) => [*count; 2],
            Self::Cudas(numbers) => [numbers.len(), 1],
            Self::Best | Self::Cpu | Self::Cuda(_) | Self::Metal(_) => [1, 1],
        }
    }

    /// Those that this machine has and this program was built for, as far as can be told without opening them.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Best, Self::Cpu];
        if rayon::current_num_threads() > 1 {
            all.push(Self::Cpus(2));
        }
        if cfg!(feature = "cuda") {
            let count = cuda_count();
            all.extend((0..count).map(Self::Cuda));
            if count > 1 {
                all.push(Self::Cudas((0..count).collect()));
            }
        }
        if cfg!(feature = "metal") {
            all.push(Self::Metal(0));
        }
        all
    }
}

fn built(choice: &Choice, is_built: bool, name: &str) -> Result<()> {
    match is_built {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{choice}: this program was built without {name}; build it with --features {}, or compute on the CPU (--device \
             cpu)",
            name.to_lowercase()
        ))),
    }
}

fn cuda(number: usize) -> Result<Device> {
    let choice = Choice::Cuda(number);
    built(&choice, cfg!(feature = "cuda"), "CUDA")?;
    cuda_device(number).map_err(|error| failed(&choice, error))
}

/// Errors of drivers come with a backtrace.
fn failed(choice: &Choice, error: impl Display) -> Error {
    let error = error.to_string();
    Error::invalid(format!("{choice}: {}", error.lines().next().unwrap_or("it cannot be opened")))
}

/// What every lane of an engine computes on; clones are handles of the same. Work that is shared is shared by all devices, the
/// rest is the first one's.
#[derive(Clone, Debug, Default)]
pub struct SharedDevice(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    choice: Choice,
    opened: Option<Opened>,
}

#[derive(Clone, Debug)]
struct Opened {
    /// At least one.
    workers: Vec<Worker>,
    /// Why it is not what one would expect.
    doubt: Option<String>,
}

impl Opened {
    fn of(choice: &Choice) -> Result<Self> {
        match choice {
            Choice::Best => Self::best(),
            _ => Ok(Self::with(choice.open()?)),
        }
    }

    fn with(workers: Vec<Worker>) -> Self {
        let of = |worker: &Worker| {
            let Compute { doubt, .. } = &worker.compute;
            doubt.as_ref().map(|doubt| format!("{}: {doubt}", name(std::slice::from_ref(worker))))
        };
        let doubt = workers.iter().find_map(of);
        Self { workers, doubt }
    }

    fn best() -> Result<Self> {
        let families = [(cfg!(feature = "cuda"), Choice::Cuda(0)), (cfg!(feature = "metal"), Choice::Metal(0))];
        let mut doubt = None;
        for (_, choice) in families.into_iter().filter(|(is_built, _)| *is_built) {
            match choice.open() {
                Ok(workers) => return Ok(Self::with(workers)),
                Err(error) => doubt = Some(format!("computing on the CPU: {error}")),
            }
        }
        Ok(Self { workers: Choice::Cpu.open()?, doubt })
    }

    fn cpu(doubt: String) -> Self {
        Self { workers: vec![Worker::alone(Compute::cpu())], doubt: Some(doubt) }
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
        let Inner { choice, opened } = &mut *inner;
        let instead = |error: Error| Opened::cpu(format!("computing on the CPU instead: {error}"));
        opened.get_or_insert_with(|| Opened::of(choice).unwrap_or_else(instead)).clone()
    }

    /// The devices, opened now if they were not before; the CPU where what was chosen cannot be opened, see
    /// [`doubt`](Self::doubt). At least one.
    pub fn workers(&self) -> Vec<Worker> {
        self.opened().workers
    }

    /// The first device and what computes on it, on all threads.
    pub fn compute(&self) -> Compute {
        self.opened().workers.first().map_or_else(Compute::cpu, |first| first.compute.clone())
    }

    /// Why the device is not what was asked for, or not the GPU that the program was built for.
    pub fn doubt(&self) -> Option<String> {
        self.opened().doubt
    }

    pub fn choice(&self) -> Choice {
        self.inner().choice.clone()
    }

    /// Computes on another device from now on; who has models open opens them anew. Errors: it cannot be opened, and all
    /// stays as it was.
    pub fn choose(&self, choice: Choice) -> Result<()> {
        let opened = Opened::of(&choice)?;
        *self.inner() = Inner { choice, opened: Some(opened) };
        Ok(())
    }

    /// Whether it computes on the CPU, as far as that is known without opening it.
    pub fn is_cpu(&self) -> bool {
        let inner = self.inner();
        match (&inner.opened, &inner.choice) {
            (Some(opened), _) => opened.workers.iter().all(|worker| worker.compute.device.is_cpu()),
            (None, Choice::Cpu | Choice::Cpus(_)) => true,
            (None, Choice::Best) => !cfg!(any(feature = "cuda", feature = "metal")),
            (None, Choice::Cuda(_) | Choice::Cudas(_) | Choice::Metal(_)) => false,
        }
    }

    /// Bytes that are free where it computes, without opening it: of several devices on the one that has the least.
    pub fn free_bytes(&self) -> Option<u64> {
        let inner = self.inner();
        match (&inner.opened, &inner.choice) {
            (Some(opened), _) => opened.workers.iter().filter_map(|worker| free_bytes(&worker.compute.device)).min(),
            (None, Choice::Cuda(number)) => free_on_cuda(*number),
            (None, Choice::Cudas(numbers)) => numbers.iter().filter_map(|&number| free_on_cuda(number)).min(),
            (None, Choice::Best) => {
                cfg!(feature = "cuda").then(|| free_on_cuda(0)).flatten().or_else(memory::available_bytes)
            }
            (None, Choice::Cpu | Choice::Cpus(_) | Choice::Metal(_)) => memory::available_bytes(),
        }
    }

    /// How many devices there are, and how many of them compute in the memory of the first; without opening them.
    pub fn counts(&self) -> [usize; 2] {
        let inner = self.inner();
        match &inner.opened {
            Some(Opened { workers, .. }) => [workers.len(), sharing(workers)],
            None => inner.choice.counts(),
        }
    }
}

/// How many devices compute in the memory of the first.
pub fn sharing(workers: &[Worker]) -> usize {
    workers.iter().filter(|worker| worker.shares_memory_with(&workers[0])).count().max(1)
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

/// Devices in words; kept with every score.
pub fn name(workers: &[Worker]) -> String {
    let threads: usize = workers.iter().map(Worker::thread_count).sum();
    let numbers = |of: &dyn Fn(DeviceLocation) -> Option<usize>| {
        let numbers = workers.iter().filter_map(|worker| of(worker.compute.device.location()));
        numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(", ")
    };
    match workers.first().map_or(DeviceLocation::Cpu, |first| first.compute.device.location()) {
        DeviceLocation::Cpu if workers.len() > 1 => format!("CPU ({} devices, {threads} threads)", workers.len()),
        DeviceLocation::Cpu => format!("CPU ({threads} threads)"),
        DeviceLocation::Cuda { .. } => format!(
            "CUDA {}",
            numbers(&|location| if let DeviceLocation::Cuda { gpu_id } = location { Some(gpu_id) } else { None })
        ),
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
            ("cpu:2", Choice::Cpus(2)),
            ("cuda:1,cuda:0", Choice::Cudas(vec![1, 0])),
        ] {
            assert_eq!(text.parse::<Choice>().unwrap(), choice);
            assert_eq!(choice.to_string().parse::<Choice>().unwrap(), choice);
        }
        assert_eq!("cpu:1".parse::<Choice>().unwrap(), Choice::Cpu);
        for text in [
            "",
            "gpu",
            "cuda:",
            "cuda:x",
            "cuda1",
            "cpu:0",
            "cpu:",
            "CUDA",
            "cuda:0,",
            "cuda:0,cuda:0",
            "cuda:0,cpu",
            "cpu,cpu",
        ] {
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
        assert!(asked.compute().device.is_cpu());
        assert!(asked.doubt().unwrap().contains("cuda:1000"));
        let pair = Choice::Cudas(vec![0, 1000]);
        assert!(chosen.choose(pair).unwrap_err().to_string().starts_with("cuda:"));
    }

    #[test]
    fn the_cpu_is_several_devices_that_share_its_threads_and_memory() {
        let chosen = SharedDevice::new(Choice::Cpus(2));
        assert_eq!(chosen.counts(), [2, 2], "known before it is opened");
        assert_eq!(SharedDevice::new(Choice::Cudas(vec![0, 1, 4])).counts(), [3, 1]);
        let (workers, threads) = (chosen.workers(), rayon::current_num_threads());
        assert_eq!((workers.len(), sharing(&workers), chosen.doubt()), (2, 2, None));
        assert_eq!(workers.iter().map(Worker::thread_count).sum::<usize>(), threads.max(2));
        assert_eq!(name(&workers), format!("CPU (2 devices, {} threads)", threads.max(2)));
        let error = chosen.choose(Choice::Cpus(threads + 2)).unwrap_err().to_string();
        assert!(error.contains(&format!("there are {threads} threads")), "{error}");
        assert!(chosen.choose(Choice::Cpu).is_ok());
        assert_eq!((chosen.workers().len(), chosen.counts()), (1, [1, 1]));
        assert_eq!(name(&chosen.workers()), format!("CPU ({threads} threads)"));
    }
}
