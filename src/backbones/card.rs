//! What is known of a backbone before a byte of it is loaded: its space, its process, what can solve it, and which settings
//! mean nothing to it.
//!
//! The recipe's check, the identity of candidates and the studio's controls all ask here.

use super::Pass;
use super::process::Process;
use super::solver::Solver;
use crate::Error;
use crate::weights::Part;

/// A backbone of this program.
#[derive(Debug)]
pub struct Card {
    /// The name in recipes and files.
    pub name: &'static str,
    /// The space in which it works.
    pub latent: Latent,
    /// Its noising process.
    pub process: Process,
    /// What can solve that.
    pub solvers: &'static [Solver],
    /// How it is led towards its prompt.
    pub guidance: Guidance,
    /// Whether it reads a prompt.
    pub prompt: bool,
    /// What it is made of; nothing where its weights are part of the program.
    pub parts: &'static [&'static Part],
    /// Under which its weights may be used.
    pub licence: &'static str,
    /// Whether networks of its own make latents and what a picture is drawn under: then both are kept as pictures are sampled.
    pub keeps_latents: bool,
    /// Channels of the noise that what it is shown of the LR image is drawn with, anew for each seed; 0 where that is not drawn.
    pub control_noise: usize,
    /// What it takes of memory.
    pub memory: Memory,
}

/// What a backbone takes of memory, as far as that is known before it is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Values of the frozen network that predicts.
    pub network: usize,
    /// Values of the networks around it: encoders of pictures and text, decoder.
    pub around: usize,
    /// Those of `around` that are loaded while texts are encoded and dropped then, with their values; nothing where all stay.
    pub passing: (&'static [&'static Part], usize),
    /// Whether those are loaded while the network that predicts is not.
    pub passes_alone: bool,
    /// Values of the networks, of all that stay, that a step of training on the CPU lets go of before what is trained predicts, and
    /// reads again in the next; where there are such, so it does with the reference, and, before there are gradients, with the
    /// rest of the networks.
    pub let_go: usize,
    /// Values of the adapter that training changes: nothing reads what the others say.
    pub trained: usize,
    /// Values of its adapter.
    pub adapter: usize,
    /// Bytes that a picture of this height and width in pixels takes at its peak, beside the weights.
    pub picture: fn([usize; 2], Pass) -> usize,
}

/// The space that a backbone works in, beside the pixels of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latent {
    /// Values of a place.
    pub channels: usize,
    /// Pixels that a place is wide and high. Where that is 1, decoding makes each pixel from the same place alone.
    pub factor: usize,
    /// Pictures are padded to multiples of this many pixels, itself a multiple of `factor`.
    pub align: usize,
}

impl Latent {
    /// Height and width in latents of a picture in pixels, with its padding.
    pub fn size(&self, px: [usize; 2]) -> [usize; 2] {
        px.map(|side| side.next_multiple_of(self.align) / self.factor)
    }
}

/// How a prediction is led towards the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guidance {
    None,
    /// Away from a prediction under the negative prompt (Ho & Salimans, arXiv 2207.12598).
    ClassifierFree,
    /// The scale is an input of the network (Meng et al., arXiv 2210.03142).
    Embedded,
}

impl Card {
    /// Why the recipe's setting of this key means nothing to the backbone, as the end of "without effect, as …"; `None` where
    /// it is used.
    pub fn why_unused(&self, key: &str) -> Option<String> {
        let name = self.name;
        match (key, self.guidance) {
            ("sampling.guidance", Guidance::None) => Some(format!("{name} was not trained for guidance")),
            ("sampling.latents", _) if !self.keeps_latents => Some(format!("the latents of {name} are its pictures")),
            ("sampling.precision", _) if self.memory.network == 0 => {
                Some(format!("{name} is trained as a whole, and computes in f32"))
            }
            ("sampling.negative_prompt", _) if !self.prompt => Some(format!("{name} reads no text")),
            ("sampling.negative_prompt", Guidance::None | Guidance::Embedded) => {
                Some(format!("the guidance of {name} leads away from nothing"))
            }
            _ => None,
        }
    }

    /// Why a solver cannot sample the backbone; `None` where it can.
    pub fn why_unsolved_by(&self, solver: Solver) -> Option<Error> {
        (!self.solvers.contains(&solver)).then(|| self.refuse(solver))
    }

    /// The error of a solver that cannot.
    pub fn refuse(&self, solver: Solver) -> Error {
        let kind = if matches!(self.process, Process::Flow(_)) { "flow" } else { "diffusion" };
        let solvers: Vec<_> = self.solvers.iter().map(|solver| solver.word()).collect();
        Error::invalid(format!(
            "{} does not solve the {kind} of {}; {} do",
            solver.word(),
            self.name,
            solvers.join(" and ")
        ))
    }
}
