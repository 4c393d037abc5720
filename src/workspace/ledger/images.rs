//! Images: the LR images, their HR images where there are any, and where they came from.

use rusqlite::{Row, named_params};

use super::{ImageId, Ledger, Split, SplitChoice, execute, first, now_secs, rows};
use crate::imaging::fingerprint::alike;
use crate::workspace::files::{self, DirName, RelPath};
use crate::{Error, Result};

/// What is known of an image before it is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewImage {
    /// The name people see, usually the file name; need not be unique.
    pub name: String,
    /// Where it came from, in words; never opened again.
    pub source: String,
    /// SHA-256 of the source file.
    pub source_hash: String,
    /// What was made of the source (crop, degradation and its seed), empty for all of it as it is. The same source and
    /// variant is the same image: adding it again adds nothing.
    pub variant: String,
    /// SHA-256 of the HR image's file, where that is another file than the source.
    pub hr_source_hash: Option<String>,
    /// What it is for.
    pub split: SplitChoice,
    /// Width of the LR image.
    pub lr_width_px: u32,
    /// Height of the LR image.
    pub lr_height_px: u32,
    /// JSON: how the LR image was made from the HR image; `None` if it was given.
    pub degradation: Option<String>,
    /// How the HR image (the LR image where there is none) looks, as [`crate::imaging::fingerprint`] says; `None`: not known
    /// yet.
    pub fingerprint: Option<u64>,
    /// The same of the whole source.
    pub source_fingerprint: Option<u64>,
}

/// An image of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRow {
    /// Its number.
    pub id: ImageId,
    /// Its directory under `images/` and `candidates/`, unique in the workspace.
    pub dir: String,
    /// See [`NewImage::name`].
    pub name: String,
    /// The LR image.
    pub lr_path: RelPath,
    /// The HR image; without it only no-reference metrics apply.
    pub hr_path: Option<RelPath>,
    /// Width of the LR image.
    pub lr_width_px: u32,
    /// Height of the LR image.
    pub lr_height_px: u32,
    /// What it is for.
    pub split: Split,
    /// It is held out, and the rule says whether for validation or test.
    pub split_by_rule: bool,
    /// Removed by the user; its candidates no longer count, until the removal is undone.
    pub removed: bool,
    /// See [`NewImage::degradation`].
    pub degradation: Option<String>,
    /// See [`NewImage::source`].
    pub source: String,
    /// See [`NewImage::source_hash`].
    pub source_hash: String,
    /// See [`NewImage::variant`].
    pub variant: String,
    /// See [`NewImage::hr_source_hash`].
    pub hr_source_hash: Option<String>,
    /// See [`NewImage::fingerprint`].
    pub fingerprint: Option<u64>,
    /// See [`NewImage::source_fingerprint`].
    pub source_fingerprint: Option<u64>,
    /// What is said of it, for backbones that read it.
    pub prompt: String,
    /// By what candidates of that prompt are known.
    pub prompt_hash: String,
    /// Seconds since 1970 UTC.
    pub added_at_secs: i64,
    /// One of its files was gone when the workspace was opened.
    pub file_missing: bool,
}

impl ImageRow {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            dir: row.get::<_, DirName>("dir")?.0,
            name: row.get("name")?,
            lr_path: row.get("lr_path")?,
            hr_path: row.get("hr_path")?,
            lr_width_px: row.get("lr_width_px")?,
            lr_height_px: row.get("lr_height_px")?,
            split: row.get("split")?,
            split_by_rule: row.get("split_by_rule")?,
            removed: row.get("removed")?,
            degradation: row.get("degradation")?,
            source: row.get("source")?,
            source_hash: row.get("source_hash")?,
            variant: row.get("variant")?,
            hr_source_hash: row.get("hr_source_hash")?,
            fingerprint: row.get::<_, Option<i64>>("fingerprint")?.map(|bits| bits as u64),
            source_fingerprint: row.get::<_, Option<i64>>("source_fingerprint")?.map(|bits| bits as u64),
            prompt: row.get("prompt")?,
            prompt_hash: row.get("prompt_hash")?,
            added_at_secs: row.get("added_at_secs")?,
            file_missing: row.get("file_missing")?,
        })
    }

    /// Kept away from training.
    pub fn is_held_out(&self) -> bool {
        self.split.is_held_out()
    }

    /// What it was said to be for.
    pub fn choice(&self) -> SplitChoice {
        if self.split_by_rule { SplitChoice::ByRule } else { SplitChoice::Fixed(self.split) }
    }

    /// How it looks, and how its source does, as far as that is known.
    pub fn fingerprints(&self) -> impl Iterator<Item = u64> {
        self.fingerprint.into_iter().chain(self.source_fingerprint)
    }

    /// Whether it may show the same picture as another, by how both or their sources look.
    pub fn looks_like(&self, other: &Self) -> bool {
        self.fingerprints().any(|a| other.fingerprints().any(|b| alike(a, b)))
    }

    /// Hashes of the files it was made of.
    pub fn hashes(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.source_hash.as_str()).chain(self.hr_source_hash.as_deref())
    }
}

impl Ledger {
    /// All images that are not removed, in the order they were added.
    pub fn images(&self) -> Result<Vec<ImageRow>> {
        let sql = "SELECT * FROM images WHERE removed = 0 ORDER BY id";
        self.read(|conn| rows(conn, sql, [], ImageRow::from_row))
    }

