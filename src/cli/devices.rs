//! `--device`: what every command, and the studio, computes on.

use std::sync::OnceLock;

use crate::Result;
use crate::engine::devices::{Choice, SharedDevice};

/// The option of every command about the device.
#[derive(clap::Args)]
#[command(next_help_heading = "Device")]
pub struct Options {
    /// What to compute on: auto (a GPU if the program was built for one and there is one), cpu, cuda, cuda:N, metal; or several
    /// that share the work: cuda:0,cuda:1, or cpu:2, the CPU as two devices. What is named and cannot be used is an error.
    #[arg(long, global = true, value_name = "DEVICE")]
    device: Option<Choice>,
}

static CHOSEN: OnceLock<SharedDevice> = OnceLock::new();

impl Options {
    /// Makes this the device of the process; returns what was named. Errors: it cannot be opened.
    pub fn keep(self) -> Result<Option<Choice>> {
        if let Some(choice) = &self.device {
            chosen().choose(choice.clone())?;
        }
        Ok(self.device)
    }
}

/// What this process computes on.
pub fn chosen() -> SharedDevice {
    CHOSEN.get_or_init(SharedDevice::default).clone()
}
