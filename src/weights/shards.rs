//! Weights in several files with an index (`….safetensors.index.json`, `….bin.index.json`) that says which tensor is in which; the files
//! lie beside it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::bytes::Bytes;
use super::open::of_bytes;
use super::stored::Stored;
use crate::fs::reading::Reading;
use crate::{Error, Result};

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The most bytes of an index that are read.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// The tensors of all shards that an index names.
pub(super) fn tensors(index: &Path, reading: &Reading) -> Result<BTreeMap<String, Stored>> {
    let fault = |cause: String| Error::file(index, cause);
    let text = crate::input::read(index, MAX_INDEX_BYTES)?;
    let Index { weight_map } =
        serde_json::from_slice(&text).map_err(|e| fault(format!("not an index of shards: {e}")))?;
    let mut shards: BTreeMap<&str, BTreeMap<String, Stored>> = BTreeMap::new();
    for shard in weight_map.values() {
        if shard.contains(['/', '\\']) || shard == ".." {
            return Err(fault(format!("names the file {shard:?}, which is not beside it")));
        }
        if !shards.contains_key(shard.as_str()) {
            let bytes = Arc::new(Bytes::open(&index.with_file_name(shard), reading)?);
            shards.insert(shard, of_bytes(&bytes)?);
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
