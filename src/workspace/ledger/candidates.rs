//! Candidates: which SR outputs exist, and which are still to be made.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, Row, named_params};

use super::{
    CandidateId, CheckpointId, ImageId, ImageRow, Ledger, execute, now_secs, rows, seed_from_sql, seed_to_sql,
};
use crate::Result;
use crate::workspace::files::{RelPath, SamplerKey};

/// Candidates are compared within one checkpoint and one way of sampling it. Where that reads prompts, they are those of the
/// prompt that each image has now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CandidateSet {
    /// The weights.
    pub checkpoint: CheckpointId,
    /// The sampler's settings.
    pub sampler: SamplerKey,
}

impl CandidateSet {
    /// The set's candidates of an image under the prompt that `image` has, whatever it may have by now.
    pub fn of_prompt(&self, image: &ImageRow) -> Self {
        Self { sampler: self.sampler.of_prompt(&image.prompt_hash), ..self.clone() }
    }
}

/// A candidate about to be saved.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCandidate {
    /// The checkpoint and sampler it was made with.
    pub set: CandidateSet,
    /// The LR image.
    pub image: ImageId,
    /// The seed of its noise.
    pub seed: u64,
    /// What it took to make it.
    pub seconds: f64,
}

/// A candidate of the workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateRow {
    /// Its number.
    pub id: CandidateId,
    /// The LR image.
    pub image: ImageId,
    /// The seed of its noise.
    pub seed: u64,
    /// Its PNG file.
    pub path: RelPath,
    /// What it took to make it; NaN if unknown.
    pub seconds: f64,
}

/// What [`CandidateRow::from_row`] reads. By position: by name it takes twice as long, and these rows are many.
pub(super) const COLUMNS: &str = "candidates.id, image_id, seed, path, seconds";

impl CandidateRow {
    /// From a row that begins with [`COLUMNS`].
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            image: row.get(1)?,
            seed: seed_from_sql(row.get(2)?),
            path: row.get(3)?,
            seconds: row.get::<_, Option<f64>>(4)?.unwrap_or(f64::NAN),
        })
    }
}

/// The seeds of one image that are still to be sampled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingSeeds {
    /// The LR image.
    pub image: ImageId,
    /// In the order they were asked for; never empty.
    pub seeds: Vec<u64>,
}

/// Candidates of a set: of ?1 the checkpoint, of ?2 the sampler.
pub(super) fn of_set(set: &CandidateSet) -> &'static str {
    match set.sampler.reads_prompts() {
        // CROSS JOIN keeps SQLite from starting at the candidates, whose sampler it does not know yet.
        true => {
            "images CROSS JOIN candidates ON images.id = image_id
    WHERE checkpoint_id = ?1 AND sampler = ?2 || images.prompt_hash AND candidates.file_missing = 0"
        }
        false => {
            "candidates JOIN images ON images.id = image_id
    WHERE checkpoint_id = ?1 AND sampler = ?2 AND candidates.file_missing = 0"
        }
    }
}

/// Those that can be used: their file is there and their image is not removed.
pub(super) fn usable(set: &CandidateSet) -> String {
    format!("{} AND images.removed = 0", of_set(set))
}

impl Ledger {
    /// The group of one image, by seed.
    pub fn group(&self, set: &CandidateSet, image: ImageId) -> Result<Vec<CandidateRow>> {
        let sql = format!("SELECT {COLUMNS} FROM {} AND image_id = ?3 ORDER BY seed", usable(set));
        let key = (set.checkpoint, &set.sampler, image);
        self.read(|conn| rows(conn, &sql, key, CandidateRow::from_row))
    }

    /// All groups, by image and seed.
    pub fn candidates(&self, set: &CandidateSet) -> Result<Vec<CandidateRow>> {
        let sql = format!("SELECT {COLUMNS} FROM {} ORDER BY image_id, seed", usable(set));
        let key = (set.checkpoint, &set.sampler);
        self.read(|conn| rows(conn, &sql, key, CandidateRow::from_row))
    }

    /// The seeds of which a set has candidates of some image, ascending.
    pub fn seeds_of(&self, set: &CandidateSet) -> Result<Vec<u64>> {
        let sql = format!("SELECT DISTINCT seed FROM {}", usable(set));
        let key = (set.checkpoint, &set.sampler);
        let mut seeds = self.read(|conn| rows(conn, &sql, key, |row| Ok(seed_from_sql(row.get(0)?))))?;
        seeds.sort_unstable();
        Ok(seeds)
    }

