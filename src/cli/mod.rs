//! The command line. Exit codes: 0 done, 2 bad usage, 1 anything else, with one line of cause on standard error.

mod iqa;
mod pretrain;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Turns the randomness of a generative super-resolution model into training signal (DP²O-SR).
#[derive(Parser)]
#[command(name = "dp2o-studio", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Scores images with quality metrics.
    Iqa(iqa::Arguments),
    /// Trains the embedded backbone from a folder of photographs.
    Pretrain(pretrain::Arguments),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Some(Verb::Iqa(arguments)) => iqa::run(&arguments),
        Some(Verb::Pretrain(arguments)) => pretrain::run(&arguments),
        None => {
            println!("The studio window is not built yet. `dp2o-studio --help` lists what can be run.");
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dp2o-studio: {error}");
            ExitCode::FAILURE
        }
    }
}
