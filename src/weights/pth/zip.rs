//! The container since torch 1.6: a zip archive of stored entries, `NAME/data.pkl` with the objects and `NAME/data/KEY` with
//! the storages. TorchScript archives have the same two, and code that is not looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::MAX_PICKLE_BYTES;
use super::pickle;
use super::tree::{self, Place, Storages};
use crate::Result;
use crate::weights::bytes::Bytes;
use crate::weights::stored::Stored;

/// The directory that is read at most, in bytes.
const MAX_DIRECTORY_BYTES: u64 = 64 << 20;
/// How far from its end the end of the directory can be: its own length and the longest comment.
const MAX_END_BYTES: u64 = 22 + 65_535;

/// An entry of the directory.
#[derive(Clone, Copy, Debug)]
struct Entry {
    header: u64,
    size: u64,
    is_stored: bool,
}

/// The tensors of a zip archive.
pub fn tensors(bytes: &Arc<Bytes>) -> Result<BTreeMap<String, Stored>> {
    read(bytes).map_err(|cause| bytes.fault(format!("not a readable PyTorch file: {cause}")))
}

fn read(bytes: &Arc<Bytes>) -> Result<BTreeMap<String, Stored>, String> {
    let entries = directory(bytes)?;
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
        entries.get(name).map(|entry| content(bytes, name, entry)).transpose()
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

/// The entries by name.
fn directory(bytes: &Bytes) -> Result<BTreeMap<String, Entry>, String> {
    let range = |at: u64, len: u64| bytes.range(at, len).map_err(|_| "the file is truncated".to_owned());
    let tail_len = bytes.len().min(MAX_END_BYTES);
    let tail_at = bytes.len() - tail_len;
    let tail = range(tail_at, tail_len)?;
    let is_end = |at: &usize| tail.get(*at..).is_some_and(|rest| rest.starts_with(b"PK\x05\x06") && rest.len() >= 22);
    let end = (0..tail.len()).rev().find(is_end).ok_or("its directory is missing: the file is truncated")?;
    let mut count = u64::from(u16_at(&tail, end + 10)?);
    let mut size = u64::from(u32_at(&tail, end + 12)?);
    let mut start = u64::from(u32_at(&tail, end + 16)?);
    if let Some(locator) = end.checked_sub(20).filter(|at| tail[*at..].starts_with(b"PK\x06\x07")) {
        let wide = range(u64_at(&tail, locator + 8)?, 56)?;
        if !wide.starts_with(b"PK\x06\x06") {
            return Err("its directory is damaged".into());
        }
        (count, size, start) = (u64_at(&wide, 32)?, u64_at(&wide, 40)?, u64_at(&wide, 48)?);
    }
    if size > MAX_DIRECTORY_BYTES {
        return Err("its directory is larger than that of weights".into());
    }
    let all = range(start, size)?;
    let mut entries = BTreeMap::new();
    let mut at = 0;
    while entries.len() < usize::try_from(count).unwrap_or(usize::MAX) && at < all.len() {
        at = entry(&all, at, &mut entries)?;
    }
    match entries.len() as u64 == count {
        true => Ok(entries),
        false => Err("its directory is damaged".into()),
    }
}

/// Reads the entry of the directory at `at`, and returns where the next one is.
fn entry(all: &[u8], at: usize, entries: &mut BTreeMap<String, Entry>) -> Result<usize, String> {
    let damaged = || "its directory is damaged".to_owned();
    if !all.get(at..).is_some_and(|rest| rest.starts_with(b"PK\x01\x02")) {
        return Err(damaged());
    }
    let (name_len, extra_len) = (usize::from(u16_at(all, at + 28)?), usize::from(u16_at(all, at + 30)?));
    let comment_len = usize::from(u16_at(all, at + 32)?);
    let name_at = at + 46;
    let name = all.get(name_at..name_at + name_len).ok_or_else(damaged)?;
    let name = std::str::from_utf8(name).map_err(|_| "an entry whose name is not UTF-8")?;
    let extra = all.get(name_at + name_len..name_at + name_len + extra_len).ok_or_else(damaged)?;
    let packed = u64::from(u32_at(all, at + 20)?);
    let (mut size, mut header) = (u64::from(u32_at(all, at + 24)?), u64::from(u32_at(all, at + 42)?));
    let (was_packed, was_size, was_header) = (packed, size, header);
    // Zip64 gives, in this order, those of the three that do not fit.
    let mut wide = wide_numbers(extra);
    for (value, was) in [(&mut size, was_size), (&mut { packed }, was_packed), (&mut header, was_header)] {
        if was == u64::from(u32::MAX) {
            *value = wide.next().ok_or_else(damaged)?;
        }
    }
    let is_encrypted = u16_at(all, at + 8)? & 1 != 0;
    let is_stored = u16_at(all, at + 10)? == 0 && !is_encrypted;
    if entries.insert(name.to_owned(), Entry { header, size, is_stored }).is_some() {
        return Err(format!("two entries are called {name:?}"));
    }
    Ok(name_at + name_len + extra_len + comment_len)
}

/// The numbers of the zip64 field.
fn wide_numbers(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut found: &[u8] = &[];
    while let [a, b, c, d, rest @ ..] = extra {
        let len = usize::from(u16::from_le_bytes([*c, *d])).min(rest.len());
        if [*a, *b] == [1, 0] {
            found = &rest[..len];
        }
        extra = &rest[len..];
    }
    found.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect::<Vec<_>>().into_iter()
}

/// Where the content of an entry is; its own header says how long its name and padding are.
fn content(bytes: &Bytes, name: &str, entry: &Entry) -> Result<Place, String> {
    if !entry.is_stored {
        return Err(format!("the entry {name:?} is compressed or encrypted, as torch does not write it"));
    }
    let header = bytes.range(entry.header, 30).map_err(|_| "the file is truncated")?;
    if !header.starts_with(b"PK\x03\x04") {
        return Err(format!("the entry {name:?} is not where the directory says"));
    }
    let skip = 30 + u64::from(u16_at(&header, 26)?) + u64::from(u16_at(&header, 28)?);
    let at = entry.header + skip;
    match at.checked_add(entry.size) {
        Some(end) if end <= bytes.len() => Ok((at, entry.size)),
        _ => Err("the file is truncated".into()),
    }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], String> {
    let part = bytes.get(at..at.saturating_add(N)).and_then(|part| part.try_into().ok());
    part.ok_or_else(|| "its directory is damaged".into())
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, String> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, String> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, String> {
    array_at(bytes, at).map(u64::from_le_bytes)
}
