//! How much of everything the ledger holds.

use rusqlite::Connection;

use super::Ledger;
use crate::Result;

/// Numbers of rows. Removed images, and the candidates and scores of theirs, are counted under `removed_images` only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Images that are not removed.
    pub images: u64,
    /// Of these, images to train on.
    pub train_images: u64,
    /// Of these, images that choose checkpoints.
    pub validation_images: u64,
    /// Of these, images reported on.
    pub test_images: u64,
    /// Of these, images with an HR image.
    pub images_with_hr: u64,
    /// Images the user removed.
    pub removed_images: u64,
    /// Candidates whose file is there.
    pub candidates: u64,
    /// Candidates whose file is gone.
    pub missing_candidates: u64,
    /// Scores of the candidates whose file is there.
    pub scores: u64,
    /// Pairs a person decided about.
    pub overrides: u64,
    /// Reference, policy and EMA checkpoints.
    pub checkpoints: u64,
    /// Training runs.
    pub runs: u64,
    /// Training steps of all runs.
    pub steps: u64,
}

impl Ledger {
    /// Counts everything.
    pub fn counts(&self) -> Result<Counts> {
        self.read(|conn| {
            let count = |from: &str| count(conn, from);
            let seen = "candidates JOIN images ON images.id = image_id AND removed = 0";
            Ok(Counts {
                images: count("images WHERE removed = 0")?,
                train_images: count("images WHERE removed = 0 AND split = 'train'")?,
                validation_images: count("images WHERE removed = 0 AND split = 'validation'")?,
                test_images: count("images WHERE removed = 0 AND split = 'test'")?,
                images_with_hr: count("images WHERE removed = 0 AND hr_path IS NOT NULL")?,
                removed_images: count("images WHERE removed = 1")?,
                candidates: count(&format!("{seen} WHERE candidates.file_missing = 0"))?,
                missing_candidates: count(&format!("{seen} WHERE candidates.file_missing = 1"))?,
                scores: count(&format!(
                    "{seen} CROSS JOIN scores ON candidate_id = candidates.id WHERE candidates.file_missing = 0"
                ))?,
                overrides: count("pair_overrides")?,
                checkpoints: count("checkpoints")?,
                runs: count("runs")?,
                steps: count("steps")?,
            })
        })
    }
}

fn count(conn: &Connection, from: &str) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM {from}");
    let count: i64 = conn.query_row(&sql, [], |row| row.get(0))?;
    Ok(count as u64)
}
