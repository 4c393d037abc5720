//! Learned metrics with generated weights against pyiqa, which is another implementation of them.

#[path = "../generated/mod.rs"]
mod generated;

mod nima;
mod others;
mod perceptual;
mod topiq;
