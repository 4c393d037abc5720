//! Damaged candidates: noticed wherever one is read, and discarded, so that sampling makes them again.

use std::path::Path;
use std::sync::Arc;

use super::context::Context;
use super::protocol::{Change, Level};
use crate::imaging::{Image, decode};
use crate::iqa::lr::LowRes;
use crate::workspace::{CandidateRow, ImageRow, RelPath};
use crate::{Error, Result};

/// Reads a candidate to use it. Errors: it is damaged, and now discarded.
pub(super) fn read(context: &Context, candidate: &CandidateRow) -> Result<Image> {
    let path = context.workspace()?.path(&candidate.path);
    decode::read(path).or_else(|error| check(context, candidate).and(Err(error)))
}

/// Fails where a candidate is damaged, and discards it.
pub(super) fn check(context: &Context, candidate: &CandidateRow) -> Result<()> {
    if !discard(context, candidate)? {
        return Ok(());
    }
    let path = context.workspace()?.path(&candidate.path);
    let then = if is_imported(candidate) { "import it again" } else { "do the same again: it is sampled anew" };
    Err(Error::file(path, format!("was damaged and is discarded; {then}")))
}

/// Discards a candidate if it is damaged; says whether it was.
pub(super) fn discard(context: &Context, candidate: &CandidateRow) -> Result<bool> {
    let Some(damage) = context.workspace()?.discard_if_damaged(candidate)? else { return Ok(false) };
    let then = if is_imported(candidate) { "import it again" } else { "it is sampled again" };
    context.log(Level::Warning, format!("{}: damaged ({damage}); {then}", candidate.path));
    context.discarded.set(context.discarded.get() + 1);
    context.changed(Change::Candidates(candidate.image));
    Ok(true)
}

fn is_imported(candidate: &CandidateRow) -> bool {
    candidate.path.dir().ends_with("/imported")
}

/// Reads a file of an image of the workspace at `root`; the error says what to do where it is damaged.
pub(super) fn read_image(root: &Path, image: &ImageRow, path: &RelPath) -> Result<Image> {
    let path = path.under(root);
    let hint = format!("; if it is damaged, add it again (from {}) or remove the image", image.source);
    decode::read(&path).map_err(|error| match error {
        Error::File { path, cause } => Error::File { path, cause: cause + &hint },
        other => other,
    })
}

/// The LR image of a row and how it was made, for metrics that look at it.
pub(super) fn low_res(root: &Path, image: &ImageRow) -> Result<LowRes> {
    let made_by = image.degradation.as_deref().map(serde_json::from_str).transpose();
    let made_by =
        made_by.map_err(|e| Error::invalid(format!("{}: its degradation cannot be read: {e}", image.name)))?;
    Ok(LowRes { image: Arc::new(read_image(root, image, &image.lr_path)?), made_by })
}

/// Discards what the viewer found damaged.
pub(super) fn discard_suspects(context: &Context) -> Result<()> {
    let suspects = context.suspects.take(context.workspace()?);
    suspects.iter().try_for_each(|candidate| discard(context, candidate).map(drop))
}
