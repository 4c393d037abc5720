//! DP²O Studio: turns the randomness of a generative super-resolution model into training signal.
//!
//! The rooms, from the bottom up; a room may use those above it in this list and none below:
//!
//! * [`input`]: files that a person names. [`fs`]: the one writer of files, the one hash, this program's directories.
//!   [`memory`]: how much of it there is and is taken.
//! * [`imaging`]: pixels in memory and on disk. [`degrade`]: how a low-resolution image comes about.
//! * [`weights`]: weights of published networks: found, verified, read.
//! * [`nn`]: the neural network operations, each with a forward and a backward.
//! * [`networks`]: published networks, a file a paper, shared by backbones and metrics.
//! * [`iqa`]: image quality metrics, full-reference and no-reference.
//! * [`backbones`]: generative super-resolution models and their samplers.
//! * [`method`]: DP²O itself: reward, curation, HPO weights, loss, training, evaluation.
//! * [`report`]: a comparison as tables, figures and a page, for papers and colleagues.
//! * [`workspace`]: everything the product keeps on disk.
//! * [`engine`]: the background thread that runs jobs; commands go in, events come out.
//! * [`cli`]: the command line, and [`app`]: the studio; both are clients of the engine.

pub mod app;
pub mod backbones;
pub mod cli;
pub mod degrade;
pub mod engine;
pub mod error;
pub mod example;
pub mod fs;
pub mod imaging;
pub mod input;
pub mod iqa;
pub mod memory;
pub mod method;
pub mod networks;
pub mod nn;
pub mod random;
pub mod report;
pub mod weights;
mod words;
pub mod workspace;

pub use error::{Error, Permit, Result};