    /// The removed images, in the order they were added.
    pub fn removed_images(&self) -> Result<Vec<ImageRow>> {
        let sql = "SELECT * FROM images WHERE removed = 1 ORDER BY id";
        self.read(|conn| rows(conn, sql, [], ImageRow::from_row))
    }

    /// All images, removed or not, in the order they were added.
    pub(in crate::workspace) fn all_images(&self) -> Result<Vec<ImageRow>> {
        self.read(|conn| rows(conn, "SELECT * FROM images ORDER BY id", [], ImageRow::from_row))
    }

    /// One image, removed or not.
    pub fn image(&self, id: ImageId) -> Result<ImageRow> {
        let sql = "SELECT * FROM images WHERE id = ?1";
        self.read(|conn| first(conn, sql, [id], ImageRow::from_row))?
            .ok_or_else(|| Error::invalid(format!("there is no image {}", id.0)))
    }

    /// The image made from this source in this way, removed or not.
    pub fn image_of_source(&self, source_hash: &str, variant: &str) -> Result<Option<ImageRow>> {
        let sql = "SELECT * FROM images WHERE source_hash = ?1 AND variant = ?2";
        self.read(|conn| first(conn, sql, [source_hash, variant], ImageRow::from_row))
    }

    /// The images made of one of these files, removed or not.
    pub fn images_of_files(&self, hashes: &[&str]) -> Result<Vec<ImageRow>> {
        let sql = "SELECT * FROM images WHERE source_hash = ?1
            UNION SELECT * FROM images WHERE hr_source_hash = ?1 ORDER BY id";
        self.read(|conn| {
            let of = |hash: &&str| rows(conn, sql, [hash], ImageRow::from_row);
            Ok(hashes.iter().map(of).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
        })
    }

    /// Removes an image from view, or brings it back with everything made for it.
    pub fn set_removed(&self, id: ImageId, removed: bool) -> Result<()> {
        let sql = "UPDATE images SET removed = ?2 WHERE id = ?1";
        self.write(|conn| {
            execute(conn, sql, (id, removed))?;
            self.apply_split_rule().map(drop)
        })
    }

    /// A directory name no image of the ledger has.
    pub(in crate::workspace) fn free_image_dir(&self, new: &NewImage) -> Result<String> {
        let identity = format!("{}\0{}", new.source_hash, new.variant);
        self.read(|conn| {
            let mut taken = conn.prepare_cached("SELECT 1 FROM images WHERE dir = ?1")?;
            let mut failure = None;
            let dir = files::safe_dir_name(&new.name, &identity, |dir| {
                taken.exists([dir]).unwrap_or_else(|e| {
                    failure = Some(e);
                    false
                })
            });
            failure.map_or(Ok(dir), |e| Err(e.into()))
        })
    }

    /// Records an image whose files are in place.
    pub(in crate::workspace) fn insert_image(
        &self,
        new: &NewImage,
        dir: &str,
        lr_path: &RelPath,
        hr_path: Option<&RelPath>,
    ) -> Result<ImageId> {
        let sql = "INSERT INTO images (dir, name, lr_path, hr_path, lr_width_px, lr_height_px, degradation, source,
                source_hash, variant, hr_source_hash, fingerprint, source_fingerprint, added_at_secs)
            VALUES (:dir, :name, :lr_path, :hr_path, :lr_width_px, :lr_height_px, :degradation, :source,
                :source_hash, :variant, :hr_source_hash, :fingerprint, :source_fingerprint, :now) RETURNING id";
        self.write(|conn| {
            let id = conn.prepare_cached(sql)?.query_row(
                named_params! {
                    ":dir": dir,
                    ":name": new.name,
                    ":lr_path": lr_path,
                    ":hr_path": hr_path,
                    ":lr_width_px": new.lr_width_px,
                    ":lr_height_px": new.lr_height_px,
                    ":degradation": new.degradation,
                    ":source": new.source,
                    ":source_hash": new.source_hash,
                    ":variant": new.variant,
                    ":hr_source_hash": new.hr_source_hash,
                    ":fingerprint": new.fingerprint.map(|bits| bits as i64),
                    ":source_fingerprint": new.source_fingerprint.map(|bits| bits as i64),
                    ":now": now_secs(),
                },
                |row| row.get(0),
            )?;
            if new.split != SplitChoice::default() {
                self.set_splits(&[(id, new.split)])?;
            }
            Ok(id)
        })
    }

    /// Notes how images look.
    pub fn set_fingerprints(&self, fingerprints: &[(ImageId, u64)]) -> Result<()> {
        let sql = "UPDATE images SET fingerprint = ?2 WHERE id = ?1";
        self.write(|conn| {
            fingerprints.iter().try_for_each(|(id, bits)| execute(conn, sql, (id, *bits as i64)).map(drop))
        })
    }

    /// Forgets all scores of an image's candidates.
    pub(in crate::workspace) fn forget_scores_of(&self, id: ImageId) -> Result<()> {
        let sql = "DELETE FROM scores WHERE candidate_id IN (SELECT id FROM candidates WHERE image_id = ?1)";
        self.write(|conn| execute(conn, sql, [id]).map(drop))
    }

    /// Records an HR image that is in place, and the hash of the file it came from. How it looks is to be found anew.
    pub(in crate::workspace) fn set_hr_path(&self, id: ImageId, hr_path: &RelPath, source: Option<&str>) -> Result<()> {
        let sql = "UPDATE images SET hr_path = ?2, hr_source_hash = ?3, fingerprint = NULL WHERE id = ?1";
        self.write(|conn| execute(conn, sql, (id, hr_path, source)).map(drop))
    }
}
