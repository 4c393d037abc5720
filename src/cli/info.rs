//! `info`: what a workspace holds.

use std::path::PathBuf;

use crate::Result;
use crate::method::recipe::Recipe;
use crate::workspace::{Summary, Workspace};

#[derive(clap::Args)]
pub struct Arguments {
    workspace: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::open_read_only(&arguments.workspace)?;
    let recipe: Recipe = workspace.recipe()?;
    let Summary { counts, ledger_bytes, images_bytes, candidates_bytes, runs_bytes, exports_bytes } =
        workspace.summary()?;
    println!("{}", workspace.root().display());
    println!("images       {} ({} held out, {} with HR)", counts.images, counts.held_out_images, counts.images_with_hr);
    println!("candidates   {} (M = {})", counts.candidates, recipe.sampling.m);
    println!("scores       {}", counts.scores);
    println!("overrides    {}", counts.overrides);
    println!("checkpoints  {}", counts.checkpoints);
    for run in workspace.ledger().runs()? {
        let steps = workspace.ledger().steps_since(run.id, 0)?.len();
        let best = workspace.ledger().best_checkpoint(run.id)?;
        let best =
            best.and_then(|c| Some(format!(", best held-out reward {:.4} at step {}", c.held_out_reward?, c.step)));
        println!("run          {}: {}, {steps} steps{}", run.name, run.state.as_str(), best.unwrap_or_default());
    }
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    println!(
        "on disk      ledger {:.1} MiB, images {:.1} MiB, candidates {:.1} MiB, runs {:.1} MiB, exports {:.1} MiB",
        mib(ledger_bytes),
        mib(images_bytes),
        mib(candidates_bytes),
        mib(runs_bytes),
        mib(exports_bytes)
    );
    for finding in workspace.check()? {
        println!("finding      {finding}");
    }
    Ok(())
}
