//! The state of a training: everything that going on needs, one format for all that trains.
//!
//! A safetensors file of `trained.NAME`, `first.NAME` and `second.NAME` (the moments) and, where there is one, `average.NAME`
//! for each trained weight; remarks tell the step. Its last tensor, of 8 bytes, is the checksum of everything before it.
//! States of earlier versions are read as well: [`super::state_old`].

use std::io::{self, Read, Write};
use std::path::Path;

use serde_json::Value;

use super::lora;
use super::params::Specs;
use super::state_old::{self, Old};
use super::tensors::{self, About, MAX_HEADER_BYTES, Named, Tensors, Width};
use crate::{Error, Result};

/// What a state says it is.
const FORMAT: &str = "dp2o-studio training state 3";
/// The last tensor.
const CHECKSUM: &str = "checksum";
const CHECKSUM_BYTES: usize = 8;

/// What a tensor of a state is of its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The value.
    Trained,
    /// First moment of the gradient.
    First,
    /// Second moment of the gradient.
    Second,
    /// Moving average of the value.
    Average,
}

impl Part {
    /// What the part of the weight `name` is called.
    pub fn name(self, name: &str) -> String {
        let part = match self {
            Part::Trained => "trained",
            Part::First => "first",
            Part::Second => "second",
            Part::Average => "average",
        };
        format!("{part}.{name}")
    }
}

/// A state about to be written.
pub struct State<'s> {
    pub about: About,
    pub tensors: Vec<Named<'s>>,
}

impl State<'_> {
    /// The state after so many steps, still of nothing.
    pub fn at(step: u64) -> Self {
        let about = [("format", FORMAT.into()), ("step", step.into())].map(|(key, value)| (key.to_owned(), value));
        Self { about: about.into_iter().collect(), tensors: Vec::new() }
    }

    /// Writes it, tensor by tensor.
    pub fn write(self, out: &mut dyn Write) -> io::Result<()> {
        let mut summed = Summed { out, sum: Checksum::default() };
        let trailer = Some((CHECKSUM, CHECKSUM_BYTES));
        tensors::write_with_trailer(&mut summed, &self.about, self.tensors, Width::F32, trailer)?;
        let sum = summed.sum.0;
        summed.out.write_all(&sum.to_le_bytes())
    }
}

/// Which weights the values of a state of an earlier version are of: it does not say.
pub struct OldLayout<'s> {
    pub trained: &'s Specs,
    pub averaged: &'s Specs,
}

/// A state that was read and is whole.
pub struct Saved<'b> {
    about: About,
    values: Stored<'b>,
    /// Weights that it may hold, although nobody takes them.
    unread: &'b [String],
}

enum Stored<'b> {
    Named(Tensors<'b>),
    Old(Old<'b>),
}

impl<'b> Saved<'b> {
    /// Reads a state. Errors: it is damaged, or of an earlier version and of other weights than `old`.
    pub fn of(bytes: &'b [u8], old: OldLayout) -> Result<Self> {
        if let Some((about, values)) = state_old::read(bytes, &old)? {
            return Ok(Self { about, values: Stored::Old(values), unread: &[] });
        }
        let (content, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(damaged)?;
        let mut found = Checksum::default();
        found.add(content);
        let file = Tensors::of(bytes, Path::new("state")).map_err(|_| damaged())?;
        let is_state = file.about().get("format").and_then(Value::as_str) == Some(FORMAT);
        match is_state && found.0 == u64::from_le_bytes(*sum) {
            true => Ok(Self { about: file.about().clone(), values: Stored::Named(file), unread: &[] }),
            false => Err(damaged()),
        }
    }

    /// The same, in which weights, or factors of theirs, may be that are not taken.
    pub fn without(self, unread: &'b [String]) -> Self {
        Self { unread, ..self }
    }

    fn is_unread(&self, part: &str) -> bool {
        let name = part.split_once('.').map_or(part, |(_, name)| name);
        self.unread.iter().any(|unread| lora::weight_of(name) == unread)
    }

    /// What it says of itself.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// A number that it says of itself.
    pub fn number(&self, key: &str) -> Result<u64> {
        self.about.get(key).and_then(Value::as_u64).ok_or_else(damaged)
    }

    /// The values of a part of a weight.
    pub fn values(&self, part: Part, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let found = match &self.values {
            Stored::Named(file) => file.any_values(&part.name(name), shape).ok(),
            Stored::Old(old) => old.values(&part.name(name)).filter(|v| v.len() == shape.iter().product::<usize>()),
        };
        found.ok_or_else(foreign)
    }

    /// Errors: it holds not these parts of these weights; one of this version, others as well; one of an earlier version an
    /// average where none is `averaged`.
    pub(super) fn require<'n>(
        &self,
        names: impl Iterator<Item = &'n str> + Clone,
        parts: &[Part],
        averaged: bool,
    ) -> Result<()> {
        let mut wanted = parts.iter().flat_map(|part| names.clone().map(|name| part.name(name)));
        let is_there = match &self.values {
            Stored::Named(file) => {
                let count = parts.len() * names.clone().count();
                let taken = file.names().iter().filter(|name| !self.is_unread(name)).count();
                taken == count + 1 && wanted.all(|name| file.shape(&name).is_some())
            }
            Stored::Old(old) => old.has_average() == averaged && wanted.all(|name| old.values(&name).is_some()),
        };
        if is_there { Ok(()) } else { Err(foreign()) }
    }

    /// Whether it is of an earlier version that averaged other values than those trained: merged weights and not factors.
    pub(super) fn is_of_other_average<'n>(&self, mut names: impl Iterator<Item = &'n str>) -> bool {
        match &self.values {
            Stored::Named(_) => false,
            Stored::Old(old) => old.has_average() && names.any(|name| old.values(&Part::Average.name(name)).is_none()),
        }
    }
}

/// The step of a state by what its beginning says; nothing is checked.
pub fn step_of(mut file: impl Read) -> Option<u64> {
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let header = u64::from_le_bytes(length);
    if header > MAX_HEADER_BYTES {
        let mut begin = length.to_vec();
        file.take(1 << 12).read_to_end(&mut begin).ok()?;
        return state_old::step_of(&begin);
    }
    let mut text = Vec::new();
    file.take(header).read_to_end(&mut text).ok()?;
    let header: Value = serde_json::from_slice(&text).ok()?;
    tensors::about_of(&header)?.get("step")?.as_u64()
}

pub(super) fn damaged() -> Error {
    Error::invalid("not a whole training state")
}

pub(super) fn foreign() -> Error {
    Error::invalid("the training state belongs to other settings (network, LoRA or EMA)")
}

/// A fast sum that notices any changed word, and missing and stale blocks; no protection against malice.
pub(super) struct Checksum(pub u64);

impl Default for Checksum {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Checksum {
    /// Adds bytes; of all calls only the last may have a number that is no multiple of 4.
    pub fn add(&mut self, bytes: &[u8]) {
        let add = |sum: u64, word: u32| (sum ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01B3);
        let words = bytes.chunks_exact(4);
        let rest = words.remainder();
        let sum = words.fold(self.0, |sum, b| add(sum, u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        self.0 = rest.iter().fold(sum, |sum, &byte| add(sum, u32::from(byte)));
    }
}

/// Sums up what is written.
struct Summed<'w> {
    out: &'w mut dyn Write,
    sum: Checksum,
}

impl Write for Summed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.sum.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
