//! Training states of earlier versions: values as little-endian f32, one after the other, after one or two lines of text.
//!
//! Written until 0.1.0 by fine-tuning (versions 1 and 2) and by pre-training. They hold frozen weights too, and in LoRA mode
//! the average of the merged weights.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::{Value, json};

use super::params::Specs;
use super::state::{Checksum, OldLayout, Part, damaged, foreign};
use super::tensors::{About, f32s};
use crate::Result;

/// How a state of version 2 begins, followed by the checksum of everything after the first line in hexadecimal. Then comes the
/// [`Header`] as a line of JSON, then the values.
const FORMAT_2: &str = "dp2o-studio training state 2 ";
/// What the header of version 1 says; it was the first line, and the checksum is of the values alone.
const FORMAT_1: &str = "dp2o-studio training state 1";

/// What the values of a state of fine-tuning are.
#[derive(Deserialize)]
struct Header {
    step: u64,
    optimizer_step: u64,
    /// Values trained; the state holds them, both moments, and the average if there is one.
    trained: usize,
    average: usize,
}

/// The first line of version 1.
#[derive(Deserialize)]
struct Header1 {
    format: String,
    checksum: u64,
    #[serde(flatten)]
    header: Header,
}

/// The values of a state, and where in them each part of each weight is.
pub(super) struct Old<'b> {
    values: &'b [u8],
    places: BTreeMap<String, Range<usize>>,
    averaged: bool,
}

impl Old<'_> {
    /// The values of a part of a weight, by the name of the part.
    pub fn values(&self, part: &str) -> Option<Vec<f32>> {
        self.places.get(part).and_then(|range| self.values.get(range.clone())).map(f32s)
    }

    /// Whether it has a moving average, of whatever.
    pub fn has_average(&self) -> bool {
        self.averaged
    }
}

/// Reads a state of an earlier version and what it says of itself; `None` if it is of none. Errors: it is damaged, or of
/// other weights than those of `layout`.
pub(super) fn read<'b>(bytes: &'b [u8], layout: &OldLayout) -> Result<Option<(About, Old<'b>)>> {
    let Some((first, rest)) = split_line(bytes) else { return Ok(None) };
    if let Some(sum) = first.strip_prefix(FORMAT_2.as_bytes()) {
        if sum != format!("{:016x}", checksum(rest)).as_bytes() {
            return Err(damaged());
        }
        let (line, values) = split_line(rest).ok_or_else(damaged)?;
        let header = serde_json::from_slice(line).map_err(|_| damaged())?;
        return fine_tuning(header, values, layout).map(Some);
    }
    if let Ok(line) = serde_json::from_slice::<Header1>(first) {
        if line.format != FORMAT_1 || checksum(rest) != line.checksum {
            return Err(damaged());
        }
        return fine_tuning(line.header, rest, layout).map(Some);
    }
    if let Ok((progress, optimizer_step)) = serde_json::from_slice::<(Value, u64)>(first) {
        return pre_training(progress, optimizer_step, rest, layout).map(Some);
    }
    Ok(None)
}

/// The step of a state by its first bytes.
pub(super) fn step_of(begin: &[u8]) -> Option<u64> {
    let (first, rest) = split_line(begin)?;
    let line = if first.starts_with(FORMAT_2.as_bytes()) { split_line(rest)?.0 } else { first };
    let header: Value = serde_json::from_slice(line).ok()?;
    header.get("step").or_else(|| header.get(0)?.get("step"))?.as_u64()
}

fn fine_tuning<'b>(header: Header, values: &'b [u8], layout: &OldLayout) -> Result<(About, Old<'b>)> {
    let count = header.trained.saturating_mul(3).saturating_add(header.average);
    if values.len() != count.saturating_mul(4) {
        return Err(damaged());
    }
    let is_average = header.average > 0;
    let fits = |count: usize, specs: &Specs| count == specs.value_count();
    if !fits(header.trained, layout.trained) || (is_average && !fits(header.average, layout.averaged)) {
        return Err(foreign());
    }
    let mut parts = vec![Part::Trained, Part::First, Part::Second];
    parts.extend(is_average.then_some(Part::Average));
    let about = json!({"step": header.step, "optimizer_step": header.optimizer_step});
    Ok((object(about), placed(values, &parts, layout)))
}

fn pre_training<'b>(progress: Value, step: u64, values: &'b [u8], layout: &OldLayout) -> Result<(About, Old<'b>)> {
    if values.len() != 16 * layout.trained.value_count() {
        return Err(foreign());
    }
    let about = json!({"step": progress["step"], "optimizer_step": step, "progress": progress});
    Ok((object(about), placed(values, &[Part::Trained, Part::Average, Part::First, Part::Second], layout)))
}

fn placed<'b>(values: &'b [u8], parts: &[Part], layout: &OldLayout) -> Old<'b> {
    let (mut places, mut end) = (BTreeMap::new(), 0);
    for &part in parts {
        let specs = if part == Part::Average { layout.averaged } else { layout.trained };
        for (name, shape) in specs.iter() {
            let begin = end;
            end += 4 * shape.iter().product::<usize>();
            places.insert(part.name(name), begin..end);
        }
    }
    Old { values, places, averaged: parts.contains(&Part::Average) }
}

fn object(value: Value) -> About {
    match value {
        Value::Object(map) => map,
        _ => About::new(),
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = Checksum::default();
    sum.add(bytes);
    sum.0
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
