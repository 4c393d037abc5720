//! The container since torch 1.6: a zip archive of stored entries, `NAME/data.pkl` with the objects and `NAME/data/KEY` with
//! the storages. TorchScript archives have the same two, and code that is not looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::MAX_PICKLE_BYTES;
use super::pickle;
use super::tree::{self, Storages};
use crate::Result;
use crate::weights::bytes::Bytes;
use crate::weights::stored::Stored;
use crate::weights::zip::{self, Place};

/// The tensors of a zip archive.
pub fn tensors(bytes: &Arc<Bytes>) -> Result<BTreeMap<String, Stored>> {
    read(bytes).map_err(|cause| bytes.fault(format!("not a readable PyTorch file: {cause}")))
}

fn read(bytes: &Arc<Bytes>) -> Result<BTreeMap<String, Stored>, String> {
    let entries = zip::directory(bytes)?;
    let pickles: Vec<&str> = entries
        .keys()
        .filter_map(|name| name.strip_suffix("data.pkl"))
        .filter(|root| !root.trim_end_matches('/').contains('/'))
        .collect();
    let [root] = pickles.as_slice() else {
        return Err(match pickles.len() {
            0 => "a zip archive without data.pkl, as no version of torch since 1.6 writes it".into(),
            _ => "a zip archive with several data.pkl".into(),
        });
    };
    let place = |name: &str| -> Result<Option<Place>, String> {
        entries.get(name).map(|entry| zip::content(bytes, name, entry)).transpose()
    };
    let named = |name: &str| format!("{root}{name}");
    let (at, len) = place(&named("data.pkl"))?.ok_or("data.pkl is missing")?;
    if len > MAX_PICKLE_BYTES {
        return Err(format!("its data.pkl has {len} bytes, more than weights need"));
    }
    let text = |place: Option<Place>| match place {
        Some((at, len)) if len <= 16 => bytes.range(at, len).unwrap_or_default(),
        _ => Vec::new(),
    };
    let swap = text(place(&named("byteorder"))?) == b"big";
    let objects = bytes.range(at, len).map_err(|error| error.to_string())?;
    let is_script = entries
        .keys()
        .any(|name| name.strip_prefix(root).is_some_and(|rest| rest == "constants.pkl" || rest.starts_with("code/")));
    let pickled = pickle::read(&objects, if is_script { tree::allows_script } else { tree::allows })?;
    let find = |key: &str| place(&named(&format!("data/{key}")));
    tree::tensors(&pickled, &Storages { bytes, swap, find: &find })
}
