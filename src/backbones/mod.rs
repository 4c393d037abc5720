//! Generative super-resolution models and their samplers.

pub mod mini;
pub mod pretrain;
