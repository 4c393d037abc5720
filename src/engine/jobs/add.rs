//! Adding images: LR as given, or made from HR by a degradation; whole or in crops; files, folders, shipped photographs.

use std::path::{Path, PathBuf};

use super::leaks;
use super::splits::Splits;
use crate::degrade::{Degradation, degrade};
use crate::engine::context::Context;
use crate::engine::failures::Failures;
use crate::engine::progress::Meter;
use crate::engine::protocol::{AddImages, Change, Level, Outcome, Role};
use crate::imaging::crop::{self, Crop};
use crate::imaging::fingerprint::fingerprint;
use crate::imaging::quantize::quantized;
use crate::imaging::{Image, SCALE, decode, encode};
use crate::workspace::{ImageRow, NewImage, SplitChoice, hash};
use crate::{Error, Result, example};

/// A picture on its way in.
struct Incoming {
    name: String,
    source: String,
    hash: String,
    fingerprint: u64,
    image: Image,
}

/// What is made of it.
struct Options<'a> {
    role: Role,
    split: SplitChoice,
    crop_px: usize,
    crops: usize,
    degradation: &'a str,
}

/// Adds files and folders; what cannot be read is reported and left out.
pub fn add(context: &mut Context, request: &AddImages) -> Result<Outcome> {
    context.workspace()?;
    if request.role == Role::Hr {
        Degradation::named(&request.degradation)?;
    }
    let mut failed = Failures::default();
    let mut paths = Vec::new();
    for path in &request.paths {
        match files_of(path) {
            Ok(files) => paths.extend(files),
            Err(error) => failed.add(error),
        }
    }
    failed.items = paths.len() + failed.causes.len();
    let options = Options {
        role: request.role,
        split: request.split,
        crop_px: request.crop_px,
        crops: request.crops.max(1),
        degradation: &request.degradation,
    };
    let mut meter = Meter::new("adding", "files", paths.len());
    let mut images = 0;
    let before = Splits::of(context)?;
    for path in paths {
        context.checkpoint()?;
        let added = read(context, &path).and_then(|incoming| {
            add_one(context, &incoming, &options).map_err(|e| match e {
                Error::Invalid(cause) => Error::file(&path, cause),
                other => other,
            })
        });
        match added {
            Ok(count) => images += count,
            Err(error) if error.ends_job() => return Err(error),
            Err(error) => failed.add(error),
        }
        context.advance(&mut meter, 1);
    }
    context.changed(Change::Images);
    leaks::warn(context, &before.come_since(context)?)?;
    before.say_others(context, [])?;
    failed.causes.iter().for_each(|cause| context.log(Level::Warning, format!("not added: {cause}")));
    match failed.causes.first() {
        Some(first) if images == 0 => Err(Error::invalid(first)),
        None if images == 0 => Err(Error::invalid("nothing to add: no image files there")),
        _ => Ok(Outcome::Added { images, failed }),
    }
}

/// Adds crops of the shipped photographs, as many as the recipe says, shared evenly among the photographs.
pub fn add_example(context: &mut Context) -> Result<Outcome> {
    let data = context.recipe.data.clone();
    let photos = example::photos();
    let mut meter = Meter::new("adding", "photographs", photos.len());
    let mut images = 0;
    for held_out in [false, true] {
        let some: Vec<_> = photos.iter().filter(|photo| photo.held_out == held_out).collect();
        let total = if held_out { data.held_out_crops } else { data.crops };
        for (index, photo) in some.iter().enumerate() {
            context.checkpoint()?;
            let share = (total * (index + 1) / some.len()) - (total * index / some.len());
            let image = decode::decode_bytes(photo.bytes)?;
            let incoming = Incoming {
                name: photo.name.into(),
                source: format!("shipped photograph {}", photo.file_name),
                hash: hash::hash_bytes(photo.bytes),
                fingerprint: fingerprint(&image)?,
                image,
            };
            if share > 0 {
                let options = Options {
                    role: Role::Hr,
                    split: if held_out { SplitChoice::ByRule } else { SplitChoice::default() },
                    crop_px: data.crop_px,
                    crops: share,
                    degradation: &data.degradation,
                };
                images += add_one(context, &incoming, &options)?;
            }
            context.advance(&mut meter, 1);
        }
    }
    context.changed(Change::Images);
    Ok(Outcome::Added { images, failed: Failures::default() })
}

/// The file itself, or the images of a folder in the order of their names.
fn files_of(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|e| Error::file(path, e))?;
    let known = |p: &PathBuf| {
        let extension = p.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        p.is_file() && decode::EXTENSIONS.contains(&extension.as_str())
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(known).collect();
    files.sort();
    match files.is_empty() {
        true => Err(Error::file(path, format!("no image in this folder ({})", decode::EXTENSIONS.join(", ")))),
        false => Ok(files),
    }
}

