//! The container before torch 1.6: pickles one after the other, then the storages.
//!
//! The pickles are a magic number, the version, the sizes of the machine that wrote it, the objects, and the keys of the
//! storages; each storage is its number of values and the values.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::MAX_PICKLE_BYTES;
use super::pickle::{self, Node, Pickled, Value};
use super::tree::{self, Storages};
use crate::Result;
use crate::weights::bytes::Bytes;
use crate::weights::stored::Stored;
use crate::weights::zip::Place;

/// The magic number, 0x1950a86a20f9469cfc6c, as little-endian bytes of a whole number.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The one version that was written.
const VERSION: i64 = 1001;

/// The tensors of a legacy file.
pub fn tensors(bytes: &Arc<Bytes>) -> Result<BTreeMap<String, Stored>> {
    read(bytes).map_err(|cause| bytes.fault(format!("not a readable PyTorch file: {cause}")))
}

fn read(bytes: &Arc<Bytes>) -> Result<BTreeMap<String, Stored>, String> {
    let head = bytes.range(0, bytes.len().min(MAX_PICKLE_BYTES)).map_err(|error| error.to_string())?;
    let mut at = 0;
    let mut next = || -> Result<Pickled, String> {
        let pickled = pickle::read(head.get(at..).unwrap_or_default(), tree::allows)?;
        at += pickled.len;
        Ok(pickled)
    };
    let magic = next()?;
    // The bytes of the number carry a zero for the sign where its top bit is set; here it is not.
    if !matches!(magic.node(magic.top), Some(Node::Bytes(number)) if number.starts_with(&MAGIC)) {
        return Err("a pickle that is no file of weights; save a state_dict with torch.save".into());
    }
    if next()?.top != Value::Int(VERSION) {
        return Err("a version that was never written".into());
    }
    let system = next()?;
    let objects = next()?;
    let keys = next()?;
    let mut places: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let sizes = element_sizes(&objects);
    let mut offset = at as u64;
    for key in keys.items(keys.top).ok_or("its storages are not listed")? {
        let key = keys.text(*key).ok_or("a storage without a name")?;
        let mut count = [0; 8];
        bytes.read_at(offset, &mut count).map_err(|_| "the file is truncated")?;
        let count = u64::from_le_bytes(count);
        let size = *sizes.get(key).ok_or_else(|| format!("the storage {key:?} is of no tensor"))?;
        let len = count.checked_mul(size).ok_or("a storage beyond bounds")?;
        let end = offset.checked_add(8).and_then(|start| start.checked_add(len)).ok_or("a storage beyond bounds")?;
        if end > bytes.len() {
            return Err("the file is truncated".into());
        }
        places.insert(key.to_owned(), (offset + 8, len));
        offset = end;
    }
    let find = |key: &str| -> Result<Option<Place>, String> { Ok(places.get(key).copied()) };
    tree::tensors(&objects, &Storages { bytes, swap: is_big_endian(&system), find: &find })
}

/// Bytes of one value of every storage that objects mention.
fn element_sizes(objects: &Pickled) -> BTreeMap<&str, u64> {
    let ids = objects.nodes.iter().filter_map(|node| match node {
        Node::Persistent(id) => objects.items(*id),
        _ => None,
    });
    let size = |id: &[Value]| {
        let (_, class) = objects.global(*id.get(1)?)?;
        Some((objects.text(*id.get(2)?)?, tree::element_size(class)?))
    };
    ids.filter_map(size).collect()
}

fn is_big_endian(system: &Pickled) -> bool {
    let Some(Node::Dict(items)) = system.node(system.top) else { return false };
    items.iter().any(|(key, value)| system.text(*key) == Some("little_endian") && *value == Value::Bool(false))
}
