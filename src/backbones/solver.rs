//! The ways to solve a process, by name.

use crate::words::words;

words! {
    /// How the process is solved.
    pub enum Solver {
        /// First order, one evaluation a step (flow).
        Euler = "euler",
        /// Second order, two evaluations a step but one for the last (flow).
        Heun = "heun",
        /// Deterministic diffusion (Song et al., arXiv 2010.02502, η = 0).
        Ddim = "ddim",
        /// Ancestral diffusion (the same with η = 1; over all timesteps that of Ho et al., arXiv 2006.11239).
        Ddpm = "ddpm",
    }
}
