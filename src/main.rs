//! The `dp2o-studio` program.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: dp2o_studio::memory::Counted = dp2o_studio::memory::Counted;

fn main() -> ExitCode {
    dp2o_studio::memory::keep_freed();
    dp2o_studio::cli::main()
}
