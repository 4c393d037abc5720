//! What a person says about images and pairs.

use crate::Result;
use crate::engine::context::Context;
use crate::engine::protocol::{Change, Outcome};
use crate::method::overrides::Verdict;
use crate::workspace::{CandidateSet, ImageId, OverrideKind, PairOverride};

pub fn set_held_out(context: &mut Context, images: &[ImageId], held_out: bool) -> Result<Outcome> {
    let ledger = context.workspace()?.ledger();
    ledger.atomically(|ledger| images.iter().try_for_each(|&id| ledger.set_held_out(id, held_out)))?;
    context.changed(Change::Images);
    Ok(Outcome::None)
}

pub fn set_removed(context: &mut Context, images: &[ImageId], removed: bool) -> Result<Outcome> {
    let ledger = context.workspace()?.ledger();
    ledger.atomically(|ledger| images.iter().try_for_each(|&id| ledger.set_removed(id, removed)))?;
    context.changed(Change::Images);
    Ok(Outcome::None)
}

/// Records a verdict on a pair of the reference's candidates; `None` takes it back.
pub fn judge(
    context: &mut Context,
    image: ImageId,
    winner: u64,
    loser: u64,
    verdict: Option<Verdict>,
) -> Result<Outcome> {
    let (set, _) = super::sampling::reference(context)?;
    record(context, &set, image, winner, loser, verdict)?;
    context.changed(Change::Overrides);
    Ok(Outcome::None)
}

fn record(
    context: &Context,
    set: &CandidateSet,
    image: ImageId,
    winner: u64,
    loser: u64,
    verdict: Option<Verdict>,
) -> Result<()> {
    let ledger = context.workspace()?.ledger();
    let kind = match verdict {
        None => return ledger.clear_override(set, image, (winner, loser)).map(drop),
        Some(Verdict::Exclude) => OverrideKind::Exclude,
        Some(Verdict::Flip) => OverrideKind::Flip,
        Some(Verdict::Pin) => OverrideKind::Pin,
    };
    let new = PairOverride { image, winner_seed: winner, loser_seed: loser, kind };
    ledger.set_override(set, &new).map(drop)
}
