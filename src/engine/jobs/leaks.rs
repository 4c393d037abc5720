//! Pictures that are to be trained on and held out at once under different files: the hash of a file does not tell them, how
//! they look does. That is a sign and no proof, so it is said and nothing is refused.

use std::collections::{BTreeSet, HashSet};

use crate::Result;
use crate::engine::context::Context;
use crate::engine::progress::Meter;
use crate::engine::protocol::Level;
use crate::imaging::{decode, fingerprint};
use crate::workspace::{ImageId, ImageRow};

/// Pairs written out in a warning.
const NAMED: usize = 4;
/// Images whose looks are noted in one go.
const AT_ONCE: usize = 64;

/// Warns of images among `of` that look like one on the other side of training and held out.
pub fn warn(context: &Context, of: &HashSet<ImageId>) -> Result<()> {
    complete(context)?;
    let images = context.workspace()?.ledger().images()?;
    let (new, _): (Vec<&ImageRow>, Vec<&ImageRow>) = images.iter().partition(|image| of.contains(&image.id));
    let mut pairs = Vec::new();
    let mut sources = BTreeSet::new();
    for image in new {
        let is_across = |other: &&ImageRow| other.is_held_out() != image.is_held_out();
        for other in images.iter().filter(is_across).filter(|other| other.looks_like(image)) {
            let (train, held_out) = if image.is_held_out() { (other, image) } else { (image, other) };
            // Two photographs, however many crops of each.
            if sources.insert((&train.source_hash, &held_out.source_hash)) {
                pairs.push(format!("{} and {}", train.name, held_out.name));
            }
        }
    }
    let Some(more) = (!pairs.is_empty()).then(|| pairs.len().saturating_sub(NAMED)) else { return Ok(()) };
    pairs.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    context.log(
        Level::Warning,
        format!(
            "these look like one picture, to train on and held out: {}{more}; figures on what was trained on say little",
            pairs.join("; ")
        ),
    );
    Ok(())
}

/// Finds out how those images look of which that is not known: new ones, and those of older versions of the program.
fn complete(context: &Context) -> Result<()> {
    let workspace = context.workspace()?;
    let unknown: Vec<ImageRow> =
        workspace.ledger().images()?.into_iter().filter(|i| i.fingerprint.is_none() && !i.file_missing).collect();
    let mut meter = Meter::new("looking at images", "images", unknown.len());
    for some in unknown.chunks(AT_ONCE) {
        let mut found = Vec::new();
        for image in some {
            context.checkpoint()?;
            let path = workspace.path(image.hr_path.as_ref().unwrap_or(&image.lr_path));
            // A file that cannot be read is the repair's to tell.
            if let Ok(bits) = decode::read(path).and_then(|picture| fingerprint::fingerprint(&picture)) {
                found.push((image.id, bits));
            }
            context.advance(&mut meter, 1);
        }
        workspace.ledger().set_fingerprints(&found)?;
    }
    Ok(())
}
