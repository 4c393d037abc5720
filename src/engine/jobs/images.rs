//! What a person says about images and pairs.

use super::leaks;
use super::splits::Splits;
use crate::Result;
use crate::backbones::registry;
use crate::engine::context::Context;
use crate::engine::protocol::{Change, Level, Outcome};
use crate::workspace::{CandidateSet, ImageId, Judgement, PairOverride, SplitChoice};

/// Says what images are for, and with them the others of their sources.
pub fn set_splits(context: &mut Context, choices: &[(ImageId, SplitChoice)]) -> Result<Outcome> {
    let before = Splits::of(context)?;
    let ledger = context.workspace()?.ledger();
    ledger.set_splits(choices)?;
    context.changed(Change::Images);
    let named = choices.iter().map(|(id, _)| *id);
    before.say_others(context, named.clone())?;
    leaks::warn(context, &named.collect())?;
    Ok(Outcome::None)
}

/// Says what is to be seen on images.
pub fn set_prompts(context: &mut Context, prompts: &[(ImageId, String)]) -> Result<Outcome> {
    context.workspace()?.set_prompts(prompts)?;
    context.changed(Change::Prompts);
    say_unread(context)?;
    Ok(Outcome::None)
}

/// Says that the recipe's backbone reads no prompts, if it does not.
pub fn say_unread(context: &Context) -> Result<()> {
    let recipe = &context.recipe;
    if !registry::card_of(&recipe.sampling.backbone)?.prompt {
        let text = format!("prompts are kept, but {} reads none", recipe.sampling.backbone);
        context.log(Level::Info, text);
    }
    Ok(())
}

pub fn set_removed(context: &mut Context, images: &[ImageId], removed: bool) -> Result<Outcome> {
    let before = Splits::of(context)?;
    let ledger = context.workspace()?.ledger();
    ledger.atomically(|ledger| images.iter().try_for_each(|&id| ledger.set_removed(id, removed)))?;
    before.say_others(context, images.iter().copied())?;
    context.changed(Change::Images);
    Ok(Outcome::None)
}

/// Records a rater's verdict on a pair, or takes that back.
pub fn judge(context: &Context, set: &CandidateSet, verdict: &PairOverride, is_taken_back: bool) -> Result<Outcome> {
    let ledger = context.workspace()?.ledger();
    let seeds = (verdict.winner_seed, verdict.loser_seed);
    match is_taken_back {
        true => ledger.clear_override(set, verdict.image, seeds, &verdict.rater)?,
        false => ledger.set_override(set, verdict)?,
    };
    context.changed(Change::Overrides);
    Ok(Outcome::None)
}

/// Records what a rater said of two candidates blindly, or takes that back.
pub fn judge_blindly(
    context: &Context,
    set: &CandidateSet,
    judgement: &Judgement,
    is_taken_back: bool,
) -> Result<Outcome> {
    let ledger = context.workspace()?.ledger();
    match is_taken_back {
        true => ledger.clear_judgement(set, judgement).map(|_| ())?,
        false => ledger.set_judgement(set, judgement)?,
    }
    context.changed(Change::Judgements);
    Ok(Outcome::None)
}
