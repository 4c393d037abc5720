//! `pretrain`: trains the embedded backbone.

use std::path::PathBuf;
use std::time::Duration;

use super::devices;
use super::out::say;
use crate::backbones::pretrain::{self, Options, Progress, Reduction};
use crate::imaging::output;
use crate::{Error, Result};

#[derive(clap::Args)]
pub struct Arguments {
    /// Folder of photographs to train on.
    #[arg(long)]
    data: PathBuf,
    /// Folder of photographs that are not trained on; the loss on them is printed, to see by whether it still gets better.
    #[arg(long, value_name = "DIR")]
    held_out: Option<PathBuf>,
    /// How LR patches are made: bicubic_x4, light_x4, realesrgan_x4, realesrgan_x4_420; of several each patch draws one.
    #[arg(long, value_name = "PRESET,…", value_delimiter = ',', default_value = "bicubic_x4")]
    degradation: Vec<String>,
    /// Weights to start from (safetensors) instead of random ones.
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Training time in hours, those of interrupted runs included.
    #[arg(long)]
    hours: f64,
    /// The weights to write (safetensors, f16); OUT.state beside it holds what is needed to resume.
    #[arg(long)]
    out: PathBuf,
    /// Patches of 64×64 pixels a step.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    #[arg(long, default_value_t = 4e-4)]
    learning_rate: f64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    if !(arguments.hours > 0.0 && arguments.hours.is_finite()) || arguments.batch == 0 {
        return Err(Error::invalid("--hours and --batch must be above 0"));
    }
    if !(arguments.learning_rate > 0.0 && arguments.learning_rate < 1.0) {
        return Err(Error::invalid("--learning-rate must be above 0 and below 1"));
    }
    output::check([arguments.out.as_path()])?;
    let options = Options {
        data: arguments.data.clone(),
        held_out: arguments.held_out.clone(),
        reductions: arguments.degradation.iter().map(|name| Reduction::named(name)).collect::<Result<_>>()?,
        init: arguments.init.clone(),
        hours: arguments.hours,
        out: arguments.out.clone(),
        batch: arguments.batch,
        learning_rate: arguments.learning_rate,
        ema: 0.999,
        seed: arguments.seed,
        save_every: Duration::from_secs(120),
    };
    let total_secs = options.hours * 3600.0;
    let last = pretrain::pretrain(&options, &devices::chosen().compute().device, |p| {
        if p.step % 50 == 0 {
            let Progress { step, seconds, loss, gradient_norm, held_out_loss } = p;
            let held_out = held_out_loss.map(|loss| format!(", held-out loss {loss:.5}")).unwrap_or_default();
            say!("step {step} loss {loss:.4} gradient {gradient_norm:.3}{held_out}, {seconds:.0} of {total_secs:.0} s");
        }
        true
    })?;
    say!("{} steps, loss {:.4}, written to {}", last.step, last.loss, options.out.display());
    Ok(())
}
