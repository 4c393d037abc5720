//! Pair overrides: where a person overrules the reward.

use std::collections::HashSet;

use rusqlite::Row;

use super::ids::text_enum;
use super::{CandidateSet, ImageId, Ledger, execute, first, now_secs, rows, seed_from_sql, seed_to_sql};
use crate::Result;
use crate::method::overrides::Verdict;

text_enum! {
    /// What the person decided.
    OverrideKind {
        /// The pair is not trained on.
        Exclude => "exclude",
        /// The loser is the better one.
        Flip => "flip",
        /// The pair is trained on as it stands, whatever the selection.
        Pin => "pin",
    }
}

impl From<Verdict> for OverrideKind {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Exclude => Self::Exclude,
            Verdict::Flip => Self::Flip,
            Verdict::Pin => Self::Pin,
        }
    }
}

impl From<OverrideKind> for Verdict {
    fn from(kind: OverrideKind) -> Self {
        match kind {
            OverrideKind::Exclude => Self::Exclude,
            OverrideKind::Flip => Self::Flip,
            OverrideKind::Pin => Self::Pin,
        }
    }
}

/// A person's decision about one pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairOverride {
    /// The LR image.
    pub image: ImageId,
    /// The winner as the pair was shown.
    pub winner_seed: u64,
    /// The loser as the pair was shown.
    pub loser_seed: u64,
    /// The decision, about the pair as shown: after a new ranking a flip still prefers `loser_seed`.
    pub kind: OverrideKind,
    /// Who decided it; empty where no name was given.
    pub rater: String,
}

impl PairOverride {
    /// Image and the two seeds in ascending order.
    pub fn pair(&self) -> (ImageId, u64, u64) {
        (self.image, self.winner_seed.min(self.loser_seed), self.winner_seed.max(self.loser_seed))
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            image: row.get("image_id")?,
            winner_seed: seed_from_sql(row.get("winner_seed")?),
            loser_seed: seed_from_sql(row.get("loser_seed")?),
            kind: row.get("kind")?,
            rater: row.get("rater")?,
        })
    }
}

impl Ledger {
    /// The decisions that count about the pairs of a set, by image: of several about two candidates the last.
    pub fn overrides(&self, set: &CandidateSet) -> Result<Vec<PairOverride>> {
        let (mut last, mut seen) = (self.verdicts(set)?, HashSet::new());
        last.reverse();
        last.retain(|known| seen.insert(known.pair()));
        last.reverse();
        Ok(last)
    }

    /// All decisions about the pairs of a set, of every rater, by image and in the order they were made.
    pub fn verdicts(&self, set: &CandidateSet) -> Result<Vec<PairOverride>> {
        let of_prompt = if set.sampler.reads_prompts() { "|| images.prompt_hash" } else { "" };
        let sql = format!(
            "SELECT pair_overrides.* FROM pair_overrides JOIN images ON images.id = image_id
            WHERE checkpoint_id = ?1 AND sampler = ?2 {of_prompt} ORDER BY image_id, pair_overrides.rowid"
        );
        let key = (set.checkpoint, &set.sampler);
        self.read(|conn| rows(conn, &sql, key, PairOverride::from_row))
    }

    /// Records a decision; returns the rater's earlier one about the same two candidates, which it replaces.
    pub fn set_override(&self, set: &CandidateSet, new: &PairOverride) -> Result<Option<PairOverride>> {
        self.atomically(|ledger| {
            let seeds = (new.winner_seed, new.loser_seed);
            let before = ledger.clear_override(set, new.image, seeds, &new.rater)?;
            let sql = "INSERT INTO pair_overrides
                (checkpoint_id, sampler, image_id, winner_seed, loser_seed, kind, decided_at_secs, rater)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let values = (
                set.checkpoint,
                ledger.sampler_of(set, new.image)?,
                new.image,
                seed_to_sql(new.winner_seed),
                seed_to_sql(new.loser_seed),
                new.kind,
                now_secs(),
                &new.rater,
            );
            ledger.write(|conn| execute(conn, sql, values))?;
            Ok(before)
        })
    }

    /// Takes back a rater's decision about two candidates, in either order; returns it.
    pub fn clear_override(
        &self,
        set: &CandidateSet,
        image: ImageId,
        seeds: (u64, u64),
        rater: &str,
    ) -> Result<Option<PairOverride>> {
        let (a, b) = (seed_to_sql(seeds.0), seed_to_sql(seeds.1));
        // The expressions of the index, which names a pair whichever of the two wins.
        let sql = "DELETE FROM pair_overrides WHERE checkpoint_id = ?1 AND sampler = ?2 AND image_id = ?3
            AND min(winner_seed, loser_seed) = ?4 AND max(winner_seed, loser_seed) = ?5 AND rater = ?6 RETURNING *";
        let key = (set.checkpoint, self.sampler_of(set, image)?, image, a.min(b), a.max(b), rater);
        self.write(|conn| first(conn, sql, key, PairOverride::from_row))
    }
}
