//! The header of a safetensors file, checked against the file: every tensor lies where it says, none overlaps another, and
//! nothing is left over.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::bytes::Bytes;
use super::dtype::Dtype;
use super::stored::Stored;
use crate::Result;

/// The longest header that is read, in bytes; the format's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Tensor(Entry),
    /// `__metadata__`.
    Remarks(BTreeMap<String, String>),
}

/// A tensor as the header has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Its bytes in the file, from the file's beginning.
    pub begin: u64,
    pub end: u64,
}

/// A header, once it is known to be true of its file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    pub tensors: BTreeMap<String, Placed>,
    /// What the file says of itself.
    pub remarks: BTreeMap<String, String>,
}

impl Header {
    /// The header of a whole file in memory. Errors, in words: it lies, or the file is none.
    pub fn of(file: &[u8]) -> Result<Self, String> {
        let len = Self::len(file.len() as u64, file.first_chunk().copied())?;
        let text = usize::try_from(len).ok().and_then(|len| file.get(8..8 + len)).ok_or("the file is truncated")?;
        Self::parse(text, file.len() as u64)
    }

    /// Bytes of the header of a file of `file_len` bytes that begins with `start`.
    fn len(file_len: u64, start: Option<[u8; 8]>) -> Result<u64, String> {
        let Some(start) = start else { return Err(unreadable(format_args!("it has {file_len} bytes"))) };
        if start.trim_ascii_start().starts_with(b"<") {
            return Err(unreadable("it is a web page; get the file anew, agreeing to what the page asks"));
        }
        match u64::from_le_bytes(start) {
            len if len <= MAX_HEADER_BYTES && len <= file_len - 8 => Ok(len),
            len => Err(unreadable(format_args!("its header would take {len} of its {file_len} bytes"))),
        }
    }

    fn parse(text: &[u8], file_len: u64) -> Result<Self, String> {
        let items: BTreeMap<String, Item> = serde_json::from_slice(text).map_err(unreadable)?;
        let mut header = Self::default();
        let data = 8 + text.len() as u64;
        for (name, item) in items {
            match item {
                Item::Tensor(entry) => drop(header.tensors.insert(name.clone(), placed(&name, &entry, data)?)),
                Item::Remarks(remarks) if name == "__metadata__" => header.remarks = remarks,
                Item::Remarks(_) => return Err(unreadable(format_args!("the entry {name:?} is no tensor"))),
            }
        }
        let mut spans: Vec<(u64, u64)> = header.tensors.values().map(|placed| (placed.begin, placed.end)).collect();
        spans.sort_unstable();
        let mut covered = data;
        for (begin, end) in spans {
            if begin != covered {
                return Err(unreadable(format_args!("its tensors overlap or leave a gap at byte {begin}")));
            }
            covered = end;
        }
        match covered.cmp(&file_len) {
            std::cmp::Ordering::Equal => Ok(header),
            std::cmp::Ordering::Greater => {
                Err(unreadable(format_args!("the file is truncated: {file_len} of {covered} bytes; get it anew")))
            }
            std::cmp::Ordering::Less => Err(unreadable("there is more in it than its tensors")),
        }
    }
}

fn unreadable(cause: impl std::fmt::Display) -> String {
    format!("not a readable safetensors file: {cause}")
}

/// Where a tensor lies; `data` is where the header ends.
fn placed(name: &str, entry: &Entry, data: u64) -> Result<Placed, String> {
    let Entry { dtype, shape, data_offsets: [begin, end] } = entry;
    let dtype =
        dtype_of(dtype).ok_or_else(|| format!("the tensor {name:?} has the format {dtype:?}, which cannot be read"))?;
    let sides: Option<Vec<usize>> = shape.iter().map(|&side| usize::try_from(side).ok()).collect();
    let count = shape.iter().try_fold(1u64, |count, &side| count.checked_mul(side));
    let size = count.and_then(|count| dtype.bytes_of(count));
    let (Some(shape), Some(size)) = (sides, size) else {
        return Err(unreadable(format_args!("the shape of {name:?} cannot be counted")));
    };
    let bytes = data
        .checked_add(*begin)
        .zip(data.checked_add(*end))
        .filter(|(begin, end)| end.checked_sub(*begin) == Some(size));
    let Some((begin, end)) = bytes else {
        return Err(unreadable(format_args!("{name:?} of shape {shape:?} does not take the bytes {begin} to {end}")));
    };
    Ok(Placed { dtype, shape, begin, end })
}

/// The tensors of a safetensors file by name.
pub(super) fn tensors(bytes: &Arc<Bytes>) -> Result<BTreeMap<String, Stored>> {
    let start = match bytes.len() {
        0..8 => None,
        _ => {
            let mut start = [0; 8];
            bytes.read_at(0, &mut start)?;
            Some(start)
        }
    };
    let len = Header::len(bytes.len(), start).map_err(|cause| bytes.fault(cause))?;
    let header = Header::parse(&bytes.range(8, len)?, bytes.len()).map_err(|cause| bytes.fault(cause))?;
    let stored = |(name, placed): (String, Placed)| {
        let Placed { dtype, shape, begin: offset, .. } = placed;
        (name, Stored::plain(bytes.clone(), dtype, shape, offset))
    };
    Ok(header.tensors.into_iter().map(stored).collect())
}

fn dtype_of(word: &str) -> Option<Dtype> {
    Some(match word {
        "F8_E4M3" => Dtype::F8E4m3,
        "F8_E5M2" => Dtype::F8E5m2,
        "F16" => Dtype::F16,
        "BF16" => Dtype::Bf16,
        "F32" => Dtype::F32,
        "F64" => Dtype::F64,
        "U8" => Dtype::U8,
        "I8" => Dtype::I8,
        "I16" => Dtype::I16,
        "I32" => Dtype::I32,
        "I64" => Dtype::I64,
        "BOOL" => Dtype::Bool,
        _ => return None,
    })
}
