//! Prompts by the tag model: what it sees on each LR image.

use std::path::Path;

use super::images;
use super::sampling::wanted;
use crate::backbones::tagger::{self, Tagger};
use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::failures::Failures;
use crate::engine::progress::Meter;
use crate::engine::protocol::{Change, Level, Outcome};
use crate::engine::reading::Watched;
use crate::workspace::{ImageId, ImageRow};
use crate::{Error, Result};

/// Writes the prompts of `only` some images, or of all that have none. Errors: the model is not there.
pub fn tag(context: &mut Context, only: Option<&[ImageId]>) -> Result<Outcome> {
    let mut rows = wanted(context, only)?;
    rows.retain(|row| only.is_some() || row.prompt.is_empty());
    let mut failed = Failures::of(rows.len());
    if rows.is_empty() {
        context.log(Level::Info, "every image has a prompt; name images to have theirs written anew");
        return Ok(Outcome::Tagged { prompts: Vec::new(), failed });
    }
    let tagger = open(context)?;
    let mut meter = Meter::new("tagging", "images", rows.len());
    context.report(Some(meter.now()));
    images::say_unread(context)?;
    let mut prompts = Vec::new();
    for row in &rows {
        context.checkpoint()?;
        match of_image(context, &tagger, row) {
            // Kept one by one: what is done stays done.
            Ok(prompt) => {
                let workspace = context.workspace()?;
                // What a person said of it meanwhile counts.
                if only.is_some() || workspace.ledger().image(row.id)?.prompt.is_empty() {
                    workspace.set_prompts(&[(row.id, prompt.clone())])?;
                    context.changed(Change::Prompts);
                    prompts.push((row.name.clone(), prompt));
                }
            }
            Err(error) if error.ends_job() => return Err(error),
            Err(error) => {
                let cause = format!("{}: not tagged: {error}", row.name);
                context.log(Level::Warning, cause.clone());
                failed.add(cause);
            }
        }
        context.advance(&mut meter, 1);
    }
    Ok(Outcome::Tagged { prompts, failed })
}

fn open(context: &Context) -> Result<Tagger> {
    let store = context.store();
    match store.lacking(tagger::parts(&store)).first() {
        Some(lacking) => Err(Error::invalid(format!(
            "the tag model is not here: {lacking}; without it prompts are typed (`prompt`), of a text file beside a picture, or empty"
        ))),
        None => {
            let parts = tagger::parts(&store);
            let _watched = Watched::new(context, "opening the tag model", store.bytes(parts));
            Tagger::open(&store, context.models.compute())
        }
    }
}

fn of_image(context: &Context, tagger: &Tagger, row: &ImageRow) -> Result<String> {
    tagger.prompt(&damage::read_image(context.workspace()?.root(), row, &row.lr_path)?)
}

/// Writes the tag model's files as one small one. Errors: they are not here, or not of this model.
pub fn convert(context: &Context, path: &Path) -> Result<Outcome> {
    let store = context.store();
    let _watched = Watched::new(context, "converting the tag model", store.bytes(tagger::parts(&store)));
    tagger::convert(&store, path)?;
    Ok(Outcome::Written { files: vec![path.to_owned()], failed: Failures::of(1) })
}
