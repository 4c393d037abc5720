//! A picture on its way in, and which parts of it become images.

use std::path::Path;

use crate::Result;
use crate::engine::context::Context;
use crate::fs::hash;
use crate::imaging::Image;
use crate::imaging::crop::{self, Crop};
use crate::imaging::fingerprint::fingerprint;

/// A picture with where it came from.
pub struct Incoming {
    pub name: String,
    pub source: String,
    pub hash: String,
    pub fingerprint: u64,
    pub image: Image,
}

impl Incoming {
    pub fn read(context: &Context, path: &Path) -> Result<Self> {
        let image = context.read_picture(path)?;
        Ok(Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            source: path.display().to_string(),
            hash: hash::hash_file(path)?,
            fingerprint: fingerprint(&image)?,
            image,
        })
    }

    /// The whole picture for a `size_px` of 0, else crops. They are chosen by the file's hash: the same file gives the
    /// same crops everywhere.
    pub fn parts(&self, size_px: usize, count: usize) -> Result<Vec<Part>> {
        if size_px == 0 {
            return Ok(vec![Part { name: self.name.clone(), crop: None }]);
        }
        let crops = crop::crops(&self.image, size_px, count, seed_of(&self.hash))?;
        let name = |index: usize| format!("{} {}", self.name, index + 1);
        Ok(crops.into_iter().enumerate().map(|(i, crop)| Part { name: name(i), crop: Some(crop) }).collect())
    }
}

/// The seed a hash stands for.
pub fn seed_of(hash: &str) -> u64 {
    hash.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// A part of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    /// In the pixels of the picture; `None` is all of it.
    pub crop: Option<Crop>,
}

impl Part {
    /// How the ledger calls what is made of this part in some way.
    pub fn variant(&self, way: &str) -> String {
        match self.crop {
            None => way.to_owned(),
            Some(Crop { x, y, size_px }) => format!("crop {x},{y} {size_px}px {way}"),
        }
    }

    /// The part of a picture that a variant of the ledger is of, in the pixels of its source.
    pub fn crop_of(variant: &str) -> Option<Crop> {
        let (place, rest) = variant.strip_prefix("crop ")?.split_once(' ')?;
        let (x, y) = place.split_once(',')?;
        let (size, _) = rest.split_once("px ")?;
        Some(Crop { x: x.parse().ok()?, y: y.parse().ok()?, size_px: size.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_tells_its_crop() {
        let part = |crop| Part { name: "a 1".into(), crop };
        let crop = Some(Crop { x: 12, y: 0, size_px: 48 });
        assert_eq!(part(crop).variant("lr"), "crop 12,0 48px lr");
        assert_eq!(Part::crop_of(&part(crop).variant("realesrgan_x4")), crop);
        assert_eq!(Part::crop_of(&part(None).variant("lr")), None);
        assert_eq!(Part::crop_of("crop 1,x 2px lr"), None);
    }
}
