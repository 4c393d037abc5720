//! Arrays as numpy's `savez` writes them: a zip archive of `NAME.npy`, each a header in the words of a Python dictionary and the values.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bytes::Bytes;
use super::dtype::Dtype;
use super::stored::Stored;
use super::zip;
use crate::Result;

/// The longest header of an array that is read, in bytes.
const MAX_HEADER_BYTES: u64 = 1 << 16;

/// Whether bytes begin as an archive of arrays does.
pub fn is_npz(bytes: &Bytes) -> Result<bool> {
    const BEGIN: u64 = 30;
    if bytes.len() < BEGIN {
        return Ok(false);
    }
    let begin = bytes.range(0, BEGIN)?;
    let name_len = u64::from(u16::from_le_bytes([begin[26], begin[27]]));
    let is_zip = begin.starts_with(b"PK\x03\x04") && bytes.len() >= BEGIN + name_len;
    Ok(is_zip && bytes.range(BEGIN, name_len)?.ends_with(b".npy"))
}

/// The arrays by their names. What has a type that no tensor here has (such as bf16, which numpy does not know) is left out.
pub fn tensors(bytes: &Arc<Bytes>) -> Result<BTreeMap<String, Stored>> {
    read(bytes).map_err(|cause| bytes.fault(format!("not a readable archive of arrays: {cause}")))
}

fn read(bytes: &Arc<Bytes>) -> Result<BTreeMap<String, Stored>, String> {
    let mut tensors = BTreeMap::new();
    for (name, entry) in zip::directory(bytes)? {
        let Some(array) = name.strip_suffix(".npy") else { continue };
        let stored = array_of(bytes, zip::content(bytes, &name, &entry)?);
        if let Some(stored) = stored.map_err(|cause| format!("the array {array:?}: {cause}"))? {
            tensors.insert(array.to_owned(), stored);
        }
    }
    Ok(tensors)
}

/// An array at its place; `None` where no tensor has its type.
fn array_of(bytes: &Arc<Bytes>, (at, len): zip::Place) -> Result<Option<Stored>, String> {
    const DAMAGED: &str = "its header is damaged";
    let range = |from: u64, count: u64| match from.checked_add(count).is_some_and(|end| end <= len) {
        true => bytes.range(at + from, count).map_err(|error| error.to_string()),
        false => Err(DAMAGED.to_owned()),
    };
    let begin = range(0, 12)?;
    // Version 1 has two bytes of length, the later ones four.
    let (text_at, text_len) = match (begin.starts_with(b"\x93NUMPY"), begin[6]) {
        (true, 1) => (10, u64::from(u16::from_le_bytes([begin[8], begin[9]]))),
        (true, 2 | 3) => (12, u64::from(u32::from_le_bytes([begin[8], begin[9], begin[10], begin[11]]))),
        _ => return Err(DAMAGED.into()),
    };
    if text_len > MAX_HEADER_BYTES {
        return Err(DAMAGED.into());
    }
    let text = String::from_utf8(range(text_at, text_len)?).map_err(|_| DAMAGED)?;
    let value = |key: &str| Some(text.split_once(&format!("'{key}':"))?.1.trim_start());
    let descr = value("descr").and_then(|rest| rest.strip_prefix('\'')?.split_once('\'')).ok_or(DAMAGED)?.0;
    let Some((dtype, swap)) = dtype_of(descr) else { return Ok(None) };
    let sides = value("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')')).ok_or(DAMAGED)?.0;
    let sides = sides.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape: Vec<usize> = sides.map(|side| side.parse().map_err(|_| DAMAGED)).collect::<Result<_, _>>()?;
    let is_fortran = value("fortran_order").ok_or(DAMAGED)?.starts_with("True");
    let strides = is_fortran.then(|| {
        let steps = shape.iter().scan(1usize, |step, &side| Some(std::mem::replace(step, step.saturating_mul(side))));
        steps.collect::<Vec<usize>>()
    });
    let offset = at + text_at + text_len;
    let there = (at + len).saturating_sub(offset) / dtype.size() as u64;
    Stored::extent(dtype, &shape, strides.as_deref(), there)?;
    Ok(Some(Stored { swap, strides, ..Stored::plain(bytes.clone(), dtype, shape, offset) }))
}

/// The type of numpy's word for it, and whether its values are big-endian.
fn dtype_of(descr: &str) -> Option<(Dtype, bool)> {
    let (order, kind) = descr.split_at_checked(1)?;
    let dtype = match kind {
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "i1" => Dtype::I8,
        "i2" => Dtype::I16,
        "i4" => Dtype::I32,
        "i8" => Dtype::I64,
        "u1" => Dtype::U8,
        "b1" => Dtype::Bool,
        _ => return None,
    };
    matches!(order, "<" | ">" | "|" | "=").then_some((dtype, order == ">"))
}
