//! Files of PyTorch (`.pth`, `.pt`) as data only: no code in them is run, and what is no data is refused by its name.
//!
//! * [`zip`]: the container since torch 1.6, also of TorchScript; [`legacy`]: the one before.
//! * [`pickle`]: the interpreter of the object tree in either. [`tree`]: from that tree to named tensors.

mod legacy;
mod pickle;
#[cfg(test)]
mod tests;
mod tree;
mod zip;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bytes::Bytes;
use super::stored::Stored;
use crate::Result;

/// The longest object tree that is read, in bytes: names and shapes of the largest networks take a tenth of it.
const MAX_PICKLE_BYTES: u64 = 64 << 20;

/// Whether bytes begin as a file of PyTorch does, or as one of its earliest forms.
pub fn is_pth(bytes: &Bytes) -> Result<bool> {
    let mut start = [0; 4];
    let len = start.len().min(usize::try_from(bytes.len()).unwrap_or(4));
    bytes.read_at(0, &mut start[..len])?;
    // A header of safetensors is never this long: its first eight bytes are a small number.
    Ok(start == *b"PK\x03\x04"
        || start == *b"PK\x05\x06"
        || (start[0] == 0x80 && (1..=5).contains(&start[1]) && !is_header(bytes)?))
}

/// Whether bytes begin with the length of a header and the header's brace.
fn is_header(bytes: &Bytes) -> Result<bool> {
    let mut start = [0; 9];
    if bytes.len() < 9 {
        return Ok(false);
    }
    bytes.read_at(0, &mut start)?;
    Ok(start[8] == b'{' && start[4..8] == [0; 4])
}

/// The tensors of a file of PyTorch by their names: what is nested under one of `params`, `params_ema`, `state_dict`, `model`
/// alone comes without that prefix, other nesting is dotted, a bare tensor is called `tensor`.
pub fn tensors(bytes: &Arc<Bytes>) -> Result<BTreeMap<String, Stored>> {
    let mut start = [0; 1];
    bytes.read_at(0, &mut start)?;
    let tensors = if start == *b"P" { zip::tensors(bytes) } else { legacy::tensors(bytes) }?;
    match tensors.is_empty() {
        false => Ok(tensors),
        true => Err(bytes.fault("holds no tensors")),
    }
}
