//! `tag`: prompts by the tag model.

use std::path::PathBuf;

use super::client::Client;
use super::out::say;
use super::weights::store;
use super::{images, terms};
use crate::backbones::tagger;
use crate::engine::protocol::{Job, Outcome};
use crate::imaging::output;
use crate::workspace::Workspace;
use crate::{Error, Result};

#[derive(clap::Args)]
pub struct Arguments {
    #[arg(required_unless_present = "convert")]
    workspace: Option<PathBuf>,
    /// Names or numbers of images, as `info --images` lists them, whose prompts are written anew; by default those of all images
    /// without one.
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Writes RAM and DAPE as one small file, ram-dape.safetensors, and does nothing else; `weights add` puts it where it is found.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["workspace", "images"])]
    convert: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    terms::confirm(tagger::parts(store()))?;
    if let Some(path) = &arguments.convert {
        output::check([path.as_path()])?;
        return Client::start()?.finish(Job::ConvertTagger { path: path.clone() }, |_| {
            say!("{}", path.display());
            Ok(())
        });
    }
    let dir = arguments.workspace.as_ref().ok_or_else(|| Error::invalid("no workspace is named"))?;
    let mut client = Client::open(dir, &[])?;
    let images = match arguments.images.as_slice() {
        [] => None,
        names => Some(images::named(&Workspace::open_read_only(dir)?.ledger().images()?, names)?),
    };
    client.finish(Job::Tag { images }, |outcome| {
        if let Outcome::Tagged { prompts, .. } = outcome {
            prompts.iter().for_each(|(name, prompt)| say!("{name}: {prompt}"));
        }
        Ok(())
    })
}
