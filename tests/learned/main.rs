//! Learned metrics with generated weights against pyiqa, which is another implementation of them.

mod afine;
mod clip;
#[path = "../generated/mod.rs"]
mod generated;
mod liqe;
mod maniqa;
mod musiq;
mod nima;
mod others;
mod perceptual;
mod qalign;
mod topiq;
