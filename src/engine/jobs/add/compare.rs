//! Reads what is to be compared, files and images of the workspace, and remembers it while it is needed.

use std::collections::HashMap;
use std::path::Path;

use super::incoming::Part;
use super::likeness::{Look, likeness};
use super::sides::{File, Here, Side, hr_hash};
use crate::Result;
use crate::engine::context::Context;
use crate::engine::protocol::Role;
use crate::fs::hash;
use crate::imaging::crop::{self, Crop};
use crate::imaging::{Image, SCALE, decode};
use crate::workspace::{ImageRow, RelPath, Workspace};

/// Compares LR and HR. What cannot be read fits nothing: that it cannot is said when it is added.
pub struct Comparer<'a> {
    context: &'a Context,
    files: &'a [File],
    whole: HashMap<usize, Option<Look>>,
    hashes: HashMap<usize, Option<String>>,
    last: Option<(usize, Image)>,
}

impl<'a> Comparer<'a> {
    pub fn new(context: &'a Context, files: &'a [File]) -> Self {
        Self { context, files, whole: HashMap::new(), hashes: HashMap::new(), last: None }
    }

    /// Forgets the pictures.
    pub fn forget(&mut self) {
        self.whole.clear();
        self.last = None;
    }

    /// Hash of the file an HR image is, or came from.
    pub fn hash_of(&mut self, hr: &Side) -> Option<String> {
        match hr {
            Side::Here(here) => here.rows.first().and_then(hr_hash).map(str::to_owned),
            Side::File(index) => {
                let path = self.files.get(*index).map(|file| file.path.as_path());
                self.hashes.entry(*index).or_insert_with(|| hash::hash_file(path?).ok()).clone()
            }
        }
    }

    /// How alike an LR and an HR side are; `None` where their sizes do not fit or one cannot be read.
    pub fn likeness(&mut self, lr: &Side, hr: &Side) -> Result<Option<f64>> {
        Ok(match (lr, hr) {
            (Side::File(lr), Side::File(hr)) => self.of_files(*lr, *hr),
            (Side::Here(here), Side::File(hr)) => self.of_rows_and_hr(here, *hr)?,
            (Side::File(lr), Side::Here(here)) => self.of_lr_and_rows(*lr, here)?,
            (Side::Here(_), Side::Here(_)) => None,
        })
    }

    fn of_files(&mut self, lr: usize, hr: usize) -> Option<f64> {
        let (lr_px, hr_px) = (self.files[lr].size_px?, self.files[hr].size_px?);
        if !fits(lr_px, hr_px) {
            return None;
        }
        for (index, file) in [lr, hr].map(|index| (index, &self.files[index])) {
            self.whole.entry(index).or_insert_with(|| {
                let image = read(&file.path)?;
                match file.role {
                    Role::Lr => Some(Look::of_lr(&image)),
                    Role::Hr => Look::of_hr(&image).ok(),
                }
            });
        }
        let look = |index| self.whole.get(&index).and_then(Option::as_ref);
        likeness(&[(look(lr)?, look(hr)?)])
    }

    /// LR images here, maybe crops of one, with a whole HR file.
    fn of_rows_and_hr(&mut self, here: &Here, hr: usize) -> Result<Option<f64>> {
        let Some(hr_px) = self.files[hr].size_px else { return Ok(None) };
        let fit = |row: &ImageRow| match lr_crop(row) {
            None => fits(lr_size(row), hr_px),
            Some(Crop { x, y, size_px }) => (x + size_px) * SCALE <= hr_px[0] && (y + size_px) * SCALE <= hr_px[1],
        };
        if !here.rows.iter().all(fit) {
            return Ok(None);
        }
        let workspace = self.context.workspace()?;
        let Some(image) = picture(&mut self.last, self.files, hr) else { return Ok(None) };
        let looks = here.rows.iter().map(|row| {
            let lr = read_here(workspace, &row.lr_path)?;
            let hr = hr_part(image, lr_crop(row)).ok()?;
            Some((Look::of_lr(&lr), Look::of_hr(&hr).ok()?))
        });
        Ok(pooled(looks.collect()))
    }

    /// A whole LR file with HR images here, maybe crops of one.
    fn of_lr_and_rows(&mut self, lr: usize, here: &Here) -> Result<Option<f64>> {
        let Some([width, height]) = self.files[lr].size_px else { return Ok(None) };
        let fit = |row: &ImageRow| match lr_crop(row) {
            None => lr_size(row) == [width, height],
            Some(Crop { x, y, size_px }) => x + size_px <= width && y + size_px <= height,
        };
        if !here.rows.iter().all(fit) {
            return Ok(None);
        }
        let workspace = self.context.workspace()?;
        let Some(image) = picture(&mut self.last, self.files, lr) else { return Ok(None) };
        let looks = here.rows.iter().map(|row| {
            let hr = read_here(workspace, row.hr_path.as_ref()?)?;
            let lr = match lr_crop(row) {
                None => Look::of_lr(image),
                Some(crop) => Look::of_lr(&crop::apply(image, crop).ok()?),
            };
            Some((lr, Look::of_hr(&hr).ok()?))
        });
        Ok(pooled(looks.collect()))
    }
}

/// Whether HR is four times as large as LR once it is trimmed.
pub fn fits(lr_px: [usize; 2], hr_px: [usize; 2]) -> bool {
    hr_px.map(|side| side / SCALE) == lr_px
}

/// The crop an image here is of its LR file, in LR pixels: given, or made from an HR file.
pub fn lr_crop(row: &ImageRow) -> Option<Crop> {
    let crop = Part::crop_of(&row.variant)?;
    Some(if row.degradation.is_some() { crop.of_lr() } else { crop })
}

/// What an LR image needs of its HR picture.
pub fn hr_part(hr: &Image, lr_crop: Option<Crop>) -> Result<Image> {
    match lr_crop {
        None => crop::trim(hr, SCALE),
        Some(Crop { x, y, size_px }) => crop::apply(hr, Crop { x: x * SCALE, y: y * SCALE, size_px: size_px * SCALE }),
    }
}

fn lr_size(row: &ImageRow) -> [usize; 2] {
    [row.lr_width_px as usize, row.lr_height_px as usize]
}

fn read_here(workspace: &Workspace, path: &RelPath) -> Option<Image> {
    decode::read(workspace.path(path)).ok()
}

fn picture<'b>(last: &'b mut Option<(usize, Image)>, files: &[File], index: usize) -> Option<&'b Image> {
    if last.as_ref().is_none_or(|(at, _)| *at != index) {
        *last = Some((index, read(&files.get(index)?.path)?));
    }
    last.as_ref().map(|(_, image)| image)
}

fn read(path: &Path) -> Option<Image> {
    decode::read(path).ok()
}

fn pooled(looks: Option<Vec<(Look, Look)>>) -> Option<f64> {
    let looks = looks?;
    likeness(&looks.iter().map(|(lr, hr)| (lr, hr)).collect::<Vec<_>>())
}