fn read(context: &Context, path: &Path) -> Result<Incoming> {
    let image = context.read_picture(path)?;
    Ok(Incoming {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        source: path.display().to_string(),
        fingerprint: fingerprint(&image)?,
        image,
        hash: hash::hash_file(path)?,
    })
}

fn add_one(context: &Context, incoming: &Incoming, options: &Options) -> Result<usize> {
    match options.role {
        Role::Lr => add_lr(context, incoming, options),
        Role::Hr => match partner(context, incoming)? {
            Some(row) => {
                let hr = quantized(&incoming.image);
                context.workspace()?.set_hr(row.id, &encode::png_bytes(&hr)?, Some(&incoming.hash))?;
                Ok(1)
            }
            None => add_hr(context, incoming, options),
        },
    }
}

/// The LR image of this name that has no HR image yet and is exactly [`SCALE`] times smaller.
fn partner(context: &Context, incoming: &Incoming) -> Result<Option<ImageRow>> {
    let fits = |row: &ImageRow| {
        let size = (row.lr_width_px as usize * SCALE, row.lr_height_px as usize * SCALE);
        row.name == incoming.name && row.hr_path.is_none() && size == (incoming.image.width(), incoming.image.height())
    };
    Ok(context.workspace()?.ledger().images()?.into_iter().find(fits))
}

/// The crops asked for, or none where the whole image is wanted. The seed is the file's hash: the same file gives the
/// same crops everywhere.
fn crops_of(incoming: &Incoming, size_px: usize, count: usize) -> Result<Vec<Crop>> {
    let seed = u64::from_str_radix(incoming.hash.get(..16).unwrap_or("0"), 16).unwrap_or(0);
    if size_px == 0 { Ok(Vec::new()) } else { crop::crops(&incoming.image, size_px, count, seed) }
}

/// Name and variant of a part of an image.
fn part_of(incoming: &Incoming, crop: Option<(usize, Crop)>) -> (String, String) {
    match crop {
        None => (incoming.name.clone(), String::new()),
        Some((index, Crop { x, y, size_px })) => {
            (format!("{} {}", incoming.name, index + 1), format!("crop {x},{y} {size_px}px "))
        }
    }
}

fn add_hr(context: &Context, incoming: &Incoming, options: &Options) -> Result<usize> {
    let recipe = Degradation::named(options.degradation)?;
    let crops = crops_of(incoming, options.crop_px, options.crops)?;
    let parts: Vec<Option<(usize, Crop)>> = match crops.is_empty() {
        true => vec![None],
        false => crops.into_iter().enumerate().map(Some).collect(),
    };
    for part in &parts {
        let hr = match part {
            Some((_, crop)) => crop::apply(&incoming.image, *crop)?,
            None => crop::trim(&incoming.image, SCALE)?,
        };
        let hr = quantized(&hr);
        let (name, variant) = part_of(incoming, *part);
        let variant = format!("{variant}{}", options.degradation);
        let identity = hash::hash_bytes(format!("{}{variant}", incoming.hash).as_bytes());
        let seed = u64::from_str_radix(identity.get(..16).unwrap_or("0"), 16).unwrap_or(0);
        let (lr, applied) = degrade(&hr, &recipe, seed)?;
        let new = NewImage {
            name,
            source: incoming.source.clone(),
            source_hash: incoming.hash.clone(),
            variant,
            split: options.split,
            lr_width_px: lr.width() as u32,
            lr_height_px: lr.height() as u32,
            degradation: Some(serde_json::to_string(&applied).map_err(Error::invalid)?),
            source_fingerprint: Some(incoming.fingerprint),
            ..NewImage::default()
        };
        context.workspace()?.add_image(&new, &encode::png_bytes(&lr)?, Some(&encode::png_bytes(&hr)?))?;
    }
    Ok(parts.len())
}

fn add_lr(context: &Context, incoming: &Incoming, options: &Options) -> Result<usize> {
    // The size is given in HR pixels, also where there is no HR image.
    let crops = crops_of(incoming, options.crop_px / SCALE, options.crops)?;
    let parts: Vec<Option<(usize, Crop)>> = match crops.is_empty() {
        true => vec![None],
        false => crops.into_iter().enumerate().map(Some).collect(),
    };
    for part in &parts {
        let lr = match part {
            Some((_, crop)) => crop::apply(&incoming.image, *crop)?,
            None => incoming.image.clone(),
        };
        let (name, variant) = part_of(incoming, *part);
        let new = NewImage {
            name,
            source: incoming.source.clone(),
            source_hash: incoming.hash.clone(),
            variant: format!("{variant}lr"),
            split: options.split,
            lr_width_px: lr.width() as u32,
            lr_height_px: lr.height() as u32,
            source_fingerprint: Some(incoming.fingerprint),
            ..NewImage::default()
        };
        context.workspace()?.add_image(&new, &encode::png_bytes(&quantized(&lr))?, None)?;
    }
    Ok(parts.len())
}
