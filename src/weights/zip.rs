//! The directory of a zip archive whose entries are stored as they are: what PyTorch and numpy put weights into.

use std::collections::BTreeMap;

use super::bytes::Bytes;

/// Where something lies in a file: first byte, bytes there are.
pub type Place = (u64, u64);

/// The directory that is read at most, in bytes.
const MAX_DIRECTORY_BYTES: u64 = 64 << 20;
/// How far from its end the end of the directory can be: its own length and the longest comment.
const MAX_END_BYTES: u64 = 22 + 65_535;

/// An entry of the directory.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    header: u64,
    size: u64,
    is_stored: bool,
}

/// The entries by name.
pub fn directory(bytes: &Bytes) -> Result<BTreeMap<String, Entry>, String> {
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
pub fn content(bytes: &Bytes, name: &str, entry: &Entry) -> Result<Place, String> {
    if !entry.is_stored {
        return Err(format!("the entry {name:?} is compressed or encrypted, which weights are not"));
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
