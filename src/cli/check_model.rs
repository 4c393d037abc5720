//! `check-model`: whether a backbone's files do what they should.

use std::path::PathBuf;

use super::client::{Client, assign, sampling_setting};
use crate::engine::protocol::{CheckModel, Job, Mark, Outcome};
use crate::method::presets;
use crate::{Error, Result};

#[derive(clap::Args)]
pub struct Arguments {
    /// The backbone; --weights says where its files are.
    #[arg(value_name = "BACKBONE")]
    backbone: String,
    /// A photograph, of which the middle is taken; one of those that come with the program by default.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// A file of its adapter (ControlNet) to compare with its names; given twice, the second should be rewarded more.
    #[arg(long, value_name = "FILE")]
    adapter: Vec<PathBuf>,
    /// What is to be seen on the photograph.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prompt: String,
    /// Steps of each output from noise to picture; by default as the paper's.
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Outputs of each of two adapters. Without a GPU each takes minutes: --seeds 1 --steps 20 is quicker.
    #[arg(long, default_value_t = 4)]
    seeds: usize,
    /// Changes a setting of sampling or reward.
    #[arg(long, value_name = "KEY=VALUE", value_parser = sampling_setting)]
    set: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut recipe = presets::of_backbone(&arguments.backbone)?;
    recipe.set("sampling.m", &arguments.seeds.max(2).to_string())?;
    arguments.steps.map_or(Ok(()), |steps| recipe.set("sampling.steps", &steps.to_string()))?;
    assign(&mut recipe, &arguments.set)?;
    let job = Job::CheckModel(CheckModel {
        picture: arguments.picture.clone(),
        adapters: arguments.adapter.clone(),
        prompt: arguments.prompt.clone(),
        seeds: arguments.seeds,
        recipe: Box::new(recipe),
    });
    let Outcome::Checked(check) = Client::start()?.run(job)? else { return Ok(()) };
    match check.findings.iter().filter(|finding| finding.mark == Mark::Bad).count() {
        0 => Ok(()),
        bad => Err(Error::invalid(format!("{bad} of what was looked at is not as it should be"))),
    }
}
