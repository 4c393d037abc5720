//! Weights of published networks: what there is, where it is on this machine, and how to read it.
//!
//! * [`registry`] lists the [`Part`]s known here, with their published hashes ([`of_sd2`], [`of_flux`], [`of_metrics`], [`of_tagger`]); [`store`] finds one, or says what is missing,
//!   where it was looked for and how to get it: a state, known before anything is loaded. [`report`] has it as plain data.
//! * [`open`] reads named tensors from whatever holds them: safetensors (one file or shards), `pth` (every form that PyTorch
//!   writes, as data only), GGUF, or bytes compiled into the program. [`packed`]: matrices that are kept in fewer than 16 bits. [`names`] and [`bfl`] bring the names of one
//!   publisher into another's.
//! * [`add`] takes a person's file into the data directory. [`trust`] says whether weights are the published ones; loaders hand it on, and scores and checkpoints keep it.

pub mod add;
pub mod bfl;
pub mod blocks;
mod bytes;
pub mod compiled_in;
pub mod dtype;
pub mod flax;
mod gguf;
pub mod names;
mod npz;
pub mod of_flux;
pub mod of_metrics;
pub mod of_sd2;
pub mod of_tagger;
pub mod open;
pub mod packed;
pub mod part;
pub mod places;
mod pth;
pub mod registry;
pub mod report;
pub mod safetensors;
mod shards;
pub mod store;
mod stored;
pub mod terms;
pub mod trust;
mod zip;

#[cfg(test)]
mod gguf_tests;
#[cfg(test)]
mod open_tests;
#[cfg(test)]
mod store_tests;

pub use open::Source;
pub use packed::Packed;
pub use part::{Form, Part, Published, Size};
pub use report::PartReport;
pub use store::{Missing, State, Store};
pub use trust::Trust;
