//! AdamW and the norm of all gradients, one launch each over all tensors.
//!
//! Tensors are told by a table of addresses, and cut into pieces of which each block of threads takes one: so that a network of
//! hundreds of small weights costs a launch and not hundreds. Sums are taken in a fixed order, so that they are the same each
//! time.

use std::fmt::{Debug, Formatter};

use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::{CudaFunction, DevicePtr, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::cudarc::nvrtc::compile_ptx;
use candle_core::{Storage, Tensor};

use crate::nn::adamw::{Moments, Trained, Update};
use crate::{Error, Result};

/// Threads of a block.
const THREADS: u32 = 256;
/// Values of a piece.
const PIECE: usize = 64 * THREADS as usize;

/// `piece[i]` is the tensor of a block and the first of its values; `length[t]` are the values of a tensor.
const SOURCE: &str = r#"
#define PIECE 16384ULL
struct Piece { unsigned long long tensor, first; };

extern "C" __global__ void adamw(const Piece* pieces, const unsigned long long* lengths, float* const* weights,
        const float* const* gradients, float* const* firsts, float* const* seconds, float beta1, float beta2, float scale,
        float decay, float rate, float correction2, float eps) {
    const Piece piece = pieces[blockIdx.x];
    float* w = weights[piece.tensor];
    const float* d = gradients[piece.tensor];
    float* m = firsts[piece.tensor];
    float* v = seconds[piece.tensor];
    unsigned long long end = piece.first + PIECE;
    if (end > lengths[piece.tensor]) end = lengths[piece.tensor];
    for (unsigned long long i = piece.first + threadIdx.x; i < end; i += blockDim.x) {
        const float g = d[i] * scale;
        const float first = m[i] * beta1 + g * (1.0f - beta1);
        const float second = v[i] * beta2 + g * g * (1.0f - beta2);
        m[i] = first;
        v[i] = second;
        w[i] = w[i] * decay - first * rate / (sqrtf(second) / correction2 + eps);
    }
}

extern "C" __global__ void squares(const Piece* pieces, const unsigned long long* lengths, const float* const* tensors,
        double* sums) {
    __shared__ double shared[256];
    const Piece piece = pieces[blockIdx.x];
    const float* x = tensors[piece.tensor];
    unsigned long long end = piece.first + PIECE;
    if (end > lengths[piece.tensor]) end = lengths[piece.tensor];
    double sum = 0.0;
    for (unsigned long long i = piece.first + threadIdx.x; i < end; i += blockDim.x) sum += (double)x[i] * (double)x[i];
    shared[threadIdx.x] = sum;
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = shared[0];
}
"#;

/// The two passes, compiled for a device.
pub struct Optimizer {
    device: CudaDevice,
    adamw: CudaFunction,
    squares: CudaFunction,
}

impl Debug for Optimizer {
    fn fmt(&self, f: &mut Formatter) -> std::fmt::Result {
        f.write_str("Optimizer")
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    let error = error.to_string();
    Error::invalid(format!("CUDA: {}", error.lines().next().unwrap_or("failed")))
}

impl Optimizer {
    /// Compiles them. Errors: NVIDIA's compiler at run time (nvrtc) is not there, or refuses.
    pub fn compiled(device: &CudaDevice) -> Result<Self> {
        let ptx = compile_ptx(SOURCE).map_err(|e| failed(format!("{e:?}")))?;
        let stream = device.cuda_stream();
        let module = stream.context().load_module(ptx).map_err(|e| failed(format!("{e:?}")))?;
        let function = |name: &str| module.load_function(name).map_err(|e| failed(format!("{e:?}")));
        Ok(Self { device: device.clone(), adamw: function("adamw")?, squares: function("squares")? })
    }

    /// One AdamW step of all weights.
    pub fn adamw(&self, update: Update, all: &mut [Trained]) -> Result<()> {
        if all.is_empty() {
            return Ok(());
        }
        let mut addresses: [Vec<u64>; 4] = Default::default();
        for Trained { weight, gradient, moments } in all.iter() {
            let Moments::Tensors { first, second } = &**moments else {
                return Err(Error::invalid("the optimizer's moments belong to another device"));
            };
            for (addresses, tensor) in addresses.iter_mut().zip([*weight, *gradient, first, second]) {
                addresses.push(self.address(tensor, weight.elem_count())?);
            }
        }
        let (pieces, lengths) = table(all.iter().map(|one| one.weight.elem_count()));
        let stream = self.device.cuda_stream();
        let upload = |values: &[u64]| self.device.clone_htod(values);
        let (count, pieces, lengths) = (pieces.len() as u32 / 2, upload(&pieces)?, upload(&lengths)?);
        let [weights, gradients, firsts, seconds] = addresses.map(|addresses| upload(&addresses));
        let (weights, gradients, firsts, seconds) = (weights?, gradients?, firsts?, seconds?);
        let Update { beta1, beta2, scale, decay, rate, correction2, eps } = update;
        let numbers = [beta1, beta2, scale, decay, rate, correction2, eps].map(|number| number as f32);
        let mut launch = stream.launch_builder(&self.adamw);
        launch.arg(&pieces).arg(&lengths).arg(&weights).arg(&gradients).arg(&firsts).arg(&seconds);
        for number in &numbers {
            launch.arg(number);
        }
        // SAFETY: the tables name tensors of these lengths, which live until the launch is queued, on this device's one stream.
        unsafe { launch.launch(blocks(count)) }.map_err(|e| failed(format!("{e:?}")))?;
        Ok(())
    }

    /// Euclidean norm of all tensors; waits for the device once.
    pub fn norm(&self, tensors: &[&Tensor]) -> Result<f64> {
        if tensors.is_empty() {
            return Ok(0.0);
        }
        let address = |tensor: &&Tensor| self.address(tensor, tensor.elem_count());
        let addresses = tensors.iter().map(address).collect::<Result<Vec<_>>>()?;
        let (pieces, lengths) = table(tensors.iter().map(|tensor| tensor.elem_count()));
        let count = pieces.len() / 2;
        let stream = self.device.cuda_stream();
        let (pieces, lengths) = (self.device.clone_htod(&pieces)?, self.device.clone_htod(&lengths)?);
        let addresses = self.device.clone_htod(&addresses)?;
        let mut sums = self.device.alloc_zeros::<f64>(count)?;
        let mut launch = stream.launch_builder(&self.squares);
        launch.arg(&pieces).arg(&lengths).arg(&addresses).arg(&mut sums);
        // SAFETY: as above; each block writes one of `count` sums.
        unsafe { launch.launch(blocks(count as u32)) }.map_err(|e| failed(format!("{e:?}")))?;
        Ok(self.device.clone_dtoh(&sums)?.into_iter().sum::<f64>().sqrt())
    }

    /// Where the values of a tensor begin in the device's memory. Errors: it is not there, not f32, not contiguous, or not so long.
    fn address(&self, tensor: &Tensor, count: usize) -> Result<u64> {
        let (storage, layout) = tensor.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else {
            return Err(Error::invalid("weights, gradients and moments are needed on one CUDA device"));
        };
        let Some((start, end)) = layout.contiguous_offsets() else {
            return Err(Error::invalid("contiguous weights and gradients are needed"));
        };
        if end - start != count {
            return Err(Error::invalid("a gradient has another size than its weight"));
        }
        let stream = self.device.cuda_stream();
        let (address, _recorded) = storage.as_cuda_slice::<f32>()?.device_ptr(&stream);
        Ok(address + (start * size_of::<f32>()) as u64)
    }
}

fn blocks(count: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (count, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 }
}

/// Pieces, tensor and first value one after the other, and the length of every tensor.
fn table(lengths: impl Iterator<Item = usize>) -> (Vec<u64>, Vec<u64>) {
    let lengths: Vec<u64> = lengths.map(|length| length as u64).collect();
    let of =
        |(tensor, &length): (usize, &u64)| (0..length).step_by(PIECE).flat_map(move |first| [tensor as u64, first]);
    (lengths.iter().enumerate().flat_map(of).collect(), lengths)
}
