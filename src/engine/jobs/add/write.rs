//! Puts images into the workspace, and gives those that are here their partner.

use std::path::Path;

use super::compare::{hr_part, lr_crop};
use super::incoming::{Incoming, Part, seed_of};
use super::sides::{Here, hr_hash};
use crate::degrade::{Degradation, degrade};
use crate::engine::added::Added;
use crate::engine::context::Context;
use crate::engine::jobs::prompts::Listed;
use crate::fs::hash;
use crate::imaging::crop;
use crate::imaging::quantize::quantized;
use crate::imaging::{Image, SCALE, decode, encode};
use crate::workspace::{ImageId, ImageRow, NewImage, SplitChoice, Workspace};
use crate::{Error, Result};

/// What is made of pictures.
pub struct Options {
    pub split: SplitChoice,
    pub crop_px: usize,
    pub crops: usize,
    pub degradation: String,
    pub prompts: Listed,
}

/// Writes, and keeps account of it.
pub struct Writer<'a> {
    pub context: &'a Context,
    pub options: &'a Options,
    pub added: &'a mut Added,
}

/// What became of a picture.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    new: usize,
    known: usize,
}

impl Writer<'_> {
    fn workspace(&self) -> Result<&Workspace> {
        self.context.workspace()
    }

    fn count(&mut self, source: &str, count: Count) {
        self.added.images += count.new;
        if count.new == 0 && count.known > 0 {
            self.added.known.push(source.to_owned());
        }
    }

    /// Adds an HR picture with LR images that are made of it.
    pub fn hr(&mut self, hr: &Incoming) -> Result<()> {
        let recipe = Degradation::named(&self.options.degradation)?;
        let mut count = Count::default();
        for part in hr.parts(self.options.crop_px, self.options.crops)? {
            let pixels = match part.crop {
                Some(crop) => crop::apply(&hr.image, crop)?,
                None => crop::trim(&hr.image, SCALE)?,
            };
            let pixels = quantized(&pixels);
            let variant = part.variant(&self.options.degradation);
            if self.is_here(&hr.hash, &variant)? {
                count.known += 1;
                continue;
            }
            let identity = hash::hash_bytes(format!("{}{variant}", hr.hash).as_bytes());
            let (lr, applied) = degrade(&pixels, &recipe, seed_of(&identity))?;
            let new = NewImage {
                degradation: Some(serde_json::to_string(&applied).map_err(Error::invalid)?),
                ..self.new_image(hr, part.name, variant, &lr)
            };
            let id = self.workspace()?.add_image(&new, &encode::png_bytes(&lr)?, Some(&encode::png_bytes(&pixels)?))?;
            self.say(id, &[hr])?;
            count.new += 1;
        }
        self.added.made += count.new;
        self.count(&hr.source, count);
        Ok(())
    }

    /// Adds an LR picture without HR.
    pub fn lr(&mut self, lr: &Incoming) -> Result<()> {
        let mut count = Count::default();
        for part in lr.parts(self.lr_crop_px()?, self.options.crops)? {
            let variant = part.variant("lr");
            if self.is_here(&lr.hash, &variant)? {
                count.known += 1;
                continue;
            }
            let pixels = lr_part(&lr.image, part.crop)?;
            decode::check_x4(pixels.width(), pixels.height())?;
            let new = self.new_image(lr, part.name, variant, &pixels);
            let id = self.workspace()?.add_image(&new, &encode::png_bytes(&pixels)?, None)?;
            self.say(id, &[lr])?;
            count.new += 1;
        }
        self.count(&lr.source, count);
        Ok(())
    }

    /// Adds an LR picture with its HR picture. An aligned crop cuts both.
    pub fn pair(&mut self, lr: &Incoming, hr: &Incoming) -> Result<()> {
        let split = self.split_with(&[&lr.hash, &hr.hash])?;
        let (mut count, mut joined) = (Count::default(), 0);
        for part in lr.parts(self.lr_crop_px()?, self.options.crops)? {
            let variant = part.variant("lr");
            let here = self.here(&lr.hash, &variant)?;
            let workspace = self.workspace()?;
            if here.as_ref().is_some_and(|row| row.hr_path.is_some() && workspace.is_image_whole(row)) {
                count.known += 1;
                continue;
            }
            let pixels = lr_part(&lr.image, part.crop)?;
            let hr_pixels = quantized(&hr_part(&hr.image, part.crop)?);
            let hr_source_hash = Some(hr.hash.clone());
            let new = NewImage { hr_source_hash, split, ..self.new_image(lr, part.name, variant, &pixels) };
            let (lr_png, hr_png) = (encode::png_bytes(&pixels)?, encode::png_bytes(&hr_pixels)?);
            let id = self.workspace()?.add_image(&new, &lr_png, Some(&hr_png))?;
            self.say(id, &[lr, hr])?;
            count.new += usize::from(here.is_none());
            joined += 1;
        }
        self.added.pairs += joined;
        self.added.images += count.new;
        if joined == 0 {
            self.count(&lr.source, count);
        }
        self.replace_made(&hr.hash)
    }

    /// Adds an LR picture whose HR images are here, cut as they are.
    pub fn lr_of(&mut self, lr: &Incoming, here: &Here) -> Result<()> {
        let hr_hash = here.rows.first().and_then(hr_hash).map(str::to_owned);
        let hashes: Vec<&str> = std::iter::once(lr.hash.as_str()).chain(hr_hash.as_deref()).collect();
        let split = self.split_with(&hashes)?;
        let (mut count, mut done) = (Count::default(), Vec::new());
        for row in &here.rows {
            let (crop, Some(hr_path)) = (lr_crop(row), &row.hr_path) else { continue };
            if done.contains(&crop) {
                continue;
            }
            done.push(crop);
            let part = Part { name: row.name.clone(), crop };
            let variant = part.variant("lr");
            let workspace = self.workspace()?;
            if self.here(&lr.hash, &variant)?.is_some_and(|row| row.hr_path.is_some() && workspace.is_image_whole(&row))
            {
                count.known += 1;
                continue;
            }
            let pixels = lr_part(&lr.image, crop)?;
            let path = self.workspace()?.path(hr_path);
            let hr_png = std::fs::read(&path).map_err(|e| Error::file(&path, e))?;
            let hr_source_hash = hr_hash.clone();
            let new = NewImage { hr_source_hash, split, ..self.new_image(lr, part.name, variant, &pixels) };
            let id = self.workspace()?.add_image(&new, &encode::png_bytes(&pixels)?, Some(&hr_png))?;
            self.say(id, &[lr])?;
            count.new += 1;
        }
        self.added.pairs += count.new;
        self.count(&lr.source, count);
        hr_hash.map_or(Ok(()), |hash| self.replace_made(&hash))
    }

    /// Gives LR images that are here their HR picture.
    pub fn hr_of(&mut self, here: &Here, hr: &Incoming) -> Result<()> {
        let Some(first) = here.rows.first() else { return Ok(()) };
        self.split_with(&[&first.source_hash, &hr.hash])?;
        for row in &here.rows {
            // An LR file of the same call may have been here already and have got it.
            if self.workspace()?.ledger().image(row.id)?.hr_path.is_none() {
                let pixels = quantized(&hr_part(&hr.image, lr_crop(row))?);
                self.workspace()?.set_hr(row.id, &encode::png_bytes(&pixels)?, Some(&hr.hash))?;
                self.added.pairs += 1;
            }
        }
        self.replace_made(&hr.hash)
    }

    /// What a pair of these files is for: what is asked for, else what LR or HR is held out for. What is here of them goes
    /// along, so that holding out is never dropped.
    fn split_with(&self, hashes: &[&str]) -> Result<SplitChoice> {
        let ledger = self.workspace()?.ledger();
        let rows: Vec<ImageRow> = ledger.images_of_files(hashes)?.into_iter().filter(|row| !row.removed).collect();
        let asked = self.options.split;
        let held_out = rows.iter().find(|row| row.is_held_out()).map(ImageRow::choice);
        let split = if asked.is_held_out() { asked } else { held_out.unwrap_or(asked) };
        let others = rows.iter().filter(|row| !agrees(row, split)).map(|row| (row.id, split));
        ledger.set_splits(&others.collect::<Vec<_>>())?;
        Ok(split)
    }

    /// Takes away the LR images that were made of an HR file for want of a given one, unless candidates of them exist.
    fn replace_made(&mut self, hr_hash: &str) -> Result<()> {
        let ledger = self.workspace()?.ledger();
        let is_made = |row: &ImageRow| !row.removed && row.degradation.is_some() && row.source_hash == hr_hash;
        let made: Vec<ImageRow> = ledger.images_of_files(&[hr_hash])?.into_iter().filter(is_made).collect();
        let Some(first) = made.first() else { return Ok(()) };
        let sampled = made.iter().map(|row| ledger.has_candidates(row.id)).collect::<Result<Vec<bool>>>()?;
        if sampled.contains(&true) {
            self.added.beside.push(first.source.clone());
            return Ok(());
        }
        ledger.atomically(|ledger| made.iter().try_for_each(|row| ledger.set_removed(row.id, true)))?;
        self.added.replaced.push(first.source.clone());
        Ok(())
    }

    /// Notes what is said of the first of some pictures of an image of which something is.
    fn say(&mut self, id: ImageId, of: &[&Incoming]) -> Result<()> {
        for incoming in of {
            match self.options.prompts.of(Path::new(&incoming.source)) {
                Ok(Some(prompt)) => {
                    self.added.prompts += usize::from(!prompt.is_empty());
                    return self.workspace()?.set_prompts(&[(id, prompt)]);
                }
                Ok(None) => {}
                // A text beside a picture may be anything.
                Err(error) => self.added.notes.push(format!("{error}; not taken as a prompt")),
            }
        }
        Ok(())
    }

    /// The image of this source and variant, if it is here.
    fn here(&self, source_hash: &str, variant: &str) -> Result<Option<ImageRow>> {
        Ok(self.workspace()?.ledger().image_of_source(source_hash, variant)?.filter(|row| !row.removed))
    }

    /// Whether nothing is to be done for an image; one that is for something else than is asked for is refused further on.
    fn is_here(&self, source_hash: &str, variant: &str) -> Result<bool> {
        let row = self.here(source_hash, variant)?;
        let workspace = self.workspace()?;
        Ok(row.is_some_and(|row| workspace.is_image_whole(&row) && agrees(&row, self.options.split)))
    }

    fn lr_crop_px(&self) -> Result<usize> {
        // The size is given in HR pixels, also where there is no HR image.
        match self.options.crop_px {
            size if size > 0 && size < SCALE => {
                Err(Error::invalid(format!("crops of {size} HR px are less than an LR pixel")))
            }
            size => Ok(size / SCALE),
        }
    }

    fn new_image(&self, of: &Incoming, name: String, variant: String, lr: &Image) -> NewImage {
        NewImage {
            name,
            source: of.source.clone(),
            source_hash: of.hash.clone(),
            variant,
            split: self.options.split,
            source_fingerprint: Some(of.fingerprint),
            lr_width_px: lr.width() as u32,
            lr_height_px: lr.height() as u32,
            ..NewImage::default()
        }
    }
}

fn agrees(row: &ImageRow, split: SplitChoice) -> bool {
    match split {
        SplitChoice::ByRule => row.is_held_out(),
        SplitChoice::Fixed(split) => row.split == split,
    }
}

fn lr_part(lr: &Image, crop: Option<crop::Crop>) -> Result<Image> {
    Ok(match crop {
        Some(crop) => quantized(&crop::apply(lr, crop)?),
        None => quantized(lr),
    })
}

/// An error of this file, where the error itself does not name one.
pub fn of_file(path: &Path) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Invalid(cause) => Error::file(path, cause),
        other => other,
    }
}
