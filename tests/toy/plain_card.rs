//! The card of a network on pixels that reads no prompt and is not trained from files: what tests of solvers need of a backbone.

use dp2o_studio::backbones::card::{Card, Guidance, Latent, Memory};
use dp2o_studio::backbones::process::Process;
use dp2o_studio::backbones::sampler::Solver;

/// Of images whose sides are multiples of `align`.
pub const fn plain_card(name: &'static str, align: usize, process: Process) -> Card {
    let solvers: &[Solver] = match process {
        Process::Flow(_) => &[Solver::Euler, Solver::Heun],
        Process::Diffusion(_) => &[Solver::Ddim, Solver::Ddpm],
    };
    Card {
        name,
        latent: Latent { channels: 3, factor: 1, align },
        process,
        solvers,
        guidance: Guidance::None,
        prompt: false,
        parts: &[],
        licence: "MIT",
        keeps_latents: false,
        control_noise: 0,
        memory: Memory {
            network: 0,
            around: 0,
            passing: (&[], 0),
            passes_alone: false,
            let_go: 0,
            adapter: 0,
            trained: 0,
            picture: |px, _| 64 * px[0] * px[1],
        },
    }
}
