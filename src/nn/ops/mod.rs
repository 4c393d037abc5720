//! The operations that networks are written in. What each computes, and how, is its [`Kernels`]' business; here is what it
//! keeps for its gradient and where that gradient goes.
//!
//! Images are channels-last, `[batch, height, width, channels]`, tokens `[batch, tokens, channels]`: contiguous f32. Published
//! weights keep PyTorch's layouts (OIHW, `[out, in]`).
//!
//! * [`conv`]: convolution and fully connected layers. [`norm`]: group, layer and RMS normalization.
//! * [`activation`]: functions of single values, gated ones. [`arithmetic`]: sums, products, scales.
//! * [`attention`]: softmax and attention with masks and biases. [`rope`]: rotary positions. [`embedding`]: rows of a table,
//!   sines and cosines of a time.
//! * [`layout`]: shapes, order of dimensions, parts and joins, padding. [`sampling`]: interpolation and pooling,
//!   [`antialias`]: in one with a blur.
//!
//! [`Kernels`]: super::kernels::Kernels

pub mod activation;
pub mod antialias;
pub mod arithmetic;
pub mod attention;
pub mod conv;
pub mod embedding;
pub mod layout;
pub mod norm;
pub mod rope;
pub mod sampling;