    /// How many candidates each image has; images without any are left out.
    pub fn group_sizes(&self, set: &CandidateSet) -> Result<HashMap<ImageId, u32>> {
        let sql = format!("SELECT image_id, count(*) FROM {} GROUP BY image_id", usable(set));
        let key = (set.checkpoint, &set.sampler);
        self.read(|conn| {
            let sizes = rows(conn, &sql, key, |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(sizes.into_iter().collect())
        })
    }

    /// Whether anything was ever sampled of an image.
    pub fn has_candidates(&self, image: ImageId) -> Result<bool> {
        self.read(|conn| {
            Ok(conn.prepare_cached("SELECT 1 FROM candidates WHERE image_id = ?1 LIMIT 1")?.exists([image])?)
        })
    }

    /// Every checkpoint and sampler that has candidates, with their number.
    pub fn candidate_sets(&self) -> Result<Vec<(CandidateSet, u64)>> {
        let sql = "SELECT checkpoint_id, sampler, count(*) FROM candidates WHERE file_missing = 0
            GROUP BY checkpoint_id, sampler";
        self.read(|conn| {
            rows(conn, sql, [], |row| {
                let set = CandidateSet { checkpoint: row.get(0)?, sampler: row.get(1)? };
                Ok((set, row.get::<_, i64>(2)? as u64))
            })
        })
    }

    /// What is still to be sampled so that each of `images` has a candidate for each of `seeds`, in the given order;
    /// complete images are left out. A candidate whose file is gone counts as missing.
    pub fn missing_candidates(
        &self,
        set: &CandidateSet,
        images: &[ImageId],
        seeds: &[u64],
    ) -> Result<Vec<MissingSeeds>> {
        let sql = format!("SELECT image_id, seed FROM {}", of_set(set));
        let key = (set.checkpoint, &set.sampler);
        let present: HashSet<(ImageId, u64)> = self
            .read(|conn| rows(conn, &sql, key, |row| Ok((row.get(0)?, seed_from_sql(row.get(1)?)))))?
            .into_iter()
            .collect();
        let missing = images.iter().filter_map(|&image| {
            let is_missing = |seed: &u64| !present.contains(&(image, *seed));
            let seeds: Vec<u64> = seeds.iter().copied().filter(is_missing).collect();
            (!seeds.is_empty()).then_some(MissingSeeds { image, seeds })
        });
        Ok(missing.collect())
    }

    /// Records candidates whose files are in place, all or none; returns their numbers in order.
    ///
    /// A candidate that was there before is replaced, and its scores, which belonged to the file before, are forgotten.
    pub(in crate::workspace) fn insert_candidates<'a>(
        &self,
        new: impl IntoIterator<Item = (&'a NewCandidate, &'a RelPath)>,
    ) -> Result<Vec<CandidateId>> {
        let now = now_secs();
        self.write(|conn| {
            let insert = |(new, path): (&NewCandidate, _)| {
                let sampler = self.sampler_of(&new.set, new.image)?;
                insert_candidate(conn, new, &sampler, path, now)
            };
            new.into_iter().map(insert).collect()
        })
    }
}

fn insert_candidate(
    conn: &Connection,
    new: &NewCandidate,
    sampler: &SamplerKey,
    path: &RelPath,
    now: i64,
) -> Result<CandidateId> {
    let sql = "INSERT INTO candidates (checkpoint_id, sampler, image_id, seed, path, seconds, added_at_secs)
        VALUES (:checkpoint, :sampler, :image, :seed, :path, :seconds, :now)
        ON CONFLICT (checkpoint_id, sampler, image_id, seed) DO UPDATE SET path = excluded.path,
            seconds = excluded.seconds, added_at_secs = excluded.added_at_secs, file_missing = 0
        RETURNING id";
    let id = conn.prepare_cached(sql)?.query_row(
        named_params! {
            ":checkpoint": new.set.checkpoint,
            ":sampler": sampler,
            ":image": new.image,
            ":seed": seed_to_sql(new.seed),
            ":path": path,
            ":seconds": new.seconds,
            ":now": now,
        },
        |row| row.get(0),
    )?;
    execute(conn, "DELETE FROM scores WHERE candidate_id = ?1", [id])?;
    Ok(id)
}
