//! The neural network operations, each with a forward and a backward.
//!
//! Why not candle's: its CPU convolution reaches a quarter of the machine, several fused operations of candle-nn
//! cut the gradient without an error, and its autograd computes gradients nobody asked for. Tensors, devices and
//! CUDA kernels stay candle's.
//!
//! * [`kernels`]: what computes: our own kernels on the CPU, candle's operations elsewhere, behind one trait.
//! * [`params`]: named weights. [`layers`]: which of them belong together, and their shapes.
//! * [`tape`]: records a forward and runs the backward. [`ops`]: the operations it records.
//! * [`adamw`]: its update, one pass over the weights. [`optimizer`]: AdamW, clip and moving average of what is trained.
//!   [`lora`]: low-rank training of any network.
//! * [`workers`]: several devices that share work.
//! * [`state`]: what going on with a training needs, as a file. [`checkpoint`]: what was trained, as a file. [`tensors`]: the
//!   files of both.

pub mod adamw;
pub mod checkpoint;
pub mod kernels;
pub mod layers;
pub mod lora;
pub mod ops;
pub mod optimizer;
pub mod params;
pub mod state;
mod state_old;
pub mod tape;
pub mod tensors;
pub mod workers;
