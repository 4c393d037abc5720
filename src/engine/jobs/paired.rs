//! The pairs of a ranking, each with what is said of it wherever pairs are written out.

use crate::Result;
use crate::engine::context::Context;
use crate::engine::ranking::Ranking;
use crate::workspace::{CandidateRow, ImageRow};

/// A pair.
pub struct Paired<'p> {
    pub image: &'p ImageRow,
    pub winner: Half<'p>,
    pub loser: Half<'p>,
    /// Difference of their rewards.
    pub gap: f64,
    pub w_intra: f64,
    pub w_inter: f64,
    /// w, the product of both, normalized.
    pub weight: f32,
}

/// Winner or loser.
pub struct Half<'p> {
    pub seed: u64,
    /// NaN where there is none.
    pub reward: f64,
    /// `None` where it is not sampled any more.
    pub candidate: Option<&'p CandidateRow>,
}

/// Calls `with` for every pair, in the order of the ranking; obeys pause and cancel between images.
pub fn each(context: &Context, ranking: &Ranking, mut with: impl FnMut(&Paired) -> Result<()>) -> Result<()> {
    let ledger = context.workspace()?.ledger();
    let scores = &ranking.scores;
    let mut known: Option<(usize, ImageRow, Vec<CandidateRow>)> = None;
    for index in 0..ranking.curation.pairs().len() {
        let Some(detail) = ranking.curation.detail(&ranking.rewards, index) else { continue };
        if known.as_ref().is_none_or(|(group, ..)| *group != detail.group) {
            context.checkpoint()?;
            let image = ledger.image(scores.train.images[detail.group])?;
            let group = ledger.group(&scores.set, image.id)?;
            known = Some((detail.group, image, group));
        }
        let Some((_, image, group)) = &known else { continue };
        let half = |place: u16| {
            let seed = scores.seeds[usize::from(place)];
            let reward = ranking.rewards.get(detail.group, place.into()).unwrap_or(f64::NAN);
            Half { seed, reward, candidate: group.iter().find(|candidate| candidate.seed == seed) }
        };
        with(&Paired {
            image,
            winner: half(detail.pair.winner),
            loser: half(detail.pair.loser),
            gap: detail.gap,
            w_intra: detail.w_intra,
            w_inter: detail.w_inter,
            weight: detail.pair.weight,
        })?;
    }
    Ok(())
}
