//! Images: the LR images, their HR images where there are any, and where they came from.

use rusqlite::{Row, named_params};

use super::{ImageId, Ledger, execute, first, now_secs, rows};
use crate::workspace::files::{self, RelPath};
use crate::{Error, Result};

/// What is known of an image before it is added.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Kept away from training.
    pub held_out: bool,
    /// Width of the LR image.
    pub lr_width_px: u32,
    /// Height of the LR image.
    pub lr_height_px: u32,
    /// JSON: how the LR image was made from the HR image; `None` if it was given.
    pub degradation: Option<String>,
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
    /// Kept away from training.
    pub held_out: bool,
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
    /// Seconds since 1970 UTC.
    pub added_at_secs: i64,
    /// One of its files was gone when the workspace was opened.
    pub file_missing: bool,
}

impl ImageRow {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            dir: row.get("dir")?,
            name: row.get("name")?,
            lr_path: row.get("lr_path")?,
            hr_path: row.get("hr_path")?,
            lr_width_px: row.get("lr_width_px")?,
            lr_height_px: row.get("lr_height_px")?,
            held_out: row.get("held_out")?,
            removed: row.get("removed")?,
            degradation: row.get("degradation")?,
            source: row.get("source")?,
            source_hash: row.get("source_hash")?,
            variant: row.get("variant")?,
            added_at_secs: row.get("added_at_secs")?,
            file_missing: row.get("file_missing")?,
        })
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

    /// Marks an image as held out, or takes the mark away.
    pub fn set_held_out(&self, id: ImageId, held_out: bool) -> Result<()> {
        let sql = "UPDATE images SET held_out = ?2 WHERE id = ?1";
        self.write(|conn| execute(conn, sql, (id, held_out)).map(drop))
    }

    /// Removes an image from view, or brings it back with everything made for it.
    pub fn set_removed(&self, id: ImageId, removed: bool) -> Result<()> {
        let sql = "UPDATE images SET removed = ?2 WHERE id = ?1";
        self.write(|conn| execute(conn, sql, (id, removed)).map(drop))
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
        let sql = "INSERT INTO images (dir, name, lr_path, hr_path, lr_width_px, lr_height_px, held_out, degradation,
                source, source_hash, variant, added_at_secs)
            VALUES (:dir, :name, :lr_path, :hr_path, :lr_width_px, :lr_height_px, :held_out, :degradation,
                :source, :source_hash, :variant, :now) RETURNING id";
        self.write(|conn| {
            Ok(conn.prepare_cached(sql)?.query_row(
                named_params! {
                    ":dir": dir,
                    ":name": new.name,
                    ":lr_path": lr_path,
                    ":hr_path": hr_path,
                    ":lr_width_px": new.lr_width_px,
                    ":lr_height_px": new.lr_height_px,
                    ":held_out": new.held_out,
                    ":degradation": new.degradation,
                    ":source": new.source,
                    ":source_hash": new.source_hash,
                    ":variant": new.variant,
                    ":now": now_secs(),
                },
                |row| row.get(0),
            )?)
        })
    }

    /// Forgets all scores of an image's candidates.
    pub(in crate::workspace) fn forget_scores_of(&self, id: ImageId) -> Result<()> {
        let sql = "DELETE FROM scores WHERE candidate_id IN (SELECT id FROM candidates WHERE image_id = ?1)";
        self.write(|conn| execute(conn, sql, [id]).map(drop))
    }

    /// Records an HR image that is in place.
    pub(in crate::workspace) fn set_hr_path(&self, id: ImageId, hr_path: &RelPath) -> Result<()> {
        let sql = "UPDATE images SET hr_path = ?2 WHERE id = ?1";
        self.write(|conn| execute(conn, sql, (id, hr_path)).map(drop))
    }
}
