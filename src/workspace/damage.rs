//! Damaged files: told from files that just cannot be read, and taken out of use, so that nobody has to delete them.

use std::fs;
use std::io::ErrorKind;

use super::ledger::{CandidateRow, FileCheck, FileOwner, ImageRow};
use super::{RelPath, Workspace};
use crate::Result;
use crate::imaging::SCALE;
use crate::imaging::whole::png_damage;

impl Workspace {
    /// What is wrong with the file of a candidate; `None` where it is whole, or cannot be read just now.
    pub fn damage_of(&self, candidate: &CandidateRow) -> Result<Option<String>> {
        Ok(self.candidate_damage(&self.ledger.image(candidate.image)?, &candidate.path))
    }

    /// The same for a file that should be a candidate of `image`.
    pub(super) fn candidate_damage(&self, image: &ImageRow, path: &RelPath) -> Option<String> {
        let [width, height] = [image.lr_width_px, image.lr_height_px].map(|side| side as usize * SCALE);
        self.png_damage(path, width, height)
    }

    /// Deletes a candidate whose file is damaged, so that it is sampled again; says what was wrong, `None` if nothing.
    pub fn discard_if_damaged(&self, candidate: &CandidateRow) -> Result<Option<String>> {
        let damage = self.damage_of(candidate)?;
        if damage.is_some() {
            self.delete_file(&candidate.path)?;
            let check = FileCheck { owner: FileOwner::Candidate, id: candidate.id.0, is_missing: true };
            self.ledger.mark_files(&[check])?;
        }
        Ok(damage)
    }

    /// Whether the files of an image are there and whole.
    pub fn is_image_whole(&self, image: &ImageRow) -> bool {
        let (width, height) = (image.lr_width_px as usize, image.lr_height_px as usize);
        let hr_damage = |path| self.png_damage(path, width * SCALE, height * SCALE);
        self.png_damage(&image.lr_path, width, height).is_none() && image.hr_path.as_ref().and_then(hr_damage).is_none()
    }

    fn png_damage(&self, path: &RelPath, width: usize, height: usize) -> Option<String> {
        let path = self.path(path);
        match fs::metadata(&path).and_then(|about| if about.is_file() { fs::read(&path).map(Some) } else { Ok(None) }) {
            Ok(Some(bytes)) => png_damage(&bytes, width, height),
            Ok(None) => Some("it is no regular file".into()),
            Err(e) if e.kind() == ErrorKind::NotFound => Some("it is gone".into()),
            Err(_) => None,
        }
    }
}
