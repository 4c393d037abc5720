//! The neural network operations, each with a forward and a backward.
//!
//! Why not candle's: its CPU convolution reaches a quarter of the machine, several fused operations of candle-nn
//! cut the gradient without an error, and its autograd computes gradients nobody asked for. Tensors, devices and
//! CUDA kernels stay candle's.
//!
//! * [`kernels`]: the CPU kernels, on plain f32 slices, channels-last.
//! * [`ops`]: the same operations on candle tensors, CPU or CUDA, forward and backward.
//! * [`tape`]: records a forward and runs the backward.
//! * [`params`], [`adamw`]: named weights, and the optimizer that updates them in one pass.

pub mod kernels;
