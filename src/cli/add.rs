//! The verb `add`.

use std::path::PathBuf;

use super::client::Client;
use super::images;
use super::out::say;
use super::out::write_json;
use crate::Result;
use crate::engine::protocol::{AddImages, Job, Outcome, Role};
use crate::imaging::output;
use crate::workspace::SplitChoice;

#[derive(clap::Args)]
#[command(after_long_help = PAIRS_HELP)]
pub struct Arguments {
    workspace: PathBuf,
    /// Image files, or folders of them.
    #[arg(required_unless_present = "pairs")]
    paths: Vec<PathBuf>,
    /// Whether they are low-resolution inputs, or high-resolution ground truths. By default what the names of files and
    /// folders say (lr/, LR_x4/, LQ/, X_LR4.png), else HR.
    #[arg(long, value_enum)]
    role: Option<RoleArgument>,
    /// Enters the sub-folders of folders.
    #[arg(long, short)]
    recursive: bool,
    /// Adds the pairs of a list: CSV with the columns lr,hr or JSONL with "lr" and "hr"; paths are relative to it.
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// Takes the pairs of the list though the HR, reduced, does not resemble the LR.
    #[arg(long, requires = "pairs")]
    trust_pairs: bool,
    /// Keeps them away from training; about every third photograph is for validation, the others for test.
    #[arg(long)]
    held_out: bool,
    /// What they are for: train; validation, which chooses checkpoints; test, which is reported; auto is --held-out.
    #[arg(long, value_name = "SPLIT", value_parser = images::choice, conflicts_with = "held_out")]
    split: Option<SplitChoice>,
    /// Takes square crops of this many HR pixels; 0 takes whole images. The recipe's size by default.
    #[arg(long, value_name = "PX")]
    crop: Option<usize>,
    /// Crops of each image.
    #[arg(long, value_name = "N", default_value_t = 1)]
    crops: usize,
    /// Degradation that makes LR from HR: bicubic_x4, light_x4, realesrgan_x4 or realesrgan_x4_420. The recipe's by default.
    #[arg(long, value_name = "PRESET")]
    degrade: Option<String>,
    /// Prompts for backbones that read them: CSV with the columns image,prompt. Else what a text file beside an image says
    /// (photo.txt beside photo.png).
    #[arg(long, value_name = "CSV")]
    prompts: Option<PathBuf>,
    /// Writes what came of every file to this JSON file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Names of a kind that are printed.
const NAMES: usize = 20;

const PAIRS_HELP: &str = "\
Your own pairs: give the folders of LR and HR in one call or one after the other, in any order. An HR becomes the ground
truth of the LR whose name is the same but for marks of role and scale (0801x4.png and 0801.png, X_LR4.png and X_HR.png),
that is a quarter of its size (HR is trimmed to a multiple of 4), and that it resembles once it is reduced. Folders beside
each other (lr/ and hr/, LR_bicubic/X4/ and HR/, LQ/ and GT/) decide between equals; otherwise nothing is joined, and both
are named. Crops cut both alike.

  dp2o-studio add WS DIV2K/DIV2K_train_LR_bicubic/X4 DIV2K/DIV2K_train_HR --crop 0
  dp2o-studio add WS DRealSR/Test_x4 --recursive
  dp2o-studio add WS --pairs pairs.csv";

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum RoleArgument {
    Lr,
    Hr,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    output::check(arguments.json.as_deref())?;
    let mut client = Client::open(&arguments.workspace, &[])?;
    let crop_px = arguments.crop.unwrap_or(client.recipe().data.crop_px);
    let images = AddImages {
        paths: arguments.paths.clone(),
        pairs: arguments.pairs.clone(),
        trust_pairs: arguments.trust_pairs,
        recursive: arguments.recursive,
        role: arguments.role.map(|role| match role {
            RoleArgument::Lr => Role::Lr,
            RoleArgument::Hr => Role::Hr,
        }),
        split: match arguments.held_out {
            true => SplitChoice::ByRule,
            false => arguments.split.unwrap_or_default(),
        },
        crop_px,
        crops: arguments.crops,
        degradation: arguments.degrade.clone(),
        prompts: arguments.prompts.clone(),
    };
    client.finish(Job::Add(images), |outcome| {
        let Outcome::Added(added) = outcome else { return Ok(()) };
        say!("{}", added.headline());
        for detail in added.details(NAMES) {
            say!("{}", detail.heading);
            detail.lines.iter().for_each(|line| say!("  {line}"));
        }
        write_json(arguments.json.as_deref(), added)
    })
}
