//! Images as people name them on the command line, and the verb that says what they are for.

use std::path::{Path, PathBuf};

use super::client::Client;
use super::out::say;
use crate::engine::protocol::Job;
use crate::input::table;
use crate::words::counted;
use crate::workspace::{Counts, ImageId, ImageRow, SplitChoice, Workspace};
use crate::{Error, Result};

#[derive(clap::Args)]
pub struct Split {
    workspace: PathBuf,
    /// train; validation, which chooses checkpoints; test, which is reported; or auto: held out, and about every third
    /// photograph is validation.
    #[arg(value_name = "SPLIT", value_parser = choice)]
    split: SplitChoice,
    /// Names or numbers of images, as `info --images` lists them. All images of the same photograph go with them.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

#[derive(clap::Args)]
pub struct Prompt {
    workspace: PathBuf,
    /// What is to be seen, such as `stone wall, moss`; an empty one takes it back.
    #[arg(value_name = "TEXT", required_unless_present = "prompts")]
    text: Option<String>,
    /// Names or numbers of images, as `info --images` lists them; all images by default.
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Reads them from a list: CSV with the columns image,prompt.
    #[arg(long, value_name = "CSV", conflicts_with_all = ["text", "images"])]
    prompts: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct Remove {
    workspace: PathBuf,
    /// Names or numbers of images, as `info --images` lists them.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Brings removed images back, with everything made for them.
    #[arg(long)]
    undo: bool,
}

/// Reads what images are to be for.
pub fn choice(text: &str) -> Result<SplitChoice> {
    text.parse()
}

/// Says what images are for.
pub fn split(arguments: &Split) -> Result<()> {
    let mut client = Client::open(&arguments.workspace, &[])?;
    let known = Workspace::open_read_only(&arguments.workspace)?.ledger().images()?;
    let images = named(&known, &arguments.images)?;
    client.run(Job::SetSplits(images.into_iter().map(|id| (id, arguments.split)).collect()))?;
    let counts = Workspace::open_read_only(&arguments.workspace)?.ledger().counts()?;
    let Counts { train_images, validation_images, test_images, .. } = counts;
    say!("{train_images} images to train on, {validation_images} held out for validation, {test_images} for test");
    Ok(())
}

/// Says what is to be seen on images, for backbones that read it.
pub fn prompt(arguments: &Prompt) -> Result<()> {
    let mut client = Client::open(&arguments.workspace, &[])?;
    let known = Workspace::open_read_only(&arguments.workspace)?.ledger().images()?;
    let prompts = match (&arguments.prompts, arguments.text.clone().unwrap_or_default()) {
        (Some(list), _) => listed(&known, list)?,
        (None, text) if arguments.images.is_empty() => known.iter().map(|image| (image.id, text.clone())).collect(),
        (None, text) => named(&known, &arguments.images)?.into_iter().map(|id| (id, text.clone())).collect(),
    };
    let count = prompts.len();
    client.run(Job::SetPrompts(prompts))?;
    say!("{count} images have a prompt; `info --images` shows them");
    Ok(())
}

/// The prompts of a list, by image.
fn listed(known: &[ImageRow], list: &Path) -> Result<Vec<(ImageId, String)>> {
    let named_in = |[name, prompt]: [String; 2]| {
        let id = named(known, &[name]).map_err(|error| Error::file(list, error))?.remove(0);
        Ok((id, prompt))
    };
    table::read(list, ["image", "prompt"])?.into_iter().map(named_in).collect()
}

/// Takes images out of the workspace's view, or brings them back.
pub fn remove(arguments: &Remove) -> Result<()> {
    let mut client = Client::open(&arguments.workspace, &[])?;
    let workspace = Workspace::open_read_only(&arguments.workspace)?;
    let known = if arguments.undo { workspace.ledger().removed_images()? } else { workspace.ledger().images()? };
    let images = named(&known, &arguments.images)?;
    let count = images.len();
    client.run(Job::SetRemoved { images, removed: !arguments.undo })?;
    match arguments.undo {
        true => say!("{} brought back", counted(count, "image")),
        false => say!("{} removed; `remove --undo` brings back", counted(count, "image")),
    }
    Ok(())
}

/// Those of some images that have these names or numbers. Errors: there is none, or several are called that.
pub fn named(images: &[ImageRow], names: &[String]) -> Result<Vec<ImageId>> {
    let find = |name: &String| {
        let number = name.parse().ok().map(ImageId);
        let called: Vec<&ImageRow> = images.iter().filter(|image| image.name == *name).collect();
        match called[..] {
            [one] => Ok(one.id),
            [] => number.filter(|id| images.iter().any(|image| image.id == *id)).ok_or_else(|| {
                Error::invalid(format!("there is no image `{name}`; `info --images` lists names and numbers"))
            }),
            _ => {
                let numbers: Vec<String> = called.iter().map(|image| image.id.0.to_string()).collect();
                Err(Error::invalid(format!(
                    "several images are called `{name}`; say which by number: {}",
                    numbers.join(" ")
                )))
            }
        }
    };
    names.iter().map(find).collect()
}

/// One line an image: number, split, name, source, prompt; the removed ones last.
pub fn list(workspace: &Workspace) -> Result<()> {
    let line = |word: &str, image: &ImageRow| {
        let by_rule = if image.split_by_rule { " (auto)" } else { "" };
        let split = format!("{}{by_rule}", image.split);
        let prompt = if image.prompt.is_empty() { String::new() } else { format!("  “{}”", image.prompt) };
        say!("{word:<12} {:>5}  {split:<17}  {}  {}{prompt}", image.id.0, image.name, image.source);
    };
    workspace.ledger().images()?.iter().for_each(|image| line("image", image));
    workspace.ledger().removed_images()?.iter().for_each(|image| line("removed", image));
    Ok(())
}
