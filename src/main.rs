//! The `dp2o-studio` program.

use std::process::ExitCode;

/// Keeps freed memory for the next step: a training step allocates the same large buffers again and again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    dp2o_studio::cli::main()
}
