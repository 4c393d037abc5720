//! The header of a safetensors file, checked against the file: every tensor lies where it says, none overlaps another, and
//! nothing is left over.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::bytes::Bytes;
use super::dtype::Dtype;
use super::stored::Stored;
use crate::{Error, Result};

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
    /// `__metadata__`: read so that it is known to be text, and left.
    Remarks(#[expect(dead_code)] BTreeMap<String, String>),
}

/// The tensors of a safetensors file by name.
pub fn tensors(bytes: &Arc<Bytes>) -> Result<BTreeMap<String, Stored>> {
    let fault = |cause: &dyn std::fmt::Display| bytes.fault(format!("not a readable safetensors file: {cause}"));
    if bytes.len() < 8 {
        return Err(fault(&format_args!("it has {} bytes", bytes.len())));
    }
    let mut len = [0; 8];
    bytes.read_at(0, &mut len)?;
    let header_len = u64::from_le_bytes(len);
    if header_len > MAX_HEADER_BYTES || header_len > bytes.len() - 8 {
        return Err(fault(&format_args!("its header would take {header_len} of its {} bytes", bytes.len())));
    }
    let header: BTreeMap<String, Item> =
        serde_json::from_slice(&bytes.range(8, header_len)?).map_err(|cause| fault(&cause))?;
    let data = 8 + header_len;
    let mut spans = Vec::with_capacity(header.len());
    let mut tensors = BTreeMap::new();
    for (name, item) in header {
        let Entry { dtype, shape, data_offsets: [begin, end] } = match item {
            Item::Tensor(entry) => entry,
            Item::Remarks(_) if name == "__metadata__" => continue,
            Item::Remarks(_) => return Err(fault(&format_args!("the entry {name:?} is no tensor"))),
        };
        let dtype = dtype_of(&dtype).ok_or_else(|| {
            bytes.fault(format!("the tensor {name:?} has the format {dtype:?}, which cannot be read"))
        })?;
        let shape: Option<Vec<usize>> = shape.iter().map(|&side| usize::try_from(side).ok()).collect();
        let size = shape
            .as_ref()
            .and_then(|shape| shape.iter().try_fold(dtype.size() as u64, |size, &side| size.checked_mul(side as u64)));
        let (Some(shape), Some(size)) = (shape, size) else {
            return Err(fault(&format_args!("the shape of {name:?} cannot be counted")));
        };
        if end.checked_sub(begin) != Some(size) {
            return Err(fault(&format_args!("{name:?} of shape {shape:?} does not take the bytes {begin} to {end}")));
        }
        spans.push((begin, end));
        let stored =
            Stored { bytes: bytes.clone(), dtype, swap: false, shape, strides: None, offset: data + begin, rolled: 0 };
        tensors.insert(name, stored);
    }
    spans.sort_unstable();
    let mut covered = 0;
    for (begin, end) in spans {
        if begin != covered {
            return Err(fault(&format_args!("its tensors overlap or leave a gap at byte {begin}")));
        }
        covered = end;
    }
    match data.checked_add(covered) {
        Some(all) if all == bytes.len() => Ok(tensors),
        Some(all) if all > bytes.len() => {
            Err(bytes.fault(format!("the file is truncated: {} of {all} bytes", bytes.len())))
        }
        _ => Err(fault(&format_args!("there is more in it than its tensors"))),
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The most bytes of an index that are read.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// The tensors of all shards that an index (`….safetensors.index.json`) names, which lie beside it.
pub fn sharded(index: &Path) -> Result<BTreeMap<String, Stored>> {
    let fault = |cause: String| Error::file(index, cause);
    let text = crate::input::read(index, MAX_INDEX_BYTES)?;
    let Index { weight_map } =
        serde_json::from_slice(&text).map_err(|e| fault(format!("not an index of safetensors files: {e}")))?;
    let mut shards: BTreeMap<&str, BTreeMap<String, Stored>> = BTreeMap::new();
    for shard in weight_map.values() {
        if shard.contains(['/', '\\']) || shard == ".." {
            return Err(fault(format!("names the file {shard:?}, which is not beside it")));
        }
        if !shards.contains_key(shard.as_str()) {
            let bytes = Arc::new(Bytes::open(&index.with_file_name(shard))?);
            shards.insert(shard, tensors(&bytes)?);
        }
    }
    for (name, shard) in &weight_map {
        if shards.get(shard.as_str()).is_none_or(|tensors| !tensors.contains_key(name)) {
            return Err(fault(format!("says that {name:?} is in {shard:?}, where it is not")));
        }
    }
    let mut all = BTreeMap::new();
    for (name, stored) in shards.into_values().flatten() {
        if let Some(twice) = all.insert(name, stored) {
            return Err(fault(format!("a tensor of {} is in two of the files", twice.bytes.origin().display())));
        }
    }
    Ok(all)
}

fn dtype_of(word: &str) -> Option<Dtype> {
    Some(match word {
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
