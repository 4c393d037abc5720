//! What people said of two candidates without knowing which is which.

use rusqlite::Row;

use super::{CandidateSet, ImageId, Ledger, execute, first, now_secs, rows, seed_from_sql, seed_to_sql};
use crate::Result;
use crate::method::agreement::Choice;

/// A rater's word on two candidates of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The LR image.
    pub image: ImageId,
    /// The seeds as they were shown, the left one first.
    pub seeds: [u64; 2],
    pub choice: Choice,
    /// Who said it; empty where no name was given.
    pub rater: String,
    /// Seed of the order and of the sides.
    pub shuffle: u64,
    /// Seconds since 1970 UTC; 0 before it is recorded.
    pub decided_at_secs: i64,
}

impl Judgement {
    /// Image, the two seeds in ascending order, and the rater: there is one judgement of each.
    pub fn key(&self) -> (ImageId, u64, u64, &str) {
        let [a, b] = self.seeds;
        (self.image, a.min(b), a.max(b), &self.rater)
    }

    /// The seed that was preferred and the other one; `None` where neither was.
    pub fn preferred(&self) -> Option<(u64, u64)> {
        let [left, right] = self.seeds;
        match self.choice {
            Choice::Left => Some((left, right)),
            Choice::Right => Some((right, left)),
            Choice::Unsure | Choice::BothBad => None,
        }
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            image: row.get("image_id")?,
            seeds: [seed_from_sql(row.get("left_seed")?), seed_from_sql(row.get("right_seed")?)],
            choice: row.get("choice")?,
            rater: row.get("rater")?,
            shuffle: seed_from_sql(row.get("shuffle")?),
            decided_at_secs: row.get("decided_at_secs")?,
        })
    }
}

impl rusqlite::types::ToSql for Choice {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(self.word().into())
    }
}

impl rusqlite::types::FromSql for Choice {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        Choice::from_word(value.as_str()?).ok_or(rusqlite::types::FromSqlError::InvalidType)
    }
}

impl Ledger {
    /// All judgements of a set's candidates, in the order they were made.
    pub fn judgements(&self, set: &CandidateSet) -> Result<Vec<Judgement>> {
        let of_prompt = if set.sampler.reads_prompts() { "|| images.prompt_hash" } else { "" };
        let sql = format!(
            "SELECT judgements.* FROM judgements JOIN images ON images.id = image_id
            WHERE checkpoint_id = ?1 AND sampler = ?2 {of_prompt} ORDER BY judgements.rowid"
        );
        let key = (set.checkpoint, &set.sampler);
        self.read(|conn| rows(conn, &sql, key, Judgement::from_row))
    }

    /// Records a judgement; the rater's earlier one of the same two candidates is replaced.
    pub fn set_judgement(&self, set: &CandidateSet, new: &Judgement) -> Result<()> {
        self.atomically(|ledger| {
            ledger.clear_judgement(set, new)?;
            let sql = "INSERT INTO judgements
                (checkpoint_id, sampler, image_id, left_seed, right_seed, choice, rater, shuffle, decided_at_secs)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            let [left, right] = new.seeds.map(seed_to_sql);
            let values = (
                set.checkpoint,
                ledger.sampler_of(set, new.image)?,
                new.image,
                left,
                right,
                new.choice,
                &new.rater,
                seed_to_sql(new.shuffle),
                now_secs(),
            );
            ledger.write(|conn| execute(conn, sql, values)).map(|_| ())
        })
    }

    /// Takes back what the rater of `like` said of its two candidates; returns it.
    pub fn clear_judgement(&self, set: &CandidateSet, like: &Judgement) -> Result<Option<Judgement>> {
        let [a, b] = like.seeds.map(seed_to_sql);
        // The expressions of the index, which names two candidates on whichever sides they were.
        let sql = "DELETE FROM judgements WHERE checkpoint_id = ?1 AND sampler = ?2 AND image_id = ?3
            AND min(left_seed, right_seed) = ?4 AND max(left_seed, right_seed) = ?5 AND rater = ?6 RETURNING *";
        let key = (set.checkpoint, self.sampler_of(set, like.image)?, like.image, a.min(b), a.max(b), &like.rater);
        self.write(|conn| first(conn, sql, key, Judgement::from_row))
    }
}
