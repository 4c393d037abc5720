//! Prompts as the paper has them: tags of what is to be seen on an LR image, by RAM with DAPE's changes.
//!
//! Published files are read as they are: of RAM's 5.6 GB only what gives tags, of DAPE its low-rank factors, which are merged in
//! memory; [`convert`] writes the two as one small file, once.

use std::path::Path;

use crate::fs::atomic;
use crate::imaging::Image;
use crate::networks::ram::{self, Config, Ram};
use crate::nn::kernels::Compute;
use crate::nn::kernels::resample::Interpolation;
use crate::nn::tape::{Tape, Var};
use crate::nn::tensors::{self, Named, Width};
use crate::weights::Part;
use crate::weights::registry::{DAPE, RAM, RAM_DAPE, RAM_TAGS};
use crate::weights::store::Store;
use crate::{Error, Result, input};

/// The model, and its tags.
pub struct Tagger {
    ram: Ram,
    tags: Vec<Tag>,
}

/// A tag, and how likely it has to be to be given.
struct Tag {
    name: String,
    threshold: f64,
}

/// Mean and deviation of each channel, as ImageNet's networks take them.
const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

/// The parts that it is opened with: the converted file where that is there, else the published ones.
pub fn parts(store: &Store) -> &'static [&'static Part] {
    static CONVERTED: [&Part; 2] = [&RAM_DAPE, &RAM_TAGS];
    static PUBLISHED: [&Part; 3] = [&RAM, &DAPE, &RAM_TAGS];
    if store.lacking(&CONVERTED[..1]).is_empty() { &CONVERTED } else { &PUBLISHED }
}

impl Tagger {
    /// Errors, in one line: what is missing and how to get it; files that are not of this model.
    pub fn open(store: &Store, on: &Compute) -> Result<Self> {
        let is_converted = parts(store).iter().any(|part| part.id == RAM_DAPE.id);
        let (ram, dape) = match is_converted {
            true => (store.open(&RAM_DAPE)?, None),
            false => (ram::published(store.open(&RAM)?)?, Some(store.open(&DAPE)?)),
        };
        let config = Config::of(&ram)?;
        let tags = tags(store, config.tags)?;
        Ok(Self { ram: Ram::open(&ram, dape.as_ref(), config, on)?, tags })
    }

    /// The tags of an image, in the order of the list.
    pub fn tags(&self, image: &Image) -> Result<Vec<&str>> {
        let (on, side) = (self.ram.params().compute(), self.ram.side_px());
        let tape = Tape::inference(&on.kernels);
        let x = Var::constant(normalized(image, on)?);
        let x = tape.interpolate(&x, [side; 2], Interpolation::Bilinear, true)?;
        let logits = self.ram.logits(&x)?.to_device(&candle_core::Device::Cpu)?.to_vec1::<f32>()?;
        let likely = |(tag, logit): (&Tag, f32)| 1.0 / (1.0 + (-f64::from(logit)).exp()) > tag.threshold;
        let all = self.tags.iter().zip(logits);
        Ok(all.filter(|&(tag, logit)| likely((tag, logit))).map(|(tag, _)| tag.name.as_str()).collect())
    }

    /// The prompt of an image.
    pub fn prompt(&self, image: &Image) -> Result<String> {
        Ok(self.tags(image)?.join(", "))
    }
}

/// `[1, height, width, 3]`.
fn normalized(image: &Image, on: &Compute) -> Result<candle_core::Tensor> {
    let [mean, deviation] = IMAGENET;
    let [r, g, b] = [0, 1, 2].map(|c| image.plane(c));
    let mut values = Vec::with_capacity(3 * r.len());
    for ((r, g), b) in r.iter().zip(g).zip(b) {
        values.extend([(0, r), (1, g), (2, b)].map(|(c, v)| (v - mean[c]) / deviation[c]));
    }
    Ok(candle_core::Tensor::from_vec(values, (1, image.height(), image.width(), 3), &on.device)?)
}

/// The list of tags and that of their thresholds, a line each.
fn tags(store: &Store, count: usize) -> Result<Vec<Tag>> {
    let found = store.files(&RAM_TAGS)?;
    let lines = |file: &str| -> Result<(std::path::PathBuf, Vec<String>)> {
        let file = found.files.iter().find(|found| found.published.name() == file);
        let path = file.map(|file| file.path.clone()).ok_or_else(|| Error::invalid("a list of tags is missing"))?;
        let lines: Vec<String> = input::read_text(&path)?.lines().map(|line| line.trim().to_owned()).collect();
        match lines.len() {
            n if n == count => Ok((path, lines)),
            n => Err(Error::file(path, format!("{n} lines; the tag model knows {count} tags, a line each"))),
        }
    };
    let (_, names) = lines("ram_tag_list.txt")?;
    let (path, thresholds) = lines("ram_tag_list_threshold.txt")?;
    let tag = |(name, threshold): (String, String)| match threshold.parse() {
        Ok(threshold) if (0.0..=1.0).contains(&threshold) => Ok(Tag { name, threshold }),
        _ => Err(Error::file(&path, format!("{threshold:?} is no threshold from 0 to 1"))),
    };
    names.into_iter().zip(thresholds).map(tag).collect()
}

/// Writes RAM with DAPE's changes as one file of safetensors, with what gives tags alone: 0.85 GB instead of 5.6.
/// Errors: files are missing or not of this model; it cannot be written.
pub fn convert(store: &Store, path: &Path) -> Result<()> {
    let (ram, dape) = (ram::published(store.open(&RAM)?)?, store.open(&DAPE)?);
    let specs = ram::specs(&Config::of(&ram)?);
    let values = specs.iter().map(|(name, shape)| Ok((name, shape, ram::merged(&ram, Some(&dape), name, shape)?)));
    let values = values.collect::<Result<Vec<_>>>()?;
    let named = values.iter().map(|(name, shape, values)| Named {
        name: (*name).to_owned(),
        shape: shape.to_vec(),
        values: tensors::Values::Slice(values),
    });
    let named: Vec<Named> = named.collect();
    atomic::write_atomic_with(path, |out| tensors::write_as(out, &tensors::About::new(), named, Width::F32))
}
